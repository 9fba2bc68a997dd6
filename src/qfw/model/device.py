"""Device: a thing that runs tasks, as its users see it."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class DeviceKind(StrEnum):
    """What a device is made of."""

    SIMULATOR = "simulator"
    HARDWARE = "hardware"


class DeviceState(StrEnum):
    """Whether a device takes tasks."""

    STARTING = "starting"
    ONLINE = "online"
    OFFLINE = "offline"


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


class DeviceStatus(msgspec.Struct, frozen=True):
    """A device at one moment."""

    profile: DeviceProfile
    state: DeviceState
    #: Tasks that run and that wait.
    running: int
    queued: int
    #: Why it is not online; empty where it is.
    reason: str = ""


class Estimate(msgspec.Struct, frozen=True, array_like=True):
    """What a task will need, before it starts."""

    #: Seconds on one worker; an upper bound in intent, not a promise.
    cost_s: float
    #: Peak memory of the worker on top of its own, in bytes.
    memory_bytes: int
