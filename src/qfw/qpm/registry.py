"""Plugins by entry point: engines, platforms, launchers. Loaded on first use."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from qfw.model.errors import SetupError, UnknownDevice

ENGINES = "qfw.engines"
PLATFORMS = "qfw.platforms"
LAUNCHERS = "qfw.launchers"


@cache
def _entries(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def names(group: str) -> list[str]:
    """Names of all plugins of a group that are installed, sorted."""
    return sorted(_entries(group))


@cache
def load(group: str, name: str) -> Any:
    """The object that a plugin's entry point names.

    Raises:
        UnknownDevice: no plugin of that name is installed; names the nearest.
        SetupError: it is installed and cannot be imported.
    """
    entry = _entries(group).get(name)
    kind = group.removeprefix("qfw.").removesuffix("s")
    if entry is None:
        raise UnknownDevice(unknown(kind, name, names(group)))
    try:
        return entry.load()
    except Exception as error:
        raise SetupError(f"{kind} {name!r} ({entry.value}) cannot be imported: {error}") from error


def unknown(kind: str, name: str, known: list[str]) -> str:
    """The message for a name that nobody has."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"no {kind} is called {name!r}{hint} There are: {', '.join(known) or 'none'}"
