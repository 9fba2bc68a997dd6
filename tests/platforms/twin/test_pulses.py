import math
from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.model.calibration import Calibration, QubitCalibration
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
from qfw.platforms.twin.pulse_states import excitation, rotation
from qfw.platforms.twin.pulses import MAX_TOGETHER, MAX_WORK, check_playable, play
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
        (
            (Play(Line.CONTROL, (0, 1), 0, 40, Constant(0.1)), drive(start=36, qubit=1)),
            "instruction 1 on channel drive 1: control pulses play on the qubit from 0 to 40",
        ),
        (
            (*readout(20, 1), Play(Line.CONTROL, (0, 1), 0, 40, Constant(0.1))),
            "instruction 2 on channel control 0-1: it lasts until 40; qubit 1 is read at 20",
        ),
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


#: A coupler of amplitude 1 turns the phase of |11> by π in 10 ns, a drive its qubit in 10 ns, too.
COUPLED = msgspec.structs.replace(LIMITS, coupling_mhz=50.0, controls=((0, 1), (1, 0), (1, 2), (2, 1)))


def control(start: int, first: int = 0, second: int = 1, amplitude: float = 0.5) -> Play:
    """A cz as it is."""
    return Play(Line.CONTROL, (first, second), start, 40, Constant(amplitude))


def probabilities(truth: Calibration, *instructions: Instruction, shots: int = 200_000) -> dict[str, float]:
    check_schedule(schedule(*instructions), COUPLED)
    check_playable(schedule(*instructions), shots)
    counts = play(schedule(*instructions), COUPLED, truth, shots, 5)
    return {bits: count / shots for bits, count in counts.items()}


def still(qubits: int = 3) -> Calibration:
    return msgspec.structs.replace(calibration(), qubits=(STILL,) * qubits)


def half(start: int, qubit: int, phase: float = 0.0) -> Play:
    return drive(start, 40, 0.25, phase, qubit)


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 0)])
def test_a_control_pulse_is_a_cz(first: int, second: int) -> None:
    # Turns about y by a quarter: |++>; the coupler; back on qubit 1: a Bell state.
    y = math.pi / 2
    made = (half(0, 0, y), half(0, 1, y), control(40, first, second), half(80, 1, -y))
    found = probabilities(still(), *made, *readout(120), *readout(120, 1, 1))
    assert set(found) == {"00", "11"} and abs(found["11"] - 0.5) < 0.006
    # Twice as much is nothing.
    twice = (half(0, 0, y), half(0, 1, y), control(40, amplitude=1.0), half(80, 1, -y), half(80, 0, -y))
    assert probabilities(still(), *twice, *readout(120), *readout(120, 1, 1)) == {"00": 1.0}


def test_a_part_of_a_phase_is_what_linear_algebra_says() -> None:
    truth = msgspec.structs.replace(
        calibration(), qubits=tuple(QubitCalibration(3.0 + q, 2.0 + q, 0.0, 0.0, 700) for q in range(3))
    )
    made = (half(0, 0), half(0, 1), control(40, amplitude=0.2), half(80, 1), half(400, 0))
    found = probabilities(truth, *made, *readout(440), *readout(200, 1, 1))

    def kron(on_1: np.ndarray, on_0: np.ndarray) -> np.ndarray:
        return np.kron(on_1, on_0)

    def decayed(state: np.ndarray, ns: float, qubit: int) -> np.ndarray:
        known = truth.qubits[qubit]
        gone = 1 - math.exp(-ns / known.t1_us / 1e3)
        # Coherence that is lost beyond what relaxation takes, by flips of the phase.
        rest = math.exp(-ns / known.t2_us / 1e3) / math.sqrt(1 - gone)
        one, z = np.eye(2), np.diag([1.0, -1.0])
        relax = [np.diag([1, math.sqrt(1 - gone)]), np.array([[0, math.sqrt(gone)], [0, 0]])]
        flips = [math.sqrt((1 + rest) / 2) * one, math.sqrt((1 - rest) / 2) * z]
        every = [f @ r for f in flips for r in relax]
        full = [kron(one, k) if qubit == 0 else kron(k, one) for k in every]
        return sum(k @ state @ k.conj().T for k in full)  # type: ignore[return-value]

    def turned(state: np.ndarray, unitary: np.ndarray) -> np.ndarray:
        return unitary @ state @ unitary.conj().T

    x = np.array([[1, -1j], [-1j, 1]]) / math.sqrt(2)
    state = np.zeros((4, 4), dtype=complex)
    state[0, 0] = 1
    for qubit in (0, 1):
        state = turned(decayed(state, 10, qubit), kron(np.eye(2), x) if qubit == 0 else kron(x, np.eye(2)))
    for qubit in (0, 1):
        state = decayed(state, 20, qubit)
    state = turned(state, np.diag([1, 1, 1, np.exp(-0.4j * math.pi)]))
    state = turned(decayed(state, 20, 1), kron(x, np.eye(2)))
    state = turned(decayed(state, 180, 0), kron(np.eye(2), x))
    state = decayed(decayed(state, 50, 1), 10, 0)
    for index, wanted in enumerate(np.real(np.diagonal(state))):
        assert abs(found[format(index, "02b")] - wanted) < 5 * math.sqrt(0.25 / 200_000)


def test_qubits_that_are_not_read_are_summed_over() -> None:
    # The middle one of a chain is not read, and bits are in another order than qubits.
    y = math.pi / 2
    made = (drive(0, qubit=2), half(0, 0, y), half(0, 1, y), control(40), control(80, 1, 2), half(120, 0, -y))
    found = probabilities(still(), *made, *readout(160, 0, 1), *readout(160, 2, 0))
    assert set(found) == {"01", "11"} and abs(found["11"] - 0.5) < 0.006


def test_too_many_qubits_tied_together_are_refused() -> None:
    chain = tuple(control(0, q, q + 1) for q in range(MAX_TOGETHER))
    with pytest.raises(TooLarge, match=f"tie {MAX_TOGETHER + 1} qubits together"):
        check_playable(schedule(*chain), 10)
    check_playable(schedule(*chain[1:]), 10)
    many = tuple(drive(40 + 40 * place, 40, 0.25) for place in range(MAX_WORK // 4 ** (MAX_TOGETHER)))
    with pytest.raises(TooLarge, match=f"and {len(many)} pulses on so many"):
        check_playable(schedule(*chain[:-1], *many), 10)
