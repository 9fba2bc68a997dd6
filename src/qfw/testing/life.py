"""Checks of a device's life: calibration, events, load, reservations, native operations."""

from __future__ import annotations

import itertools
import math

import msgspec

from qfw.hosts.platform import HostedPlatform
from qfw.model.device import DEVICE_TRANSITIONS, DeviceKind, DeviceState
from qfw.model.errors import (
    InternalError,
    NoCapacity,
    QFwError,
    RequestError,
    StaleCalibration,
    StaleEpoch,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.model.gates import GATES
from qfw.qpm.platform import (
    NATIVE,
    RESOURCES,
    Native,
    NativeCall,
    NativeDone,
    NativeFailed,
    Offer,
    ReservationRequest,
    RunDone,
    RunFailed,
)
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, Failed, NotApplicable, expect, refused
from qfw.testing.running import GRACE_S, QUIET_S

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
        bench.stand.call("call", _native(bench).call, bench.name, _call(bench, operation))
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


def _events(bench: Bench) -> list[DeviceEvent]:
    return [event for device, event, _ in bench.stand.sink.reports if device == bench.name]


def _some_events(bench: Bench) -> list[DeviceEvent]:
    bench.stand.ready(bench.name)
    found = _events(bench)
    if not found:
        raise NotApplicable("it reported nothing")
    return found


@check("events.sequence", "Events of a device are numbered from 1, without a gap, in their order.", "Events")
def _sequence(bench: Bench) -> None:
    found = [event.sequence for event in _some_events(bench)]
    expect(found == list(range(1, len(found) + 1)), f"1 to {len(found)}", found)


@check("events.transitions", "A change of state is one that the table allows.", "Events")
def _transitions(bench: Bench) -> None:
    states = [event.state for event in _some_events(bench) if event.state is not None]
    for before, after in itertools.pairwise(states):
        allowed = DEVICE_TRANSITIONS[before] | {before}
        expect(after in allowed, f"after {before}: {', '.join(sorted(allowed))}", after)


@check("events.state_agrees", "The last state that was reported is the one that the device is in.", "Events")
def _agrees(bench: Bench) -> None:
    states = [event.state for event in _some_events(bench) if event.state is not None]
    if not states:
        raise NotApplicable("no event changed its state")
    before = len(_events(bench))
    found = bench.stand.state(bench.name)
    if len(_events(bench)) == before:
        expect(found is states[-1], states[-1], found)


@check(
    "events.calibration", "An event that names a new calibration carries it, and nothing else does.", "Events"
)
def _carries(bench: Bench) -> None:
    _some_events(bench)
    for device, event, calibration in bench.stand.sink.reports:
        if device != bench.name:
            continue
        version = calibration.version if calibration is not None else ""
        expect(
            event.calibration == version,
            f"calibration {event.calibration!r} with event {event.sequence}",
            version,
        )
        if event.kind is DeviceEventKind.CALIBRATION and event.state is not DeviceState.CALIBRATING:
            expect(version or event.state, "a calibration, or a state, with an event of its kind", event)


@check("events.versions", "Each new calibration has a version of its own.", "Events")
def _versions(bench: Bench) -> None:
    found = [event.calibration for event in _some_events(bench) if event.calibration]
    if not found:
        raise NotApplicable("its calibration did not change")
    expect(len(set(found)) == len(found), "different versions", found)


@check("events.times", "Events say when they happened, none before the one before it.", "Events")
def _times(bench: Bench) -> None:
    told = _some_events(bench)
    if isinstance(bench.platform, HostedPlatform):
        # That its host came up is found by QFw and dated by its clock; the others have the device's.
        told = told[1:]
    found = [event.wall_ns for event in told]
    expect(all(at > 0 for at in found) and found == sorted(found), "rising times", found)


@check("events.message", "Events say in words what happened.", "Events")
def _message(bench: Bench) -> None:
    for event in _some_events(bench):
        expect(
            event.message and len(event.message) < 4096,
            "a message of 1 to 4095 characters",
            repr(event.message),
        )


@check(
    "load.figures",
    "Load is a number of tasks and of seconds, 0 or more, or None where it does not say.",
    "Load",
)
def _load(bench: Bench) -> None:
    found = bench.stand.call("load", bench.platform.load, bench.name)
    expect(found.queued is None or found.queued >= 0, "0 or more tasks, or None", found.queued)
    seconds = found.queued_s
    expect(
        seconds is None or (seconds >= 0 and math.isfinite(seconds)), "0 or more seconds, or None", seconds
    )
    if not bench.profile.bounded:
        return
    expect(seconds is not None, "seconds: the profile says that waiting is bounded", seconds)


def _request(bench: Bench, **fields: object) -> ReservationRequest:
    asked = {
        "share_ppm": 200_000,
        "burst_s": 1.0,
        "activation_s": 0.0,
        "lifetime_s": 60.0,
        "epoch": 1,
        **fields,
    }
    return ReservationRequest(number=bench.stand.number(), **asked)  # type: ignore[arg-type]


def _offered(bench: Bench, request: ReservationRequest) -> Offer:
    return bench.stand.booked("evaluate", bench.platform.evaluate, bench.name, request)


def _reserved(bench: Bench) -> ReservationRequest:
    """A reservation that was granted."""
    request = _request(bench)
    if not _offered(bench, request).share_ppm:
        raise NotApplicable("it takes no reservations, and says so; reservations.refused looks at that")
    bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)
    return request


