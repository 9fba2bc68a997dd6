from __future__ import annotations

import math
import random
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qiskit
from format_programs import gate_programs
from format_yardstick import CLASSES, circuit, same_up_to_phase, unitary
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import qasm2, qasm3
from qiskit.circuit import ClassicalRegister, Parameter, QuantumCircuit, QuantumRegister
from qiskit.circuit.classical import expr
from qiskit.quantum_info import Operator

from qfw.formats import qiskit as qiskit_format
from qfw.formats.modifiers import controlled, inverse, power
from qfw.formats.openqasm import dumps, loads
from qfw.formats.standard_gates import QELIB1, STDGATES
from qfw.model.errors import OptionError, ParameterError, ParseError, ProgramError, UnsupportedFeature
from qfw.model.gates import GATES
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

V2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'
V3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
ANGLES = (0.3, -1.1, 2.7, 0.9)


def matrix(made: QuantumCircuit) -> np.ndarray:
    return np.asarray(Operator(made).data)


def call(name: str, num_qubits: int, num_angles: int) -> str:
    """A call on reversed, not adjacent qubits with unequal angles."""
    angles = f"({', '.join(map(str, ANGLES[:num_angles]))})" if num_angles else ""
    return f"{name}{angles} {', '.join(f'q[{q}]' for q in reversed(range(num_qubits)))};"


# Writing and reading back


@given(gate_programs(slots=True, everything=True))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_version_3_reads_back_as_the_same_program(program: Program) -> None:
    assert loads(dumps(program)) == program
    assert loads(dumps(program)).digest == loads(dumps(loads(dumps(program)))).digest


@given(gate_programs(everything=True))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_version_2_reads_back_as_the_same_program(program: Program) -> None:
    assert loads(dumps(program, version=2)) == program


@given(gate_programs())
@settings(max_examples=80, derandomize=True, deadline=None)
def test_qiskit_reads_what_version_2_writes(program: Program) -> None:
    text = dumps(program, version=2)
    for extra in ((), qasm2.LEGACY_CUSTOM_INSTRUCTIONS):
        assert same_up_to_phase(matrix(qasm2.loads(text, custom_instructions=extra)), unitary(program))


@given(gate_programs())
@settings(max_examples=80, derandomize=True, deadline=None)
def test_definitions_in_the_head_are_exact(program: Program) -> None:
    """Under other names the reader does not know them, and must expand what they say."""
    text = dumps(program).replace("OPENQASM 3.0;", "")
    for name in GATES:
        if re.search(rf"^gate {name}\b", text, re.MULTILINE):
            text = re.sub(rf"^(gate )?{name}\b", rf"\1my_{name}", text, flags=re.MULTILINE)
    assert np.allclose(unitary(loads(text)), unitary(program), atol=1e-9)


@given(gate_programs())
@settings(max_examples=60, derandomize=True, deadline=None)
def test_qiskit_reads_what_version_3_writes(program: Program) -> None:
    """Its own importer knows no definitions and no gphase; so only the standard gates."""
    known = [g for g in program.gates() if g.name in STDGATES and g.name not in ("id", "gphase")]
    plain = Program(program.num_qubits, 0, 0, tuple(known))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = qasm3.loads_experimental(dumps(plain))
    assert np.allclose(matrix(read), unitary(plain), atol=1e-9)


@given(gate_programs(everything=True))
@settings(max_examples=80, derandomize=True, deadline=None)
def test_reads_what_qiskit_writes(program: Program) -> None:
    for text in (qasm2.dumps(circuit(program)), qasm3.dumps(circuit(program))):
        read = loads(text)
        rest = [op for op in program.operations if not isinstance(op, Gate)]
        assert [op for op in read.operations if not isinstance(op, Gate)] == rest
        gates = Program(program.num_qubits, 0, 0, tuple(program.gates()))
        assert same_up_to_phase(
            unitary(Program(program.num_qubits, 0, 0, tuple(read.gates()))), unitary(gates)
        )


