"""Platforms that keep the contract pass; one that does not is found out by the check that names what it breaks."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import msgspec
import pytest

from qfw.config.settings import Settings, WorkerSettings
from qfw.model.device import DeviceState, Estimate, Timing
from qfw.model.errors import NoCapacity, OptionError, RequestError, StaleEpoch
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.driver import Answered, Execution
from qfw.qpm.platform import Reactor, Run, Sink
from qfw.testing import Limits, Verdict, check_platform, engine_checks, platform_checks
from tests.testing.line import CALIBRATION, PROFILE, LineDriver, LinePlatform


def test_the_simulators_pass() -> None:
    settings = Settings(engines=("reference",), workers=WorkerSettings(count=2))
    report = check_platform("simulators", settings=settings)
    assert report.passed, report.of(Verdict.FAILED, Verdict.STUCK)
    assert report.score.split("/")[0] == report.score.split("/")[1]


def test_the_twins_pass_in_their_host() -> None:
    report = check_platform("twin")
    assert report.passed, report.of(Verdict.FAILED, Verdict.STUCK)
    passed = {(finding.check, finding.device) for finding in report.of(Verdict.PASSED)}
    for device in ("twin-20", "twin-127", "twin-ion", "twin-atoms"):
        # Each calibrates under load, and says so.
        assert {("calibration.under_load", device), ("events.times", device)} <= passed
        assert {("reservations.refused", device), ("native.bad_body", device)} <= passed


def test_a_calibrated_device_of_native_gates_passes() -> None:
    report = check_platform(LinePlatform)
    assert report.passed, report.of(Verdict.FAILED, Verdict.STUCK)
    passed = {finding.check for finding in report.of(Verdict.PASSED)}
    assert {"start.lowered_only", "calibration.stale", "calibration.current", "events.sequence"} <= passed


def test_there_are_enough_checks_and_each_has_one_name() -> None:
    names = [*platform_checks(), *engine_checks()]
    assert len(set(platform_checks())) == len(platform_checks()) >= 80
    assert len(set(names)) >= 180


class _Between:
    """A sink in front of another, which changes what a subclass names."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sink, name)


class Twice(LinePlatform):
    def open(self, reactor: Reactor, sink: Sink, programs: Any) -> None:
        class Doubled(_Between):
            def run_ended(self, *told: Any) -> None:
                self.sink.run_ended(*told)
                self.sink.run_ended(*told)

        super().open(reactor, Doubled(sink), programs)


class OutOfOrder(LinePlatform):
    def open(self, reactor: Reactor, sink: Sink, programs: Any) -> None:
        class Shuffled(_Between):
            def device_reported(self, device: str, event: Any, calibration: Any = None) -> None:
                turned = msgspec.structs.replace(event, sequence=3 - event.sequence)
                self.sink.device_reported(device, turned, calibration)

        super().open(reactor, Shuffled(sink), programs)


class WrongTask(LinePlatform):
    def open(self, reactor: Reactor, sink: Sink, programs: Any) -> None:
        class Elsewhere(_Between):
            def run_ended(self, device: str, slot: str, *told: Any) -> None:
                self.sink.run_ended(device, "another slot", *told)

        super().open(reactor, Elsewhere(sink), programs)


class NoFence(LinePlatform):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self._fence.admit = lambda task, epoch: True  # type: ignore[method-assign]


class AnyCalibration(LinePlatform):
    def start(self, device: str, slot: str, runs: Any) -> None:
        super().start(device, slot, [msgspec.structs.replace(run, calibration="") for run in runs])


class BlocksInStart(LinePlatform):
    def start(self, device: str, slot: str, runs: Any) -> None:
        threading.Event().wait(1.1)
        super().start(device, slot, runs)


class LastFirst(LinePlatform):
    def start(self, device: str, slot: str, runs: list[Run]) -> None:
        super().start(device, slot, runs[::-1])


class CancelsAll(LinePlatform):
    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        raise KeyError(task)


class LeavesAProcess(LinePlatform):
    def open(self, *told: Any) -> None:
        super().open(*told)
        self.left = subprocess.Popen(["sleep", "20"])


class OldProtocol(LinePlatform):
    api_version = (99, 0)


class UnknownFacet(LinePlatform):
    facets = frozenset({"resources", "runtime", "psychic"})


class UntypedRefusal(LinePlatform):
    def estimate(self, *asked: Any) -> Any:
        try:
            return super().estimate(*asked)
        except Exception as error:
            raise ValueError("no") from error


class ForeignGate(LineDriver):
    profile = msgspec.structs.replace(PROFILE, native_gates=(*PROFILE.native_gates, "warp"))


class ImpossibleT2(LineDriver):
    calibrated = msgspec.structs.replace(
        CALIBRATION,
        qubits=(msgspec.structs.replace(CALIBRATION.qubits[0], t2_us=400.0), *CALIBRATION.qubits[1:]),
    )


class SomebodyElses(LinePlatform):
    def calibration(self, device: str) -> Any:
        return msgspec.structs.replace(CALIBRATION, device="another")


