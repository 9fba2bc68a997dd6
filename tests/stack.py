"""What tests of the daemon share: programs with known answers, a fake platform, a raw client, waiting."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from qfw.config.runtime import journal_dir, socket_path
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceProfile, DeviceState, Estimate
from qfw.model.errors import JournalDamaged, TooLarge
from qfw.model.events import Event
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, Output, encode_outputs
from qfw.model.program import Gate, Program, slot
from qfw.model.result import Result
from qfw.model.task import QuantumTask, TaskOptions, task_number
from qfw.qpm import frames, journal, registry, stages, wire
from qfw.qpm.defaults import NoReservations
from qfw.qpm.platform import (
    API_VERSION,
    FACETS,
    DeviceLoad,
    NativeCall,
    ProgramSource,
    Reactor,
    Run,
    Sink,
)

#: No wait of a test is longer; reaching it is a failure.
LIMIT_S = 60.0

Z0: tuple[Output, ...] = (Expectation((PauliSum.of("Z0"),)),)
#: <Z0> = cos(slot 0).
SHORT = Program(2, 0, 1, (Gate("ry", (0,), (slot(0),)), Gate("h", (1,))))


def long_program(gates: int = 24, qubits: int = 16) -> Program:
    """Takes 20 ms or more on the reference engine; <Z0> = cos(slot 0)."""
    turn = Gate("ry", (0,), (slot(0, 1 / gates),))
    return Program(qubits, 0, 1, (turn,) * gates)


def cosine_is_right(result: Result, angle: float) -> bool:
    return abs(result.expectation_values[0, 0] - math.cos(angle)) < 1e-9


def until(condition: Callable[[], Any], what: str = "", limit_s: float = LIMIT_S) -> Any:
    """The first true value of `condition`; fails where there is none in time."""
    end_s = time.monotonic() + limit_s
    pause = threading.Event()
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < end_s, f"waited in vain: {what}"
        pause.wait(0.002)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def open_fds(pid: int | str = "self") -> int:
    """How many descriptors a process has open."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def memory_maps(pid: int | str = "self") -> list[str]:
    """Mappings of shared answers, and descriptors of them."""
    maps = Path(f"/proc/{pid}/maps").read_text().splitlines()
    found = [line for line in maps if "memfd:" in line]
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            target = str(entry.readlink())
            if "memfd:" in target:
                found.append(target)
    return found


def events_of(folder: Path) -> list[Event]:
    """The journal of a runtime folder so far."""
    try:
        return list(journal.read(journal_dir(folder)))
    except JournalDamaged as error:
        if "there is no journal" in str(error):
            return []
        raise


@contextlib.contextmanager
def runtime_folder() -> Iterator[Path]:
    """A folder of its own with a short name; afterwards no daemon may be left in it."""
    folder = Path(tempfile.mkdtemp(prefix="qfw-t-"))
    try:
        yield folder
        until(lambda: not daemons_of(folder), f"a daemon still runs in {folder}")
    finally:
        for pid in daemons_of(folder):
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def strangers() -> Iterator[None]:
    """Daemons that are started meanwhile, and this process, find the strangers' plugins."""
    plugins = str(Path(__file__).parent / "plugins")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([plugins, os.environ.get("PYTHONPATH", "")]))
        patch.syspath_prepend(plugins)
        _forget_plugins()
        yield
    _forget_plugins()


def _forget_plugins() -> None:
    registry._entries.cache_clear()
    registry._load.cache_clear()
    stages._made.cache_clear()


