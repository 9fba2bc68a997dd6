"""The daemon's core without sockets to clients, and without workers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.settings import PlatformSettings, SchedulingSettings, Settings, WorkerSettings
from qfw.model.conditions import Conditions
from qfw.model.device import DeviceProfile
from qfw.model.errors import ErrorReport, SetupError
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Program
from qfw.model.task import task_number
from qfw.qpm import frames, wire
from qfw.qpm.journal import JournalWriter, read
from qfw.qpm.platform import PlatformConfig, RunDone, RunFailed
from qfw.qpm.tool import Target
from qfw.qpm.wire import StorePipeline, StoreProgram, Submit
from qfw.qpmd.core import Core
from qfw.qpmd.peer import Peer
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.results import ResultStore
from qfw.qpmd.state import DaemonState
from qfw.scheduling.fair import FairScheduler
from tests.stack import SHORT, FakePlatform, quantum_task

SETTINGS = Settings(
    workers=WorkerSettings(max_attempts=2), scheduling=SchedulingSettings(max_tasks_per_session=50)
)


#: A pipeline that the daemon runs, and one that only clients run.
HERE = Pipeline((Stage("first", "here"),))
THERE = Pipeline((Stage("first", "there"),))
#: Unix time of every event that the daemon itself makes.
WALL_NS = 10**18


class Ticking:
    """A clock that goes on by one at every look."""

    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        self.now_ns += 1
        return self.now_ns


class ManualReactor:
    """Timers that a test lets pass; watches nothing."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def now(self) -> float:
        return self.now_s

    def watch(
        self, fd: int, readable: Callable[[], None], writable: Callable[[], None] | None = None
    ) -> None:
        raise AssertionError("the fakes have no descriptors")

    def unwatch(self, fd: int) -> None:
        return

    def call_at(self, monotonic_s: float, callback: Callable[[], None]) -> None:
        self.timers.append((monotonic_s, callback))

    def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now_s]
        self.timers = [timer for timer in self.timers if timer[0] > self.now_s]
        for _, callback in due:
            callback()


class FakeHosted(FakePlatform):
    """A platform in a host that a test lets come up, report and go."""

    def __init__(self, config: PlatformConfig, plugin: str, settings: PlatformSettings) -> None:
        if plugin == "unmakeable":
            raise SetupError("no host can be started")
        super().__init__()
        self.config, self.plugin, self.settings = config, plugin, settings
        self.name = config.name
        self.profiles: list[DeviceProfile] = []
        self.settled = False
        self.broken: ErrorReport | None = None
        self.left = self.closed = False

    def devices(self) -> Sequence[DeviceProfile]:
        return self.profiles

    def come(self, *profiles: DeviceProfile) -> None:
        self.profiles, self.settled = list(profiles), True
        self.sink.devices_changed(self.name)

    def go(self, reason: str) -> None:
        self.settled, self.broken = True, ErrorReport("BrokenPlugin", reason)
        self.sink.devices_changed(self.name)

    def leave(self) -> None:
        self.left = True

    def close(self) -> None:
        self.closed = True


class FakeTools:
    """Runs no tools: the test says what came of them."""

    tools = frozenset({"here", "also"})

    def __init__(self) -> None:
        #: What was asked for and not answered, by number: session, program, pipeline, target.
        self.asked: dict[int, tuple[int, bytes, bytes, bytes]] = {}
        #: Programs that were asked for, in order, with the calibration of each.
        self.runs: list[tuple[bytes, str]] = []
        self.closed = False

    def open(self, reactor: Any, ended: Callable[[int, bytes | ErrorReport], None]) -> None:
        self.ended = ended

    def lower(
        self, number: int, session: int, program: bytes, pipeline: bytes, target: bytes, time_limit_s: float
    ) -> None:
        self.asked[number] = session, program, pipeline, target
        version = msgspec.msgpack.decode(target, type=Target).version
        self.runs.append((Program.decode(program).digest, version))

    def forget(self, number: int) -> bool:
        # The first one is always under way.
        if number == next(iter(self.asked), number):
            return False
        return self.asked.pop(number, None) is not None

    def answer(self, change: Callable[[Program], Program] = lambda program: program, **more: Any) -> None:
        """What was asked first is lowered by `change`; or, with `error`, failed; or `body` is what came."""
        number = next(iter(self.asked))
        _, program, _, _ = self.asked.pop(number)
        made = LoweredProgram(change(Program.decode(program)).encoded, more.get("layout"))
        self.ended(number, more.get("error") or more.get("body") or msgspec.msgpack.encode(made))

    def close(self) -> None:
        self.closed = True


class Bench:
    """A Core, a fake platform, and clients whose messages can be read."""

    def __init__(
        self,
        folder: Path,
        *devices: str,
        settings: Settings = SETTINGS,
        plugins: tuple[str, ...] = (),
        results: ResultStore | None = None,
        platform: FakePlatform | None = None,
    ) -> None:
        self.plugins = plugins
        #: Platforms that were started in hosts, by name.
        self.hosted: dict[str, FakeHosted] = {}
        self.folder = folder
        #: Called before a device changes.
        self.revise: Callable[[], None] = lambda: None
        self.platform = platform or FakePlatform(*devices)
        self.journal = JournalWriter(folder, settings.journal.segment_bytes, settings.journal.retain_bytes)
        self.platforms = Platforms(settings, {"fakes": self.platform}, self.plugins, self.host)
        self.clock = Ticking()
        self.reactor = ManualReactor()
        scheduler = FairScheduler(settings.scheduling.prefetch_s, settings.scheduling.prefetch_tasks)
        self.tools = FakeTools()
        self.core = Core(
            settings,
            self.journal,
            scheduler,
            self.platforms,
            self.clock,
            lambda: WALL_NS,
            self.tools,
            results,
            lambda: self.revise(),
        )
        self.core.open_platforms(self.reactor)
        self.clients: dict[int, tuple[Peer, socket.socket, frames.FrameReader]] = {}
        self.slots: set[tuple[str, str]] = set()

    def host(self, config: PlatformConfig, plugin: str, settings: PlatformSettings) -> FakeHosted:
        self.hosted[config.name] = made = FakeHosted(config, plugin, settings)
        return made

    def open(self, session: int, uid: int = 0) -> Peer:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        peer = Peer(ours, uid)
        self.clients[session] = (peer, theirs, frames.FrameReader(2**30))
        self.core.open_session(peer, session)
        self.core.request(peer, StoreProgram(SHORT.encoded))
        self.core.request(peer, StorePipeline(HERE.encoded))
        self.core.request(peer, StorePipeline(THERE.encoded))
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
        self.core.reports.slot_ready(device, slot, pid)

    def lose(self, slot: str, device: str = "fake", begun: bool = True, pid: int = 100) -> None:
        self.slots.discard((device, slot))
        runs = self.platform.given.pop((device, slot), [])
        self.core.reports.slot_lost(device, slot, pid, "test", runs[0].task if runs and begun else None)

    def given(self, slot: str, device: str = "fake") -> list[int]:
        return [run.task for run in self.platform.given.get((device, slot), [])]

    def answer(self, slot: str, device: str = "fake", error: Any = None) -> int:
        """The slot's first run ends."""
        run = self.platform.given[device, slot].pop(0)
        conditions = Conditions(run.calibration) if run.calibration else None
        outcome: Any = RunDone(run.task, run.epoch, 1, 2, 0, True, conditions, b"a")
        if error is not None:
            outcome = RunFailed(run.task, run.epoch, error)
        self.core.reports.run_ended(device, slot, 100, outcome)
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
