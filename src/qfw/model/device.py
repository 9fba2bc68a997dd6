"""Device: a thing that runs tasks, as its users see it, and the states of its life."""

from __future__ import annotations

from enum import StrEnum

import msgspec

#: Shots of a set, on any device.
MAX_SHOTS = 100_000_000


class DeviceKind(StrEnum):
    """What a device is made of."""

    SIMULATOR = "simulator"
    #: A simulation that behaves as a certain quantum processor would, with its noise, time and life.
    TWIN = "twin"
    HARDWARE = "hardware"


class DeviceState(StrEnum):
    """Where a device is in its life; docs/specs/platform.md draws it."""

    #: Its workers or its host are on their way up.
    STARTING = "starting"
    ONLINE = "online"
    #: Runs what it has accepted, accepts nothing more.
    DRAINING = "draining"
    #: Measures itself; tasks wait.
    CALIBRATING = "calibrating"
    #: Somebody works on it; tasks wait.
    MAINTENANCE = "maintenance"
    #: Cannot run anything until its platform brings it back.
    OFFLINE = "offline"


#: The one table of a device's life.
DEVICE_TRANSITIONS: dict[DeviceState, frozenset[DeviceState]] = {
    DeviceState.STARTING: frozenset(
        {
            DeviceState.ONLINE,
            DeviceState.CALIBRATING,
            DeviceState.DRAINING,
            DeviceState.MAINTENANCE,
            DeviceState.OFFLINE,
        }
    ),
    DeviceState.ONLINE: frozenset(
        {DeviceState.CALIBRATING, DeviceState.DRAINING, DeviceState.MAINTENANCE, DeviceState.OFFLINE}
    ),
    DeviceState.CALIBRATING: frozenset(
        {DeviceState.ONLINE, DeviceState.DRAINING, DeviceState.MAINTENANCE, DeviceState.OFFLINE}
    ),
    DeviceState.DRAINING: frozenset({DeviceState.ONLINE, DeviceState.MAINTENANCE, DeviceState.OFFLINE}),
    DeviceState.MAINTENANCE: frozenset({DeviceState.ONLINE, DeviceState.CALIBRATING, DeviceState.OFFLINE}),
    DeviceState.OFFLINE: frozenset(
        {
            DeviceState.STARTING,
            DeviceState.ONLINE,
            DeviceState.CALIBRATING,
            DeviceState.DRAINING,
            DeviceState.MAINTENANCE,
        }
    ),
}

#: States in which a task is accepted, to run now or when the device is back.
ACCEPTING = frozenset(
    {DeviceState.STARTING, DeviceState.ONLINE, DeviceState.CALIBRATING, DeviceState.MAINTENANCE}
)
#: States in which what was accepted is started.
RUNNING = frozenset({DeviceState.ONLINE, DeviceState.DRAINING})


class Timing(msgspec.Struct, frozen=True):
    """What a device takes besides the operations of a program, in nanoseconds.

    A task takes task_ns + sets · bases · (set_ns + shots · (reset_ns + circuit + repetition_delay_ns)): every basis
    in which observables are measured is uploaded and measured for itself. The pulse that turns a qubit before X or Y is
    measured is not counted.
    """

    #: Programming of the controller.
    task_ns: int = 0
    #: Upload of one parameter set, for one basis.
    set_ns: int = 0
    #: Return of all qubits to |0> before each shot.
    reset_ns: int = 0
    #: Wait after each shot.
    repetition_delay_ns: int = 0
    #: From the end of a measurement to the first operation that may depend on it.
    feedback_ns: int = 0


class DevicePart(msgspec.Struct, frozen=True):
    """A device that is part of another one, which runs programs over several."""

    device: str
    #: Its qubits are so many of the whole's, in their order, behind those of the parts before it.
    qubits: int


class DeviceProfile(msgspec.Struct, frozen=True):
    """What a device can do."""

    #: Unique within a daemon.
    name: str
    kind: DeviceKind
    #: Engine or vendor's model behind it.
    engine: str
    #: Largest register.
    max_qubits: int
    #: Names of `qfw.model.gates` that it runs without lowering.
    native_gates: tuple[str, ...]
    #: Kinds of outputs that it answers (tags of `qfw.model.outputs`).
    outputs: tuple[str, ...]
    #: Tasks that run at the same time.
    slots: int
    #: Version of the engine.
    version: str = ""
    #: Preferred where a task may run on several devices; higher first.
    preference: int = 0
    #: Widest register for which it is preferred: above, devices that still are come first.
    preferred_qubits: int = 0
    #: Whether it measures and resets before the end, and branches on what was measured.
    control: bool = False
    #: Platform that serves it.
    platform: str = ""
    #: Whether it takes native gates on coupled qubits only: whoever submits has lowered the program.
    lowered_only: bool = False
    #: Ordered pairs of qubits that two-qubit gates run on; None: all. A gate that is symmetric in its qubits runs
    #: in either order.
    coupling: tuple[tuple[int, int], ...] | None = None
    #: Where each qubit is drawn, (x, y); empty where nobody said.
    positions: tuple[tuple[float, float], ...] = ()
    #: None where it takes no time besides its engine's.
    timing: Timing | None = None
    #: Bounds of one task.
    max_shots: int = MAX_SHOTS
    max_sets: int = 2**31
    #: Whether it answers without shots.
    exact: bool = True
    #: Whether an interrupted run may be repeated without asking: never on hardware.
    reruns: bool = True
    #: Whether waiting behind the platform is bounded. A cloud device's queue is not ours: "unbounded".
    bounded: bool = True
    #: Names of native operations (`qfw.qpm.platform.Native`).
    native: tuple[str, ...] = ()
    #: Devices that it is made of; empty of one of its own. Between parts there is nothing but entangled pairs: of
    #: qubits that were reset, h on the first and cx over the coupling make one.
    parts: tuple[DevicePart, ...] = ()

    def __repr__(self) -> str:
        # The coupling of a large device would fill pages.
        return f"DeviceProfile({self.name!r}; {self.kind}, engine: {self.engine}, qubits: {self.max_qubits})"


class DeviceStatus(msgspec.Struct, frozen=True):
    """A device at one moment."""

    profile: DeviceProfile
    state: DeviceState
    #: Tasks that run and that wait.
    running: int
    queued: int
    #: Why it is not online; empty where it is.
    reason: str = ""
    #: Version of its calibration, empty where it has none; and when that was measured, Unix time in seconds.
    calibration: str = ""
    calibrated_s: float = 0.0
    #: Median error of its two-qubit gates, None where there is no calibration.
    two_qubit_error: float | None = None
    #: Seconds that a task accepted now waits, by estimate; None where nobody can say ("unbounded").
    wait_s: float | None = 0.0

    def __repr__(self) -> str:
        state = f"{self.state}: {self.reason}" if self.reason else str(self.state)
        wait = "unbounded" if self.wait_s is None else f"{self.wait_s:.3g} s"
        calibration = f", calibration: {self.calibration}" if self.calibration else ""
        return (
            f"DeviceStatus({self.profile.name!r}; {state}, running: {self.running}, queued: {self.queued}, "
            f"wait: {wait}{calibration})"
        )


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """What a task will need, before it starts."""

    #: Seconds on one worker, or of the device; an upper bound in intent, not a promise.
    cost_s: float
    #: Peak memory of the worker on top of its own, in bytes.
    memory_bytes: int
