"""The best device for a program, and why it is."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceStatus, Timing
from qfw.model.errors import OptionError, QFwError, UnknownDevice, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.outputs import Output, check_shots
from qfw.model.pipeline import Pipeline
from qfw.model.program import Measure, Program
from qfw.model.timing import device_ns
from qfw.qpi.device import AutomaticDevice, Device
from qfw.qpi.drafting import Outputs, asked, lowering_of
from qfw.qpi.filters import check_able, median_readout_error, none_able
from qfw.qpi.tables import as_html, as_text, figure
from qfw.qpm import recall
from qfw.qpm.quality import fidelity
from qfw.qpm.tool import Target

if TYPE_CHECKING:
    from qfw.qpi.stream import BoundPipeline

LEAST_BUSY, BEST_FIDELITY = "least_busy", "best_fidelity"
_HEAD = ("device", "figure", "how")


class Considered(NamedTuple):
    """A device that was looked at for a choice."""

    device: Device
    #: Seconds until the answer, or a probability; None: unbounded, or it cannot run the program.
    value: float | None
    #: Where the figure is from, or why the device cannot run the program.
    how: str
    #: Why it cannot.
    error: QFwError | None = None


class Choice:
    """A device that was chosen for a program, and what was found of the others."""

    def __init__(self, by: str, considered: Sequence[Considered]) -> None:
        """`considered`: the best one first; those that cannot run the program last."""
        #: "least_busy" or "best_fidelity".
        self.by = by
        #: Every device that was looked at, the best one first.
        self.considered = tuple(considered)

    @property
    def device(self) -> Device:
        """The chosen one."""
        return self.considered[0].device

    def explain(self) -> str:
        """A table: every device, its figure and where that is from, or why it cannot run the program."""
        return as_text(_HEAD, self._rows())

    def _rows(self) -> list[tuple[str, str, str]]:
        unit = "s" if self.by == LEAST_BUSY else ""
        return [
            (row.device.name, "cannot" if row.error else figure(row.value, unit), row.how)
            for row in self.considered
        ]

    def __repr__(self) -> str:
        return f"Choice({self.device.name!r}, by={self.by!r})\n{self.explain()}"

    def _repr_html_(self) -> str:
        return as_html(f"{self.device.name}, by {self.by}", _HEAD, self._rows())


class _Task(NamedTuple):
    """What a device is chosen for."""

    program: Program
    outputs: tuple[Output, ...]
    sets: int
    shots: int
    pipeline: Pipeline | None


def choose(
    devices: Sequence[Device],
    program: Program,
    by: str,
    outputs: Outputs | None,
    shots: int | None,
    sets: int,
    pipeline: BoundPipeline | Pipeline | str | None,
) -> Choice:
    """The best of devices of one session; see `Session.choose`."""
    if by not in (LEAST_BUSY, BEST_FIDELITY):
        raise OptionError(f"by is {LEAST_BUSY!r} or {BEST_FIDELITY!r}, not {by!r}")
    if not isinstance(program, Program):
        raise OptionError(f"a device is chosen for a Program, not for {type(program).__name__}")
    if isinstance(sets, bool) or not isinstance(sets, int) or sets < 1:
        raise OptionError(f"sets is a number of at least 1, not {sets!r}")
    if not devices:
        raise UnknownDevice("there is no device to choose from; see: qfw doctor")
    count = 0 if shots is None else check_shots(shots)
    wanted = asked(outputs, count)
    task = _Task(program, wanted, sets, count, lowering_of(program, pipeline))
    able: list[Considered] = []
    refused: list[Considered] = []
    statuses = devices[0].session.statuses(devices)
    for device in devices:
        try:
            status = statuses[device.name]
            if isinstance(device, AutomaticDevice):
                raise UnsupportedFeature("chooses among other devices itself")
            if isinstance(status, QFwError):
                raise status
            check_able(device.profile, program, task.outputs, sets, count, lowered=task.pipeline is not None)
            value, how = (_busy if by == LEAST_BUSY else _fidelity)(device, status, task)
            able.append(Considered(device, value, how))
        except QFwError as error:
            refused.append(Considered(device, None, str(error).replace("\n", " "), error))
    if not able:
        raise none_able([(row.device.name, row.error) for row in refused if row.error])
    sign = 1.0 if by == LEAST_BUSY else -1.0

    def rank(row: Considered) -> tuple[float, float, float]:
        status = statuses[row.device.name]
        wait_s = status.wait_s if isinstance(status, DeviceStatus) else None
        # What is equal: the one that is free sooner, and then the preferred one.
        return (
            math.inf if row.value is None else sign * row.value,
            math.inf if wait_s is None else wait_s,
            -row.device.profile.preference,
        )

    return Choice(by, sorted(able, key=rank) + refused)


def _busy(device: Device, status: DeviceStatus, task: _Task) -> tuple[float | None, str]:
    if status.wait_s is None:
        why = f"{status.state}{': ' + status.reason if status.reason else ''}"
        return None, f"nobody can say how long a task waits ({why})"
    said = f"waits {figure(status.wait_s, 's')}, {status.running} run and {status.queued} wait"
    calibration = device.calibration() if status.calibration else None
    if calibration is None:
        return status.wait_s, f"{said}; what the program takes is not known here"
    program = _lowered(device, calibration, task)
    timing = device.profile.timing or Timing()
    try:
        took_s = device_ns(program, task.sets, task.shots, calibration, timing, task.outputs) / 1e9
    except UnsupportedFeature:
        return status.wait_s, f"{said}; what the program takes is known once it is lowered"
    return status.wait_s + took_s, f"{said}; takes {figure(took_s, 's')}"


def _fidelity(device: Device, status: DeviceStatus, task: _Task) -> tuple[float | None, str]:
    if status.profile.kind is DeviceKind.SIMULATOR and not status.calibration:
        return 1.0, "ideal simulator"
    calibration = device.calibration()
    if calibration is None:
        raise UnsupportedFeature(f"{device.name} has no calibration to judge by")
    program = _lowered(device, calibration, task)
    value = fidelity(program, calibration)
    if value is not None and _is_native(program, device):
        return value, f"calibration {calibration.version}"
    return _by_medians(program, calibration), f"estimate by medians of calibration {calibration.version}"


def _is_native(program: Program, device: Device) -> bool:
    try:
        check_native(program, device.profile)
    except QFwError:
        return False
    return True


def _lowered(device: Device, calibration: Calibration, task: _Task) -> Program:
    if task.pipeline is None:
        return task.program
    lowered, _ = recall.lowered(
        task.pipeline, task.program, Target(device.profile, calibration), recall.own_shelf()
    )
    return Program.decode(lowered.encoded)


def _by_medians(program: Program, calibration: Calibration) -> float:
    """Probability that nothing errs if every gate were one of the device's, on typical qubits."""
    single = [gate.error for gate in calibration.gates if len(gate.qubits) == 1 and gate.operational]
    one = statistics.median(single) if single else 0.0
    two = calibration.median_two_qubit_error or 0.0
    # A gate on three qubits is made of six on two, as a rule.
    errors = {1: one, 2: two, 3: 1 - (1 - two) ** 6}
    logarithm = sum(
        math.log1p(-min(errors[len(gate.qubits)], 1 - 1e-12)) for gate in program.gates() if gate.qubits
    )
    readout = median_readout_error(calibration) or 0.0
    measured = sum(isinstance(op, Measure) for op in program.operations)
    return math.exp(logarithm + measured * math.log1p(-min(readout, 1 - 1e-12)))
