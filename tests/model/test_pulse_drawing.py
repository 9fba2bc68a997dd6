"""A schedule as text: every channel at its time."""

from qfw.model.envelopes import Constant
from qfw.model.pulse import Acquire, Line, Play, Schedule, Shift
from qfw.model.pulse_drawing import MAX_CHANNELS, drawn


def drive(start: int, duration: int, amplitude: float, qubit: int = 0) -> Play:
    return Play(Line.DRIVE, (qubit,), start, duration, Constant(amplitude))


def test_channels_are_lines_and_amplitudes_heights() -> None:
    schedule = Schedule(
        (
            Acquire(0, 60, 20, 0),
            drive(0, 20, 0.5),
            drive(30, 10, 0.25),
            Shift(Line.DRIVE, (0,), 25, 1.0),
            Shift(Line.DRIVE, (1,), 80, 1.0),
            drive(0, 10, 0.0, 1),
            Play(Line.CONTROL, (0, 1), 40, 20, Constant(-0.1)),
        )
    )
    assert drawn(schedule, 16) == "\n".join(
        (
            "drive 0     │████ ↻▄▄        │",
            "drive 1     │▁▁              │",
            "control 0-1 │        ████    │",
            "acquire 0   │            ░░░░│",
            "             0 to 80 samples, 5 in a column",
        )
    )
    assert str(schedule).splitlines()[0].startswith("drive 0     │█")


def test_nothing_and_much_are_drawn_too() -> None:
    assert drawn(Schedule(())) == "no instructions"
    assert drawn(Schedule((Shift(Line.DRIVE, (0,), 0, 1.0),)), 1).startswith("drive 0 │↻")
    many = drawn(Schedule(tuple(drive(0, 8, 1.0, qubit) for qubit in range(MAX_CHANNELS + 3))))
    assert "and 3 channels more" in many and len(many.splitlines()) == MAX_CHANNELS + 2
