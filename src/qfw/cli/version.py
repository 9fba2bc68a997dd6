"""Show the versions of QFw, and of what must agree between two of its processes."""

from __future__ import annotations

import argparse
import platform
import sys

from qfw import __version__
from qfw.cli import output


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw version`."""
    parser.add_argument("--json", action="store_true", help="one line of JSON, with wire and journal")


def main(options: argparse.Namespace) -> int:
    """Prints the versions."""
    if options.json:
        from qfw.qpm.journal import RECORD_VERSION
        from qfw.qpm.wire import WIRE_VERSION

        output.json(
            {
                "qfw": __version__,
                "wire": WIRE_VERSION,
                "journal": RECORD_VERSION,
                "python": platform.python_version(),
            }
        )
    else:
        sys.stdout.write(f"qfw {__version__}\n")
    return 0
