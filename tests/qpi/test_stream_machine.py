"""Random histories of streams: nothing lost, nothing twice, order kept, whatever fails or is cancelled."""

from __future__ import annotations

import concurrent.futures as cf
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from qfw.model.errors import DependencyFailed, TaskCancelled, TooLarge, UsageError
from qfw.model.outputs import Output
from qfw.model.program import Gate, Program
from qfw.qpi import Completion, CompletionQueue, Device, QStream, Request, Session, TaskFuture
from qfw.qpi.completions import CompletionKind
from tests.stack import LIMIT_S, SHORT, long_program, runtime_folder

OPERATIONS = 10_000
#: Of ten histories each; two or three are enough, as a rule.
MOST_ROUNDS = 12
#: How operations of the histories may end.
EXPECTED = (ZeroDivisionError, DependencyFailed, TaskCancelled, TooLarge)
#: No device holds it: its task fails.
TOO_WIDE = Program(60, 0, 0, (Gate("h", (0,)),))
SLOW = long_program(gates=8, qubits=12)


class Pair:
    """A Ground of two devices of different speed, each with room for a few tasks."""

    def __init__(self, devices: Sequence[Device], most: int) -> None:
        self.devices = tuple(devices)
        self._most = most
        self.open = dict.fromkeys(self.devices, 0)
        self._lock = threading.Lock()
        self._wakes: list[Callable[[], None]] = []

    def place(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        sets: int,
        shots: int,
        lowered: bool,
        device: str | Device | None = None,
    ) -> Device | None:
        assert device is None
        fast, slow = self.devices
        free = [
            device for device in (slow if program is SLOW else fast, slow) if self.open[device] < self._most
        ]
        return free[0] if free else None

    def when_room(self, wake: Callable[[], None]) -> None:
        with self._lock:
            self._wakes.append(wake)

    def named(self, device: Device, task: int) -> None:
        assert task

    def again(self, device: Device, error: BaseException) -> bool:
        return False

    def began(
        self, device: Device, sets: int, shots: int, program: Program | None = None, task: int = 0
    ) -> None:
        with self._lock:
            self.open[device] += 1
        assert self.open[device] <= self._most

    def ended(
        self,
        device: Device,
        sets: int,
        shots: int,
        took_s: float | None,
        program: Program | None = None,
        task: int = 0,
    ) -> None:
        with self._lock:
            self.open[device] -= 1
            assert self.open[device] >= 0
            wakes, self._wakes = self._wakes, []
        for wake in wakes:
            wake()


@dataclass
class Followed:
    """A stream and what is to come of it."""

    stream: QStream
    futures: list[TaskFuture] = field(default_factory=list)
    barriers: set[int] = field(default_factory=set)
    #: Queues, with the number of the first operation that they are to bring, and what they brought.
    queues: list[tuple[CompletionQueue, int, list[Completion]]] = field(default_factory=list)


def fail(*_: Any) -> None:
    raise ZeroDivisionError("of the test")


