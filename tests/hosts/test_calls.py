"""Native operations, reservations, cancellation, calibrations and large answers, through a real host."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from qfw.hosts.calls import MAX_OPEN, MAX_OPEN_BYTES
from qfw.hosts.platform import HostedPlatform
from qfw.model.device import DeviceState
from qfw.model.errors import NoCapacity, RequestError, UnsupportedFeature
from qfw.model.outputs import (
    Counts,
    Memory,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    Statevector,
    decode_answers,
)
from qfw.model.program import Gate, Measure, Program
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import NativeCall, NativeDone, NativeFailed, RunDone, RunFailed
from tests.hosts.stand import Stand
from tests.stack import SHORT, Z0

NAME = "obliging"
MEASURED = Program(2, 2, 0, (Gate("h", (0,)), Measure(0, 0), Measure(1, 1)))
REQUEST = ReservationRequest(7, 500_000, 1.0, 10.0, 60.0, 1)


def served(stand: Stand, do: str = "answer", **limits: object) -> HostedPlatform:
    platform = stand.host(do, name=NAME, plugin="obliging", **limits)
    stand.up(platform)
    return platform


def asked(stand: Stand, call: Callable[[], Offer | None]) -> Offer | None:
    """What a call about a reservation is answered in the end."""
    found: list[Offer | None] = []

    def answered() -> bool:
        try:
            found.append(call())
        except NoCapacity as error:
            if "ask again" not in str(error):
                raise
            return False
        return True

    stand.until(answered, "an answer about a reservation")
    return found[0]


def failed(stand: Stand) -> str:
    """Code of the error of the one outcome."""
    stand.until(lambda: stand.outcomes(NAME), "outcome")
    (outcome,) = stand.outcomes(NAME)
    assert isinstance(outcome, RunFailed)
    return outcome.error.code


# Native operations.


def test_a_native_operation_is_answered_or_refused_by_its_platform(stand: Stand) -> None:
    platform = served(stand)
    platform.call(NAME, NativeCall(1, "echo", b"\xc0", 5.0))
    platform.call(NAME, NativeCall(2, "refuse", b"\xc0", 5.0))
    platform.call(NAME, NativeCall(3, "large", b"\xc0", 5.0))
    stand.until(lambda: len(stand.sink.natives) == 3, "three answers")
    done, refused, large = stand.sink.natives
    assert done == NativeDone(1, b"\xc0")
    assert isinstance(refused, NativeFailed) and refused.error.code == "RequestError"
    assert isinstance(large, NativeDone) and len(large.body) == 2**22
    with pytest.raises(UnsupportedFeature, match="'warp'"):
        platform.call(NAME, NativeCall(4, "warp", b"", 5.0))


def test_a_native_operation_that_is_late_fails_and_ends_the_host(stand: Stand) -> None:
    platform = served(stand)
    platform.call(NAME, NativeCall(1, "never", b"", 0.3))
    stand.until(lambda: stand.sink.natives, "its failure")
    (late,) = stand.sink.natives
    assert isinstance(late, NativeFailed) and late.error.code == "DeadlineExceeded"
    assert platform.state(NAME) is DeviceState.OFFLINE
    with pytest.raises(NoCapacity):
        platform.call(NAME, NativeCall(2, "echo", b"", 0.3))


def test_what_waits_in_the_daemon_for_a_host_is_bounded(stand: Stand) -> None:
    platform = served(stand)
    platform.call(NAME, NativeCall(1, "never", bytes(MAX_OPEN_BYTES - 1), 60.0))
    with pytest.raises(NoCapacity, match="1 native operations"):
        platform.call(NAME, NativeCall(2, "never", b"12", 60.0))
    for call in range(2, MAX_OPEN + 1):
        platform.call(NAME, NativeCall(call, "never", b"", 60.0))
    with pytest.raises(NoCapacity, match=f"{MAX_OPEN} native operations"):
        platform.call(NAME, NativeCall(MAX_OPEN + 1, "never", b"", 60.0))


def test_a_second_native_answer_ends_the_host(stand: Stand) -> None:
    served(stand).call(NAME, NativeCall(1, "twice", b"", 5.0))
    stand.until(lambda: stand.sink.lost, "slot lost")
    assert "nobody had asked for" in stand.sink.lost[0][2] and len(stand.sink.natives) == 1


# Reservations, and load.


def test_reservations_are_asked_for_in_the_host(stand: Stand) -> None:
    platform = served(stand)
    assert asked(stand, lambda: platform.evaluate(NAME, REQUEST)) == Offer(
        250_000, 1.5, "half of it is taken"
    )
    assert asked(stand, lambda: platform.reserve(NAME, REQUEST)) == Offer(250_000, 1.5)
    asked(stand, lambda: platform.renew(NAME, 7, 1, 60.0))
    with pytest.raises(NoCapacity, match="it is taken"):
        asked(stand, lambda: platform.reserve(NAME, REQUEST))
    asked(stand, lambda: platform.release(NAME, 7, 1))
    with pytest.raises(RequestError, match="no reservation 7"):
        asked(stand, lambda: platform.renew(NAME, 7, 1, 60.0))


@pytest.mark.parametrize("do", ["generous", "load"])
def test_offers_and_loads_that_cannot_be_are_not_believed(stand: Stand, do: str) -> None:
    platform = stand.host(do, name=NAME, plugin="obliging")
    stand.until(lambda: platform.settled, "settled")
    if do == "generous":
        with pytest.raises(NoCapacity):
            platform.evaluate(NAME, REQUEST)
    stand.until(lambda: platform.state(NAME) is DeviceState.OFFLINE, "its host is ended")


def test_the_load_comes_with_the_pongs(stand: Stand) -> None:
    platform = served(stand)
    stand.until(lambda: platform.load(NAME).queued == 3, "load")
    assert platform.load(NAME).queued_s == 4.5


# Cancellation.


def test_runs_that_wait_or_run_are_cancelled_in_the_host(stand: Stand) -> None:
    platform = served(stand, "hold")
    stand.start(platform, 1, 60.0)
    stand.start(platform, 2, 60.0)
    platform.cancel(NAME, "only", 2, 1)
    stand.until(lambda: len(stand.outcomes(NAME)) == 1, "the one that waits")
    platform.cancel(NAME, "only", 1, 1)
    stand.until(lambda: len(stand.outcomes(NAME)) == 2, "the one that runs")
    ended = [outcome for outcome in stand.outcomes(NAME) if isinstance(outcome, RunFailed)]
    found = [(outcome.task, outcome.error.code) for outcome in ended]
    assert found == [(2, "TaskCancelled"), (1, "TaskCancelled")]
    assert platform.state(NAME) is DeviceState.ONLINE and not stand.sink.lost


def test_a_cancelled_run_that_goes_on_is_ended_with_its_host(stand: Stand) -> None:
    platform = served(stand, "ignore")
    stand.start(platform, 1, 60.0)
    stand.start(platform, 2, 60.0)
    platform.cancel(NAME, "only", 1, 1)
    stand.until(lambda: stand.sink.lost, "slot lost")
    assert stand.sink.lost[0][2:] == ("a cancelled task went on", 1)


def test_a_cancelled_run_that_waits_is_let_be_until_its_turn(stand: Stand) -> None:
    platform = served(stand, "ignore")
    stand.start(platform, 1, 0.6)
    stand.start(platform, 2, 60.0)
    platform.cancel(NAME, "only", 2, 1)
    stand.until(lambda: stand.sink.lost, "slot lost")
    assert "past its deadline" in stand.sink.lost[0][2]


# Devices that stand still.


def test_runs_that_a_still_device_keeps_are_given_back_in_time(stand: Stand) -> None:
    platform = served(stand, "pause", pause_limit_s=5.0, answer_limit_s=60.0)
    stand.clock.hold(0.002)
    began_s = stand.clock()
    stand.start(platform, 1, limit_s=0.5)
    stand.start(platform, 2, limit_s=0.5)
    stand.until(lambda: len(stand.outcomes(NAME)) == 2, "both fail")
    # The second one stood as long as the first; its host gives both up and stays.
    assert 5.0 <= stand.clock() - began_s <= 5.0 + 2.0
    for outcome in stand.outcomes(NAME):
        assert isinstance(outcome, RunFailed) and outcome.error.code == "DeadlineExceeded"
        assert "stood still" in outcome.error.message and "pause_limit_s" in outcome.error.message
    assert platform.state(NAME) is DeviceState.MAINTENANCE and not stand.sink.lost


def test_a_still_device_that_keeps_its_runs_all_the_same_is_ended(stand: Stand) -> None:
    platform = served(stand, "pause for good", pause_limit_s=0.5)
    stand.start(platform, 1, limit_s=0.5)
    stand.until(lambda: stand.sink.lost, "slot lost")
    assert failed(stand) == "DeadlineExceeded"


def test_a_device_that_stops_and_goes_on_does_not_run_for_ever(stand: Stand) -> None:
    platform = served(stand, "flicker", answer_limit_s=60.0, event_burst=10**6, events_per_s=1e6)
    stand.start(platform, 1, limit_s=0.2)
    assert failed(stand) == "DeadlineExceeded"
    assert "past its deadline" in stand.sink.lost[0][2]


# Answers.


@pytest.mark.parametrize("output", [Counts(), Memory(), Probabilities(), Statevector(), Z0[0]])
@pytest.mark.parametrize("do", ["answer", "wrong"])
def test_each_kind_of_answer_is_checked(stand: Stand, do: str, output: Output) -> None:
    platform = served(stand, do)
    measured = isinstance(output, (Counts, Memory))
    shots = 5 if measured else 0
    stand.start(platform, program=MEASURED if measured else SHORT, outputs=(output,), shots=shots)
    if do == "wrong":
        assert failed(stand) == "WrongAnswer"
    else:
        stand.until(lambda: stand.outcomes(NAME), "outcome")
        assert isinstance(stand.outcomes(NAME)[0], RunDone)
    assert platform.state(NAME) is DeviceState.ONLINE


@pytest.mark.parametrize("do", ["answer", "wrong", "nan"])
def test_large_answers_come_as_memory_and_are_checked(stand: Stand, do: str) -> None:
    platform = served(stand, do, options={"qubits": 18})
    wide = Program(18, 0, 0, (Gate("h", (0,)),))
    stand.start(platform, limit_s=20.0, program=wide, outputs=(Probabilities(),))
    if do != "answer":
        assert failed(stand) == "WrongAnswer" and not stand.sink.memories
        return
    stand.until(lambda: stand.outcomes(NAME), "outcome")
    (done,), (memory,) = stand.outcomes(NAME), stand.sink.memories
    assert isinstance(done, RunDone) and done.answers == b""
    (answer,) = decode_answers(memory.view())
    assert isinstance(answer, ProbabilitiesAnswer)
    assert answer.values.shape == (1, 2**18) and answer.values.numpy()[0, 0] == 1.0


# Calibrations.


@pytest.mark.parametrize(
    ("do", "lowered_for", "code"),
    [
        ("answer", "v1", ""),
        ("answer", "", ""),
        ("calibration new", "", ""),
        ("calibration new", "v1", "WrongAnswer"),
        ("calibration unheard", "", "WrongAnswer"),
        ("calibration unsaid", "", "WrongAnswer"),
        ("calibration unsaid", "v1", "WrongAnswer"),
    ],
)
def test_an_answer_is_of_the_calibration_that_was_asked_for(
    stand: Stand, do: str, lowered_for: str, code: str
) -> None:
    platform = served(stand, do)
    stand.start(platform, calibration=lowered_for)
    if code:
        assert failed(stand) == code
    else:
        stand.until(lambda: stand.outcomes(NAME), "outcome")
        (done,) = stand.outcomes(NAME)
        assert isinstance(done, RunDone) and done.conditions is not None
    assert platform.state(NAME) is DeviceState.ONLINE


@pytest.mark.parametrize(
    ("do", "reason"),
    [
        ("other", "'v2' came with 'v3'"),
        ("impossible", "t2_us"),
        ("long", "33000 gates; at most 32768 are taken"),
        ("huge", "one with a calibration has 4194304 at most"),
    ],
)
def test_a_calibration_that_cannot_be_ends_the_host(stand: Stand, do: str, reason: str) -> None:
    platform = served(stand, f"calibration {do}")
    stand.start(platform)
    stand.until(lambda: stand.sink.lost, "slot lost")
    assert reason in stand.sink.lost[0][2]
    found = platform.calibration(NAME)
    assert found is not None and found.version == "v1"