def test_reads_qiskits_inputs_as_slots() -> None:
    a, b = Parameter("a"), Parameter("b")
    made = QuantumCircuit(2)
    made.rx(2 * a - b / 4 + 1, 0)
    made.rzz(a, 0, 1)
    program = loads(qasm3.dumps(made))
    assert program.num_slots == 2
    expected = matrix(made.assign_parameters({a: 0.4, b: -1.3}))
    assert same_up_to_phase(unitary(program.bound([0.4, -1.3])), expected)


def test_numbers_are_written_without_loss() -> None:
    values = (0.1, 1 / 3, math.pi, 1e-300, -2.5e17, 5e-324)
    program = Program(1, 0, 1, tuple(Gate("rz", (0,), (v,)) for v in values))
    affine = Program(1, 0, 1, tuple(Gate("rz", (0,), (slot(0, v, -v),)) for v in values))
    assert loads(dumps(program)) == program
    assert loads(dumps(affine)) == affine


def test_what_cannot_be_written_is_refused() -> None:
    with pytest.raises(UnsupportedFeature, match="OpenQASM 2 has no inputs, and the program has 1 slots"):
        dumps(Program(1, 0, 1, (Gate("rx", (0,), (slot(0),)),)), version=2)
    with pytest.raises(UnsupportedFeature, match="no nested conditions"):
        dumps(Program(1, 1, 0, (IfElse((0,), 1, (IfElse((0,), 1, ()),)),)), version=2)
    with pytest.raises(OptionError, match="versions 2 and 3, not 4"):
        dumps(Program(1, 0, 0, ()), version=4)
    with pytest.raises(ProgramError, match="no gate is called"):
        dumps(Program(1, 0, 0, (Gate("nope", (0,)),)))


# The standard gates


@pytest.mark.parametrize("name", QELIB1)
def test_every_gate_of_qelib1_is_qiskits(name: str) -> None:
    gate = QELIB1[name]
    if name == "u0":  # Qiskit reads its argument as a whole number of durations
        assert loads(f"{V2}qreg q[1]; u0(1) q[0];").operations == (Gate("id", (0,)),)
        return
    text = f"{V2}qreg q[{gate.num_qubits}];\n{call(name, gate.num_qubits, gate.num_angles)}"
    read = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
    assert np.allclose(unitary(loads(text)), matrix(read), atol=1e-12)


def test_qelib1_is_complete() -> None:
    text = (Path(qiskit.__file__).parent / "qasm" / "libs" / "qelib1.inc").read_text()
    assert {line.split()[1].split("(")[0] for line in text.splitlines() if line.startswith("gate ")} == set(
        QELIB1
    )


def _stdgates() -> str:
    return (Path(qiskit.__file__).parent / "qasm" / "libs" / "stdgates.inc").read_text()


def test_stdgates_is_complete() -> None:
    names = {line.split()[1].split("(")[0] for line in _stdgates().splitlines() if line.startswith("gate ")}
    assert names - {"CX"} == set(STDGATES)


@pytest.mark.parametrize("name", sorted(set(STDGATES) - {"sx", "ccx", "cswap"}))
def test_stdgates_equal_the_files_own_definitions_with_phase(name: str) -> None:
    """The file itself is read as definitions on U and gphase, modifiers included."""
    kept: list[str] = []
    for line in _stdgates().splitlines():
        # These need a root, or two controls, of a definition; and CX is not what its comment says.
        if line.startswith("gate ") and line.split()[1] not in ("sx", "ccx", "cswap", "CX"):
            kept.append(line)
    gate = STDGATES[name]
    use = f"qubit[{gate.num_qubits}] q;\n{call(name, gate.num_qubits, gate.num_angles)}"
    literal = loads("OPENQASM 3.0;\n" + "\n".join(kept) + use)
    assert np.allclose(unitary(literal), unitary(loads(V3 + use)), atol=1e-12)


@pytest.mark.parametrize("name", sorted(set(GATES) - {"gphase"}))
def test_gates_of_the_normal_form_are_qiskits(name: str) -> None:
    spec = GATES[name]
    program = loads(f"{V3}{''.join(_define(name))}qubit[{spec.num_qubits}] q;\n{call(name, *spec)}")
    made = QuantumCircuit(spec.num_qubits)
    made.append(CLASSES[name](*ANGLES[: spec.num_angles]), list(reversed(range(spec.num_qubits))))
    assert np.allclose(unitary(program), matrix(made), atol=1e-12)


