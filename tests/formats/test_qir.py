"""Programs from and to QIR keep their meaning, by NumPy and Qiskit; LLVM accepts the texts."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pyqir
import pytest
from exact_outcomes import outcomes
from format_programs import gate_programs
from format_yardstick import unitary
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import OptionError, ParseError, UnsupportedFeature
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
from qfw.qpi.program import Program as Readable

CORPUS = Path(__file__).parent.parent / "corpus" / "qir"
GOOD = sorted(path for path in CORPUS.glob("*.ll") if not path.stem.startswith("bad_"))


def readable(program: Program) -> Readable:
    return Readable.of(program)


def read_back(program: Program, **options: str) -> Readable:
    text = readable(program).to_qir(**options)  # type: ignore[call-overload]
    assert pyqir.Module.from_ir(pyqir.Context(), text).verify() is None
    return Readable.from_qir(text)


@st.composite
def controlled(draw: st.DrawFn) -> Program:
    """Programs of 3 qubits and 3 bits with measurements, branches and short loops."""

    def block(depth: int) -> tuple[Operation, ...]:
        return tuple(draw(st.lists(operation(depth), min_size=1, max_size=4)))

    def operation(depth: int) -> st.SearchStrategy[Operation]:
        qubit, clbit = st.integers(0, 2), st.integers(0, 2)
        simple = st.one_of(
            st.builds(lambda q: Gate("h", (q,)), qubit),
            st.builds(lambda q, a: Gate("ry", (q,), (a,)), qubit, st.floats(-3, 3)),
            st.builds(lambda p: Gate("ecr", tuple(p[:2])), st.permutations(range(3))),
            st.builds(Measure, qubit, clbit),
            st.builds(Measure, qubit, clbit),
            st.builds(Reset, qubit),
        )
        if depth == 2:
            return simple
        return simple | st.deferred(lambda: nested(depth))

    @st.composite
    def nested(inner: st.DrawFn, depth: int) -> Operation:
        clbits = tuple(inner(st.permutations(range(3)))[: inner(st.integers(1, 3))])
        value = inner(st.integers(0, 2 ** len(clbits) - 1))
        body = tuple(inner(st.lists(operation(depth + 1), min_size=1, max_size=3)))
        if inner(st.booleans()):
            otherwise = tuple(inner(st.lists(operation(depth + 1), max_size=2)))
            return IfElse(clbits, value, body, otherwise)
        return While(clbits, value, body, inner(st.integers(1, 3)))

    return Program(3, 3, 0, (Gate("h", (0,)), Measure(0, 0), *block(0), *block(0)))


@settings(max_examples=60, derandomize=True, deadline=None)
@given(gate_programs())
def test_the_unitary_survives_up_to_its_phase(program: Program) -> None:
    back = read_back(program)
    before, after = unitary(program), unitary(back)
    overlap = np.trace(before.conj().T @ after) / len(before)
    assert abs(abs(overlap) - 1) < 1e-9


@settings(max_examples=60, derandomize=True, deadline=None)
@given(controlled())
def test_the_outcomes_survive(program: Program) -> None:
    back = read_back(program)
    assert back.num_clbits == program.num_clbits
    before, after = outcomes(program), outcomes(back)
    for bits in before.keys() | after.keys():
        assert before.get(bits, 0) == pytest.approx(after.get(bits, 0), abs=1e-9), bits


@settings(max_examples=15, derandomize=True, deadline=None)
@given(controlled())
def test_what_was_read_is_written_and_read_as_it_is(program: Program) -> None:
    once = read_back(program)
    assert read_back(once) == once


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_texts_of_others_mean_what_they_say(path: Path) -> None:
    text = path.read_text()
    expected = ast.literal_eval(text.split("expect:", 1)[1].split("\n", 1)[0].strip())
    found = outcomes(Readable.from_qir(text))
    for bits in expected.keys() | found.keys():
        assert found.get(bits, 0) == pytest.approx(expected.get(bits, 0), abs=1e-9), bits


@pytest.mark.parametrize("path", [p for p in GOOD if p.stem != "typed_pointers"], ids=lambda path: path.stem)
def test_bitcode_is_read_as_its_text(path: Path) -> None:
    text = path.read_text()
    module = pyqir.Module.from_ir(pyqir.Context(), text)
    assert module.verify() is None
    assert Readable.from_qir(module.bitcode) == Readable.from_qir(text)


def test_a_loop_on_measured_bits_is_a_while() -> None:
    loop = While((0, 2), 1, (Gate("h", (0,)), Measure(0, 0)), 7)
    program = Program(3, 3, 0, (Measure(0, 0), loop, Gate("x", (1,))))
    assert read_back(program).operations == program.operations


def test_bitcode_that_is_written_is_read() -> None:
    program = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
    written = readable(program).to_qir(form="bitcode")
    assert written[:4] == b"BC\xc0\xde"
    assert Readable.from_qir(written) == readable(program)


def test_profiles() -> None:
    plain = Program(2, 2, 0, (Gate("h", (0,)), Measure(0, 0), Gate("h", (1,)), Measure(1, 1)))
    base = readable(plain).to_qir()
    assert '"qir_profiles"="base_profile"' in base
    assert base.index("qis__h__body(ptr inttoptr (i64 1") < base.index("call void @__quantum__qis__mz__body")
    assert '"qir_profiles"="adaptive_profile"' in readable(plain).to_qir("adaptive")
    control = readable(Program(1, 1, 0, (Measure(0, 0), Reset(0))))
    assert '"qir_profiles"="adaptive_profile"' in control.to_qir()
    with pytest.raises(UnsupportedFeature, match="adaptive"):
        control.to_qir("base")
    with pytest.raises(OptionError, match="full"):
        control.to_qir("full")  # type: ignore[call-overload]
    with pytest.raises(OptionError, match="hex"):
        control.to_qir(form="hex")  # type: ignore[call-overload]


def test_pyqir_finds_what_the_specification_demands() -> None:
    program = readable(Program(3, 2, 0, (Gate("h", (0,)), Measure(0, 1))))
    module = pyqir.Module.from_ir(pyqir.Context(), program.to_qir())
    (entry,) = [function for function in module.functions if pyqir.is_entry_point(function)]
    assert (pyqir.required_num_qubits(entry), pyqir.required_num_results(entry)) == (3, 2)
    assert (pyqir.qir_major_version(module), pyqir.qir_minor_version(module)) == (2, 0)
    assert pyqir.dynamic_qubit_management(module) is False
    assert pyqir.dynamic_result_management(module) is False


def test_slots_and_delays_are_refused_by_name() -> None:
    with pytest.raises(UnsupportedFeature, match="bind"):
        readable(Program(1, 0, 1, (Gate("rx", (0,), (slot(0),)),))).to_qir()
    with pytest.raises(UnsupportedFeature, match="delay"):
        readable(Program(1, 0, 0, (Delay(0, 5),))).to_qir()


def test_parameters_of_the_entry_point_are_slots() -> None:
    text = """
define void @main(double %a, double %b) "entry_point" "required_num_qubits"="1" "required_num_results"="0" {
  %twice = fmul double %b, 2.0
  %sum = fadd fast double %a, %twice
  %less = fsub double %sum, 5.0e-1
  call void @__quantum__qis__rx__body(double %less, ptr null)
  ret void
}
"""
    program = Readable.from_qir(text)
    assert program.num_slots == 2
    assert program.operations == (Gate("rx", (0,), (Affine(((0, 1.0), (1, 2.0)), -0.5),)),)


def test_a_barrier_is_of_all_qubits() -> None:
    program = Program(3, 0, 0, (Gate("h", (0,)), Barrier((0, 1)), Gate("h", (1,))))
    assert read_back(program).operations[1] == Barrier((0, 1, 2))


def test_a_path_is_no_module() -> None:
    with pytest.raises(ParseError, match="path of one"):
        Readable.from_qir("bell.bc")
