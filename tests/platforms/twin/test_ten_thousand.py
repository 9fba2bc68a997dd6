"""10 000 tasks on the platform `twin`, as a daemon would start them, through a life that does not leave them alone."""

from __future__ import annotations

import hashlib
import time

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import DEVICE_TRANSITIONS, DeviceState
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.outputs import Counts, encode_outputs
from qfw.model.program import Gate, Measure, Program
from qfw.platforms.twin.platform import TwinPlatform
from qfw.qpm.platform import PlatformConfig, Run, RunDone, RunFailed
from qfw.qpm.reactor import EpollReactor
from qfw.qpm.shared import Memory
from tests.stack import LIMIT_S

PROGRAM = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
TASKS, AT_ONCE = 10_000, 200
LIFE = {
    "drift": [{"quantity": "readout_error", "kind": "walk", "per_hour": 1.0}],
    "drift_step_s": 60.0,
    "recalibration": [{"begin_s": 10.0, "duration_s": 100.0, "every_s": 112.0}],
    "fault": [{"begin_s": 111.0001, "duration_s": 0.9}],
    "maintenance": [{"begin_s": 223.0, "duration_s": 0.5}],
    "noise": [{"begin_s": 2.0, "duration_s": 3.0, "factor": 3.0, "qubits": [0]}],
}


class Client:
    """A sink that lowers what is stale again and sends it again, until all are answered."""

    def __init__(self, seed: int) -> None:
        self.reactor = EpollReactor(time.monotonic)
        self.platform = TwinPlatform(
            PlatformConfig("twin", {"devices": ["twin-20"], "life": LIFE, "seed": seed})
        )
        self.events: list[DeviceEvent] = []
        self.calibrations: list[Calibration] = []
        #: Version that each task was lowered for last, and the counts of its executions.
        self.lowered: dict[int, str] = {}
        self.epochs: dict[int, int] = {}
        self.waiting = list(range(TASKS - 1, -1, -1))
        self.running = 0
        self.done: dict[int, RunDone] = {}
        self.failed: list[RunFailed] = []
        self.ready = False

    def encoded(self, digest: bytes) -> bytes:
        assert digest == PROGRAM.digest
        return PROGRAM.encoded

    def devices_changed(self, platform: str) -> None:
        raise AssertionError(platform)

    def slot_ready(self, device: str, slot: str, pid: int) -> None:
        self.slot, self.ready = slot, True

    def slot_lost(self, device: str, slot: str, pid: int, reason: str, running: int | None) -> None:
        raise AssertionError(reason)

    def device_offline(self, device: str, reason: str) -> None:
        raise AssertionError(reason)

    def device_reported(
        self, device: str, event: DeviceEvent, calibration: Calibration | None = None
    ) -> None:
        self.events.append(event)
        if calibration is not None:
            self.calibrations.append(calibration)

    def run_ended(
        self, device: str, slot: str, pid: int, outcome: RunDone | RunFailed, memory: Memory | None = None
    ) -> None:
        self.running -= 1
        assert outcome.epoch == self.epochs[outcome.task] and outcome.task not in self.done
        if isinstance(outcome, RunDone):
            assert outcome.conditions is not None
            assert outcome.conditions.calibration == self.lowered[outcome.task]
            self.done[outcome.task] = outcome
        else:
            self.failed.append(outcome)
            self.waiting.append(outcome.task)

    def native_ended(self, device: str, outcome: object) -> None:
        raise AssertionError(outcome)

    def send(self) -> None:
        current = self.platform.calibration("twin-20")
        assert current is not None
        runs = []
        while self.waiting and self.running < AT_ONCE:
            task = self.waiting.pop()
            self.epochs[task] = self.epochs.get(task, 0) + 1
            self.lowered[task] = current.version
            outputs = encode_outputs((Counts(),))
            runs.append(
                Run(
                    task, self.epochs[task], PROGRAM.digest, outputs, 1, b"", 100, task, 60.0, current.version
                )
            )
            self.running += 1
        self.platform.start("twin-20", self.slot, runs)

    def work(self) -> None:
        self.platform.open(self.reactor, self, self)
        self.platform.warm("twin-20")
        end_s = time.monotonic() + LIMIT_S
        while len(self.done) < TASKS:
            assert time.monotonic() < end_s, f"{len(self.done)} tasks in time"
            if self.ready and self.running < AT_ONCE // 2:
                self.send()
            self.reactor.turn(0.02)
        self.platform.close()
        self.reactor.close()


def test_every_event_comes_once_and_no_task_runs_on_a_calibration_it_was_not_lowered_for() -> None:
    client = Client(3)
    client.work()
    events = client.events
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [event.wall_ns for event in events] == sorted(event.wall_ns for event in events)
    kinds = [event.kind for event in events]
    for kind in (DeviceEventKind.FAULT, DeviceEventKind.MAINTENANCE, DeviceEventKind.NOISE):
        assert kinds.count(kind) == 2, kind
    versions = [event.calibration for event in events if event.calibration]
    assert len(versions) >= 3 and len(set(versions)) == len(versions)
    assert [calibration.version for calibration in client.calibrations] == versions
    state = DeviceState.ONLINE
    for event in events:
        if event.state is not None:
            assert event.state in DEVICE_TRANSITIONS[state]
            state = event.state
    codes = [failed.error.code for failed in client.failed]
    assert codes.count("TaskInterrupted") == 1
    assert codes.count("StaleCalibration") >= len(versions)
    assert set(codes) == {"TaskInterrupted", "StaleCalibration"}
    assert len(client.done) == TASKS


def test_the_same_tasks_meet_the_same_life_bit_by_bit() -> None:
    def lived(seed: int) -> tuple[list[DeviceEvent], bytes]:
        client = Client(seed)
        client.waiting = client.waiting[-1000:]
        digest = hashlib.sha256()
        client.platform.open(client.reactor, client, client)
        client.platform.warm("twin-20")
        end_s = time.monotonic() + LIMIT_S
        # One at a time: then also the order in which stale tasks come back is the same.
        while client.waiting or client.running:
            assert time.monotonic() < end_s
            if client.ready and not client.running:
                version = client.platform.calibration("twin-20")
                assert version is not None
                task = client.waiting.pop()
                client.epochs[task] = client.epochs.get(task, 0) + 1
                client.lowered[task] = version.version
                outputs = encode_outputs((Counts(),))
                run = Run(
                    task,
                    client.epochs[task],
                    PROGRAM.digest,
                    outputs,
                    1,
                    b"",
                    500,
                    task,
                    60.0,
                    version.version,
                )
                client.running += 1
                client.platform.start("twin-20", client.slot, [run])
            client.reactor.turn(0.02)
        for task, done in sorted(client.done.items()):
            digest.update(b"%d" % task + done.answers + msgspec.msgpack.encode(done.conditions))
        client.platform.close()
        client.reactor.close()
        return client.events, digest.digest()

    first = lived(3)
    assert len(first[0]) > 4
    assert lived(3) == first
    assert lived(4)[1] != first[1]
