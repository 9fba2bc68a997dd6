"""Random programs through every format, and two in a row, come back meaning the same; or are refused by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pennylane as qml
import pyqir
import pytest
from exact_outcomes import outcomes
from format_yardstick import unitary
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import qasm2, qasm3

from qfw.formats import compiled_file, openqasm, pennylane, pennylane_writer, qir, qiskit, qiskit_writer
from qfw.model.errors import UnsupportedFeature
from qfw.model.program import (
    Affine,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
    slot,
)
from qfw.qpi.compiled import CompiledProgram
from tests.toolchain import seeded
from tests.toolchain.programs import NUM_SLOTS, PARAMETERS, controlled, straight

EXACT = 1e-9
#: Two values of the slots: an angle that is right for one only is found.
SETS = (PARAMETERS, (-0.4, 5.1, 0.0))
CORPUS = sorted(
    path
    for path in (Path(__file__).parents[1] / "corpus").rglob("*.*")
    if path.suffix in (".qasm", ".ll") and not path.name.startswith("bad_")
)
SIMPLE = (Gate, Measure, Reset, Barrier)


class Back(NamedTuple):
    """What came back, and where its classical bits are."""

    program: Program
    #: Of each classical bit that went out that which came back; -1: nothing was measured into it.
    bits: Sequence[int]


class Form(NamedTuple):
    """A format."""

    through: Callable[[Program], Back]
    #: Whether it must (True), must not (False) or may (None) be able to say a program without slots.
    says: Callable[[Program], bool | None]
    slots: bool = False
    #: Whether a global phase comes back.
    phase: bool = True


def kinds(operations: Iterable[Operation]) -> set[type[Operation]]:
    """Kinds of operations, those of blocks included."""
    found: set[type[Operation]] = set()
    for op in operations:
        found.add(type(op))
        if isinstance(op, IfElse):
            found |= kinds((*op.then, *op.otherwise))
        elif isinstance(op, While):
            found |= kinds(op.body)
    return found


def same_bits(there: Callable[[Program], Any], back: Callable[[Any], Program]) -> Callable[[Program], Back]:
    """Through a format in which classical bits keep their numbers."""

    def through(program: Program) -> Back:
        found = back(there(program))
        assert (found.num_qubits, found.num_clbits) == (program.num_qubits, program.num_clbits)
        return Back(found, range(program.num_clbits))

    return through


def through_pennylane(program: Program) -> Back:
    """Queued and read again; its measurements, resets among them, are numbered as they come."""
    with qml.queuing.AnnotatedQueue() as queue:
        qml.Identity(wires=range(program.num_qubits))
        values = pennylane_writer.dumps(program)()
    tape = qml.tape.QuantumScript.from_queue(queue)
    order = [name_of(op) for op in tape.operations if "idMeasure" in type(op).__name__]
    bits = [-1 if value is None else order.index(name_of(value.measurements[0])) for value in values]
    return Back(pennylane.loads(tape), bits)


def name_of(measurement: Any) -> Any:
    return getattr(measurement, "meas_uid", None) or measurement.id


def through_pennylane_with_slots(program: Program) -> Back:
    """As above, every number having become a slot, and been filled in again."""
    with qml.queuing.AnnotatedQueue() as queue:
        qml.Identity(wires=range(program.num_qubits))
        pennylane_writer.dumps(program)()
    found, parameters = pennylane.with_slots(qml.tape.QuantumScript.from_queue(queue))
    return Back(found.bound(parameters[0]), through_pennylane(program).bits)


def qasm2_says(program: Program) -> bool | None:
    if any(isinstance(op, While | Delay) for op in program.operations):
        return False
    return True if kinds(program.operations) <= {*SIMPLE} else None


def qir_says(program: Program) -> bool | None:
    found = kinds(program.operations)
    # What never runs may be left out, and what it cannot say with it.
    return Delay not in found or (False if Delay in map(type, program.operations) else None)


def base_says(program: Program) -> bool | None:
    measured = [op for op in program.operations if isinstance(op, Measure)]
    once = len({op.qubit for op in measured}) == len(measured) == len({op.clbit for op in measured})
    return once and not program.has_control and bool(qir_says(program))


def pennylane_says(program: Program) -> bool | None:
    branches = [op for op in program.operations if isinstance(op, IfElse)]
    inner = {kind for op in branches for kind in kinds((*op.then, *op.otherwise))}
    return While not in kinds(program.operations) and not inner & {Measure, Reset, IfElse}


def always(program: Program) -> bool | None:
    return True


FORMS = {
    "openqasm2": Form(same_bits(lambda p: openqasm.dumps(p, 2), openqasm.loads), qasm2_says),
    "openqasm3": Form(same_bits(openqasm.dumps, openqasm.loads), always, slots=True),
    "qir-base": Form(same_bits(lambda p: qir.dumps(p, "base"), qir.loads), base_says, phase=False),
    "qir-adaptive": Form(same_bits(lambda p: qir.dumps(p, "adaptive"), qir.loads), qir_says, phase=False),
    "qir-bitcode": Form(same_bits(lambda p: qir.dumps(p, None, "bitcode"), qir.loads), qir_says, phase=False),
    "qiskit": Form(same_bits(qiskit_writer.dumps, qiskit.loads), always, slots=True),
    "pennylane": Form(through_pennylane, pennylane_says),
    "pennylane-slots": Form(through_pennylane_with_slots, pennylane_says),
    "qfw": Form(
        same_bits(
            lambda p: CompiledProgram.make(p, "none").to_bytes(),
            lambda data: Program.decode(compiled_file.unpack(data).program),
        ),
        always,
        slots=True,
    ),
}


@st.composite
def waiting(draw: st.DrawFn, inner: st.SearchStrategy[Program]) -> Program:
    """Now and then a program waits."""
    program = draw(inner)
    if draw(st.integers(0, 3)):
        return program
    delay = Delay(draw(st.integers(0, program.num_qubits - 1)), draw(st.integers(0, 10**6)))
    return Program(program.num_qubits, program.num_clbits, program.num_slots, (delay, *program.operations))


SEEDS = st.integers(0, 10**6)
#: Small ones, and full ones from seeds.
GATES_ONLY = waiting(straight(max_gates=8)) | st.builds(seeded.straight, SEEDS)
MEASURED = st.one_of(
    waiting(controlled()),
    st.builds(seeded.straight, SEEDS, measured=st.just(True)),
    st.builds(seeded.controlled, SEEDS),
    st.builds(seeded.controlled, SEEDS, wait=st.just(True)),
    st.builds(seeded.controlled, SEEDS, flat=st.just(True)),
)


@lru_cache(4096)
def matrix(program: Program) -> npt.NDArray[np.complex128]:
    return unitary(program)


@lru_cache(4096)
def distribution(program: Program) -> dict[str, float]:
    return outcomes(program)


def sent(form: Form, program: Program) -> Back | None:
    """What came back; None where it was refused, by name, as it has to be."""
    try:
        found = form.through(program)
    except UnsupportedFeature as error:
        assert form.says(program) is not True, error
        assert len(str(error)) > 20
        return None
    assert form.says(program) is not False, "what it cannot say was not refused"
    found.program.check()
    return found


def same_matrix(before: Program, after: Program, phase: bool) -> None:
    assert before.num_qubits == after.num_qubits
    one, two = matrix(before), matrix(after)
    if phase:
        assert np.abs(one - two).max() < EXACT, (before, after)
    else:
        assert abs(abs(np.vdot(one, two)) / len(one) - 1) < EXACT, (before, after)


def same_outcomes(before: Program, after: Program, bits: Sequence[int]) -> None:
    wanted, found = distribution(before), Counter[str]()
    for outcome, probability in distribution(after).items():
        ascending = outcome[::-1]
        found["".join("0" if bit < 0 else ascending[bit] for bit in reversed(bits))] += probability  # type: ignore[assignment]
    for outcome in wanted.keys() | found.keys():
        assert abs(wanted.get(outcome, 0.0) - found.get(outcome, 0.0)) < EXACT, (outcome, before, after)


def uses_slots(program: Program) -> bool:
    return any(isinstance(angle, Affine) for gate in program.gates() for angle in gate.angles)


def numbered(form: Form, program: Program) -> list[tuple[Program, Back]]:
    """Bound programs and what came of them: bound in front where the format has no slots, else behind it."""
    if form.slots:
        back = sent(form, program)
        assert back is not None and back.program.num_slots == NUM_SLOTS
        return [(program.bound(values), Back(back.program.bound(values), back.bits)) for values in SETS]
    bound = program.bound(PARAMETERS)
    back = sent(form, bound)
    return [] if back is None else [(bound, back)]


@pytest.mark.parametrize("name", FORMS)
def test_unitaries_survive(name: str) -> None:
    form, said = FORMS[name], Counter[str]()

    @settings(max_examples=15 if name == "qir-bitcode" else 40, derandomize=True, deadline=None)
    @given(GATES_ONLY)
    def each(program: Program) -> None:
        for before, back in numbered(form, program):
            same_matrix(before, back.program, form.phase)
            said[name] += 1

    each()
    assert said[name] >= 8


@pytest.mark.parametrize("name", FORMS)
def test_distributions_survive(name: str) -> None:
    form, said = FORMS[name], Counter[str]()

    @settings(max_examples=30 if name == "qir-bitcode" else 60, derandomize=True, deadline=None)
    @given(MEASURED)
    def each(program: Program) -> None:
        for before, back in numbered(form, program):
            same_outcomes(before, back.program, back.bits)
            said["control" if before.has_control else "straight"] += 1

    each()
    assert said["straight"] >= 3
    assert name == "qir-base" or said["control"] >= 8


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if not form.slots])
@settings(max_examples=15, derandomize=True, deadline=None)
@given(program=straight(max_gates=5).filter(uses_slots))
def test_slots_are_not_dropped(name: str, program: Program) -> None:
    """A format without slots refuses them by what has to be done; PennyLane's functions ask for their values."""
    if name.startswith("pennylane"):
        with pytest.raises(Exception, match=f"the program has {NUM_SLOTS} slots; 0 parameters were given"):
            FORMS[name].through(program)
        return
    with pytest.raises(UnsupportedFeature, match=r"bind|needs profile='adaptive'"):
        FORMS[name].through(program)


