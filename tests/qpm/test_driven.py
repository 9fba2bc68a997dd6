"""DrivenPlatform with a driver that answers, hangs, lies and fails, on a real reactor."""

from __future__ import annotations

import threading
from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.model.conditions import Conditions
from qfw.model.device import DeviceState
from qfw.model.errors import (
    BrokenPlugin,
    CalibrationError,
    DeadlineExceeded,
    PlatformFailed,
    SetupError,
    StaleCalibration,
    TaskInterrupted,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.events import DeviceEventKind
from qfw.model.outputs import Counts, ExpectationAnswer, decode_answers
from qfw.model.program import Gate, Program
from qfw.model.reservation import ReservationRequest
from qfw.model.seeds import set_seeds
from qfw.model.timing import device_ns
from qfw.qpm.driven import DrivenPlatform
from qfw.qpm.driver import Answered, Driver, Execution, Reporter
from qfw.qpm.platform import (
    DeviceLoad,
    Native,
    NativeCall,
    NativeDone,
    NativeFailed,
    Platform,
    PlatformConfig,
    RunDone,
    RunFailed,
)
from tests.qpm.acme import (
    OUTPUTS,
    PROFILE,
    PROGRAM,
    AcmeDriver,
    AcmePlatform,
    answered,
    bench,
    calibration,
    run,
)


def test_it_is_a_platform_with_every_facet_and_its_driver_a_driver() -> None:
    platform = AcmePlatform(PlatformConfig("acme"))
    assert isinstance(platform, Platform) and isinstance(platform, Native)
    assert isinstance(platform._driver, Driver)
    assert [profile.platform for profile in platform.devices()] == ["acme"]
    platform.close()


def test_a_run_is_decoded_seeded_and_answered_on_the_reactors_thread() -> None:
    with bench() as b:
        b.start(run(1, value=0.5))
        (done,) = b.outcomes(1)
        assert isinstance(done, RunDone) and (done.task, done.epoch) == (1, 1)
        (answer,) = decode_answers(done.answers)
        assert isinstance(answer, ExpectationAnswer) and answer.values.numpy()[0, 0] == np.cos(0.5)
        assert done.conditions == Conditions(calibration="v1")
        assert 0 < done.run_began_ns <= done.run_ended_ns and not done.cached
        (execution,) = b.driver.seen
        assert (execution.program, execution.outputs, execution.shots) == (PROGRAM, OUTPUTS, 100)
        assert list(execution.seeds) == set_seeds(5, 0, 1)
        assert b.sink.threads == {threading.get_ident()}
        assert b.driver.threads == {"acme: calls", "acme/1"}
        b.start(run(2))
        assert isinstance(again := b.outcomes(2)[1], RunDone) and again.cached


def test_runs_of_a_slot_keep_their_order() -> None:
    with bench() as b:
        b.start(*(run(task) for task in range(50)))
        b.start(*(run(task) for task in range(50, 100)))
        assert [outcome.task for outcome in b.outcomes(100)] == list(range(100))


def test_a_start_that_is_there_is_ignored_and_an_older_one_refused() -> None:
    with bench() as b:
        b.start(run(1, epoch=2), run(1, epoch=2))
        b.outcomes(1)
        b.start(run(1, epoch=2), run(1, epoch=1), run(2))
        first, stale, other = b.outcomes(3)
        assert (isinstance(first, RunDone) and isinstance(other, RunDone)) or isinstance(stale, RunDone)
        failed = [outcome for outcome in (stale, other) if isinstance(outcome, RunFailed)]
        assert [(f.task, f.epoch, f.error.code) for f in failed] == [(1, 1, "StaleEpoch")]
        assert len(b.driver.seen) == 2


def test_a_run_beyond_its_limit_is_cancelled_and_answered() -> None:
    with bench() as b:
        b.driver.doing = lambda execution: execution.cancelled.wait(60) and answered(0.0)
        b.start(run(1, time_limit_s=0.05), run(2, time_limit_s=0.05))
        first, second = b.outcomes(2)
        assert isinstance(first, RunFailed) and first.error.code == "DeadlineExceeded"
        assert isinstance(second, RunFailed) and second.error.code == "DeadlineExceeded"
        assert b.sink.lost == []


def hang(b: Any) -> None:
    b.driver.doing = lambda execution: b.driver.gate.wait(60) and answered(0.0)


def test_a_driver_that_does_not_come_back_loses_its_slot_and_no_task() -> None:
    with bench(grace_s=0.05) as b:
        hang(b)
        b.start(run(1, time_limit_s=0.05), run(2))
        b.until(lambda: b.sink.lost == ["acme/1"] and b.sink.ready == ["acme/1", "acme/2"])
        assert b.failure().startswith("DeadlineExceeded")
        # The second one was in the slot that was lost: its owner starts it again.
        b.driver.gate.set()
        b.start(run(2, epoch=2), slot="acme/2")
        assert isinstance(b.outcomes(2)[1], RunDone)
        b.start(run(3), slot="acme/1")
        b.start(run(4), slot="acme/2")
        assert [outcome.task for outcome in b.outcomes(3)] == [1, 2, 4]


def test_a_device_whose_threads_are_all_stuck_is_offline_until_one_comes_back() -> None:
    with bench(grace_s=0.01) as b:
        hang(b)
        for number in range(1, 5):
            b.start(run(number, time_limit_s=0.01), slot=f"acme/{number}")
            b.until(lambda number=number: len(b.sink.lost) == number)
        assert len(b.sink.offline) == 1 and "4 threads" in b.sink.offline[0]
        assert len(b.sink.ready) == 4
        b.platform.warm("acme")
        b.until(lambda: len(b.sink.offline) == 2)
        b.driver.gate.set()
        b.until(lambda: len(b.sink.ready) == 5)
        b.start(run(9), slot="acme/5")
        assert isinstance(b.outcomes(5)[4], RunDone)


def test_cancelling_ends_what_runs_and_what_waits() -> None:
    with bench() as b:
        began = threading.Event()

        def until_cancelled(execution: Execution) -> None:
            began.set()
            execution.cancelled.wait(60)
            raise RuntimeError("interrupted")

        b.driver.doing = until_cancelled
        b.start(run(1), run(2), run(3))
        b.until(began.is_set)
        b.platform.cancel("acme", "acme/1", 2, 1)
        b.platform.cancel("acme", "acme/1", 3, 9)
        b.platform.cancel("acme", "acme/1", 1, 1)
        first, second = b.outcomes(2)
        assert {first.task, second.task} == {1, 2}
        for outcome in (first, second):
            assert isinstance(outcome, RunFailed) and outcome.error.code == "TaskCancelled"
        b.until(lambda: len(b.driver.seen) == 2)
        assert b.driver.seen[1].cancelled is not b.driver.seen[0].cancelled
        b.platform.cancel("acme", "acme/1", 3, 1)
        assert [outcome.task for outcome in b.outcomes(3)][2] == 3


def test_a_cancelled_run_that_goes_on_is_answered_without_its_driver() -> None:
    with bench(grace_s=0.05) as b:
        hang(b)
        b.start(run(1))
        b.until(lambda: bool(b.driver.seen))
        b.platform.cancel("acme", "acme/1", 1, 1)
        assert b.failure().startswith("TaskCancelled")
        assert b.sink.lost == ["acme/1"]


class VendorError(TaskInterrupted):
    pass


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TaskInterrupted("the laser went out"), "TaskInterrupted: the laser went out"),
        (VendorError("lock lost"), "TaskInterrupted: lock lost"),
        (OSError("no route"), "PlatformFailed: the driver of acme failed: OSError: no route"),
        (MemoryError(), "OutOfMemory: "),
        (SystemExit(3), "PlatformFailed: the driver of acme failed: SystemExit: 3"),
    ],
)
def test_what_a_driver_raises_is_translated_once(error: BaseException, said: str) -> None:
    def fail(execution: Execution) -> None:
        raise error

    with bench() as b:
        b.driver.doing = fail
        b.start(run(1))
        assert b.failure().startswith(said)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        Answered(()),
        Answered(answered(0.0).answers * 2),
        Answered(("0101",)),  # type: ignore[arg-type]
        Answered(answered(0.0).answers, Conditions(calibration="other")),
    ],
)
def test_an_answer_to_another_question_is_refused(answer: Any) -> None:
    with bench() as b:
        b.driver.doing = lambda execution: answer
        b.start(run(1, calibration="v1"))
        assert b.failure().startswith("WrongAnswer")


