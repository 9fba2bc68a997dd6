"""The lowered programs that a daemon knows, and the failures; bounded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from qfw.model.errors import ErrorReport
from qfw.model.outputs import decode_outputs, encode_outputs
from qfw.model.relocation import Relocation
from qfw.model.task import QuantumTask
from qfw.qpmd.intake import Fitted
from qfw.qpmd.programs import ProgramStore

#: How long a failure is remembered: as long, a program is not tried again.
FAILED_NS = 30_000_000_000
#: Kinds of outputs that are remembered with a lowered program.
KNOWN_OUTPUTS = 256
#: In the place of the uid of a client: a worker of the daemon lowers it; nobody is there who could.
HERE, NOBODY = -1, -2


class Key(NamedTuple):
    """What a lowered program depends on."""

    #: Digests.
    program: bytes
    pipeline: bytes
    device: str
    #: Of the device's calibration; empty where it has none.
    version: str
    #: Uid of whose client lowers it, since others need not believe that; or HERE, or NOBODY.
    owner: int


class Lowering:
    """A program, a pipeline, a device and a calibration; and what was made of them."""

    __slots__ = (
        "asked",
        "digest",
        "error",
        "failed_ns",
        "key",
        "number",
        "outputs",
        "relocation",
        "users",
        "waiting",
    )

    def __init__(self, key: Key) -> None:
        """Of which nothing is known yet."""
        self.key = key
        #: Of the run of its tools, while they run.
        self.number = 0
        #: The session whose client was asked; 0: none was.
        self.asked = 0
        #: Tasks that wait for it.
        self.waiting: dict[int, None] = {}
        #: Tasks that have it.
        self.users = 0
        #: Of the lowered program; empty as long as there is none.
        self.digest = b""
        self.relocation: Relocation | None = None
        self.error: ErrorReport | None = None
        self.failed_ns = 0
        #: What is asked of the program, as it is asked of the lowered one.
        self.outputs: dict[bytes, bytes] = {}

    @property
    def settled(self) -> bool:
        """Whether there is a lowered program, or none for a reason."""
        return self.relocation is not None or self.error is not None


def fitted(lowering: Lowering, task: QuantumTask) -> Fitted:
    """What a device runs of a task whose program is lowered.

    Raises:
        ProgramError, UnsupportedFeature: what is asked cannot be asked of the lowered program.
    """
    relocation = lowering.relocation
    assert relocation is not None
    outputs = lowering.outputs.get(task.outputs)
    if outputs is None:
        outputs = encode_outputs(relocation.outputs(decode_outputs(task.outputs)))
        if len(lowering.outputs) >= KNOWN_OUTPUTS:
            lowering.outputs.clear()
        lowering.outputs[task.outputs] = outputs
    return Fitted(relocation.lowered, lowering.digest, outputs)


class LoweredStore:
    """Keeps every lowering that a task has or waits for, and as many others as fit."""

    def __init__(self, programs: ProgramStore, kept: int, clock_ns: Callable[[], int]) -> None:
        """`programs` keeps the programs themselves; `kept` bounds the lowerings that no task needs."""
        self._programs = programs
        self._kept = kept
        self._clock_ns = clock_ns
        self._known: dict[Key, Lowering] = {}
        #: Those that no task has or waits for, the oldest first.
        self._idle: OrderedDict[Key, None] = OrderedDict()

    def find(self, key: Key) -> Lowering | None:
        """What is known of a key; a failure is forgotten after a while, a program if its store has lost it."""
        found = self._known.get(key)
        if found is None or found.waiting or found.users:
            return found
        late = found.error is not None and self._clock_ns() - found.failed_ns > FAILED_NS
        lost = found.relocation is not None and self._programs.get(found.digest) is None
        if late or lost:
            self.remove(found)
            return None
        return found

    def new(self, key: Key) -> Lowering:
        """A lowering of which nothing is known yet."""
        lowering = self._known[key] = Lowering(key)
        return lowering

    def of_device(self, device: str) -> list[Lowering]:
        """All lowerings for a device."""
        return [lowering for key, lowering in self._known.items() if key.device == device]

    def use(self, lowering: Lowering) -> None:
        """A task has it."""
        if not lowering.users:
            self._idle.pop(lowering.key, None)
            self._programs.use(lowering.digest)
        lowering.users += 1

    def unuse(self, lowering: Lowering) -> None:
        """That task has it no longer."""
        lowering.users -= 1
        if not lowering.users:
            self._programs.release(lowering.digest)
            self.keep(lowering)

    def keep(self, lowering: Lowering) -> None:
        """Perhaps no task needs it: then the oldest of such make room."""
        if lowering.waiting or lowering.number or self._known.get(lowering.key) is not lowering:
            return
        if not lowering.settled:
            self.remove(lowering)
            return
        self._idle[lowering.key] = None
        while len(self._idle) > self._kept:
            oldest = self._known[next(iter(self._idle))]
            self._idle.popitem(last=False)
            if not oldest.waiting and not oldest.users:
                self.remove(oldest)

    def remove(self, lowering: Lowering) -> None:
        """It is forgotten; a task that has it keeps it."""
        if self._known.get(lowering.key) is lowering:
            del self._known[lowering.key]
            self._idle.pop(lowering.key, None)
