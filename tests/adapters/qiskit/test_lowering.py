"""Lowered circuits are the circuits: unitaries, parameters, control; one structure, one Program."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import CASE_DEFAULT, Gate, Parameter, ParameterVector
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import (
    HamiltonianGate,
    HGate,
    MCMTGate,
    PauliEvolutionGate,
    PauliGate,
    QFTGate,
    UnitaryGate,
    XGate,
    get_standard_gate_name_mapping,
)
from qiskit.circuit.random import random_circuit
from qiskit.quantum_info import Operator, SparsePauliOp, Statevector, random_unitary
from qiskit_aer import AerSimulator

from qfw.adapters.qiskit.lowering import lower
from qfw.formats import qiskit as qiskit_format
from qfw.formats.qiskit import MAX_STRUCTURES
from qfw.formats.qiskit_walk import MAX_OPERATIONS
from qfw.formats.remembered import Remembered
from qfw.model.errors import ParameterError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.program import Barrier, IfElse, Measure, Program, Reset, While
from qfw.model.program import Gate as ProgramGate
from qfw.qpi.program import Program as PublicProgram

from .interpreter import distribution, unitary

STANDARD = {name: gate for name, gate in get_standard_gate_name_mapping().items() if isinstance(gate, Gate)}
ANGLES = (0.37, -1.21, 2.05, 0.71)


def counts_loop_variables() -> bool:
    """Whether this Qiskit takes the variable of a for_loop for a free parameter of the circuit."""
    variable, circuit = Parameter("i"), QuantumCircuit(1)
    with circuit.for_loop(range(2), variable):
        circuit.rx(variable, 0)
    return circuit.num_parameters > 0


loop_variables = pytest.mark.skipif(
    counts_loop_variables(), reason="this Qiskit takes a for_loop's variable for a parameter of the circuit"
)


def bound(circuit: QuantumCircuit, values=()) -> Program:
    lowered = lower(circuit)
    program = lowered.program.bound(lowered.bind(np.reshape(values, (1, -1)))[0])
    program.check()
    return program


def agrees(circuit: QuantumCircuit, values=()) -> bool:
    reference = circuit.assign_parameters(list(values)) if len(values) else circuit
    return np.allclose(unitary(bound(circuit, values)), Operator(reference).data, atol=1e-9)


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_every_standard_gate_is_exact(name):
    kind = STANDARD[name]
    gate = type(kind)(*ANGLES[: len(kind.params)])
    circuit = QuantumCircuit(max(gate.num_qubits, 1))
    # Not in order, so that a swapped control shows.
    circuit.append(gate, list(range(gate.num_qubits))[::-1])
    assert agrees(circuit)


@pytest.mark.parametrize("name", sorted(name for name, gate in STANDARD.items() if gate.params))
def test_every_standard_gate_is_exact_with_free_parameters(name):
    kind = STANDARD[name]
    parameters = [Parameter(f"p{i}") for i in range(len(kind.params))]
    circuit = QuantumCircuit(max(kind.num_qubits, 1))
    circuit.append(type(kind)(*[2 * p - 0.5 for p in parameters]), range(kind.num_qubits))
    lowered = lower(circuit)
    assert lowered.num_parameters == len(parameters) == lowered.program.num_slots
    assert agrees(circuit, ANGLES[: len(parameters)])


@pytest.mark.parametrize("seed", range(40))
def test_random_circuits_are_exact(seed):
    circuit = random_circuit(1 + seed % 5, 4, max_operands=4, seed=seed)
    assert agrees(circuit)


def wide_gates():
    yield "open control", 3, XGate().control(2, ctrl_state=1)
    yield "many controls", 5, XGate().control(4)
    yield "controlled rotation of a custom gate", 3, QFTGate(2).control(1)
    yield "annotated", 3, HGate().control(2, annotated=True)
    yield "power", 2, QFTGate(2).power(3)
    yield "annotated power", 2, QFTGate(2).power(3, annotated=True)
    yield "inverse", 3, QFTGate(3).inverse()
    yield "one qubit's matrix", 1, UnitaryGate(random_unitary(2, seed=1))
    yield "two qubits' matrix", 2, UnitaryGate(random_unitary(4, seed=2))
    yield "three qubits' matrix", 3, UnitaryGate(random_unitary(8, seed=3))
    yield "Pauli word", 3, PauliGate("XYZ")
    yield "evolution", 2, PauliEvolutionGate(SparsePauliOp(["XX", "ZZ"], [0.4, 0.7]), time=0.3)
    yield "controls and targets", 4, MCMTGate(STANDARD["rz"].base_class(0.3), 2, 2)


@pytest.mark.parametrize(
    ("width", "gate"), [row[1:] for row in wide_gates()], ids=[r[0] for r in wide_gates()]
)
def test_gates_with_definitions_are_exact(width, gate):
    circuit = QuantumCircuit(width)
    circuit.h(range(width))
    circuit.append(gate, list(range(width))[::-1])
    assert agrees(circuit)


def test_a_gate_of_the_users_own_is_entered():
    inner = QuantumCircuit(2, global_phase=0.3)
    inner.ry(0.4, 1)
    inner.cx(1, 0)
    # The name of a standard gate does not make it one.
    gate = inner.to_gate()
    gate.name = "cz"
    circuit = QuantumCircuit(3, global_phase=0.1)
    circuit.append(gate, [2, 0])
    circuit.append(gate.control(1), [1, 0, 2])
    assert agrees(circuit)


class Opaque(Gate):
    def __init__(self):
        super().__init__("oracle", 1, [])


class OnlyMatrix(Gate):
    def __init__(self):
        super().__init__("only_matrix", 1, [])

    def __array__(self, dtype=None, copy=None):
        return np.array([[0, 1j], [1j, 0]])


def test_a_gate_without_a_definition_is_refused_by_name():
    circuit = QuantumCircuit(1)
    circuit.append(Opaque(), [0])
    with pytest.raises(UnsupportedFeature, match="'oracle'"):
        lower(circuit)


def test_a_gate_with_a_matrix_only_is_synthesised():
    circuit = QuantumCircuit(1)
    circuit.append(OnlyMatrix(), [0])
    assert agrees(circuit)


def test_states_are_prepared_without_a_reset():
    circuit = QuantumCircuit(2)
    circuit.initialize([0.5, 0.5j, -0.5, 0.5])
    program = bound(circuit)
    assert not program.has_control
    assert np.allclose(unitary(program)[:, 0], [0.5, 0.5j, -0.5, 0.5])


def test_a_reset_of_a_used_qubit_stays():
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.reset([0, 1])
    assert [op for op in bound(circuit).operations if isinstance(op, Reset)] == [Reset(0)]


def test_barriers_stay_and_delays_go():
    circuit = QuantumCircuit(2)
    circuit.delay(100, 0)
    circuit.barrier()
    assert bound(circuit).operations == (Barrier((0, 1)),)


def test_bits_keep_their_numbers_whatever_their_registers():
    a, b = ClassicalRegister(2, "a"), ClassicalRegister(1, "b")
    circuit = QuantumCircuit(QuantumRegister(1, "q"), QuantumRegister(2, "r"), a, b)
    circuit.measure([2, 0], [b[0], a[1]])
    assert bound(circuit).operations == (Measure(2, 2), Measure(0, 1))
    assert (bound(circuit).num_qubits, bound(circuit).num_clbits) == (3, 3)


# Parameters ---------------------------------------------------------------------------------------


def ansatz(values):
    circuit = QuantumCircuit(2, 2)
    circuit.ry(values[0], 0)
    circuit.cx(0, 1)
    circuit.rz(values[1], 1)
    circuit.measure([0, 1], [0, 1])
    return circuit


def test_circuits_that_differ_in_numbers_are_one_program():
    first, second = lower(ansatz([0.1, 0.2])), lower(ansatz([0.3, 4]))
    assert first.program is second.program
    assert first.num_parameters == 0 and first.program.num_slots == 2
    assert first.bind(np.empty((1, 0))).tolist() == [[0.1, 0.2]]
    assert second.bind(np.empty((3, 0))).tolist() == [[0.3, 4.0]] * 3


def test_circuits_of_another_structure_are_another_program():
    other = ansatz([0.1, 0.2])
    other.x(0)
    assert lower(other).program.digest != lower(ansatz([0.1, 0.2])).program.digest
    wider = QuantumCircuit(3, 2)
    wider.compose(ansatz([0.1, 0.2]), [0, 1], [0, 1], inplace=True)
    assert lower(wider).program.digest != lower(ansatz([0.1, 0.2])).program.digest


def test_parameters_are_slots_and_literals_constants():
    x = ParameterVector("x", 11)
    circuit = QuantumCircuit(1)
    for p in reversed(list(x)):
        circuit.rx(p, 0)
    circuit.rz(0.25, 0)
    lowered = lower(circuit)
    values = np.linspace(-1, 1, 22).reshape(2, 11)
    assert lowered.program.num_slots == lowered.num_parameters == 11
    # In the order of circuit.parameters: x[2] before x[10].
    assert np.array_equal(lowered.program.angle_table.bind(lowered.bind(values))[0, :11], values[0, ::-1])
    assert agrees(circuit, values[0])


def test_affine_expressions_need_no_slot_of_their_own():
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(1, global_phase=x / 4)
    circuit.rx(2 * (x - y) + 1, 0)
    circuit.rz((x + y) / 3 - x, 0)
    circuit.ry(x - x, 0)
    assert lower(circuit).program.num_slots == 2
    assert agrees(circuit, [0.4, -1.3])


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: x * y,
        lambda x, y: x**2,
        lambda x, y: x.sin() + y,
        lambda x, y: abs(x) - y.exp(),
        lambda x, y: (1 / x).arctan() * y,
    ],
    ids=["product", "power", "sine", "absolute", "quotient"],
)
def test_other_expressions_are_evaluated_for_every_set(make):
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(1)
    circuit.rx(make(x, y), 0)
    circuit.rz(make(x, y) * 2 + 1, 0)
    circuit.ry(y, 0)
    lowered = lower(circuit)
    assert lowered.num_parameters == 2 and lowered.program.num_slots == 4
    values = np.array([[0.7, -0.2], [-1.1, 0.9], [0.7, -0.2]])
    bind = lowered.bind(values)
    assert bind.shape == (3, 4)
    for row, slots in zip(values, bind, strict=True):
        reference = Operator(circuit.assign_parameters(row)).data
        assert np.allclose(unitary(lowered.program.bound(slots)), reference)


def test_what_has_no_slope_is_no_affine_expression():
    x = Parameter("x")
    if not hasattr(x, "sign"):
        pytest.skip("this Qiskit has no sign()")
    circuit = QuantumCircuit(1)
    circuit.rx(x.sign(), 0)
    assert lower(circuit).bind([[2.0], [-2.0]])[:, 1].tolist() == [1.0, -1.0]


def test_parameters_of_a_gate_of_the_users_own():
    x, y = Parameter("x"), Parameter("y")
    inner = QuantumCircuit(1, global_phase=x)
    inner.rx(2 * x, 0)
    circuit = QuantumCircuit(2)
    circuit.append(inner.to_gate({x: 3 * y}), [1])
    circuit.append(inner.to_gate({x: x + y}), [0])
    assert lower(circuit).program.num_slots == 2
    assert agrees(circuit, [0.3, 0.8])


def test_a_parameter_that_only_a_delay_uses_is_still_one():
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(1)
    circuit.delay(x, 0)
    circuit.rx(y, 0)
    lowered = lower(circuit)
    assert lowered.num_parameters == 2
    assert lowered.program.angle_table.bind(lowered.bind([[5.0, 0.5]])).tolist() == [[0.5]]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e151])
def test_literals_must_be_angles(value):
    circuit = QuantumCircuit(1)
    circuit.rx(value, 0)
    with pytest.raises(ParameterError, match="finite"):
        lower(circuit)
    x = Parameter("x")
    circuit.rz(x, 0)
    with pytest.raises(ParameterError, match="finite"):
        lower(circuit)


def test_complex_arguments_are_refused():
    x, y = Parameter("x"), Parameter("y")
    circuit = QuantumCircuit(1)
    circuit.rx(x * 1j, 0)
    with pytest.raises(ParameterError, match=r"x = 0\.5"):
        lower(circuit).bind([[0.5]])
    with pytest.raises(ParameterError, match="real numbers"):
        lower(circuit).bind([[0.5j]])
    circuit.rx(y, 0)
    half = circuit.assign_parameters({y: 1.0})
    assert lower(half).num_parameters == 1


def test_wrong_values_are_named():
    circuit = QuantumCircuit(1)
    circuit.rx(Parameter("alpha"), 0)
    circuit.rx(Parameter("beta"), 0)
    lowered = lower(circuit)
    with pytest.raises(ParameterError, match=r"'beta' of set 1 is nan"):
        lowered.bind([[1, 2], [3, float("nan")]])
    with pytest.raises(ParameterError, match=r"2 parameters; values of shape \(1, 3\)"):
        lowered.bind([[1, 2, 3]])
    with pytest.raises(ParameterError, match="real numbers"):
        lowered.bind([["a", "b"]])


def test_an_expression_without_a_value_names_where():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(1 / x, 0)
    with pytest.raises(ParameterError, match="x = 0"):
        lower(circuit).bind([[1.0], [0.0]])


def test_what_is_no_circuit_is_refused():
    with pytest.raises(ProgramError, match="QuantumCircuit is needed, not str"):
        lower("h q;")
    with pytest.raises(ProgramError, match="no qubits"):
        lower(QuantumCircuit())
    with pytest.raises(TooLarge, match="classical bits"):
        lower(QuantumCircuit(1, 1_000_001))


def test_what_is_remembered_is_bounded_by_operations(monkeypatch):
    remembered = Remembered(MAX_STRUCTURES, 100)
    monkeypatch.setattr(qiskit_format, "_structures", remembered)
    for count in (30, 31, 32, 33):
        circuit = QuantumCircuit(1)
        for _ in range(count):
            circuit.x(0)
        first = lower(circuit)
    assert lower(circuit).program is first.program
    assert len(remembered) == 3


# Control ------------------------------------------------------------------------------------------


def aer_agrees(circuit: QuantumCircuit, shots: int = 20000) -> bool:
    """Whether Aer's frequencies fit the exact distribution of the lowered circuit (chi square, 1e-9)."""
    exact = distribution(bound(circuit))
    counts = AerSimulator().run(circuit, shots=shots, seed_simulator=11).result().get_counts()
    found = {key.replace(" ", ""): count for key, count in counts.items()}
    assert sum(exact.values()) == pytest.approx(1)
    assert set(found) <= {key for key, p in exact.items() if p > 1e-9}
    # Each frequency within 6.5 standard deviations.
    return all(
        abs(found.get(key, 0) - shots * p) <= 6.5 * np.sqrt(shots * p * (1 - p)) + 1e-6
        for key, p in exact.items()
    )


