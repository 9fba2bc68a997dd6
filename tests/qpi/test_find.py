"""Devices by filter, and by choice for a program."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceKind, DeviceProfile, DeviceState, DeviceStatus
from qfw.model.errors import OptionError, TooLarge, UnknownDevice, UnsupportedFeature
from qfw.model.outputs import Counts, Statevector
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Session
from qfw.qpi.filters import filters, median_readout_error
from qfw.qpm import registry
from qfw.qpm.quality import fidelity
from tests.stack import LIMIT_S, SHORT, Z0, long_program, running_daemon, until

SETTINGS = """
engines = ["reference", "qulacs", "noop"]
workers.count = 1
[platforms.twin.options]
seed = 1
devices = ["twin-20", { model = "twin-ion", name = "ion" }]
"""
BELL = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with running_daemon(SETTINGS) as folder, Session(daemons=[folder]) as opened:
        opened.device("ion")
        yield opened


@pytest.fixture(scope="module")
def native(session: Session) -> Program:
    """Native to twin-20; not to the ions."""
    coupling = session.device("twin-20").profile.coupling
    assert coupling
    one, two = coupling[0]
    operations = (Gate("sx", (one,)), Gate("cz", (one, two)), Measure(one, 0), Measure(two, 1))
    return Program(max(one, two) + 1, 2, 0, operations)


def names(session: Session, **wanted: Any) -> set[str]:
    return {device.name for device in session.find(**wanted)}


def test_devices_that_fit(session: Session) -> None:
    # A simulator for tests is found by its name alone.
    assert names(session) == {"reference", "qulacs", "twin-20", "ion"}
    assert names(session, kind="twin") == names(session, kind={"twin", "hardware"}) == {"twin-20", "ion"}
    assert names(session, kind=DeviceKind.SIMULATOR, engine="qulacs") == {"qulacs"}
    assert names(session, native_gates=["cz", "sx"], kind="twin") == {"twin-20"}
    assert names(session, min_qubits=22, kind="twin") == {"ion"}
    assert names(session, outputs=[Statevector]) == names(session, outputs=["statevector"], exact=True)
    assert "twin-20" not in names(session, outputs=[Statevector()])
    assert names(session, platform="twin", exact=False) == {"twin-20", "ion"}
    assert names(session, max_wait_s=1000.0) == {"reference", "qulacs", "twin-20", "ion"}
    assert names(session, max_two_qubit_error=0.0) == {"reference", "qulacs"}
    assert names(session, max_two_qubit_error=1.0, max_readout_error=1.0) == names(session)
    assert names(session, max_readout_error=0.0) == {"reference", "qulacs"}
    assert names(session, min_qubits=100_000) == set()
    order = [device.profile.preference for device in session.find()]
    assert order == sorted(order, reverse=True)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"kind": "qpu"}, "kind is one or more of"),
        ({"kind": 3}, "list of names"),
        ({"min_qubits": 2.5}, "number of qubits"),
        ({"min_qubits": True}, "number of qubits"),
        ({"native_gates": "cz"}, "not the text 'cz'"),
        ({"native_gates": [1]}, "list of names"),
        ({"outputs": "counts"}, "list of"),
        ({"outputs": ["count"]}, "not 'count'"),
        ({"outputs": [int]}, "not <class 'int'>"),
        ({"max_wait_s": -1}, "at least 0"),
        ({"max_wait_s": math.nan}, "at least 0"),
        ({"max_two_qubit_error": "low"}, "at least 0"),
        ({"control": 1}, "True, False or None"),
        ({"engine": 1}, "is a name"),
    ],
)
def test_filters_that_nothing_could_fit(session: Session, wanted: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        session.find(**wanted)


def qubit(error: float, operational: bool = True) -> QubitCalibration:
    return QubitCalibration(100.0, 80.0, error, error, 500, operational=operational)


CALIBRATION = Calibration(
    "d",
    "v",
    1000.0,
    (qubit(0.01), qubit(0.03), qubit(0.9, operational=False)),
    (GateCalibration("sx", (0,), 0.001, 30), GateCalibration("cz", (0, 1), 0.02, 60)),
)
PROFILE = DeviceProfile("d", DeviceKind.HARDWARE, "e", 2, ("sx", "cz"), ("counts",), 1)


@pytest.mark.parametrize(
    ("wanted", "change", "reason"),
    [
        ({}, {}, None),
        ({"max_two_qubit_error": 0.01}, {}, "median two-qubit error 0.02"),
        ({"max_two_qubit_error": 0.5}, {"two_qubit_error": None}, "has no calibrated two-qubit gates"),
        ({"max_readout_error": 0.01}, {}, "median readout error 0.02"),
        ({"max_readout_error": 0.02}, {}, None),
        ({"max_calibration_age_s": 99.0}, {}, "calibrated 100 s ago"),
        ({"max_calibration_age_s": 100.0}, {}, None),
        ({"max_calibration_age_s": 100.0}, {"calibration": ""}, "has no calibration"),
        ({"max_wait_s": 5.0}, {}, "a task waits 6 s"),
        ({"max_wait_s": 1e9}, {"wait_s": None}, "waiting is unbounded (offline: cold)"),
        ({"control": True}, {}, "has no control before the end"),
        ({"exact": False}, {}, "answers without shots"),
    ],
)
def test_why_a_device_does_not_fit(
    wanted: dict[str, Any], change: dict[str, Any], reason: str | None
) -> None:
    status = DeviceStatus(PROFILE, DeviceState.OFFLINE, 0, 0, "cold", "v", 1000.0, 0.02, 6.0)
    status = msgspec.structs.replace(status, **change)
    assert filters(**wanted).why_not(status, CALIBRATION, 1100.0) == reason
    assert median_readout_error(CALIBRATION) == pytest.approx(0.02) and median_readout_error(None) is None


def test_the_best_fidelity(session: Session, native: Program) -> None:
    choice = session.choose(native, by="best_fidelity", shots=100)
    assert choice.device.name == "qulacs"
    rows = {row.device.name: row for row in choice.considered}
    assert rows["reference"].value == 1.0 and rows["reference"].how == "ideal simulator"
    calibration = session.device("twin-20").calibration()
    assert rows["twin-20"].value == fidelity(native, calibration) and "estimate" not in rows["twin-20"].how
    assert rows["ion"].error is not None and "not native" in rows["ion"].how
    assert choice.considered[-1] is rows["ion"]
    text = choice.explain()
    assert len(text.splitlines()) == 5 and "ideal simulator" in text and "cannot" in text
    assert "Choice('qulacs', by='best_fidelity')" in repr(choice) and "<td>ion</td>" in choice._repr_html_()


#: A plugin that gives, for one device, the program that it was told.
TOLD = """
from qfw.model.program import Program
from qfw.qpm.tool import ToolOutput

