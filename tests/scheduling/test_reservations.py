"""Shares of reservations, by simulation: whoever always has tasks gets what was reserved, the others the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.task import task_session
from tests.scheduling.test_fair import Site

#: Seconds of a task, and how many of them a measurement takes.
COST_S, LENGTH = 0.3, 4000


class Simulation:
    """Greedy sessions on a device whose workers take as long as their tasks cost."""

    def __init__(self, greedy: Iterable[int], workers: int = 1, cost_s: Callable[[int], float] | None = None):
        self.site = Site()
        self.greedy = set(greedy)
        self.cost_s = cost_s or (lambda session: COST_S)
        for session in self.greedy:
            self.site.open(session)
        for number in range(workers):
            self.site.ready("d", f"w{number}")
        self.now_s = 0.0
        self.ends: list[tuple[float, int]] = []

    def step(self) -> Counter[int]:
        """Until the next task ends: seconds that were begun, by session."""
        served: Counter[int] = Counter()
        for session in self.greedy:
            while len(self.site.queues.get(("d", session), ())) < 3:
                self.site.accept(session, self.cost_s(session))
        for task in self.site.decide():
            served[task_session(task)] += self.site.cost[task]
            self.ends.append((self.now_s + self.site.cost[task], task))
        self.ends.sort()
        self.now_s, task = self.ends.pop(0)
        self.site.end(task)
        return served

    def shares(self, steps: int = LENGTH) -> dict[int, float]:
        """Part of the time that each session gets."""
        total: Counter[int] = Counter()
        for _ in range(steps):
            total.update(self.step())
        return {session: seconds / sum(total.values()) for session, seconds in total.items()}


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.6, 0.8])
def test_a_reservation_beside_five_greedy_sessions(share: float, workers: int) -> None:
    simulation = Simulation(range(1, 7), workers)
    simulation.site.reserve(1, 1, round(1e6 * share))
    shares = simulation.shares()
    assert shares[1] == pytest.approx(share, abs=0.02)
    assert all(shares[other] == pytest.approx((1 - share) / 5, abs=0.02) for other in range(2, 7))


def test_costs_that_differ_change_no_share() -> None:
    """The one with the reservation sends short tasks, the others long ones."""
    simulation = Simulation(range(1, 7), cost_s=lambda session: 0.01 if session == 1 else 0.5)
    simulation.site.reserve(1, 1, 600_000)
    shares = simulation.shares(40_000)
    assert shares[1] == pytest.approx(0.6, abs=0.02)
    assert all(shares[other] == pytest.approx(0.08, abs=0.02) for other in range(2, 7))


def test_two_reservations_and_what_one_leaves() -> None:
    simulation = Simulation([1, 2, 3, 4])
    simulation.site.reserve(1, 1, 500_000)
    simulation.site.reserve(2, 2, 250_000)
    shares = simulation.shares()
    assert shares == pytest.approx({1: 0.5, 2: 0.25, 3: 0.125, 4: 0.125}, abs=0.02)
    # The first has nothing to do: the others have its part in the proportion of theirs.
    simulation.greedy.remove(1)
    for task in list(simulation.site.queues["d", 1]):
        simulation.site.cancel(task)
    shares = simulation.shares()
    assert shares == pytest.approx({2: 0.5, 3: 0.25, 4: 0.25}, abs=0.02)
    # It is back, and has no claim on what it did not use.
    simulation.greedy.add(1)
    shares = simulation.shares(400)
    assert shares == pytest.approx({1: 0.5, 2: 0.25, 3: 0.125, 4: 0.125}, abs=0.02)


def test_a_reservation_without_tasks_costs_nobody_anything() -> None:
    simulation = Simulation([1, 2, 3])
    simulation.site.open(9)
    simulation.site.reserve(9, 1, 800_000)
    assert simulation.shares() == pytest.approx({1: 1 / 3, 2: 1 / 3, 3: 1 / 3}, abs=0.01)


def test_all_are_equal_again_after_its_end() -> None:
    simulation = Simulation([1, 2, 3, 4])
    simulation.site.reserve(1, 1, 700_000)
    simulation.shares()
    simulation.site.give_back(1)
    shares = simulation.shares(400)
    assert all(share == pytest.approx(0.25, abs=0.01) for share in shares.values())


def test_shares_of_one_session_add_up_and_a_renewal_adds_nothing() -> None:
    simulation = Simulation([1, 2])
    simulation.site.reserve(1, 1, 300_000)
    simulation.site.reserve(1, 2, 400_000)
    simulation.site.reserve(1, 2, 400_000)
    assert simulation.shares()[1] == pytest.approx(0.7, abs=0.02)
    simulation.site.give_back(2)
    assert simulation.shares()[1] == pytest.approx(0.3, abs=0.02)


def test_one_that_sends_one_at_a_time_takes_no_more_than_its_share_from_another() -> None:
    """Two reservations; the smaller one's tasks are long, and it sends the next when one ends."""
    simulation = Simulation([1, 3])
    simulation.site.open(2)
    simulation.site.reserve(1, 1, 600_000)
    simulation.site.reserve(2, 2, 100_000)
    total: Counter[int] = Counter()
    for _ in range(LENGTH):
        if not any(task_session(task) == 2 for task in simulation.site.running() + simulation.site.waiting()):
            simulation.site.accept(2, 10 * COST_S)
        total.update(simulation.step())
    shares = {session: seconds / sum(total.values()) for session, seconds in total.items()}
    assert shares[1] >= 0.59 and shares[3] >= 0.29
    assert shares[2] == pytest.approx(0.1, abs=0.02)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    shares=st.lists(st.integers(50_000, 250_000), min_size=1, max_size=3),
    others=st.integers(0, 3),
    workers=st.integers(1, 3),
    costs=st.lists(st.floats(0.05, 1.0), min_size=6, max_size=6),
)
def test_nobody_gets_less_than_was_promised(
    shares: list[int], others: int, workers: int, costs: list[float]
) -> None:
    """Any shares and costs, everybody greedy: each reservation is kept, and the rest keeps 1 - Σr."""
    reserved = range(1, len(shares) + 1)
    rest = range(len(shares) + 1, len(shares) + 1 + others)
    simulation = Simulation([*reserved, *rest], workers, lambda session: costs[session - 1])
    for session, share_ppm in zip(reserved, shares, strict=True):
        simulation.site.reserve(session, session, share_ppm)
    found = simulation.shares(3000)
    for session, share_ppm in zip(reserved, shares, strict=True):
        assert found[session] >= share_ppm / 1e6 - 0.02
    if others:
        free = 1 - sum(shares) / 1e6
        assert sum(found[session] for session in rest) == pytest.approx(free, abs=0.03)
        assert all(found[session] == pytest.approx(free / others, abs=0.03) for session in rest)
