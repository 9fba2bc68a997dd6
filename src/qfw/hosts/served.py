"""What the daemon knows of a host's devices: states, calibrations, slots and the runs that they hold."""

from __future__ import annotations

import math
from collections import deque

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, DeviceState
from qfw.model.errors import ErrorReport
from qfw.model.outputs import Output, answer_bytes
from qfw.model.program import Program
from qfw.qpm.platform import DeviceLoad, Run

#: Versions of calibrations that an answer may name: those of runs that began some time ago.
VERSIONS = 64


class Held:
    """A run that a slot was given and has not answered."""

    def __init__(self, run: Run, outputs: tuple[Output, ...], register: Program) -> None:
        """`register`: a program of the width of the run's."""
        self.run, self.outputs, self.register = run, outputs, register
        #: Upper bound of its answers.
        self.answer_bytes = sum(answer_bytes(output, register, run.sets, run.shots) for output in outputs)
        self.cancelled = False
        #: Whether its answer came and is looked at.
        self.checked = False
        #: Why it fails, where it was cancelled here.
        self.failure: ErrorReport | None = None


class Slot:
    """A slot of a device."""

    def __init__(self, device: str, name: str, still: bool, now_s: float) -> None:
        """Without runs. `still`: the device is in a state in which no run goes on."""
        self.device, self.name = device, name
        #: The first one runs.
        self.runs: deque[Held] = deque()
        #: When that began, as far as the daemon can tell.
        self.head_s = now_s
        self.still = still
        #: Since when it stands still, if it does; since when, in the same way, the first run is in it.
        self._still_s = self._since_s = now_s
        self._ran_s = self._stood_s = 0.0
        #: When a timer will look at the first one's deadline.
        self.watched_s = math.inf

    def begin(self, now_s: float) -> None:
        """Its first run begins. Where it stands still, it does so since before."""
        self.head_s = self._since_s = now_s
        self._ran_s = 0.0
        self._stood_s = now_s - self._still_s if self.still else 0.0

    def stand(self, still: bool, now_s: float) -> None:
        """It stands still from now on, or goes on."""
        if still is self.still:
            return
        self._ran_s, self._stood_s = self.ran_s(now_s), self.stood_s(now_s)
        self._since_s = self._still_s = now_s
        self.still = still

    def ran_s(self, now_s: float) -> float:
        """Seconds that its first run had."""
        return self._ran_s if self.still else self._ran_s + now_s - self._since_s

    def stood_s(self, now_s: float) -> float:
        """Seconds that its first run stood still for, with those before it was the first."""
        return self._stood_s + now_s - self._since_s if self.still else self._stood_s

    def find(self, task: int, epoch: int) -> Held | None:
        """The run of this execution."""
        return next((held for held in self.runs if (held.run.task, held.run.epoch) == (task, epoch)), None)


class Served:
    """A device."""

    def __init__(self, profile: DeviceProfile) -> None:
        """As its host says at first."""
        self.profile = profile
        self.state = DeviceState.STARTING
        self.reason = ""
        #: The state in which its present host brought it up.
        self.coming = DeviceState.STARTING
        self.calibration: Calibration | None = None
        self.versions: deque[str] = deque(maxlen=VERSIONS)
        self.load = DeviceLoad()
        #: Number of its last event here, and of the next one of its host; 0: any.
        self.sequence = self.next_sequence = 0
        self.slots: dict[str, Slot] = {}
        self.warm = False
        #: Whether its platform gave it up, until a slot is ready.
        self.given_up = False

    def adopt(self, calibration: Calibration | None) -> None:
        """Takes a calibration for the newest."""
        self.calibration = calibration
        if calibration is not None and calibration.version not in self.versions:
            self.versions.append(calibration.version)
