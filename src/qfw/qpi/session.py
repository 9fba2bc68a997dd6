"""Session: initialise … finalise. Joins the user's daemons, or starts a private one, and merges their devices."""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from qfw.config.discover import config_path
from qfw.model.device import DeviceStatus
from qfw.model.errors import OptionError, QFwError, UnknownDevice, UsageError
from qfw.model.program import Program
from qfw.model.reservation import Offer
from qfw.processes import external
from qfw.qpi import reservation
from qfw.qpi.catalogue import Catalogue, choosable
from qfw.qpi.client import Client
from qfw.qpi.daemons import DaemonStatus, join_all, places
from qfw.qpi.device import AUTOMATIC, Device
from qfw.qpi.filters import filters
from qfw.qpi.future import TaskFuture
from qfw.qpi.handle import parse_handle
from qfw.qpi.opening import Opening
from qfw.qpi.reservation import Reservation
from qfw.qpi.tables import DEVICE_HEAD, as_html, as_text, device_row

if TYPE_CHECKING:
    from qfw.model.pipeline import Pipeline
    from qfw.qpi.choice import Choice
    from qfw.qpi.compiled import CompiledProgram
    from qfw.qpi.drafting import Outputs
    from qfw.qpi.mesh import Mesh
    from qfw.qpi.stream import BoundPipeline


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
        external.declare_configured(settings)
        called = name or Path(sys.argv[0] or "python").name
        self._pid = os.getpid()
        self._members = join_all(places(runtime_folder, daemons, scopes), called, settings, timeout_s)
        #: The runtime folder of its first daemon.
        self.folder = self._members[0].place.folder
        #: The way to its first daemon.
        self.client = self._members[0].client
        #: For meshes: its devices by their names.
        self.catalogue = Catalogue(self, self._members)
        #: Where there is nothing to choose from, the first is taken.
        self._any = self.catalogue.automatic()
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
        return self.catalogue.devices

    def device(self, name: str | None = None) -> Device:
        """The device of this name; without a name (or "auto") the one that chooses the best for each task.

        NAME@DAEMON names a device of one of several daemons. A name that no daemon knows lets them start the installed
        platforms that wait for somebody to ask; that may take seconds.

        Raises:
            UnknownDevice: there is none; names the nearest, and says which platforms are broken.
            UsageError: the session is closed.
        """
        self._check()
        if name is None or (name == AUTOMATIC and self.catalogue.get(name) is None):
            if self._any is None:
                raise UnknownDevice("no daemon of this session serves a device; see: qfw doctor")
            return self._any
        return self.catalogue.get(name) or self.catalogue.late(name)

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
        self._check()
        return self.catalogue.find(wanted)[0]

    def choose(
        self,
        program: Program,
        by: str = "least_busy",
        *,
        outputs: Outputs | None = None,
        shots: int | None = None,
        sets: int = 1,
        among: Iterable[str | Device] | None = None,
        pipeline: BoundPipeline | Pipeline | str | None = None,
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
            self.catalogue.refresh()
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
        found, refused = self.catalogue.find(wished, given)
        if not found and given != []:
            table = as_text(("device", "why not"), refused) if refused else "there is no device"
            raise UnknownDevice(f"no device fits:\n{table}")
        return Mesh(found)

    def statuses(self, devices: Iterable[Device]) -> dict[str, DeviceStatus | QFwError]:
        """What devices of this session do now, by name: one question to each daemon. An error stands for an answer."""
        self._check()
        return self.catalogue.statuses(devices)

    def resolve(self, device: str | Device) -> Device:
        """A device of this session, of its name or itself. Raises UnknownDevice, UsageError."""
        if isinstance(device, Device):
            if device.session is not self:
                raise UsageError(f"device {device.name} was found by another session; use this one's")
            return device
        if not isinstance(device, str):
            raise OptionError(f"a device is given by its name or as a Device, not {device!r}")
        return self.device(device)

    def _check(self) -> None:
        """Raises UsageError after a fork, and when it is closed."""
        if os.getpid() != self._pid:
            raise UsageError(
                f"this session belongs to process {self._pid}; after a fork open a Session of your own in process "
                f"{os.getpid()}"
            )
        if not self._finalise.alive:
            raise UsageError("the session is closed; open a new one")

    def load(self, path: str | os.PathLike[str]) -> CompiledProgram:
        """The program of a .qfw file, for streams of this session; see `qfw.CompiledProgram`.

        Raises:
            CompiledFileError: damaged, cut off, of another version of the format, or no such file.
            SetupError: it cannot be read.
        """
        from qfw.qpi.compiled import CompiledProgram

        self._check()
        return CompiledProgram.load(path)

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
        return f"Session(daemons: {names}; {len(self.devices)} devices{state})"

    def _repr_html_(self) -> str:
        return as_html(repr(self), DEVICE_HEAD, [device_row(device) for device in self.devices])


def _close(clients: Sequence[Client]) -> None:
    failed: BaseException | None = None
    for client in clients:
        try:
            client.close()
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed
