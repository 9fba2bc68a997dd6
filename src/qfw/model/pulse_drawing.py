"""Pulse schedules as text: a line for each channel, time from left to right."""

from __future__ import annotations

from collections.abc import Sequence

from qfw.model.pulse import Acquire, Channel, Instruction, Line, Play, Schedule, Shift, channel_of

#: From silence to the schedule's largest amplitude on that kind of line.
_LEVELS = " ▁▂▃▄▅▆▇█"
_ACQUIRED, _SHIFTED = "░", "↻"
#: Lines of a picture; the rest is counted.
MAX_CHANNELS = 64
_ORDER = tuple(Line)


def drawn(schedule: Schedule, width: int = 72) -> str:
    """The schedule as lines of text.

    A column is so many samples as the last line says: the largest amplitude in it, ░ where a qubit is read, and ↻ where
    a phase is shifted while nothing plays.

    Args:
        schedule: any, played or not.
        width: columns of time, 8 at least.
    """
    width = max(width, 8)
    channels: dict[Channel, list[Instruction]] = {}
    for each in schedule.instructions:
        channels.setdefault(channel_of(each), []).append(each)
    if not channels:
        return "no instructions"
    end = max(_end(each) for each in schedule.instructions)
    column = max(1, -(-end // width))
    shown = sorted(channels, key=lambda channel: (_ORDER.index(channel.line), channel.qubits))
    margin = max(len(str(channel)) for channel in shown[:MAX_CHANNELS])
    largest = {line: _largest(schedule, line) for line in Line}
    lines = [
        f"{channel!s:<{margin}} │{_line(channels[channel], column, width, largest[channel.line])}│"
        for channel in shown[:MAX_CHANNELS]
    ]
    if len(shown) > MAX_CHANNELS:
        lines.append(f"and {len(shown) - MAX_CHANNELS} channels more")
    lines.append(f"{'':<{margin}}  0 to {end} samples, {column} in a column")
    return "\n".join(lines)


def _line(instructions: Sequence[Instruction], column: int, width: int, largest: float) -> str:
    # A shift that ends a schedule falls behind the last column.
    cells = [" "] * (width + 1)
    for each in instructions:
        first, last = each.start // column, max(each.start, _end(each) - 1) // column
        match each:
            case Shift():
                cells[first] = _SHIFTED if cells[first] == " " else cells[first]
            case Acquire():
                cells[first : last + 1] = _ACQUIRED * (last + 1 - first)
            case Play():
                samples = abs(each.envelope.samples(each.duration))
                for cell in range(first, last + 1):
                    begin = max(cell * column - each.start, 0)
                    part = float(samples[begin : (cell + 1) * column - each.start].max())
                    level = _LEVELS[max(1, round(8 * part / largest))] if largest else _LEVELS[1]
                    if cells[cell] not in _LEVELS or _LEVELS.index(level) > _LEVELS.index(cells[cell]):
                        cells[cell] = level
    return "".join(cells[:width])


def _largest(schedule: Schedule, line: Line) -> float:
    return max(
        (
            float(abs(each.envelope.samples(each.duration)).max())
            for each in schedule.instructions
            if isinstance(each, Play) and each.line is line and each.duration
        ),
        default=0.0,
    )


def _end(instruction: Instruction) -> int:
    return instruction.start + (0 if isinstance(instruction, Shift) else instruction.duration)
