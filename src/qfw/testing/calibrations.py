"""Checks of calibrations: what is measured, and that no run is answered under another version."""

from __future__ import annotations

import math

from qfw.model.device import DeviceKind
from qfw.model.errors import StaleCalibration
from qfw.model.gates import GATES
from qfw.qpm.platform import RunDone, RunFailed
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, Failed, NotApplicable, expect
from qfw.testing.natives import facet, native_call

checks: Checks[Bench] = Checks()
check = checks.check

#: A version that no device has.
OTHER = "no such calibration"
#: Runs with a calibration that the check of a change under load starts, at most.
LOAD_RUNS = 200
#: Native operations by which a device may be made to calibrate itself.
CALIBRATE = ("calibrate", "recalibrate")


def _calibrated(bench: Bench) -> None:
    bench.calibration = bench.stand.call("calibration", bench.platform.calibration, bench.name)
    if bench.calibration is None:
        raise NotApplicable("it is ideal: it has no calibration")


@check("calibration.needed", "What is no ideal simulator has a calibration.", "Calibration")
def _needed(bench: Bench) -> None:
    if bench.profile.kind is not DeviceKind.TWIN:
        raise NotApplicable(f"a {bench.profile.kind.value} need not have one")
    _calibrated(bench)


@check(
    "calibration.named", "A calibration names its device, a version, and when it was measured.", "Calibration"
)
def _named(bench: Bench) -> None:
    _calibrated(bench)
    found = bench.calibration
    assert found is not None
    expect(found.device == bench.name, bench.name, found.device)
    expect(found.version, "a version", repr(found.version))
    expect(found.measured_s > 0 and math.isfinite(found.measured_s), "a time", found.measured_s)


@check(
    "calibration.qubits",
    "It has every qubit; T1, T2 are positive, T2 at most 2 · T1, errors probabilities.",
    "Calibration",
)
def _qubits(bench: Bench) -> None:
    _calibrated(bench)
    assert bench.calibration is not None
    found = bench.calibration.qubits
    expect(len(found) == bench.profile.max_qubits, f"{bench.profile.max_qubits} qubits", len(found))
    for at, qubit in enumerate(found):
        expect(0 < qubit.t2_us <= 2 * qubit.t1_us * (1 + 1e-9), f"0 < T2 <= 2 T1 of qubit {at}", qubit)
        for name in ("read1_given0", "read0_given1", "reset_error"):
            expect(0 <= getattr(qubit, name) <= 1, f"{name} of qubit {at} in 0..1", getattr(qubit, name))
        expect(qubit.readout_ns >= 0 and qubit.reset_ns >= 0, f"times of qubit {at} of 0 or more", qubit)


@check(
    "calibration.gates",
    "Its gates are native, on coupled qubits, each once; errors are probabilities.",
    "Calibration",
)
def _gates(bench: Bench) -> None:
    _calibrated(bench)
    assert bench.calibration is not None
    pairs = None if bench.profile.coupling is None else {frozenset(p) for p in bench.profile.coupling}
    seen = set()
    for gate in bench.calibration.gates:
        told = f"{gate.name} on {gate.qubits}"
        expect(
            gate.name in bench.profile.native_gates,
            f"native gates, {told} among them",
            bench.profile.native_gates,
        )
        expect(
            len(gate.qubits) == GATES[gate.name].num_qubits, f"as many qubits as {gate.name} has", gate.qubits
        )
        expect(
            all(0 <= q < bench.profile.max_qubits for q in gate.qubits), "qubits of the device", gate.qubits
        )
        expect(0 <= gate.error <= 1 and gate.duration_ns >= 0, f"an error in 0..1 and a time of {told}", gate)
        expect((gate.name, gate.qubits) not in seen, f"{told} once", "twice")
        seen.add((gate.name, gate.qubits))
        if pairs is not None and len(gate.qubits) == 2:
            expect(frozenset(gate.qubits) in pairs, f"a coupled pair for {told}", "one that is not")


