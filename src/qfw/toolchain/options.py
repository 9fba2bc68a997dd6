"""Options of a tool: checked against what it knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qfw.model.errors import OptionError


def check_names(tool: str, options: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises OptionError for an option that the tool does not know; names the nearest."""
    there = sorted(known)
    for name in options:
        if name not in there:
            near = difflib.get_close_matches(str(name), there, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise OptionError(
                f"tool {tool} has no option {name!r}{hint} It has: {', '.join(there) or 'none'}"
            )


def integer(tool: str, options: Mapping[str, Any], name: str, default: int, low: int, high: int) -> int:
    """The whole number that an option is; `default` where it is not given.

    Raises:
        OptionError: it is something else, or not within `low` and `high`.
    """
    value = options.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise OptionError(
            f"option {name} of tool {tool} is a whole number from {low} to {high}, not {value!r}"
        )
    return value


def number(
    tool: str, options: Mapping[str, Any], name: str, default: float, low: float, high: float
) -> float:
    """The number that an option is; `default` where it is not given.

    Raises:
        OptionError: it is something else, or not within `low` and `high`.
    """
    value = options.get(name, default)
    # Written so that a NaN fits nowhere.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise OptionError(f"option {name} of tool {tool} is a number from {low:g} to {high:g}, not {value!r}")
    return float(value)


def choice(tool: str, options: Mapping[str, Any], name: str, words: Sequence[str]) -> str:
    """The word that an option is; the first of `words` where it is not given.

    Raises:
        OptionError: it is none of them; names the nearest.
    """
    value = options.get(name, words[0])
    if value not in words:
        near = difflib.get_close_matches(str(value), words, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"option {name} of tool {tool} is one of {', '.join(words)}, not {value!r}{hint}")
    return str(value)