def superposed(qubits: int, *registers) -> QuantumCircuit:
    circuit = QuantumCircuit(QuantumRegister(qubits, "q"), *registers)
    for qubit in range(qubits):
        circuit.ry(0.7 + 0.4 * qubit, qubit)
    return circuit


def test_if_else_of_a_register_and_of_a_bit():
    c, d = ClassicalRegister(2, "c"), ClassicalRegister(2, "d")
    circuit = superposed(3, c, d)
    circuit.measure([0, 1], c)
    with circuit.if_test((c, 2)) as otherwise:
        circuit.x(2)
    with otherwise:
        circuit.ry(0.3, 2)
        with circuit.if_test((c[0], True)):
            circuit.h(0)
    circuit.measure([2, 0], d)
    assert bound(circuit).has_control
    assert aer_agrees(circuit)


def conditions(c, d):
    yield "not a bit", expr.logic_not(c[0])
    yield "equal", expr.equal(c, 1)
    yield "constant first", expr.equal(2, c)
    yield "unequal", expr.not_equal(c, 3)
    yield "not equal", expr.logic_not(expr.equal(c, 0))
    yield "and of bits", expr.logic_and(c[0], expr.logic_not(d[0]))
    yield "and of register and bit", expr.logic_and(expr.equal(c, 1), d[0])
    yield "or of bits", expr.logic_or(c[0], c[1])
    yield "neither", expr.logic_not(expr.logic_or(c[1], d[0]))
    yield "bitwise", expr.bit_and(expr.bit_not(c[0]), c[1])
    yield "equal booleans", expr.equal(c[0], False)


