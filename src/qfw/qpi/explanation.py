"""What a pipeline does to a program, stage by stage, as a table."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import NamedTuple

from qfw.model.pipeline import StageReport

_HEADINGS = ("stage", "qubits", "gates", "2-qubit", "depth", "fidelity", "duration", "took")


class Explanation(NamedTuple):
    """A program as given, and behind each stage of a pipeline; a table where it is printed or shown in a notebook."""

    #: Of the pipeline; empty where it has no name.
    pipeline: str
    device: str
    #: Version of the calibration; empty where the device has none.
    calibration: str
    #: The first one is the program as given.
    rows: tuple[StageReport, ...]
    #: What tools say, one line each; below the table.
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [_HEADINGS, *map(_cells, self.rows)]
        widths = [max(len(line[at]) for line in lines) for at in range(len(_HEADINGS))]
        drawn = [self._title(), *("  ".join(_padded(line, widths)).rstrip() for line in lines)]
        return "\n".join([*drawn, *(f"  {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        """The table for notebooks."""
        head = "".join(f"<th>{html.escape(heading)}</th>" for heading in _HEADINGS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(row)) + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{html.escape(self._title())}</caption>"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}"

    def _title(self) -> str:
        pipeline = f"pipeline {self.pipeline}, " if self.pipeline else ""
        calibration = f", calibration {self.calibration}" if self.calibration else ""
        return f"{pipeline}device {self.device}{calibration}"


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        cell.rjust(width) if at else cell.ljust(width)
        for at, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _cells(row: StageReport) -> tuple[str, ...]:
    return (
        row.stage,
        str(row.qubits),
        str(row.gates),
        str(row.two_qubit_gates),
        str(row.depth),
        "" if row.fidelity is None else f"{row.fidelity:.4f}",
        "" if row.duration_s is None else f"{row.duration_s * 1e6:.2f} µs",
        f"{row.took_s * 1e3:.1f} ms" if row.took_s else "",
    )
