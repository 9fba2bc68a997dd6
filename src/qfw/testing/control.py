"""Checks of control flow, and of refusals by what runs."""

from __future__ import annotations

import math

from qfw.model.errors import ParameterError, QFwError, RequestError, TooLarge, UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import Counts, Expectation, Memory, Output, Statevector
from qfw.model.program import Gate, IfElse, Measure, Operation, Program, Reset, While
from qfw.testing.checks import Checks, NotApplicable, expect, refused
from qfw.testing.circuits import Placed
from qfw.testing.expected import sampling_bound
from qfw.testing.results import certain
from qfw.testing.subject import Subject

checks: Checks[Subject] = Checks()
check = checks.check
SECTION = "Results"


def _controlled(subject: Subject, ops: list[Operation], count: int, clbits: int, right: str) -> None:
    """`ops` give `right` where the device has control; else it is refused."""
    placed = subject.circuits.place(ops, count, measured=[], clbits=clbits)
    if not placed.logical.has_control:
        raise AssertionError("the program of this check has no control")
    subject.answers(Counts)
    if not subject.profile.control:
        raise NotApplicable("it does not claim control; control.refused looks at that")
    certain(subject, placed, right)


@check(
    "control.after_measurement",
    "A gate may follow a measurement, and does not change what was measured.",
    "Control",
)
def _after(subject: Subject) -> None:
    ops = [*subject.circuits.flip(0), Measure(0, 0), *subject.circuits.flip(0), Measure(0, 1)]
    _controlled(subject, ops, 1, 2, "01")


@check("control.reset", "A reset returns a qubit to |0>, whatever it was.", "Control")
def _reset(subject: Subject) -> None:
    ops = [*subject.circuits.flip(0), Reset(0), Measure(0, 0), *subject.circuits.flip(0), Measure(0, 1)]
    _controlled(subject, ops, 1, 2, "10")


@check("control.then", "Where the classical bits equal the value, the first branch is taken.", "Control")
def _then(subject: Subject) -> None:
    flip = tuple(subject.circuits.flip(1))
    ops = [*subject.circuits.flip(0), Measure(0, 0), IfElse((0,), 1, flip), Measure(1, 1)]
    _controlled(subject, ops, 2, 2, "11")


@check("control.otherwise", "Where they do not, the other branch is.", "Control")
def _otherwise(subject: Subject) -> None:
    flip = tuple(subject.circuits.flip(1))
    ops: list[Operation] = [Measure(0, 0), IfElse((0,), 1, (), flip), Measure(1, 1)]
    _controlled(subject, ops, 2, 2, "10")


@check(
    "control.value",
    "The first classical bit of a condition is the least significant of its value.",
    "Control",
)
def _value(subject: Subject) -> None:
    flip = tuple(subject.circuits.flip(2))
    begin = [*subject.circuits.flip(0), Measure(0, 0), Measure(1, 1)]
    _controlled(
        subject, [*begin, IfElse((0, 1), 1, flip), IfElse((1, 0), 1, flip), Measure(2, 2)], 3, 3, "101"
    )


@check("control.while", "A loop ends when its condition does.", "Control")
def _while(subject: Subject) -> None:
    body = (*subject.circuits.flip(0), Measure(0, 0), *subject.circuits.flip(1))
    ops = [*subject.circuits.flip(0), Measure(0, 0), While((0,), 1, body, 8), Measure(1, 1)]
    _controlled(subject, ops, 2, 2, "10")


@check(
    "control.bound",
    "A loop that would not end is left after max_trips trips; the program goes on behind it.",
    "Control",
)
def _bound(subject: Subject) -> None:
    ops: list[Operation] = [While((0,), 0, tuple(subject.circuits.flip(1)), 3), Measure(1, 1)]
    _controlled(subject, ops, 2, 2, "10")


