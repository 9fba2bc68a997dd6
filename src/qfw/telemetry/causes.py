"""Why a circuit was run: for the cost, or for its gradient; and which circuits did nothing new.

A *circuit* is one parameter set of a task. The rule, which looks at parameters alone, since that
is all that the stack sees:

- Each session remembers, for every structure (the digest of a program), its last *forward* set.
- A circuit whose parameters equal that set in all slots but one, and differ in that one by an odd
  multiple of π/2 (within 1e-9 radians), is a *gradient* circuit. These are the shifts of the two-term
  and of the four-term parameter-shift rule: ±π/2 and ±3π/2, which is ∓π/2 plus a full turn.
- Every other circuit is a *cost* circuit, and becomes its structure's last forward set.

The sets of one task count in their order. What the rule cannot know: an optimiser whose own
step happens to be π/2 in one slot counts as gradient. A gradient whose forward circuit was not run through
the stack, finite differences, SPSA, and a shifted argument that an adapter spread over several gates
count as cost.
"""

from __future__ import annotations

import hashlib
import math
import struct

from qfw.model.task import QuantumTask, task_session

#: Radians by which a shift may miss an odd multiple of π/2.
TOLERANCE = 1e-9
#: Circuits that `Repeats` remembers, about 100 bytes each; those beyond are compared, not remembered.
MAX_REMEMBERED = 2_000_000
#: Single-set tasks of one structure in a row that are worth a word.
MIN_SINGLES = 8

_SLOT_BYTES = 8
_float = struct.Struct("<d").unpack_from


class Causes:
    """Counts circuits by cause; the module says by which rule."""

    def __init__(self) -> None:
        #: Last forward set by session and structure, as the task carries it.
        self._forward: dict[int, dict[bytes, bytes]] = {}

    def count(self, task: QuantumTask) -> tuple[int, int]:
        """Cost and gradient circuits of a task. Tasks are shown in the order in which they were submitted."""
        structures = self._forward.setdefault(task_session(task.number), {})
        forward = structures.get(task.program)
        gradient = 0
        for row in _rows(task):
            if forward is not None and is_shifted(row, forward):
                gradient += 1
            else:
                forward = row
        if forward is not None:
            structures[task.program] = forward
        return task.sets - gradient, gradient

    def forget(self, session: int) -> None:
        """A session ended."""
        self._forward.pop(session, None)


def is_shifted(row: bytes, forward: bytes) -> bool:
    """Whether two parameter sets (float64, little-endian) differ in one slot alone, by a shift of a gradient rule."""
    if row == forward or len(row) != len(forward):
        return False
    low, high = 0, len(row)
    while high - low > _SLOT_BYTES:
        middle = low + (high - low) // (2 * _SLOT_BYTES) * _SLOT_BYTES
        if row[low:middle] == forward[low:middle]:
            low = middle
        elif row[middle:high] == forward[middle:high]:
            high = middle
        else:
            return False
    shift: float = _float(row, low)[0] - _float(forward, low)[0]
    return abs(abs(math.remainder(shift, math.pi)) - math.pi / 2) <= TOLERANCE


class Repeats:
    """Counts circuits that were run before and have exact answers: same device, program, outputs, parameters."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()

    def count(self, task: QuantumTask) -> int:
        """Circuits of a task that repeat an earlier one. Those with shots never do: they add statistics."""
        if task.shots:
            return 0
        asked = hashlib.blake2b(digest_size=16)
        for part in (task.device.encode(), task.program, task.outputs):
            asked.update(len(part).to_bytes(4, "little"))
            asked.update(part)
        repeated = 0
        for row in _rows(task):
            circuit = asked.copy()
            circuit.update(row)
            name = circuit.digest()
            if name in self._seen:
                repeated += 1
            elif len(self._seen) < MAX_REMEMBERED:
                self._seen.add(name)
        return repeated


class Singles:
    """Counts tasks that came one by one and could be one task with many parameter sets."""

    def __init__(self) -> None:
        #: By session: the structure of its last single-set task, and how many in a row had it.
        self._runs: dict[int, tuple[bytes, int]] = {}
        #: Tasks in runs of at least MIN_SINGLES, and the number of such runs.
        self.tasks = 0
        self.runs = 0

    def count(self, task: QuantumTask) -> None:
        """Takes a task into account, in the order in which they were submitted."""
        session = task_session(task.number)
        structure, length = self._runs.get(session, (b"", 0))
        if task.sets != 1:
            self._runs.pop(session, None)
            return
        length = length + 1 if structure == task.program else 1
        self._runs[session] = (task.program, length)
        if length == MIN_SINGLES:
            self.runs += 1
            self.tasks += MIN_SINGLES
        elif length > MIN_SINGLES:
            self.tasks += 1

    def forget(self, session: int) -> None:
        """A session ended."""
        self._runs.pop(session, None)


def _rows(task: QuantumTask) -> list[bytes]:
    if task.sets < 1:
        return []
    if task.sets == 1:
        return [task.parameters]
    width = len(task.parameters) // task.sets
    return [task.parameters[at * width : (at + 1) * width] for at in range(task.sets)]