class BackwardTiming(LineDriver):
    profile = msgspec.structs.replace(PROFILE, timing=Timing(task_ns=-1))


class MuchNoisier(LineDriver):
    """Leaves out what is expensive: x and cz."""

    def run(self, execution: Execution) -> Answered:
        seeds = execution.seeds
        turned = msgspec.structs.replace(
            execution.program,
            operations=tuple(
                op for op in execution.program.operations if getattr(op, "name", "") not in ("x", "cz")
            ),
        )
        wrong = Execution(
            execution.device,
            turned,
            execution.outputs,
            execution.parameters,
            execution.shots,
            seeds,
            execution.calibration,
            execution.time_limit_s,
        )
        return super().run(wrong)


#: So many sets take long where cancellation is ignored.
MANY_SETS = 100
#: A machine that is busy, and a platform that is not waited for long.
SHORT = Limits(stuck_s=1.5, answer_s=2.0, start_s=1.5, state_s=2.0, grace_s=0.5)


class Bookable(LinePlatform):
    """Keeps reservations as the contract says; two of its kind err."""

    #: Millionths that are granted in all.
    whole = 1_000_000

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        self.held: dict[int, ReservationRequest] = {}
        self.epochs: dict[int, int] = {}

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        left = self.whole - sum(r.share_ppm for r in self.held.values() if r.number != request.number)
        share = min(request.share_ppm, max(0, left))
        return Offer(share, None, "" if share == request.share_ppm else "others have the rest")

    def reserve(self, device: str, request: ReservationRequest) -> Offer:
        self._fenced(request.number, request.epoch)
        offer = self.evaluate(device, request)
        if not offer.share_ppm:
            raise NoCapacity(f"nothing of {device} is left to reserve; ask again later")
        self.epochs[request.number] = request.epoch
        self.held[request.number] = msgspec.structs.replace(request, share_ppm=offer.share_ppm)
        return offer

    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        self._fenced(number, epoch)
        if number not in self.held:
            raise RequestError(f"there is no reservation {number} of {device} to renew; reserve again")

    def release(self, device: str, number: int, epoch: int) -> None:
        self._fenced(number, epoch)
        self.held.pop(number, None)

    def _fenced(self, number: int, epoch: int) -> None:
        if epoch < self.epochs.get(number, 0):
            raise StaleEpoch(f"reservation {number} has a later owner: epoch {self.epochs[number]}")


class Overbooked(Bookable):
    whole = 100_000_000


class Unfenced(Bookable):
    def _fenced(self, number: int, epoch: int) -> None:
        pass


class Immortal(Bookable):
    def renew(self, device: str, number: int, epoch: int, lifetime_s: float) -> None:
        self._fenced(number, epoch)


class Generous(Bookable):
    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        return Offer(2 * request.share_ppm, None)


class Promises(LinePlatform):
    """Evaluates what it never grants, without a word."""

    def evaluate(self, device: str, request: ReservationRequest) -> Offer:
        return Offer(0, None)


class Tells(LineDriver):
    """One native operation."""

    profile = msgspec.structs.replace(PROFILE, native=("tell",))

    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        try:
            msgspec.msgpack.decode(body, type=dict)
        except msgspec.DecodeError as error:
            raise OptionError(f"the body of {operation} is no map: {error}") from error
        return msgspec.msgpack.encode("told")


class TellsAnything(Tells):
    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        return msgspec.msgpack.encode("told")


class TellsNoMessagePack(Tells):
    def native(self, device: str, operation: str, body: bytes, time_limit_s: float) -> bytes:
        super().native(device, operation, body, time_limit_s)
        return b"\xc1"


class TellsTwice(LinePlatform):
    driver_class = Tells

    def open(self, reactor: Reactor, sink: Sink, programs: Any) -> None:
        class Doubled(_Between):
            def native_ended(self, *told: Any) -> None:
                self.sink.native_ended(*told)
                self.sink.native_ended(*told)

        super().open(reactor, Doubled(sink), programs)


class TellsNoFacet(LinePlatform):
    driver_class = Tells
    facets = frozenset({"resources", "runtime"})


class IllegalTransition(LinePlatform):
    """From maintenance no device goes to draining."""

    def open(self, reactor: Reactor, sink: Sink, programs: Any) -> None:
        class Jumping(_Between):
            def device_reported(self, device: str, event: Any, calibration: Any = None) -> None:
                state = (DeviceState.MAINTENANCE, DeviceState.DRAINING)[event.sequence - 1]
                self.sink.device_reported(device, msgspec.structs.replace(event, state=state), calibration)

        super().open(reactor, Jumping(sink), programs)


class IgnoresCancellation(LinePlatform):
    """What runs goes on to its end."""

    class Slow(LineDriver):
        def run(self, execution: Execution) -> Answered:
            if len(execution.seeds) >= MANY_SETS:
                execution.cancelled.wait(10.0)
            return super().run(execution)

    driver_class = Slow

    def estimate(self, device: str, program: Any, outputs: Any, sets: int, shots: int) -> Estimate:
        found = super().estimate(device, program, outputs, sets, shots)
        return Estimate(60.0, found.memory_bytes) if sets >= MANY_SETS else found

    def cancel(self, device: str, slot: str, task: int, epoch: int) -> None:
        pass


