import math
from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.model.calibration import QubitCalibration
from qfw.model.envelopes import Constant, Drag, Gaussian, GaussianSquare, Samples
from qfw.model.errors import ProgramError, TooLarge, UnsupportedFeature
from qfw.model.pulse import (
    Acquire,
    Instruction,
    Line,
    Play,
    PlayRequest,
    PulseLimits,
    Schedule,
    Shift,
    check_schedule,
    play_times,
)
from qfw.platforms.twin.pulses import check_playable, excitation, play, rotation
from tests.platforms.twin.machines import calibration

#: A sample of 0.5 ns; amplitude 1 turns by π in 20 samples' time: 50 MHz for 10 ns.
LIMITS = PulseLimits(3, ((0, 1), (1, 0)), 0.5, 4, 8, 4096, 1.0, 50.0)
#: Nothing decays.
STILL = QubitCalibration(1e12, 1e12, 0.0, 0.0, 700)


def drive(
    start: int = 0, duration: int = 40, amplitude: float = 0.5, phase: float = 0.0, qubit: int = 0
) -> Play:
    """Turns by π as it is."""
    return Play(Line.DRIVE, (qubit,), start, duration, Constant(amplitude, phase))


def readout(start: int, qubit: int = 0, bit: int = 0) -> tuple[Instruction, ...]:
    return (
        Play(Line.MEASURE, (qubit,), start, 400, GaussianSquare(0.3, 10.0, 300.0)),
        Acquire(qubit, start, 400, bit),
    )


def schedule(*instructions: Instruction) -> Schedule:
    return Schedule(instructions)


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        (drive(qubit=3), "channel drive 3: there is no such channel: the device has qubits 0 to 2"),
        (Play(Line.CONTROL, (0, 2), 0, 40, Constant(0.1)), "channel control 0-2: there is no such channel"),
        (Play(Line.DRIVE, (0, 1), 0, 40, Constant(0.1)), "a drive channel has one qubit, not 2"),
        (drive(start=2), "granularity: its start is 2 samples, not a multiple of 4"),
        (drive(duration=42), "granularity: its duration is 42"),
        (drive(duration=4), "minimum length: it lasts 4 samples; at least 8"),
        (drive(amplitude=1.01), "amplitude: a sample is 1.01"),
        (drive(amplitude=math.nan), "amplitude is nan"),
        (drive(start=4080), "it lasts from sample 4080 to 4120; a schedule has the samples 0 to 4096"),
        (drive(start=-4), "it lasts from sample -4"),
        (Play(Line.DRIVE, (0,), 0, 40, Gaussian(0.5, 0.0)), "sigma is 0.0"),
        (Play(Line.DRIVE, (0,), 0, 40, GaussianSquare(0.5, 4.0, 41.0)), "width is 41.0"),
        (Play(Line.DRIVE, (0,), 0, 40, Samples((0.1,) * 39)), "gives 39 samples and lasts 40"),
        (Play(Line.DRIVE, (0,), 0, 8, Samples((math.nan,) * 8)), "amplitude: a sample is nan"),
        (Play(Line.DRIVE, (0,), 0, 40, Drag(0.9, 4.0, 9.0)), "amplitude: a sample is"),
        (Play(Line.ACQUIRE, (0,), 0, 40, Constant(0.1)), "use an acquire instruction"),
        (Shift(Line.DRIVE, (0,), 0, math.inf), "its phase is inf"),
        (Acquire(0, 0, 40, -1), "channel acquire 0: bit -1"),
        (Acquire(2, 800, 40, 0), "channel acquire 2: bit 0 is acquired twice"),
        (drive(start=896, qubit=1), "overlap: it begins at sample 896, when instruction 1 plays until 900"),
    ],
)
def test_each_rule_is_named_with_the_instruction_and_channel(bad: Instruction, rule: str) -> None:
    good = (*readout(0), drive(start=860, qubit=1))
    check_schedule(schedule(*good), LIMITS)
    with pytest.raises(ProgramError) as caught:
        check_schedule(schedule(good[0], good[2], good[1], bad), LIMITS)
    assert str(caught.value).startswith("instruction 3 on channel ")
    assert rule in str(caught.value)


def test_times_are_whole_and_rounded_up() -> None:
    # A pulse of 3 samples of 0.3 ns: 0.9 ns.
    limits = msgspec.structs.replace(LIMITS, dt_ns=0.3, granularity=1, shortest=1)
    times = play_times(schedule(drive(1, 2), drive(0, 9, qubit=1)), limits, 1000, 50, 200, 10)
    assert (times.schedule_ns, times.shot_ns, times.device_ns) == (3, 253, 3530)
    assert [(c.qubits, c.begin_ns, c.end_ns) for c in times.channels] == [((0,), 0, 1), ((1,), 0, 3)]
    assert play_times(schedule(), LIMITS, 1000, 50, 200, 10).device_ns == 3500