def _define(name: str) -> list[str]:
    spec = GATES[name]
    gate = Gate(name, tuple(range(spec.num_qubits)), tuple([0.0] * spec.num_angles))
    text = dumps(Program(spec.num_qubits, 0, 0, (gate,)))
    return [line + "\n" for line in text.splitlines() if line.startswith("gate ")]


def test_u_has_the_phase_of_its_version() -> None:
    assert loads("OPENQASM 2.0; qreg q[1]; U(1, 2, 3) q[0];").operations == (
        Gate("u", (0,), (1.0, 2.0, 3.0)),
    )
    phase = Gate("gphase", (), (0.5,))
    assert loads("OPENQASM 3.0; qubit q; U(1, 2, 3) q;").operations == (
        Gate("u", (0,), (1.0, 2.0, 3.0)),
        phase,
    )
    (gate,) = loads("OPENQASM 3.0; qubit[2] q; ctrl @ gphase(0.5) q[1];").operations
    assert gate == Gate("p", (1,), (0.5,))
    controlled_u = loads("OPENQASM 3.0; qubit[2] q; ctrl @ U(1, 2, 3) q[0], q[1];")
    exact = Program(2, 0, 0, (Gate("cu", (0, 1), (1.0, 2.0, 3.0, 0.5)),))
    assert np.allclose(unitary(controlled_u), unitary(exact), atol=1e-12)


# Registers, bits, statements


def test_registers_are_laid_out_in_order_and_broadcast() -> None:
    text = "qubit[2] a; qubit b; qreg d[2]; bit[2] m; bit n; creg k[2];"
    text += (
        "h a; cx a, d; cx b, a; n = measure b; measure d -> k; m[1] = measure a[0]; reset a; barrier a, d[1];"
    )
    program = loads(V3 + text)
    assert (program.num_qubits, program.num_clbits) == (5, 5)
    h, cx = (lambda q: Gate("h", (q,))), (lambda c, t: Gate("cx", (c, t)))
    assert program.operations == (
        h(0), h(1), cx(0, 3), cx(1, 4), cx(2, 0), cx(2, 1), Measure(2, 2), Measure(3, 3), Measure(4, 4),
        Measure(0, 1), Reset(0), Reset(1), Barrier((0, 1, 4)),
    )  # fmt: skip


def test_bit_order_is_qiskits() -> None:
    text = V2 + "qreg q[3]; creg c[3]; x q[0]; cx q[0], q[2]; measure q -> c;"
    program = loads(text)
    state = unitary(Program(3, 0, 0, tuple(program.gates())))[:, 0]
    assert abs(state[0b101]) == pytest.approx(1)
    read = qasm2.loads(text)
    read.remove_final_measurements()
    assert np.allclose(matrix(read)[:, 0], state)


def test_measurement_in_a_declaration_and_barriers_of_everything() -> None:
    program = loads(V3 + "qubit[2] q; bit b = measure q[1]; bit[2] c = measure q; barrier;")
    assert program.operations == (Measure(1, 0), Measure(0, 1), Measure(1, 2), Barrier((0, 1)))


def test_version_line_may_be_missing() -> None:
    assert loads('include "stdgates.inc"; qubit q; U(0, 0, 1) q;').operations == (
        Gate("u", (0,), (0.0, 0.0, 1.0)),
    )
    assert loads('include "qelib1.inc"; qreg q[1]; rz(2^3) q[0];').operations == (Gate("rz", (0,), (8.0,)),)


def test_negative_indices_count_from_the_end_in_version_3() -> None:
    assert loads(V3 + "const int n = 1;\nqubit[3] q; x q[-n]; x q[2 - n];").operations == (
        Gate("x", (2,)),
        Gate("x", (1,)),
    )


# Definitions, expressions, inputs


