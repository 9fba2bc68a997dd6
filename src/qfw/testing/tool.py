"""check_tool: all that is asked of a tool of pipelines."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from qfw.qpm import registry
from qfw.qpm.tool import Target
from qfw.testing import tool_comparing, tool_declared, tool_programming, tool_splitting
from qfw.testing.report import Finding, Report
from qfw.testing.tool_subject import ToolSubject


def check_tool(
    tool: str | type[Any],
    *,
    options: Mapping[str, Any] | None = None,
    targets: Mapping[str, Target] | None = None,
    only: Iterable[str] = (),
) -> Report:
    """Checks a tool, by its name or its class.

    Args:
        tool: a plugin of `qfw.tools`, or a class that satisfies one of the protocols of `qfw.qpm.tool`.
        options: that it is given with every program; None: none.
        targets: that it is tried on by name, besides the kit's own: an ideal simulator, 20 qubits in two hexagons, and
            8 in a row without control, the latter two calibrated.
        only: groups or names of checks; empty: all.

    Raises:
        UnknownDevice, SetupError: there is no such tool, or it cannot be imported.
        NotInstalled: its framework is missing.
    """
    began_s = time.monotonic()
    only = tuple(only)
    kind = registry.load(registry.TOOLS, tool) if isinstance(tool, str) else tool
    name = tool if isinstance(tool, str) else kind.__name__
    subject = ToolSubject(name, kind, options or {}, targets or {})
    findings: list[Finding] = [c.judge(subject, "") for group in _GROUPS for c in group.chosen(only)]
    return Report(name, "tool", tuple(findings), time.monotonic() - began_s)


def tool_checks() -> list[str]:
    """Names of all checks of a tool."""
    return [name for group in _GROUPS for name in group.names()]


_GROUPS = (
    tool_declared.checks,
    tool_programming.checks,
    tool_splitting.checks,
    tool_comparing.checks,
)
