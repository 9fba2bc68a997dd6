"""Meshes: engines, twins and two daemons as one; devices that come and go while tasks flow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceStatus
from qfw.model.errors import (
    DaemonLost,
    NoCapacity,
    OptionError,
    QFwError,
    ResultTimeout,
    TaskInterrupted,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Mesh, Session
from qfw.qpi.pipeline import ToolPipeline
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, running_daemon, until

ENGINES = 'engines = ["reference", "qulacs"]\nworkers.count = 2\ndaemon.name = "one"\n'
TWINS = """
engines = ["reference"]
workers.count = 1
[daemon]
name = "two"
[platforms.twin.options]
seed = 1
devices = ["twin-20", { model = "twin-20", name = "big" }, { model = "twin-20", name = "alone" }]
links = [{ devices = ["twin-20", "big"], fidelity = 0.93, rate_per_s = 200.0 }]
"""
#: Native to the twins, and known everywhere.
FLIP = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with running_daemon(ENGINES) as one, running_daemon(TWINS) as two:
        # The other daemon's would take the plain names where these have not come up yet.
        with Session(daemons=[two]) as early:
            early.device("alone")
        with Session(daemons=[one, two]) as opened:
            yield opened


def test_two_engines_and_a_second_daemon_run_one_program_and_agree(session: Session) -> None:
    mesh = session.mesh(["reference", "qulacs", "reference@two"])
    futures = mesh.run_on_all(SHORT, [[0.1], [0.7]], outputs=Z0)
    assert list(futures) == ["reference", "qulacs", "reference@two"]
    values = [future.result(LIMIT_S).expectation_values for future in futures.values()]
    for value in values:
        np.testing.assert_allclose(value[:, 0], np.cos([0.1, 0.7]), atol=1e-9)
    # A seed that nobody gave is the same for all: engines agree shot by shot.
    counts = [future.result(LIMIT_S).counts for future in mesh.run_on_all(SHORT, [0.7], shots=500).values()]
    assert counts[0] == counts[1] == counts[2]


def test_operations_on_a_mesh_are_those_of_all_its_devices(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20", "big"])
    status = mesh.status()
    assert list(status) == ["reference", "twin-20", "big"] and not status.errors
    assert all(isinstance(row, DeviceStatus) for row in status.values())
    calibrations = mesh.calibrations()
    assert calibrations["reference"] is None and isinstance(calibrations["big"], Calibration)
    assert isinstance(calibrations["twin-20"], Calibration)
    limits = mesh.native("pulse.limits")()
    assert list(limits) == ["reference", "twin-20", "big"]
    assert isinstance(limits["reference"], UnsupportedFeature) and set(limits.answers) == {"twin-20", "big"}
    assert set(limits.errors) == {"reference"}
    refused = mesh.native("pulse.limits")({"no": "such"})
    assert all(isinstance(answer, QFwError) for answer in refused.values())


def test_a_device_that_cannot_take_it_does_not_lose_the_others(session: Session) -> None:
    futures = session.mesh(["reference", "twin-20"]).run_on_all(SHORT, [0.4], shots=10)
    assert futures["reference"].result(LIMIT_S).sets == 1
    assert isinstance(futures["twin-20"].exception(LIMIT_S), UnsupportedFeature)


def test_devices_with_a_link_are_joined(session: Session) -> None:
    mesh = session.mesh(["big", "twin-20"])
    joint = mesh.joint()
    assert joint.name == "big+twin-20"
    assert joint.profile.max_qubits == sum(device.profile.max_qubits for device in mesh.devices)
    # Nobody gets it who has not asked for it.
    assert joint not in session.find(kind="twin") and joint not in session.mesh(kind="twin").devices
    both = joint.calibration()
    parts = [session.device(part.device).calibration() for part in joint.profile.parts]
    assert both and all(parts) and both.version == "|".join(part.version for part in parts if part)
    with pytest.raises(UnsupportedFeature, match="no device joins twin-20: programs over several"):
        session.mesh(["twin-20"]).joint()
    with pytest.raises(UnsupportedFeature, match="tool distribute"):
        ToolPipeline(["transpile"]).lower(Program(2, 0, 0, (Gate("h", (0,)), Gate("cx", (0, 1)))), joint)


def test_links_are_found_and_used(session: Session) -> None:
    mesh = session.mesh(["alone", "big", "reference", "twin-20"])
    (link,) = mesh.links
    assert {device.name for device in link.devices} == {"big", "twin-20"}
    assert (link.fidelity, link.rate_per_s) == (0.93, 200.0) and "fidelity=0.93" in repr(link)
    pairs = link.entangle(40, bases="ZZ", seed=3)
    assert len(pairs["outcomes"]) == 40 and pairs["fidelity"] == 0.93
    with pytest.raises(OptionError, match="bases"):
        link.entangle(bases="Q")
    mesh.remove("big")
    assert mesh.links == []


def test_meshes_that_cannot_be(session: Session) -> None:
    reference = session.device("reference")
    with pytest.raises(UsageError, match="at least one device"):
        session.mesh([])
    with pytest.raises(UsageError, match="at least one device"):
        Mesh([])
    with pytest.raises(UsageError, match="in the mesh already"):
        session.mesh(["reference", "reference@one"])
    with pytest.raises(UsageError, match="chooses among devices itself"):
        session.mesh(["auto"])
    with pytest.raises(UsageError, match="made of devices"):
        Mesh(["reference"])  # type: ignore[list-item]
    with pytest.raises(OptionError, match="list of devices"):
        session.mesh("reference")
    with pytest.raises(UnknownDevice, match="no device is called"):
        session.mesh(["referenz"])
    with pytest.raises(UnknownDevice, match=r"no device fits:(.|\n)*reference +has \d+ qubits"):
        session.mesh(min_qubits=10_000)
    with pytest.raises(OptionError, match=r"min_qbits.*Session\.find"):
        session.mesh(min_qbits=2)
    with Session(daemons=[session.daemons[0].folder]) as other:
        with pytest.raises(UsageError, match="different sessions"):
            Mesh([reference, other.device("reference")])
        with pytest.raises(UsageError, match="another session"):
            session.mesh([other.device("reference")])
        with pytest.raises(UsageError, match="another session"):
            session.mesh(["reference"]).add(other.device("reference"))
    mesh = session.mesh(["reference"])
    with pytest.raises(UsageError, match="in the mesh already"):
        mesh.add("reference")
    with pytest.raises(UsageError, match="not in the mesh"):
        mesh.remove("qulacs")
    assert mesh.devices == [reference] and len(mesh) == 1 and list(mesh) == [reference]


def test_a_mesh_of_filters(session: Session) -> None:
    twins = session.mesh(kind="twin", min_qubits=20)
    assert {"twin-20", "big", "alone"} <= {device.name for device in twins}
    (one,) = session.mesh(["reference", "twin-20"], exact=True, engine="reference")
    assert one.name == "reference"


# Placement: what a stream asks -----------------------------------------------------------------------


def place(mesh: Mesh, program: Program = SHORT, shots: int = 0, **more: Any) -> str | None:
    outputs = (Counts(),) if shots else Z0
    found = mesh.place(program, outputs, 1, shots, more.pop("lowered", False), **more)
    return found.name if found is not None else None


def test_only_devices_that_can_run_it_are_chosen(session: Session) -> None:
    mesh = session.mesh(["twin-20", "big", "reference"])
    assert {place(mesh) for _ in range(10)} == {"reference"}
    # With a pipeline gates do not count.
    names = set()
    for _ in range(3):
        found = mesh.place(SHORT, (Counts(),), 1, 10, True)
        assert found is not None
        mesh.began(found, 1, 10)
        names.add(found.name)
    assert names == {"twin-20", "big", "reference"}
    with pytest.raises(TooLarge, match=r"none of the 3 devices(.|\n)*twin-20: .*200 qubits(.|\n)*big: "):
        place(mesh, Program(200, 0, 0, (Gate("h", (0,)),)))
    with pytest.raises(UnsupportedFeature, match=r"twin-20: gate ry(.|\n)*big: gate ry"):
        place(session.mesh(["twin-20", "big"]), shots=10)


def test_a_named_device_is_taken_or_refused(session: Session) -> None:
    mesh = session.mesh(["reference", "reference@two"])
    other = session.device("reference@two")
    assert place(mesh, device="reference") == "reference" == place(mesh, device="reference@one")
    assert place(mesh, device=other) == other.name == place(mesh, device=other.name)
    for wrong in ("qulacs", session.device("qulacs")):
        with pytest.raises(UsageError, match="not in the mesh"):
            place(mesh, device=wrong)


def test_full_devices_take_nothing_until_one_has_room(session: Session) -> None:
    mesh = session.mesh(["reference@two"])
    (device,) = mesh.devices
    given = 0
    while place(mesh) is not None:
        mesh.began(device, 1, 0, SHORT, given + 1)
        given += 1
    assert given == 4
    woken = threading.Event()
    mesh.when_room(woken.set)
    assert not woken.is_set()
    mesh.ended(device, 1, 0, 0.5, SHORT, 1)
    assert woken.is_set() and place(mesh) == device.name


def test_who_refused_a_task_is_not_asked_again_and_an_interrupted_one_is_not_repeated(
    session: Session,
) -> None:
    mesh = session.mesh(["reference", "qulacs"])
    reference, qulacs = mesh.devices
    assert not mesh.again(reference, TaskInterrupted("it ran"))
    assert not mesh.again(reference, DaemonLost("it went"))
    refused = NoCapacity("draining")
    refused.retry_after_s = 60.0
    assert mesh.again(reference, refused)
    # What the daemon says, in the background, may take it back: it accepts.
    assert place(mesh) == "qulacs"
    assert not mesh.again(qulacs, refused)
    assert place(mesh) in ("reference", "qulacs")


def test_the_wait_of_others_is_learnt_in_the_background(session: Session) -> None:
    from tests.stack import long_program

    mesh = session.mesh(["reference", "reference@two"])
    with Session(daemons=[session.daemons[0].folder]) as other:
        futures = [
            other.device("reference").stream().run(long_program(400, 18), [0.5], outputs=Z0)
            for _ in range(12)
        ]
        until(lambda: place(mesh) == "reference@two", "the wait of others was not learnt")
        for future in futures:
            future.cancel()


# Devices come and go ---------------------------------------------------------------------------------


def test_the_last_one_leaves(session: Session) -> None:
    mesh = session.mesh(["reference"])
    group = mesh.run_group(SHORT, np.linspace(0, 1, 40)[:, None], outputs=Z0, parts=1)
    until(lambda: group.name)
    mesh.remove("reference", timeout=LIMIT_S)
    assert mesh.devices == [] and "no device any more" in repr(mesh)
    with pytest.raises(UsageError, match="every device has left"):
        place(mesh)
    for act in (mesh.status, mesh.calibrations, lambda: mesh.run_group(SHORT, [0.1])):
        if act == mesh.status:
            assert act() == {}
            continue
        with pytest.raises(UsageError, match="every device has left"):
            act()
    # What it had it finished.
    assert group.result(LIMIT_S).sets == 40
    mesh.add("reference")
    assert cosine_is_right(mesh.run_group(SHORT, [0.2], outputs=Z0).result(LIMIT_S), 0.2)


def test_a_device_leaves_with_what_it_has_or_without(session: Session) -> None:
    from tests.stack import long_program

    mesh = session.mesh(["reference@two", "reference"])
    (leaving, _) = mesh.devices
    stream = leaving.stream()
    slow = [stream.run(long_program(3000, 18), [0.5], outputs=Z0) for _ in range(2)]
    for future in slow:
        mesh.began(leaving, 1, 0, future.program, future.task.number)
        future.add_done_callback(
            lambda done, future=future: mesh.ended(leaving, 1, 0, None, future.program, future.task.number)
        )
    with pytest.raises(ResultTimeout, match=r"2 tasks unanswered after 0\.01 s"):
        mesh.remove(leaving, timeout=0.01)
    assert [device.name for device in mesh.devices] == ["reference"]
    # It comes back with its load, and leaves without.
    mesh.add(leaving)
    mesh.remove(leaving, drain=False, timeout=LIMIT_S)
    assert all(future.cancelled() for future in slow)


def test_devices_join_and_leave_while_a_thousand_tasks_flow(session: Session) -> None:
    """Nothing is lost, nothing comes twice, each answer is where it belongs."""
    mesh = session.mesh(["reference"])
    angles = np.linspace(0, 3, 1000)
    group = mesh.run_group(SHORT, angles[:, None], outputs=Z0, parts=1000)
    others = ["qulacs", "reference@two"]
    turns = 0
    while not group.done():
        for name in others:
            mesh.add(name)
        mesh.remove("reference", timeout=LIMIT_S)
        mesh.add("reference")
        for name in others:
            mesh.remove(name, timeout=LIMIT_S)
        turns += 1
    result = group.result(LIMIT_S)
    np.testing.assert_allclose(result.expectation_values[:, 0], np.cos(angles), atol=1e-9)
    tasks = {(part.timeline.daemon_pid, part.task) for part in result.parts}
    assert len(tasks) == 1000 and sum(part.sets for part in result.parts) == 1000
    # Which of those that joined was given something is a matter of speed.
    assert turns and len(result.devices) > 1 and set(result.devices) <= {"reference", *others}
    with mesh._lock:
        assert all(track.in_flight == 0 for track in mesh._tracks.values()) and not mesh._leaving


def test_the_threads_of_a_mesh_end_with_its_work(session: Session) -> None:
    mesh = session.mesh(["reference"])
    mesh.run_group(SHORT, [0.1], outputs=Z0).result(LIMIT_S)
    until(lambda: mesh._waits._thread is None and mesh.groups._thread is None)
    # And begin again.
    mesh.run_group(SHORT, [0.1], outputs=Z0).result(LIMIT_S)


def test_pictures_for_notebooks_are_escaped(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20"])
    assert "<td>twin-20</td>" in mesh._repr_html_() and repr(mesh) == "Mesh(reference, twin-20)"
    assert "<td>reference</td>" in session.device("reference")._repr_html_()
    assert "<td>reference@two</td>" in session._repr_html_()
    from qfw.qpi.tables import as_html

    page = as_html("<b>", ("<i>",), [("<script>&",)] * 60)
    assert "<script>" not in page and "&lt;script&gt;&amp;" in page and "and 10 more" in page


def test_a_pipeline_lowers_for_each_device_that_a_task_is_compared_on(session: Session) -> None:
    mesh = session.mesh(["reference", "twin-20"])
    futures = mesh.run_on_all(SHORT, [0.4], shots=10, pipeline=ToolPipeline(["transpile"]))
    assert {name: sum(future.result(LIMIT_S).counts[0].values()) for name, future in futures.items()} == {
        "reference": 10,
        "twin-20": 10,
    }
