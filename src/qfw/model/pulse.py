"""Pulse schedules: what is played on a device's channels, sample by sample; their form, rules and time.

The native operations `pulse.limits`, `pulse.check` and `pulse.play` take and give the structs of this module as
MessagePack maps: docs/guides/twin.md. Starts and durations count samples of `PulseLimits.dt_ns`.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import NamedTuple, Union

import msgspec

from qfw.model.envelopes import Envelope, broken_rule
from qfw.model.errors import ProgramError, TooLarge

#: Instructions of a schedule, and classical bits that it may acquire.
MAX_INSTRUCTIONS, MAX_BITS = 100_000, 1024


class Line(StrEnum):
    """What a channel drives or listens to."""

    DRIVE = "drive"
    MEASURE = "measure"
    #: Between two qubits, the first the one that is driven.
    CONTROL = "control"
    ACQUIRE = "acquire"


class Coupling(StrEnum):
    """What control pulses do to their two qubits, by an angle: 2π · coupling_mhz/1000 · dt_ns · their real area."""

    #: The phase of |11> is turned by minus the angle, whatever the frames of the drives.
    PHASE = "phase"
    #: Both are turned about x, together: exp(-i angle/2 X⊗X); each one's x is that of its drive's frame.
    XX = "xx"


class Play(msgspec.Struct, frozen=True, tag="play", forbid_unknown_fields=True):
    """Plays an envelope."""

    line: Line
    qubits: tuple[int, ...]
    start: int
    duration: int
    envelope: Envelope


class Shift(msgspec.Struct, frozen=True, tag="shift", forbid_unknown_fields=True):
    """Turns the phase of all that the channel plays from here on; takes no time."""

    line: Line
    qubits: tuple[int, ...]
    start: int
    #: Radians.
    phase: float


class Acquire(msgspec.Struct, frozen=True, tag="acquire", forbid_unknown_fields=True):
    """Reads a qubit into a classical bit."""

    qubit: int
    start: int
    duration: int
    bit: int


Instruction = Union[Play, Shift, Acquire]  # noqa: UP007 - for msgspec


class Schedule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Instructions in any order; those of one channel do not overlap."""

    instructions: tuple[Instruction, ...]

    def __str__(self) -> str:
        from qfw.model.pulse_drawing import drawn

        return drawn(self)


class PulseLimits(msgspec.Struct, frozen=True):
    """What a device's electronics can play."""

    num_qubits: int
    #: Pairs that have a control channel.
    controls: tuple[tuple[int, int], ...]
    #: Nanoseconds of a sample.
    dt_ns: float
    #: Starts and durations are multiples of this many samples, and durations at least so long.
    granularity: int
    shortest: int
    #: Last sample that a schedule may reach.
    longest: int
    #: Largest absolute value of a sample.
    amplitude: float
    #: Rabi frequency of a resonant drive of amplitude 1: a pulse turns by 2π · rabi_mhz/1000 · dt_ns · its area.
    rabi_mhz: float
    #: A control pulse turns by 2π · coupling_mhz/1000 · dt_ns · the real part of its area; 0: what it does is not said.
    coupling_mhz: float = 0.0
    coupling: Coupling = Coupling.PHASE


class PlayRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `pulse.check` and `pulse.play`."""

    schedule: Schedule
    shots: int = 1024
    seed: int = 0
    #: Version of the calibration that the schedule was made for; empty: any.
    calibration: str = ""


class ChannelTime(msgspec.Struct, frozen=True):
    """When a channel is busy first and last, in nanoseconds from the start of a shot."""

    line: Line
    qubits: tuple[int, ...]
    begin_ns: int
    end_ns: int


class PlayTimes(msgspec.Struct, frozen=True):
    """Answer of `pulse.check`."""

    channels: tuple[ChannelTime, ...]
    #: The schedule; with reset and repetition delay; and the whole task.
    schedule_ns: int
    shot_ns: int
    device_ns: int


class PlayAnswer(msgspec.Struct, frozen=True):
    """Answer of `pulse.play`."""

    #: By bit string; bit 0 is the rightmost.
    counts: dict[str, int]
    times: PlayTimes
    calibration: str
    notes: tuple[str, ...] = ()


class Channel(NamedTuple):
    """A channel of a device."""

    line: Line
    qubits: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.line} {'-'.join(map(str, self.qubits))}"


def channel_of(instruction: Instruction) -> Channel:
    """The channel that an instruction uses."""
    if isinstance(instruction, Acquire):
        return Channel(Line.ACQUIRE, (instruction.qubit,))
    return Channel(instruction.line, instruction.qubits)


def check_schedule(schedule: Schedule, limits: PulseLimits) -> None:
    """Raises unless a device can play the schedule.

    Raises:
        ProgramError: names the instruction by its index, its channel, and the rule that it breaks.
        TooLarge: too many instructions.
    """
    if len(schedule.instructions) > MAX_INSTRUCTIONS:
        raise TooLarge(
            f"a schedule has at most {MAX_INSTRUCTIONS} instructions, not {len(schedule.instructions)}"
        )
    bits: set[int] = set()
    for index, instruction in enumerate(schedule.instructions):
        rule = _broken(instruction, limits)
        if not rule and isinstance(instruction, Acquire):
            if not 0 <= instruction.bit < MAX_BITS:
                rule = f"bit {instruction.bit} must be 0 to {MAX_BITS - 1}"
            elif instruction.bit in bits:
                rule = f"bit {instruction.bit} is acquired twice; give each acquisition a bit of its own"
            bits.add(instruction.bit)
        if rule:
            raise _refusal(index, instruction, rule)
    _check_overlap(schedule)


def play_times(
    schedule: Schedule, limits: PulseLimits, task_ns: int, reset_ns: int, delay_ns: int, shots: int
) -> PlayTimes:
    """When each channel of a checked schedule is busy, and how long the device takes; whole nanoseconds, rounded up.

    Args:
        schedule: what is played in every shot.
        limits: of the device.
        task_ns: programming and upload.
        reset_ns: before each shot.
        delay_ns: behind each shot.
        shots: how often.
    """
    spans: dict[Channel, tuple[int, int]] = {}
    for instruction in schedule.instructions:
        channel, end = channel_of(instruction), _end(instruction)
        first, last = spans.get(channel, (instruction.start, end))
        spans[channel] = (min(first, instruction.start), max(last, end))
    schedule_ns = math.ceil(max((end for _, end in spans.values()), default=0) * limits.dt_ns)
    shot_ns = reset_ns + schedule_ns + delay_ns
    channels = tuple(
        ChannelTime(
            channel.line, channel.qubits, math.floor(first * limits.dt_ns), math.ceil(last * limits.dt_ns)
        )
        for channel, (first, last) in sorted(spans.items())
    )
    return PlayTimes(channels, schedule_ns, shot_ns, task_ns + shots * shot_ns)


def _broken(instruction: Instruction, limits: PulseLimits) -> str:
    """The rule that an instruction breaks by itself; empty where it breaks none."""
    channel, end = channel_of(instruction), _end(instruction)
    rule = _no_channel(channel, limits)
    if rule:
        return rule
    if instruction.start < 0 or end > limits.longest:
        return f"it lasts from sample {instruction.start} to {end}; a schedule has the samples 0 to {limits.longest}"
    if isinstance(instruction, Shift):
        if not math.isfinite(instruction.phase):
            return f"its phase is {instruction.phase}; it must be finite"
        return "" if channel.line is not Line.ACQUIRE else "an acquisition has no phase to shift"
    for name, value in (("start", instruction.start), ("duration", instruction.duration)):
        if value % limits.granularity:
            return f"granularity: its {name} is {value} samples, not a multiple of {limits.granularity}"
    if instruction.duration < limits.shortest:
        return (
            f"minimum length: it lasts {instruction.duration} samples; at least {limits.shortest} are needed"
        )
    if isinstance(instruction, Acquire):
        return ""
    if channel.line is Line.ACQUIRE:
        return "nothing is played on an acquisition channel; use an acquire instruction"
    rule = broken_rule(instruction.envelope, instruction.duration)
    if rule:
        return f"its envelope {rule}"
    largest = float(abs(instruction.envelope.samples(instruction.duration)).max())
    if not largest <= limits.amplitude * (1 + 1e-12):
        return f"amplitude: a sample is {largest:g} in absolute value; at most {limits.amplitude:g} can be played"
    return ""


def _no_channel(channel: Channel, limits: PulseLimits) -> str:
    if channel.line is Line.CONTROL:
        if channel.qubits not in limits.controls:
            return "there is no such channel: the device does not couple these qubits in this order"
        return ""
    if len(channel.qubits) != 1:
        return f"a {channel.line} channel has one qubit, not {len(channel.qubits)}"
    if not 0 <= channel.qubits[0] < limits.num_qubits:
        return f"there is no such channel: the device has qubits 0 to {limits.num_qubits - 1}"
    return ""


def _check_overlap(schedule: Schedule) -> None:
    numbered = [
        (channel_of(instruction), instruction.start, index)
        for index, instruction in enumerate(schedule.instructions)
        if not isinstance(instruction, Shift)
    ]
    busy: dict[Channel, tuple[int, int]] = {}
    for channel, start, index in sorted(numbered):
        end, before = busy.get(channel, (0, index))
        if start < end:
            raise _refusal(
                index,
                schedule.instructions[index],
                f"overlap: it begins at sample {start}, when instruction {before} plays until {end}",
            )
        busy[channel] = (_end(schedule.instructions[index]), index)


def _end(instruction: Instruction) -> int:
    return instruction.start + (0 if isinstance(instruction, Shift) else instruction.duration)


def _refusal(index: int, instruction: Instruction, rule: str) -> ProgramError:
    return ProgramError(f"instruction {index} on channel {channel_of(instruction)}: {rule}")
