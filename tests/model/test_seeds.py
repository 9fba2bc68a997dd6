"""Seeds of parameter sets."""

from __future__ import annotations

import numpy as np

from qfw.model.seeds import set_seed, set_seeds


def test_the_range_is_the_single_ones() -> None:
    for task_seed in (0, 1, 12345, 2**63 - 1):
        assert set_seeds(task_seed, 5, 105) == [set_seed(task_seed, index) for index in range(5, 105)]
        assert set_seeds(task_seed, 0, 3) == [set_seed(task_seed, index) for index in range(3)]
    assert set_seeds(7, 4, 4) == []


def test_values_never_change() -> None:
    # Results of old tasks are repeated by their seeds: these numbers are a promise.
    assert [set_seed(0, 0), set_seed(0, 1), set_seed(1, 0)] == [
        12035550249420947055,
        12935080325729570654,
        6791897765849424158,
    ]


def test_neighbours_are_far_apart() -> None:
    table = np.array([set_seeds(seed, 0, 500) for seed in range(40)], dtype=np.uint64)
    assert np.unique(table).size == table.size
    bits = np.unpackbits(table.view(np.uint8))
    assert abs(bits.mean() - 0.5) < 0.005
    changed = (
        np.bitwise_count(table[:, 1:] ^ table[:, :-1]).mean(),
        np.bitwise_count(table[1:] ^ table[:-1]).mean(),
    )
    assert all(abs(mean - 32) < 0.3 for mean in changed)
