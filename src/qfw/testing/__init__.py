"""The kit: whether a platform or an engine keeps its contract, docs/specs/platform.md."""

from __future__ import annotations

from qfw.testing.engine import check_engine, engine_checks
from qfw.testing.platform import check_platform, platform_checks
from qfw.testing.report import Finding, Report, Verdict
from qfw.testing.stand import Limits

__all__ = [
    "Finding",
    "Limits",
    "Report",
    "Verdict",
    "check_engine",
    "check_platform",
    "engine_checks",
    "platform_checks",
]
