"""Which device a task goes to: pure, with a time that the test gives."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qfw.model.device import DeviceKind, DeviceProfile, DeviceState, DeviceStatus
from qfw.qpi.balance import AHEAD_TASKS, MAX_AHEAD_TASKS, REMEMBERED, Kind, Track, choose
from qfw.qpi.device import Device

KIND = Kind(b"p", 1, 100)


def track(name: str = "d", slots: int = 1, preference: int = 0) -> Track:
    profile = DeviceProfile(name, DeviceKind.SIMULATOR, "e", 4, (), (), slots, preference=preference)
    nobody: Any = None
    return Track(Device(nobody, nobody, profile))


def ran(found: Track, took_s: float, times: int = 1, kind: Kind = KIND) -> Track:
    for _ in range(times):
        found.began(0)
        found.ended(kind, took_s, 0)
    return found


def status(found: Track, wait_s: float | None, state: DeviceState = DeviceState.ONLINE) -> DeviceStatus:
    return DeviceStatus(found.device.profile, state, 0, 0, wait_s=wait_s)


def test_nothing_known_spreads_evenly_and_the_preferred_one_first() -> None:
    tracks = [track("a"), track("b", preference=3), track("c", slots=2)]
    order = []
    for _ in range(8):
        found = choose(tracks, KIND, 0.0)
        assert found is not None
        found.began(0)
        order.append(found.device.name)
    assert order[0] == "b" and {name: order.count(name) for name in "abc"} == {"a": 2, "b": 2, "c": 4}


def test_the_one_that_answers_first() -> None:
    slow, fast = ran(track("slow"), 3.0), ran(track("fast"), 1.0)
    order = []
    for _ in range(4):
        found = choose([slow, fast], KIND, 0.0)
        assert found is not None
        found.began(0)
        order.append(found.device.name)
    assert order == ["fast", "fast", "fast", "slow"] or order == ["fast", "fast", "slow", "fast"]


def test_others_work_counts_and_passes() -> None:
    one, two = ran(track("one"), 1.0), ran(track("two"), 1.0)
    one.seen(status(one, 10.0), 100.0)
    two.seen(status(two, 4.0), 100.0)
    assert choose([one, two], KIND, 100.0) is two
    assert one.finish_s(KIND, 105.0) == 6.0 and two.finish_s(KIND, 105.0) == 1.0


def test_own_work_is_not_counted_twice() -> None:
    one = ran(track("one"), 2.0)
    one.began(0)
    one.began(0)
    one.seen(status(one, 4.0), 0.0)
    assert one.finish_s(KIND, 0.0) == 6.0


def test_unbounded_comes_last_and_who_takes_nothing_behind_that() -> None:
    cloud, closed, open_ = track("cloud"), track("closed", preference=9), track("open")
    cloud.seen(status(cloud, None), 0.0)
    closed.seen(status(closed, 0.0, DeviceState.DRAINING), 0.0)
    open_.seen(status(open_, 50.0), 0.0)
    assert choose([cloud, closed, open_], KIND, 0.0) is open_
    assert choose([cloud, closed], KIND, 0.0) is cloud and math.isinf(cloud.finish_s(KIND, 0.0))
    # All are like that: one of them says why.
    assert choose([closed], KIND, 0.0) is closed
    closed.seen(status(closed, 0.0), 1.0)
    assert choose([cloud, closed, open_], KIND, 1.0) is closed


def test_who_refused_is_left_alone_for_as_long_as_it_said() -> None:
    one, two = track("one", preference=1), track("two")
    one.refused(5.0, 10.0)
    assert choose([one, two], KIND, 14.9) is two and choose([one, two], KIND, 15.1) is one
    two.refused(None, 10.0)
    assert two.away(10.5) and not two.away(11.5)


def test_only_a_few_ahead() -> None:
    for took_s, slots, most in (
        (None, 2, 2 * AHEAD_TASKS),
        (10.0, 3, 3 * AHEAD_TASKS),
        (0.0, 1, MAX_AHEAD_TASKS),
    ):
        found = track(slots=slots)
        if took_s is not None:
            ran(found, took_s)
        count = 0
        while choose([found], KIND, 0.0) is found:
            found.began(0)
            count += 1
        assert count == most
        found.ended(KIND, took_s, 0)
        assert choose([found], KIND, 0.0) is found


def test_each_kind_has_a_mean_of_its_own_and_they_are_bounded() -> None:
    found = ran(track(), 8.0)
    ran(found, 0.5, kind=Kind(b"q", 1, 100))
    assert found.mean_s(KIND) == 8.0 and found.mean_s(Kind(b"q", 1, 100)) == 0.5
    mean_s = found.mean_s(Kind(b"new", 1, 100))
    assert mean_s is not None and 0.5 < mean_s < 8.0
    for number in range(2 * REMEMBERED):
        ran(found, 1.0, kind=Kind(str(number).encode(), 1, 1))
    assert len(found._means) == REMEMBERED


@given(
    st.lists(st.tuples(st.integers(1, 4), st.floats(0.06, 10.0)), min_size=1, max_size=5), st.integers(1, 60)
)
def test_nobody_has_more_than_its_bound_and_the_work_is_balanced(
    devices: list[tuple[int, float]], tasks: int
) -> None:
    tracks = [ran(track(str(k), slots), took_s) for k, (slots, took_s) in enumerate(devices)]
    placed = 0
    while placed < tasks and (found := choose(tracks, KIND, 0.0)) is not None:
        found.began(0)
        placed += 1
    assert placed == min(tasks, sum(track.bound(KIND) for track in tracks))
    for one in tracks:
        assert one.in_flight <= one.bound(KIND)
        # No device was given a task that another one with room would have answered sooner.
        if one.in_flight:
            last_s = one.in_flight * (one.mean_s(KIND) or 0) / one.slots
            for other in tracks:
                if other is not one and other.in_flight < other.bound(KIND):
                    assert last_s <= other.finish_s(KIND, 0.0) + 1e-9
