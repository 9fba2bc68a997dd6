"""Begin a platform of your own, and check that it keeps its contract.

`qfw platform new NAME` writes a package that serves a device to QFw, with its tests, ready to be installed.
`qfw platform check NAME` runs the kit: every check of docs/specs/platform.md, with a score.
"""

from __future__ import annotations

import argparse
from importlib import import_module

#: The file of each sub-command, imported when it is used.
PARTS = {
    "new": ("qfw.cli.platform_new", "write a package that serves a device, with its tests"),
    "check": ("qfw.cli.platform_check", "check a platform or an engine against its contract"),
}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands and their options."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="COMMAND")
    for name, (module, text) in PARTS.items():
        import_module(module).arguments(parts.add_parser(name, help=text, description=text))


def main(options: argparse.Namespace) -> int:
    """Runs one of them; the exit code."""
    code: int = import_module(PARTS[options.part][0]).main(options)
    return code
