"""Check a platform, or with --engine an engine, against its contract: docs/specs/platform.md.

Prints a table by group, and every failure in full: what was expected, what was found, and where the
contract says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from qfw.cli import output
from qfw.config import discover
from qfw.config import settings as config
from qfw.model.errors import OptionError, UnknownDevice

if TYPE_CHECKING:
    from qfw.testing import Report

FAILED = 1


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw platform check`."""
    parser.add_argument("name", help="a plugin of qfw.platforms; with --engine, of qfw.engines")
    parser.add_argument("--engine", action="store_true", help="NAME is an engine")
    parser.add_argument(
        "--only", action="append", default=[], metavar="GROUP", help="a group or a check; may be repeated"
    )
    parser.add_argument(
        "--device", action="append", default=[], metavar="DEVICE", help="a device of it; may be repeated"
    )
    parser.add_argument(
        "--settings", type=Path, metavar="FILE", help="TOML with a table [platforms.NAME]; default: qfw's own"
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Checks, and prints; 0 only where every check that applies passed."""
    from qfw.qpm import registry
    from qfw.testing import check_engine, check_platform

    if options.engine:
        if options.device:
            raise OptionError("an engine has no devices; leave out --device, or --engine")
        report = check_engine(options.name, only=options.only)
    else:
        path = options.settings or discover.config_path()
        settings = config.load(path) if path else config.Settings()
        known = {*registry.names(registry.PLATFORMS), *settings.platforms}
        if options.name not in known:
            hint = (
                "It is an engine: add --engine"
                if options.name in registry.names(registry.ENGINES)
                else "Install its package into this environment, or name its Python in --settings"
            )
            raise UnknownDevice(f"{registry.unknown('platform', options.name, sorted(known))}. {hint}")
        report = check_platform(options.name, settings=settings, only=options.only, devices=options.device)
    said(report, options.json)
    return 0 if report.passed else FAILED


def said(report: Report, as_json: bool) -> None:
    """Prints a report, for people or for programs."""
    if not as_json:
        show(report)
        return
    # The report, and what people would add up themselves.
    output.json(
        {
            "name": report.name,
            "kind": report.kind,
            "score": report.score,
            "passed": report.passed,
            "seconds": report.seconds,
            "findings": report.findings,
        }
    )


def show(report: Report) -> None:
    """Prints a report for people: a table by group, and every failure in full."""
    from qfw.testing import Verdict

    spec = "docs/specs/tool.md" if report.kind == "tool" else "docs/specs/platform.md"
    output.table(["GROUP", "PASSED", "FAILED", "STUCK", "NOT APPLICABLE"], report.groups())
    for finding in report.of(Verdict.FAILED, Verdict.STUCK):
        device = f" ({finding.device})" if finding.device else ""
        output.note(
            f"{finding.check}{device} {finding.verdict.value}: {finding.contract}\n"
            f"     expected: {finding.expected}\n"
            f"     found:    {finding.found}\n"
            f"     see:      {spec}, {finding.section}"
        )
    if report.kind == "tool":
        for group, reason in _spared(report):
            output.note(f"{group} not applicable: {reason}")
    if not report.findings:
        output.note("no check has such a name; without --only all are run")
    output.note(f"{report.kind} {report.name}: {report.score} passed in {report.seconds:.1f} s")


def _spared(report: Report) -> list[tuple[str, str]]:
    """Groups of which no check applied, with the reasons: a score says nothing of them."""
    from qfw.testing import Verdict

    reasons: dict[str, set[str]] = {}
    for finding in report.findings:
        spared = finding.verdict is Verdict.NOT_APPLICABLE
        reasons.setdefault(finding.check.split(".")[0], set()).add(finding.found if spared else "")
    return [(group, "; ".join(sorted(each))) for group, each in reasons.items() if "" not in each]
