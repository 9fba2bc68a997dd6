"""FairScheduler as a pure function of events."""

from __future__ import annotations

from collections import Counter, deque
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qfw.model.device import RUNNING, DeviceState
from qfw.model.events import (
    DeviceEvent,
    DeviceEventKind,
    DeviceReported,
    ReservationEnded,
    ReservationGranted,
    SessionClosed,
    SessionOpened,
    TaskAccepted,
    TaskCancelled,
    TaskDone,
    TaskLowered,
    TaskLowering,
    TaskRequeued,
    WorkerLost,
    WorkerReady,
)
from qfw.model.task import QuantumTask, TaskOptions, TaskState, task_number, task_session
from qfw.scheduling.fair import FairScheduler

PREFETCH_S = 0.001
PREFETCH_TASKS = 4


class Site:
    """A scheduler and a plain model of what it was told; every decision is held against the model."""

    def __init__(self) -> None:
        self.scheduler = FairScheduler(PREFETCH_S, PREFETCH_TASKS)
        self.sequence: dict[int, int] = {}
        self.sessions: set[int] = set()
        self.held: set[int] = set()
        self.cost: dict[int, float] = {}
        self.device: dict[int, str] = {}
        self.priority: dict[int, int] = {}
        self.interruptions: Counter[int] = Counter()
        #: Waiting tasks of each (device, session), in the order in which they shall start.
        self.queues: dict[tuple[str, int], deque[int]] = {}
        #: What each slot holds, by device.
        self.slots: dict[str, dict[str, list[int]]] = {}
        #: Reservations by number: session and millionths.
        self.reserved: dict[int, tuple[int, int]] = {}
        #: Every start, in order.
        self.starts: list[int] = []
        #: By task: its place in the order of acceptance; those that came back from a tool; those that are there.
        self.order: dict[int, int] = {}
        self.orders = count()
        self.returned: set[int] = set()
        self.away: list[int] = []

    def open(self, session: int) -> None:
        self.sessions.add(session)
        self.scheduler.observe(SessionOpened(0, session, 0, 0, ""))

    def close(self, session: int) -> None:
        self.sessions.discard(session)
        self.held.discard(session)
        self.scheduler.observe(SessionClosed(0, session, ""))

    def ready(self, device: str, slot: str) -> None:
        self.slots.setdefault(device, {})[slot] = []
        self.scheduler.observe(WorkerReady(0, device, slot, 1))

    def accept(self, session: int, cost_s: float = 1.0, priority: int = 0, device: str = "d") -> int:
        self.sequence[session] = self.sequence.get(session, 0) + 1
        number = task_number(session, self.sequence[session])
        options = TaskOptions(priority=priority)
        task = QuantumTask(number, device, b"", b"", 1, b"", 0, 0, options)
        self.cost[number], self.device[number], self.priority[number] = cost_s, device, priority
        self.order[number] = next(self.orders)
        self.place(number)
        self.scheduler.observe(TaskAccepted(0, task, cost_s))
        return number

    def place(self, task: int, behind: bool = True) -> None:
        """Puts a task among those of its session, priority first.

        Of priority 0 come first those that came back from a tool, in the order of acceptance; then those that were
        requeued; then the others. Those of another priority stand in the order of acceptance.
        """
        queue = self.queues.setdefault((self.device[task], task_session(task)), deque())
        priority, order = self.priority[task], self.order[task]

        def goes_before(other: int) -> bool:
            if self.priority[other] != priority:
                return self.priority[other] < priority
            if priority:
                return self.order[other] > order
            if task in self.returned:
                return other not in self.returned or self.order[other] > order
            return not behind and other not in self.returned

        # From the end, where most belong: there may be ten thousand.
        at = len(queue)
        while at and goes_before(queue[at - 1]):
            at -= 1
        queue.insert(at, task)

    def take(self, task: int) -> None:
        """Out of its queue or slot."""
        queue = self.queues[self.device[task], task_session(task)]
        if task in queue:
            queue.remove(task)
        for held in self.slots.get(self.device[task], {}).values():
            if task in held:
                held.remove(task)

    def lower(self, task: int) -> None:
        self.take(task)
        self.away.append(task)
        self.scheduler.observe(TaskLowering(0, task, TaskState.COMPILING, "v"))

    def lowered(self, task: int, cost_s: float = 0.0) -> None:
        self.away.remove(task)
        self.returned.add(task)
        self.cost[task] = cost_s or self.cost[task]
        self.place(task)
        self.scheduler.observe(TaskLowered(0, task, b"", "v", cost_s))

    def decide(self) -> list[int]:
        """Takes the decisions, each checked; the tasks that start."""
        found = []
        for start in self.scheduler.decide(0):
            device, session = self.device[start.task], task_session(start.task)
            assert start.device == device
            queue = self.queues[device, session]
            assert session not in self.held, "a held session's task was started"
            assert queue.popleft() == start.task, "not the first of its session"
            held = self.slots[device][start.slot]
            if held:
                assert len(self.sessions) <= 1, "given ahead although others are here"
                assert len(held) < PREFETCH_TASKS
                total = sum(self.cost[task] for task in [*held, start.task])
                assert total <= PREFETCH_S * (1 + 1e-9), "given ahead more than allowed"
                idle = [slot for slot, tasks in self.slots[device].items() if not tasks]
                assert not idle, "given ahead to a busy slot while another is idle"
            held.append(start.task)
            found.append(start.task)
        self.starts += found
        return found

    def running(self) -> list[int]:
        return [task for slots in self.slots.values() for held in slots.values() for task in held]

    def waiting(self) -> list[int]:
        return [task for queue in self.queues.values() for task in queue]

    def end(self, task: int) -> None:
        for held in self.slots[self.device[task]].values():
            if task in held:
                held.remove(task)
        self.scheduler.observe(TaskDone(0, task, 1, 1, 0, 0, 0, True, 0, None))

    def cancel(self, task: int) -> None:
        self.take(task)
        if task in self.away:
            self.away.remove(task)
        self.scheduler.observe(TaskCancelled(0, task, ""))

    def requeue(self, task: int, interrupted: bool = True) -> None:
        self.take(task)
        self.interruptions[task] += interrupted
        behind = interrupted and self.interruptions[task] >= 2
        if behind:
            self.order[task] = next(self.orders)
            self.returned.discard(task)
        self.place(task, behind)
        self.scheduler.observe(TaskRequeued(0, task, 1, "", interrupted))

    def lose(self, device: str, slot: str) -> None:
        """As the daemon tells it: its tasks are requeued, the youngest first, then the slot is gone."""
        held = self.slots[device][slot]
        first = held[0] if held else None
        for task in sorted(held, reverse=True):
            if task_session(task) in self.sessions:
                self.requeue(task, task == first)
            else:
                self.cancel(task)
        del self.slots[device][slot]
        self.scheduler.observe(WorkerLost(0, device, slot, 1, ""))

    def reserve(self, session: int, number: int, share_ppm: int, device: str = "d") -> None:
        self.reserved[number] = session, share_ppm
        self.scheduler.observe(ReservationGranted(0, session, device, number, 1, share_ppm, 0))

    def give_back(self, number: int, device: str = "d") -> None:
        del self.reserved[number]
        self.scheduler.observe(ReservationEnded(0, device, number, ""))

    def hold(self, session: int, held: bool) -> None:
        (self.held.add if held else self.held.discard)(session)
        self.scheduler.hold(session, held)

    def check_no_idle_slot(self) -> None:
        for device, slots in self.slots.items():
            if any(not held for held in slots.values()):
                stuck = [
                    task
                    for (on, session), queue in self.queues.items()
                    if on == device and session not in self.held
                    for task in queue
                ]
                assert not stuck, "a slot is idle while tasks wait"

    def check_nothing_left(self) -> None:
        """After the last task and session: no trace but the slots."""
        scheduler = self.scheduler
        assert not scheduler._tasks and not scheduler._sessions and not scheduler._held
        assert not scheduler._reservations
        for device in scheduler._devices.values():
            assert not device.flows and device.order.first() is None and device.waiting == 0
            assert len(device.open) == len(set(device.open)) == len(device.slots)
            for slot in device.slots.values():
                assert not slot.tasks and slot.load_s == 0.0