def test_what_the_device_does_not_run_never_reaches_the_driver() -> None:
    with bench() as b:
        b.start(run(1, shots=1001), run(2, parameters=b""), run(3, outputs=b"?"))
        codes = [outcome.error.code for outcome in b.outcomes(3) if isinstance(outcome, RunFailed)]
        assert codes == ["TooLarge", "InternalError", "ProgramError"]
        assert b.driver.seen == []


def test_a_new_calibration_fails_what_was_lowered_for_the_old_one() -> None:
    with bench() as b:
        began, go = threading.Event(), threading.Event()

        def slowly(execution: Execution) -> Answered:
            began.set()
            go.wait(60)
            return answered(1.0)

        b.driver.doing = slowly
        b.start(*(run(task, calibration="v1") for task in (1, 2)), run(3), run(4, calibration="v2"))
        b.until(began.is_set)
        b.driver.reporter.report("acme", DeviceEventKind.CALIBRATION, "again", calibration=calibration("v2"))
        assert b.platform.calibration("acme") == calibration("v2")
        stale = b.outcomes(1)[0]
        assert isinstance(stale, RunFailed) and (stale.task, stale.error.code) == (2, "StaleCalibration")
        assert stale.error.to_exception().retryable
        go.set()
        ended = {outcome.task: outcome for outcome in b.outcomes(4)}
        versions = {task: done.conditions for task, done in ended.items() if isinstance(done, RunDone)}
        assert versions == {task: Conditions(calibration=v) for task, v in ((1, "v1"), (3, "v2"), (4, "v2"))}
        ((event, new),) = b.sink.events
        assert (event.sequence, event.calibration, new) == (1, "v2", calibration("v2"))


