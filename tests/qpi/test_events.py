"""Event queues: what a device reports reaches who asked for it, in order, and nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.model.device import DeviceState
from qfw.model.errors import DaemonLost, OptionError, QFwError, ResultTimeout, UsageError
from qfw.model.events import DeviceEventKind
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Device, Event, EventQueue, Session, TaskFuture
from tests.stack import LIMIT_S, Z0, long_program, runtime_folder, until

FLIP = Program(2, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
SHOTS = 100

#: A task takes 0.034 s of this device.
LIFE = """
[[noise]]
begin_s = 0.1
duration_s = 0.1
every_s = 2.0
factor = 3.0
[[recalibration]]
begin_s = 0.3
duration_s = 0.05
every_s = 2.0
[[maintenance]]
begin_s = 0.5
duration_s = 0.1
every_s = 2.0
[[fault]]
begin_s = 0.7
duration_s = 0.1
every_s = 2.0
"""
SETTINGS = """
engines = ["reference"]
workers.count = 1
[platforms.twin.options]
clock = "virtual"
devices = [{{ model = "twin-20", name = "lively", life = "{life}" }}]
"""


@pytest.fixture(scope="module")
def lively() -> Iterator[Session]:
    """A session with a twin whose life is full of events, which go on as long as tasks run."""
    with runtime_folder() as folder:
        (folder / "life.toml").write_text(LIFE)
        config = folder / "settings.toml"
        config.write_text(SETTINGS.format(life=folder / "life.toml"))
        with Session(runtime_folder=folder, config=config) as session:
            session.device("lively")
            yield session


@pytest.fixture
def twin(lively: Session) -> Device:
    return lively.device("lively")


def live(device: Device, tasks: int = 1) -> None:
    """Lets the device's time go on."""
    for future in [device.stream().run(FLIP, shots=SHOTS) for _ in range(tasks)]:
        error = future.exception(LIMIT_S)
        assert error is None or isinstance(error, QFwError)


def lived(device: Device, queue: EventQueue, count: int) -> list[Event]:
    """So many events, the first that come as tasks run."""
    found: list[Event] = []
    end_s = time.monotonic() + LIMIT_S
    while len(found) < count:
        assert time.monotonic() < end_s, found
        live(device, 4)
        found += queue.drain()
    return found


def test_each_kind_comes_with_what_it_says(twin: Device) -> None:
    with twin.event_queue() as queue:
        found: dict[DeviceEventKind, Event] = {}
        wanted = {DeviceEventKind(name) for name in ("noise", "calibration", "maintenance", "fault", "load")}
        while not wanted <= found.keys():
            for event in lived(twin, queue, 1):
                found.setdefault(event.kind, event)
    assert {event.device for event in found.values()} == {"lively"}
    calibration = found[DeviceEventKind.CALIBRATION]
    assert calibration.calibration
    noise = found[DeviceEventKind.NOISE]
    assert noise.message and noise.state is None
    maintenance = found[DeviceEventKind.MAINTENANCE]
    assert maintenance.state in (DeviceState.MAINTENANCE, DeviceState.ONLINE)
    assert found[DeviceEventKind.FAULT].state in (DeviceState.OFFLINE, DeviceState.ONLINE)
    assert found[DeviceEventKind.LOAD].figures.keys() >= {"queued", "running"}


def test_the_order_is_the_device_s_own(twin: Device) -> None:
    with twin.event_queue(["noise", "calibration", "maintenance", "fault", "state"]) as queue:
        times = [event.time_s for event in lived(twin, queue, 12)]
    assert times == sorted(times)


def test_queues_have_kinds_of_their_own(twin: Device) -> None:
    with twin.event_queue("noise") as noise, twin.event_queue({"fault", "maintenance"}) as broken:
        while not (len(noise) and len(broken)):
            live(twin, 4)
            noise.poll() if not len(noise) else None
        assert {event.kind for event in noise.drain()} == {"noise"}
        assert {event.kind for event in broken.drain()} <= {"fault", "maintenance"}


