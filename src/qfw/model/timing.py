"""When the operations of a program begin and end on a device, from its calibration.

Each operation begins as soon as its qubits are free. What may depend on a measurement begins `feedback_ns`
after that measurement's end. All times are whole nanoseconds, so that sums are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from qfw.model.bases import measured_bases
from qfw.model.calibration import Calibration
from qfw.model.device import Timing
from qfw.model.errors import UnsupportedFeature
from qfw.model.native import SYMMETRIC
from qfw.model.operations import qubits_of
from qfw.model.outputs import Output
from qfw.model.program import (
    EXPECTED_TRIPS,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
)

#: Told of every operation that takes place: itself, its begin and end.
Visit = Callable[[Operation, int, int], None]


class Durations:
    """How long each operation takes under one calibration."""

    def __init__(self, calibration: Calibration) -> None:
        """Looked up once, used for many programs."""
        self._device = calibration.device
        self._gates = {(gate.name, gate.qubits): gate for gate in calibration.gates}
        self._qubits = calibration.qubits

    def of(self, op: Gate | Measure | Reset) -> int:
        """Nanoseconds of an operation.

        Raises:
            UnsupportedFeature: the calibration does not have this gate on these qubits, or not any more.
        """
        match op:
            case Measure(qubit=qubit):
                return self._qubits[qubit].readout_ns
            case Reset(qubit=qubit):
                return self._qubits[qubit].reset_ns
        if not op.qubits or op.name == "gphase":
            return 0
        found = self._gates.get((op.name, op.qubits))
        if found is None and op.name in SYMMETRIC:
            found = self._gates.get((op.name, op.qubits[::-1]))
        if found is None or not found.operational:
            why = "is not in the calibration of" if found is None else "is out of order on"
            raise UnsupportedFeature(
                f"gate {op.name} on qubits {op.qubits} {why} {self._device}; lower the program for "
                "it as it is calibrated now, by tool transpile in front"
            )
        return found.duration_ns


class Clockwork:
    """The time of one pass through a program."""

    def __init__(self, durations: Durations, timing: Timing, num_qubits: int, num_clbits: int) -> None:
        """At time 0, all qubits free."""
        self._durations = durations
        self._feedback_ns = timing.feedback_ns
        #: When each qubit is free, and when each classical bit is known to the controller.
        self._free = [0] * num_qubits
        self._known = [0] * num_clbits

    @property
    def now_ns(self) -> int:
        """When all that happened so far is over."""
        return max(self._free, default=0)

    def pass_through(
        self,
        operations: Iterable[Operation],
        visit: Visit | None = None,
        taken: Callable[[IfElse | While], bool] | None = None,
    ) -> None:
        """Lets the operations happen.

        Args:
            operations: of a program that the device runs as it is.
            visit: is told of each gate, measurement, reset and delay, in the order of the program.
            taken: whether a branch's `then`, or another trip of a loop, happens. None: the longer branch,
                and a few trips, as an estimate needs it.
        """
        for op in operations:
            match op:
                case Gate() | Measure() | Reset():
                    self._happen(op, visit)
                case Barrier():
                    self._meet(op.qubits or range(len(self._free)))
                case Delay():
                    begin = self._free[op.qubit]
                    self._free[op.qubit] = begin + op.duration_ns
                    if visit is not None:
                        visit(op, begin, begin + op.duration_ns)
                case IfElse():
                    self._wait_for(op.clbits, qubits_of((op,)))
                    if taken is None:
                        self._longer(op, visit)
                    else:
                        self.pass_through(op.then if taken(op) else op.otherwise, visit, taken)
                case While():
                    trips = 0
                    self._wait_for(op.clbits, qubits_of((op,)))
                    while trips < op.max_trips and (trips < EXPECTED_TRIPS if taken is None else taken(op)):
                        self.pass_through(op.body, visit, taken)
                        self._wait_for(op.clbits, qubits_of((op,)))
                        trips += 1

    def _happen(self, op: Gate | Measure | Reset, visit: Visit | None) -> None:
        qubits = op.qubits if isinstance(op, Gate) else (op.qubit,)
        begin = max((self._free[qubit] for qubit in qubits), default=0)
        end = begin + self._durations.of(op)
        for qubit in qubits:
            self._free[qubit] = end
        if isinstance(op, Measure):
            self._known[op.clbit] = end
        if visit is not None:
            visit(op, begin, end)

    def _meet(self, qubits: Iterable[int]) -> None:
        together = list(qubits)
        at = max((self._free[qubit] for qubit in together), default=0)
        for qubit in together:
            self._free[qubit] = at

    def _wait_for(self, clbits: Iterable[int], qubits: Iterable[int]) -> None:
        known = [self._known[clbit] for clbit in clbits if self._known[clbit]]
        if known:
            at = max(known) + self._feedback_ns
            for qubit in qubits:
                self._free[qubit] = max(self._free[qubit], at)

    def _longer(self, op: IfElse, visit: Visit | None) -> None:
        before = (list(self._free), list(self._known))
        ends = []
        for block in (op.then, op.otherwise):
            self._free, self._known = list(before[0]), list(before[1])
            self.pass_through(block)
            ends.append(self.now_ns)
        self._free, self._known = before
        self.pass_through(op.then if ends[0] >= ends[1] else op.otherwise, visit)


def circuit_ns(program: Program, calibration: Calibration, timing: Timing) -> int:
    """Nanoseconds from the first operation of a shot to the end of the last: of branches the longer one.

    Raises:
        UnsupportedFeature: something that the calibration does not have.
    """
    clockwork = Clockwork(durations_of(calibration), timing, program.num_qubits, program.num_clbits)
    clockwork.pass_through(program.operations)
    if not program.has_measurements:
        # All qubits are measured at the end.
        clockwork.pass_through([Barrier(())])
        readouts = [qubit.readout_ns for qubit in calibration.qubits[: program.num_qubits]]
        return clockwork.now_ns + max(readouts, default=0)
    return clockwork.now_ns


def device_ns(
    program: Program,
    sets: int,
    shots: int,
    calibration: Calibration,
    timing: Timing,
    outputs: Sequence[Output] = (),
) -> int:
    """Nanoseconds that a device takes for a task: see `Timing`. Without outputs: in one basis.

    Exact of a program without control; of others an estimate, by `circuit_ns`. Raises like `circuit_ns`.
    """
    circuits_ns = sets * shots * circuit_ns(program, calibration, timing)
    bases = measured_bases(outputs) if shots else 1
    return surrounding_ns(sets * bases, shots, timing) + bases * circuits_ns


def surrounding_ns(uploads: int, shots: int, timing: Timing) -> int:
    """Nanoseconds of a task besides its circuits: programming, uploads, and what surrounds each one's shots."""
    return timing.task_ns + uploads * (timing.set_ns + shots * (timing.reset_ns + timing.repetition_delay_ns))


def durations_of(calibration: Calibration) -> Durations:
    """The durations of a calibration; looked up once for each."""
    kept = _KNOWN.get(id(calibration))
    if kept is None:
        if len(_KNOWN) >= 16:
            _KNOWN.clear()
        # The calibration is kept with them, so that its id is nobody else's.
        kept = _KNOWN[id(calibration)] = (calibration, Durations(calibration))
    return kept[1]


_KNOWN: dict[int, tuple[Calibration, Durations]] = {}
