"""Plugins by entry point: engines, platforms, launchers, tools. Loaded on first use.

Others are declared, in settings: for this process only, each with a mark of what was declared. `NAME@MARK` is what
such a plugin is called where it matters that another process means the same by it.
"""

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


#: What was declared here, by group and name: its mark, and the object.
_declared: dict[tuple[str, str], tuple[str, Any]] = {}


def declare(group: str, name: str, mark: str, plugin: Any) -> None:
    """Makes an object a plugin of this process, in place of one that was declared by the same name.

    Raises:
        SetupError: an installed plugin has this name.
    """
    if name in _entries(group):
        kind = group.removeprefix("qfw.").removesuffix("s")
        raise SetupError(f"{kind} {name!r} is installed; what settings declare needs another name")
    _declared[group, name] = (mark, plugin)


def marked(group: str, name: str) -> str:
    """`NAME@MARK` of what was declared here by this name; the name itself of any other."""
    found = _declared.get((group, name))
    return f"{name}@{found[0]}" if found else name


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
    """Names of all plugins of a group that are installed or declared, sorted."""
    return sorted({*_entries(group), *(name for of, name in _declared if of == group)})


def load(group: str, name: str) -> Any:
    """The object that a plugin's entry point names, or that was declared; by its name, or by `NAME@MARK`.

    Raises:
        UnknownDevice: no plugin of that name is installed; names the nearest. Or what is declared here by that name
            is another one.
        SetupError: it is installed and cannot be imported, or several are installed.
    """
    plain, _, mark = name.partition("@")
    declared = _declared.get((group, plain))
    if declared is None:
        return _load(group, name)
    if mark and mark != declared[0]:
        kind = group.removeprefix("qfw.").removesuffix("s")
        raise UnknownDevice(
            f"{kind} {plain!r} is declared otherwise here ({declared[0]}) than where {name!r} was named"
        )
    return declared[1]


@cache
def _load(group: str, name: str) -> Any:
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