class Histories(RuleBasedStateMachine):
    session: ClassVar[Session]
    operations: ClassVar[int] = 0
    kinds_seen: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        super().__init__()
        fast, slow = self.session.device("noop"), self.session.device("reference")
        self.pair = Pair((fast, slow), 16)
        self.followed = [
            Followed(fast.stream()),
            Followed(fast.stream(window=40)),
            Followed(fast.stream(order="ordered")),
            Followed(slow.stream(order="ordered", on_failure="stop")),
            Followed(QStream(self.pair, window=200)),
            Followed(QStream(self.pair, order="ordered")),
        ]

    streams = st.integers(0, 5)

    def did(self, followed: Followed, futures: Sequence[TaskFuture]) -> None:
        followed.futures += futures
        # Of all rounds together.
        Histories.operations += len(futures)

    @rule(at=streams, count=st.integers(1, 300), slow=st.booleans())
    def run_many(self, at: int, count: int, slow: bool) -> None:
        followed = self.followed[at]
        program, rows = (SLOW, count // 8 + 1) if slow and at >= 3 else (SHORT, count)
        try:
            self.did(followed, followed.stream.run_many([Request(program, [0.5], outputs=())] * rows))
        except UsageError as error:
            assert at == 3 and "stopped" in str(error)

    @rule(at=st.sampled_from([0, 1, 2, 4, 5]), what=st.sampled_from(["wide", "call", "needs failed"]))
    def fails(self, at: int, what: str) -> None:
        followed = self.followed[at]
        if what == "wide":
            if at < 3:
                self.did(followed, [followed.stream.run(TOO_WIDE, outputs=())])
            return
        failing = followed.stream.call(fail, 0)
        self.did(followed, [failing])
        if what == "needs failed":
            self.did(
                followed,
                [followed.stream.run(SHORT, failing, outputs=()), followed.stream.call(len, failing)],
            )
            with pytest.raises(DependencyFailed, match="ZeroDivisionError"):
                followed.futures[-1].result(LIMIT_S)

    @rule()
    def stop(self) -> None:
        followed = self.followed[3]
        try:
            self.did(followed, followed.stream.run_many([Request(SLOW, [0.5], outputs=())] * 3))
            self.did(followed, [followed.stream.call(fail, 0)])
            self.did(followed, followed.stream.run_many([Request(SHORT, [0.5], outputs=())] * 3))
        except UsageError as error:
            assert "stopped" in str(error)
            followed.stream.drain(LIMIT_S)
            followed.stream = self.session.device("reference").stream(order="ordered", on_failure="stop")
            self.finished(followed)
            self.followed[3] = Followed(followed.stream)

    @rule(at=st.sampled_from([0, 1, 2, 4, 5]), depth=st.integers(1, 5))
    def chain(self, at: int, depth: int) -> None:
        """Measure, compute, run again."""
        followed = self.followed[at]
        last = followed.stream.call(list, (0.25,))
        self.did(followed, [last])
        for _ in range(depth):
            run = followed.stream.run(SHORT, last, outputs=())
            last = followed.stream.call(lambda _: Request(SHORT, [0.5], outputs=()), run)
            again = followed.stream.call(lambda result: [float(result.sets)], last)
            self.did(followed, [run, last, again])
            last = again

    @rule(at=st.sampled_from([0, 1, 2, 4, 5]))
    def barrier(self, at: int) -> None:
        followed = self.followed[at]
        followed.barriers.add(len(followed.futures))
        before = [future for future in followed.futures if not future.settled]
        barrier = followed.stream.barrier()
        if at == 1:
            barrier.result(LIMIT_S)
            assert all(future.settled for future in before)
        self.did(followed, [barrier])

    @rule(at=streams, places=st.lists(st.floats(0, 0.999), min_size=1, max_size=10))
    def cancel(self, at: int, places: list[float]) -> None:
        followed = self.followed[at]
        recent = followed.futures[-50:]
        if recent:
            followed.stream.cancel([recent[int(place * len(recent))] for place in places])

    @rule(at=streams, one=st.booleans())
    def cancel_all(self, at: int, one: bool) -> None:
        followed = self.followed[at]
        if not one:
            followed.stream.cancel_all()
        elif followed.futures:
            future = followed.futures[-1]
            assert future.cancel() == future.cancelled()

    @rule(at=streams, kinds=st.sets(st.sampled_from(["results", "failures"]), min_size=1))
    def bind(self, at: int, kinds: set[str]) -> None:
        followed = self.followed[at]
        if len(followed.queues) < 3:
            queue = CompletionQueue(kinds, maxsize=10**6).bind(followed.stream)
            followed.queues.append((queue, len(followed.futures), []))

    @rule(at=streams, count=st.integers(1, 50))
    def take(self, at: int, count: int) -> None:
        for queue, _, taken in self.followed[at].queues:
            if count % 7 == 0:
                taken += queue.drain()
            for _ in range(min(count, len(queue))):
                taken.append(queue.get(LIMIT_S))

    @rule(at=streams)
    def drain(self, at: int) -> None:
        self.followed[at].stream.drain(LIMIT_S)
        assert all(future.settled for future in self.followed[at].futures)

    def teardown(self) -> None:
        for followed in self.followed:
            followed.stream.close()
        for followed in self.followed:
            self.finished(followed)
        assert set(self.pair.open.values()) == {0}

    def finished(self, followed: Followed) -> None:
        for future in followed.futures:
            with contextlib.suppress(cf.CancelledError):
                future.exception(LIMIT_S)
        for queue, first, taken in followed.queues:
            taken += list(queue) if followed.stream.closed else queue.drain()
            expected = []
            for index, future in enumerate(followed.futures):
                if index >= first and index not in followed.barriers:
                    _, error = future.outcome()
                    # Any other failure is none that these histories ask for.
                    assert error is None or isinstance(error, EXPECTED), error
                    kind = CompletionKind.RESULTS if error is None else CompletionKind.FAILURES
                    if kind in queue.kinds:
                        expected.append((index, future, kind))
            came = [(c.index, c.future, c.kind) for c in taken]
            self.kinds_seen.update(c.kind for c in taken)
            if taken and taken[0].stream.order == "ordered":
                assert came == expected
            else:
                assert sorted(came, key=lambda c: c[0]) == expected


@pytest.fixture
def session() -> Iterator[Session]:
    with runtime_folder() as folder:
        (folder / "settings.toml").write_text('engines = ["noop", "reference"]\nworkers.count = 2\n')
        with Session(runtime_folder=folder, config=folder / "settings.toml") as opened:
            yield opened


def test_histories(session: Session) -> None:
    """Rounds of histories, each of its own seed, until there were enough operations.

    How many a history makes depends on when things end: a stream that stopped refuses what comes.
    """
    Histories.session, Histories.operations, Histories.kinds_seen = session, 0, set()
    for number in range(MOST_ROUNDS):
        round_of = type(f"Histories{number}", (Histories,), {})
        run_state_machine_as_test(
            seed(number)(round_of),
            settings=settings(
                max_examples=10,
                stateful_step_count=60,
                deadline=None,
                database=None,
                # To make a failing history shorter takes longer than to read it.
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
        if Histories.operations >= OPERATIONS:
            break
    assert Histories.operations >= OPERATIONS, Histories.operations
    assert Histories.kinds_seen == {"results", "failures"}
