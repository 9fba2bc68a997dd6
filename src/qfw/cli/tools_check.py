"""Check a tool of pipelines against its contract: docs/specs/tool.md.

Prints a table by group, and every failure in full: what was expected, what was found, and where the contract says so.
"""

from __future__ import annotations

import argparse
import tomllib
from typing import Any

from qfw.cli import platform_check
from qfw.model.errors import OptionError


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw tools check`."""
    parser.add_argument("name", help="a plugin of qfw.tools, or an external tool of the settings")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="that the tool is given with every program, the value as TOML has it; may be repeated",
    )
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="DEVICE",
        help="that it is tried on, too; may be repeated",
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="GROUP", help="a group or a check; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Checks, and prints; 0 only where every check that applies passed."""
    from qfw.testing import check_tool

    tried_on = _targets(options.device) | _played_on(options.name)
    report = check_tool(options.name, options=_options(options.option), targets=tried_on, only=options.only)
    platform_check.said(report, options.json)
    return 0 if report.passed else platform_check.FAILED


def _targets(devices: list[str]) -> dict[str, Any]:
    """What tools are told of these devices, as they are now."""
    if not devices:
        return {}
    from qfw.qpi.session import Session
    from qfw.qpm.tool import Target

    with Session(name="qfw tools check") as session:
        found = [session.device(name) for name in devices]
        return {device.name: Target(device.profile, device.calibration()) for device in found}


def _played_on(name: str) -> dict[str, Any]:
    """For a tool that makes what is played a model that says how: the kit's own devices define no pulses."""
    from qfw.cli import targets
    from qfw.qpm import registry
    from qfw.qpm.tool import plays

    if not plays(registry.load(registry.TOOLS, name)):
        return {}
    with targets.of_model("heavy-hex-20") as ground:
        return {ground.name: ground.target}


def _options(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in given:
        try:
            found |= tomllib.loads(each)
        except tomllib.TOMLDecodeError as error:
            raise OptionError(
                f"--option {each!r} is not NAME=VALUE as TOML has it ({error}); texts stand in quotes"
            ) from error
    return found