def test_definitions_are_inlined_with_their_parameters() -> None:
    text = V3 + (
        "const float third = pi/3;\n"
        "gate inner(a, b) x, y { rx(a*2 - third) x; barrier x, y; crz(sin(b)) y, x; gphase(a); }\n"
        "gate outer(c) u, v, w { inner(c, third) w, u; inv @ inner(-c, 0.5) v, w; h u; }\n"
        "qubit[3] q; outer(0.25) q[2], q[0], q[1];"
    )
    third = math.pi / 3
    assert loads(text).operations == (
        Gate("rx", (1,), (0.5 - third,)),
        Gate("crz", (2, 1), (math.sin(third),)),
        Gate("crz", (1, 0), (-math.sin(0.5),)),
        Gate("rx", (0,), (0.5 + third,)),
        Gate("h", (2,)),
        Gate("gphase", (), (0.5,)),
    )


def test_inputs_are_slots_and_stay_affine() -> None:
    text = V3 + "input float[64] theta; input angle[32] φ; input float w;\nqubit q;\n"
    text += (
        "gate g(a) x { rz(a/2 + 1) x; }\nrx(theta*2+pi/2) q; g(-(φ - 2*theta)) q; ry(theta - theta + 1) q;"
    )
    program = loads(text)
    assert program.num_slots == 3
    assert program.operations == (
        Gate("rx", (0,), (Affine(((0, 2.0),), math.pi / 2),)),
        Gate("rz", (0,), (Affine(((1, -0.5), (0, 1.0)), 1.0),)),
        Gate("ry", (0,), (1.0,)),
    )
    program.check()


EXPRESSIONS = [
    "-2^2", "2^-1", "2^3^2", "-2^-2", "(1+2)*3-4/5/6", "1-2-3", "2*3^2", "-(-1)", "- -1", "+1", "pi/2*3", "sin(pi/7)",
    "cos(1)+tan(0.5)*exp(-1)", "ln(3)/sqrt(2)", "2e-3*1.5E2", ".5+3.", "-sin(-(1+2))*2", "3-(-2)^2", "7/2",
]  # fmt: skip


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_expressions_of_version_2_have_qiskits_value(text: str) -> None:
    whole = f"{V2}qreg q[1];\nrz({text}) q[0];"
    (gate,) = loads(whole).operations
    assert isinstance(gate, Gate)
    assert gate.angles[0] == pytest.approx(qasm2.loads(whole).data[0].operation.params[0], rel=1e-15)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-2**2", -4.0), ("2**-1", 0.5), ("2**3**2", 512.0), ("6/3", 2.0), ("1.0/2", 0.5), ("τ/4", math.pi / 2),
        ("π + euler - ℇ", math.pi), ("arcsin(1) - arccos(0)", 0.0), ("7 % 4", 3.0), ("1_000", 1000.0),
        ("log(euler)", 1.0),
    ],
)  # fmt: skip
def test_expressions_of_version_3(text: str, value: float) -> None:
    (gate,) = loads(f"{V3}qubit q;\nrz({text}) q;").operations
    assert isinstance(gate, Gate)
    assert gate.angles == (pytest.approx(value),) and type(gate.angles[0]) is float


# Modifiers


def test_modifiers_give_gates_of_the_normal_form() -> None:
    text = V3 + "input float a;\nqubit[3] q;\n"
    text += (
        "ctrl @ x q[2], q[0]; ctrl(2) @ x q[2], q[0], q[1]; inv @ s q[0]; pow(0.5) @ x q[1]; pow(2) @ s q[0];"
    )
    text += (
        "negctrl @ z q[0], q[1]; ctrl @ inv @ rx(a) q[0], q[1]; inv @ U(1, 2, 3) q[0]; pow(3) @ rz(a) q[2];"
    )
    assert loads(text).operations == (
        Gate("cx", (2, 0)), Gate("ccx", (2, 0, 1)), Gate("sdg", (0,)), Gate("sx", (1,)), Gate("z", (0,)),
        Gate("x", (0,)), Gate("cz", (0, 1)), Gate("x", (0,)), Gate("crx", (0, 1), (slot(0, -1.0, -0.0),)),
        Gate("u", (0,), (-1.0, -3.0, -2.0)), Gate("rz", (2,), (slot(0, 3.0),)), Gate("gphase", (), (-0.5,)),
    )  # fmt: skip