@check("calibration.complete", "Every coupled pair has a native gate in the calibration.", "Calibration")
def _complete(bench: Bench) -> None:
    _calibrated(bench)
    assert bench.calibration is not None
    if bench.profile.coupling is None:
        raise NotApplicable("all pairs are coupled")
    known = {frozenset(g.qubits) for g in bench.calibration.gates if len(g.qubits) == 2}
    missing = [pair for pair in bench.profile.coupling if frozenset(pair) not in known]
    expect(not missing, "a gate for each pair", f"none for {missing[:4]}")


@check(
    "calibration.conditions",
    "A device with a calibration answers under which version it ran, and for how long.",
    "Calibration",
)
def _conditions(bench: Bench) -> None:
    _calibrated(bench)
    done = bench.done(bench.small_run())
    expect(done.conditions is not None and done.conditions.calibration, "the version", done.conditions)
    assert done.conditions is not None
    expect(done.conditions.device_ns >= 0, "device time of 0 or more", done.conditions.device_ns)


@check("calibration.ideal", "An ideal device answers without conditions of a calibration.", "Calibration")
def _ideal(bench: Bench) -> None:
    if bench.calibration is not None:
        raise NotApplicable("it has a calibration")
    done = bench.done(bench.small_run())
    expect(done.conditions is None or not done.conditions.calibration, "no version", done.conditions)


@check(
    "calibration.current",
    "A run that was lowered for the current version is answered under it.",
    "Calibration",
)
def _current(bench: Bench) -> None:
    _calibrated(bench)
    for _ in range(3):
        _calibrated(bench)
        assert bench.calibration is not None
        version = bench.calibration.version
        try:
            done = bench.done(bench.small_run(calibration=version))
        except StaleCalibration:
            continue  # It changed between: the version is looked up again.
        expect(done.conditions and done.conditions.calibration == version, version, done.conditions)
        return
    raise Failed("an answer under the current calibration", "StaleCalibration three times")


@check(
    "calibration.stale",
    "A run that was lowered for another version fails: StaleCalibration, retryable.",
    "Calibration",
)
def _stale(bench: Bench) -> None:
    run = bench.small_run(calibration=OTHER)
    outcome = bench.go(run)
    expect(isinstance(outcome, RunFailed), "StaleCalibration", "it was run")
    assert isinstance(outcome, RunFailed)
    expect(outcome.error.code == StaleCalibration.__name__, "StaleCalibration", outcome.error.code)
    bench.still_works()


@check(
    "calibration.under_load",
    "When the calibration changes under load, no run is answered under another version.",
    "Calibration",
)
def _under_load(bench: Bench) -> None:
    _calibrated(bench)
    assert bench.calibration is not None
    old = bench.calibration.version
    operation = next((name for name in CALIBRATE if name in bench.profile.native), None)
    slot = bench.stand.ready(bench.name)[0]
    runs = [bench.small_run(calibration=old) for _ in range(LOAD_RUNS)]
    bench.stand.start(bench.name, slot, runs[: LOAD_RUNS // 2])
    if operation is not None:
        bench.stand.call("call", facet(bench).call, bench.name, native_call(bench, operation))
    bench.stand.start(bench.name, slot, runs[LOAD_RUNS // 2 :])
    stale = 0
    for run in runs:
        outcome = bench.stand.outcome(run, slot)
        if isinstance(outcome, RunDone):
            expect(outcome.conditions and outcome.conditions.calibration == old, old, outcome.conditions)
        else:
            expect(
                outcome.error.code == StaleCalibration.__name__,
                "an answer or StaleCalibration",
                outcome.error,
            )
            stale += 1
    if operation is not None:
        bench.stand.wait(lambda: _version(bench) != old, 30.0, "a new version of the calibration")
    elif not stale and _version(bench) == old:
        raise NotApplicable("its calibration did not change, and no native operation makes it change")
    told = {event.calibration for device, event, _ in bench.stand.sink.reports if device == bench.name}
    expect(_version(bench) in told, "an event that names the new version", sorted(told))


def _version(bench: Bench) -> str:
    found = bench.stand.call("calibration", bench.platform.calibration, bench.name)
    return found.version if found is not None else ""
