"""Platforms whose plugins do not load: said with the reason, whatever the plugin does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from qfw.cli.platforms import looked_at
from qfw.config.settings import PlatformSettings, Settings
from qfw.qpm.status import PlatformState, PlatformStatus

PLUGINS = """
import os, time
from qfw.qpm.platform import API_VERSION

class Fine:
    api_version = API_VERSION

class Future:
    api_version = (API_VERSION[0], API_VERSION[1] + 1)

class Other:
    api_version = (API_VERSION[0] + 1, 0)

class Silent:
    pass
"""
MODULES = {
    "stranger_plugins": PLUGINS,
    "stranger_dies": "import os\nprint('nothing to see')\nos._exit(7)\n",
    "stranger_talks": "print('chatter')\nfrom stranger_plugins import Fine\n",
    "stranger_exits": "raise SystemExit('licence expired')\n",
    "stranger_hangs": "import threading\nthreading.Event().wait()\n",
}
ENTRIES = {
    "fine": "stranger_plugins:Fine",
    "talks": "stranger_talks:Fine",
    "future": "stranger_plugins:Future",
    "other": "stranger_plugins:Other",
    "silent": "stranger_plugins:Silent",
    "nameless": "stranger_plugins:Nobody",
    "missing": "stranger_nowhere:Nobody",
    "dies": "stranger_dies:Nobody",
    "exits": "stranger_exits:Nobody",
}
SAID = {
    "fine": "",
    "talks": "",
    "future": "it is written for version (1, 1)",
    "other": "it is written for version (2, 0)",
    "silent": "it is written for version None",
    "nameless": "has no attribute 'Nobody'",
    "missing": "No module named 'stranger_nowhere'",
    "dies": "ended with code 7",
    "exits": "licence expired",
}


def install(folder: Path, entries: dict[str, str]) -> None:
    for name, text in MODULES.items():
        (folder / f"{name}.py").write_text(text)
    made = folder / "stranger-1.dist-info"
    made.mkdir()
    (made / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1\n")
    lines = [f"{name} = {value}\n" for name, value in entries.items()]
    (made / "entry_points.txt").write_text("[qfw.platforms]\n" + "".join(lines))


def test_sinfo_lists_platforms_on_demand_and_broken_ones_with_the_reason(qfw, tmp_path):
    install(tmp_path, ENTRIES)
    paths = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    done = qfw("sinfo", "--json", PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["platforms"]}
    assert "simulators" not in rows
    for name, said in SAID.items():
        assert rows[name]["state"] == ("broken" if said else "on-demand"), rows[name]
        assert said in rows[name]["reason"] and bool(said) == bool(rows[name]["reason"])
    table = qfw("sinfo", PYTHONPATH=paths).stdout
    assert "PLATFORM" in table and "licence expired" in table
    # The devices are not held up by it.
    assert any(line.split()[:2] == ["reference", "on-demand"] for line in table.splitlines())


def test_a_platform_of_the_settings_is_looked_at_with_its_own_interpreter(qfw, tmp_path):
    config = tmp_path / "settings.toml"
    config.write_text(
        "engines = ['reference']\n"
        "[platforms.mine]\nplugin = 'nowhere'\n"
        "[platforms.apart]\nplugin = 'nowhere'\npython = '/nowhere/python'\n"
    )
    rows = {
        row["name"]: row
        for row in json.loads(qfw("sinfo", "--json", QFW_CONFIG=str(config)).stdout)["platforms"]
    }
    assert (rows["mine"]["plugin"], rows["mine"]["state"]) == ("nowhere", "broken")
    assert "no platform is called 'nowhere'" in rows["mine"]["reason"]
    assert "/nowhere/python cannot be started" in rows["apart"]["reason"]


@pytest.mark.parametrize("state", list(PlatformState))
def test_a_plugin_that_hangs_does_not_hold_it_up(tmp_path, state):
    python = tmp_path / "python"
    python.write_text(f"#!{sys.executable}\nimport threading\nthreading.Event().wait()\n")
    python.chmod(0o700)
    settings = Settings(platforms={"slow": PlatformSettings(python=str(python))})
    (found,) = looked_at([PlatformStatus("slow", "slow", state, "", ())], settings, limit_s=0.2)
    # Only what was not started is looked at.
    expected = PlatformState.BROKEN if state is PlatformState.ON_DEMAND else state
    assert found.state is expected and ("in time" in found.reason) is (state is PlatformState.ON_DEMAND)
