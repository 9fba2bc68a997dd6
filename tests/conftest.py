"""What every test shares: what cannot run here is skipped by cause, and counted."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples in every run: what fails once fails again.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

_NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's cache folder of the test's own: nothing is found there that another one, or its user, made."""
    folder = tmp_path_factory.getbasetemp() / "caches" / str(next(_NUMBERS))
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if Path("/dev/nvidiactl").exists() or Path("/dev/kfd").exists():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints how many tests were not run, by cause."""
    causes: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        # A skipped report carries (path, line, reason).
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        causes[reason.removeprefix("Skipped: ")] += 1
    for report in terminalreporter.stats.get("xfailed", []):
        causes[f"known to fail: {report.wasxfail or 'no reason given'}"] += 1
    if deselected := len(terminalreporter.stats.get("deselected", [])):
        causes["deselected on the command line"] = deselected
    terminalreporter.section("not run, by cause:", sep="-")
    for cause, count in causes.most_common():
        terminalreporter.line(f"{count:5d}  {cause}")
    if not causes:
        terminalreporter.line("    0  everything ran")