class RandomSite(RuleBasedStateMachine):
    """Random operations in random order; the model is asked after each."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site()
        self.numbers = count(1)
        self.slots = count(1)

    @rule()
    def open(self) -> None:
        if len(self.site.sessions) < 4:
            self.site.open(next(self.numbers))

    @precondition(lambda self: self.site.sessions)
    @rule(
        data=st.data(),
        costs=st.lists(st.sampled_from([0.0, 1e-6, 3e-4, 6e-4, 2e-3, 1.0]), min_size=1, max_size=6),
        priority=st.sampled_from([0, 0, 0, 5, -5]),
        device=st.sampled_from(["d", "d", "e"]),
    )
    def accept(self, data: st.DataObject, costs: list[float], priority: int, device: str) -> None:
        session = data.draw(st.sampled_from(sorted(self.site.sessions)))
        for cost_s in costs:
            self.site.accept(session, cost_s, priority, device)

    @rule(device=st.sampled_from(["d", "d", "e"]))
    def ready(self, device: str) -> None:
        if len(self.site.slots.get(device, ())) < 3:
            self.site.ready(device, f"{device}/{next(self.slots)}")

    @precondition(lambda self: self.site.running())
    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        self.site.end(data.draw(st.sampled_from(self.site.running())))

    @precondition(lambda self: self.site.running() or self.site.waiting())
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.site.cancel(data.draw(st.sampled_from(self.site.waiting() + self.site.running())))

    @precondition(lambda self: self.site.running() or self.site.waiting())
    @rule(data=st.data())
    def lower(self, data: st.DataObject) -> None:
        self.site.lower(data.draw(st.sampled_from(self.site.waiting() + self.site.running())))

    @precondition(lambda self: self.site.away)
    @rule(data=st.data(), cost_s=st.sampled_from([0.0, 0.0, 1e-6, 1.0]))
    def lowered(self, data: st.DataObject, cost_s: float) -> None:
        self.site.lowered(data.draw(st.sampled_from(self.site.away)), cost_s)

    @precondition(lambda self: any(self.site.slots.values()))
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(sorted(name for name, slots in self.site.slots.items() if slots)))
        self.site.lose(device, data.draw(st.sampled_from(sorted(self.site.slots[device]))))

    @precondition(lambda self: self.site.sessions)
    @rule(data=st.data(), held=st.booleans())
    def hold(self, data: st.DataObject, held: bool) -> None:
        self.site.hold(data.draw(st.sampled_from(sorted(self.site.sessions))), held)

    @precondition(lambda self: self.site.sessions)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.close_one(data.draw(st.sampled_from(sorted(self.site.sessions))))

    @precondition(lambda self: self.site.sessions)
    @rule(data=st.data(), share_ppm=st.sampled_from([1, 100_000, 300_000]))
    def reserve(self, data: st.DataObject, share_ppm: int) -> None:
        if sum(ppm for _, ppm in self.site.reserved.values()) + share_ppm <= 900_000:
            session = data.draw(st.sampled_from(sorted(self.site.sessions)))
            self.site.reserve(session, next(self.numbers), share_ppm)

    @precondition(lambda self: self.site.reserved)
    @rule(data=st.data())
    def give_back(self, data: st.DataObject) -> None:
        self.site.give_back(data.draw(st.sampled_from(sorted(self.site.reserved))))

    def close_one(self, session: int) -> None:
        """As the daemon does: its reservations and what waits end, what runs ends in its own time."""
        for number, (owner, _) in list(self.site.reserved.items()):
            if owner == session:
                self.site.give_back(number)
        for task in self.site.waiting() + self.site.away:
            if task_session(task) == session:
                self.site.cancel(task)
        self.site.close(session)

    @rule()
    def decide(self) -> None:
        self.site.decide()
        self.site.check_no_idle_slot()

    @invariant()
    def counts_agree(self) -> None:
        by_device = Counter(self.site.device[task] for task in self.site.waiting())
        for device in ("d", "e"):
            assert self.site.scheduler.waiting(device) == by_device[device]

    def teardown(self) -> None:
        site = self.site
        for session in sorted(site.sessions):
            self.close_one(session)
        site.decide()
        for task in site.running():
            site.end(task)
        site.decide()
        site.check_nothing_left()


RandomSite.TestCase.settings = settings(
    max_examples=120, stateful_step_count=40, deadline=None, derandomize=True
)
TestRandomSite = RandomSite.TestCase


def one_beside_many(site: Site, workers: int, costs: list[float], single: list[float]) -> list[int]:
    """How many of session 1 start between the acceptance and the start of each task of session 2.

    Session 1 has all of `costs` queued; session 2 sends `single` one at a time. Workers take as long as
    their tasks cost.
    """
    site.open(1)
    site.open(2)
    for number in range(workers):
        site.ready("d", f"w{number}")
    for cost_s in costs:
        site.accept(1, cost_s)
    now_s, ends = 0.0, []
    to_send = deque(single)
    accepted_at: dict[int, int] = {}
    passed: list[int] = []
    sent: int | None = None
    while len(passed) < len(single):
        if sent is None:
            sent = site.accept(2, to_send.popleft())
            accepted_at[sent] = len(site.starts)
        for task in site.decide():
            ends.append((now_s + site.cost[task], task))
            if task_session(task) == 2:
                passed.append(site.starts.index(task) - accepted_at[task])
        if not ends:
            break
        ends.sort()
        now_s, task = ends.pop(0)
        site.end(task)
        if task == sent:
            sent = None
    return passed


def test_one_at_a_time_beside_ten_thousand() -> None:
    workers = 2
    passed = one_beside_many(Site(), workers, [1.0] * 10_000, [1.0] * 200)
    assert len(passed) == 200
    assert max(passed) <= 2 * workers


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    workers=st.integers(1, 5),
    costs=st.lists(st.floats(0.0, 100.0), min_size=60, max_size=120),
    single=st.lists(st.floats(0.0, 100.0), min_size=1, max_size=12),
)
def test_who_sends_one_at_a_time_waits_for_few_starts(
    workers: int, costs: list[float], single: list[float]
) -> None:
    assert max(one_beside_many(Site(), workers, costs, single)) <= 2 * workers


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    workers=st.integers(1, 4),
    light=st.lists(st.floats(0.1, 2.0), min_size=5, max_size=30),
    heavy=st.lists(st.floats(2.0, 10.0), min_size=5, max_size=30),
)
def test_two_who_always_have_tasks_are_served_alike(
    workers: int, light: list[float], heavy: list[float]
) -> None:
    """By cost: the two never differ by more than a task of each (the bound of start-time fair queueing)."""
    site = Site()
    for session in (1, 2):
        site.open(session)
    for number in range(workers):
        site.ready("d", f"w{number}")
    for session, costs in ((1, light), (2, heavy)):
        for cost_s in costs * 5:
            site.accept(session, cost_s)
    served = {1: 0.0, 2: 0.0}
    bound = max(light) + max(heavy)
    while all(site.queues["d", session] for session in (1, 2)):
        for task in site.decide():
            served[task_session(task)] += site.cost[task]
            if not all(site.queues["d", session] for session in (1, 2)):
                return
            assert abs(served[1] - served[2]) <= bound + 1e-6
        site.end(site.running()[0])


def test_idle_session_keeps_no_claim_on_the_past() -> None:
    """One that comes late does not get all the time that it did not use before."""
    site = Site()
    site.open(1)
    site.open(2)
    site.ready("d", "w")
    for _ in range(200):
        site.accept(1)
    for _ in range(100):
        site.decide()
        site.end(site.running()[0])
    for _ in range(100):
        site.accept(2)
    late = []
    for _ in range(40):
        late += site.decide()
        site.end(site.running()[0])
    assert 19 <= sum(task_session(task) == 2 for task in late) <= 21


def test_lone_session_is_given_short_tasks_ahead_and_long_ones_not() -> None:
    site = Site()
    site.open(1)
    site.ready("d", "w")
    for _ in range(10):
        site.accept(1, 1e-4)
    assert len(site.decide()) == PREFETCH_TASKS
    for task in site.running():
        site.end(task)
    site = Site()
    site.open(1)
    site.ready("d", "w")
    for _ in range(10):
        site.accept(1, 1.0)
    assert len(site.decide()) == 1


def test_second_session_ends_the_giving_ahead() -> None:
    site = Site()
    site.open(1)
    site.ready("d", "w")
    for _ in range(10):
        site.accept(1, 1e-4)
    first = site.decide()
    assert len(first) == PREFETCH_TASKS
    site.open(2)
    mine = site.accept(2, 1e-4)
    for task in first[:-1]:
        site.end(task)
        assert site.decide() == []
    site.end(first[-1])
    assert site.decide() == [mine]


@pytest.mark.parametrize("priority", [0, 7])
def test_cancelled_tasks_leave_nothing_while_a_long_one_runs(priority: int) -> None:
    """A session that queues and cancels all day, behind a task that runs all day."""
    site = Site()
    site.open(1)
    site.ready("d", "w")
    site.accept(1, 1e6)
    site.decide()
    keeper = site.accept(1, 1.0)
    for _ in range(50):
        for task in [site.accept(1, 1.0, priority) for _ in range(100)]:
            site.cancel(task)
        site.decide()
    flow = site.scheduler._devices["d"].flows[1]
    assert len(flow.plain) + len(flow.special) < 300
    assert len(site.scheduler._tasks) == 2
    site.end(site.running()[0])
    assert site.decide() == [keeper]


def test_sessions_that_never_had_a_slot_leave_nothing() -> None:
    """A device whose workers do not start: its sessions come, queue and go."""
    site = Site()
    for session in range(1, 50):
        site.open(session)
        for task in [site.accept(session) for _ in range(20)]:
            site.cancel(task)
        site.close(session)
        site.decide()
    site.check_nothing_left()


def test_cost_that_is_no_cost_does_not_stop_the_others() -> None:
    site = Site()
    site.open(1)
    site.open(2)
    site.ready("d", "w")
    first = [site.accept(1, 0.0) for _ in range(50)]
    second = [site.accept(2, 0.0) for _ in range(50)]
    order = []
    for _ in range(100):
        order += site.decide()
        site.end(site.running()[0])
    assert set(order) == {*first, *second}
    assert max(order.index(second[n]) - 2 * n for n in range(50)) <= 2


@pytest.mark.parametrize("priority", [0, 7, -7])
def test_a_task_under_which_workers_die_lets_the_others_go_first(priority: int) -> None:
    site = Site()
    site.open(1)
    poison, *others = [site.accept(1, 1.0, priority) for _ in range(5)]
    for life in range(2):
        site.ready("d", f"w{life}")
        assert site.decide() == [poison]
        site.lose("d", f"w{life}")
    site.ready("d", "w")
    order = []
    while started := site.decide():
        order += started
        site.end(started[0])
    assert order == [*others, poison]


def test_what_was_only_given_ahead_stays_at_the_head() -> None:
    site = Site()
    site.open(1)
    tasks = [site.accept(1, 1e-4) for _ in range(10)]
    for life in range(2):
        site.ready("d", f"w{life}")
        assert site.decide() == tasks[:PREFETCH_TASKS]
        site.lose("d", f"w{life}")
    site.ready("d", "w")
    assert site.decide() == tasks[1 : PREFETCH_TASKS + 1]


def accepted(scheduler: FairScheduler, sequence: int, cost_s: float = 1.0, session: int = 1) -> int:
    number = task_number(session, sequence)
    task = QuantumTask(number, "d", b"", b"", 1, b"", 0, 0, TaskOptions())
    scheduler.observe(TaskAccepted(0, task, cost_s))
    return number


def said(scheduler: FairScheduler, state: DeviceState | None) -> None:
    event = DeviceEvent(1, DeviceEventKind.STATE, 0, "", state)
    scheduler.observe(DeviceReported(0, "d", event))


@pytest.mark.parametrize("state", list(DeviceState))
def test_a_device_is_given_tasks_in_states_of_running_only(state: DeviceState) -> None:
    scheduler = FairScheduler(0.0)
    scheduler.observe(SessionOpened(0, 1, 0, 0, ""))
    said(scheduler, state)
    first, second = accepted(scheduler, 1), accepted(scheduler, 2)
    scheduler.observe(WorkerReady(0, "d", "d/1", 1))
    begun = [start.task for start in scheduler.decide(0)]
    assert begun == ([first] if state in RUNNING else [])
    # What changes nothing starts nothing.
    said(scheduler, None)
    assert scheduler.decide(0) == [] and scheduler.waiting("d") == (1 if begun else 2)
    said(scheduler, DeviceState.ONLINE)
    if not begun:
        assert [start.task for start in scheduler.decide(0)] == [first]
    # Away while one runs: the next one waits until it is back, without a new task or slot.
    said(scheduler, DeviceState.CALIBRATING)
    scheduler.observe(TaskDone(0, first, 1, 1, 0, 0, 0, True, 0, None))
    assert scheduler.decide(0) == []
    said(scheduler, DeviceState.ONLINE)
    assert [start.task for start in scheduler.decide(0)] == [second]


def test_the_work_of_a_device_is_what_waits_and_what_runs() -> None:
    scheduler = FairScheduler(0.0)
    scheduler.observe(SessionOpened(0, 1, 0, 0, ""))
    assert scheduler.work_s("d") == 0.0
    numbers = [accepted(scheduler, sequence, 0.1 * sequence) for sequence in range(1, 5)]
    assert scheduler.work_s("d") == pytest.approx(1.0)
    scheduler.observe(WorkerReady(0, "d", "d/1", 1))
    (start,) = scheduler.decide(0)
    assert start.task == numbers[0] and scheduler.work_s("d") == pytest.approx(1.0)
    scheduler.observe(TaskRequeued(0, numbers[0], 1, "died", True))
    assert scheduler.work_s("d") == pytest.approx(1.0)
    scheduler.observe(TaskCancelled(0, numbers[3], ""))
    assert scheduler.work_s("d") == pytest.approx(0.6)
    for number in numbers[:3]:
        scheduler.observe(TaskCancelled(0, number, ""))
    # Nothing of the rounding is left.
    assert scheduler.work_s("d") == 0.0


def test_those_that_come_back_from_a_tool_start_in_the_order_of_their_acceptance() -> None:
    site = Site()
    site.open(1)
    tasks = [site.accept(1) for _ in range(6)]
    high = site.accept(1, priority=3)
    for task in (tasks[0], tasks[1], tasks[3], high):
        site.lower(task)
    for task in (tasks[3], tasks[0], tasks[1], high):
        site.lowered(task)
    site.ready("d", "w")
    order = [high, tasks[0], tasks[1], tasks[3], tasks[2], tasks[4], tasks[5]]
    for task in order:
        assert site.decide() == [task]
        site.end(task)


def test_a_task_that_is_lowered_while_it_waits_is_started_once() -> None:
    site = Site()
    site.open(1)
    for priority in (0, 5):
        task = site.accept(1, priority=priority)
        for _ in range(3):
            site.lower(task)
            site.lowered(task)
    site.ready("d", "w")
    for _ in range(2):
        (task,) = site.decide()
        site.end(task)
    assert site.decide() == []
    site.close(1)
    site.check_nothing_left()


def test_a_session_whose_tasks_are_all_lowered_again_is_charged_for_none() -> None:
    """Else its thousand tasks would stand behind a thousand of the others."""
    site = Site()
    for session in (1, 2):
        site.open(session)
    site.ready("d", "w")
    mine = [site.accept(1) for _ in range(1000)]
    others = [site.accept(2) for _ in range(100)]
    while len(site.away) < len(mine):
        for task in site.decide():
            if task in mine:
                site.lower(task)
            else:
                site.end(task)
    waited = len(site.starts)
    for task in reversed(mine):
        site.lowered(task)
    for _ in range(40):
        for task in site.decide():
            site.end(task)
    starts = Counter(map(task_session, site.starts[waited:]))
    assert abs(starts[1] - starts[2]) <= 1 or not set(others) - set(site.starts), starts
    assert starts[1] >= 19
