"""Handle: the text by which a process finds a task that another one submitted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from qfw.model.errors import OptionError
from qfw.model.task import parse_task_name, task_name


class Handle(NamedTuple):
    """A task, and the daemon that has it."""

    #: Runtime folder of the daemon, or its name; empty: the one that is asked.
    daemon: str
    #: Number of the task.
    task: int

    def is_of(self, folder: Path, name: str) -> bool:
        """Whether the daemon of `folder`, which is called `name`, is meant."""
        return self.daemon in ("", name) or os.path.realpath(self.daemon) == os.path.realpath(folder)


def handle_text(folder: Path, task: int) -> str:
    """The handle of a task: FOLDER:SESSION.SEQUENCE."""
    return f"{folder}:{task_name(task)}"


def parse_handle(text: str) -> Handle:
    """A handle, or a task's name alone.

    Raises:
        OptionError: it is neither.
    """
    daemon, _, name = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    try:
        task = parse_task_name(name)
    except ValueError:
        task = 0
    # What comes out of the number must be what was given: no sign, no sequence beyond its bits.
    if task <= 0 or task >= 2**64 or task_name(task) != name:
        raise OptionError(
            f"a task is named SESSION.SEQUENCE, or by its handle DAEMON:SESSION.SEQUENCE; not {text!r:.200}"
        )
    return Handle(daemon, task)