@contextlib.contextmanager
def running_daemon(settings: str) -> Iterator[Path]:
    """The runtime folder of a daemon that no session started, and none ends."""
    with runtime_folder() as folder:
        config = folder / "settings.toml"
        config.write_text(settings)
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "qfw.qpmd",
                f"--folder={folder}",
                f"--config={config}",
                f"--ready-fd={writer}",
            ],
            pass_fds=(writer,),
            stderr=subprocess.DEVNULL,
        )
        os.close(writer)
        with os.fdopen(reader, "rb") as said:
            assert said.read() == b"ready"
        try:
            yield folder
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def daemons_of(folder: Path) -> list[int]:
    """Pids of the daemons that serve a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"qfw.qpmd" in words and f"--folder={folder}".encode() in words and is_alive(int(entry.name)):
                found.append(int(entry.name))
    return found


OUTPUTS = ("counts", "expectation", "memory", "probabilities", "statevector")


class FakePlatform(NoReservations):
    """A Platform without workers: the test is the worker. Costs are the number of sets, in seconds."""

    api_version: ClassVar[tuple[int, int]] = API_VERSION
    facets: ClassVar[frozenset[str]] = FACETS

    def __init__(self, *names: str) -> None:
        self.names = names or ("fake",)
        self.warmed: list[str] = []
        #: Runs by (device, slot), in order; the test removes what it answers.
        self.given: dict[tuple[str, str], list[Run]] = {}
        self.cancelled: list[tuple[str, str, int, int]] = []
        #: What the devices are, where a test says so.
        self.states: dict[str, DeviceState] = {}
        self.calibrations: dict[str, Calibration] = {}
        self.other_load = DeviceLoad()
        self.calls: list[tuple[str, NativeCall]] = []
        self.on_warm: Callable[[str], None] = lambda device: None
        self.sink: Sink
        self.programs: ProgramSource

    def devices(self) -> Sequence[DeviceProfile]:
        return [
            DeviceProfile(name, DeviceKind.SIMULATOR, "fake", 8, ("ry",), OUTPUTS, 2) for name in self.names
        ]

    def open(self, reactor: Reactor, sink: Sink, programs: ProgramSource) -> None:
        self.sink, self.programs = sink, programs

    def warm(self, device: str) -> None:
        self.warmed.append(device)
        self.on_warm(device)

    def state(self, device: str) -> DeviceState:
        return self.states.get(device, DeviceState.ONLINE)

    def calibration(self, device: str) -> Calibration | None:
        return self.calibrations.get(device)

    def load(self, device: str) -> DeviceLoad:
        return self.other_load

    def call(self, device: str, call: NativeCall) -> None:
        self.calls.append((device, call))

    def estimate(
        self, device: str, program: Program, outputs: Sequence[Output], sets: int, shots: int
    ) -> Estimate:
        if program.num_qubits > 8:
            raise TooLarge(f"{program.num_qubits} qubits; 8 fit")
        return Estimate(float(sets), 0)

    def start(self, device: str, slot: str, runs: Sequence[Run]) -> None:
        for run in runs:
            assert self.programs.encoded(run.program)
        self.given.setdefault((device, slot), []).extend(runs)

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        self.cancelled.append((device, slot, task, epoch))

    def close(self) -> None:
        self.given.clear()


def quantum_task(session: int, sequence: int, program: Program = SHORT, **changes: Any) -> QuantumTask:
    """A task as a client would send it."""
    fields: dict[str, Any] = {
        "number": task_number(session, sequence),
        "device": "fake",
        "program": program.digest,
        "outputs": encode_outputs(Z0),
        "sets": 1,
        "parameters": struct.pack("<d", 0.5) * program.num_slots,
        "shots": 0,
        "seed": 1,
        "options": TaskOptions(),
    }
    return QuantumTask(**{**fields, **changes})


class RawClient:
    """Speaks the wire as a client in another language would; reads whole messages."""

    def __init__(self, folder: Path, hello: wire.Hello | None = None, greet: bool = True) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(LIMIT_S)
        self.socket.connect(str(socket_path(folder)))
        self.welcome: Any = None
        #: Descriptors that came and were not taken; answers that came so.
        self.descriptors: deque[int] = deque()
        self.parcels = 0
        if greet:
            self.send(hello or wire.Hello(wire.WIRE_VERSION, "raw", os.getpid(), "raw"))
            self.welcome = wire.decode_greeting(self.body())

    @property
    def session(self) -> int:
        return self.welcome.session

    def send(self, *messages: msgspec.Struct) -> None:
        self.socket.sendall(b"".join(map(frames.pack, messages)))

    def send_bytes(self, data: bytes) -> None:
        self.socket.sendall(data)

    def body(self) -> bytes:
        """Body of the next frame. Raises EOFError where the daemon closed."""
        return self._exactly(struct.unpack(">I", self._exactly(4))[0] & 0x7FFFFFFF)

    def receive(self) -> Any:
        """The next message; what came as a descriptor is put where it would be in a frame."""
        length = struct.unpack(">I", self._exactly(4))[0]
        message = wire.decode_response(self._exactly(length & 0x7FFFFFFF))
        if length & 0x80000000:
            fd = self.descriptors.popleft()
            with os.fdopen(fd, "rb") as file:
                (answer,) = message.answers
                assert answer.answers == b""
                # Its offset is the writer's.
                file.seek(0)
                content = file.read()
                self.parcels += 1
                return wire.Done([msgspec.structs.replace(answer, answers=content)])
        return message

    def close(self) -> None:
        self.socket.close()
        while self.descriptors:
            os.close(self.descriptors.popleft())

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _exactly(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            try:
                chunk, fds, _, _ = socket.recv_fds(self.socket, min(count - len(found), 2**20), 1)
                self.descriptors.extend(fds)
            except ConnectionError:
                chunk = b""
            if not chunk:
                raise EOFError
            found += chunk
        return found