def conditional(condition, *registers) -> QuantumCircuit:
    circuit = superposed(4, *registers)
    circuit.measure([0, 1, 2], [*registers[0], *registers[1]])
    with circuit.if_test(condition) as otherwise:
        circuit.x(3)
    with otherwise:
        circuit.ry(0.2, 3)
    circuit.measure(3, registers[2][0])
    return circuit


@pytest.mark.parametrize("case", range(11))
def test_expressions_of_bits_and_constants(case):
    c, d, e = ClassicalRegister(2, "c"), ClassicalRegister(1, "d"), ClassicalRegister(1, "e")
    condition = [row[1] for row in conditions(c, d)][case]
    assert aer_agrees(conditional(condition, c, d, e))


def test_expressions_that_aer_does_not_know():
    c, d, e = ClassicalRegister(2, "c"), ClassicalRegister(1, "d"), ClassicalRegister(1, "e")
    for condition, same in (
        (expr.index(c, 1), expr.lift(c[1])),
        (expr.cast(c, types.Bool()), expr.not_equal(c, 0)),
    ):
        assert bound(conditional(condition, c, d, e)) == bound(conditional(same, c, d, e))


def test_a_while_loop_until_a_bit_is_measured():
    circuit = superposed(1, ClassicalRegister(1, "c"))
    circuit.measure(0, 0)
    with circuit.while_loop((circuit.clbits[0], False)):
        circuit.h(0)
        circuit.measure(0, 0)
    assert isinstance(bound(circuit).operations[-1], While)
    assert aer_agrees(circuit)