class AnswersNothing(LinePlatform):
    def open(self, reactor: Reactor, sink: Sink, programs: Any) -> None:
        class Silent(_Between):
            def run_ended(self, *told: Any) -> None:
                pass

        super().open(reactor, Silent(sink), programs)


class BlockedConstructor(LinePlatform):
    def __init__(self, config: Any) -> None:
        super().__init__(config)
        threading.Event().wait(30.0)


class NeverHasDevices(LinePlatform):
    def devices(self) -> Any:
        return []


def _of(driver: type[LineDriver]) -> type[LinePlatform]:
    return type(driver.__name__, (LinePlatform,), {"driver_class": driver})


@pytest.mark.parametrize(
    ("platform", "check"),
    [
        (Twice, "start.once"),
        (Twice, "answers.once"),
        (WrongTask, "start.answered"),
        (OutOfOrder, "events.sequence"),
        (NoFence, "epoch.same_again"),
        (NoFence, "epoch.same_while_running"),
        (NoFence, "epoch.older"),
        (AnyCalibration, "calibration.stale"),
        (LastFirst, "start.order"),
        (CancelsAll, "cancel.unknown"),
        (OldProtocol, "platform.api_version"),
        (UnknownFacet, "platform.facets"),
        (UntypedRefusal, "estimate.too_wide"),
        (UntypedRefusal, "estimate.not_lowered"),
        (_of(ImpossibleT2), "calibration.qubits"),
        (SomebodyElses, "calibration.named"),
        (_of(BackwardTiming), "profile.timing"),
        (_of(MuchNoisier), "bits.pattern"),
        (_of(MuchNoisier), "gates.two_qubits"),
    ],
)
def test_a_wrong_platform_is_found_out(platform: type[LinePlatform], check: str) -> None:
    only = [check, "start.answered"] if check.startswith("answers.") else [check]
    findings = [finding for finding in check_platform(platform, only=only).findings if finding.check == check]
    assert [finding.verdict for finding in findings] == [Verdict.FAILED], findings


@pytest.mark.parametrize(
    ("platform", "check", "verdict"),
    [
        (Overbooked, "reservations.too_much", Verdict.FAILED),
        (Unfenced, "reservations.fenced", Verdict.FAILED),
        (Immortal, "reservations.renewed", Verdict.FAILED),
        (Immortal, "reservations.unknown_renewal", Verdict.FAILED),
        (Generous, "reservations.evaluate", Verdict.FAILED),
        (Promises, "reservations.evaluate", Verdict.FAILED),
        (_of(TellsAnything), "native.bad_body", Verdict.FAILED),
        (_of(TellsNoMessagePack), "native.answered", Verdict.FAILED),
        (TellsTwice, "native.answered", Verdict.FAILED),
        (TellsNoFacet, "native.claimed", Verdict.FAILED),
        (IllegalTransition, "events.transitions", Verdict.FAILED),
        (IgnoresCancellation, "cancel.running", Verdict.STUCK),
        (AnswersNothing, "start.answered", Verdict.STUCK),
        (BlockedConstructor, "platform.opens", Verdict.STUCK),
        (NeverHasDevices, "platform.opens", Verdict.STUCK),
    ],
)
def test_what_a_vendor_may_forget_is_found_out(
    platform: type[LinePlatform], check: str, verdict: Verdict
) -> None:
    findings = check_platform(platform, only=[check], limits=SHORT).findings
    assert [(finding.check, finding.verdict) for finding in findings] == [(check, verdict)], findings


@pytest.mark.parametrize(("platform", "group"), [(Bookable, "reservations"), (_of(Tells), "native")])
def test_those_that_do_it_right_pass(platform: type[LinePlatform], group: str) -> None:
    report = check_platform(platform, only=[group])
    assert report.passed, report.of(Verdict.FAILED, Verdict.STUCK)
    missing = report.of(Verdict.NOT_APPLICABLE)
    assert {finding.check for finding in missing} <= {"reservations.refused"}, missing


def test_a_platform_that_blocks_in_a_call_is_found_out() -> None:
    report = check_platform(BlocksInStart, only=["start.answered", "calls.do_not_block"])
    (finding,) = [f for f in report.findings if f.check == "calls.do_not_block"]
    assert finding.verdict is Verdict.FAILED and "start" in finding.found


def test_a_platform_that_leaves_a_process_is_found_out() -> None:
    made: list[LeavesAProcess] = []

    def make(config: Any) -> LeavesAProcess:
        made.append(LeavesAProcess(config))
        return made[-1]

    try:
        (finding,) = check_platform(make, only=["close.leaves_nothing"]).findings
        assert finding.verdict is Verdict.FAILED
    finally:
        for platform in made:
            platform.left.kill()
            platform.left.wait()
