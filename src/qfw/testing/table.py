"""The table of docs/conformance.md: every check, and how each engine and platform does.

Written anew by `python -m qfw.testing.table > docs/conformance.md`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from qfw.model.errors import QFwError
from qfw.qpm import registry
from qfw.testing.engine import check_engine
from qfw.testing.platform import check_platform
from qfw.testing.report import Finding, Report, Verdict

HEAD = """# Conformance

What the kit of `qfw.testing` finds of every engine and platform here. `qfw platform check NAME` and
`qfw platform check --engine NAME` run it; this page is written by `python -m qfw.testing.table`.

✓ passed, ✗ failed or stuck, – the contract does not ask it there (no such claim, or nothing that differs).
A platform's mark is that of all its devices: ✓ where it passed on each to which it applies.
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
    lines += ["", f"## The {len(contracts)} checks", ""]
    lines.append("| check | contract | " + " | ".join(report.name for report in found) + " |")
    lines.append("|---|---|" + ":-:|" * len(found))
    for name, example in contracts.items():
        marks = " | ".join(_mark(report, name) for report in found)
        lines.append(f"| `{name}` | {example.contract} | {marks} |")
    return "\n".join(lines) + "\n"


def _mark(report: Report, check: str) -> str:
    verdicts = {finding.verdict for finding in report.findings if finding.check == check}
    if not verdicts:
        return ""
    if verdicts & {Verdict.FAILED, Verdict.STUCK}:
        return "✗"
    return "✓" if Verdict.PASSED in verdicts else "–"


if __name__ == "__main__":
    sys.stdout.write(render(reports()))
