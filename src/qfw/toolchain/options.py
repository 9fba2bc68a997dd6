"""Options of a tool: checked against what it knows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
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
