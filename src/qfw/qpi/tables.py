"""Small tables: as text for errors and terminals, as HTML for notebooks."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfw.qpi.device import Device

#: Rows that a notebook shows.
MAX_ROWS = 50

#: Columns of devices in a notebook.
DEVICE_HEAD = ("device", "kind", "engine", "qubits", "slots", "platform")


def as_text(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, a line for each row; without a line's end behind the last."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, *rows]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_html(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table below a title, every text escaped; of many rows the first MAX_ROWS."""
    shown = rows[:MAX_ROWS]
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in shown
    )
    rest = f"<p>… and {len(rows) - len(shown)} more</p>" if len(rows) > len(shown) else ""
    return (
        f"<p>{html.escape(title)}</p><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{rest}"
    )


def figure(value: float | None, unit: str = "") -> str:
    """A number for people; "unbounded" for None."""
    if value is None:
        return "unbounded"
    return f"{value:.3g}{' ' if unit else ''}{unit}"


def device_row(device: Device) -> tuple[str, ...]:
    """A device in these columns."""
    profile = device.profile
    width, slots = str(profile.max_qubits), str(profile.slots)
    return (device.name, str(profile.kind), profile.engine, width, slots, profile.platform)
