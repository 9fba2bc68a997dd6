"""List the tools that are installed: what pipelines are made of.

KEEPS says what a tool promises: `equivalence` (the state, up to its global phase, the qubits where the layout says),
`distribution` (of what is measured) or `expectation` (values of observables). RUNS says where: anywhere, or in the
application's process only. Tools that are broken, or whose framework is missing, are listed with the reason; then the
exit code is 1.

`qfw tools check NAME` checks a tool against its contract, docs/specs/tool.md, with a score.
"""

from __future__ import annotations

import argparse
from typing import Any

from qfw.cli import output, tools_check


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw tools`."""
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    parts = parser.add_subparsers(dest="part", metavar="COMMAND")
    text = "check a tool against its contract"
    tools_check.arguments(parts.add_parser("check", help=text, description=text))


def main(options: argparse.Namespace) -> int:
    """Prints the tools, and their options below; or checks one."""
    from qfw.processes import external

    external.declare_configured()
    if options.part == "check":
        return tools_check.main(options)
    from qfw.qpm import registry

    rows = [_row(name) for name in registry.names(registry.TOOLS)]
    if options.json:
        output.json(rows)
    else:
        output.table(
            ("TOOL", "VERSION", "KEEPS", "RUNS"),
            [(row["tool"], row["version"] or "-", row["keeps"], row["runs"]) for row in rows],
        )
        said = [(row["tool"], name, text) for row in rows for name, text in row["options"].items()]
        if said:
            print()
            output.table(("TOOL", "OPTION", "MEANING"), said)
        for row in rows:
            if row["reason"]:
                output.note(f"tool {row['tool']}: {row['reason']}")
    return int(any(row["reason"] for row in rows))


def _row(name: str) -> dict[str, Any]:
    from qfw.model.errors import QFwError
    from qfw.qpm import registry

    row: dict[str, Any] = {
        "tool": name,
        "version": None,
        "keeps": "-",
        "runs": "-",
        "options": {},
        "reason": "",
    }
    try:
        kind = registry.load(registry.TOOLS, name)
        row |= {
            "version": kind.version(),
            "keeps": str(kind.keeps),
            "runs": "application" if kind.needs_client else "anywhere",
            "options": {str(key): str(text) for key, text in kind.options.items()},
        }
        if row["version"] is None:
            # Whoever wrote the tool knows what to install.
            kind()
            row["reason"] = "its framework is not installed"
    except QFwError as error:
        row["reason"] = str(error)
    except Exception as error:
        # A stranger's code may raise anything.
        row["reason"] = f"{type(error).__name__}: {error}"
    return row
