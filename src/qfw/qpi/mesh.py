"""Mesh: several devices of a session as one; they may join and leave while it works."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceStatus
from qfw.model.errors import DaemonLost, QFwError, TooLarge, UnsupportedFeature, UsageError
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program
from qfw.model.result import Result
from qfw.model.task import TaskOptions
from qfw.qpi.device import Device
from qfw.qpi.drafting import Outputs
from qfw.qpi.group import GroupFuture
from qfw.qpi.group_task import fresh_seed, group_task
from qfw.qpi.groups import Groups
from qfw.qpi.links import MeshLink, links_of
from qfw.qpi.split import SETS
from qfw.qpi.spread import Spread
from qfw.qpi.stream import BoundPipeline, OnFailure, Order, QStream
from qfw.qpi.tables import DEVICE_HEAD, as_html, device_row

if TYPE_CHECKING:
    import numpy.typing as npt

T = TypeVar("T")

#: Native operations that are under way at once.
MAX_CALLS = 32

_DEFAULT_OPTIONS = TaskOptions()


class PerDevice(dict[str, T | QFwError]):
    """What each device answered, by its name; where it failed, the error in the answer's place."""

    @property
    def answers(self) -> dict[str, T]:
        """Of the devices that answered."""
        return {name: value for name, value in self.items() if not isinstance(value, QFwError)}

    @property
    def errors(self) -> dict[str, QFwError]:
        """Of those that did not."""
        return {name: value for name, value in self.items() if isinstance(value, QFwError)}


