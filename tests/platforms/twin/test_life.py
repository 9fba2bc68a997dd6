import math
from typing import Any

import pytest

from qfw.model.device import DEVICE_TRANSITIONS, DeviceState
from qfw.model.events import DeviceEventKind
from qfw.platforms.twin.life import Change, Life
from qfw.platforms.twin.script import Script, load_script
from tests.platforms.twin.machines import calibration

HOUR = 3600 * 10**9
S = 10**9


def script(**entries: Any) -> Script:
    return load_script(entries, "test")


def window(begin_s: float, duration_s: float, **more: Any) -> dict[str, Any]:
    return {"begin_s": begin_s, "duration_s": duration_s, **more}


RICH = {
    "drift": [
        {"quantity": "gate_error", "kind": "walk", "per_hour": 0.1},
        {"quantity": "t1", "kind": "linear", "per_hour": -0.02, "qubits": [1]},
        {"quantity": "readout_error", "kind": "walk", "per_hour": 0.05},
        {"quantity": "t2", "kind": "walk", "per_hour": 0.05},
    ],
    "recalibration": [window(3600, 600, every_s=7200)],
    "noise": [window(1000, 500, factor=3.0, qubits=[0], every_s=9000)],
    "fault": [window(20000, 300)],
    "maintenance": [window(40000, 3600)],
    "load": [{"arrivals_per_hour": 6.0, "mean_s": 60.0}],
}


def lived(life: Life, steps: list[int]) -> list[Change]:
    return [change for step in steps for change in life.advance(step)]


