"""Device: what a session's tasks run on; and the automatic one, which chooses for each task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile, DeviceStatus
from qfw.model.errors import (
    OptionError,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
    WrongAnswer,
)
from qfw.model.outputs import Output
from qfw.model.program import Program
from qfw.qpi.tables import as_html
from qfw.qpm.tool import Target

if TYPE_CHECKING:
    from qfw.model.pipeline import Pipeline
    from qfw.qpi.client import Client
    from qfw.qpi.events import EventQueue
    from qfw.qpi.groups import Groups
    from qfw.qpi.session import Session
    from qfw.qpi.stream import BoundPipeline, OnFailure, Order, QStream

#: Name of the device that chooses for each task.
AUTOMATIC = "auto"
#: Seconds within which the daemon says what it knows.
ASK_LIMIT_S = 30.0


class Device:
    """A device of one of a session's daemons."""

    def __init__(
        self, session: Session, client: Client, profile: DeviceProfile, name: str | None = None
    ) -> None:
        """Made by `Session.device`. `name`: unique in the session, where that is another one than in its daemon."""
        self._session = session
        #: For streams: the way to its daemon.
        self.client = client
        self._name = name or profile.name
        if self._name != profile.name:
            client.device_names[profile.name] = self._name
        #: What it can do.
        self.profile = profile
        #: Its calibration as it was said last, what was made of that, and the revision before it was asked for.
        self._target: tuple[bytes, Target, bytes | None] | None = None

    @cached_property
    def groups(self) -> Groups:
        """For streams: what places the parts of tasks."""
        from qfw.qpi.groups import Groups

        return Groups(self)

    @property
    def name(self) -> str:
        """Its name, unique in the session: as in its daemon, or NAME@DAEMON where another one is called so."""
        return self._name

    @property
    def session(self) -> Session:
        """The session that it was found by."""
        return self._session

    def stream(
        self,
        *,
        order: Order = "parallel",
        window: int | None = None,
        pipeline: BoundPipeline | Pipeline | str | None = None,
        on_failure: OnFailure = "continue",
    ) -> QStream:
        """A new stream of operations on this device.

        Args:
            order: "parallel": operations begin at once. "ordered": each when the one before has ended.
            window: operations that may be open; a submission beyond waits. None: no bound.
            pipeline: tools that lower its programs for the device.
            on_failure: "stop": a failure cancels what has not begun, and the stream takes no more.

        Raises:
            OptionError: a value out of its range.
        """
        from qfw.qpi.stream import QStream

        return QStream(self, order=order, window=window, pipeline=pipeline, on_failure=on_failure)

    # Ground of its own streams: there is nothing to choose (see placing).

    @property
    def devices(self) -> tuple[Device, ...]:
        """Itself: what a stream on it is bound to."""
        return (self,)

    def place(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        sets: int,
        shots: int,
        lowered: bool,
        device: str | Device | None = None,
    ) -> Device | None:
        """The device of a stream's next task: itself. Raises UsageError where another one is named."""
        if device is not None and device is not self and device != self.name:
            name = device.name if isinstance(device, Device) else device
            raise UsageError(
                f"the stream is bound to {self.name}; a task for {name!r} needs a stream of its own"
            )
        return self

    def when_room(self, wake: Callable[[], None]) -> None:
        """Never: it always has room."""

    def began(
        self, device: Device, sets: int, shots: int, program: Program | None = None, task: int = 0
    ) -> None:
        """Nothing is counted."""

    def named(self, device: Device, task: int) -> None:
        """Nothing is counted."""

    def ended(
        self,
        device: Device,
        sets: int,
        shots: int,
        took_s: float | None,
        program: Program | None = None,
        task: int = 0,
    ) -> None:
        """Nothing is counted."""

    def again(self, device: Device, error: BaseException) -> bool:
        """No: there is no other."""
        return False

    def chosen(self, program: Program, outputs: tuple[Output, ...]) -> str:
        """Name of the device that runs a task: its own."""
        return self.profile.name

    def status(self) -> DeviceStatus:
        """State and calibration of now; queue and estimated wait, at most 100 ms old.

        Raises:
            UnknownDevice: its platform does not serve it any more.
            DaemonLost: the daemon is gone.
        """
        body = self.client.ask("devices", ASK_LIMIT_S)
        for status in msgspec.msgpack.decode(body, type=list[DeviceStatus]):
            if status.profile.name == self.profile.name:
                return status
        raise UnknownDevice(f"device {self.name} is gone: its platform does not serve it any more")

    def calibration(self) -> Calibration | None:
        """The newest calibration; None of a device that has none, as ideal simulators."""
        return self.target().calibration

    def target(self) -> Target:
        """What programs are lowered for: it and its newest calibration; the same object while that is the same.

        The daemon is asked only where a device of it changed since.
        """
        known, revision = self._target, self.client.revision()
        if known is not None and revision is not None and known[2] == revision:
            return known[1]
        body = self.client.ask(f"calibration {self.profile.name}", ASK_LIMIT_S)
        if known is None or known[0] != body:
            made = Target(self.profile, msgspec.msgpack.decode(body, type=Calibration | None))
        else:
            made = known[1]
        self._target = body, made, revision
        return made

    def event_queue(self, kinds: str | Iterable[str] | None = None, maxsize: int = 1024) -> EventQueue:
        """A new queue of what happens to it from now on; several may be, of different kinds.

        Args:
            kinds: noise, calibration, fault, maintenance, load, reservation, state; None: all.
            maxsize: events that it holds; where one more comes, the oldest goes, and is counted.

        Raises:
            OptionError: an unknown kind (names the nearest), or a size below 1.
            UsageError: the session is closed, or the device is the automatic one.
        """
        from qfw.qpi.events import EventQueue

        return EventQueue(kinds, maxsize).bind(self)

    def native(self, name: str) -> Callable[..., Any]:
        """A native operation of this device (`profile.native` names them), as a function.

        `operation(body=None, timeout_s=60.0)` sends `body`, anything that MessagePack holds, or bytes that are
        MessagePack already; waits, and returns what was answered. It raises what the device answered in its
        place, and DeadlineExceeded after `timeout_s`.

        Raises:
            UnsupportedFeature: it has no such operation.
        """
        if name not in self.profile.native:
            there = f"it has {', '.join(self.profile.native)}" if self.profile.native else "it has none"
            raise UnsupportedFeature(f"device {self.name} has no native operation {name!r}; {there}")

        def operation(body: Any = None, timeout_s: float = 60.0) -> Any:
            if not isinstance(timeout_s, int | float) or not 0 < timeout_s < math.inf:
                raise OptionError(f"timeout_s must be seconds above 0, not {timeout_s!r}")
            try:
                encoded = (
                    bytes(body) if isinstance(body, (bytes, bytearray)) else msgspec.msgpack.encode(body)
                )
            except (TypeError, ValueError, OverflowError) as error:
                raise OptionError(f"the body of {name} cannot be sent: {error}") from error
            reply = self.client.call(self.profile.name, name, encoded, float(timeout_s))
            try:
                return msgspec.msgpack.decode(reply) if reply else None
            except msgspec.DecodeError as error:
                raise WrongAnswer(
                    f"what {name} of {self.name} answered is no MessagePack: {error}"
                ) from error

        return operation

    def _repr_html_(self) -> str:
        profile = self.profile
        row = (self.name, str(profile.kind), profile.engine, str(profile.max_qubits), str(profile.slots))
        gates = ", ".join(profile.native_gates[:12]) + (" …" if len(profile.native_gates) > 12 else "")
        return as_html(
            "Device", ("device", "kind", "engine", "qubits", "slots", "native gates"), [(*row, gates)]
        )

    def __repr__(self) -> str:
        return f"Device({self.name!r}, engine={self.profile.engine!r}, max_qubits={self.profile.max_qubits})"


