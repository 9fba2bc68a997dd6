"""Models of Qiskit's backends: their Target as a profile and a calibration."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.calibration_check import check_calibration
from qfw.model.device import Timing
from qfw.model.errors import CalibrationError, NotInstalled
from qfw.model.gates import GATES
from qfw.model.native import SYMMETRIC
from qfw.platforms.twin.models import MEASURED_S, TwinModel, twin_profile

#: What is no gate of a program, or taken from elsewhere.
_IGNORED = frozenset(
    {"measure", "reset", "delay", "barrier", "if_else", "while_loop", "for_loop", "switch_case", "break_loop",
     "continue_loop", "box", "store"}
)  # fmt: skip


class Defaults(NamedTuple):
    """What is taken where a target says nothing; None: that is refused."""

    t1_us: float | None = None
    t2_us: float | None = None
    #: Of both wrong readings.
    readout_error: float | None = None
    readout_ns: int | None = None
    gate_error: float | None = None
    gate_ns: int | None = None


class Imported(NamedTuple):
    """A model, and what of it the backend did not say."""

    model: TwinModel
    notes: tuple[str, ...]


def import_backend(
    backend: Any,
    device: str = "",
    *,
    defaults: Defaults | None = None,
    timing: Timing | None = None,
    version: str = "imported",
    measured_s: float = MEASURED_S,
) -> Imported:
    """The model of a Qiskit backend, or of a Target.

    Seconds become whole nanoseconds and microseconds. A measurement's one error stands for both wrong readings. T2
    above 2 T1 is lowered to it: both are measured with an error. A gate's missing properties are those of a gate
    without error and duration only for `rz`, `p` and `id`.

    Args:
        backend: a BackendV2 or a Target.
        device: name of the device; empty: the backend's.
        defaults: of what is missing.
        timing: what a task takes besides; None: nothing.
        version: of the calibration.
        measured_s: when, Unix time in seconds.

    Raises:
        NotInstalled: Qiskit is missing.
        CalibrationError: something is missing without a default, cannot be, or is no gate of the normal form.
    """
    try:
        from qiskit.transpiler import Target
    except ImportError as error:
        raise NotInstalled("importing a backend needs Qiskit: pip install 'qfw[qiskit]'") from error
    target = backend if isinstance(backend, Target) else getattr(backend, "target", None)
    if not isinstance(target, Target) or not target.num_qubits:
        raise CalibrationError(f"{backend!r:.120} is no BackendV2 with qubits, and no Target")
    name = device or str(getattr(backend, "name", "") or target.description or "imported")
    reader = _Reader(name, target, defaults or Defaults())
    qubits = tuple(reader.qubit(index) for index in range(target.num_qubits))
    gates = reader.gates()
    native = tuple(sorted({gate.name for gate in gates}))
    pairs = tuple(sorted({(g.qubits[0], g.qubits[1]) for g in gates if len(g.qubits) == 2}))
    profile = twin_profile(name, f"imported {name}", native, pairs, (), timing or Timing(), target.num_qubits)
    calibration = Calibration(name, version, measured_s, qubits, gates)
    check_calibration(calibration, profile)
    return Imported(TwinModel(profile, calibration), tuple(dict.fromkeys(reader.notes)))


class _Reader:
    """Reads a target and keeps what it did not say."""

    def __init__(self, name: str, target: Any, defaults: Defaults) -> None:
        self._name = name
        self._target = target
        self._defaults = defaults
        self.notes: list[str] = []

    def qubit(self, index: int) -> QubitCalibration:
        known = (self._target.qubit_properties or [None] * self._target.num_qubits)[index]
        t1_us = self._given(_scaled(getattr(known, "t1", None), 1e6), "t1_us", f"T1 of qubit {index}")
        t2_us = self._given(_scaled(getattr(known, "t2", None), 1e6), "t2_us", f"T2 of qubit {index}")
        if t2_us > 2 * t1_us:
            self.notes.append(f"T2 of qubit {index} was above 2 T1 and is lowered to it")
            t2_us = 2 * t1_us
        read = self._properties("measure", (index,))
        wrong = self._given(getattr(read, "error", None), "readout_error", f"readout error of qubit {index}")
        took = self._given(
            _scaled(getattr(read, "duration", None), 1e9), "readout_ns", f"readout time of qubit {index}"
        )
        reset = self._properties("reset", (index,))
        frequency = _scaled(getattr(known, "frequency", None), 1e-9)
        return QubitCalibration(
            t1_us,
            t2_us,
            wrong,
            wrong,
            round(took),
            reset_error=getattr(reset, "error", None) or 0.0,
            reset_ns=round(_scaled(getattr(reset, "duration", None), 1e9) or took),
            frequency_ghz=frequency or None,
        )

    def gates(self) -> tuple[GateCalibration, ...]:
        from qiskit.circuit import Gate

        found: list[GateCalibration] = []
        for name in sorted(self._target.operation_names):
            if name in _IGNORED:
                continue
            if not isinstance(self._target.operation_from_name(name), Gate):
                self.notes.append(f"{name} is no gate and left out")
                continue
            if name not in GATES:
                raise CalibrationError(
                    f"{self._name}: gate {name} is not of the normal form, which has {', '.join(GATES)}"
                )
            places = self._target[name]
            if None in places:
                raise CalibrationError(f"{self._name}: gate {name} is on all qubits, so nobody measured it")
            found += self._on_all(name, places)
        return tuple(found)

    def _on_all(self, name: str, places: Any) -> list[GateCalibration]:
        found = []
        done: set[tuple[int, ...]] = set()
        for qubits, known in sorted(places.items()):
            # Both orders of a symmetric gate are one gate: the first that is there counts.
            key = tuple(sorted(qubits)) if name in SYMMETRIC else qubits
            if key in done:
                continue
            done.add(key)
            error, duration_ns = getattr(known, "error", None), _scaled(getattr(known, "duration", None), 1e9)
            if name in ("rz", "p", "id"):
                error, duration_ns = error or 0.0, duration_ns or 0.0
            where = f"{name} on {qubits}"
            error = self._given(error, "gate_error", f"error of {where}")
            duration_ns = self._given(duration_ns, "gate_ns", f"duration of {where}")
            # Simulated backends write 1 where a gate is broken.
            found.append(GateCalibration(name, tuple(qubits), error, round(duration_ns), error < 1))
        return found

    def _properties(self, name: str, qubits: tuple[int, ...]) -> Any:
        if name not in self._target.operation_names:
            return None
        return self._target[name].get(qubits)

    def _given(self, value: float | None, field: str, what: str) -> float:
        """A value; a default, with a note, where there is none."""
        if value is not None and math.isfinite(value):
            return float(value)
        default = getattr(self._defaults, field)
        if default is None:
            raise CalibrationError(f"{self._name} does not say the {what}; give Defaults({field}=…)")
        self.notes.append(f"{field} {default} was taken where the backend says nothing, as for the {what}")
        return float(default)


def _scaled(seconds: float | None, factor: float) -> float | None:
    return None if seconds is None else seconds * factor
