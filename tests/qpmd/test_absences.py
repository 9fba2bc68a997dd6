"""Tasks of a device that says that it is offline: they wait for a while, and not for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from qfw.config.settings import SchedulingSettings
from qfw.model.device import DeviceState
from qfw.qpm.wire import MAX_ITEMS_PER_MESSAGE
from tests.qpmd.conftest import SETTINGS, Bench, number
from tests.qpmd.test_devices import Said, errors

LIMIT_S = 100.0
OFFLINE, ONLINE, STARTING = DeviceState.OFFLINE, DeviceState.ONLINE, DeviceState.STARTING


@pytest.fixture
def patient(tmp_path: Path) -> Iterator[Bench]:
    settings = msgspec.structs.replace(SETTINGS, scheduling=SchedulingSettings(offline_limit_s=LIMIT_S))
    made = Bench(tmp_path / "journal", settings=settings)
    made.open(1)
    yield made
    made.dispose()


def test_they_fail_after_the_limit(patient: Bench) -> None:
    say = Said(patient)
    patient.submit(1, 1, 2)
    say(OFFLINE, message="cryostat warmed up")
    patient.turn()
    patient.reactor.pass_s(LIMIT_S - 1)
    assert patient.turn() == {}
    patient.reactor.pass_s(1)
    said = patient.turn()[1]
    assert errors(said) == {number(1, 1): "NoCapacity", number(1, 2): "NoCapacity"}
    (message,) = {report.message for failed in said for _, report in failed.errors}
    assert "offline for 100 s (cryostat warmed up)" in message and "scheduling.offline_limit_s" in message
    # Nothing more until it is back; then it takes tasks as before.
    patient.reactor.pass_s(10 * LIMIT_S)
    say(ONLINE)
    patient.submit(1, 3)
    assert errors(patient.turn().get(1, [])) == {}


def test_one_that_is_back_in_time_runs_them(patient: Bench) -> None:
    say = Said(patient)
    patient.submit(1, 1)
    say(OFFLINE)
    patient.reactor.pass_s(LIMIT_S / 2)
    say(ONLINE)
    patient.reactor.pass_s(LIMIT_S)
    patient.ready("w")
    patient.turn()
    assert patient.given("w") == [number(1, 1)]
    assert patient.reactor.timers == []


def test_coming_up_again_and_again_is_no_presence(patient: Bench) -> None:
    """And one timer is enough for it."""
    say = Said(patient)
    patient.submit(1, 1)
    for _ in range(50):
        say(OFFLINE)
        say(STARTING)
        patient.reactor.pass_s(1.0)
    assert len(patient.reactor.timers) == 1
    patient.reactor.pass_s(LIMIT_S - 50)
    assert errors(patient.turn()[1]) == {number(1, 1): "NoCapacity"}


def test_a_later_absence_is_measured_from_its_own_begin(patient: Bench) -> None:
    say = Said(patient)
    patient.submit(1, 1)
    say(OFFLINE)
    patient.reactor.pass_s(60.0)
    say(ONLINE)
    patient.reactor.pass_s(20.0)
    say(OFFLINE)
    patient.reactor.pass_s(60.0)
    assert patient.turn().get(1, []) == [] or not errors(patient.turn().get(1, []))
    patient.reactor.pass_s(30.0)
    assert errors(patient.turn().get(1, [])) == {}
    patient.reactor.pass_s(10.0)
    assert errors(patient.turn()[1]) == {number(1, 1): "NoCapacity"}


def test_what_waits_again_later_fails_later(patient: Bench) -> None:
    say = Said(patient)
    patient.ready("w")
    patient.submit(1, 1)
    patient.turn()
    say(OFFLINE)
    patient.reactor.pass_s(LIMIT_S)
    assert errors(patient.turn().get(1, [])) == {}
    patient.lose("w", begun=False)
    patient.reactor.pass_s(LIMIT_S)
    assert errors(patient.turn()[1]) == {number(1, 1): "NoCapacity"}


def test_one_that_was_given_up_is_no_matter_of_this(patient: Bench) -> None:
    patient.submit(1, 1)
    patient.core.reports.device_offline("fake", "its workers do not start")
    assert errors(patient.turn()[1]) == {number(1, 1): "NoCapacity"}
    assert patient.reactor.timers == []


def test_a_part_of_them_in_each_turn(tmp_path: Path) -> None:
    many = MAX_ITEMS_PER_MESSAGE + 10
    scheduling = SchedulingSettings(offline_limit_s=LIMIT_S, max_tasks_per_session=10_000)
    bench = Bench(tmp_path / "journal", settings=msgspec.structs.replace(SETTINGS, scheduling=scheduling))
    bench.open(1)
    for first in range(1, many + 1, 500):
        bench.submit(1, *range(first, min(first + 500, many + 1)))
    bench.turn()
    Said(bench)(OFFLINE)
    bench.reactor.pass_s(LIMIT_S)
    assert len(errors(bench.turn()[1])) == MAX_ITEMS_PER_MESSAGE
    assert bench.core.behind
    assert len(errors(bench.turn()[1])) == 10
    bench.dispose()
