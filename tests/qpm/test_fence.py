"""What a fence lets through, against a plain record of everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfw.model.errors import StaleEpoch
from qfw.qpm.fence import Fence


def test_a_start_is_admitted_once_and_never_after_a_later_one() -> None:
    fence = Fence()
    assert fence.admit(7, 1)
    assert not fence.admit(7, 1)
    assert fence.admit(7, 3)
    with pytest.raises(StaleEpoch, match="task 7, epoch 2: epoch 3 was started"):
        fence.admit(7, 2)
    assert not fence.admit(7, 3)
    assert fence.admit(8, 1)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4))))
def test_it_agrees_with_a_record_of_everything(starts: list[tuple[int, int]]) -> None:
    fence, latest = Fence(remembered=8), dict[int, int]()
    for task, epoch in starts:
        if epoch < latest.get(task, 0):
            with pytest.raises(StaleEpoch):
                fence.admit(task, epoch)
        else:
            assert fence.admit(task, epoch) == (epoch > latest.get(task, 0))
            latest[task] = epoch


def test_it_forgets_the_oldest_and_none_of_the_youngest() -> None:
    fence = Fence(remembered=10)
    for task in range(1000):
        assert fence.admit(task, 2)
        assert len(fence._young) + len(fence._old) <= 20
    for task in range(990, 1000):
        assert not fence.admit(task, 2)
    assert fence.admit(0, 1)
