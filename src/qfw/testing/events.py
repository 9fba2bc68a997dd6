"""Checks of what a device tells by itself: its states, events, load and errors."""

from __future__ import annotations

import itertools
import math

from qfw.hosts.platform import HostedPlatform
from qfw.model.device import ACCEPTING, DEVICE_TRANSITIONS, RUNNING, DeviceState
from qfw.model.errors import ErrorReport
from qfw.model.events import DeviceEvent, DeviceEventKind
from qfw.qpm.platform import RunFailed
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, NotApplicable, expect

checks: Checks[Bench] = Checks()
check = checks.check


@check(
    "state.known",
    "A device is in a state of the table, and gives starts only in a state that runs.",
    "Life of a device",
)
def _state(bench: Bench) -> None:
    bench.stand.ready(bench.name)
    found = bench.stand.state(bench.name)
    expect(isinstance(found, DeviceState), "a DeviceState", repr(found))
    expect(found in RUNNING or found in ACCEPTING, "one that runs or accepts", found)


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


@check(
    "errors.travel",
    "Every error that a run failed with has the name of a class of qfw.model.errors, and a text.",
    "Platform",
)
def _errors(bench: Bench) -> None:
    for rows in bench.stand.sink.outcomes.values():
        for _, _, outcome in rows:
            if isinstance(outcome, RunFailed):
                again = ErrorReport.of(outcome.error.to_exception())
                expect(
                    again.code == outcome.error.code and outcome.error.message, "a known code", outcome.error
                )
