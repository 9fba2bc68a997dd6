"""Streams: what a completion queue adds to a future, and a million tasks through one window."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Iterator

import numpy as np

from benchmarks.measure import Disagreement, Effort, Floats, Outcome, interval, judged, medians, take_turns
from benchmarks.programs import NOTHING, THREE_QUBITS, fresh_parameters
from benchmarks.stack import resident_bytes, three_processes
from qfw.qpi import QStream, Session

#: Tasks of one repetition, one after the other.
IN_A_ROW = 10
FEW, MANY = 10_000, 1_000_000
#: Runs of FEW before and after those of MANY.
AROUND = 6
WINDOW = 4096
MIB = 2**20


def completion(effort: Effort) -> list[Outcome]:
    """A no-op task taken from a completion queue, over one waited for by its future."""
    pairs = effort.pairs(600)
    rows = fresh_parameters(4096, 3)
    with (
        Session() as session,
        session.device("noop").stream() as queued,
        session.device("noop").stream() as plain,
    ):
        queue = queued.completion_queue()

        def ours(index: int) -> None:
            for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW):
                future = queued.run(THREE_QUBITS, rows[k & 4095], outputs=NOTHING, seed=k)
                if queue.get(60).future is not future:
                    raise Disagreement("the queue brought another task")

        def theirs(index: int) -> None:
            for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW):
                plain.run(THREE_QUBITS, rows[k & 4095], outputs=NOTHING, seed=k).result(60)

        pids = three_processes(plain.run(THREE_QUBITS, rows[0], outputs=NOTHING).result(60))
        legs = (ours, theirs, theirs, theirs)
        take_turns(legs, 20)
        wall = np.median(take_turns(legs, pairs // 2, 20), axis=1) / IN_A_ROW
        # This thread reads, takes in and gives: its own time is the cost, without what others on the machine do.
        taken = take_turns(legs, pairs, 20, time.thread_time_ns) / IN_A_ROW
    middle = [float(value) for value in np.median(taken, axis=1)]
    drawn = medians(taken)
    return [
        judged(
            Outcome(
                name="completion_us",
                ours=middle[0],
                peer=middle[1],
                ratio=middle[0] / middle[1],
                goal=20.0,
                ok=True,
                control=middle[2] / middle[3],
                value=middle[0] - middle[1],
                interval=interval(drawn[:, 0] - drawn[:, 1]),
                measure="ours - peer",
                pairs=pairs,
                note="processor time of the client for a task that does nothing: taken from a completion queue; the "
                "peer waits for its future",
                pieces={
                    "control_us": round(middle[2] - middle[3], 2),
                    "wall_us": round(float(wall[0] - wall[1]), 2),
                    "wall_control_us": round(float(wall[2] - wall[3]), 2),
                    "pids": pids,
                },
            )
        )
    ]


class _Million:
    """Tasks of a generator through one window, and what they take."""

    def __init__(self, stream: QStream, daemon: int) -> None:
        self._stream = stream
        self._daemon = daemon
        self._rows: Floats = fresh_parameters(4096, 3)
        self.client_mib: list[float] = []
        self.daemon_mib: list[float] = []

    def _items(self, count: int) -> Iterator[Floats]:
        for k in range(count):
            yield self._rows[k & 4095]

    def __call__(self, count: int) -> float:
        """Tasks per second, from the first submission to the last answer."""
        gc.collect()
        looks = count // 10
        number, last = 0, 0
        began = time.perf_counter()
        for result in self._stream.map(THREE_QUBITS, self._items(count), outputs=NOTHING, seed=1):
            number += 1
            if result.task <= last:
                raise Disagreement("results are not in the order of the items")
            last = result.task
            if count > FEW and number % looks == 0:
                self.client_mib.append(round(resident_bytes(os.getpid()) / MIB, 1))
                self.daemon_mib.append(round(resident_bytes(self._daemon) / MIB, 1))
        ended = time.perf_counter()
        if number != count:
            raise Disagreement(f"{number} tasks were answered, not {count}")
        return count / (ended - began)


def million(effort: Effort) -> list[Outcome]:
    """No-op tasks of a generator through a window, many over few."""
    count = min(MANY, max(10 * FEW, int(MANY * effort.share)))
    with Session() as session, session.device("noop").stream(window=WINDOW) as stream:
        pids = three_processes(stream.run(THREE_QUBITS, np.zeros(3), outputs=NOTHING).result(60))
        run = _Million(stream, pids["daemon"])
        run(FEW)
        before = [run(FEW) for _ in range(AROUND)]
        many = run(count)
        after = [run(FEW) for _ in range(AROUND)]
    few = float(np.median(before + after))
    drawn = medians(np.array([before + after]))[:, 0]
    return [
        judged(
            Outcome(
                name="million",
                ours=many,
                peer=few,
                ratio=many / few,
                goal=0.8,
                ok=True,
                control=float(np.median(before) / np.median(after)),
                value=many / few,
                interval=interval(many / drawn),
                better="higher",
                unit="tasks/s",
                pairs=1,
                note=f"rate of {count} tasks through a window of {WINDOW} over the rate of {FEW}, both ours; the "
                "control is few before over few after",
                pieces={
                    # At each tenth.
                    "client_mib": run.client_mib,
                    "daemon_mib": run.daemon_mib,
                    "client_growth_mib": round(run.client_mib[-1] - run.client_mib[0], 1),
                    "daemon_growth_mib": round(run.daemon_mib[-1] - run.daemon_mib[0], 1),
                    "pids": pids,
                },
            )
        )
    ]
