"""The daemon's core without sockets to clients, and without workers."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qfw.config.settings import SchedulingSettings, Settings, WorkerSettings
from qfw.model.task import task_number
from qfw.qpm import wire
from qfw.qpm.journal import JournalWriter, read
from qfw.qpm.platform import RunDone, RunFailed
from qfw.qpm.wire import StoreProgram, Submit
from qfw.qpmd.core import Core
from qfw.qpmd.peer import Peer
from qfw.qpmd.state import DaemonState
from qfw.scheduling.fair import FairScheduler
from tests.stack import SHORT, FakePlatform, quantum_task

SETTINGS = Settings(
    workers=WorkerSettings(max_attempts=2), scheduling=SchedulingSettings(max_tasks_per_session=50)
)


class Ticking:
    """A clock that goes on by one at every look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1
        return self.now_ns


class Bench:
    """A Core, a fake platform, and clients whose messages can be read."""

    def __init__(self, folder: Path, *devices: str, settings: Settings = SETTINGS) -> None:
        self.folder = folder
        self.platform = FakePlatform(*devices)
        self.journal = JournalWriter(folder, settings.journal.segment_bytes, settings.journal.retain_bytes)
        self.core = Core(settings, self.journal, FairScheduler(), [self.platform], Ticking())
        self.core.open_platforms(None)  # type: ignore[arg-type]  # the fake has no use for it
        self.clients: dict[int, tuple[Peer, socket.socket, wire.FrameReader]] = {}
        self.slots: set[tuple[str, str]] = set()

    def open(self, session: int) -> Peer:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        peer = Peer(ours, 0)
        self.clients[session] = (peer, theirs, wire.FrameReader(2**30))
        self.core.open_session(peer, session)
        self.core.request(peer, StoreProgram(SHORT.encoded))
        return peer

    def submit(self, session: int, *tasks: Any, **changes: Any) -> None:
        """Tasks, or the sequence numbers of usual ones with changes."""
        made = [t if hasattr(t, "number") else quantum_task(session, t, **changes) for t in tasks]
        self.core.request(self.clients[session][0], Submit(made))

    def turn(self) -> dict[int, list[Any]]:
        """Ends the turn; what each client was sent by it."""
        for peer in self.core.end_turn():
            if not peer.closed:
                peer.acks_due = True
                peer.flush()
        said: dict[int, list[Any]] = {}
        for session, (peer, theirs, reader) in self.clients.items():
            if peer.closed:
                continue
            try:
                while chunk := theirs.recv(2**20):
                    said.setdefault(session, []).extend(map(wire.decode_response, reader.feed(chunk)))
            except BlockingIOError:
                continue
        return said

    def close(self, session: int) -> None:
        peer, theirs, _ = self.clients.pop(session)
        peer.closed = True
        self.core.close_session(peer, "test")
        peer.socket.close()
        theirs.close()

    def ready(self, slot: str, device: str = "fake", pid: int = 100) -> None:
        self.slots.add((device, slot))
        self.core.slot_ready(device, slot, pid)

    def lose(self, slot: str, device: str = "fake", begun: bool = True, pid: int = 100) -> None:
        self.slots.discard((device, slot))
        runs = self.platform.given.pop((device, slot), [])
        self.core.slot_lost(device, slot, pid, "test", runs[0].task if runs and begun else None)

    def given(self, slot: str, device: str = "fake") -> list[int]:
        return [run.task for run in self.platform.given.get((device, slot), [])]

    def answer(self, slot: str, device: str = "fake", error: Any = None) -> int:
        """The slot's first run ends."""
        run = self.platform.given[device, slot].pop(0)
        outcome: Any = RunDone(run.task, run.epoch, 1, 2, 0, True, None, b"a")
        if error is not None:
            outcome = RunFailed(run.task, run.epoch, error)
        self.core.run_ended(device, slot, 100, outcome)
        return run.task

    def replayed(self) -> DaemonState:
        return DaemonState.replay(read(self.folder))

    def dispose(self) -> None:
        for session in list(self.clients):
            self.close(session)
        self.journal.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path / "journal")
    yield made
    made.dispose()


def number(session: int, sequence: int) -> int:
    return task_number(session, sequence)
