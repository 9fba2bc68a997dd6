"""The kit: whether platforms and engines keep docs/specs/platform.md, and tools docs/specs/tool.md."""

from __future__ import annotations

from qfw.testing.engine import check_engine, engine_checks
from qfw.testing.platform import check_platform, platform_checks
from qfw.testing.report import Finding, Report, Verdict
from qfw.testing.stand import Limits
from qfw.testing.tool import check_tool, tool_checks

__all__ = [
    "Finding",
    "Limits",
    "Report",
    "Verdict",
    "check_engine",
    "check_platform",
    "check_tool",
    "engine_checks",
    "platform_checks",
    "tool_checks",
]
