"""The journal says everything: replayed after any history, it gives the state that the daemon has."""

from __future__ import annotations

import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState
from qfw.model.errors import ErrorReport
from qfw.model.events import DeviceEvent, DeviceEventKind, TaskAccepted, TaskCancelled, TaskDone, TaskFailed
from qfw.model.pipeline import LoweredProgram
from qfw.model.task import LOWERING, TaskOptions, TaskState
from qfw.qpm.journal import read
from qfw.qpm.platform import RunDone
from qfw.qpm.wire import Cancel, Done, Failed, Lowered, NeedLowering
from tests.qpmd.conftest import HERE, THERE, Bench, number


class RandomHistory(RuleBasedStateMachine):
    """Clients, workers and devices that come, go, answer late, twice or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="qfw-t-"))
        self.bench = Bench(self.folder / "journal", "fake", "other")
        self.sessions = count(1)
        self.slots = count(1)
        self.sequence = count(1)
        #: How often each task was answered to its client, and of what the client knows to be live.
        self.answered: dict[int, int] = {}
        self.stale: list[tuple[str, str, Any]] = []
        #: What clients were asked to lower.
        self.questions: list[tuple[int, NeedLowering]] = []

    @rule()
    def open(self) -> None:
        if len(self.bench.clients) < 3:
            self.bench.open(next(self.sessions))

    @precondition(lambda self: self.bench.clients)
    @rule(
        data=st.data(),
        many=st.integers(1, 4),
        device=st.sampled_from(["fake", "other", "nobody"]),
        priority=st.sampled_from([0, 0, 3, -3, 1000]),
        calibration=st.sampled_from(["", "", "", "v1", "v2"]),
        pipeline=st.sampled_from([b"", HERE.digest, HERE.digest, THERE.digest]),
    )
    def submit(
        self, data: st.DataObject, many: int, device: str, priority: int, calibration: str, pipeline: bytes
    ) -> None:
        session = data.draw(st.sampled_from(sorted(self.bench.clients)))
        options = TaskOptions(priority=priority)
        numbers = [next(self.sequence) for _ in range(many)]
        self.bench.submit(
            session, *numbers, device=device, options=options, calibration=calibration, pipeline=pipeline
        )

    @precondition(lambda self: self.bench.tools.asked)
    @rule(how=st.sampled_from(["", "", "", "error", "garbage"]), moved=st.booleans())
    def tool(self, how: str, moved: bool) -> None:
        if how:
            report = ErrorReport("ToolFailed", "random") if how == "error" else None
            self.bench.tools.answer(error=report, body=b"garbage")
        elif moved:
            self.bench.tools.answer(lambda program: program, layout=(1, 0))
        else:
            self.bench.tools.answer()

    @precondition(lambda self: self.questions)
    @rule(data=st.data(), how=st.sampled_from(["", "", "error", "garbage", "silence"]))
    def client_lowers(self, data: st.DataObject, how: str) -> None:
        session, question = self.questions.pop(data.draw(st.integers(0, len(self.questions) - 1)))
        if how == "silence":
            self.bench.reactor.pass_s(1000)
        elif session in self.bench.clients:
            error = ErrorReport("ToolFailed", "random") if how == "error" else None
            body = b"" if how else msgspec.msgpack.encode(LoweredProgram(question.program, None))
            answer = Lowered(question.lowering, error, body)
            self.bench.core.request(self.bench.clients[session][0], answer)

    @precondition(lambda self: any(self.bench.platform.given.values()))
    @rule(data=st.data())
    def refuse_as_stale(self, data: st.DataObject) -> None:
        busy = sorted(key for key, runs in self.bench.platform.given.items() if runs)
        device, slot = data.draw(st.sampled_from(busy))
        self.bench.answer(slot, device, ErrorReport("StaleCalibration", "random"))

    @rule()
    def time_passes(self) -> None:
        self.bench.reactor.pass_s(1.5)

    @rule(device=st.sampled_from(["fake", "other"]))
    def ready(self, device: str) -> None:
        if len(self.bench.slots) < 4:
            self.bench.ready(str(next(self.slots)), device)

    @precondition(lambda self: self.bench.slots)
    @rule(data=st.data(), begun=st.booleans())
    def lose(self, data: st.DataObject, begun: bool) -> None:
        device, slot = data.draw(st.sampled_from(sorted(self.bench.slots)))
        self.stale += [(device, slot, run) for run in self.bench.platform.given.get((device, slot), [])]
        self.bench.lose(slot, device, begun)

    @precondition(lambda self: any(self.bench.platform.given.values()))
    @rule(data=st.data(), error=st.booleans())
    def answer(self, data: st.DataObject, error: bool) -> None:
        busy = sorted(key for key, runs in self.bench.platform.given.items() if runs)
        device, slot = data.draw(st.sampled_from(busy))
        run = self.bench.platform.given[device, slot][0]
        self.bench.answer(slot, device, ErrorReport("OutOfMemory", "m") if error else None)
        self.stale.append((device, slot, run))

    @precondition(lambda self: self.stale)
    @rule(data=st.data())
    def answer_late(self, data: st.DataObject) -> None:
        device, slot, run = data.draw(st.sampled_from(self.stale))
        late = RunDone(run.task, run.epoch, 1, 2, 0, True, None, b"late")
        self.bench.core.reports.run_ended(device, slot, 100, late)

    @precondition(lambda self: self.bench.core.state.tasks and self.bench.clients)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        task = data.draw(st.sampled_from(sorted(self.bench.core.state.tasks)))
        session = data.draw(st.sampled_from(sorted(self.bench.clients)))
        self.bench.core.request(self.bench.clients[session][0], Cancel([task]))

    @rule(device=st.sampled_from(["fake", "other"]))
    def offline(self, device: str) -> None:
        self.bench.core.reports.device_offline(device, "random")

    @rule(
        device=st.sampled_from(["fake", "other"]),
        state=st.sampled_from([None, *DeviceState]),
        skipped=st.sampled_from([0, 0, 0, 0, 1, -1]),
        version=st.sampled_from(["", "", "v1", "v2"]),
        until_ns=st.sampled_from([0, 5, 10**12]),
    )
    def report(
        self, device: str, state: DeviceState | None, skipped: int, version: str, until_ns: int
    ) -> None:
        entry = self.bench.core.state.devices.get(device)
        sequence = (entry.sequence if entry else 0) + 1 + skipped
        event = DeviceEvent(sequence, DeviceEventKind.STATE, 5, "random", state, version, until_ns)
        new = Calibration(device, version, 1.0, (), ()) if version else None
        # The platform is as it says: what it is found to be agrees with what it reported.
        if state is not None and self.bench.core.state.may_change(device, state):
            self.bench.platform.states[device] = state
        if new is not None:
            self.bench.platform.calibrations[device] = new
        self.bench.core.reports.device_reported(device, event, new)

    @precondition(lambda self: self.bench.clients)
    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        self.bench.close(data.draw(st.sampled_from(sorted(self.bench.clients))))

    @rule()
    def turn(self) -> None:
        for session, messages in self.bench.turn().items():
            for message in messages:
                if isinstance(message, NeedLowering):
                    self.questions.append((session, message))
                if isinstance(message, Done):
                    assert all(answer.answers == b"a" for answer in message.answers)
                    self.note(answer.task for answer in message.answers)
                elif isinstance(message, Failed):
                    self.note(task for task, _ in message.errors)

    def note(self, tasks: Any) -> None:
        for task in tasks:
            self.answered[task] = self.answered.get(task, 0) + 1

    @invariant()
    def journal_and_platform_agree_with_the_state(self) -> None:
        self.turn()
        core = self.bench.core
        assert self.bench.replayed() == core.state
        running = {
            (device, slot, run.task, run.epoch)
            for (device, slot), runs in self.bench.platform.given.items()
            for run in runs
        }
        assert running == {
            (entry.quantum.device, entry.worker, task, entry.epoch)
            for task, entry in core.state.tasks.items()
            if entry.state is TaskState.RUNNING
        }
        assert core.ends.segments.keys() == core.state.tasks.keys()
        assert core.ends.cancelling <= core.state.tasks.keys()
        self.what_waits_is_awaited()

    def what_waits_is_awaited(self) -> None:
        """Every task that waits for a tool stands with one that is asked for it, and none of the others does."""
        lowerings, tasks = self.bench.core._lowerings, self.bench.core.state.tasks
        awaited = {task: lowering for task, lowering in lowerings._awaited.items() if not lowering.settled}
        wordless = {task for waiting in lowerings._wordless.values() for task in waiting}
        lowering = {task for task, entry in tasks.items() if entry.state in LOWERING}
        assert lowering == awaited.keys() | wordless and lowerings._held.keys() <= tasks.keys()
        for task, found in awaited.items():
            assert task in found.waiting and found.number in lowerings._runs
            assert (
                tasks[task].state is not TaskState.COMPILING
                or found.number in self.bench.tools.asked
                or wordless
            )

    def teardown(self) -> None:
        """Every accepted task was ended once, and told to its client if that was still there."""
        bench = self.bench
        bench.reactor.pass_s(1000)
        while bench.tools.asked:
            bench.tools.answer()
        self.turn()
        while any(bench.platform.given.values()):
            for (device, slot), runs in list(bench.platform.given.items()):
                if runs:
                    bench.answer(slot, device)
            self.turn()
        open_sessions = set(bench.clients)
        bench.core.reports.device_offline("fake", "the end")
        bench.core.reports.device_offline("other", "the end")
        self.turn()
        lowerings = bench.core._lowerings
        assert not lowerings._held and not lowerings._awaited and not lowerings._stale
        assert not any(found.users or found.waiting for found in lowerings._store._known.values())
        assert not bench.core.programs._uses and not lowerings.pipelines._uses
        assert bench.core.state.tasks == {}
        events = list(read(bench.folder))
        accepted = [event.task.number for event in events if isinstance(event, TaskAccepted)]
        ended = [event.task for event in events if isinstance(event, TaskDone | TaskFailed | TaskCancelled)]
        assert sorted(accepted) == sorted(ended) and len(set(ended)) == len(ended)
        assert all(times == 1 for times in self.answered.values())
        for task in accepted:
            if any(task == number(session, task & 0xFFFFFFFF) for session in open_sessions):
                assert self.answered.get(task) == 1
        bench.dispose()
        shutil.rmtree(self.folder)


RandomHistory.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
TestRandomHistory = RandomHistory.TestCase
