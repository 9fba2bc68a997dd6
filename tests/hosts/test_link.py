"""What the daemon hears of a host, in which order and how much at once."""

from __future__ import annotations

import socket
import time

import pytest

from qfw.config.settings import PlatformSettings
from qfw.hosts import link
from qfw.hosts.link import Link
from qfw.qpm.frames import frame
from qfw.qpm.reactor import EpollReactor
from tests.stack import LIMIT_S


class Child:
    """A host's process in the place of which a test speaks."""

    pid = 4_000_000
    output = None

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self.channel = channel

    def close(self) -> None:
        self.channel.close()

    def kill(self) -> None:
        """Nothing was started."""

    def reap(self) -> str:
        return "ended"


@pytest.mark.parametrize("together", [1, 2, 5])
def test_a_host_is_heard_on_whatever_its_messages_take(
    monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """Each message takes longer than a turn has for a host, also the last of several that came together."""
    daemon, host = socket.socketpair()
    monkeypatch.setattr(link, "TURN_WORK_S", -1.0)
    monkeypatch.setattr(link.child, "start", lambda *args, **kwargs: Child(daemon))
    monkeypatch.setattr(link.cgroup, "make", lambda *args: None)
    # There is no process whose output could be watched.
    monkeypatch.setattr(Child, "output", host.fileno())
    reactor, heard, ended = EpollReactor(), [], []
    found = Link("twin", PlatformSettings(), 2**30, reactor, heard.append, ended.append)
    reactor.unwatch(host.fileno())
    monkeypatch.setattr(Child, "output", None)
    for round_number in range(1, 4):
        host.sendall(b"".join(frame(bytes([round_number, k])) for k in range(together)))
        end_s = time.monotonic() + LIMIT_S
        while len(heard) < round_number * together and time.monotonic() < end_s:
            reactor.turn(0.05)
    assert heard == [bytes([r, k]) for r in range(1, 4) for k in range(together)]
    assert not ended
    found.end()
    reactor.close()
    host.close()