@loop_variables
def test_a_for_loop_is_unrolled():
    i = Parameter("i")
    circuit = QuantumCircuit(2)
    with circuit.for_loop(range(1, 4), i):
        circuit.rx(0.2 * i, 0)
        circuit.cx(0, 1)
    with circuit.for_loop(range(2)):
        circuit.h(1)
    plain = QuantumCircuit(2)
    for k in range(1, 4):
        plain.rx(0.2 * k, 0)
        plain.cx(0, 1)
    assert np.allclose(unitary(bound(circuit)), Operator(plain).data)


@loop_variables
def test_a_for_loop_beside_free_parameters():
    i, x = Parameter("i"), Parameter("x")
    circuit = QuantumCircuit(1)
    with circuit.for_loop((1, 5), i):
        circuit.rx(x + i, 0)
    lowered = lower(circuit)
    assert lowered.num_parameters == lowered.program.num_slots == 1
    plain = QuantumCircuit(1)
    plain.rx(2 * 0.3 + 6, 0)
    assert np.allclose(unitary(bound(circuit, [0.3])), Operator(plain).data)


def test_a_switch_is_nested_ifs():
    c, d = ClassicalRegister(2, "c"), ClassicalRegister(2, "d")
    circuit = superposed(4, c, d)
    circuit.measure([0, 1], c)
    with circuit.switch(c) as case:
        with case(0):
            circuit.x(2)
        with case(1, 2):
            circuit.ry(1.1, 2)
        with case(CASE_DEFAULT):
            circuit.x(3)
    circuit.measure([2, 3], d)
    assert aer_agrees(circuit)


