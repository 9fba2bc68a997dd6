"""Hosts in other Python environments, and hosts and daemons of versions that do not meet."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

import msgspec
import pytest

import qfw
from qfw.hosts.protocol import HOST_VERSION, Greeting, decode_greeting
from qfw.model.device import DeviceState
from qfw.qpm.frames import FrameReader, pack
from qfw.qpm.platform import API_VERSION
from tests.hosts.stand import PLUGINS, Stand
from tests.stack import LIMIT_S


def environment(folder: Path, *paths: Path | str) -> str:
    """The interpreter of a fresh virtual environment that finds modules in `paths` besides."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=LIMIT_S)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "of_the_test.pth").write_text("".join(f"{path}\n" for path in paths))
    return str(folder / "bin" / "python")


def test_a_host_runs_in_an_environment_of_its_own(stand: Stand, tmp_path: Path) -> None:
    source = Path(qfw.__file__).parents[1]
    python = environment(tmp_path / "venv", source, sysconfig.get_path("purelib"), PLUGINS)
    platform = stand.host(python=python)
    stand.up(platform)
    stand.start(platform)
    stand.until(lambda: stand.outcomes("hostile"), "answer")
    assert platform.state("hostile") is DeviceState.ONLINE
    pid = platform.host_pid
    # Nothing of this environment's is handed down to it.
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    assert not [word for word in words if word.startswith((b"PYTHONPATH=", b"VIRTUAL_ENV="))]
    assert Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode() == python


def test_an_environment_without_qfw_is_said(stand: Stand, tmp_path: Path) -> None:
    platform = stand.host(python=environment(tmp_path / "venv"))
    stand.until(lambda: platform.settled, "settled")
    assert platform.broken is not None and "No module named 'qfw'" in platform.broken.message


def test_an_environment_without_the_plugin_is_said(stand: Stand, tmp_path: Path) -> None:
    source = Path(qfw.__file__).parents[1]
    python = environment(tmp_path / "venv", source, sysconfig.get_path("purelib"))
    platform = stand.host(python=python)
    stand.until(lambda: platform.settled, "settled")
    assert platform.broken is not None and "no platform is called 'hostile'" in platform.broken.message


@pytest.mark.parametrize(
    ("protocol", "api"), [(HOST_VERSION + 1, API_VERSION), (HOST_VERSION, (API_VERSION[0] + 1, 0))]
)
def test_a_host_of_another_version_is_refused_at_once(
    stand: Stand, tmp_path: Path, protocol: int, api: tuple[int, int]
) -> None:
    greeting = tmp_path / "greeting"
    greeting.write_bytes(pack(Greeting(protocol, api, "99.1")))
    other = tmp_path / "python"
    other.write_text(
        f"#!{sys.executable} -S\nimport os, sys, time\n"
        "(channel,) = [int(word[10:]) for word in sys.argv if word.startswith('--channel=')]\n"
        f"os.write(channel, open({str(greeting)!r}, 'rb').read())\ntime.sleep(1000)\n"
    )
    other.chmod(0o755)
    platform = stand.host(python=str(other))
    stand.until(lambda: platform.settled, "settled")
    assert platform.broken is not None and platform.broken.code == "VersionMismatch"
    assert "QFw 99.1" in platform.broken.message and "both environments" in platform.broken.message
    assert platform.host_pid is None


def test_a_host_leaves_a_daemon_of_another_version() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        words = [f"--channel={theirs.fileno()}", "--memory-bytes=0", f"--parent={os.getpid()}"]
        host = subprocess.Popen([sys.executable, "-m", "qfw.hosts.host", *words], pass_fds=(theirs.fileno(),))
        theirs.close()
        ours.settimeout(LIMIT_S)
        ours.sendall(pack(Greeting(HOST_VERSION + 1, API_VERSION, "99.1")))
        reader, bodies = FrameReader(2**16), []
        while chunk := ours.recv(2**16):
            bodies += reader.feed(chunk)
        assert host.wait(LIMIT_S) == 0
    # It said who it is, for the daemon to say why.
    assert [decode_greeting(body).host for body in bodies] == [HOST_VERSION]
    assert msgspec.msgpack.decode(bodies[0])["version"] == qfw.__version__
