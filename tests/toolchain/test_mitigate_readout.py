"""Readout inversion, against confusion matrices put together by NumPy."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.bases import measured_bases
from qfw.model.calibration import Calibration
from qfw.model.errors import ProgramError, TooLarge
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import Expectation
from qfw.toolchain.mitigate_readout import LEFT_OUT, Readout, nearest, undone
from tests.model.calibrations import line_calibration


def calibration(*errors: tuple[float, float]) -> Calibration:
    """A line with these errors: 1 of |0>, 0 of |1>."""
    found = line_calibration(max(len(errors), 2))
    qubits = tuple(
        msgspec.structs.replace(qubit, read1_given0=read1, read0_given1=read0)
        for qubit, (read1, read0) in zip(found.qubits, errors, strict=False)
    )
    return msgspec.structs.replace(found, qubits=qubits)


def confused(distribution: np.ndarray, errors: list[tuple[float, float]]) -> np.ndarray:
    """What is measured of a distribution over states, qubit 0 the least significant bit."""
    whole = np.eye(1)
    for read1, read0 in errors:
        whole = np.kron(np.array([[1 - read1, read0], [read1, 1 - read0]]), whole)
    return whole @ distribution


def value(observable: PauliSum, distribution: np.ndarray) -> float:
    """Of words of Z, in a distribution."""
    states = np.arange(len(distribution))
    return float(
        sum(
            term.coefficient
            * distribution
            @ np.prod([1 - 2 * (states >> q & 1) for q in term.qubits], axis=0)
            if term.qubits
            else term.coefficient
            for term in observable.terms
        )
    )


ERRORS = [(0.02, 0.09), (0.15, 0.03), (0.0, 0.2), (0.07, 0.07)]


@pytest.mark.parametrize("seed", range(10))
def test_words_have_their_values_back(seed: int) -> None:
    draw = np.random.default_rng(seed)
    truth = draw.dirichlet(np.full(16, 0.3))
    words = {"Z0 Z1 Z2 Z3": 0.5, "Z3 Z0": -1.5, "Z2": 2.0, "": 0.25, "Z1 Z2": 1.0}
    observable = PauliSum.of(words)
    found = Readout(calibration(*ERRORS)).inverted(observable)
    measured = confused(truth, ERRORS)
    assert value(found, measured) == pytest.approx(value(observable, truth), abs=1e-12)
    assert abs(value(observable, measured) - value(observable, truth)) > 1e-3
    assert len({tuple(sorted(term.qubits)) for term in found.terms}) == len(found.terms)


@pytest.mark.parametrize("seed", range(5))
def test_distributions_are_undone(seed: int) -> None:
    truth = np.random.default_rng(seed).dirichlet(np.full(16, 0.3), size=3)
    measured = np.array([confused(row, ERRORS) for row in truth])
    assert np.allclose(undone(measured, ERRORS), truth, atol=1e-12)
    assert np.allclose(nearest(undone(measured, ERRORS)), truth, atol=1e-12)
    assert not np.allclose(undone(measured, ERRORS[::-1]), truth, atol=1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_the_nearest_distribution_is_the_nearest(seed: int) -> None:
    draw = np.random.default_rng(seed)
    quasi = draw.normal(size=(4, 9)) * 0.3
    quasi += (1 - quasi.sum(axis=1, keepdims=True)) / 9
    found = nearest(quasi)
    assert (found >= 0).all() and np.allclose(found.sum(axis=1), 1)
    # No distribution is nearer: none of many, and no step towards a corner.
    others = np.vstack([draw.dirichlet(np.full(9, alpha), 2000) for alpha in (0.1, 1.0)])
    for row, near in zip(quasi, found, strict=True):
        distance = ((near - row) ** 2).sum()
        assert distance <= ((others - row) ** 2).sum(axis=1).min() + 1e-12
        assert all((near - row) @ (corner - near) >= -1e-9 for corner in np.eye(9))


@st.composite
def observables(draw: st.DrawFn) -> PauliSum:
    words = st.dictionaries(st.integers(0, 3), st.sampled_from("XYZ"), max_size=4)
    terms = [
        PauliTerm(1.5, tuple(word), "".join(word.values())) for word in draw(st.lists(words, max_size=6))
    ]
    return PauliSum(tuple(terms))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(observable=observables())
def test_no_more_bases_are_measured(observable: PauliSum) -> None:
    """And with no errors the observable is itself."""
    found = Readout(calibration(*ERRORS)).inverted(observable)
    assert measured_bases((Expectation((found,)),)) == measured_bases((Expectation((observable,)),))
    same = Readout(calibration(*[(0.0, 0.0)] * 4)).inverted(observable)
    total: dict[tuple, float] = {}
    for term in observable.terms:
        word = tuple(sorted(zip(term.qubits, term.paulis, strict=True)))
        total[word] = total.get(word, 0.0) + term.coefficient
    kept = {tuple(zip(t.qubits, t.paulis, strict=True)): t.coefficient for t in same.terms if t.coefficient}
    assert kept == total


@pytest.mark.parametrize(("width", "offset", "words"), [(8, 0.05, 2**8), (9, 0.02, 256), (20, 0.01, 6196)])
def test_wide_words_leave_out_what_is_said(width: int, offset: float, words: int) -> None:
    errors = [(0.01, 0.01 + offset)] * width
    found = Readout(calibration(*errors)).inverted(PauliSum.of(" ".join(f"Z{q}" for q in range(width))))
    assert len(found.terms) == words
    # On a product state each word's measured value is a product too.
    z = np.cos(np.arange(width))
    measured = [offset + (1 - 0.02 - offset) * one for one in z]
    got = sum(t.coefficient * np.prod([measured[q] for q in t.qubits]) for t in found.terms)
    assert abs(got - np.prod(z)) <= LEFT_OUT / (1 - 0.02 - offset) ** width


def test_words_that_are_too_wide_are_refused() -> None:
    wide = PauliSum.of(" ".join(f"Z{q}" for q in range(40)))
    with pytest.raises(TooLarge, match=r"a word on 40 qubits takes more than 16384 words"):
        Readout(calibration(*[(0.01, 0.05)] * 40)).inverted(wide)
    # Where both errors are equal there is but a factor.
    assert len(Readout(calibration(*[(0.03, 0.03)] * 40)).inverted(wide).terms) == 1
    some = Readout(calibration(*[(0.03, 0.03)] * 37, *[(0.01, 0.05)] * 3)).inverted(wide)
    assert len(some.terms) == 8 and all(len(term.qubits) >= 37 for term in some.terms)
    many = PauliSum.of({" ".join(f"Z{q}" for q in range(k, k + 8)): 1.0 for k in range(150)})
    with pytest.raises(TooLarge, match="16384 words"):
        Readout(calibration(*[(0.01, 0.05)] * 160)).inverted(many)


def test_a_readout_that_says_nothing_is_refused() -> None:
    readout = Readout(calibration((0.01, 0.02), (0.6, 0.35)))
    with pytest.raises(
        ProgramError, match=r"qubit 1 of line cannot be inverted: it reads 1 of \|0> with 0.6 and 0 of"
    ):
        readout.inverted(PauliSum.of("Z1"))
    with pytest.raises(ProgramError, match="qubit 7 is measured; line has 2"):
        readout.inverted(PauliSum.of("Z7"))
    assert readout.errors(0) == (0.01, 0.02)


def test_amplification_bounds_what_a_word_can_be() -> None:
    readout = Readout(calibration(*ERRORS))
    found = readout.inverted(PauliSum.of("Z0 Z1 Z3"))
    corners = [value(found, np.eye(16)[state]) for state in range(16)]
    assert max(map(abs, corners)) == pytest.approx(readout.amplification((0, 1, 3)))


def test_a_wrong_calibration_leaves_what_is_said() -> None:
    """Of a value of 1, about twice the error of the readout's error."""
    off = 0.01
    found = Readout(calibration((0.02, 0.05))).inverted(PauliSum.of("Z0"))
    assert value(found, confused(np.array([1.0, 0.0]), [(0.02 + off, 0.05)])) == pytest.approx(
        1 - 2 * off, abs=2e-3
    )
