"""What the daemon says of itself when asked."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import msgspec

from qfw import __version__
from qfw.model.device import ACCEPTING, DeviceProfile, DeviceState, DeviceStatus
from qfw.model.errors import WireError
from qfw.qpm.status import Counters
from qfw.qpmd.control import Controls
from qfw.qpmd.devices import Devices
from qfw.qpmd.platforms import Platforms
from qfw.qpmd.rows import task_rows
from qfw.qpmd.state import DaemonState
from qfw.scheduling.scheduler import Scheduler

#: An answer is given again for this long: who asks often costs no more than who asks sometimes.
FRESH_NS = 100_000_000
#: In front of the name of a device.
CALIBRATION = "calibration "
#: What was asked with these subjects: platforms as they are; platforms once all have settled.
NOW, SETTLED = "platforms now", "platforms"


class Listing:
    """Answers queries from the state; changes nothing."""

    def __init__(
        self,
        state: DaemonState,
        scheduler: Scheduler,
        platforms: Platforms,
        devices: Devices,
        control: Controls,
        clock_ns: Callable[[], int],
        lowerings: Callable[[], int] = int,
        tool_s: Callable[[], Mapping[int, float]] = dict,
    ) -> None:
        """Of the parts of the daemon.

        `clock_ns`: the daemon's clock; `lowerings`: programs that tools were run on so far; `tool_s`: seconds that
        tools have worked, by session, those that left as 0.
        """
        self._state = state
        self._scheduler = scheduler
        self._platforms = platforms
        self._devices = devices
        self._control = control
        self._clock_ns = clock_ns
        self._lowerings = lowerings
        self._tool_s = tool_s
        self._started_ns = clock_ns()
        #: Encoded answers by subject, with the time of each.
        self._answers: dict[str, tuple[int, bytes]] = {}
        #: Answers that were refused because their run was no longer the task's.
        self.late_answers = 0
        #: More counts, of other parts of the daemon.
        self.more: Callable[[], dict[str, int]] = dict

    def answer(self, subject: str) -> bytes:
        """MessagePack of devices, tasks, counters, platforms or a calibration, at most 100 ms old.

        States and calibrations of devices are those of now.

        Raises:
            WireError: another subject.
        """
        if subject.startswith(CALIBRATION):
            return msgspec.msgpack.encode(self._devices.calibrations.get(subject.removeprefix(CALIBRATION)))
        now_ns = self._clock_ns()
        made_ns, encoded = self._answers.get(subject, (0, b""))
        if not encoded or now_ns - made_ns >= FRESH_NS:
            encoded = self._encode(subject)
            self._answers[subject] = (now_ns, encoded)
        return encoded

    def forget(self) -> None:
        """What was said is no longer so: the next answer is a new one."""
        self._answers.clear()

    def _encode(self, subject: str) -> bytes:
        if subject == "devices":
            return msgspec.msgpack.encode(self.devices())
        if subject == "tasks":
            return msgspec.msgpack.encode(task_rows(self._state, self._clock_ns(), tool_s=self._tool_s()))
        if subject == "counters":
            return msgspec.msgpack.encode(self.counters())
        if subject == "daemon":
            return msgspec.msgpack.encode(self._control.status())
        if subject in (NOW, SETTLED):
            return msgspec.msgpack.encode(self._platforms.statuses())
        raise WireError(
            f"nothing is known of the subject {subject[:100]!r}; ask for devices, tasks, counters, daemon, platforms, "
            f"or calibration DEVICE"
        )

    def devices(self) -> list[DeviceStatus]:
        """Every device and what it does now."""
        running: dict[str, int] = {}
        for (device, _), tasks in self._state.running.items():
            running[device] = running.get(device, 0) + len(tasks)
        return [
            self._status(profile, running.get(name, 0)) for name, profile in self._platforms.profiles.items()
        ]

    def device(self, name: str) -> DeviceStatus | None:
        """A device and what it does now; None where there is no such device."""
        profile = self._platforms.profiles.get(name)
        if profile is None:
            return None
        workers = self._state.workers.get(name, {})
        return self._status(
            profile, sum(len(self._state.running.get((name, worker), ())) for worker in workers)
        )

    def _status(self, profile: DeviceProfile, running: int) -> DeviceStatus:
        name = profile.name
        waiting = self._scheduler.waiting(name)
        entry = self._state.devices.get(name)
        state, reason = (entry.state, entry.reason) if entry else (DeviceState.ONLINE, "")
        if state is DeviceState.ONLINE and waiting and not self._state.workers.get(name):
            # Workers start with a device's first task.
            state = DeviceState.STARTING
        if state is DeviceState.STARTING:
            reason = ""
        calibration = self._devices.calibrations.get(name)
        return DeviceStatus(
            profile,
            state,
            running,
            waiting,
            reason,
            calibration.version if calibration else "",
            calibration.measured_s if calibration else 0.0,
            calibration.median_two_qubit_error if calibration else None,
            self._wait_s(profile, state, running, waiting),
        )

    def _wait_s(self, profile: DeviceProfile, state: DeviceState, running: int, waiting: int) -> float | None:
        """Seconds that a task accepted now would wait; None where nobody can say."""
        name = profile.name
        entry = self._state.devices.get(name)
        others_s = self._platforms.of[name].load(name).queued_s
        if not profile.bounded or others_s is None:
            return None
        if entry is not None and state not in ACCEPTING and not entry.given_up:
            return None
        away_s: float | None = 0.0
        if entry is not None and state in (DeviceState.CALIBRATING, DeviceState.MAINTENANCE):
            away_s = self._devices.remaining_s(entry)
        if away_s is None:
            return None
        if not waiting and running < profile.slots:
            return others_s + away_s
        return others_s + away_s + self._scheduler.work_s(name) / max(1, profile.slots)

    def counters(self) -> Counters:
        """What it has done so far."""
        counts = {str(name): number for name, number in self._state.counters.items()}
        counts["late_answers"] = self.late_answers
        counts["lowerings"] = self._lowerings()
        counts["refused_events"] = self._devices.refused
        counts |= self.more()
        uptime_s = (self._clock_ns() - self._started_ns) / 1e9
        sessions, tasks = len(self._state.sessions), len(self._state.tasks)
        return Counters(
            counts, sessions, tasks, os.getpid(), __version__, uptime_s, sum(self._tool_s().values())
        )