@pytest.mark.parametrize("name", GATES)
def test_inverse_control_and_power_equal_their_matrices(name: str) -> None:
    spec = GATES[name]
    n = spec.num_qubits
    gate = Gate(name, tuple(range(n)), ANGLES[: spec.num_angles])
    wide = max(n, 1)
    matrix_of = unitary(Program(wide, 0, 0, (gate,)))
    inverted = unitary(Program(wide, 0, 0, tuple(inverse([gate]))))
    assert np.allclose(inverted @ matrix_of, np.eye(2**wide), atol=1e-12)
    under = controlled([gate], n)
    if under is not None:
        made = unitary(Program(wide + 1, 0, 0, tuple(under)))
        expected = np.eye(2 ** (wide + 1), dtype=complex)
        if n:
            expected[2**n :, 2**n :] = matrix_of
        else:
            expected = np.kron(np.eye(2), np.diag([1, matrix_of[0, 0]]))
        assert np.allclose(made, expected, atol=1e-12)
    for exponent in (-3, -1, 0, 2, 5):
        raised = power([gate], exponent)
        if raised is not None:
            whole = np.linalg.matrix_power(matrix_of, exponent)
            assert np.allclose(unitary(Program(wide, 0, 0, tuple(raised))), whole, atol=1e-12)
    root = power([gate], 0.5)
    if root is not None:
        half = unitary(Program(wide, 0, 0, tuple(root)))
        assert np.allclose(half @ half, matrix_of, atol=1e-12)
        assert (np.abs(np.angle(np.linalg.eigvals(half))) <= math.pi / 2 + 1e-9).all()


@given(gate_programs(max_gates=4), st.sampled_from(["inv @ ", "inv @ inv @ ", "pow(-1) @ ", "pow(0) @ "]))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_modifiers_of_definitions(program: Program, modifier: str) -> None:
    text = dumps(program)
    head, body = text.split(f"qubit[{program.num_qubits}] q;")
    for qubit in range(program.num_qubits):
        body = body.replace(f"q[{qubit}]", f"w{qubit}")
    formal = ", ".join(f"w{q}" for q in range(program.num_qubits))
    actual = ", ".join(f"q[{q}]" for q in range(program.num_qubits))
    text = (
        f"{head}gate whole {formal} {{ {body} }}\nqubit[{program.num_qubits}] q;\n{modifier}whole {actual};"
    )
    plain = unitary(program)
    expected = (
        {1: plain.conj().T, 2: plain}[modifier.count("inv")]
        if "inv" in modifier
        else (plain.conj().T if "-1" in modifier else np.eye(len(plain)))
    )
    assert np.allclose(unitary(loads(text)), expected, atol=1e-9)


# Errors