class AutomaticDevice(Device):
    """Every device that prefers to be chosen, as one: each task goes to the best that can run it.

    The choice depends on the task alone (width, control, outputs), never on load, so that a seed gives the
    same result again. `Result.device` says what was chosen.
    """

    def __init__(self, session: Session, client: Client, profiles: Sequence[DeviceProfile]) -> None:
        """Of at least one device of one daemon."""
        self._profiles = sorted(profiles, key=lambda profile: (-profile.preference, profile.name))
        super().__init__(session, client, _merged(self._profiles))
        self._known: dict[tuple[int, bool, tuple[type, ...]], str] = {}

    @property
    def widest(self) -> DeviceProfile:
        """The device with the most qubits; of equal ones the preferred."""
        return max(self._profiles, key=lambda profile: profile.max_qubits)

    def status(self) -> DeviceStatus:
        """Raises UsageError: each task goes to another device."""
        names = ", ".join(profile.name for profile in self._profiles)
        raise UsageError(
            f"{AUTOMATIC} chooses a device for each task; ask one of them for its status: {names}"
        )

    def target(self) -> Target:
        """The widest, without a calibration: simulators alone are chosen."""
        return Target(self.widest)

    def chosen(self, program: Program, outputs: tuple[Output, ...]) -> str:
        """Name of the device that runs a task.

        Raises:
            TooLarge: no device has so many qubits.
            UnsupportedFeature: none that has answers the outputs, or has the control that it needs.
        """
        key = (program.num_qubits, program.has_control, tuple(map(type, outputs)))
        found = self._known.get(key)
        if found is None:
            tags = {str(output.__struct_config__.tag) for output in outputs}
            found = self._known[key] = choose(self._profiles, key[0], key[1], tags)
        return found