def test_without_a_queue_events_are_dropped(twin: Device) -> None:
    queue = twin.event_queue("noise")
    first = lived(twin, queue, 1)[0]
    queue.close()
    live(twin, 80)
    with twin.event_queue("noise") as again:
        later = lived(twin, again, 1)[0]
    # More than a round of the script is between them.
    assert later.time_s - first.time_s > 2.0
    with pytest.raises(UsageError, match="closed"):
        queue.get(0)
    assert list(queue) == []


def test_a_full_queue_drops_the_oldest_and_counts(twin: Device) -> None:
    kinds = ["noise", "calibration", "maintenance", "fault", "state"]
    with twin.event_queue(kinds) as whole, twin.event_queue(kinds, maxsize=2) as small:
        everything = lived(twin, whole, 6)
        assert len(small) == 2 and small.missed == len(everything) - 2
        assert small.drain() == everything[-2:]
        assert whole.missed == 0
        assert small.poll() is None


def busy(device: Device, tasks: int = 40) -> list[TaskFuture]:
    """Work for longer than the daemon looks away."""
    return [device.stream().run(long_program(60), [0.1], outputs=Z0) for _ in range(tasks)]


def test_get_reads_by_itself_and_ends_in_time(session: Session) -> None:
    device = session.device("reference")
    with device.event_queue("load") as queue:
        with pytest.raises(ResultTimeout, match=r"no event \(load\) of reference came within 0.01 s"):
            queue.get(0.01)
        futures = busy(device)
        event = queue.get(LIMIT_S)
        assert event.kind is DeviceEventKind.LOAD and event.figures["running"] + event.figures["queued"] >= 1
        for future in futures:
            future.result(LIMIT_S)
        # The queue is empty again.
        while queue.get(LIMIT_S).figures["running"]:
            continue
        assert [*queue.iterate(0.01)] == []
        with pytest.raises(ResultTimeout):
            next(queue.iterate(0.01, on_timeout="raise"))


def test_load_is_told_once_a_second_at_most(session: Session) -> None:
    device = session.device("reference")
    with device.event_queue("load") as queue:
        until(lambda: device.status().running == 0, "an idle device")
        queue.drain()
        for future in busy(device, 120):
            future.result(LIMIT_S)
        while (event := queue.get(LIMIT_S)).figures["queued"] + event.figures["running"]:
            last = event
            assert last.figures.keys() == {"queued", "running", "wait_s"}
        assert event.time_s - last.time_s >= 0.99


def test_somebody_else_reads(session: Session) -> None:
    """One thread waits for an event while others wait for their results."""
    device = session.device("reference")
    found: list[Event] = []
    with device.event_queue("load") as queue:
        thread = threading.Thread(target=lambda: found.append(queue.get(LIMIT_S)))
        thread.start()
        end_s = time.monotonic() + LIMIT_S
        while thread.is_alive() and time.monotonic() < end_s:
            for future in busy(device):
                future.result(LIMIT_S)
        thread.join(LIMIT_S)
    assert found and found[0].kind == "load"