class Told:
    keeps = "equivalence"
    needs_client = False

    @classmethod
    def version(cls):
        return "1"

    @classmethod
    def check_options(cls, options):
        pass

    def apply(self, program, target, options):
        lowered = target.profile.name == options["device"]
        return ToolOutput(Program.decode(options["program"]) if lowered else program)
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installs the plugin."""
    (tmp_path / "told_tool.py").write_text(TOLD)
    distribution = tmp_path / "told-1.dist-info"
    distribution.mkdir()
    (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: told\nVersion: 1\n")
    (distribution / "entry_points.txt").write_text("[qfw.tools]\ntold = told_tool:Told\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry._entries.cache_clear()
    registry._load.cache_clear()
    yield
    registry._entries.cache_clear()
    registry._load.cache_clear()


@pytest.mark.usefixtures("told")
def test_a_pipeline_lowers_before_it_is_judged(session: Session, native: Program) -> None:
    pipeline = Pipeline((Stage("one", "told", {"device": "twin-20", "program": native.encoded}),))
    choice = session.choose(BELL, "best_fidelity", shots=9, among=["ion", "twin-20"], pipeline=pipeline)
    assert choice.device.name == "twin-20" or "estimate" in choice.considered[0].how
    rows = {row.device.name: row for row in choice.considered}
    assert rows["twin-20"].value == fidelity(native, session.device("twin-20").calibration())
    # What the tool leaves as it is is no native program: judged by the medians, and marked.
    assert rows["ion"].how.startswith("estimate by medians") and 0 < (rows["ion"].value or 0) < 1
    busy = session.choose(BELL, shots=9, among=["ion", "twin-20"], pipeline=pipeline)
    taken = {row.device.name: row.how for row in busy.considered}
    assert "takes" in taken["twin-20"] and "once it is lowered" in taken["ion"]
    with pytest.raises(OptionError, match="no preset is called"):
        session.choose(BELL, pipeline="transpile")


def test_the_least_busy(session: Session, native: Program) -> None:
    stream = session.device("qulacs").stream()
    busy = [stream.run(long_program(20000, 20), [0.5], outputs=Z0) for _ in range(4)]
    try:
        until(lambda: (session.device("qulacs").status().wait_s or 0) > 0.5)
        choice = session.choose(SHORT, outputs=Z0)
        assert choice.device.name == "reference" and choice.considered[1].device.name == "qulacs"
        assert "waits" in choice.explain()
    finally:
        stream.cancel(busy)
    until(lambda: all(future.done() for future in busy))
    # Of a device whose calibration is known, what the program takes counts too.
    twin = session.choose(native, shots=1000, among=["twin-20"]).considered[0]
    assert twin.value is not None and twin.value > 0 and "takes" in twin.how


def test_nothing_can_run_it(session: Session) -> None:
    with pytest.raises(TooLarge, match=r"none of the 4 devices can run the task:(.|\n)*reference: "):
        session.choose(Program(5000, 0, 0, (Gate("h", (0,)),)))
    with pytest.raises(UnsupportedFeature, match=r"twin-20: (.|\n)*ion: "):
        session.choose(BELL, shots=10, among=["twin-20", "ion"])
    with pytest.raises(UnknownDevice, match="no device to choose from"):
        session.choose(BELL, among=[])
    with pytest.raises(OptionError, match="least_busy"):
        session.choose(BELL, by="price")
    with pytest.raises(OptionError, match="sets is"):
        session.choose(BELL, sets=0)
    with pytest.raises(OptionError, match="for a Program"):
        session.choose("bell")  # type: ignore[arg-type]
    with pytest.raises(UnknownDevice):
        session.choose(BELL, among=["nothing"])


def test_a_choice_is_fresh(session: Session) -> None:
    began_s = time.monotonic()
    found = session.choose(BELL, shots=10)
    assert time.monotonic() - began_s < LIMIT_S
    with found.device.stream() as stream:
        assert sum(stream.run(BELL, shots=10, outputs=(Counts(),)).result(LIMIT_S).counts[0].values()) == 10