@check(
    "reservations.evaluate",
    "An offer is not more than was asked for, and says why where it is less.",
    "Reservations",
)
def _evaluate(bench: Bench) -> None:
    bench.facet(RESOURCES)
    request = _request(bench)
    offer = _offered(bench, request)
    expect(0 <= offer.share_ppm <= request.share_ppm, f"0 to {request.share_ppm}", offer.share_ppm)
    expect(offer.bound_s is None or offer.bound_s >= 0, "a bound of 0 or more, or none", offer.bound_s)
    expect(offer.share_ppm == request.share_ppm or offer.reason, "why it is less", offer)


@check(
    "reservations.evaluate_changes_nothing",
    "To evaluate a request again gives the same offer.",
    "Reservations",
)
def _evaluate_again(bench: Bench) -> None:
    request = _request(bench)
    offers = [_offered(bench, request) for _ in range(3)]
    shares = {offer.share_ppm for offer in offers}
    expect(len(shares) == 1, "one offer", offers)


@check(
    "reservations.refused",
    "Where nothing can be granted, a reservation is refused: UnsupportedFeature or NoCapacity.",
    "Reservations",
)
def _reserve_refused(bench: Bench) -> None:
    request = _request(bench)
    if _offered(bench, request).share_ppm:
        raise NotApplicable("it takes reservations")
    with refused(UnsupportedFeature, NoCapacity, what="a reservation of which nothing was offered"):
        bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)


@check(
    "reservations.granted",
    "A reservation is granted as it was offered, at most as it was asked for.",
    "Reservations",
)
def _granted(bench: Bench) -> None:
    request = _reserved(bench)
    again = bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)
    expect(0 < again.share_ppm <= request.share_ppm, "the same again", again)
    bench.stand.booked("release", bench.platform.release, bench.name, request.number, 1)


@check("reservations.too_much", "More than the whole device is never granted.", "Reservations")
def _too_much(bench: Bench) -> None:
    held = []
    total = 0
    try:
        for _ in range(8):
            request = _request(bench, share_ppm=300_000)
            if not _offered(bench, request).share_ppm:
                break
            offer = bench.stand.booked("reserve", bench.platform.reserve, bench.name, request)
            held.append(request.number)
            total += offer.share_ppm
    except (NoCapacity, UnsupportedFeature):
        pass
    finally:
        for number in held:
            bench.stand.booked("release", bench.platform.release, bench.name, number, 1)
    if not held:
        raise NotApplicable("it takes no reservations, and says so; reservations.refused looks at that")
    expect(total <= 1_000_000, "1000000 ppm at most", total)


@check(
    "reservations.renewed",
    "A reservation can be renewed; one that there is not cannot: RequestError.",
    "Reservations",
)
def _renewed(bench: Bench) -> None:
    request = _reserved(bench)
    bench.stand.booked("renew", bench.platform.renew, bench.name, request.number, 1, 30.0)
    bench.stand.booked("release", bench.platform.release, bench.name, request.number, 1)
    with refused(RequestError, what="renewal of a reservation that was released"):
        bench.stand.booked("renew", bench.platform.renew, bench.name, request.number, 1, 30.0)


@check(
    "reservations.fenced",
    "An owner of an older epoch renews and releases nothing: StaleEpoch.",
    "Reservations",
)
def _fenced(bench: Bench) -> None:
    request = _reserved(bench)
    later = msgspec.structs.replace(request, epoch=2)
    bench.stand.booked("reserve", bench.platform.reserve, bench.name, later)
    with refused(StaleEpoch, what="renewal with an older epoch"):
        bench.stand.booked("renew", bench.platform.renew, bench.name, request.number, 1, 30.0)
    with refused(StaleEpoch, what="release with an older epoch"):
        bench.stand.booked("release", bench.platform.release, bench.name, request.number, 1)
    bench.stand.booked("release", bench.platform.release, bench.name, request.number, 2)


