"""What pipelines with splitting tools make of programs, for the streams of this process: made once, remembered."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import msgspec

from qfw.formats.remembered import Remembered
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.errors import QFwError, TaskCancelled
from qfw.model.expansion import Expanded
from qfw.model.outputs import Output, decode_outputs
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.qpi.device import AutomaticDevice, Device
from qfw.qpi.filters import check_able
from qfw.qpi.group_task import Piece
from qfw.qpi.placing import Ground
from qfw.qpi.toolwork import ToolWorkQuestion, runs
from qfw.qpm import expansion
from qfw.qpm.tool import Target
from qfw.qpm.wire import EXPAND, ToolWork

#: Expansions that a process remembers, and their bytes together.
MAX_REMEMBERED, MAX_BYTES = 128, 64 * 2**20
#: Bytes of the programs of those that are also remembered as they are run, which takes some 13 times as much.
MAX_READ_BYTES = 4 * 2**20


class Site(NamedTuple):
    """For whom a program is expanded."""

    device: Device
    #: The other devices of the ground, as tools know them.
    peers: tuple[DeviceProfile, ...] = ()

    @property
    def profile(self) -> DeviceProfile:
        """The device as tools know it: by its name in the session."""
        if isinstance(self.device, AutomaticDevice):
            return self.device.widest
        return _named(self.device)

    def target(self) -> Target:
        """The device as it is now; asks its daemon."""
        calibration: Calibration | None = self.device.calibration()
        return Target(self.profile, calibration, self.peers)


def site_of(
    ground: Ground,
    program: Program,
    outputs: Sequence[Output],
    sets: int,
    shots: int,
    device: str | Device | None,
) -> Site:
    """For whom a program is expanded: the device of a stream, or the widest one of a mesh that could run it whole.

    Where none could, the widest of all; of equally wide ones the preferred, then the first. Never a matter of load.

    Args:
        ground: of the stream.
        program: what was asked.
        outputs: what was asked of it.
        sets: number of parameter sets.
        shots: of each; 0: exact.
        device: that the user named for it; then it alone.
    """
    devices = list(ground.devices)
    if isinstance(ground, Device):
        # Says why, where it is another one.
        ground.place(program, tuple(outputs), sets, shots, True, device)
        return Site(ground)
    if device is not None:
        return Site(_found(ground, program, tuple(outputs), sets, shots, device))
    if not devices:
        # Says why.
        ground.place(program, tuple(outputs), sets, shots, True)
    here = [each for each in devices if not each.client.lost] or devices
    able = [each for each in here if _is_able(each, program, outputs, sets, shots)]
    chosen = max(able or here, key=lambda each: (each.profile.max_qubits, each.profile.preference))
    return Site(chosen, tuple(_named(each) for each in devices if each is not chosen))


def _found(
    ground: Ground,
    program: Program,
    outputs: tuple[Output, ...],
    sets: int,
    shots: int,
    device: str | Device,
) -> Device:
    for each in ground.devices:
        if device is each or device == each.name:
            return each
    found = ground.place(program, outputs, sets, shots, True, device)
    return found if found is not None else ground.devices[0]


def _is_able(device: Device, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> bool:
    try:
        check_able(device.profile, program, outputs, sets, shots, lowered=True)
    except QFwError:
        return False
    return True


def _named(device: Device) -> DeviceProfile:
    profile = device.profile
    return profile if profile.name == device.name else msgspec.structs.replace(profile, name=device.name)


class Wanted(NamedTuple):
    """What is to be expanded."""

    pipeline: Pipeline
    program: Program
    outputs: tuple[Output, ...]
    #: The same as bytes.
    encoded: bytes
    shots: int


class Leaves(NamedTuple):
    """What the leaves of an expansion run."""

    expanded: Expanded
    #: Programs and what is asked of them, each once; and of each leaf its place there.
    pieces: Sequence[Piece]
    places: Sequence[int]

    @classmethod
    def of(cls, expanded: Expanded) -> Leaves:
        """Read from its bytes. Raises ProgramError where those of a program are none."""
        programs = [Program.decode(encoded) for encoded in expanded.programs]
        at: dict[tuple[int, bytes], int] = {}
        pieces: list[Piece] = []
        for leaf in expanded.leaves:
            key = leaf.program, leaf.outputs
            if key not in at:
                at[key] = len(pieces)
                pieces.append(Piece(programs[leaf.program], decode_outputs(leaf.outputs), leaf.outputs))
        return cls(expanded, pieces, [at[leaf.program, leaf.outputs] for leaf in expanded.leaves])


class Expansions:
    """Of all streams of this process: whoever wants what another one is making waits for that."""

    def __init__(self) -> None:
        """Empty."""
        self._lock = threading.Lock()
        self._known: Remembered[Expanded] = Remembered(MAX_REMEMBERED, MAX_BYTES)
        self._read: Remembered[Leaves] = Remembered(MAX_REMEMBERED, MAX_READ_BYTES)
        self._made: dict[Hashable, concurrent.futures.Future[Expanded]] = {}
        self._encode = msgspec.msgpack.Encoder().encode

    def get(
        self, wanted: Wanted, site: Site, stale: Expanded | None, make: Callable[[], Expanded]
    ) -> Expanded:
        """The expansion of a program; `make` is called unless it is known or is being made.

        Args:
            wanted: what of what.
            site: for whom.
            stale: one that is known not to do any more.
            make: makes it; may raise.

        Raises:
            QFwError: what `make` raised, here or where it was being made.
        """
        key = (
            wanted.pipeline.digest,
            wanted.program.digest,
            wanted.encoded,
            wanted.shots,
            site.device.client.welcome.pid,
            site.device.client.folder,
            self._encode((site.profile, site.peers)),
        )
        while True:
            with self._lock:
                found = self._known.get(key)
                if found is not None and found is not stale:
                    return found
                made = self._made.get(key)
                own = made is None
                if made is None:
                    made = self._made[key] = concurrent.futures.Future()
            if own:
                return self._make(key, made, make)
            try:
                found = made.result()
            except TaskCancelled:
                # By its own user; this one still wants it.
                continue
            if found is not stale:
                return found

    def leaves(self, expanded: Expanded) -> Leaves:
        """What the leaves of an expansion run; read once as long as it is remembered. Raises as `Leaves.of`."""
        # What is remembered keeps its expansion: no other one has its id meanwhile.
        found = self._read.get(id(expanded))
        if found is None:
            found = Leaves.of(expanded)
            if expanded.size <= MAX_READ_BYTES:
                self._read.put(id(expanded), found, expanded.size)
        return found

    def _make(
        self, key: Hashable, made: concurrent.futures.Future[Expanded], make: Callable[[], Expanded]
    ) -> Expanded:
        try:
            found = make()
        except BaseException as error:
            with self._lock:
                del self._made[key]
            made.set_exception(error)
            raise
        with self._lock:
            self._known.put(key, found, found.size)
            del self._made[key]
        made.set_result(found)
        return found


#: The one of this process.
known = Expansions()


def _after_fork() -> None:
    """What another thread was making is never made in a child."""
    global known
    known = Expansions()


os.register_at_fork(after_in_child=_after_fork)


def made_here(wanted: Wanted, site: Site) -> Expanded:
    """Expands in this process. Raises as `qfw.qpm.expansion.expand`."""
    return expansion.expand(wanted.pipeline, wanted.program, wanted.outputs, wanted.shots, site.target())


def made_there(wanted: Wanted, site: Site, begun: Callable[[ToolWorkQuestion], None]) -> Expanded | None:
    """Has the daemon of the device expand; None where that lacks a tool. Raises as `made_here`, and DaemonLost."""
    stages = expansion.front(wanted.pipeline)
    client = site.device.client
    if not runs(client, stages):
        return None
    profile = site.profile
    there = profile.name if isinstance(site.device, AutomaticDevice) else site.device.profile.name
    work = ToolWork(
        EXPAND,
        wanted.program.encoded,
        Pipeline(stages).encoded,
        wanted.encoded,
        wanted.shots,
        profile.name,
        msgspec.msgpack.encode(site.peers) if site.peers else b"",
    )
    question = ToolWorkQuestion(client, there, work)
    begun(question)
    found = Expanded.decode(question.result())
    rest = wanted.pipeline.stages[len(stages) :]
    return msgspec.structs.replace(found, rest=Pipeline(rest) if rest else None)