def test_a_box_is_its_body():
    circuit = QuantumCircuit(2)
    with circuit.box():
        circuit.ry(0.3, 1)
        circuit.cx(1, 0)
    plain = QuantumCircuit(2)
    plain.ry(0.3, 1)
    plain.cx(1, 0)
    assert np.allclose(unitary(bound(circuit)), Operator(plain).data)


def test_blocks_speak_of_their_own_bits():
    body = QuantumCircuit(1, 2)
    inner = QuantumCircuit(1, 2)
    inner.x(0)
    body.if_test((body.clbits[1], True), inner, [0], [0, 1])
    circuit = superposed(3, ClassicalRegister(3, "c"))
    circuit.measure([0, 1], [0, 2])
    circuit.if_test((circuit.clbits[0], True), body, [2], [0, 2])
    circuit.measure(2, 1)
    block = next(op for op in bound(circuit).operations if isinstance(op, IfElse))
    assert block == IfElse((0,), 1, (IfElse((2,), 1, (ProgramGate("x", (2,)),)),))


def test_angles_within_blocks_are_slots():
    def circuit(angle):
        made = superposed(2, ClassicalRegister(2, "c"))
        made.measure(0, 0)
        with made.if_test((made.clbits[0], True)) as otherwise:
            made.ry(angle, 1)
        with otherwise:
            made.ry(angle / 2, 1)
        made.measure(1, 1)
        return made

    assert lower(circuit(0.5)).program is lower(circuit(1.5)).program
    assert aer_agrees(circuit(1.5))