@pytest.mark.parametrize("state", [DeviceState.CALIBRATING, DeviceState.MAINTENANCE, DeviceState.OFFLINE])
def test_runs_wait_while_the_device_does_something_else(state: DeviceState) -> None:
    with bench() as b:
        b.driver.reporter.report("acme", DeviceEventKind.STATE, "busy", state=state)
        assert b.platform.state("acme") is state
        b.start(run(1))
        b.until(lambda: len(b.sink.events) == 1)
        assert b.sink.ended == [] and b.driver.seen == []
        b.driver.reporter.report("acme", DeviceEventKind.STATE, "back", state=DeviceState.ONLINE)
        assert isinstance(b.outcomes(1)[0], RunDone)


def test_events_are_numbered_in_order_from_any_thread() -> None:
    with bench() as b:

        def report() -> None:
            for _ in range(50):
                b.driver.reporter.report("acme", DeviceEventKind.NOISE, "noisier", figures=[("factor", 2)])

        threads = [threading.Thread(target=report) for _ in range(4)]
        for thread in threads:
            thread.start()
        b.until(lambda: len(b.sink.events) == 200)
        for thread in threads:
            thread.join()
        assert [event.sequence for event, _ in b.sink.events] == list(range(1, 201))
        assert b.sink.threads == {threading.get_ident()}


def test_a_report_that_cannot_be_is_refused_and_changes_nothing() -> None:
    with bench() as b:
        report = b.driver.reporter.report
        report("acme", DeviceEventKind.STATE, "last ones", state=DeviceState.DRAINING)
        with pytest.raises(PlatformFailed, match="goes from draining to calibrating"):
            report(
                "acme",
                DeviceEventKind.STATE,
                "",
                state=DeviceState.CALIBRATING,
                calibration=calibration("v2"),
            )
        with pytest.raises(CalibrationError, match="of 'other'"):
            report("acme", DeviceEventKind.CALIBRATION, "", calibration=calibration(device="other"))
        with pytest.raises(CalibrationError, match="under version 'v1'"):
            report(
                "acme",
                DeviceEventKind.CALIBRATION,
                "",
                calibration=msgspec.structs.replace(calibration(), measured_s=2.0),
            )
        with pytest.raises(UnknownDevice, match="did you mean 'acme'"):
            report("acne", DeviceEventKind.NOISE, "")
        assert b.platform.calibration("acme") == calibration("v1")
        report("acme", DeviceEventKind.STATE, "on again", state=DeviceState.ONLINE)
        b.until(lambda: len(b.sink.events) == 2)
        assert [event.sequence for event, _ in b.sink.events] == [1, 2]


def test_estimates_come_from_profile_and_calibration_unless_the_driver_has_its_own() -> None:
    with bench() as b:
        seconds = b.platform.estimate("acme", PROGRAM, OUTPUTS, 3, 100).cost_s
        assert PROFILE.timing is not None
        assert seconds == device_ns(PROGRAM, 3, 100, calibration(), PROFILE.timing) / 1e9
        assert seconds == pytest.approx((1000 + 3 * (100 + 100 * (10 + 40 + 500 + 5))) / 1e9, rel=1e-12)
        for program, outputs, sets, shots, kind in (
            (Program(3, 0, 0, ()), OUTPUTS, 1, 1, TooLarge),
            (PROGRAM, OUTPUTS, 1, 1001, TooLarge),
            (PROGRAM, OUTPUTS, 101, 1, TooLarge),
            (PROGRAM, (Counts(),), 1, 1, UnsupportedFeature),
            (Program(1, 0, 0, (Gate("h", (0,)),)), OUTPUTS, 1, 1, UnsupportedFeature),
        ):
            with pytest.raises(kind):
                b.platform.estimate("acme", program, outputs, sets, shots)


def test_loads_come_from_the_driver_without_waiting_for_it() -> None:
    class Busy(AcmeDriver):
        queued = 3

        def load(self, device: str) -> DeviceLoad:
            return DeviceLoad(self.queued, 2.0)

    class BusyPlatform(DrivenPlatform):
        driver_class = Busy

    with bench(BusyPlatform) as b:
        assert b.platform.load("acme") == DeviceLoad(3, 2.0)
        Busy.queued = 4
        b.until(lambda: b.platform.load("acme") == DeviceLoad(4, 2.0))


