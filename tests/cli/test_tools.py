"""`qfw tools`: what is installed, with options; what is broken, with the reason."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Qfw
from tests.toolchain.plugins import install, run


def test_our_own_tools_are_listed(qfw: Qfw) -> None:
    done = qfw("tools")
    assert done.returncode == 0, done.stderr
    assert "transpile" in done.stdout and "equivalence" in done.stdout
    assert "level" in done.stdout and "0 to 3" in done.stdout
    (row,) = [row for row in json.loads(qfw("tools", "--json").stdout) if row["tool"] == "reduce"]
    assert row["options"] == {} and row["runs"] == "anywhere" and row["reason"] == ""


def test_a_strangers_tools_are_too_and_what_is_wrong_with_them(tmp_path: Path) -> None:
    folder = install(tmp_path)
    done = run(folder, "-m", "qfw.cli.main", "tools", "--json")
    assert done.returncode == 1, done.stderr
    rows = {row["tool"]: row for row in json.loads(done.stdout)}
    assert rows["here"]["runs"] == "application" and rows["here"]["keeps"] == "distribution"
    assert rows["plain"]["options"] == {"how": "any text"}
    assert "cannot be imported" in rows["broken"]["reason"]
    assert "pip install it" in rows["missing"]["reason"] and rows["missing"]["version"] is None
    table = run(folder, "-m", "qfw.cli.main", "tools")
    assert "tool broken" in table.stderr and "broken" in table.stdout