def choose(profiles: Sequence[DeviceProfile], num_qubits: int, control: bool, tags: set[str]) -> str:
    """Name of the best device for a task; `profiles` in order of preference, `tags` of its outputs.

    Raises:
        TooLarge, UnsupportedFeature: none can run it.
    """
    wide = [profile for profile in profiles if num_qubits <= profile.max_qubits]
    if not wide:
        held = ", ".join(f"{profile.name} {profile.max_qubits}" for profile in profiles)
        raise TooLarge(
            f"the program needs {num_qubits} qubits; the devices here hold: {held}. Use fewer qubits, or give "
            "workers more memory (workers.count, workers.memory_bytes)"
        )
    able = [profile for profile in wide if tags <= set(profile.outputs) and profile.control >= control]
    if not able:
        needs = " and ".join(sorted(tags)) + (" with control before the end" if control else "")
        names = ", ".join(profile.name for profile in wide)
        hint = " Engine aer runs control: pip install 'qfw[aer]'." if control else ""
        raise UnsupportedFeature(
            f"the task needs {needs} on {num_qubits} qubits; none of the devices here does that: {names}.{hint}"
        )
    # max() gives the first of equals: the order of preference decides.
    return max(able, key=lambda profile: (num_qubits <= profile.preferred_qubits, profile.preference)).name


def _merged(profiles: Sequence[DeviceProfile]) -> DeviceProfile:
    gates = set(profiles[0].native_gates).intersection(*(profile.native_gates for profile in profiles))
    outputs = {tag for profile in profiles for tag in profile.outputs}
    return DeviceProfile(
        name=AUTOMATIC,
        kind=profiles[0].kind,
        engine=AUTOMATIC,
        max_qubits=max(profile.max_qubits for profile in profiles),
        native_gates=tuple(sorted(gates)),
        outputs=tuple(sorted(outputs)),
        slots=max(profile.slots for profile in profiles),
        preference=profiles[0].preference,
        preferred_qubits=max(profile.preferred_qubits for profile in profiles),
        control=any(profile.control for profile in profiles),
    )
