"""The kit: whether a platform or an engine keeps its contract, docs/specs/platform.md."""

from __future__ import annotations

from qfw.testing.engine import check_engine
from qfw.testing.report import Finding, Report, Verdict

__all__ = ["Finding", "Report", "Verdict", "check_engine"]
