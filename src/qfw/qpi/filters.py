"""Which devices fit: what a user wants of them, what a task needs, and why one does not have it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceKind, DeviceProfile, DeviceStatus
from qfw.model.errors import OptionError, QFwError, TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.outputs import Counts, Expectation, Memory, Output, Probabilities, Statevector
from qfw.model.program import Program

_TAGS = {
    str(kind.__struct_config__.tag): kind
    for kind in (Counts, Expectation, Memory, Probabilities, Statevector)
}


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What a device has to be; None: anything. Checked where it is made, by `filters`."""

    kinds: frozenset[DeviceKind] | None = None
    engine: str | None = None
    platform: str | None = None
    min_qubits: int | None = None
    native_gates: frozenset[str] | None = None
    #: Tags of outputs.
    outputs: frozenset[str] | None = None
    control: bool | None = None
    exact: bool | None = None
    max_two_qubit_error: float | None = None
    max_readout_error: float | None = None
    max_wait_s: float | None = None
    max_calibration_age_s: float | None = None

    @property
    def needs_calibration(self) -> bool:
        """Whether more of a calibration counts than what a status says."""
        return self.max_readout_error is not None

    def why_not(self, status: DeviceStatus, calibration: Calibration | None, now_s: float) -> str | None:
        """What a device lacks first; None where it fits.

        Args:
            status: of the device, fresh.
            calibration: of the device; looked at only where `needs_calibration`.
            now_s: Unix time.
        """
        return self._profile(status.profile) or self._quality(status, calibration, now_s)

    def _profile(self, profile: DeviceProfile) -> str | None:
        if self.kinds is not None and profile.kind not in self.kinds:
            return f"is a {profile.kind}"
        if self.engine is not None and profile.engine != self.engine:
            return f"has engine {profile.engine}"
        if self.platform is not None and profile.platform != self.platform:
            return f"is of platform {profile.platform}"
        if self.min_qubits is not None and profile.max_qubits < self.min_qubits:
            return f"has {profile.max_qubits} qubits"
        if self.native_gates is not None and (missing := self.native_gates - set(profile.native_gates)):
            return f"lacks gate {', '.join(sorted(missing))}"
        if self.outputs is not None and (unanswered := self.outputs - set(profile.outputs)):
            return f"does not answer {', '.join(sorted(unanswered))}"
        if self.control is not None and profile.control != self.control:
            return "has control before the end" if profile.control else "has no control before the end"
        if self.exact is not None and profile.exact != self.exact:
            return "answers without shots" if profile.exact else "answers with shots only"
        return None

    def _quality(self, status: DeviceStatus, calibration: Calibration | None, now_s: float) -> str | None:
        # An ideal simulator errs never, and has nothing that could be old.
        ideal = status.profile.kind is DeviceKind.SIMULATOR and not status.calibration
        if not ideal and self.max_two_qubit_error is not None:
            if status.two_qubit_error is None:
                return "has no calibrated two-qubit gates"
            if status.two_qubit_error > self.max_two_qubit_error:
                return f"median two-qubit error {status.two_qubit_error:.3g}"
        if not ideal and self.max_readout_error is not None:
            error = median_readout_error(calibration)
            if error is None:
                return "has no calibration"
            if error > self.max_readout_error:
                return f"median readout error {error:.3g}"
        if not ideal and self.max_calibration_age_s is not None:
            if not status.calibration:
                return "has no calibration"
            age_s = now_s - status.calibrated_s
            if age_s > self.max_calibration_age_s:
                return f"calibrated {age_s:.3g} s ago"
        if self.max_wait_s is not None:
            if status.wait_s is None:
                return f"waiting is unbounded ({status.state}{': ' + status.reason if status.reason else ''})"
            if status.wait_s > self.max_wait_s:
                return f"a task waits {status.wait_s:.3g} s"
        return None


