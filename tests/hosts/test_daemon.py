"""Hosts of a real daemon: their tasks are answered or fail with typed errors, and others' go on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.model.errors import DeadlineExceeded, QFwError
from qfw.model.task import TaskOptions
from qfw.qpi import Session
from tests.hosts.test_hosted import PLUGINS
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, runtime_folder, until


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Of daemons that have the hostile platform installed."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), str(Path(__file__).parents[2] / "src")]))
    with runtime_folder() as made:
        yield made


def open_session(folder: Path, do: str) -> Session:
    config = folder / "settings.toml"
    config.write_text(
        f'engines = ["reference"]\n[workers]\ncount = 1\n[platforms.hostile]\nanswer_limit_s = 1.0\ngrace_s = 0.2\n'
        f'options = {{ do = "{do}" }}\n'
    )
    found: list[Session] = []

    def serves() -> bool:
        # A session knows the devices that there were when it was opened.
        found.append(Session(runtime_folder=folder, config=config))
        return "hostile" in {device.name for device in found[-1].devices}

    until(serves, "the device in a host")
    for session in found[:-1]:
        session.close()
    return found[-1]


def test_a_task_is_answered_by_a_platform_in_a_host(folder: Path) -> None:
    with open_session(folder, "answer") as session:
        result = session.device("hostile").stream().run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)
        assert result.expectation_values[0, 0] == 0.5


@pytest.mark.parametrize(
    ("do", "kind"), [("silent", DeadlineExceeded), ("hang", QFwError), ("die", QFwError), ("nan", QFwError)]
)
def test_tasks_of_a_hostile_platform_fail_typed_and_others_go_on(
    folder: Path, do: str, kind: type[QFwError]
) -> None:
    with open_session(folder, do) as session:
        options = TaskOptions(time_limit_s=0.5)
        future = session.device("hostile").stream().run(SHORT, [0.3], outputs=Z0, options=options)
        other = session.device("reference").stream().run(SHORT, [0.3], outputs=Z0)
        assert cosine_is_right(other.result(LIMIT_S), 0.3)
        with pytest.raises(kind):
            future.result(LIMIT_S)
