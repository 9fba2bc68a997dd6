"""Writes the tables of docs/guides/settings.md from the settings themselves; --check only says whether they are so."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from qfw.config.document import shown
from qfw.config.keys import Key, every_key

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "settings.md"
BEGIN, END = "<!-- keys: scripts/settings.py -->\n", "<!-- end of keys -->\n"


def tables() -> str:
    """One table for each table of the file."""
    found: dict[str, list[Key]] = {}
    for key in every_key():
        found.setdefault(key.name.rpartition(".")[0], []).append(key)
    return "\n".join(_table(name, keys) for name, keys in found.items())


def _table(name: str, keys: list[Key]) -> str:
    title = f"### [{name}]" if name else "### At the top"
    lines = [title, "", "| key | default | allowed | live | for |", "|---|---|---|---|---|"]
    for key in keys:
        cells = [
            f"`{key.name.rpartition('.')[2]}`",
            f"`{shown(key.default)}`",
            key.allowed,
            "yes" if key.live else "",
            key.purpose,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> int:
    """1 where the guide says something else, and was to be checked only."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    text = GUIDE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    wanted = before + BEGIN + "\n" + tables() + "\n" + END + after
    if options.check:
        if text != wanted:
            sys.stderr.write(f"{GUIDE} is not what the settings are; run: python scripts/settings.py\n")
        return int(text != wanted)
    GUIDE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
