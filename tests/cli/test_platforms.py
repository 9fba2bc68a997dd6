"""Platforms whose plugins do not load: said with the reason, whatever the plugin does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qfw.cli.platforms import looked_at
from qfw.config.settings import PlatformSettings, Settings
from qfw.qpm.status import PlatformState, PlatformStatus

ROOT = Path(__file__).parents[2]
PLUGINS = """
import os, time
from qfw.qpm.platform import API_VERSION

import msgspec
from qfw.qpm.driven import DrivenPlatform
from tests.testing.line import PROFILE, LineDriver, LinePlatform

class Fine(LinePlatform):
    pass

class Future(LinePlatform):
    api_version = (API_VERSION[0], API_VERSION[1] + 1)

class Other(LinePlatform):
    api_version = (API_VERSION[0] + 1, 0)

class Silent:
    pass

class Methods:
    api_version = API_VERSION
    facets = frozenset({"resources", "runtime"})

class WarpDriver(LineDriver):
    profile = msgspec.structs.replace(PROFILE, native_gates=("sx", "warp"))

class Warp(DrivenPlatform):
    driver_class = WarpDriver

class TellsDriver(LineDriver):
    profile = msgspec.structs.replace(PROFILE, native=("tell",))

class Tells(DrivenPlatform):
    driver_class = TellsDriver
    facets = frozenset({"resources", "runtime"})
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
    "methods": "stranger_plugins:Methods",
    "warp": "stranger_plugins:Warp",
    "tells": "stranger_plugins:Tells",
    "nameless": "stranger_plugins:Nobody",
    "missing": "stranger_nowhere:Nobody",
    "dies": "stranger_dies:Nobody",
    "exits": "stranger_exits:Nobody",
}
SAID = {
    "fine": "",
    "talks": "",
    "future": "written for API version 1.1",
    "other": "written for API version 2.0",
    "silent": "written for API version None",
    "methods": "claims the facet resources and lacks devices, load",
    "warp": "its native gates ['warp'] are not gates",
    "tells": "claims native operations ('tell',) without the facet native",
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


def _paths(folder: Path) -> str:
    return os.pathsep.join(filter(None, [str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")]))


#: Named by the settings they start with the daemon, and what is wrong with them is found out there.
TYPES = {
    "future": "VersionMismatch",
    "methods": "BrokenPlugin",
    "warp": "BrokenPlugin",
    "tells": "BrokenPlugin",
}
NOT_LOADED = ("nameless", "missing")


def test_a_daemon_lists_broken_platforms_with_the_reason_and_serves_the_others(qfw, tmp_path, folder):
    names = ["fine", *TYPES, *NOT_LOADED]
    install(tmp_path, {name: ENTRIES[name] for name in names})
    config = tmp_path / "settings.toml"
    config.write_text("engines = ['reference']\n" + "".join(f"[platforms.{name}]\n" for name in names))
    script = (
        "import qfw, subprocess, sys\n"
        "from qfw.model.errors import UnknownDevice\n"
        "with qfw.Session() as session:\n"
        "    assert session.device('line').profile.platform == 'fine'\n"
        "    try:\n"
        "        session.device('there is none')\n"
        "    except UnknownDevice:\n"
        "        pass\n"
        "    subprocess.run([sys.executable, '-m', 'qfw.cli.main', 'sinfo', '--json'], check=True)\n"
    )
    seen = os.environ | {"PYTHONPATH": _paths(tmp_path), "QFW_CONFIG": str(config)}
    seen["QFW_RUNTIME_DIR"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", script], env=seen, cwd=tmp_path, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["platforms"]}
    assert rows["fine"]["state"] == "serving"
    for name in (*TYPES, *NOT_LOADED):
        assert rows[name]["state"] == "broken" and SAID[name] in rows[name]["reason"], rows[name]


def test_the_kit_refuses_them_typed(qfw, tmp_path):
    install(tmp_path, ENTRIES)
    for name, kind in TYPES.items():
        done = qfw("platform", "check", name, "--json", PYTHONPATH=_paths(tmp_path))
        assert done.returncode == 1, done.stderr
        (finding,) = json.loads(done.stdout)["findings"]
        assert (finding["check"], finding["verdict"]) == ("platform.opens", "failed")
        assert finding["found"].startswith(f"{kind}: ") and SAID[name] in finding["found"], finding
    for name in NOT_LOADED:
        done = qfw("platform", "check", name, PYTHONPATH=_paths(tmp_path))
        assert done.returncode == 1 and SAID[name] in done.stderr and "Traceback" not in done.stderr


def test_sinfo_lists_platforms_on_demand_and_broken_ones_with_the_reason(qfw, tmp_path):
    install(tmp_path, ENTRIES)
    paths = _paths(tmp_path)
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
