"""A profile as people read it."""

from __future__ import annotations

import sys

from qfw.cli import output
from qfw.telemetry.profile import Profile

#: Calibrations of a device that are named.
_VERSIONS = 3


def show(found: Profile) -> None:
    """Prints a profile on stdout."""
    write = sys.stdout.write
    if not found.sessions:
        write("qfw run: the application opened no QFw session, so there is nothing to show.\n")
        return
    if not found.tasks:
        write(f"qfw run: {_number(found.sessions, 'session')}, and no task was submitted.\n")
        return
    devices = ", ".join(
        name if len(found.devices) == 1 else f"{name} ({circuits})"
        for name, circuits in found.devices.items()
    )
    write(f"qfw run: {_number(found.circuits, 'circuit')} in {_number(found.done, 'task')}")
    write(f" of {_number(found.sessions, 'session')}" + (f", on {devices}\n\n" if devices else "\n\n"))
    lines: list[tuple[str, int, str]] = [
        ("circuits run", found.circuits, ""),
        ("  for the cost", found.cost_circuits, ""),
        (
            "  for gradients",
            found.gradient_circuits,
            "one slot away, by a parameter shift, from the last cost",
        ),
        ("structures", found.structures, "distinct programs"),
        (
            "cache hits",
            found.cache_hits,
            f"of {_number(found.done, 'task')}: the worker had the program ready",
        ),
        ("requeued", found.requeued, "executions repeated because a worker went away"),
        ("failed", found.failed, "tasks"),
        ("cancelled", found.cancelled, "tasks"),
        ("unanswered", found.unanswered, "tasks, when the journal ended"),
    ]
    rare = {"requeued", "failed", "cancelled", "unanswered"}
    for name, count, meaning in lines:
        if count or name not in rare:
            write(f"{name:<16}{count:>9}   {meaning}".rstrip() + "\n")
    for name, seconds in found.device_times_s.items():
        under = ", ".join(found.calibrations[name][:_VERSIONS])
        more = len(found.calibrations[name]) - _VERSIONS
        write(f"{'device time':<16}{seconds:>8.4g}s   of {name}'s own")
        write(f", under calibration {under}" if under else "")
        write(f" and {more} more\n" if more > 0 else "\n")
    if found.stages:
        write("\n")
        output.table(
            ["stage", "median µs", "99 % µs", "tasks"],
            [[times.stage, times.median_us, times.p99_us, times.tasks] for times in found.stages],
        )
        write(f"\nThe return to the client is known for {found.received} of {_number(found.done, 'task')}.\n")
    for sentence in found.findings:
        write(f"{sentence}\n")
    if found.unknown_tasks:
        write(
            f"{_number(found.unknown_tasks, 'task')} began in a part of the journal that was dropped "
            f"(journal.retain_bytes) and count nowhere above.\n"
        )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