#: Bitcode says what the text says, and is read by a child process: slower.
LINKS = {name: form for name, form in FORMS.items() if name != "qir-bitcode"}


@pytest.mark.parametrize("first", LINKS)
def test_two_formats_in_a_row(first: str) -> None:
    said = Counter[str]()

    @settings(max_examples=12, derandomize=True, deadline=None)
    @given(GATES_ONLY, MEASURED)
    def each(gates: Program, measured: Program) -> None:
        for program, compare in ((gates, False), (measured, True)):
            bound = program.bound(PARAMETERS)
            middle = sent(FORMS[first], bound)
            if middle is None:
                continue
            for second, form in LINKS.items():
                back = sent(form, middle.program)
                if back is None:
                    continue
                said[second] += 1
                bits = [-1 if bit < 0 else back.bits[bit] for bit in middle.bits]
                if compare:
                    same_outcomes(bound, back.program, bits)
                else:
                    same_matrix(bound, back.program, FORMS[first].phase and form.phase)

    each()
    assert all(said[second] >= 8 for second in LINKS), said


def by_llvm(program: Program) -> Any:
    """A QIR module that LLVM has read."""
    return pyqir.Module.from_ir(pyqir.Context(), qir.dumps(program))


#: Ways on which somebody else writes or reads the text.
OTHERS: dict[str, Callable[[Program], Program]] = {
    "qiskit-writes-openqasm3": lambda p: openqasm.loads(qasm3.dumps(qiskit_writer.dumps(p))),
    "qiskit-writes-openqasm2": lambda p: openqasm.loads(qasm2.dumps(qiskit_writer.dumps(p))),
    "qiskit-reads-openqasm2": lambda p: qiskit.loads(
        qasm2.loads(openqasm.dumps(p, 2), custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    ),
    "llvm-writes-text": lambda p: qir.loads(str(by_llvm(p))),
    "llvm-writes-bitcode": lambda p: qir.loads(by_llvm(p).bitcode),
}
#: Of these what they cannot say: OpenQASM 2 has little control.
LESS = (UnsupportedFeature, qasm2.QASM2ExportError)


@pytest.mark.parametrize("name", OTHERS)
def test_what_others_write_and_read(name: str) -> None:
    through, taken = OTHERS[name], 0
    # Bitcode is read by a child process.
    for seed in range(4 if "bitcode" in name else 12):
        gates = seeded.straight(seed).bound(PARAMETERS)
        # Neither Qiskit nor QIR writes a global phase.
        same_matrix(gates, through(gates), phase=name == "qiskit-reads-openqasm2")
        measured = seeded.straight(seed, measured=True).bound(PARAMETERS)
        same_outcomes(measured, through(measured), range(measured.num_clbits))
        flat = "openqasm2" in name and seed % 2 == 0
        program = seeded.controlled(seed, flat=flat, wait=name.endswith("openqasm3")).bound(PARAMETERS)
        try:
            found = through(program)
        except LESS:
            assert "openqasm2" in name
            continue
        same_outcomes(program, found, range(program.num_clbits))
        taken += 1
    assert taken >= (3 if "openqasm2" in name else 4)


def test_slots_are_inputs_of_what_qiskit_writes() -> None:
    for seed in range(8):
        program = seeded.straight(seed)
        found = OTHERS["qiskit-writes-openqasm3"](program)
        assert found.num_slots == program.num_slots
        for values in SETS:
            same_matrix(program.bound(values), found.bound(values), phase=False)


def read(path: Path) -> Program:
    reader = qir.loads if path.suffix == ".ll" else openqasm.loads
    program = reader(path.read_text(encoding="utf-8"))
    return program.bound(np.linspace(-1.3, 2.1, program.num_slots)) if program.num_slots else program


@pytest.mark.parametrize("name", LINKS)
def test_the_corpus_survives(name: str) -> None:
    taken = Counter[str]()
    for path in CORPUS:
        program = read(path)
        back = sent(FORMS[name], program)
        if back is not None:
            same_outcomes(program, back.program, back.bits)
            taken[path.suffix] += 1
    assert all(taken[suffix] >= 3 for suffix in (".qasm", ".ll")), taken


H0, M0 = Gate("h", (0,)), Measure(0, 0)
TRIPS = While((0,), 1, (H0, M0), 5)


@pytest.mark.parametrize(
    ("name", "operations", "words"),
    [
        ("openqasm2", (TRIPS,), "no loops"),
        ("openqasm2", (Delay(0, 5),), "no delay"),
        ("openqasm2", (IfElse((0,), 1, (IfElse((1,), 1, (H0,)),)),), "no nested conditions"),
        ("openqasm2", (IfElse((0, 2), 1, (H0,)),), "do not follow each other"),
        ("openqasm2", (Gate("rx", (0,), (slot(0),)),), "slots"),
        ("qir-base", (M0, H0), "adaptive"),
        ("qir-base", (TRIPS,), "adaptive"),
        ("qir-adaptive", (Delay(0, 5),), "no delay"),
        ("qir-adaptive", (Gate("rx", (0,), (slot(0),)),), "bind the program's slots"),
        ("qir-bitcode", (Delay(0, 5),), "no delay"),
        ("qiskit", (While((0,), 1, (H0, M0), 900_000),), "900000 trips"),
        ("pennylane", (TRIPS,), "no loop"),
        ("pennylane", (IfElse((0,), 1, (M0,)),), "within a branch"),
        ("pennylane-slots", (IfElse((0,), 1, (Reset(0),)),), "within a branch"),
    ],
)
def test_what_a_format_cannot_say_is_refused_by_name(
    name: str, operations: tuple[Operation, ...], words: str
) -> None:
    slots = int(any(uses_slots(Program(2, 3, 1, (op,))) for op in operations))
    with pytest.raises(UnsupportedFeature, match=words):
        FORMS[name].through(Program(2, 3, slots, operations))