@check("control.per_shot", "What is measured decides in each shot alone.", "Control")
def _per_shot(subject: Subject) -> None:
    if not subject.profile.control:
        raise NotApplicable("it does not claim control; control.refused looks at that")
    flip = tuple(subject.circuits.flip(1))
    ops = [*subject.circuits.turn(0, math.pi / 2), Measure(0, 0), IfElse((0,), 1, flip), Measure(1, 1)]
    placed = subject.circuits.place(ops, 2, measured=[], clbits=2)
    (counts,) = subject.counts(placed)
    shots = subject.shots()
    wrong = (counts.get("01", 0) + counts.get("10", 0)) / shots
    bound = subject.bound(placed) + (sampling_bound(2, shots) if subject.noisy else 0)
    expect(wrong <= bound, f"both bits alike but for {bound:.3g}", counts)
    half = abs(counts.get("11", 0) / shots - 0.5)
    expect(half <= subject.bound(placed) + sampling_bound(2, shots), "11 in half of the shots", counts)


@check(
    "control.refused",
    "A device without control refuses a program that needs it: UnsupportedFeature.",
    "Control",
)
def _control_refused(subject: Subject) -> None:
    if subject.profile.control:
        raise NotApplicable("it has control")
    if not subject.profile.outputs:
        raise NotApplicable("it answers nothing, and looks at no program")
    ops = [Measure(0, 0), *subject.circuits.flip(0), Measure(0, 0)]
    placed = subject.circuits.place(ops, 1, clbits=1)
    with refused(UnsupportedFeature, what="a gate behind a measurement"):
        subject.ask(placed, _something(subject), shots=_shots(subject))


def _something(subject: Subject) -> tuple[Output, ...]:
    if "counts" in subject.profile.outputs:
        return (Counts(),)
    if "expectation" in subject.profile.outputs:
        return (Expectation((PauliSum.of("Z0"),)),)
    return ()


def _shots(subject: Subject) -> int:
    return subject.shots(50) if "counts" in subject.profile.outputs or not subject.profile.exact else 0


#: What a wrong task may be refused with.
REFUSALS: tuple[type[QFwError], ...] = (UnsupportedFeature, TooLarge, RequestError, ParameterError)


@check("refusals.unknown_gate", "A gate that is not native is refused: UnsupportedFeature.", SECTION)
def _unknown_gate(subject: Subject) -> None:
    from qfw.model.gates import GATES

    if subject.lowers:
        raise NotApplicable("it takes more than native gates, and lowers them itself")
    foreign = [g for g in GATES if g not in subject.profile.native_gates and GATES[g].num_qubits == 1]
    foreign += [g for g in GATES if g not in subject.profile.native_gates and GATES[g].num_qubits == 2]
    if not foreign:
        raise NotApplicable("every gate is native")
    count = GATES[foreign[0]].num_qubits
    where = subject.circuits.qubits(count)
    gate = Gate(foreign[0], where, (0.3,) * GATES[foreign[0]].num_angles)
    program = Program(max(where) + 1, 0, 0, (gate,))
    with refused(UnsupportedFeature, what=f"{foreign[0]}, which is not native"):
        subject.ask(Placed(program, program, where), _something(subject), shots=_shots(subject))


@check("refusals.unknown_output", "An output that is not claimed is refused: UnsupportedFeature.", SECTION)
def _unknown_output(subject: Subject) -> None:
    kinds: list[Output] = [Counts(), Memory(), Expectation((PauliSum.of("Z0"),)), Statevector()]
    missing = [o for o in kinds if o.__struct_config__.tag not in subject.profile.outputs]
    if not missing:
        raise NotApplicable("it answers everything")
    placed = (
        subject.circuits.place(subject.circuits.flip(0), 1) if subject.profile.native_gates else _nothing()
    )
    for output in missing:
        shots = 0 if isinstance(output, Statevector) else subject.shots(50)
        with refused(UnsupportedFeature, what=f"{type(output).__name__}, which it does not answer"):
            subject.ask(placed, (output,), shots=shots)


def _nothing() -> Placed:
    program = Program(1, 0, 0, ())
    return Placed(program, program, (0,))
