"""What may begin in a stream, decided without sockets or threads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import InternalError
from qfw.qpi.sequence import Sequence, Stage


def begun(sequence: Sequence) -> list[int]:
    found = []
    while (number := sequence.begin()) is not None:
        found.append(number)
    return found


def test_ordered_one_at_a_time_whatever_the_end() -> None:
    sequence = Sequence(ordered=True)
    numbers = [sequence.add() for _ in range(3)]
    assert begun(sequence) == [0] and sequence.waiting == 2
    assert sequence.end(0, failed=True) == ((0,), ())
    assert begun(sequence) == [1]
    assert numbers == [0, 1, 2] and sequence.stage(2) is Stage.BEHIND


def test_ordered_ends_are_reported_in_order() -> None:
    sequence = Sequence(ordered=True, first=10)
    for _ in range(4):
        sequence.add()
    begun(sequence)
    assert sequence.end(12).reported == () and sequence.end(11).reported == ()
    assert sequence.end(10).reported == (10, 11, 12)
    assert begun(sequence) == [13]


def test_parallel_all_at_once_but_for_needs_and_barriers() -> None:
    sequence = Sequence(ordered=False)
    first, second = sequence.add(), sequence.add()
    needy = sequence.add([first, second])
    barrier = sequence.add(barrier=True)
    behind = sequence.add([first])
    assert begun(sequence) == [first, second]
    assert sequence.stage(needy) is Stage.NEEDS and sequence.stage(behind) is Stage.BEHIND
    sequence.end(second)
    assert begun(sequence) == []
    sequence.end(first)
    assert begun(sequence) == [needy]
    sequence.end(needy)
    assert begun(sequence) == [barrier]
    sequence.end(barrier)
    assert begun(sequence) == [behind]


def test_what_ended_before_is_needed_by_nobody() -> None:
    sequence = Sequence(ordered=False)
    first = sequence.add()
    begun(sequence)
    sequence.end(first)
    assert sequence.add([first]) in begun(sequence)


def test_a_failure_drops_what_has_not_begun_where_it_stops() -> None:
    sequence = Sequence(ordered=True, stops=True)
    for _ in range(3):
        sequence.add()
    begun(sequence)
    assert sequence.end(0, failed=True).dropped == (1, 2)


def test_nothing_ends_twice() -> None:
    sequence = Sequence(ordered=False)
    number = sequence.add()
    sequence.end(number)
    with pytest.raises(InternalError):
        sequence.end(number)


def test_tasks_of_before_hold_a_barrier() -> None:
    sequence = Sequence(ordered=False, first=5)
    adopted = sequence.adopt()
    barrier = sequence.add(barrier=True)
    assert adopted < 0 and barrier == 5 and begun(sequence) == []
    sequence.end(adopted)
    assert begun(sequence) == [barrier]


@settings(derandomize=True, deadline=None)
@given(st.booleans(), st.data())
def test_everything_begins_once_and_is_reported_once(ordered: bool, data: Any) -> None:
    sequence = Sequence(ordered=ordered)
    running: set[int] = set()
    began: list[int] = []
    reported: list[int] = []
    needs_of: dict[int, list[int]] = {}
    barriers: set[int] = set()
    ended: set[int] = set()

    def begin() -> None:
        for number in begun(sequence):
            assert ended.issuperset(needs_of[number])
            assert all(b in ended for b in barriers if b < number)
            assert number not in barriers or all(n in ended for n in range(number))
            began.append(number)
            running.add(number)
            assert not ordered or len(running) == 1

    for _ in range(data.draw(st.integers(1, 60))):
        action = data.draw(st.sampled_from(["add", "barrier", "end", "withdraw"]))
        if action in ("add", "barrier"):
            known = list(needs_of)
            needs = data.draw(st.lists(st.sampled_from(known), max_size=3)) if known else []
            number = sequence.add(needs, barrier=action == "barrier")
            needs_of[number] = needs
            if action == "barrier":
                barriers.add(number)
        elif action == "end" and running:
            number = data.draw(st.sampled_from(sorted(running)))
            running.remove(number)
            ended.add(number)
            reported += sequence.end(number).reported
        elif action == "withdraw":
            waiting = [n for n in needs_of if sequence.stage(n) not in (None, Stage.BEGUN)]
            if waiting:
                number = data.draw(st.sampled_from(waiting))
                ended.add(number)
                reported += sequence.end(number).reported
        begin()
    while running:
        number = running.pop()
        ended.add(number)
        reported += sequence.end(number).reported
        begin()
    assert ended == set(needs_of) and len(sequence) == 0 and sequence.waiting == 0
    assert sorted(reported) == sorted(needs_of) and len(began) == len(set(began))
    assert not ordered or reported == sorted(reported)
