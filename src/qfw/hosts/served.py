"""What the daemon knows of a host's devices: states, calibrations, slots and the runs that they hold."""

from __future__ import annotations

from collections import deque

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, DeviceState
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
        #: Whether a timer looks at its deadline.
        self.watched = False


class Slot:
    """A slot of a device."""

    def __init__(self, device: str, name: str) -> None:
        """Without runs."""
        self.device, self.name = device, name
        #: The first one runs.
        self.runs: deque[Held] = deque()
        #: When that began, as far as the daemon can tell.
        self.head_s = 0.0

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
