"""Plugins by entry point: engines, platforms, launchers, tools. Loaded on first use."""

from __future__ import annotations

import difflib
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from qfw.model.errors import SetupError, UnknownDevice

ENGINES = "qfw.engines"
PLATFORMS = "qfw.platforms"
LAUNCHERS = "qfw.launchers"
TOOLS = "qfw.tools"


@cache
def _entries(group: str) -> dict[str, list[EntryPoint]]:
    """Entry points by name; of more than one object where several plugins claim it."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in entry_points(group=group):
        claims = found.setdefault(entry.name, [])
        if all(entry.value != other.value for other in claims):
            claims.append(entry)
    return found


def names(group: str) -> list[str]:
    """Names of all plugins of a group that are installed, sorted."""
    return sorted(_entries(group))


@cache
def load(group: str, name: str) -> Any:
    """The object that a plugin's entry point names.

    Raises:
        UnknownDevice: no plugin of that name is installed; names the nearest.
        SetupError: it is installed and cannot be imported, or several are installed.
    """
    entries = _entries(group).get(name)
    kind = group.removeprefix("qfw.").removesuffix("s")
    if entries is None:
        raise UnknownDevice(unknown(kind, name, names(group)))
    if len(entries) > 1:
        claims = ", ".join(sorted(entry.value for entry in entries))
        raise SetupError(f"several installed plugins are {kind} {name!r}: {claims}. Uninstall all but one")
    entry = entries[0]
    try:
        return entry.load()
    except Exception as error:
        raise SetupError(f"{kind} {name!r} ({entry.value}) cannot be imported: {error}") from error


def unknown(kind: str, name: str, known: list[str]) -> str:
    """The message for a name that nobody has."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"no {kind} is called {name!r}{hint} There are: {', '.join(known) or 'none'}"
