"""Tool `pulse`: a native program as timed pulses on the device's channels, from its calibration's definitions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, cast

import msgspec

from qfw import __version__
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.gate_pulses import MEASURE, GatePulses, PulseDefinitions, frame_shift
from qfw.model.native import SYMMETRIC
from qfw.model.program import Affine, Barrier, Delay, Gate, IfElse, Measure, Program, Reset, While
from qfw.model.pulse import Instruction, Schedule, channel_of, check_schedule
from qfw.model.timing import Durations, durations_of
from qfw.qpm.tool import Target, ToolOutput
from qfw.toolchain.options import check_names
from qfw.toolchain.schedule_times import Straight, timed

#: Name of what it makes.
SCHEDULE = "schedule"


class PulseTool:
    """The last step before a controller: pulses, phases and acquisitions, sample by sample.

    Everything begins when the program says, by the calibration's durations, at the next step of the electronics: run
    `schedule` before, or it begins as soon as it can. Pulses that take longer than their gate push what is behind them.
    Gates that are no pulse turn the frame of their qubit's drive. The program itself stays as it is.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    binds: ClassVar[bool] = True
    plays: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {}

    def __init__(self) -> None:
        """Needs nothing."""

    @classmethod
    def version(cls) -> str | None:
        """QFw's own."""
        return __version__

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError: there are none."""
        check_names("pulse", options, cls.options)

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The program as it is, with a `Schedule` as artefact `schedule`, which keeps the device's limits.

        Raises:
            UnsupportedFeature: the device does not define its pulses, or not those of a gate; slots that are not bound;
                control; nothing is measured.
            ProgramError: the pulses break a limit of the electronics; names the instruction and the rule.
            TooLarge: more qubits than the device has, or too many instructions.
        """
        self.check_options(options)
        definitions, durations = _definitions(program, target)
        _check(program)
        writer = _Writer(program, definitions, target.profile.name)
        schedule = writer.schedule(durations)
        check_schedule(schedule, definitions.limits)
        return ToolOutput(
            program,
            artefacts={SCHEDULE: msgspec.msgpack.encode(schedule)},
            notes=_notes(schedule, definitions, writer.late_ns),
        )


class _Writer:
    """Puts the pulses of a program's operations one behind another."""

    def __init__(self, program: Program, definitions: PulseDefinitions, device: str) -> None:
        self._program = program
        self._definitions = definitions
        self._device = device
        #: First sample at which each qubit is free.
        self._free = [0] * program.num_qubits
        #: Of several measurements into one bit the last counts.
        self._last = {op.clbit: op for op in program.operations if isinstance(op, Measure)}
        self._known: dict[tuple[str, tuple[int, ...]], tuple[GatePulses, tuple[int, ...]]] = {}
        #: How far an operation begins behind its time, at most.
        self.late_ns = 0.0

    def schedule(self, durations: Durations) -> Schedule:
        """The program's instructions in the order in which they begin."""
        operations = cast("tuple[Straight, ...]", self._program.operations)
        found: list[Instruction] = []
        for op, qubits, begin_ns, _ in timed(operations, durations, self._program.num_qubits, late=False):
            if not qubits or isinstance(op, Delay):
                # What comes behind a delay says itself when it begins.
                continue
            start = max(self._step(begin_ns), *(self._free[qubit] for qubit in qubits))
            duration = 0
            if not isinstance(op, Barrier):
                self.late_ns = max(self.late_ns, start * self._definitions.limits.dt_ns - begin_ns)
                duration = self._add(op, qubits, start, found)
            for qubit in qubits:
                self._free[qubit] = start + duration
        return Schedule(tuple(sorted(found, key=lambda each: each.start)))

    def _add(
        self, op: Gate | Measure | Reset, qubits: tuple[int, ...], start: int, found: list[Instruction]
    ) -> int:
        """Adds an operation's instructions; gives the samples that it takes."""
        if isinstance(op, Gate) and op.name in self._definitions.virtual:
            found.append(frame_shift(op.qubits[0], cast(float, op.angles[0]), start))
            return 0
        if isinstance(op, Measure):
            pulses, _ = self._pulses(MEASURE, qubits)
            if self._last[op.clbit] is op:
                found.extend(pulses.placed(qubits, start, op.clbit))
            return pulses.duration
        assert isinstance(op, Gate)
        pulses, places = self._pulses(op.name, op.qubits)
        found.extend(pulses.placed(places, start, angles=cast("tuple[float, ...]", op.angles)))
        return pulses.duration

    def _pulses(self, name: str, qubits: tuple[int, ...]) -> tuple[GatePulses, tuple[int, ...]]:
        """How a gate is played, and its qubits in the order of that definition."""
        found = self._known.get((name, qubits)) or self._defined(name, qubits)
        if found is None:
            there = dict.fromkeys(
                (*(each.gate for each in self._definitions.gates), *self._definitions.virtual)
            )
            raise UnsupportedFeature(
                f"{self._device} does not define the pulses of {name} on qubits {qubits}; it does of "
                f"{', '.join(there)}. Lower the program to these first"
            )
        self._known[name, qubits] = found
        return found

    def _defined(self, name: str, qubits: tuple[int, ...]) -> tuple[GatePulses, tuple[int, ...]] | None:
        found = self._definitions.of(name, qubits)
        if name in SYMMETRIC and (found is None or not found.qubits):
            turned = self._definitions.of(name, qubits[::-1])
            if turned is not None and turned.qubits:
                return turned, qubits[::-1]
        return None if found is None else (found, qubits)

    def _step(self, begin_ns: int) -> int:
        """The first step of the electronics at which a time has come."""
        limits = self._definitions.limits
        return math.ceil(begin_ns / (limits.dt_ns * limits.granularity) - 1e-9) * limits.granularity


