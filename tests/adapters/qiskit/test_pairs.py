"""Each pair of parameter set and observable that is asked is worked out once, and no other."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from qfw.adapters.qiskit.pairs import groups, numbered


def dense(values: list[int]) -> np.ndarray:
    """The same numbers without gaps."""
    return np.unique(values, return_inverse=True)[1]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5)), min_size=1, max_size=60))
def test_every_pair_is_once_in_one_rectangle(pairs):
    sets, observables = dense([p for p, _ in pairs]), dense([o for _, o in pairs])
    asked = set(zip(sets.tolist(), observables.tolist(), strict=True))
    found, seen = [], np.zeros(len(pairs), dtype=int)
    for group in groups(sets, observables):
        found += [(p, o) for p in group.sets.tolist() for o in group.observables.tolist()]
        assert np.array_equal(group.sets[group.rows], sets[group.elements])
        assert np.array_equal(group.observables[group.columns], observables[group.elements])
        seen[group.elements] += 1
    assert len(found) == len(set(found)) and set(found) == asked
    assert (seen == 1).all()


def test_a_full_table_is_one_rectangle():
    sets, observables = numbered((3, 1), np.arange(3), (3, 4)), numbered((4,), np.arange(4), (3, 4))
    (group,) = groups(sets, observables)
    assert group.sets.tolist() == [0, 1, 2] and group.observables.tolist() == [0, 1, 2, 3]


def test_zipped_arrays_are_not_multiplied_out():
    found = groups(np.arange(100), np.arange(100))
    assert [(group.sets.tolist(), group.observables.tolist()) for group in found] == [
        ([n], [n]) for n in range(100)
    ]


def test_sets_of_which_the_same_is_asked_are_together():
    found = groups(np.array([0, 1, 2, 3]), np.array([0, 1, 0, 1]))
    assert [group.sets.tolist() for group in found] == [[0, 2], [1, 3]]


def test_nothing_asked():
    assert groups(np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)) == []
