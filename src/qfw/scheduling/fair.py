"""Fair between sessions: start-time fair queueing on estimated cost.

Each session is a flow per device. A flow's next task carries a start tag: the larger of the
device's virtual time and the finish tag of the flow's task before it. The smallest tag goes
first, so a session that was idle goes ahead of one that has been served, whatever the
latter has queued, and of two that always have tasks neither falls behind by more than one task.
Goyal, Vin, Cheng: "Start-time fair queuing", IEEE/ACM ToN 5(5), 1997.

A session with a reservation gets its share of the device while it has tasks waiting, and the others the rest:
`qfw.scheduling.order` derives it. The costs are estimates, so shares are of estimated time.

A flow that has nothing here, neither waiting nor running, starts anew at the virtual time: who sends
one task at a time waits for a free slot and no longer, however long the task before was or was thought
to be. Such a session never has more than one slot.

While one session alone is open, a slot is given short tasks ahead of time, so that it need not
wait for the daemon between them. With several, a slot holds one task: what a newcomer
waits for is then never more than the tasks that run.

A task whose worker died runs again before the others of its flow: it has waited long enough. The second
time it goes behind them: a program that kills its workers must not take one after the other, and one that
was merely where others were killed is not hit again at once.

A task whose program has to be lowered waits for a tool, in no queue. Back from it, it goes before the others of
its flow and priority; those that came back stand in the order in which they were accepted, in whatever order their
tools ended. What its flow was charged for a start that was none is given back.

A device that is in no state of `qfw.model.device.RUNNING` is given nothing; its tasks wait until it is back.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

from qfw.model.device import RUNNING
from qfw.model.events import (
    DeviceReported,
    Event,
    ReservationEnded,
    ReservationGranted,
    SessionClosed,
    SessionOpened,
    TaskAccepted,
    TaskCancelled,
    TaskDone,
    TaskFailed,
    TaskLowered,
    TaskLowering,
    TaskRequeued,
    WorkerLost,
    WorkerReady,
)
from qfw.model.task import task_session
from qfw.scheduling.order import Flow, Order
from qfw.scheduling.scheduler import Decision, Start

#: Cancelled tasks that may stand in the queues of a flow, or as many as wait in it.
MAX_DEAD = 64
#: Interruptions from which on a task goes behind the others.
MAX_AT_HEAD = 2


class _Task:
    """A task that waits or runs."""

    __slots__ = ("cost_s", "flow", "interruptions", "lowered", "number", "order", "priority", "slot", "waits")

    def __init__(
        self, number: int, cost_s: float, priority: int, order: int, flow: _Flow, lowered: int = 0
    ) -> None:
        self.number = number
        self.cost_s = cost_s
        self.priority = priority
        self.order = order
        self.flow = flow
        self.slot: _Slot | None = None
        self.waits = True
        #: How often a worker died under it.
        self.interruptions = 0
        #: How often it came back from a tool.
        self.lowered = lowered


class _Flow(Flow):
    """The tasks of one session that wait for one device."""

    __slots__ = ("dead", "device", "live", "plain", "special", "waiting")

    def __init__(self, session: int, device: _Device) -> None:
        super().__init__(session)
        self.device = device
        #: Tasks of priority 0, first in first out; most tasks are here.
        self.plain: deque[_Task] = deque()
        #: Tasks of other priorities, and those that came back from a tool: (-priority, order, returns, task).
        self.special: list[tuple[int, int, int, _Task]] = []
        #: Tasks that wait; that wait or run; that were cancelled and still stand in a queue.
        self.waiting = 0
        self.live = 0
        self.dead = 0

    def push(self, task: _Task, front: bool = False) -> None:
        self.waiting += 1
        if task.priority or task.lowered:
            heapq.heappush(self.special, (-task.priority, task.order, task.lowered, task))
        elif front:
            self.plain.appendleft(task)
        else:
            self.plain.append(task)

    def head(self) -> _Task | None:
        """The next task; those that were cancelled meanwhile are dropped on the way."""
        while self.special and not self.special[0][-1].waits:
            heapq.heappop(self.special)
            self.dead -= 1
        while self.plain and not self.plain[0].waits:
            self.plain.popleft()
            self.dead -= 1
        if self.special and (not self.plain or self.special[0][0] <= 0):
            return self.special[0][-1]
        return self.plain[0] if self.plain else None

    def pop(self, task: _Task) -> None:
        self.waiting -= 1
        task.waits = False
        if self.plain and self.plain[0] is task:
            self.plain.popleft()
        else:
            heapq.heappop(self.special)

    def bury(self) -> None:
        """Notes that a task was cancelled where it stands; now and then the queues are rid of such."""
        self.waiting -= 1
        self.dead += 1
        if self.dead > max(self.waiting, MAX_DEAD):
            self.plain = deque(task for task in self.plain if task.waits)
            self.special = [entry for entry in self.special if entry[-1].waits]
            heapq.heapify(self.special)
            self.dead = 0


class _Slot:
    """A worker, and what it was given."""

    __slots__ = ("load_s", "name", "offered", "tasks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.tasks: set[int] = set()
        self.load_s = 0.0
        #: Whether it stands in its device's list of slots that may take a task.
        self.offered = False


class _Device:
    __slots__ = ("flows", "name", "open", "order", "runs", "slots", "waiting", "waiting_s")

    def __init__(self, name: str) -> None:
        self.name = name
        self.slots: dict[str, _Slot] = {}
        #: Slots that may take a task, idle ones first.
        self.open: deque[_Slot] = deque()
        self.flows: dict[int, _Flow] = {}
        #: The flows that have tasks waiting.
        self.order = Order()
        #: Tasks that wait, and their estimated seconds.
        self.waiting = 0
        self.waiting_s = 0.0
        #: Whether it is in a state in which tasks are started.
        self.runs = True

    def joined(self, task: _Task) -> None:
        """A task waits from now on."""
        self.waiting += 1
        self.waiting_s += task.cost_s

    def left(self, task: _Task) -> None:
        """A task does not wait any more."""
        self.waiting -= 1
        # Nothing of the rounding stays.
        self.waiting_s = self.waiting_s - task.cost_s if self.waiting else 0.0


class FairScheduler:
    """Start-time fair queueing between the sessions of each device."""

    def __init__(self, prefetch_s: float = 0.001, prefetch_tasks: int = 64) -> None:
        """A slot of a lone session holds up to `prefetch_tasks` tasks of `prefetch_s` seconds in all."""
        self._prefetch_s = prefetch_s
        self._prefetch_tasks = prefetch_tasks
        self._sessions: set[int] = set()
        self._held: set[int] = set()
        self._devices: dict[str, _Device] = {}
        self._tasks: dict[int, _Task] = {}
        #: Device, session and share in millionths of each reservation.
        self._reservations: dict[int, tuple[str, int, int]] = {}
        self._order = count()
        self._dirty: set[str] = set()
        self._handlers: dict[type, Callable[[Any], None]] = {
            SessionOpened: self._session_opened,
            SessionClosed: self._session_closed,
            TaskAccepted: self._accepted,
            TaskDone: self._ended,
            TaskFailed: self._ended,
            TaskCancelled: self._ended,
            TaskRequeued: self._requeued,
            TaskLowering: self._lowering,
            TaskLowered: self._lowered,
            WorkerReady: self._ready,
            WorkerLost: self._lost,
            DeviceReported: self._reported,
            ReservationGranted: self._granted,
            ReservationEnded: self._reservation_ended,
        }

    def limit(self, prefetch_s: float, prefetch_tasks: int) -> None:
        """See Scheduler."""
        self._prefetch_s = prefetch_s
        self._prefetch_tasks = prefetch_tasks

    def observe(self, event: Event) -> None:
        """See Scheduler."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def hold(self, session: int, held: bool) -> None:
        """See Scheduler."""
        if held:
            self._held.add(session)
            return
        self._held.discard(session)
        for device in self._devices.values():
            flow = device.flows.get(session)
            if flow is not None and flow.waiting:
                self._enqueue(flow)

    def waiting(self, device: str) -> int:
        """See Scheduler."""
        found = self._devices.get(device)
        return found.waiting if found else 0

    def work_s(self, device: str) -> float:
        """See Scheduler."""
        found = self._devices.get(device)
        return found.waiting_s + sum(slot.load_s for slot in found.slots.values()) if found else 0.0

    def decide(self, now_ns: int) -> list[Decision]:
        """See Scheduler."""
        if not self._dirty:
            return []
        decisions: list[Decision] = []
        for name in self._dirty:
            self._decide(self._devices[name], decisions)
        self._dirty.clear()
        return decisions

    def _decide(self, device: _Device, decisions: list[Decision]) -> None:
        order, slots = device.order, device.open
        if not device.runs:
            return
        while slots and (flow := order.first()) is not None:
            assert isinstance(flow, _Flow)
            task = flow.head()
            if task is None or flow.session in self._held:
                order.pass_over(flow)
                continue
            slot = slots[0]
            if slot.tasks and not self._may_prefetch(slot, task):
                # Idle slots come first, so nobody can take this task now.
                slots.popleft()
                slot.offered = False
                continue
            slots.popleft()
            flow.pop(task)
            device.left(task)
            order.served(flow, task.cost_s, bool(flow.waiting))
            task.slot = slot
            slot.tasks.add(task.number)
            slot.load_s += task.cost_s
            slots.append(slot)
            decisions.append(Start(task.number, device.name, slot.name))

    def _may_prefetch(self, slot: _Slot, task: _Task) -> bool:
        return (
            len(self._sessions) <= 1
            and len(slot.tasks) < self._prefetch_tasks
            and slot.load_s + task.cost_s <= self._prefetch_s
        )

    def _enqueue(self, flow: _Flow) -> None:
        self._dirty.add(flow.device.name)
        if flow.queued or flow.session in self._held:
            return
        flow.device.order.join(flow)

    def _offer(self, device: _Device, slot: _Slot) -> None:
        self._dirty.add(device.name)
        if not slot.tasks:
            if slot.offered:
                device.open.remove(slot)
            device.open.appendleft(slot)
        elif not slot.offered:
            device.open.append(slot)
        slot.offered = True

    def _device(self, name: str) -> _Device:
        device = self._devices.get(name)
        if device is None:
            device = self._devices[name] = _Device(name)
        return device

    def _session_opened(self, event: SessionOpened) -> None:
        self._sessions.add(event.session)

    def _session_closed(self, event: SessionClosed) -> None:
        self._sessions.discard(event.session)
        self._held.discard(event.session)
        for device in self._devices.values():
            flow = device.flows.get(event.session)
            if flow is not None:
                self._forget(flow)

    def _accepted(self, event: TaskAccepted) -> None:
        quantum = event.task
        device = self._device(quantum.device)
        session = task_session(quantum.number)
        flow = device.flows.get(session)
        if flow is None:
            flow = device.flows[session] = _Flow(session, device)
        task = _Task(quantum.number, event.cost_s, quantum.options.priority, next(self._order), flow)
        self._tasks[task.number] = task
        if not flow.live and not device.order.holds_share(session):
            flow.finish_tag = 0.0
        flow.live += 1
        flow.push(task)
        device.joined(task)
        self._enqueue(flow)

    def _ended(self, event: TaskDone | TaskFailed | TaskCancelled) -> None:
        task = self._tasks.pop(event.task, None)
        if task is None:
            return
        flow = task.flow
        flow.live -= 1
        if task.waits:
            task.waits = False
            self._leave_queue(task)
        else:
            self._release(task)
        self._forget(flow)

    def _leave_queue(self, task: _Task) -> None:
        """A task that waited does not any more, and was not started."""
        flow = task.flow
        flow.bury()
        flow.device.left(task)
        if flow.queued and not flow.waiting:
            flow.device.order.leave(flow)

    def _forget(self, flow: _Flow) -> None:
        """Drops the flow of a closed session that has nothing here any more."""
        if not flow.live and flow.session not in self._sessions:
            flow.device.flows.pop(flow.session, None)

    def _release(self, task: _Task) -> None:
        slot, device = task.slot, task.flow.device
        task.slot = None
        if slot is None or task.number not in slot.tasks:
            return
        slot.tasks.discard(task.number)
        slot.load_s = max(0.0, slot.load_s - task.cost_s) if slot.tasks else 0.0
        if device.slots.get(slot.name) is slot:
            self._offer(device, slot)

    def _requeued(self, event: TaskRequeued) -> None:
        task = self._tasks.get(event.task)
        if task is None or task.waits:
            return
        self._release(task)
        task.waits = True
        task.interruptions += event.interrupted
        # What had not begun is innocent.
        behind = event.interrupted and task.interruptions >= MAX_AT_HEAD
        if behind:
            task.order, task.lowered = next(self._order), 0
        task.flow.push(task, front=not behind)
        task.flow.device.joined(task)
        self._enqueue(task.flow)

    def _lowering(self, event: TaskLowering) -> None:
        task = self._tasks.get(event.task)
        if task is None:
            return
        if task.waits:
            task.waits = False
            self._leave_queue(task)
        elif task.slot is not None:
            # It was picked, and not started after all: its flow is where it was.
            task.flow.device.order.refund(task.flow, task.cost_s)
            self._release(task)

    def _lowered(self, event: TaskLowered) -> None:
        task = self._tasks.get(event.task)
        if task is None or task.waits or task.slot is not None:
            return
        # Another one: where it stood before, it may still stand as one that does not wait.
        cost_s = event.cost_s or task.cost_s
        fresh = _Task(task.number, cost_s, task.priority, task.order, task.flow, task.lowered + 1)
        fresh.interruptions = task.interruptions
        self._tasks[task.number] = fresh
        fresh.flow.push(fresh)
        fresh.flow.device.joined(fresh)
        self._enqueue(fresh.flow)

    def _ready(self, event: WorkerReady) -> None:
        device = self._device(event.device)
        slot = device.slots[event.worker] = _Slot(event.worker)
        self._offer(device, slot)

    def _lost(self, event: WorkerLost) -> None:
        device = self._device(event.device)
        slot = device.slots.pop(event.worker, None)
        if slot is not None and slot.offered:
            device.open.remove(slot)
            slot.offered = False

    def _reported(self, event: DeviceReported) -> None:
        if event.event.state is not None:
            device = self._device(event.device)
            device.runs = event.event.state in RUNNING
            self._dirty.add(device.name)

    def _granted(self, event: ReservationGranted) -> None:
        self._reservations[event.number] = event.device, event.session, event.share_ppm
        self._share(event.device, event.session)

    def _reservation_ended(self, event: ReservationEnded) -> None:
        found = self._reservations.pop(event.number, None)
        if found is not None:
            self._share(found[0], found[1])

    def _share(self, name: str, session: int) -> None:
        """The shares of a session's reservations of a device add up."""
        held = sum(ppm for *of, ppm in self._reservations.values() if of == [name, session])
        device = self._device(name)
        device.order.reserve(session, held / 1_000_000, device.flows.get(session))
