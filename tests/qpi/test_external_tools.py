"""External tools end to end: run by the daemon that declares them, and by the client where the daemon does not."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.model.errors import ToolFailed, UnknownDevice
from qfw.qpi import Session
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpm import registry
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, runtime_folder

#: Says which process asked for it, and gives back what it reads.
COMMAND = """
import os, pathlib, sys
asked = pathlib.Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()[1]
with open(sys.argv[1], "a") as log:
    log.write(asked + "\\n")
sys.stdout.write(sys.stdin.read())
"""


def settings(log: Path, name: str, more: str = "") -> str:
    command = [sys.executable, "-c", COMMAND, str(log)]
    return f"[tools.external.{name}]\ncommand = {json.dumps(command)}\n{more}\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        yield made


BASE = 'engines = ["reference"]\nworkers.count = 1\n'


def test_a_daemon_runs_what_its_own_settings_declare(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, path = tmp_path / "log", folder / "settings.toml"
    path.write_text(BASE + settings(log, "echo-daemon"))
    monkeypatch.setenv("QFW_CONFIG", str(path))
    pipeline = ToolPipeline(["echo-daemon", "reduce", "verify"])
    assert [stage.name for stage in pipeline.stages] == ["echo-daemon", "reduce", "verify"]
    assert 'tool = "echo-daemon"' in pipeline.to_toml()
    assert ToolPipeline.from_toml(pipeline.to_toml()).fingerprint == pipeline.fingerprint
    with Session(runtime_folder=folder) as session:
        assert registry.marked(registry.TOOLS, "echo-daemon") in session.daemons[0].tools
        stream = session.device("reference").stream(pipeline=pipeline)
        futures = [stream.run(SHORT, [0.1 * n], outputs=Z0) for n in range(5)]
        assert all(cosine_is_right(f.result(LIMIT_S), 0.1 * n) for n, f in enumerate(futures))
        daemon = session.daemons[0].pid
    (asked,) = log.read_text().split()
    assert int(asked) not in (os.getpid(), daemon)
    # Declared otherwise it is another pipeline.
    path.write_text(BASE + settings(log, "echo-daemon", "time_limit_s = 5.0"))
    assert ToolPipeline(["echo-daemon", "reduce", "verify"]).fingerprint != pipeline.fingerprint


def test_a_daemon_runs_no_command_that_a_client_declares(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    own = tmp_path / "own.toml"
    own.write_text(settings(mine, "echo-client") + settings(mine, "echo-both"))
    site = folder / "settings.toml"
    # The site has one of the tools, and means another command by it.
    site.write_text(BASE + settings(theirs, "echo-both"))
    monkeypatch.setenv("QFW_CONFIG", str(site))
    with Session(runtime_folder=folder, name="first"):
        monkeypatch.setenv("QFW_CONFIG", str(own))
        own.touch()
        with Session(runtime_folder=folder) as session:
            for name in ("echo-client", "echo-both"):
                pipeline = ToolPipeline([name])
                stream = session.device("reference").stream(pipeline=pipeline)
                assert cosine_is_right(stream.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S), 0.3)
    assert [int(asked) for asked in mine.read_text().split()] == [os.getpid()] * 2
    assert not theirs.exists()


def test_a_command_that_fails_fails_its_tasks_and_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "settings.toml"
    path.write_text(
        BASE + '[tools.external.echo-fails]\ncommand = ["sh", "-c", "echo no luck >&2; exit 4"]\n'
        '[tools.external.echo-wrong]\ncommand = ["sed", "s/^ry/rx/"]\n'
    )
    monkeypatch.setenv("QFW_CONFIG", str(path))
    with Session(runtime_folder=folder) as session:
        device = session.device("reference")
        for tools, said in (
            (
                ["echo-fails"],
                r"stage echo-fails: external tool echo-fails \(sh\): it ended with exit code 4: no luck",
            ),
            (
                ["echo-wrong", "verify"],
                r"stage verify: verify: .* is not what the pipeline was given any more|amplitude",
            ),
        ):
            future = device.stream(pipeline=ToolPipeline(tools)).run(SHORT, [0.3], outputs=Z0)
            with pytest.raises(ToolFailed, match=said):
                future.result(LIMIT_S)


def test_an_external_tool_that_nobody_declared_is_unknown() -> None:
    with pytest.raises(UnknownDevice, match="no tool is called 'echo-nobody'"):
        ToolPipeline(["echo-nobody"])
