"""Session: initialise … finalise. Joins the user's daemons, or starts a private one, and merges their devices."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from qfw.config.discover import config_path
from qfw.model.device import DeviceKind, DeviceProfile, DeviceStatus
from qfw.model.errors import ConnectionFailed, OptionError, QFwError, UnknownDevice, UsageError
from qfw.model.program import Program
from qfw.model.reservation import Offer
from qfw.qpi import reservation
from qfw.qpi.client import Client
from qfw.qpi.daemons import DaemonStatus, Member, join_all, places
from qfw.qpi.device import ASK_LIMIT_S, AUTOMATIC, AutomaticDevice, Device
from qfw.qpi.filters import Filters, filters
from qfw.qpi.future import TaskFuture
from qfw.qpi.handle import parse_handle
from qfw.qpi.names import Devices
from qfw.qpi.reservation import Reservation
from qfw.qpi.tables import as_html, as_text
from qfw.qpm import registry
from qfw.qpm.status import PlatformState, PlatformStatus

if TYPE_CHECKING:
    from qfw.qpi.choice import Choice
    from qfw.qpi.drafting import Outputs
    from qfw.qpi.mesh import Mesh

#: Seconds within which the platforms that are installed come up, or the daemon says which did not.
PLATFORMS_LIMIT_S = 300.0


class Session:
    """An application's connection to its devices, of one daemon or of several.

    A context manager, also with `async with`. It belongs to the process that opened it, and may be used by several
    threads. Where one of several daemons goes away, the devices of the others go on.
    """

    def __init__(
        self,
        *,
        runtime_folder: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        name: str | None = None,
        timeout_s: float = 30.0,
        daemons: Sequence[str | os.PathLike[str]] | None = None,
        scopes: Collection[str] | None = None,
    ) -> None:
        """Joins all daemons that the environment names ($QFW_JOB_DAEMON, $QFW_SITE_DAEMONS).

        Where it names none, joins the private daemon of this user, or starts it; the last session ends it.

        Args:
            runtime_folder: that of the private daemon, which alone is joined then; by default $QFW_RUNTIME_DIR, else
                a folder of this user (and job step).
            config: settings (TOML) of a private daemon that has to be started; by default $QFW_CONFIG.
            name: what listings show; by default the program's name.
            timeout_s: for joining or starting, all daemons together.
            daemons: runtime folders of running daemons: exactly these are joined, in this order.
            scopes: some of "private", "job", "site": just these are joined.

        Raises:
            OptionError: arguments that exclude each other, or a scope that nothing names.
            SetupError: a folder or the settings cannot be used, says why and what to do.
            ForeignOwner: the folder or the socket belongs to another user.
            ConnectionFailed: a daemon does not answer (says which, and who named it), or is of another version.
        """
        settings = Path(config) if config is not None else config_path()
        called = name or Path(sys.argv[0] or "python").name
        self._pid = os.getpid()
        self._members = join_all(places(runtime_folder, daemons, scopes), called, settings, timeout_s)
        #: The runtime folder of its first daemon.
        self.folder = self._members[0].place.folder
        #: The way to its first daemon.
        self.client = self._members[0].client
        self._finding = threading.Lock()
        self._devices = Devices()
        for member in self._members:
            self._merge(member, member.client.welcome.devices)
        #: Where there is nothing to choose from, the first is taken.
        self._any = self._automatic()
        # Runs at the end of the program too, where nobody closed the session.
        self._finalise = weakref.finalize(self, _close, [member.client for member in self._members])

    @staticmethod
    def open(**arguments: Any) -> Opening:
        """A session that is opened without blocking the event loop: `await` it, or use it with `async with`.

        Args:
            arguments: those of `Session`.
        """
        return Opening(lambda: Session(**arguments))

    @property
    def daemons(self) -> list[DaemonStatus]:
        """Its daemons: where each is, its version, and what it can do."""
        self._check()
        return [member.status() for member in self._members]

    @property
    def devices(self) -> list[Device]:
        """The devices, the preferred ones first."""
        return sorted(self._devices, key=lambda device: (-device.profile.preference, device.name))

    def device(self, name: str | None = None) -> Device:
        """The device of this name; without a name (or "auto") the one that chooses the best for each task.

        NAME@DAEMON names a device of one of several daemons. A name that no daemon knows lets them start the installed
        platforms that wait for somebody to ask; that may take seconds.

        Raises:
            UnknownDevice: there is none; names the nearest, and says which platforms are broken.
            UsageError: the session is closed.
        """
        self._check()
        if name is None or (name == AUTOMATIC and self._devices.get(name, self._members) is None):
            if self._any is None:
                raise UnknownDevice("no daemon of this session serves a device; see: qfw doctor")
            return self._any
        return self._devices.get(name, self._members) or self._late(name)

    def find(
        self,
        *,
        kind: str | Iterable[str] | None = None,
        engine: str | None = None,
        platform: str | None = None,
        min_qubits: int | None = None,
        native_gates: Iterable[str] | None = None,
        outputs: Iterable[Any] | None = None,
        control: bool | None = None,
        exact: bool | None = None,
        max_two_qubit_error: float | None = None,
        max_readout_error: float | None = None,
        max_wait_s: float | None = None,
        max_calibration_age_s: float | None = None,
    ) -> list[Device]:
        """The devices that fit, as they are now, the preferred ones first; none: an empty list.

        Simulators that nobody should choose without naming them are left out. Where nothing fits, the installed
        platforms that wait for somebody to ask are started, and looked at too; that may take seconds, once.

        Args:
            kind: simulator, twin, hardware, or several of them.
            engine: engine or vendor's model.
            platform: that serves it.
            min_qubits: of its register.
            native_gates: all of these run without lowering.
            outputs: all of these are answered: kinds such as `qfw.Counts`, or their names.
            control: whether it measures, resets and branches before the end.
            exact: whether it answers without shots.
            max_two_qubit_error: median over its calibrated gates. An ideal simulator has no errors.
            max_readout_error: median over its usable qubits.
            max_wait_s: seconds that a task waits, by estimate; unbounded is more than any.
            max_calibration_age_s: seconds since it was calibrated. Of an ideal simulator nothing is old.

        Raises:
            OptionError: a value that none could have.
        """
        wanted = filters(
            kind=kind,
            engine=engine,
            platform=platform,
            min_qubits=min_qubits,
            native_gates=native_gates,
            outputs=outputs,
            control=control,
            exact=exact,
            max_two_qubit_error=max_two_qubit_error,
            max_readout_error=max_readout_error,
            max_wait_s=max_wait_s,
            max_calibration_age_s=max_calibration_age_s,
        )
        return self._find(wanted)[0]

    def choose(
        self,
        program: Program,
        by: str = "least_busy",
        *,
        outputs: Outputs | None = None,
        shots: int | None = None,
        sets: int = 1,
        among: Iterable[str | Device] | None = None,
        pipeline: Any = None,
    ) -> Choice:
        """The best device for a program now, with the reasons.

        Args:
            program: what is to run.
            by: "least_busy": the wait, by the daemon's estimate, and what the program takes there, by the calibration.
                "best_fidelity": the probability that nothing errs, by the calibration, of the program as the pipeline
                lowers it; without a pipeline of a program that is not native, an estimate by the medians.
            outputs: what is to be answered; by default counts with shots, the statevector without.
            shots: of each set; None for exact results.
            sets: of parameters.
            among: names or devices; by default all but the simulators that nobody should choose without naming them.
            pipeline: lowers the program for whatever device it gets.

        Raises:
            OptionError: another `by`, or numbers out of range.
            UnknownDevice: a name of `among`, or no device at all.
            TooLarge, UnsupportedFeature: none can run it; says of each why.
        """
        from qfw.qpi.choice import choose

        self._check()
        if among is None:
            self._refresh()
            devices = [device for device in self.devices if choosable(device.profile)]
        else:
            devices = [self.resolve(device) for device in among]
        return choose(devices, program, by, outputs, shots, sets, pipeline)

    def mesh(self, devices: Iterable[str | Device] | None = None, **wanted: Any) -> Mesh:
        """Several devices as one.

        Args:
            devices: names or devices; by default all that fit.
            wanted: filters, as of `find`: of the devices given, or of all, those that fit.

        Raises:
            UsageError: no device was given, or one twice.
            UnknownDevice: no device fits; says of each why.
            OptionError: an unknown filter.
        """
        from qfw.qpi.mesh import Mesh

        self._check()
        if isinstance(devices, (str, Device)):
            raise OptionError(f"a mesh is made of a list of devices, not of {devices!r}; write [{devices!r}]")
        given = None if devices is None else [self.resolve(device) for device in devices]
        if given is not None and not wanted:
            return Mesh(given)
        try:
            wished = filters(**wanted)
        except TypeError as error:
            raise OptionError(f"{error}; see Session.find for the filters") from error
        found, refused = self._find(wished, given)
        if not found and given != []:
            table = as_text(("device", "why not"), refused) if refused else "there is no device"
            raise UnknownDevice(f"no device fits:\n{table}")
        return Mesh(found)

    def statuses(self, devices: Iterable[Device]) -> dict[str, DeviceStatus | QFwError]:
        """What devices of this session do now, by name: one question to each daemon. An error stands for an answer."""
        self._check()
        answers: dict[Client, list[DeviceStatus] | QFwError] = {}
        found: dict[str, DeviceStatus | QFwError] = {}
        for device in devices:
            client = device.client
            if client not in answers:
                try:
                    answers[client] = _statuses(client)
                except QFwError as error:
                    answers[client] = error
            answer = answers[client]
            if isinstance(answer, QFwError):
                found[device.name] = answer
                continue
            gone = UnknownDevice(f"device {device.name} is gone: its platform does not serve it any more")
            here = (status for status in answer if status.profile.name == device.profile.name)
            found[device.name] = next(here, gone)
        return found

    def resolve(self, device: str | Device) -> Device:
        """A device of this session, of its name or itself. Raises UnknownDevice, UsageError."""
        if isinstance(device, Device):
            if device.session is not self:
                raise UsageError(f"device {device.name} was found by another session; use this one's")
            return device
        if not isinstance(device, str):
            raise OptionError(f"a device is given by its name or as a Device, not {device!r}")
        return self.device(device)

    def _find(
        self, wanted: Filters, given: Sequence[Device] | None = None
    ) -> tuple[list[Device], list[tuple[str, str]]]:
        """Devices that fit, and of the others name and reason."""
        self._check()
        self._refresh()
        found, refused = self._fitting(wanted, given)
        if not found and given is None and self._start_platforms():
            found, refused = self._fitting(wanted, given)
        return found, refused

    def _fitting(
        self, wanted: Filters, given: Sequence[Device] | None
    ) -> tuple[list[Device], list[tuple[str, str]]]:
        devices = [d for d in self.devices if choosable(d.profile)] if given is None else list(given)
        found: list[Device] = []
        refused: list[tuple[str, str]] = []
        for device, status in zip(devices, self.statuses(devices).values(), strict=True):
            reason: str | None
            if isinstance(status, QFwError):
                reason = str(status)
            else:
                calibration = None
                if wanted.needs_calibration and status.calibration:
                    calibration = device.calibration()
                reason = wanted.why_not(status, calibration, time.time())
            if reason is None:
                found.append(device)
            else:
                refused.append((device.name, reason))
        return found, refused

    def _refresh(self) -> None:
        """Devices that came since."""
        for member in self._members:
            try:
                self._merge(member, _statuses(member.client))
            except ConnectionFailed:
                continue  # Of a daemon that is gone nothing comes; its devices say so when they are asked.

    def _start_platforms(self) -> bool:
        """Lets the daemons start what is installed and waits for somebody to ask; whether there is a device more."""
        before = len(self._devices.names())
        for member in self._members:
            try:
                self._platforms(member)
            except ConnectionFailed:
                continue
        return len(self._devices.names()) > before

    def _platforms(self, member: Member) -> list[PlatformStatus]:
        asked = member.client.ask("platforms", PLATFORMS_LIMIT_S)
        self._merge(member, _statuses(member.client))
        return msgspec.msgpack.decode(asked, type=list[PlatformStatus])

    def _merge(self, member: Member, listed: Iterable[DeviceStatus]) -> None:
        with self._finding:
            for status in listed:
                profile = status.profile
                if self._devices.known(member, profile) is None:
                    name = self._devices.free_name(member, profile.name)
                    self._devices.add(member, Device(self, member.client, profile, name))

    def _automatic(self) -> Device | None:
        """Chooses among the simulators of the first daemon that has some."""
        for member in self._members:
            # Engines that nobody should choose without naming them, and hardware, are not chosen.
            own = [device for device in self.devices if device.client is member.client]
            simulators = [d.profile for d in own if d.profile.kind is DeviceKind.SIMULATOR]
            chosen = [profile for profile in simulators if choosable(profile)]
            if len(chosen) > 1:
                return AutomaticDevice(self, member.client, chosen)
            if chosen:
                return own[0]
        return next(iter(self.devices), None)

    def _late(self, name: str) -> Device:
        """A device that came, or comes now, after this session began."""
        missing: list[str] = []
        lost: QFwError | None = None
        for member in self._members:
            try:
                platforms = self._platforms(member)
            except ConnectionFailed as error:
                if len(self._members) == 1:
                    raise
                missing.append(f" Daemon {member.name} is gone.")
                lost = error
                continue
            found = self._devices.get(name, self._members)
            if found is not None:
                return found
            missing += [
                f" Platform {row.name} is {row.state.value}: {row.reason or 'it did not come up in time'}."
                for row in platforms
                if row.state is not PlatformState.SERVING
            ]
        message = registry.unknown("device", name, self._devices.names())
        raise UnknownDevice(message + ("." if missing else "") + "".join(missing)) from lost

    def _check(self) -> None:
        """Raises UsageError after a fork, and when it is closed."""
        if os.getpid() != self._pid:
            raise UsageError(
                f"this session belongs to process {self._pid}; after a fork open a Session of your own in process "
                f"{os.getpid()}"
            )
        if not self._finalise.alive:
            raise UsageError("the session is closed; open a new one")

    def attach(self, handle: str) -> TaskFuture:
        """The future of a detached task that any process of this user submitted.

        Returns at once; what the future gives, or why there is nothing, is found out by waiting for it.

        Args:
            handle: `TaskFuture.handle`, or its name (SESSION.SEQUENCE).

        Raises:
            OptionError: it is no handle.
            UsageError: it is of another daemon than this session's.
            DaemonLost: the daemon is gone; its results are found by a later one in the same folder.
        """
        wanted = parse_handle(handle)
        for member in self._members:
            if wanted.is_of(member.client.folder, member.client.welcome.name):
                return member.client.attach(wanted.task)
        here = ", ".join(str(member.client.folder) for member in self._members)
        raise UsageError(
            f"task {handle} is of the daemon of {wanted.daemon}, this session of that of {here}; "
            f"open Session(runtime_folder={wanted.daemon!r})"
        )

    def reserve(
        self,
        device: Device | str,
        share: float = 0.5,
        *,
        burst_s: float = 0.0,
        activation_s: float = 0.0,
        lifetime_s: float = 600.0,
    ) -> Reservation:
        """Reserves a share of a device: this session gets it, by estimated time, while it has tasks waiting.

        What it does not use goes to the others. It ends after `lifetime_s` unless it is renewed, when it is released,
        and with the session. It is soft: nothing that runs is interrupted, and no bound on waiting is promised.

        Args:
            device: of this session, or its name.
            share: of the device's time, above 0, at most the daemon's `reservations.max_share`.
            burst_s: device-seconds that the platform should allow in flight, where it takes reservations.
            activation_s: 0; daemons promise no time within which the first task starts, yet.
            lifetime_s: seconds from now, at most `reservations.max_lifetime_s`.

        Raises:
            NoCapacity: so much is not free; says what is, and when to try again.
            OptionError: a value out of range.
            UnsupportedFeature: `activation_s` is not 0.
            UsageError: the device is the automatic one, or the session is closed.
        """
        found = self.device(device) if isinstance(device, str) else device
        return reservation.reserve(found, share, burst_s, activation_s, lifetime_s)

    def evaluate(
        self,
        device: Device | str,
        share: float = 0.5,
        *,
        burst_s: float = 0.0,
        activation_s: float = 0.0,
        lifetime_s: float = 600.0,
    ) -> Offer:
        """What `reserve` would be granted now, with the reason where it is less; changes nothing.

        Raises:
            OptionError, UnsupportedFeature, UsageError: see `reserve`.
        """
        found = self.device(device) if isinstance(device, str) else device
        return reservation.evaluate(found, share, burst_s, activation_s, lifetime_s)

    def close(self) -> None:
        """Finalises: tasks that are unanswered and not detached are cancelled. May be called twice."""
        self._finalise()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.shield(asyncio.to_thread(self.close))

    def __repr__(self) -> str:
        names = ", ".join(f"{member.name} ({member.place.folder})" for member in self._members)
        state = "" if self._finalise.alive else ", closed"
        return f"Session(daemons: {names}; {len(self._devices.names())} devices{state})"

    def _repr_html_(self) -> str:
        return as_html(repr(self), DEVICE_HEAD, [device_row(device) for device in self.devices])


class Opening:
    """A session on its way: `await` gives it, `async with` closes it too."""

    def __init__(self, make: Callable[[], Session]) -> None:
        """Made by `Session.open`; nothing happens until it is awaited."""
        self._make = make
        self._session: Session | None = None

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def _open(self) -> Session:
        pool = concurrent.futures.ThreadPoolExecutor(1, "qfw-open")
        made = pool.submit(self._make)
        pool.shutdown(wait=False)
        try:
            return await asyncio.wrap_future(made)
        except asyncio.CancelledError:
            # Nobody will have it. On its own thread: the loop may be gone by then.
            made.add_done_callback(_close_unwanted)
            raise

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.__aexit__(kind, error, trace)


#: Columns of devices in a notebook.
DEVICE_HEAD = ("device", "kind", "engine", "qubits", "slots", "platform")


def device_row(device: Device) -> tuple[str, ...]:
    """A device in these columns."""
    profile = device.profile
    width, slots = str(profile.max_qubits), str(profile.slots)
    return (device.name, str(profile.kind), profile.engine, width, slots, profile.platform)


def choosable(profile: DeviceProfile) -> bool:
    """Whether a device may be chosen by one who did not name it: not so a simulator for tests, such as noop."""
    return profile.kind is not DeviceKind.SIMULATOR or profile.preference >= 0


def _statuses(client: Client) -> list[DeviceStatus]:
    return msgspec.msgpack.decode(client.ask("devices", ASK_LIMIT_S), type=list[DeviceStatus])


def _close(clients: Sequence[Client]) -> None:
    failed: BaseException | None = None
    for client in clients:
        try:
            client.close()
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed


def _close_unwanted(made: concurrent.futures.Future[Session]) -> None:
    if not made.cancelled() and made.exception() is None:
        made.result().close()
