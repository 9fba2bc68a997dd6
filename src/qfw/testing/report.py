"""Report: what the checks of a platform, an engine or a tool found, and the score."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    #: The contract does not ask this of what was checked; `Finding.found` says why.
    NOT_APPLICABLE = "not applicable"
    #: A call did not return, or what must come did not, within the limit.
    STUCK = "stuck"


class Finding(msgspec.Struct, frozen=True):
    """One check of one device, or of the platform as a whole."""

    #: Name of the check: group.what.
    check: str
    #: The device; empty for the platform or engine itself.
    device: str
    verdict: Verdict
    #: What the contract says.
    contract: str
    #: Section of docs/specs/platform.md; of a tool's check, of docs/specs/tool.md.
    section: str
    #: What the check expected and found; of one that is not applicable, why.
    expected: str = ""
    found: str = ""
    seconds: float = 0.0

    @property
    def group(self) -> str:
        """The part of the name before the dot."""
        return self.check.partition(".")[0]


class Report(msgspec.Struct, frozen=True):
    """All findings, in the order of the checks."""

    #: What was checked: name of the platform, engine or tool.
    name: str
    #: platform, engine or tool.
    kind: str
    findings: tuple[Finding, ...]
    seconds: float = 0.0

    def of(self, *verdicts: Verdict) -> list[Finding]:
        """The findings with one of these verdicts."""
        return [finding for finding in self.findings if finding.verdict in verdicts]

    @property
    def passed(self) -> bool:
        """Whether every check that applies passed, and at least one did."""
        return bool(self.of(Verdict.PASSED)) and not self.of(Verdict.FAILED, Verdict.STUCK)

    @property
    def score(self) -> str:
        """Passed of applicable, as people read it: 97/97."""
        applicable = len(self.findings) - len(self.of(Verdict.NOT_APPLICABLE))
        return f"{len(self.of(Verdict.PASSED))}/{applicable}"

    def groups(self) -> list[tuple[str, int, int, int, int]]:
        """Of each group: name, passed, failed, stuck, not applicable."""
        names = dict.fromkeys(finding.group for finding in self.findings)
        return [(name, *_tally([f for f in self.findings if f.group == name])) for name in names]


def _tally(findings: Sequence[Finding]) -> tuple[int, int, int, int]:
    order = (Verdict.PASSED, Verdict.FAILED, Verdict.STUCK, Verdict.NOT_APPLICABLE)
    passed, failed, stuck, without = (sum(f.verdict is verdict for f in findings) for verdict in order)
    return passed, failed, stuck, without
