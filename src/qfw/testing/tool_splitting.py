"""Checks of tools that make several programs of one: what the answers to these are put together to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from qfw.model.errors import OptionError, ProgramError, QFwError
from qfw.model.observable import PauliSum
from qfw.model.outputs import (
    Answer,
    Array,
    Expectation,
    ExpectationAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    check_outputs,
    decode_answers,
    encode_answers,
)
from qfw.model.program import Gate, Program, slot
from qfw.numerics import branches
from qfw.numerics.states import act
from qfw.qpm.tool import Split, Target, Variant
from qfw.testing.checks import Checks, Failed, NotApplicable, expect
from qfw.testing.tool_subject import ToolSubject, within

checks: Checks[ToolSubject] = Checks()
check = checks.check

#: Of exact answers.
EXACT = 1e-6
SHOTS = 1000
#: Values of the slots, shape (sets, slots).
VALUES = np.array([[0.4, -1.3], [2.1, 0.7]])


def chain(qubits: int = 4) -> Program:
    """A chain of gates with two slots."""
    ops = [Gate("ry", (0,), (slot(0),)), Gate("h", (qubits - 1,))]
    for q in range(qubits - 1):
        ops += [
            Gate("cx", (q, q + 1)),
            Gate("rx", (q + 1,), (slot(1, 0.5, 0.2 * q),)),
            Gate("rz", (q,), (0.3,)),
        ]
    return Program(qubits, 0, 2, tuple(ops))


def outputs_of(subject: ToolSubject) -> tuple[Output, ...]:
    """What is asked exactly, of what it answers. Raises NotApplicable."""
    found: list[Output] = []
    if "expectation" in subject.kind.answers:
        found.append(Expectation((PauliSum.of("Z0"), PauliSum.of("X1 Z2"), PauliSum.of("Y3"))))
    if "probabilities" in subject.kind.answers:
        found.append(Probabilities((0, 3)))
    if not found:
        raise NotApplicable("it answers neither expectation values nor probabilities")
    return tuple(found)


def exact(program: Program, outputs: Sequence[Output]) -> tuple[Answer, ...]:
    """Exact answers of a program, for VALUES."""
    rows: list[list[np.ndarray]] = [[] for _ in outputs]
    for values in VALUES:
        bound = program.bound(values[: program.num_slots]) if program.num_slots else program
        if not bound.has_control:
            # Observables see the state before the measurements at the end.
            kept = tuple(op for op in bound.operations if isinstance(op, Gate))
            bound = Program(bound.num_qubits, bound.num_clbits, 0, kept)
        ends = branches.courses(bound)
        for row, output in zip(rows, outputs, strict=True):
            row.append(_value(ends, output, bound.num_qubits))
    found: list[Answer] = []
    for output, row in zip(outputs, rows, strict=True):
        table = Array.of(np.array(row))
        if isinstance(output, Expectation):
            found.append(ExpectationAnswer(table, Array.of(np.zeros((len(row), len(output.observables))))))
        else:
            found.append(ProbabilitiesAnswer(table))
    return tuple(found)


def _value(ends: list[branches.Branch], output: Output, width: int) -> np.ndarray:
    if isinstance(output, Expectation):
        return np.array([sum(_mean(end, o, width) for end in ends) for o in output.observables])
    if not isinstance(output, Probabilities):
        raise NotApplicable(f"a variant asks for {type(output).__name__}, which no exact answer has")
    qubits = output.qubits or tuple(range(width))
    found = np.zeros(2 ** len(qubits))
    numbers = np.arange(2**width)
    index = sum((numbers >> qubit & 1) << place for place, qubit in enumerate(qubits))
    for end in ends:
        np.add.at(found, index, np.abs(end.state.reshape(-1)) ** 2)
    return found


def _mean(end: branches.Branch, observable: PauliSum, width: int) -> float:
    total = 0.0
    for term in observable.terms:
        turned = end.state.copy()
        for qubit, pauli in zip(term.qubits, term.paulis, strict=True):
            act(turned, Gate(pauli.lower(), (qubit,)), width)
        total += term.coefficient * float(np.vdot(end.state, turned).real)
    return total


class _Tried(NamedTuple):
    program: Program
    outputs: tuple[Output, ...]
    split: Split
    target: Target


def places(subject: ToolSubject) -> tuple[Target, ...]:
    """Where a split is tried, in turn: one ideal device, and a mesh of two that are too small alone."""
    ideal = subject.targets["ideal"]
    small = msgspec.structs.replace(ideal.profile, max_qubits=3)
    other = msgspec.structs.replace(small, name="other")
    return ideal, Target(small, None, (other,))


def _split(subject: ToolSubject, shots: int = 0) -> _Tried:
    """A split of the chain, of the first place that it applies to. Raises NotApplicable where there is none."""
    outputs, program, said = outputs_of(subject), chain(), ""
    for target in places(subject):
        try:
            found = _split_on(subject, program, outputs, shots, target)
        except (ProgramError, OptionError) as error:
            said = said or str(error)
            continue
        expect(isinstance(found, Split), "a Split", type(found).__name__)
        return _Tried(program, outputs, found, target)
    raise NotApplicable(f"it does not split the program: {said}")


def _split_on(
    subject: ToolSubject, program: Program, outputs: tuple[Output, ...], shots: int, target: Target
) -> Split:
    found: Split = within(
        subject.limit_s, lambda: subject.tool.split(program, outputs, shots, target, subject.options)
    )
    return found


def _either(subject: ToolSubject) -> _Tried:
    """Exactly; with shots where it does not split exactly."""
    try:
        return _split(subject)
    except NotApplicable:
        return _split(subject, SHOTS)


@check(
    "split.form",
    "Variants are well-formed programs with the slots of the program, and may be asked what they are.",
    "Splitting",
)
def _form(subject: ToolSubject) -> None:
    subject.splits()
    for shots in (0, SHOTS):
        try:
            program, _, found, _ = _split(subject, shots)
        except NotApplicable:
            continue
        expect(found.variants, "one variant at least", "none")
        for variant in found.variants:
            variant.program.check()
            expect(
                variant.program.num_slots == program.num_slots,
                f"{program.num_slots} slots",
                variant.program.num_slots,
            )
            expect(variant.outputs and variant.shots >= 0, "outputs, and shots of 0 or more", variant)
            check_outputs(variant.outputs, variant.program, 1, variant.shots)
        expect(isinstance(found.recipe, bytes), "a recipe of bytes", type(found.recipe).__name__)
        lines = all(isinstance(note, str) and "\n" not in note for note in found.notes)
        expect(lines, "notes of one line each", found.notes)
    _either(subject)


@check(
    "split.pure",
    "Equal programs, outputs, targets and options give equal splits; nothing given is changed.",
    "Splitting",
)
def _pure(subject: ToolSubject) -> None:
    subject.splits()
    program, outputs, found, target = _either(subject)
    before = msgspec.msgpack.encode(found)
    shots = 0 if all(v.shots == 0 for v in found.variants) else SHOTS
    again = subject.kind().split(program, outputs, shots, target, dict(subject.options))
    expect(msgspec.msgpack.encode(again) == before, "the same split again", "another one")
    expect(program.encoded == chain().encoded, "the program as it was", "another one")


@check("split.travels", "A split is the same after encoding and decoding.", "Splitting")
def _travels(subject: ToolSubject) -> None:
    subject.splits()
    _, _, found, _ = _either(subject)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=Split)
    expect(again == found, "the same split", "another one")


@check("split.exact", "Of exact answers to its variants it makes the exact answer.", "Splitting")
def _exact(subject: ToolSubject) -> None:
    subject.splits()
    program, outputs, found, _ = _split(subject)
    answers = [_answered(variant) for variant in found.variants]
    given = within(subject.limit_s, lambda: subject.tool.combine(found.recipe, answers))
    _compare(given, exact(program, outputs), outputs)


@check(
    "split.recipe",
    "Another object of the class, given the recipe and answers that travelled, makes the same of them.",
    "Splitting",
)
def _recipe(subject: ToolSubject) -> None:
    subject.splits()
    _, _, found, _ = _split(subject)
    answers = [_answered(variant) for variant in found.variants]
    one = subject.tool.combine(found.recipe, answers)
    travelled = [tuple(decode_answers(encode_answers(each))) for each in answers]
    two = subject.kind().combine(bytes(found.recipe), travelled)
    expect(encode_answers(tuple(one)) == encode_answers(tuple(two)), "the same answers", "others")


@check("split.garbage", "Answers or recipes that are not its own are refused with typed errors.", "Splitting")
def _garbage(subject: ToolSubject) -> None:
    subject.splits()
    _, _, found, _ = _split(subject)
    answers = [_answered(variant) for variant in found.variants]
    _refuses(subject, found.recipe, answers[:-1], "an answer less than variants")
    _refuses(subject, found.recipe, [*answers, answers[0]], "an answer more than variants")
    _refuses(subject, found.recipe, [() for _ in answers], "answers of nothing")
    _refuses(subject, found.recipe[: len(found.recipe) // 2], answers, "half of a recipe")
    _refuses(subject, b"\xc1 no recipe", answers, "a recipe that is none")


def _refuses(subject: ToolSubject, recipe: bytes, answers: list[tuple[Answer, ...]], what: str) -> None:
    try:
        within(subject.limit_s, lambda: subject.tool.combine(recipe, answers))
    except QFwError:
        return
    except Failed:
        raise
    except Exception as error:
        raise Failed(f"a typed error for {what}", f"{type(error).__name__}: {error}") from error
    raise Failed(f"a typed error for {what}", "it was taken")


def _answered(variant: Variant) -> tuple[Answer, ...]:
    if variant.shots:
        raise NotApplicable("its variants have shots where exact answers were asked for")
    return exact(variant.program, variant.outputs)


def _compare(given: Sequence[Answer], wanted: Sequence[Answer], outputs: Sequence[Output]) -> None:
    expect(len(given) == len(outputs), f"{len(outputs)} answers, one for each output", len(given))
    for one, two in zip(given, wanted, strict=True):
        expect(type(one) is type(two), type(two).__name__, type(one).__name__)
        assert isinstance(one, ExpectationAnswer | ProbabilitiesAnswer)
        assert isinstance(two, ExpectationAnswer | ProbabilitiesAnswer)
        found, right = one.values.numpy(), two.values.numpy()
        expect(found.shape == right.shape, f"values of shape {right.shape}", found.shape)
        expect(np.allclose(found, right, atol=EXACT), right.tolist(), found.tolist())