def _definitions(program: Program, target: Target) -> tuple[PulseDefinitions, Durations]:
    calibration, name = target.calibration, target.profile.name
    if calibration is None or calibration.pulses is None:
        what = "has no calibration" if calibration is None else "does not define pulses in its calibration"
        raise UnsupportedFeature(
            f"tool pulse needs to know how gates are played; device {name} {what}. Leave the stage out: {name} takes "
            "programs"
        )
    if program.num_qubits > len(calibration.qubits):
        raise TooLarge(
            f"the program has {program.num_qubits} qubits; {name} has {len(calibration.qubits)}. Use fewer qubits or "
            "a larger device"
        )
    return calibration.pulses, durations_of(calibration)


def _check(program: Program) -> None:
    """Raises UnsupportedFeature for what no schedule says; names the operation."""
    measured: set[int] = set()
    for position, op in enumerate(program.operations):
        match op:
            case IfElse() | While():
                what = "a branch" if isinstance(op, IfElse) else "a loop"
                _refuse(position, f"{what}: a schedule has one course. Run the program as a task instead")
            case Reset():
                _refuse(
                    position, f"a reset of qubit {op.qubit}, which is no pulse: a shot begins with one anyway"
                )
            case Gate() if measured.intersection(op.qubits):
                qubit = min(measured.intersection(op.qubits))
                _refuse(
                    position,
                    f"gate {op.name} on qubit {qubit}, which was measured: a schedule ends a qubit there",
                )
            case Gate() if any(isinstance(angle, Affine) for angle in op.angles):
                _refuse(
                    position,
                    f"gate {op.name}, whose angle depends on a slot; pulses have numbers: bind the program first, with "
                    "program.bound(parameters)",
                )
            case Measure():
                measured.add(op.qubit)
    if not measured:
        raise UnsupportedFeature(
            "the program measures nothing, and a schedule says what it acquires: measure into classical bits first"
        )


def _refuse(position: int, what: str) -> None:
    raise UnsupportedFeature(f"tool pulse: operation {position} is {what}")


def _notes(schedule: Schedule, definitions: PulseDefinitions, late_ns: float) -> tuple[str, ...]:
    channels = {channel_of(each) for each in schedule.instructions}
    end = max(each.start + getattr(each, "duration", 0) for each in schedule.instructions)
    return (
        f"instructions: {len(schedule.instructions)}, channels: {len(channels)}, "
        f"{end * definitions.limits.dt_ns:.0f} ns",
        f"behind the calibration's times by up to {late_ns:.1f} ns, which steps of "
        f"{definitions.limits.granularity * definitions.limits.dt_ns:.2f} ns cost",
    )
