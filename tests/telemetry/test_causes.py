"""Circuits by cause, repeats, single submissions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from qfw.telemetry.causes import MIN_SINGLES, is_shifted
from qfw.telemetry.profile import profile
from tests.telemetry.streams import Journal

ANGLES = st.floats(-100, 100, allow_subnormal=False)
SHIFTS = [math.pi / 2, -math.pi / 2, 3 * math.pi / 2, -3 * math.pi / 2]


def shifted(row: np.ndarray, slot: int, shift: float) -> np.ndarray:
    moved = row.copy()
    moved[slot] += shift
    return moved


def gradient_rows(row: np.ndarray, shifts: tuple[float, ...] = (math.pi / 2, -math.pi / 2)) -> np.ndarray:
    return np.array([shifted(row, slot, shift) for slot in range(len(row)) for shift in shifts])


def causes(journal: Journal) -> tuple[int, int]:
    found = profile(journal.events)
    assert found.circuits == found.cost_circuits + found.gradient_circuits
    return found.cost_circuits, found.gradient_circuits


@given(st.lists(ANGLES, min_size=1, max_size=40), st.data())
def test_one_shift_of_one_slot_is_a_gradient(row, data):
    row = np.array(row)
    slot = data.draw(st.integers(0, len(row) - 1))
    other = shifted(row, slot, data.draw(st.sampled_from(SHIFTS)))
    assert is_shifted(other.tobytes(), row.tobytes())


@given(st.lists(ANGLES, min_size=1, max_size=40), st.data())
def test_any_other_step_is_not(row, data):
    row = np.array(row)
    slot = data.draw(st.integers(0, len(row) - 1))
    step = data.draw(st.floats(-7, 7))
    away = abs(abs(math.remainder(step, math.pi)) - math.pi / 2)
    assume(away > 1e-6)
    assert not is_shifted(shifted(row, slot, step).tobytes(), row.tobytes())


@given(st.lists(ANGLES, min_size=2, max_size=40), st.data())
def test_two_slots_at_once_are_not(row, data):
    row = np.array(row)
    one, two = data.draw(st.lists(st.integers(0, len(row) - 1), min_size=2, max_size=2, unique=True))
    other = shifted(shifted(row, one, math.pi / 2), two, data.draw(st.sampled_from(SHIFTS)))
    assert not is_shifted(other.tobytes(), row.tobytes())


def test_no_parameters_are_never_a_gradient():
    assert not is_shifted(b"", b"")


@given(
    slots=st.integers(2, 6),
    structures=st.integers(1, 5),
    epochs=st.integers(1, 4),
    seed=st.integers(0, 2**32 - 1),
    batched=st.booleans(),
)
def test_parameter_shift_is_counted_whatever_the_circuits(slots, structures, epochs, seed, batched):
    """The numbers follow the application: slots, structures, epochs."""
    rng, journal = np.random.default_rng(seed), Journal()
    for _ in range(epochs):
        row = rng.uniform(-3, 3, slots)
        for structure in range(structures):
            journal.run(row, f"p{structure}")
        for structure in range(structures):
            rows = gradient_rows(row)
            for part in [rows] if batched else rows:
                journal.run(part, f"p{structure}")
    forward = epochs * structures
    assert causes(journal) == (forward, forward * 2 * slots)
    found = profile(journal.events)
    assert found.structures == structures
    assert found.findings[0].startswith(f"The gradient costs {1 + 2 * slots:.1f} times")


def test_four_term_rule():
    journal, row = Journal(), np.array([0.1, 0.2])
    journal.run(row)
    journal.run(gradient_rows(row, tuple(SHIFTS)))
    assert causes(journal) == (1, 8)


def test_forward_and_gradient_in_one_task_in_order():
    journal, row = Journal(), np.array([0.1, 0.2])
    journal.run(np.vstack([row, gradient_rows(row), row + 1, gradient_rows(row + 1)]))
    assert causes(journal) == (2, 8)


def test_a_simplex_is_no_gradient():
    """COBYLA begins with a step of rhobeg = 1 in each variable, then moves all of them."""
    journal, rng = Journal(), np.random.default_rng(0)
    start = np.array([0.3, -0.4, 2.0])
    for row in [start, *(shifted(start, slot, 1.0) for slot in range(3)), *rng.uniform(-3, 3, (20, 3))]:
        journal.run(row)
    assert causes(journal) == (24, 0)
    assert not any("gradient" in sentence for sentence in profile(journal.events).findings)


def test_sessions_and_structures_do_not_mix():
    journal, row = Journal(), np.array([0.1, 0.2])
    journal.open(2)
    journal.run(row, "p")
    journal.run(shifted(row, 0, math.pi / 2), "q")
    journal.run(shifted(row, 0, math.pi / 2), "p", session=2)
    assert causes(journal) == (3, 0)
    journal.run(shifted(row, 0, math.pi / 2), "p")
    assert causes(journal) == (3, 1)


def test_only_answered_circuits_count_but_order_is_that_of_submission():
    journal, row = Journal(), np.array([0.1, 0.2])
    forward = journal.submit(row)
    gradient = journal.submit(gradient_rows(row))
    journal.start(gradient)
    journal.done(gradient)
    journal.start(forward)
    journal.fail(forward)
    assert causes(journal) == (0, 4)


@pytest.mark.parametrize(
    ("change", "repeated"),
    [
        ({}, 2),
        ({"shots": 100}, 0),
        ({"outputs": b"x"}, 1),
        ({"device": "qulacs"}, 1),
        ({"program": "q"}, 1),
    ],
)
def test_repeats_are_the_same_in_everything_and_exact(change, repeated):
    journal = Journal()
    journal.run([[0.1, 0.2]], shots=change.get("shots", 0))
    journal.run([[0.1, 0.2], [0.1, 0.2]], **change)
    found = profile(journal.events)
    assert found.repeated_circuits == repeated
    assert any("identical" in sentence for sentence in found.findings) == bool(repeated)


def test_single_tasks_in_a_row_could_be_a_batch():
    journal, rng = Journal(), np.random.default_rng(0)
    for _ in range(MIN_SINGLES - 1):
        journal.run(rng.uniform(size=2), "short")
    for _ in range(MIN_SINGLES + 3):
        journal.run(rng.uniform(size=2), "long")
    journal.run(rng.uniform(size=(50, 2)), "long")
    for number in range(50):
        journal.run(rng.uniform(size=2), f"alternating{number % 2}")
    found = profile(journal.events)
    assert (found.single_runs, found.single_tasks) == (1, MIN_SINGLES + 3)
    assert any(
        f"{MIN_SINGLES + 3} tasks" in sentence and "could be" in sentence for sentence in found.findings
    )


def test_nothing_wasteful_nothing_said():
    journal, rng = Journal(), np.random.default_rng(0)
    journal.run(rng.uniform(size=(100, 3)))
    assert profile(journal.events).findings == ()