Q = V3 + "qubit[2] q; bit[2] c;\n"  # two lines before
CASES: list[tuple[str, type[ProgramError], int, int, str]] = [
    (Q + "  foo q[0];", ParseError, 4, 3, "no gate is called 'foo' here; define it before its use"),
    ("OPENQASM 3.0;\nqubit q;\nh q;", ParseError, 3, 1, 'include "stdgates.inc"; first'),
    (Q + "h q[2];", ParseError, 4, 5, "index 2 is outside q[0..1]"),
    (Q + "h r;", ParseError, 4, 3, "'r' is no declared qubit"),
    (Q + "cx q[0], q[0];", ParseError, 4, 1, "cx names a qubit twice"),
    (Q + "cx q[0];", ParseError, 4, 1, "'cx' takes 0 angles and 2 qubits, not 0 and 1"),
    (Q + "rx q[0];", ParseError, 4, 1, "'rx' takes 1 angles and 1 qubits, not 0 and 1"),
    (Q + "rx(1 2) q[0];", ParseError, 4, 6, "',' or ')' is needed, not '2'"),
    (Q + "rx(foo) q[0];", ParseError, 4, 4, "'foo' is no number that is known here"),
    (Q + "rx(1+) q[0];", ParseError, 4, 6, "a number is needed, not ')'"),
    (Q + "rx((1) q[0];", ParseError, 4, 3, "this '(' is not closed"),
    (Q + "h q[0]", ParseError, 4, 7, "',' or ';' is needed, not the end of the text"),
    (Q + "qubit q;", ParseError, 4, 7, "'q' is declared already"),
    (Q + "qubit[3] r; cx q, r;", ParseError, 4, 19, "registers of different sizes"),
    (Q + "qubit[3] r; c = measure r;", ParseError, 4, 13, "3 qubits are measured into 2 classical bits"),
    (Q + "rx(1/2) q[0];", ParseError, 4, 5, "write 1.0/2 for 0.5"),
    (Q + "gate g(a) x { rx(a) y; }", ParseError, 4, 21, "'y' is no qubit of this definition"),
    (Q + "gate g x { g x; }", ParseError, 4, 12, "no gate is called 'g'"),
    (V3 + "bit c;", ParseError, 3, 7, "the program declares no qubit"),
    ("OPENQASM 4.0;", UnsupportedFeature, 1, 10, "OpenQASM version '4.0'"),
    ('OPENQASM 2.0;\ninclude "stdgates.inc";', UnsupportedFeature, 2, 9, "stdgates.inc belongs to OpenQASM 3"),
    (Q + "input float a; rx(sin(a)) q[0];", UnsupportedFeature, 4, 19, "'sin' of an input"),
    (Q + "input float a; rx(a*a) q[0];", UnsupportedFeature, 4, 20, "'*' of an input"),
    (Q + "input float a; rx(1/a) q[0];", UnsupportedFeature, 4, 20, "'/' of an input"),
    (Q + "gate g(b) x { rx(b**2) x; }\ninput float a; g(a) q[0];", UnsupportedFeature, 4, 19, "'**' of an input"),
    (Q + "input int n;", UnsupportedFeature, 4, 7, "input of type 'int'"),
    (Q + "measure q[0];", UnsupportedFeature, 4, 1, "measure without a target"),
    (Q + "c[0] = 1;", UnsupportedFeature, 4, 8, "only measure may be assigned"),
    (Q + "h q[0:2];", ParseError, 4, 5, "index 2 is outside 0..1"),
    (V2 + "qreg q[2]; h q[0:1];", UnsupportedFeature, 3, 17, "a slice belongs to OpenQASM 3"),
    (Q + "h $0;", UnsupportedFeature, 4, 3, "physical qubits"),
    (Q + "ctrl @ rzz(1) q[0], q[1], q[1];", ParseError, 4, 8, "no gate is called 'rzz'"),
    (Q + "input float a; pow(0.5) @ cu(a, 2, 3, 4) q[0], q[1];", UnsupportedFeature, 4, 16, "pow @ of cu is"),
    (Q + "input float a; pow(0.5) @ u3(a, 2, 3) q[0];", UnsupportedFeature, 4, 16, "pow @ of gphase, u"),
    (Q + "rx(1e999) q[0];", ParameterError, 4, 4, "an angle must be finite"),
    (Q + "rx(sqrt(-1)) q[0];", ParameterError, 4, 4, "'sqrt' has no finite value"),
    (Q + "rx(1/0) q[0];", ParameterError, 4, 5, "'/' has no finite value"),
    (V2 + "qreg q[2]; rx(1 & 2) q[0];", UnsupportedFeature, 3, 17, "operator '&'"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "kind", "line", "column", "message"), CASES)
def test_errors_name_the_place(
    text: str, kind: type[ProgramError], line: int, column: int, message: str
) -> None:
    with pytest.raises(kind) as refusal:
        loads(text)
    assert type(refusal.value) is kind
    assert str(refusal.value).startswith(f"line {line}:{column}: ")
    assert message in str(refusal.value)
    if isinstance(refusal.value, ParseError):
        assert (refusal.value.line, refusal.value.column) == (line, column)


