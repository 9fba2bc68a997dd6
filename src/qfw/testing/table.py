"""The table of docs/conformance.md: every check, and how each engine and platform does.

Written anew by `make conformance`, which adds the vendors' template to what is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qfw.model.errors import QFwError
from qfw.qpm import registry
from qfw.testing.engine import check_engine
from qfw.testing.platform import IN_PROCESS, check_platform
from qfw.testing.report import Finding, Report, Verdict

HEAD = """# Conformance

What the kit of `qfw.testing` finds of every engine and platform here. `qfw platform check NAME` and
`qfw platform check --engine NAME` run it; this page is written by `make conformance`. `template` is what
`qfw platform new` writes.

✓ passed, ✗ failed or stuck, – the contract does not ask it there (no such claim, or nothing that differs).
The devices of `simulators` are the engines, in one column: ✓ where it passed on each to which it applies.
"""


def reports() -> list[Report]:
    """Reports of all engines and platforms that are installed; those that cannot be made are told on stderr."""
    found = []
    for group, check in ((registry.ENGINES, check_engine), (registry.PLATFORMS, check_platform)):
        for name in registry.names(group):
            try:
                found.append(check(name))
            except QFwError as error:
                sys.stderr.write(f"{name}: left out: {error}\n")
    return found


def render(found: Sequence[Report]) -> str:
    """The page."""
    lines = [HEAD, "| | kind | passed | of | not applicable |", "|---|---|---:|---:|---:|"]
    for report in found:
        passed, _, applicable = report.score.partition("/")
        idle = len(report.of(Verdict.NOT_APPLICABLE))
        lines.append(f"| {report.name} | {report.kind} | {passed} | {applicable} | {idle} |")
    contracts: dict[str, Finding] = {}
    for report in found:
        for finding in report.findings:
            contracts.setdefault(finding.check, finding)
    columns = [column for report in found for column in _columns(report)]
    lines += ["", f"## The {len(contracts)} checks", ""]
    lines.append("| check | contract | " + " | ".join(name for name, _ in columns) + " |")
    lines.append("|---|---|" + ":-:|" * len(columns))
    for name, example in contracts.items():
        marks = " | ".join(_mark(findings, name) for _, findings in columns)
        lines.append(f"| `{name}` | {example.contract} | {marks} |")
    return "\n".join(lines) + "\n"


def _columns(report: Report) -> list[tuple[str, list[Finding]]]:
    """Heading and findings: a column for each device of a platform, with what was found of the platform itself."""
    devices = list(dict.fromkeys(finding.device for finding in report.findings if finding.device))
    if report.kind != "platform" or report.name in IN_PROCESS:
        return [(report.name, list(report.findings))]
    return [(name, [f for f in report.findings if f.device in ("", name)]) for name in devices]


def _mark(findings: Sequence[Finding], check: str) -> str:
    verdicts = {finding.verdict for finding in findings if finding.check == check}
    if not verdicts:
        return ""
    if verdicts & {Verdict.FAILED, Verdict.STUCK}:
        return "✗"
    return "✓" if Verdict.PASSED in verdicts else "–"


if __name__ == "__main__":
    sys.stdout.write(render(reports()))