class Mesh(Spread):
    """One or more devices of one session, of any platforms and daemons.

    Tasks are spread over them: each goes to the device that will answer it first, by its daemon's wait, what this mesh
    gave it, and how long the program takes there. A device has only a few tasks ahead, so that those that come later
    follow the real speeds. May be used by several threads.
    """

    def __init__(self, devices: Iterable[Device]) -> None:
        """Of devices of one session; `Session.mesh` takes names and filters.

        Raises:
            UsageError: no device, one twice, devices of different sessions, or the one that chooses for each task.
        """
        super().__init__(devices)
        #: For streams: what places the parts of tasks.
        self.groups = Groups(self)

    def status(self) -> PerDevice[DeviceStatus]:
        """State, queue and wait of every device, by name; in the place of one that cannot be had, its error."""
        return PerDevice(self._session.statuses(self.devices))

    def calibrations(self) -> PerDevice[Calibration | None]:
        """The newest calibration of every device, by name; None of an ideal one; an error where there is one."""
        return self._of_all(lambda device: device.calibration())

    def native(self, name: str) -> Callable[..., PerDevice[Any]]:
        """A native operation, of all devices at the same time: `mesh.native(name)(body, timeout_s)`.

        Answers by the devices' names; where one has no such operation, or fails, its error in the answer's place.
        """

        def operation(body: Any = None, timeout_s: float = 60.0) -> PerDevice[Any]:
            return self._of_all(lambda device: device.native(name)(body, timeout_s))

        return operation

    def run_on_all(
        self,
        program: Program,
        parameters: npt.ArrayLike | None = None,
        *,
        pipeline: BoundPipeline | Pipeline | str | None = None,
        **arguments: Any,
    ) -> dict[str, concurrent.futures.Future[Result]]:
        """One task on every device, to compare them; futures by the devices' names.

        Without a seed one is drawn, the same for all. A device that cannot take the task has a future that failed.

        Args:
            program: what to run; without a pipeline, of devices that take native gates only, native to all of them.
            parameters: as of `QStream.run`.
            pipeline: lowers the program for each device.
            arguments: the others of `QStream.run`.
        """
        self._session._check()
        if arguments.get("seed") is None:
            arguments["seed"] = fresh_seed()
        found: dict[str, concurrent.futures.Future[Result]] = {}
        for device in self._at_least_one():
            try:
                found[device.name] = device.stream(pipeline=pipeline).run(program, parameters, **arguments)
            except (DaemonLost, UnsupportedFeature, TooLarge) as error:
                failed: concurrent.futures.Future[Result] = concurrent.futures.Future()
                failed.set_exception(error)
                found[device.name] = failed
        return found

    def stream(
        self,
        *,
        order: Order = "parallel",
        window: int | None = None,
        pipeline: BoundPipeline | Pipeline | str | None = None,
        on_failure: OnFailure = "continue",
    ) -> QStream:
        """A new stream of tasks, which are spread over the devices; the arguments are those of `Device.stream`."""
        self._session._check()
        return QStream(self, order=order, window=window, pipeline=pipeline, on_failure=on_failure)

    def run_group(
        self,
        program: Program,
        parameters: npt.ArrayLike | None = None,
        *,
        split: str = SETS,
        shots: int | None = None,
        outputs: Outputs | None = None,
        seed: int | None = None,
        options: TaskOptions = _DEFAULT_OPTIONS,
        parts: int | None = None,
        pipeline: BoundPipeline | Pipeline | str | None = None,
    ) -> GroupFuture:
        """One task on many devices: split, and its answers merged exactly. Returns at once.

        Args:
            program: what to run; every device of the mesh must be able to.
            parameters: shape (slots,) or (sets, slots), radians.
            split: "sets": the answers are those of the undivided task on a device of the same kind, however many
                parts there are. "shots": slices of the shots with seeds of their own, a function of the task and
                `parts` alone, so that the answers do not depend on the number of devices.
            shots: of each set; None for exact results, which can be split by sets only.
            outputs: by default counts with shots, the statevector without.
            seed: 0 to 2**63 - 1; None draws one.
            options: of every part; without an idempotency key.
            parts: their number; by default, of sets a few for each slot of the mesh, of shots 8 or more.
            pipeline: lowers the program for whatever device a part gets.

        Raises:
            OptionError, ParameterError: checked here, before anything is sent.
            UnsupportedFeature: a device lacks gates or outputs; says which device lacks what.
            UsageError: every device has left, the session is closed, or this process was forked.
        """
        self._session._check()
        devices = self._at_least_one()
        return self.groups.run(
            group_task(devices, program, parameters, split, shots, outputs, seed, options, parts, pipeline)
        )

    @property
    def links(self) -> list[MeshLink]:
        """Pairs of its devices that declare an entangling link, with the way to use it; asks them."""
        self._session._check()
        return links_of(self.devices)

    def joint(self) -> Device:
        """The device that runs one program over all devices of this mesh, through their link.

        Programs for it are lowered by the tool `distribute`: `mesh.joint().stream(pipeline=["distribute"])`.

        Raises:
            UnsupportedFeature: no platform joins just these devices; the tool `cut` needs no link.
        """
        self._session._check()
        here = {(device.client, device.profile.platform, device.profile.name) for device in self.devices}
        for device in self._session.devices:
            profile = device.profile
            if profile.parts and here == {
                (device.client, profile.platform, part.device) for part in profile.parts
            }:
                return device
        names = ", ".join(device.name for device in self.devices)
        raise UnsupportedFeature(
            f"no device joins {names}: programs over several devices need a link between them, which their platform "
            "declares. Without one, tool cut makes several programs of one"
        )

    def _of_all(self, act: Callable[[Device], T]) -> PerDevice[T]:
        self._session._check()
        devices = self._at_least_one()

        def tried(device: Device) -> T | QFwError:
            try:
                return act(device)
            except QFwError as error:
                return error

        with concurrent.futures.ThreadPoolExecutor(min(len(devices), MAX_CALLS), "qfw-mesh") as pool:
            answers = list(pool.map(tried, devices))
        return PerDevice(zip((device.name for device in devices), answers, strict=True))

    def _at_least_one(self) -> list[Device]:
        devices = self.devices
        if not devices:
            raise UsageError("every device has left the mesh; add one")
        return devices

    def __iter__(self) -> Iterator[Device]:
        return iter(self.devices)

    def __len__(self) -> int:
        return len(self.devices)

    def __repr__(self) -> str:
        with self._lock:
            return f"Mesh({self._names()})"

    def _repr_html_(self) -> str:
        return as_html("Mesh", DEVICE_HEAD, [device_row(device) for device in self.devices])
