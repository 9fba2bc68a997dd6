"""Many tasks in flight: the rate with 100 000 of them over that with 10 000, and the memory."""

from __future__ import annotations

import gc
import os
import time

import numpy as np

from benchmarks.measure import Disagreement, Effort, Floats, Outcome, interval, judged, medians, orders
from benchmarks.programs import NOTHING, THREE_QUBITS, fresh_parameters
from benchmarks.stack import WORKERS, resident_bytes, three_processes
from qfw.config.discover import runtime_dir
from qfw.qpi import QStream, Request, Session
from qfw.qpm.remote import Observer

FEW, MANY = 10_000, 100_000
MIB = 2**20


class _Flight:
    """Fills the stack with tasks, and then collects them all."""

    def __init__(self, stream: QStream, observer: Observer, daemon: int) -> None:
        self._stream = stream
        self._observer = observer
        self._daemon = daemon
        self._rows: Floats = fresh_parameters(MANY, 3)
        self.client_bytes = self.daemon_bytes = 0.0
        self.live = 0
        self.submit_us = 0.0

    def __call__(self, count: int) -> float:
        """Tasks per second, from the first submission to the last answer."""
        gc.collect()
        before = resident_bytes(os.getpid()), resident_bytes(self._daemon)
        began = time.perf_counter()
        futures = self._stream.run_many(
            [Request(THREE_QUBITS, self._rows[k], outputs=NOTHING, seed=k) for k in range(count)]
        )
        submitted = time.perf_counter()
        if not futures[-1].settled and count == MANY:
            self.live = max(self.live, self._observer.counters().live_tasks)
            held = resident_bytes(os.getpid()), resident_bytes(self._daemon)
            self.client_bytes = max(self.client_bytes, (held[0] - before[0]) / count)
            self.daemon_bytes = max(self.daemon_bytes, (held[1] - before[1]) / count)
            self.submit_us = (submitted - began) / count * 1e6
        in_flight = self._stream.device.session.client.open_tasks
        if in_flight != count:
            raise Disagreement(f"{in_flight} tasks were in flight, not {count}")
        for future in futures:
            future.result(120)
        ended = time.perf_counter()
        numbers = {future.result().task for future in futures}
        if len(numbers) != count:
            raise Disagreement(f"{len(numbers)} tasks were answered, not {count}")
        return count / (ended - began)


def tasks_in_flight(effort: Effort) -> list[Outcome]:
    """No-op tasks, submitted in one call before the first result is read."""
    rounds = effort.pairs(12)
    with Session() as session, session.device("noop").stream() as stream, Observer(runtime_dir()) as observer:
        pids = three_processes(stream.run(THREE_QUBITS, np.zeros(3), outputs=NOTHING).result(60))
        flight = _Flight(stream, observer, pids["daemon"])
        counts = (MANY, FEW, FEW, FEW)
        for count in counts[:2]:
            flight(count)
        rates = np.empty((len(counts), rounds))
        client_mib, daemon_mib = [], []
        sequence = orders(len(counts))
        for index in range(rounds):
            for leg in sequence[index % len(sequence)]:
                rates[leg, index] = flight(counts[leg])
            client_mib.append(round(resident_bytes(os.getpid()) / MIB, 1))
            daemon_mib.append(round(resident_bytes(pids["daemon"]) / MIB, 1))
    many, few, third, fourth = (float(value) for value in np.median(rates, axis=1))
    drawn = medians(rates)
    pieces = {
        "live_in_daemon_after_submission": flight.live,
        "submit_us_per_task": round(flight.submit_us, 2),
        "client_bytes_per_task": round(flight.client_bytes),
        "daemon_bytes_per_task": round(flight.daemon_bytes),
        "client_mib_after_each_round": client_mib,
        "daemon_mib_after_each_round": daemon_mib,
        "pids": pids,
    }
    kept = judged(
        Outcome(
            name="tasks_in_flight",
            ours=many,
            peer=few,
            ratio=many / few,
            goal=0.7,
            ok=True,
            control=third / fourth,
            value=many / few,
            interval=interval(drawn[:, 0] / drawn[:, 1]),
            better="higher",
            unit="tasks/s",
            pairs=rounds,
            note=f"rate with {MANY} tasks in flight over the rate with {FEW}, both ours",
            pieces=pieces,
        )
    )
    rate = judged(
        Outcome(
            name="tasks_in_flight_rate",
            ours=many,
            peer=None,
            ratio=None,
            goal=20_000.0,
            ok=True,
            control=None,
            value=many,
            interval=interval(drawn[:, 0]),
            measure="tasks/s",
            better="higher",
            unit="tasks/s",
            pairs=rounds,
            note=f"{MANY} tasks in flight, {WORKERS} workers",
        )
    )
    return [kept, rate]
