"""`qfw sinfo` of twins that are not all online."""

from __future__ import annotations

import json

from qfw.qpi.session import Session
from tests.stack import until

SETTINGS = """
engines = ["reference"]
[workers]
count = 1
[platforms.twin.options]
clock = "scaled"
factor = 10.0
devices = [
    "twin-20",
    { model = "twin-20", name = "measured", life = { recalibration = [{ begin_s = 0.1, duration_s = 4e4 }] } },
    { model = "twin-20", name = "served", life = { maintenance = [{ begin_s = 0.1, duration_s = 4e4 }] } },
    { name = "broken", model = "twin-ion", life.fault = [{ begin_s = 0.1, duration_s = 4e4, reason = "no lock" }] },
]
"""


def test_states_reasons_and_waits(qfw, folder, tmp_path) -> None:
    config = tmp_path / "settings.toml"
    config.write_text(SETTINGS)
    expected = {"twin-20": "online", "measured": "calibrating", "served": "maintenance", "broken": "offline"}
    with Session(runtime_folder=folder, config=config) as session:
        for name, state in expected.items():
            device = session.device(name)
            until(lambda device=device, state=state: device.status().state == state, f"{name} {state}")
        done = qfw("sinfo", "--json")
        assert done.returncode == 0, done.stderr
        rows = {row["device"]: row for row in json.loads(done.stdout)["devices"]}
        assert {name: rows[name]["state"] for name in expected} == expected
        assert rows["broken"]["reason"] == "no lock" and rows["broken"]["wait_s"] is None
        assert rows["measured"]["reason"] and 0 < rows["measured"]["wait_s"] < 4e4
        assert rows["served"]["reason"] == "planned maintenance" and 0 < rows["served"]["wait_s"] < 4e4
        assert rows["twin-20"]["wait_s"] == 0 and rows["twin-20"]["reason"] == ""
        assert rows["twin-20"]["calibration"] and 0 < rows["twin-20"]["two_qubit_error"] < 0.01
        shown = qfw("sinfo").stdout
        (broken,) = [line for line in shown.splitlines() if line.startswith("broken")]
        assert "offline" in broken and "unbounded" in broken and broken.endswith("no lock")
        assert {"WAIT", "CALIBRATED", "2Q-ERROR", "REASON"} <= set(shown.splitlines()[0].split())