def test_native_operations_are_answered_within_their_limit() -> None:
    with bench(grace_s=0.05) as b:
        b.platform.call("acme", NativeCall(1, "play", b"body", 60.0))
        b.platform.call("acme", NativeCall(1, "play", b"body", 60.0))
        b.platform.call("acme", NativeCall(2, "stop", b"", 60.0))
        b.until(lambda: len(b.sink.natives) == 2)
        assert NativeDone(1, b"body") in b.sink.natives
        assert [n.error.code for n in b.sink.natives if isinstance(n, NativeFailed)] == ["UnsupportedFeature"]
        b.driver.playing = lambda body: body if body else b.driver.gate.wait(60)
        b.platform.call("acme", NativeCall(3, "play", b"", 0.05))
        b.platform.call("acme", NativeCall(4, "play", b"waited", 60.0))
        b.until(lambda: len(b.sink.natives) == 4)
        late, waited = b.sink.natives[2:]
        assert isinstance(late, NativeFailed) and late.error.code == "DeadlineExceeded"
        assert waited == NativeDone(4, b"waited")


def test_too_many_stuck_native_operations_are_no_capacity() -> None:
    with bench(grace_s=0.01) as b:
        b.driver.playing = lambda body: b.driver.gate.wait(60) and b""
        for number in range(4):
            b.platform.call("acme", NativeCall(number, "play", b"", 0.01))
            b.until(lambda number=number: b.platform._natives._stuck == number + 1)
        b.platform.call("acme", NativeCall(9, "play", b"", 60.0))
        b.until(lambda: len(b.sink.natives) == 5)
        last = b.sink.natives[-1]
        assert isinstance(last, NativeFailed) and last.error.code == "NoCapacity"


def test_reservations_are_the_drivers_and_never_wait_for_long() -> None:
    with bench() as b:
        with pytest.raises(UnsupportedFeature, match="takes none"):
            b.platform.reserve("acme", ReservationRequest(1, 500_000, 1.0, 0.0, 60.0, 1))
        b.driver.renew = lambda *arguments: b.driver.gate.wait(60)  # type: ignore[assignment, method-assign]
        with pytest.raises(DeadlineExceeded, match="did not renew within 1 s"):
            b.platform.renew("acme", 1, 1, 1.0)
        with pytest.raises(PlatformFailed, match="earlier call"):
            b.platform.release("acme", 1, 1)


def test_a_driver_that_cannot_connect_says_why() -> None:
    class Unplugged(AcmeDriver):
        def open(self, reporter: Reporter) -> None:
            raise SetupError("no cable")

    class UnpluggedPlatform(DrivenPlatform):
        driver_class = Unplugged

    with pytest.raises(SetupError, match="no cable"), bench(UnpluggedPlatform):
        pass


@pytest.mark.parametrize(
    ("profiles", "said"),
    [
        ([], "no devices"),
        ([PROFILE, PROFILE], "two devices called 'acme'"),
        ([msgspec.structs.replace(PROFILE, slots=0)], "0 slots"),
        (None, "cannot be made: TypeError"),
    ],
)
def test_devices_that_cannot_be_served_are_refused(profiles: Any, said: str) -> None:
    class Odd(AcmeDriver):
        pass

    class OddPlatform(DrivenPlatform):
        driver_class = Odd

    Odd.profiles = profiles
    with pytest.raises(BrokenPlugin, match=said):
        OddPlatform(PlatformConfig("acme"))


def test_a_platform_without_a_driver_is_refused() -> None:
    class Nameless(DrivenPlatform):
        pass

    with pytest.raises(BrokenPlugin, match="names no driver"):
        Nameless(PlatformConfig("acme"))


def test_close_cancels_and_leaves_behind_what_does_not_end() -> None:
    with bench() as b:
        hang(b)
        b.start(run(1), run(2))
        b.until(lambda: bool(b.driver.seen))
        b.platform.close()
        b.platform.close()
        assert b.driver.closed and b.driver.seen[0].cancelled.is_set()
        b.driver.gate.set()
        assert b.sink.ended == []


def test_a_driver_that_finds_itself_stale_says_so() -> None:
    def fail(execution: Execution) -> None:
        raise StaleCalibration("it was measured again a moment ago")

    with bench() as b:
        b.driver.doing = fail
        b.start(run(1, calibration="v1"))
        assert b.failure().startswith("StaleCalibration")


def test_a_run_that_comes_stale_never_reaches_the_driver() -> None:
    with bench() as b:
        b.start(run(1, calibration="v0"))
        assert b.failure().startswith("StaleCalibration: task 1 was lowered for calibration v0")
        assert b.driver.seen == []
