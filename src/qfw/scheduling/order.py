"""Which session's turn it is on a device: start-time fair queueing on two levels.

Sessions without a reservation are the *rest*: flows of equal weight, served in the order of their start tags. Above
them, the rest and each session with a reservation are served in the same way, with weights: r of a session that
holds the share r, and 1 - Σr of the rest. Goyal, Guo, Vin: "A hierarchical CPU scheduler for multimedia operating
systems", OSDI 1996.

While a set B of those above has tasks waiting, i of B gets the part w_i / Σ_{j in B} w_j of the device's time, within
one task of each (their Theorem 1). Since Σ w ≤ 1 it is never less than w_i: a reservation of r gives r at least, all
others together keep 1 - Σr at least, and what somebody does not use goes to the others in the proportion of their
weights. Unlike a session of the rest, one that holds a reservation does not start anew when it has nothing here:
otherwise one that sends a long task at a time would be served every other time, whatever its share, and the
others' shares would not hold.
"""

from __future__ import annotations

import heapq
from itertools import count

#: What the rest weighs at least.
LEAST_REST = 0.01


class Flow:
    """Somebody whose tasks are in the order."""

    __slots__ = ("finish_tag", "queued", "session")

    def __init__(self, session: int) -> None:
        self.session = session
        #: Where its task before ended, on the scale of its level.
        self.finish_tag = 0.0
        #: Whether it stands in the order.
        self.queued = False


class Order:
    """The flows of one device that have tasks waiting."""

    __slots__ = ("_heap", "_reserved", "_rest_tag", "_shares", "_ties", "_top_time", "_virtual_time")

    def __init__(self) -> None:
        """Without flows and reservations."""
        self._ties = count()
        #: (start tag, tie, flow) of the rest.
        self._heap: list[tuple[float, int, Flow]] = []
        self._virtual_time = 0.0
        #: Share of each session that holds one, 0 to 1; the same triples of those that have tasks waiting.
        self._shares: dict[int, float] = {}
        self._reserved: dict[int, tuple[float, int, Flow]] = {}
        #: The level above: its virtual time, and the start tag of the rest.
        self._top_time = 0.0
        self._rest_tag = 0.0

    def holds_share(self, session: int) -> bool:
        """Whether a session holds a reservation here."""
        return session in self._shares

    def join(self, flow: Flow) -> None:
        """A flow has tasks waiting from now on."""
        flow.queued = True
        if flow.session in self._shares:
            tag = max(self._top_time, flow.finish_tag)
            self._reserved[flow.session] = tag, next(self._ties), flow
            return
        if not self._heap:
            self._rest_tag = max(self._top_time, self._rest_tag)
        heapq.heappush(self._heap, (max(self._virtual_time, flow.finish_tag), next(self._ties), flow))

    def first(self) -> Flow | None:
        """Whose turn it is."""
        if self._reserved:
            found = min(self._reserved.values())
            if not self._heap or found[0] <= self._rest_tag:
                return found[2]
        return self._heap[0][2] if self._heap else None

    def served(self, flow: Flow, cost_s: float, goes_on: bool) -> None:
        """The first one's next task was started; `goes_on`: it has more."""
        entry = self._reserved.get(flow.session)
        if entry is not None:
            tag = self._top_time = entry[0]
            flow.finish_tag = tag + cost_s / self._shares[flow.session]
            if goes_on:
                self._reserved[flow.session] = flow.finish_tag, next(self._ties), flow
            else:
                self.pass_over(flow)
            return
        tag = self._virtual_time = self._heap[0][0]
        flow.finish_tag = tag + cost_s
        if self._shares:
            self._top_time = self._rest_tag
            self._rest_tag += cost_s / max(LEAST_REST, 1.0 - sum(self._shares.values()))
        if goes_on:
            heapq.heapreplace(self._heap, (flow.finish_tag, next(self._ties), flow))
        else:
            self.pass_over(flow)

    def refund(self, flow: Flow, cost_s: float) -> None:
        """What a flow was served was not started after all: it is where it was."""
        share = self._shares.get(flow.session)
        if share is not None:
            flow.finish_tag = max(0.0, flow.finish_tag - cost_s / share)
            entry = self._reserved.get(flow.session)
            if entry is not None:
                self._reserved[flow.session] = max(self._top_time, flow.finish_tag), entry[1], flow
            return
        flow.finish_tag = max(0.0, flow.finish_tag - cost_s)
        if self._shares:
            rest = max(LEAST_REST, 1.0 - sum(self._shares.values()))
            self._rest_tag = max(self._top_time, self._rest_tag - cost_s / rest)
        if flow.queued:
            tag = max(self._virtual_time, flow.finish_tag)
            # A handful of flows: one for each session that has tasks here.
            self._heap = [entry if entry[2] is not flow else (tag, entry[1], flow) for entry in self._heap]
            heapq.heapify(self._heap)

    def pass_over(self, flow: Flow) -> None:
        """The first one has nothing that may start now."""
        flow.queued = False
        if self._reserved.pop(flow.session, None) is None:
            heapq.heappop(self._heap)

    def leave(self, flow: Flow) -> None:
        """A flow, wherever it stands, has nothing waiting any more."""
        flow.queued = False
        if self._reserved.pop(flow.session, None) is None:
            self._heap = [entry for entry in self._heap if entry[2] is not flow]
            heapq.heapify(self._heap)

    def reserve(self, session: int, share: float, flow: Flow | None) -> None:
        """A session holds this share from now on, 0: none; `flow` is its own, if it has one here."""
        before = self._shares.get(session)
        if (before or 0.0) == share:
            return
        moves = before is None or not share
        queued = flow is not None and flow.queued
        if flow is not None and moves:
            if queued:
                self.leave(flow)
            # A tag of the other level says nothing here: it starts anew.
            flow.finish_tag = 0.0
        if share:
            self._shares[session] = share
        else:
            self._shares.pop(session, None)
        if flow is not None and moves and queued:
            self.join(flow)
        if not self._shares:
            self._top_time = self._rest_tag = 0.0