def refused():
    c = ClassicalRegister(3, "c")

    def with_condition(condition):
        circuit = QuantumCircuit(QuantumRegister(1, "q"), c)
        with circuit.if_test(condition):
            circuit.x(0)
        return circuit

    yield "less", lambda: with_condition(expr.less(c, 3)), "condition"
    yield (
        "or of registers",
        lambda: with_condition(expr.logic_and(expr.not_equal(c, 3), expr.equal(c, 1))),
        "condition",
    )
    yield (
        "contradiction",
        lambda: with_condition(expr.logic_and(expr.equal(c, 3), expr.equal(c, 1))),
        "same whatever",
    )

    def loop(leave):
        circuit = QuantumCircuit(QuantumRegister(1, "q"), c)
        with circuit.for_loop(range(3)):
            circuit.x(0)
            getattr(circuit, leave)()
        return circuit

    yield "break", lambda: loop("break_loop"), "'break_loop'"
    yield "continue", lambda: loop("continue_loop"), "'continue_loop'"

    def negated_loop():
        circuit = QuantumCircuit(QuantumRegister(1, "q"), c)
        with circuit.while_loop(expr.not_equal(c, 3)):
            circuit.measure(0, 0)
        return circuit

    yield "while unequal", negated_loop, "Loop on one bit"

    def variable():
        circuit = QuantumCircuit(1)
        circuit.add_var("v", expr.lift(True))
        return circuit

    yield "variable", variable, "classical registers"

    def saved():
        circuit = QuantumCircuit(1)
        circuit.save_statevector()
        return circuit

    yield "saved state", saved, "shots=None"


@pytest.mark.parametrize(
    ("make", "message"), [row[1:] for row in refused()], ids=[row[0] for row in refused()]
)
def test_what_a_program_cannot_say_is_refused(make, message):
    with pytest.raises(UnsupportedFeature, match=message):
        lower(make())


@pytest.mark.parametrize("width", [1, 0], ids=["gates", "empty"])
def test_loops_are_bounded(width):
    circuit = QuantumCircuit(1)
    with circuit.for_loop(range(MAX_OPERATIONS)), circuit.for_loop(range(10**12)):
        for qubit in range(width):
            circuit.x(qubit)
    with pytest.raises(TooLarge, match="unrolled"):
        lower(circuit)


def test_a_loop_variable_may_be_a_parameter_outside_too():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    with circuit.for_loop(range(1, 4), x):
        circuit.ry(x, 0)
    expected = QuantumCircuit(1)
    expected.rx(0.7, 0)
    expected.ry(1, 0)
    expected.ry(2, 0)
    expected.ry(3, 0)
    assert lower(circuit).parameters == (x,)
    assert np.allclose(unitary(bound(circuit, [0.7])), Operator(expected).data)


def test_trips_through_empty_loops_are_counted():
    circuit = QuantumCircuit(1)
    half = range(MAX_OPERATIONS // 2)
    with circuit.for_loop(half), circuit.for_loop(half):
        pass
    with pytest.raises(TooLarge, match="unrolled"):
        lower(circuit)


def test_blocks_within_blocks_are_bounded():
    circuit = QuantumCircuit(1, 1)
    for _ in range(400):
        outer = QuantumCircuit(1, 1)
        outer.if_test((outer.clbits[0], 0), circuit, [0], [0])
        circuit = outer
    with pytest.raises(TooLarge, match="nested deeper"):
        lower(circuit)


def test_a_definition_that_needs_numbers_is_refused_without():
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.append(HamiltonianGate(np.array([[0, 1], [1, 0]]), x), [0])
    with pytest.raises(UnsupportedFeature, match=r"'hamiltonian' cannot be made: TypeError.*bind"):
        lower(circuit)
    assert agrees(circuit.assign_parameters([0.3]))


def test_the_state_of_a_wide_library_circuit():
    circuit = QuantumCircuit(4)
    circuit.initialize("+-01")
    circuit.append(QFTGate(4), range(4))
    assert np.allclose(unitary(bound(circuit))[:, 0], Statevector.from_label("+-01").evolve(QFTGate(4)).data)


def test_a_program_of_the_interface_has_literals_as_constants():
    program = PublicProgram.from_qiskit(ansatz([0.25, 1.5]))
    assert program.num_slots == 0 and "ry(0.25)" in program.to_qasm()
    x = Parameter("x")
    circuit = QuantumCircuit(1)
    circuit.rx(x, 0)
    assert PublicProgram.from_qiskit(circuit).bound([0.5]).operations == (ProgramGate("rx", (0,), (0.5,)),)
    circuit.rx(x * x, 0)
    with pytest.raises(UnsupportedFeature, match="not affine"):
        PublicProgram.from_qiskit(circuit)
