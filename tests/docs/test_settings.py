"""docs/guides/settings.md lists the keys as they are, and every key says what it may be and what it is for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from qfw.cli.private import toml
from qfw.config.keys import Key, every_key
from qfw.config.settings import Settings, load

ROOT = Path(__file__).parents[2]


def test_the_tables_are_those_of_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "settings.py", "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("key", list(every_key()), ids=lambda key: key.name)
def test_a_key_says_its_range_and_its_purpose(key: Key) -> None:
    assert key.purpose
    if isinstance(key.default, int | float):
        assert "at least" in key.allowed or "from" in key.allowed


def test_the_defaults_are_allowed(tmp_path: Path) -> None:
    """A file that says every default is the same as none."""
    path = tmp_path / "settings.toml"
    path.write_text(toml(Settings()))
    assert load(path) == Settings()
