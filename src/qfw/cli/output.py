"""Data on stdout: tables for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any


def json(value: Any) -> None:
    """Prints a value as one line of JSON."""
    import msgspec

    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def note(text: str) -> None:
    """Tells people something that is not data, on stderr."""
    sys.stderr.write(f"qfw: {text}\n")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a table: drawn on a terminal, else aligned columns that nothing is cut off from.

    A column whose cells are numbers throughout stands to the right; floats have one decimal.
    """
    cells = [[f"{cell:.1f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows]
    numeric = [
        bool(rows) and all(isinstance(row[at], (int, float)) for row in rows) for at in range(len(headings))
    ]
    if sys.stdout.isatty():
        _draw(headings, cells, numeric)
    else:
        _align(headings, cells, numeric)


def _align(headings: Sequence[str], cells: list[list[str]], numeric: list[bool]) -> None:
    lines = [list(headings), *cells]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headings))]
    for line in lines:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ]
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _draw(headings: Sequence[str], cells: list[list[str]], numeric: list[bool]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=None, pad_edge=False, header_style="bold")
    for heading, right in zip(headings, numeric, strict=True):
        drawn.add_column(heading, justify="right" if right else "left", overflow="fold")
    for line in cells:
        # Text, not markup: a name may hold square brackets.
        drawn.add_row(*(Text(cell) for cell in line))
    Console().print(drawn)
