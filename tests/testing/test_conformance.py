"""docs/conformance.md has the checks that the kit has, and nothing in it failed."""

from __future__ import annotations

import re
from pathlib import Path

from qfw.testing import engine_checks, platform_checks

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_the_page_has_every_check_and_no_other() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert len(named) == len(set(named))
    assert set(named) == {*engine_checks(), *platform_checks()}


def test_nothing_on_the_page_failed() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert rows and not [line for line in rows if "✗" in line]