@check("reservations.released", "To release what is gone is no error.", "Reservations")
def _released(bench: Bench) -> None:
    for _ in range(2):
        bench.stand.booked("release", bench.platform.release, bench.name, bench.stand.number(), 1)


@check("reservations.unknown_renewal", "To renew what was never reserved is refused, typed.", "Reservations")
def _unknown_renewal(bench: Bench) -> None:
    with refused(RequestError, UnsupportedFeature, what="renewal of what was never reserved"):
        bench.stand.booked("renew", bench.platform.renew, bench.name, bench.stand.number(), 1, 30.0)


def _native(bench: Bench) -> Native:
    bench.facet(NATIVE)
    found = bench.platform
    expect(isinstance(found, Native), "the method call: the facet native is claimed", type(found).__name__)
    assert isinstance(found, Native)
    return found


def _call(bench: Bench, operation: str, body: bytes = b"\x80", time_limit_s: float = 10.0) -> NativeCall:
    return NativeCall(bench.stand.number(), operation, body, time_limit_s)


def _native_outcome(bench: Bench, call: NativeCall) -> NativeDone | NativeFailed | QFwError:
    """What became of an operation; a refusal by the call itself included."""
    try:
        bench.stand.call("call", _native(bench).call, bench.name, call)
    except QFwError as error:
        return error
    found = bench.stand.sink.natives
    bench.stand.wait(
        lambda: call.number in found, call.time_limit_s + GRACE_S, f"an answer of {call.operation}"
    )
    return found[call.number][0]


def _native_refused(bench: Bench, call: NativeCall, what: str) -> None:
    outcome = _native_outcome(bench, call)
    if isinstance(outcome, NativeDone):
        raise Failed(f"a typed error for {what}", "an answer")
    error = outcome.error.to_exception() if isinstance(outcome, NativeFailed) else outcome
    expect(
        not isinstance(error, InternalError), f"a typed error for {what}", f"{type(error).__name__}: {error}"
    )


@check(
    "native.claimed", "Only a platform with the facet native has devices with native operations.", "Native"
)
def _claimed(bench: Bench) -> None:
    has = NATIVE in bench.platform.facets
    expect(has or not bench.profile.native, "no native operations without the facet", bench.profile.native)
    expect(len(set(bench.profile.native)) == len(bench.profile.native), "each once", bench.profile.native)


@check("native.unknown", "An operation that it does not have is refused, typed.", "Native")
def _unknown_operation(bench: Bench) -> None:
    _native_refused(bench, _call(bench, "no such operation"), "an operation that there is not")


@check(
    "native.bad_body",
    "A body that is no MessagePack, or not what the operation documents, is refused, typed.",
    "Native",
)
def _bad_body(bench: Bench) -> None:
    _native(bench)
    if not bench.profile.native:
        raise NotApplicable("it has no native operations")
    for operation in bench.profile.native:
        _native_refused(
            bench, _call(bench, operation, b"\xc1\xff"), f"{operation} of a body that is no MessagePack"
        )


@check(
    "native.answered",
    "Each of its operations is answered once, within its time limit, if only with a typed error.",
    "Native",
)
def _each_answered(bench: Bench) -> None:
    _native(bench)
    if not bench.profile.native:
        raise NotApplicable("it has no native operations")
    for operation in bench.profile.native:
        call = _call(bench, operation)
        outcome = _native_outcome(bench, call)
        if isinstance(outcome, NativeFailed):
            error = outcome.error.to_exception()
            expect(
                not isinstance(error, InternalError),
                f"an answer or a typed error of {operation}",
                outcome.error,
            )
        elif isinstance(outcome, NativeDone):
            try:
                msgspec.msgpack.decode(outcome.body)
            except msgspec.DecodeError as error:
                raise Failed(f"MessagePack as the answer of {operation}", str(error)) from error
    bench.stand.settle(QUIET_S)
    twice = [number for number, rows in bench.stand.sink.natives.items() if len(rows) > 1]
    expect(not twice, "one answer each", f"two of {twice}")
    # An operation may have sent the device to calibrate, or the like: it comes back.
    bench.stand.ready(bench.name)


@check("native.unknown_device", "An operation of a device that there is not is refused, typed.", "Native")
def _native_device(bench: Bench) -> None:
    native = _native(bench)
    call = _call(bench, "no such operation")
    try:
        bench.stand.call("call", native.call, "no such device", call)
    except UnknownDevice:
        return
    except QFwError as error:
        raise Failed("UnknownDevice", f"{type(error).__name__}: {error}") from error
    found = bench.stand.sink.natives
    bench.stand.wait(lambda: call.number in found, GRACE_S, "a refusal")
    outcome = found[call.number][0]
    code = outcome.error.code if isinstance(outcome, NativeFailed) else "an answer"
    expect(code == "UnknownDevice", "UnknownDevice", code)
