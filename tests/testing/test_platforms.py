"""Platforms that keep the contract pass; one that does not is found out by the check that names what it breaks."""

from __future__ import annotations

import subprocess
import threading
from typing import Any

import msgspec
import pytest

from qfw.config.settings import Settings, WorkerSettings
from qfw.model.device import Timing
from qfw.qpm.driver import Answered, Execution
from qfw.qpm.platform import Reactor, Run, Sink
from qfw.testing import Verdict, check_platform, engine_checks, platform_checks
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
