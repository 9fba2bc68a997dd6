"""docs/specs/platform.md says what the code does: the life cycle, the limits, the calls, the version."""

from __future__ import annotations

import re
from pathlib import Path

from qfw.config.settings import PlatformSettings
from qfw.model.device import ACCEPTING, DEVICE_TRANSITIONS, RUNNING
from qfw.qpm import platform
from qfw.testing import engine, values
from qfw.testing.platform import sections

TEXT = (Path(__file__).parents[2] / "docs" / "specs" / "platform.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE)
    assert found, f"there is no section {title}"
    return found[1]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_life_of_a_device_is_the_table_of_the_code() -> None:
    said = {old: set(new.split(", ")) for old, new in rows(section("Life of a device"))[1:]}
    assert said == {
        old.value: {new.value for new in following} for old, following in DEVICE_TRANSITIONS.items()
    }


def test_the_states_that_accept_and_run_are_named() -> None:
    accept, run = re.search(
        r"Tasks are accepted in (.*?), otherwise\s.*?begun in (.*?),", section("Life of a device"), re.DOTALL
    ).groups()  # type: ignore[union-attr]
    assert set(re.split(r", | and ", accept)) == {state.value for state in ACCEPTING}
    assert set(re.split(r", | and ", run)) == {state.value for state in RUNNING}


def test_limits_have_the_settings_names_and_values() -> None:
    limits = {row[2]: row[1] for row in rows(section("Limits"))[1:]}
    defaults = PlatformSettings()
    for key in ("start_limit_s", "answer_limit_s", "grace_s"):
        assert limits[f"`platforms.NAME.{key}`"] == f"{getattr(defaults, key):g} s"
    assert limits["`platforms.NAME.max_processes`"] == f"{defaults.max_processes}"
    assert "`platforms.NAME.memory_bytes`" in limits
    events = limits["`platforms.NAME.event_burst`, `.events_per_s`"]
    assert events == f"{defaults.event_burst} at once, {defaults.events_per_s:g} per second"


def public(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if not name.startswith("_") and callable(value)}


def test_every_call_is_described_and_no_other() -> None:
    said = set(re.findall(r"^\| `(\w+)`", section("Platform"), re.MULTILINE)) - platform.FACETS
    said |= set(re.findall(r"^\| `(slot_ready)`, `(?:slot_lost)`", section("Platform"), re.MULTILINE))
    calls = public(platform.ResourceManagement) | public(platform.Runtime) | public(platform.Native)
    assert said == calls | public(platform.Sink) - {"slot_lost"}
    assert "`slot_lost`" in section("Platform")


def test_the_version_is_that_of_the_code() -> None:
    assert f"here {platform.API_VERSION}" in section("Platform")


def test_what_the_kit_cites_is_there() -> None:
    headings = set(re.findall(r"^## (.*)$", TEXT, re.MULTILINE))
    assert (
        sections() | {check.section for group in (engine.checks, values.checks) for check in group.all}
        <= headings
    )