def test_closing_wakes_who_waits(session: Session) -> None:
    queue = session.device("reference").event_queue("fault")
    errors: list[QFwError] = []

    def wait() -> None:
        try:
            queue.get(LIMIT_S)
        except QFwError as error:
            errors.append(error)

    threads = [threading.Thread(target=wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(queue._waiting) >= 2, "threads that wait")
    queue.close()
    for thread in threads:
        thread.join(LIMIT_S)
    assert [type(error) for error in errors] == [UsageError] * 3


def test_asyncio(session: Session) -> None:
    device = session.device("reference")

    async def main() -> None:
        with device.event_queue("load") as queue:
            with pytest.raises(ResultTimeout):
                await queue.get_async(0.01)
            waiting = [asyncio.create_task(queue.get_async(LIMIT_S)) for _ in range(2)]
            await asyncio.sleep(0)
            while not all(task.done() for task in waiting):
                await asyncio.gather(*busy(device))
            assert {(await task).kind for task in waiting} == {DeviceEventKind.LOAD}
            futures = busy(device)
            async for event in queue:
                if not event.figures["running"] + event.figures["queued"]:
                    queue.close()
            await asyncio.gather(*futures)
            assert not device.client._readers.watched

    asyncio.run(asyncio.wait_for(main(), LIMIT_S))


def test_bad_input(session: Session) -> None:
    device = session.device("reference")
    with pytest.raises(OptionError, match="did you mean 'calibration'"):
        device.event_queue("calibratoin")
    with pytest.raises(OptionError, match="needs kinds"):
        device.event_queue([])
    for size in (0, -1, 1.5, True):
        with pytest.raises(OptionError, match="maxsize"):
            device.event_queue(maxsize=size)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="on_timeout"):
        next(device.event_queue().iterate(0, on_timeout="wait"))  # type: ignore[arg-type]
    queue = EventQueue("noise")
    with pytest.raises(UsageError, match="bound to no device"):
        queue.get(0)
    assert queue.bind(device) is queue and queue.devices == (device,)
    with pytest.raises(UsageError, match="bound to reference"):
        queue.bind(device)
    queue.close()
    queue.close()
    with pytest.raises(UsageError, match="closed"):
        EventQueue.bind(queue, device)


def test_the_automatic_device_has_no_events(folder: Path) -> None:
    pytest.importorskip("qulacs")
    (folder / "settings.toml").write_text('engines = ["reference", "qulacs"]\nworkers.count = 1\n')
    with (
        Session(runtime_folder=folder, config=folder / "settings.toml") as session,
        pytest.raises(UsageError, match="auto chooses a device for each task"),
    ):
        session.device().event_queue()


def small_session(folder: Path) -> Session:
    (folder / "settings.toml").write_text('engines = ["reference"]\nworkers.count = 1\n')
    return Session(runtime_folder=folder, config=folder / "settings.toml")


def test_a_closed_session_gives_what_is_there_and_then_says_so(folder: Path) -> None:
    session = small_session(folder)
    device = session.device("reference")
    queue = device.event_queue()
    busy(device)
    assert device.client.wait(queue, LIMIT_S) and len(queue) == 1
    session.close()
    assert queue.get(0).device == "reference"
    with pytest.raises(UsageError, match="the session was closed"):
        queue.get(LIMIT_S)
    with pytest.raises(UsageError, match="the session was closed"):
        list(queue)
    assert queue.drain() == []
    queue.close()
    with pytest.raises(UsageError, match="closed"):
        device.event_queue()


def test_a_lost_daemon_ends_the_wait(folder: Path) -> None:
    with small_session(folder) as session:
        queue = session.device("reference").event_queue()
        errors: list[QFwError] = []

        def wait() -> None:
            try:
                while True:
                    queue.get(LIMIT_S)
            except QFwError as error:
                errors.append(error)

        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        os.kill(session.client.welcome.pid, signal.SIGKILL)
        for thread in threads:
            thread.join(LIMIT_S)
        assert [type(error) for error in errors] == [DaemonLost] * 2
        with pytest.raises(DaemonLost):
            queue.get(0)


def test_devices_of_several_daemons_in_one_queue(folder: Path) -> None:
    with runtime_folder() as other, small_session(folder) as one, small_session(other) as two:
        devices = [one.device("reference"), two.device("reference")]
        with EventQueue("load").bind(*devices) as loads, EventQueue("fault").bind(*devices) as faults:
            with pytest.raises(ResultTimeout):
                loads.get(0.01)
            for device in devices:
                busy(device)
            assert loads.get(LIMIT_S).kind is DeviceEventKind.LOAD
            os.kill(two.client.welcome.pid, signal.SIGKILL)
            lost = faults.get(LIMIT_S)
            assert (lost.kind, lost.state) == (DeviceEventKind.FAULT, DeviceState.OFFLINE)
            assert not two.client._readers.watched
            # The other one goes on.
            with pytest.raises(ResultTimeout):
                faults.get(0.01)
            os.kill(one.client.welcome.pid, signal.SIGKILL)
            with pytest.raises(DaemonLost):
                for _ in range(3):
                    faults.get(LIMIT_S)
