"""From a session to the driver of a platform and back, through the daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from qfw.model.errors import OptionError, StaleCalibration, TooLarge, UnknownDevice, UnsupportedFeature
from qfw.model.events import DeviceReported
from qfw.qpi import Session
from tests.qpm.acme import OUTPUTS, PROGRAM, calibration
from tests.stack import LIMIT_S, events_of, runtime_folder


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        words = [sys.executable, "-m", "tests.qpmd.acme_daemon", f"--folder={made}"]
        daemon = subprocess.Popen(words, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        try:
            assert daemon.stdout is not None and daemon.stdout.readline() == b"ready\n"
            yield made
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(LIMIT_S)
            daemon.stdout.close()


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[Session]:
    with Session(runtime_folder=folder) as opened:
        yield opened


def test_a_device_that_came_after_the_session_is_found(session: Session) -> None:
    device = session.device("acme")
    assert device.profile.platform == "acme" and device in session.devices
    # Hardware is never chosen by itself.
    assert session.device().name == "reference"


def test_who_is_broken_is_said_with_an_unknown_name(session: Session) -> None:
    with pytest.raises(UnknownDevice, match=r"acne.*did you mean 'acme'.*broken is broken: it lacks what"):
        session.device("acne")


def test_a_task_runs_under_the_calibration_that_it_was_lowered_for(session: Session) -> None:
    device = session.device("acme")
    now = device.calibration()
    assert now == calibration()
    with device.stream() as stream:
        result = stream.run(PROGRAM, [0.4], shots=100, outputs=OUTPUTS, calibration=now.version).result(
            LIMIT_S
        )
        assert result.expectation_values[0, 0] == pytest.approx(np.cos(0.4))
        assert result.calibration == now.version
        assert result.conditions is not None and result.conditions.calibration == now.version
        stale = stream.run(PROGRAM, [0.4], shots=100, outputs=OUTPUTS, calibration="v0")
        with pytest.raises(
            StaleCalibration, match="lowered for calibration v0 of acme, which has v1 now"
        ) as e:
            stale.result(LIMIT_S)
        assert e.value.retryable


def test_what_it_does_not_take_goes_elsewhere(session: Session) -> None:
    future = session.device("acme").stream().run(PROGRAM, [0.4], shots=1001, outputs=OUTPUTS)
    with pytest.raises(TooLarge, match=r"1001 shots.*at most 1000.*would take it: reference \(about"):
        future.result(LIMIT_S)


def test_its_status(session: Session) -> None:
    status = session.device("acme").status()
    assert (status.state, status.calibration, status.two_qubit_error) == ("online", "v1", 0.01)
    assert status.wait_s is not None and status.wait_s >= 0


def test_a_native_operation_comes_back(session: Session) -> None:
    device = session.device("acme")
    play = device.native("play")
    schedule = {"channel": "d0", "amplitudes": [0.1, 0.2]}
    assert play(schedule, timeout_s=LIMIT_S) == schedule
    assert play(b"\x93\x01\x02\x03") == [1, 2, 3]
    with pytest.raises(UnsupportedFeature, match="no native operation 'sing'; it has play"):
        device.native("sing")
    with pytest.raises(OptionError):
        play(schedule, timeout_s=float("inf"))


def test_sinfo_shows_it(session: Session, folder: Path) -> None:
    def sinfo(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "qfw.cli.main", "sinfo", *words],
            env=os.environ | {"QFW_RUNTIME_DIR": str(folder)},
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        ).stdout

    session.device("acme")
    found = json.loads(sinfo("--json"))
    row = next(row for row in found["devices"] if row["device"] == "acme")
    assert (row["calibration"], row["two_qubit_error"], row["platform"]) == ("v1", 0.01, "acme")
    # Measured in 1970.
    assert row["calibration_age_s"] > 1e9
    states = {row["name"]: row["state"] for row in found["platforms"]}
    assert states["acme"] == states["simulators"] == "serving" and states["broken"] == "broken"
    heading, *lines = sinfo().splitlines()
    assert {"WAIT", "CALIBRATED", "2Q-ERROR"} <= set(heading.split())
    assert any(line.startswith("acme") and "1.00%" in line and " d ago" in line for line in lines)
    assert any(line.startswith("broken") and "it lacks what it claims" in line for line in lines)


def test_its_events_are_in_the_journal_once_and_in_order(session: Session, folder: Path) -> None:
    session.device("acme")
    found = [e.event for e in events_of(folder) if isinstance(e, DeviceReported) and e.device == "acme"]
    assert "v1" in [event.calibration for event in found]
    numbered = [event.sequence for event in found if event.sequence]
    assert numbered == list(range(1, len(numbered) + 1))
