"""Figures as a table, as JSON, and as the table in docs/benchmarks.md."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Outcome

DOCS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
COLUMNS = ("figure", "ours", "peer", "value", "95 % interval", "goal", "met", "control", "pairs")


def cells(found: Outcome) -> tuple[str, ...]:
    """A row of the table."""
    comparison = "≥" if found.better == "higher" else "≤"
    low, high = found.interval or (found.value, found.value)
    return (
        found.name,
        f"{_number(found.ours)} {_unit(found.unit)}",
        "" if found.peer is None else f"{_number(found.peer)} {_unit(found.unit)}",
        _number(found.value),
        f"{_number(low)} … {_number(high)}",
        "" if found.goal is None else f"{comparison} {_number(found.goal)}",
        "" if found.goal is None else ("yes" if found.ok else "no"),
        "" if found.control is None else f"{found.control:.3f}" + (" noisy" if found.noisy else ""),
        str(found.pairs),
    )


def table(outcomes: list[Outcome], missing: dict[str, str], console: Console) -> None:
    """Prints the figures, what differs between the sides, and what could not be compared."""
    drawn = Table(*COLUMNS[:1], title="QFw beside its peers: medians, interleaved")
    for column in COLUMNS[1:]:
        drawn.add_column(column, justify="right", no_wrap=True)
    for found in outcomes:
        drawn.add_row(*cells(found), style=None if found.goal is None or found.ok else "bold")
    console.print(drawn)
    for found in outcomes:
        parts = ", ".join(f"{name} {value}" for name, value in found.pieces.items() if name != "pids")
        console.print(f"{found.name}: {found.note}" + (f"\n    {parts}" if parts else ""), highlight=False)
    console.print(f"peers not installed: {len(missing)}", highlight=False)
    for name, reason in missing.items():
        console.print(f"    {name}: {reason}", highlight=False)


def write_json(outcomes: list[Outcome], path: Path) -> None:
    """Writes the figures as a list."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(msgspec.to_builtins(outcomes), indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> list[Outcome]:
    """The figures of a file that `write_json` wrote."""
    return msgspec.json.decode(path.read_bytes(), type=list[Outcome])


def write_docs(outcomes: list[Outcome], docs: Path = DOCS) -> None:
    """Replaces the table between the marks in docs/benchmarks.md."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cells(found)) + " |" for found in outcomes]
    text = docs.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    docs.write_text(before + BEGIN + "\n" + "\n".join(lines) + "\n" + END + after, encoding="utf-8")


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.4g}"


def _unit(unit: str) -> str:
    return "µs" if unit == "us" else unit