@pytest.mark.parametrize(
    "statement",
    [
        "extern f(int) -> int;", "defcal x $0 { }", "opaque g a;", "array[int, 2] v;", "pragma x", "#pragma x",
        "complex[float] z;", "stretch s;", "nop q;", "cal { }", 'defcalgrammar "openpulse";',
        "mutable array[int, 2] v;",
    ],
)  # fmt: skip
def test_what_no_program_says_is_refused_by_name(statement: str) -> None:
    with pytest.raises(UnsupportedFeature) as refusal:
        loads(Q + "  " + statement)
    word = statement.split()[0].rstrip(";").split("[")[0]
    assert str(refusal.value).startswith(f"line 4:3: '{word}': ")


@given(st.text(max_size=200) | st.lists(st.sampled_from(
    ["qubit", "q", "[", "]", "2", "(", ")", "{", "}", ";", "gate", "g", "h", ",", "-", "pi", "inv", "@", "ctrl", "pow",
     "measure", "->", "c", "bit", "=", "barrier", "reset", "input", "float", "const", "include", '"stdgates.inc"',
     "0", "**", "gphase", "U", "for", "in", ":", "OPENQASM", "3.0", "/*", "\n"])).map(" ".join))  # fmt: skip
@settings(max_examples=1500, derandomize=True, deadline=None)
def test_any_text_is_a_program_or_a_typed_error(text: str) -> None:
    for head in ("", V3 + "qubit[2] q; bit[2] c; "):
        try:
            loads(head + text).check()
        except ProgramError as error:
            assert str(error)


def test_broken_programs_are_typed_errors() -> None:
    """A real program with tokens dropped, doubled and swapped."""
    base = (
        V3
        + "input float a; const int n = 2; qubit[n] q; bit[2] c; gate g(x, y) r, s { rx(x*2) r; inv @ cp(y) r, s; }"
        " g(a, -1) q[0], q[1]; ctrl @ h q[1], q[0]; pow(2) @ t q; c[0] = measure q[1]; measure q -> c; barrier q;"
    )
    words = base.replace(";", " ; ").replace("(", " ( ").replace(")", " ) ").replace(",", " , ").split(" ")
    chance = random.Random(7)
    for _ in range(1500):
        broken = list(words)
        for _ in range(chance.randint(1, 3)):
            at, other = chance.randrange(len(broken)), chance.randrange(len(broken))
            match chance.randrange(3):
                case 0:
                    del broken[at]
                case 1:
                    broken.insert(at, broken[other])
                case _:
                    broken[at], broken[other] = broken[other], broken[at]
        try:
            loads(" ".join(broken)).check()
        except ProgramError as error:
            assert str(error)


# Control flow, written


BITS = 4


@st.composite
def blocks(draw: st.DrawFn, depth: int = 0) -> tuple[Operation, ...]:
    """Operations on two qubits and BITS bits, with conditions on any bits."""
    made: list[Operation] = []
    for _ in range(draw(st.integers(0, 3))):
        match draw(
            st.sampled_from(["gate", "measure", "reset", "delay", "if", "while"][: 6 if depth < 2 else 4])
        ):
            case "gate":
                made.append(
                    draw(
                        st.sampled_from(
                            [Gate("h", (1,)), Gate("rzz", (0, 1), (0.5,)), Gate("gphase", (), (1.0,))]
                        )
                    )
                )
            case "measure":
                made.append(Measure(draw(st.integers(0, 1)), draw(st.integers(0, BITS - 1))))
            case "reset":
                made.append(Reset(0))
            case "delay":
                made.append(Delay(1, draw(st.integers(0, 10**12))))
            case kind:
                clbits = tuple(draw(st.permutations(range(BITS)))[: draw(st.integers(1, BITS))])
                value = draw(st.integers(0, 2 ** len(clbits) - 1))
                body = draw(blocks(depth + 1))
                if kind == "if":
                    made.append(IfElse(clbits, value, body, draw(blocks(depth + 1))))
                else:
                    made.append(While(clbits, value, body, draw(st.integers(1, 2**40))))
    return tuple(made)


@given(blocks())
@settings(max_examples=150, derandomize=True, deadline=None)
def test_control_flow_reads_back_as_the_same_program(operations: tuple[Operation, ...]) -> None:
    program = Program(2, BITS, 0, operations)
    assert loads(dumps(program)) == program
    assert loads(dumps(program)).digest == program.digest


