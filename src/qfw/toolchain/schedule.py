"""Tool `schedule`: says when everything happens, by the calibration's durations; and fills waits with decoupling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from qfw import __version__
from qfw.model.calibration import Calibration
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.operations import acted_on
from qfw.model.program import Barrier, Delay, Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.model.timing import durations_of
from qfw.qpm.tool import Target, ToolOutput
from qfw.toolchain.options import check_names, choice, integer
from qfw.toolchain.schedule_decoupling import SEQUENCES, Decoupling
from qfw.toolchain.schedule_times import Straight, held_by, over_ns, read_last, timed

POLICIES = ("alap", "asap")
SPACINGS = ("cpmg", "even")
#: Longest wait that is asked for, in nanoseconds.
MAX_THRESHOLD_NS = 10**12


class ScheduleTool:
    """Every wait of a qubit becomes a delay, so that the device does everything when the tool says.

    As late as possible, qubits stay in |0>, where nothing happens to them, until they are needed. A branch or loop
    ends a stretch: how long it takes is not known. Stretches, and those of blocks, are timed each for itself; what
    a branch or loop waits for, and what is within it, happens as soon as possible. Where a stretch behind one has
    waits, it begins with a barrier. Delays of the program stay as they are. Scheduling twice changes nothing more.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    binds: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {
        "policy": "alap (as late as possible; by default) or asap (as soon as possible)",
        "decoupling": f"pulses in waits: {', '.join(SEQUENCES)}; none by default",
        "spacing": "of the pulses: cpmg (half a wait before the first and behind the last; by default) or even",
        "threshold_ns": "shortest wait that is filled, in ns; by default 0: twice what the pulses take",
    }

    def __init__(self) -> None:
        """Needs nothing."""

    @classmethod
    def version(cls) -> str | None:
        """QFw's own."""
        return __version__

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, or one outside its range."""
        check_names("schedule", options, cls.options)
        _policy(options), _sequence(options), _spacing(options), _threshold_ns(options)

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The program with a delay for every wait, on the same qubits.

        Raises:
            UnsupportedFeature: the device has no calibration, or the calibration not a gate of the program.
            TooLarge: more qubits than the calibration has.
        """
        self.check_options(options)
        durations = durations_of(_calibration(program, target))
        decoupling = Decoupling(_sequence(options), _spacing(options), _threshold_ns(options), durations)
        writer = _Writer(program, target, decoupling, _policy(options) == "alap")
        operations = writer.block(program.operations, outermost=True)
        scheduled = Program(program.num_qubits, program.num_clbits, program.num_slots, operations)
        return ToolOutput(scheduled, notes=_notes(writer, decoupling, _sequence(options)))


class _Writer:
    """Writes a program's operations with their waits."""

    def __init__(self, program: Program, target: Target, decoupling: Decoupling, late: bool) -> None:
        assert target.calibration is not None
        self._program = program
        self._durations = durations_of(target.calibration)
        self._decoupling = decoupling
        self._late = late
        #: Qubits whose waits matter.
        self._acted = acted_on(program.operations)
        #: Qubits that hold a state which waiting can spoil, and a sequence save.
        self._live: set[int] = set()
        #: Waits that were written.
        self.waits = 0

    def block(self, operations: Sequence[Operation], outermost: bool = False) -> tuple[Operation, ...]:
        """A program's, or a branch's or loop's, operations."""
        found: list[Operation] = []
        stretch: list[Straight] = []
        begins = outermost
        for op in operations:
            if not isinstance(op, (IfElse, While)):
                stretch.append(op)
                continue
            found += self._stretch(stretch, begins, ends=False)
            stretch, begins = [], False
            found.append(self._branch(op))
        found += self._stretch(stretch, begins, ends=outermost)
        return tuple(found)

    def _branch(self, op: IfElse | While) -> IfElse | While:
        # What was done before, and in which branch, is not known.
        self._live = set(range(self._program.num_qubits))
        if isinstance(op, IfElse):
            then = self.block(op.then)
            self._live = set(range(self._program.num_qubits))
            return IfElse(op.clbits, op.value, then, self._after(op.otherwise))
        return While(op.clbits, op.value, self._after(op.body), op.max_trips)

    def _after(self, operations: Sequence[Operation]) -> tuple[Operation, ...]:
        found = self.block(operations)
        self._live = set(range(self._program.num_qubits))
        return found

    def _stretch(self, operations: Sequence[Straight], begins: bool, ends: bool) -> list[Operation]:
        """Operations without branches.

        Args:
            operations: of the stretch.
            begins: whether it is the program's first: all qubits are free, and in |0>.
            ends: whether it is the program's last.
        """
        width = self._program.num_qubits
        found: list[Operation] = []
        free: dict[int, int] = {}
        before = self.waits
        happens = timed(operations, self._durations, width, ends and self._late)
        for op, qubits, begin_ns, end_ns in happens:
            for qubit in qubits:
                found += self._wait(qubit, begin_ns - free.get(qubit, 0))
                free[qubit] = end_ns
            found.append(op)
            self._done(op)
        if ends:
            end_ns = over_ns(happens)
            for qubit in sorted(acted_on(operations) - read_last(operations)):
                found += self._wait(qubit, end_ns - free[qubit])
        if begins or self.waits == before:
            return found
        held = tuple(sorted(acted_on(operations)))
        return [Barrier(held), *found] if len(held) > 1 else found

    def _wait(self, qubit: int, wait_ns: int) -> list[Gate | Delay]:
        if wait_ns <= 0 or qubit not in self._acted:
            return []
        self.waits += 1
        return self._decoupling.fill(qubit, wait_ns) if qubit in self._live else [Delay(qubit, wait_ns)]

    def _done(self, op: Straight) -> None:
        if isinstance(op, Gate):
            self._live.update(op.qubits)
        elif isinstance(op, (Measure, Reset)):
            self._live.difference_update(held_by(op, 0))


def _calibration(program: Program, target: Target) -> Calibration:
    calibration, name = target.calibration, target.profile.name
    if calibration is None:
        raise UnsupportedFeature(
            f"tool schedule needs to know how long operations take; device {name} has no calibration. Leave the stage "
            "out, or lower for a calibrated device"
        )
    if program.num_qubits > len(calibration.qubits):
        raise TooLarge(
            f"the program has {program.num_qubits} qubits; {name} has {len(calibration.qubits)}. Use fewer qubits or "
            "a larger device"
        )
    return calibration


def _notes(writer: _Writer, decoupling: Decoupling, sequence: str) -> tuple[str, ...]:
    found = [f"waits written as delays: {writer.waits}"]
    if sequence != "none":
        found.append(
            f"waits filled with {sequence}: {decoupling.filled}, by {decoupling.pulses} pulses more; the global phase "
            "may change"
        )
    if decoupling.without:
        qubits = ", ".join(map(str, sorted(decoupling.without)))
        found.append(f"no native gates for {sequence} on qubits {qubits}: their waits are not filled")
    return tuple(found)


def _policy(options: Mapping[str, Any]) -> str:
    return choice("schedule", options, "policy", POLICIES)


def _sequence(options: Mapping[str, Any]) -> str:
    return choice("schedule", options, "decoupling", tuple(SEQUENCES))


def _spacing(options: Mapping[str, Any]) -> str:
    return choice("schedule", options, "spacing", SPACINGS)


def _threshold_ns(options: Mapping[str, Any]) -> int:
    return integer("schedule", options, "threshold_ns", 0, 0, MAX_THRESHOLD_NS)
