"""The benchmarks of the twin, on numbers that are known."""

from __future__ import annotations

from benchmarks import twin


def test_extremes_are_the_shots_in_which_all_qubits_agree() -> None:
    assert twin._extremes({"00000": 500, "11111": 400, "00001": 100}) == 0.9
    assert twin._extremes({"01010": 1000}) == 0.0
