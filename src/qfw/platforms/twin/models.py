"""Models of quantum processors: what a twin is a twin of. Built in, by name; or from a file.

A built-in model is generated from a seed, the same one bit by bit each time. The modules `superconducting`, `ions`
and `atoms` say which numbers are drawn how. Every gate's error is at least what T1 and T2 alone cost over its
duration, so that noise made of decoherence and a depolarising rest adds up to it exactly.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.calibration_check import check_calibration
from qfw.model.device import DeviceKind, DeviceProfile, Timing
from qfw.model.errors import OptionError, UnknownDevice
from qfw.model.seeds import check_seed
from qfw.platforms.twin import atoms, ions, superconducting
from qfw.platforms.twin.drawn import Drawn
from qfw.platforms.twin.lattices import Lattice, heavy_hex_20, heavy_hex_127, ring
from qfw.platforms.twin.superconducting import Measured

#: Outputs that a twin answers.
OUTPUTS = ("counts", "memory", "expectation", "probabilities")
#: Date of the built-in calibrations, Unix time in seconds: 1 January 2026, 06:00 UTC.
MEASURED_S = 1_767_247_200.0
#: Shots and parameter sets of one task.
MAX_SHOTS, MAX_SETS = 100_000, 10_000


class TwinModel(NamedTuple):
    """A processor. What its pulses may be follows from both, in `qfw.platforms.twin.pulses`."""

    profile: DeviceProfile
    calibration: Calibration


class _Builtin(NamedTuple):
    device: str
    native: tuple[str, ...]
    timing: Timing
    #: Positions, and neighbours; None: all are.
    lattice: Callable[[], tuple[Lattice, bool]]
    measured: Callable[[Lattice, Drawn], Measured]


def _hexagons(device: str, lattice: Callable[[], Lattice]) -> _Builtin:
    return _Builtin(
        device,
        superconducting.NATIVE,
        superconducting.TIMING,
        lambda: (lattice(), False),
        superconducting.measured,
    )


_BUILTIN: dict[str, _Builtin] = {
    "heavy-hex-20": _hexagons("twin-20", heavy_hex_20),
    "heavy-hex-127": _hexagons("twin-127", heavy_hex_127),
    "trapped-ion": _Builtin(
        "twin-ion",
        ions.NATIVE,
        ions.TIMING,
        lambda: (Lattice(ring(ions.IONS), ()), True),
        lambda _, drawn: ions.measured(drawn),
    ),
    "neutral-atoms": _Builtin(
        "twin-atoms",
        atoms.NATIVE,
        atoms.TIMING,
        lambda: (atoms.lattice(), False),
        lambda _, drawn: atoms.measured(drawn),
    ),
}
#: Names of the built-in models, by the device that is made of each unless it is named otherwise.
MODELS = {builtin.device: name for name, builtin in _BUILTIN.items()}


def model(name: str, device: str | None = None, seed: int = 0) -> TwinModel:
    """A built-in model.

    Args:
        name: heavy-hex-20, heavy-hex-127, trapped-ion or neutral-atoms; or the usual device of one of them:
            twin-20, twin-127, twin-ion, twin-atoms.
        device: name of the device; None for the usual one.
        seed: of all that is drawn.

    Raises:
        UnknownDevice: there is no such model; names the nearest.
        OptionError: the seed is none, or the device has no name.
    """
    known = MODELS.get(name, name)
    builtin = _BUILTIN.get(known)
    if builtin is None:
        raise _unknown(name)
    if device is not None and not device.strip():
        raise OptionError(f"the device of model {name} needs a name, not {device!r}")
    check_seed(seed)
    lattice, all_coupled = builtin.lattice()
    profile = twin_profile(
        device or builtin.device,
        known,
        builtin.native,
        None if all_coupled else lattice.pairs,
        lattice.positions,
        builtin.timing,
    )
    qubits, gates = builtin.measured(lattice, Drawn(f"{known} {seed}"))
    calibration = Calibration(profile.name, f"{known}-{seed}.0", MEASURED_S, qubits, gates)
    check_calibration(calibration, profile)
    return TwinModel(profile, calibration)


def load_model(source: str, device: str = "", seed: int = 0) -> TwinModel:
    """A built-in model by name, or one from a file: what ends in .json or has a slash is a path.

    Args:
        source: name or path.
        device: name of the device; empty: the model's own.
        seed: of a built-in model.

    Raises:
        UnknownDevice: no model of that name.
        CalibrationError: the file cannot be read, or has a value that cannot be.
    """
    if source.endswith(".json") or "/" in source:
        from qfw.platforms.twin.documents import read_model

        return renamed(read_model(Path(source)), device)
    return model(source, device or None, seed)


def renamed(found: TwinModel, device: str) -> TwinModel:
    """The same model under another name; the same where that is empty."""
    if not device:
        return found
    return TwinModel(
        msgspec.structs.replace(found.profile, name=device),
        msgspec.structs.replace(found.calibration, device=device),
    )


def twin_profile(
    name: str,
    model: str,
    native_gates: tuple[str, ...],
    pairs: tuple[tuple[int, int], ...] | None,
    positions: tuple[tuple[float, float], ...],
    timing: Timing,
    max_qubits: int | None = None,
) -> DeviceProfile:
    """What a twin can do, whatever it is made of. `max_qubits` is needed only where there are no positions."""
    return DeviceProfile(
        name=name,
        kind=DeviceKind.TWIN,
        engine=model,
        max_qubits=len(positions) if max_qubits is None else max_qubits,
        native_gates=native_gates,
        outputs=OUTPUTS,
        slots=1,
        preference=-1,
        control=True,
        lowered_only=True,
        coupling=pairs,
        positions=positions,
        timing=timing,
        max_shots=MAX_SHOTS,
        max_sets=MAX_SETS,
        exact=False,
        reruns=False,
    )


def _unknown(name: str) -> UnknownDevice:
    names = [*_BUILTIN, *MODELS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return UnknownDevice(
        f"there is no model {name!r}{hint} There are: {', '.join(_BUILTIN)}. A file is given by its path, *.json"
    )