def test_the_form_is_plain_json() -> None:
    plain: dict[str, Any] = {
        "schedule": {
            "instructions": [
                {
                    "type": "play",
                    "line": "drive",
                    "qubits": [0],
                    "start": 0,
                    "duration": 160,
                    "envelope": {"type": "drag", "amplitude": 0.2, "sigma": 40.0, "beta": 1.5},
                },
                {"type": "shift", "line": "drive", "qubits": [0], "start": 160, "phase": 1.5},
                {"type": "acquire", "qubit": 0, "start": 160, "duration": 400, "bit": 0},
            ]
        },
        "shots": 100,
    }
    request = msgspec.convert(plain, PlayRequest)
    assert request.schedule.instructions[0] == Play(Line.DRIVE, (0,), 0, 160, Drag(0.2, 40.0, 1.5))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=PlayRequest) == request


@pytest.mark.parametrize("turn", [0.25, 0.5, 1.0, 1.3])
def test_a_pulse_turns_by_its_area(turn: float) -> None:
    wanted = math.sin(turn * math.pi / 2) ** 2
    assert excitation([drive(amplitude=0.5 * turn)], 40, LIMITS, STILL) == pytest.approx(wanted)
    bell = Gaussian(0.4, 8.0)
    area = float(bell.samples(40).real.sum())
    angle = 2 * math.pi * 0.05 * 0.5 * area
    pulse = Play(Line.DRIVE, (0,), 0, 40, bell)
    assert excitation([pulse], 40, LIMITS, STILL) == pytest.approx(math.sin(angle / 2) ** 2)


def test_rotations_are_unitary_and_in_order() -> None:
    x, y = np.full(7, 0.3 + 0j), np.full(5, 0.4j)
    both = rotation(np.concatenate([x, y]), LIMITS)
    np.testing.assert_allclose(both, rotation(y, LIMITS) @ rotation(x, LIMITS), atol=1e-12)
    assert not np.allclose(both, rotation(x, LIMITS) @ rotation(y, LIMITS))
    np.testing.assert_allclose(both @ both.conj().T, np.eye(2), atol=1e-12)


def test_a_shift_turns_what_comes_behind_it() -> None:
    half = drive(amplitude=0.25)
    again = drive(start=40, amplitude=0.25)
    assert excitation([half, again], 80, LIMITS, STILL) == pytest.approx(1)
    for phase, wanted in ((math.pi, 0.0), (math.pi / 2, 0.5)):
        shift = Shift(Line.DRIVE, (0,), 40, phase)
        assert excitation([again, shift, half], 80, LIMITS, STILL) == pytest.approx(wanted, abs=1e-12)
    late = Shift(Line.DRIVE, (0,), 80, math.pi)
    assert excitation([half, again, late], 80, LIMITS, STILL) == pytest.approx(1)


def test_idle_qubits_decay_with_t1_and_t2() -> None:
    short = msgspec.structs.replace(STILL, t1_us=1.0, t2_us=0.5)
    limits = msgspec.structs.replace(LIMITS, rabi_mhz=500.0)
    # Turned within 1 ns, then 1 µs idle.
    pulse = Play(Line.DRIVE, (0,), 0, 2, Constant(1.0))
    assert excitation([pulse], 2002, limits, short) == pytest.approx(math.exp(-1), rel=2e-3)
    half = Play(Line.DRIVE, (0,), 0, 2, Constant(0.5))
    back = Play(Line.DRIVE, (0,), 2002, 2, Constant(0.5, math.pi))
    # Coherence that is left comes back to |0>: (1 - e^(-t/T2)) / 2.
    assert excitation([half, back], 2004, limits, short) == pytest.approx((1 - math.exp(-2)) / 2, rel=5e-3)


def test_counts_are_read_with_the_readout_error() -> None:
    truth = calibration()
    shots = 200_000
    counts = play(schedule(drive(), *readout(40), *readout(40, 1, 2)), LIMITS, truth, shots, 3)
    assert set(counts) <= {"000", "001", "100", "101"}
    assert sum(counts.values()) == shots
    ones = [sum(n for bits, n in counts.items() if bits[-1 - bit] == "1") / shots for bit in (0, 2)]
    excited = excitation([drive()], 40, LIMITS, truth.qubits[0])
    wanted = [excited * 0.98 + (1 - excited) * 0.01, 0.01]
    for found, mean in zip(ones, wanted, strict=True):
        assert abs(found - mean) < 5 * math.sqrt(mean * (1 - mean) / shots)
    assert play(schedule(drive()), LIMITS, truth, 10, 3) == {"": 10}


@pytest.mark.parametrize(
    ("instructions", "why"),
    [
        ((Play(Line.CONTROL, (0, 1), 0, 40, Constant(0.1)),), "instruction 0 on channel control 0-1"),
        ((Acquire(0, 40, 400, 0),), "nothing is read without a pulse"),
        ((*readout(0), drive(start=400)), "instruction 2 on channel drive 0: it lasts until 440"),
        ((*readout(0), *readout(400, 0, 1)), "reads a qubit once"),
    ],
)
def test_what_cannot_be_played_honestly_is_refused(instructions: tuple[Instruction, ...], why: str) -> None:
    check_schedule(schedule(*instructions), LIMITS)
    with pytest.raises(UnsupportedFeature) as caught:
        check_playable(schedule(*instructions), 10)
    assert why in str(caught.value)


def test_too_many_bits_are_refused() -> None:
    with pytest.raises(TooLarge, match="Ask for fewer shots"):
        check_playable(schedule(*readout(0)), 2**27 + 1)