def test_version_2_chooses_registers_for_conditions() -> None:
    then, otherwise = (Gate("x", (0,)),), (Gate("h", (0,)),)
    program = Program(1, 5, 0, (IfElse((2, 1), 1, then, otherwise), IfElse((4,), 0, then)))
    text = dumps(program, version=2)
    assert "creg c0[1];\ncreg c1[2];\ncreg c2[1];\ncreg c3[1];\n" in text
    read = loads(text)
    assert read.num_clbits == 5
    assert read.operations == (
        IfElse((1, 2), 2, then),
        *(IfElse((1, 2), value, otherwise) for value in (0, 1, 3)),
        IfElse((4,), 0, then),
    )
    # Qiskit reads it, and asks the same registers.
    assert [instruction.operation.condition[1] for instruction in qasm2.loads(text).data] == [2, 0, 1, 3, 0]


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ((IfElse((0, 2), 1, ()),), "do not follow each other"),
        ((IfElse((0, 1), 1, ()), IfElse((1, 2), 1, ())), "share some"),
        ((While((0,), 1, (), 3),), "no loops"),
        ((Delay(0, 3),), "no delay"),
        ((IfElse((0,), 1, (Measure(0, 0), Reset(0))),), "measures into them goes on"),
    ],
)
def test_version_2_refuses_what_it_cannot_say(operations: tuple[Operation, ...], message: str) -> None:
    with pytest.raises(UnsupportedFeature, match=message):
        dumps(Program(1, 3, 0, operations), version=2)


def test_a_syntax_error_shows_its_line_and_a_caret() -> None:
    with pytest.raises(ParseError) as refusal:
        loads(V3 + "qubit[2] q;\n\tcx q[0] q[1];\n")
    assert str(refusal.value).endswith("\n     cx q[0] q[1];\n             ^")
    with pytest.raises(ParseError) as refusal:
        loads(V3 + "qubit q; " + "h q; " * 100 + "foo q;")
    *_, line, caret = str(refusal.value).splitlines()
    assert line[caret.index("^") :].startswith("foo q;")


def test_control_flow_that_qiskit_writes_is_what_its_circuit_says() -> None:
    """Both ways into a Program, through the text and through the circuit, give the same one."""
    made = QuantumCircuit(QuantumRegister(3, "q"), ClassicalRegister(2, "c"), ClassicalRegister(1, "d"))
    made.h(0)
    made.measure([0, 1], [0, 1])
    with made.if_test((made.cregs[0], 2)) as otherwise:
        made.x(2)
    with otherwise:
        made.cx(0, 1)
        with made.if_test((made.clbits[2], 0)):
            made.z(0)
    with made.for_loop(range(0, 5, 2)) as trip:
        made.rx(trip * 0.5, 0)
    with made.while_loop((made.clbits[0], 1)):
        made.h(1)
        made.measure(1, 0)
    with made.switch(made.cregs[0]) as case:
        with case(0, 1):
            made.y(2)
        with case(3):
            made.s(2)
    with made.if_test(expr.logic_and(made.clbits[0], expr.logic_not(made.clbits[2]))):
        made.delay(100, 1, "ns")
    read, expected = loads(qasm3.dumps(made)), qiskit_format.loads(made)
    assert (read.num_qubits, read.num_clbits) == (expected.num_qubits, expected.num_clbits)
    assert read.operations[:7] == expected.operations[:7]
    # A case of two labels is copied by one reader and combined by the other: the rest is the same.
    assert read.operations[-1] == expected.operations[-1]
    assert len(read.operations) == len(expected.operations)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (b"OPENQASM 3;", r"not a bytes; .* data\.decode\(\)"),
        (None, "not a NoneType"),
        ("folder/ghz.qasm", r"path of one: give what is in the file, Path\('folder/ghz\.qasm'\)"),
    ],
)
def test_what_is_no_text_is_a_typed_error(source: Any, said: str) -> None:
    with pytest.raises(ParseError, match=said):
        loads(source)