def test_the_same_seed_gives_the_same_life_however_time_is_cut() -> None:
    day = 24 * HOUR
    one = Life(script(**RICH), 7, calibration())
    other = Life(script(**RICH), 7, calibration())
    first, second = lived(one, [day]), lived(other, [*range(0, day + 1, day // 97), day])
    assert first == second
    assert one.truth(day) == other.truth(day)
    assert first != lived(Life(script(**RICH), 8, calibration()), [day])
    assert [change.at_ns for change in first] == sorted(change.at_ns for change in first)


def test_states_follow_the_table_and_calibrations_are_new() -> None:
    changes = lived(Life(script(**RICH), 7, calibration(), 5 * S), [24 * HOUR])
    state = DeviceState.ONLINE
    for change in changes:
        if change.state is not None:
            assert change.state in DEVICE_TRANSITIONS[state]
            state = change.state
    new = [change.calibration for change in changes if change.calibration is not None]
    versions = [found.version for found in new]
    assert len(set(versions)) == len(versions) >= 10
    assert versions[0] == "v0+1"
    assert new[0].measured_s == 5 + 4200
    for found in new:
        assert all(0 < qubit.t2_us <= 2 * qubit.t1_us for qubit in found.qubits)


def test_truth_drifts_and_the_calibration_says_what_was_measured() -> None:
    life = Life(
        script(
            drift=[{"quantity": "t1", "kind": "linear", "per_hour": -0.1, "qubits": [1]}],
            recalibration=[window(7200, 600, measurement_noise=0.0)],
        ),
        1,
        calibration(),
    )
    assert life.truth(0) == calibration()
    lived(life, [5 * HOUR])
    truth = life.truth(5 * HOUR)
    assert truth.qubits[1].t1_us == pytest.approx(101 * 0.5)
    assert truth.qubits[0].t1_us == 100
    # Measured at 7800 s, without error; drift moves in steps of 600 s.
    assert life.calibration.qubits[1].t1_us == pytest.approx(101 * (1 - 0.1 * 7800 / 3600))


def test_a_random_walk_spreads_as_the_square_root_of_time() -> None:
    logs = []
    for seed in range(200):
        life = Life(script(drift=[{"quantity": "t1", "kind": "walk", "per_hour": 0.1}]), seed, calibration())
        logs += [
            math.log(q.t1_us / b.t1_us)
            for q, b in zip(life.truth(4 * HOUR).qubits, calibration().qubits, strict=True)
        ]
    deviation = math.sqrt(sum(x * x for x in logs) / len(logs))
    # 600 samples: a standard deviation of 0.2 is known to 3 %.
    assert abs(deviation - 0.2) < 0.2 * 0.03 * 4


def test_measurement_noise_has_its_standard_deviation() -> None:
    logs = []
    for seed in range(200):
        life = Life(script(recalibration=[window(1, 1, measurement_noise=0.05)]), seed, calibration())
        lived(life, [HOUR])
        assert life.truth(HOUR) == calibration()
        logs += [
            math.log(g.error / b.error)
            for g, b in zip(life.calibration.gates, calibration().gates, strict=True)
        ]
    deviation = math.sqrt(sum(x * x for x in logs) / len(logs))
    assert abs(deviation - 0.05) < 0.05 * 4 / math.sqrt(2 * len(logs))


def test_an_incident_is_in_the_truth_only() -> None:
    life = Life(script(noise=[window(10, 10, factor=4.0, qubits=[0])]), 1, calibration())
    began, over = lived(life, [15 * S])[0], None
    assert (began.kind, began.until_ns, began.figures) == (
        DeviceEventKind.NOISE,
        20 * S,
        (("factor", 4.0), ("qubit", 0.0)),
    )
    truth = life.truth(15 * S)
    errors = {(gate.name, gate.qubits): gate.error for gate in truth.gates}
    assert errors["sx", (0,)] == pytest.approx(12e-4) and errors["cz", (0, 1)] == pytest.approx(2e-2)
    assert errors["sx", (1,)] == 3e-4 and errors["cz", (1, 2)] == 5e-3
    assert truth.qubits[0].read1_given0 == 0.04 and truth.qubits[1].read1_given0 == 0.01
    assert life.calibration == calibration() and truth.version != "v0"
    over = lived(life, [20 * S])[0]
    assert over.kind is DeviceEventKind.NOISE and over.figures[0] == ("factor", 1.0)
    assert life.truth(20 * S) is life.truth(21 * S)


def test_overlapping_windows_give_the_graver_state() -> None:
    life = Life(
        script(
            maintenance=[window(10, 20)],
            fault=[window(15, 5), window(28, 10)],
            recalibration=[window(5, 7), window(50, 1)],
        ),
        1,
        calibration(),
    )
    found = [
        (change.at_ns // S, change.state, change.calibration is not None) for change in lived(life, [100 * S])
    ]
    D = DeviceState
    assert found == [
        (5, D.CALIBRATING, False),
        (10, D.MAINTENANCE, False),
        # Given up: the device is being worked on.
        (12, None, False),
        (15, D.OFFLINE, False),
        (20, D.MAINTENANCE, False),
        (28, D.OFFLINE, False),
        (30, None, False),
        (38, D.ONLINE, False),
        (50, D.CALIBRATING, False),
        (51, D.ONLINE, True),
    ]


def test_faults_between_two_times() -> None:
    life = Life(script(fault=[window(10, 1, every_s=100), window(50, 1)]), 1, calibration())

    def at(after_s: int, before_s: int) -> int | None:
        found = life.fault_between(after_s * S, before_s * S)
        return None if found is None else found[0] // S

    assert at(0, 10) is None
    assert at(0, 11) == 10
    assert at(10, 1000) == 50
    assert at(50, 1000) == 110
    assert at(110, 210) is None and at(110, 211) == 210


def test_others_are_served_first_and_stand_still_with_the_device() -> None:
    life = Life(
        script(load=[{"arrivals_per_hour": 60.0, "mean_s": 30.0}], maintenance=[window(3000, 600)]),
        3,
        calibration(),
    )
    arrivals = [c for c in lived(life, [2900 * S]) if c.kind is DeviceEventKind.LOAD]
    assert 25 < len(arrivals) < 75
    busy = next(c for c in arrivals if dict(c.figures)["queued"] >= 2)
    assert busy.at_ns > 0
    queued, queued_ns = life.load(2900 * S)
    assert life.turn_ns(2900 * S) == 2900 * S + queued_ns
    assert (queued == 0) == (queued_ns == 0)
    life.occupy(2950 * S)
    lived(life, [3600 * S])
    # Whatever was left when the window began is left when it is over.
    assert life.load(3600 * S)[1] == life.turn_ns(3600 * S) - 3600 * S


def test_our_run_makes_later_arrivals_wait() -> None:
    life = Life(script(load=[{"arrivals_per_hour": 36.0, "mean_s": 1.0}]), 3, calibration())
    life.occupy(1000 * S)
    changes = lived(life, [999 * S])
    assert len(changes) > 3
    queued, queued_ns = life.load(999 * S)
    assert queued == len(changes)
    assert life.turn_ns(999 * S) == 1000 * S + queued_ns
