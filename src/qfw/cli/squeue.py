"""Show tasks that are not answered yet: of your running daemon, or of a journal, also a dead daemon's."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from qfw.cli import output
from qfw.config import discover, runtime
from qfw.model.errors import DaemonUnreachable
from qfw.model.events import (
    DaemonStarted,
    DaemonStopped,
    Event,
)
from qfw.qpm import journal
from qfw.qpm.remote import Observer
from qfw.qpm.status import TaskRow
from qfw.qpmd.rows import MAX_ROWS, task_rows
from qfw.qpmd.state import DaemonState

#: Fields of a TaskRow, in the order of the table; spans of time without their unit.
COLUMNS = (
    "task",
    "session",
    "client_pid",
    "device",
    "state",
    "detached",
    "sets",
    "shots",
    "priority",
    "cost",
    "age",
    "running",
    "worker",
    "worker_pid",
)


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw squeue`."""
    parser.add_argument("--json", action="store_true", help="one line of JSON: a list of tasks")
    parser.add_argument(
        "--journal",
        type=_path,
        metavar="PATH",
        help="read a runtime folder's journal/, or one segment of it, instead of asking a daemon",
    )
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="with --journal: pass over what follows a damaged record in its segment",
    )


def main(options: argparse.Namespace) -> int:
    """Prints the tasks."""
    if options.journal is None:
        rows, ending = _ask(), ""
    else:
        rows, ending = from_journal(_events(options.journal, options.salvage), time.time_ns())
    if options.json:
        output.json(rows)
        return 0
    output.table([name.upper().replace("_", "-") for name in COLUMNS], [_cells(row) for row in rows])
    if options.journal is None and len(rows) == MAX_ROWS:
        output.note(f"these are the {MAX_ROWS} oldest; a daemon lists no more. qfw sinfo counts all")
    if ending:
        output.note(ending)
    return 0


def _events(path: Path, salvage: bool) -> Iterator[Event]:
    """The journal's events; where nothing can be salvaged, the error that says why."""
    events = journal.read(path, salvage)
    first = next(events, None)
    if first is None:
        # Not one record: an empty journal gives none either way, a damaged one its reason.
        events = journal.read(path)
    else:
        yield first
    yield from events


def from_journal(events: Iterable[Event], now_unix_ns: int) -> tuple[list[TaskRow], str]:
    """Every task of a journal that was acknowledged and not answered, and how the journal ends."""
    state, daemon, ended, last_ns = DaemonState(), DaemonStarted(0, 0, 0, ""), False, 0
    for event in events:
        state.restore(event)
        last_ns = event.at_ns
        if isinstance(event, DaemonStarted):
            daemon, ended = event, False
        elif isinstance(event, DaemonStopped):
            ended = True
    # Wall time on the daemon's clock; a clock that was set back must not make ages negative.
    now_ns = max(last_ns, daemon.at_ns + now_unix_ns - daemon.wall_ns) if daemon.pid else last_ns
    rows = task_rows(state, now_ns, most=len(state.tasks))
    if ended or not daemon.pid:
        return rows, ""
    return rows, (
        f"this journal has no orderly end: its daemon (pid {daemon.pid}) still runs, or it was killed and these "
        f"tasks will not be answered"
    )


def _path(text: str) -> Path:
    # Path("") is the current folder, which nobody named.
    if not text:
        raise argparse.ArgumentTypeError("an empty path was given; name a journal/ folder or a segment")
    return Path(text)


def _ask() -> list[TaskRow]:
    folder = runtime.check(discover.runtime_dir())
    try:
        with Observer(folder) as observer:
            return observer.tasks()
    except DaemonUnreachable as error:
        written = runtime.journal_dir(folder)
        if not written.exists():
            raise
        raise DaemonUnreachable(f"{error}. What the last one left: qfw squeue --journal {written}") from error


def _cells(row: TaskRow) -> list[object]:
    spans = {"cost": row.cost_s, "age": row.age_s, "running": row.running_s}
    shown = {name: _span(spans[name]) if name in spans else getattr(row, name) for name in COLUMNS}
    return list((shown | {"detached": "yes" if row.detached else "-"}).values())


def _span(seconds: float) -> str:
    """A duration as people read it."""
    if seconds < 1:
        return f"{seconds * 1e3:.3g}ms" if seconds else "0"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return (f"{days}-" if days else "") + f"{hours:02d}:{minutes:02d}:{rest:02d}"