def filters(
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
) -> Filters:
    """What a device has to be; see `Session.find`.

    Raises:
        OptionError: a value that no device could have, says which are known.
    """
    if min_qubits is not None and (isinstance(min_qubits, bool) or not isinstance(min_qubits, int)):
        raise OptionError(f"min_qubits is a number of qubits, not {min_qubits!r}")
    for option, text in (("engine", engine), ("platform", platform)):
        if text is not None and not isinstance(text, str):
            raise OptionError(f"{option} is a name, not {text!r}")
    for option, flag in (("control", control), ("exact", exact)):
        if flag is not None and not isinstance(flag, bool):
            raise OptionError(f"{option} is True, False or None, not {flag!r}")
    return Filters(
        kinds=_kinds(kind),
        engine=engine,
        platform=platform,
        min_qubits=min_qubits,
        native_gates=_names("native_gates", native_gates),
        outputs=_outputs(outputs),
        control=control,
        exact=exact,
        max_two_qubit_error=_bound("max_two_qubit_error", max_two_qubit_error),
        max_readout_error=_bound("max_readout_error", max_readout_error),
        max_wait_s=_bound("max_wait_s", max_wait_s),
        max_calibration_age_s=_bound("max_calibration_age_s", max_calibration_age_s),
    )


def _kinds(kind: Any) -> frozenset[DeviceKind] | None:
    names = _names("kind", (kind,) if isinstance(kind, str) else kind)
    if names is None:
        return None
    try:
        return frozenset(DeviceKind(name) for name in names)
    except ValueError as error:
        raise OptionError(f"kind is one or more of {', '.join(DeviceKind)}: {error}") from error


def _names(option: str, names: Any) -> frozenset[str] | None:
    if names is None:
        return None
    if isinstance(names, str):
        raise OptionError(f"{option} is a list of names, not the text {names!r}")
    try:
        found = frozenset(names)
    except TypeError as error:
        raise OptionError(f"{option} is a list of names: {error}") from error
    if not all(isinstance(name, str) for name in found):
        raise OptionError(f"{option} is a list of names, not {names!r}")
    return found


def _outputs(outputs: Any) -> frozenset[str] | None:
    """Tags of outputs that are given as such, as kinds (`qfw.Counts`) or as names."""
    if outputs is None:
        return None
    if isinstance(outputs, str) or not isinstance(outputs, Iterable):
        raise OptionError(f"outputs is a list of {', '.join(sorted(_TAGS))}, not {outputs!r}")
    found = set()
    for output in outputs:
        tag = output if isinstance(output, str) else _tag(output)
        if tag not in _TAGS:
            raise OptionError(f"outputs are {', '.join(sorted(_TAGS))}, not {output!r}")
        found.add(tag)
    return frozenset(found)


def _tag(output: Any) -> str:
    config = getattr(output, "__struct_config__", None)
    return str(config.tag) if config is not None else ""


def _bound(option: str, value: float | None) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise OptionError(f"{option} is a number of at least 0, not {value!r}")
    return float(value)


def median_readout_error(calibration: Calibration | None) -> float | None:
    """Median over the usable qubits of the mean of both readout errors; None where there is none."""
    if calibration is None:
        return None
    errors = [(q.read1_given0 + q.read0_given1) / 2 for q in calibration.qubits if q.operational]
    return statistics.median(errors) if errors else None


def check_able(
    profile: DeviceProfile,
    program: Program,
    outputs: Collection[Output],
    sets: int,
    shots: int,
    lowered: bool,
) -> None:
    """Raises unless a device can run a task, as far as its profile says.

    `lowered`: a pipeline lowers the program for whatever device it gets; its gates do not count.

    Raises:
        TooLarge: too many qubits, shots or sets.
        UnsupportedFeature: outputs, control or gates that the device does not have.
    """
    if lowered:
        profile = msgspec.structs.replace(profile, lowered_only=False)
    check_native(program, profile)
    if shots > profile.max_shots:
        raise TooLarge(f"{shots} shots were asked; {profile.name} takes at most {profile.max_shots} per task")
    if sets > profile.max_sets:
        raise TooLarge(f"a task of {sets} sets; {profile.name} takes at most {profile.max_sets}")
    if not shots and not profile.exact:
        raise UnsupportedFeature(f"{profile.name} answers no exact results; give shots")
    missing = sorted({_tag(output) for output in outputs} - set(profile.outputs))
    if missing:
        raise UnsupportedFeature(
            f"{profile.name} does not answer {', '.join(missing)}; it answers {', '.join(sorted(profile.outputs))}"
        )


def none_able(reasons: Collection[tuple[str, QFwError]]) -> QFwError:
    """The error where no device can run a task: names of the devices, and why not."""
    said = "\n".join(f"  {name}: {error}" for name, error in reasons)
    kind = TooLarge if all(isinstance(error, TooLarge) for _, error in reasons) else UnsupportedFeature
    return kind(f"none of the {len(reasons)} devices can run the task:\n{said}")
