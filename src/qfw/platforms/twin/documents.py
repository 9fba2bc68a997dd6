"""Models as JSON documents; docs/specs/calibration.md describes them."""

from __future__ import annotations

import difflib
import math
import re
from itertools import chain
from pathlib import Path
from typing import NoReturn

import msgspec

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.calibration_check import MAX_NS, check_calibration
from qfw.model.device import MAX_SHOTS as MOST_SHOTS
from qfw.model.device import Timing
from qfw.model.errors import CalibrationError
from qfw.model.gates import GATES
from qfw.platforms.twin.models import MAX_SETS, MAX_SHOTS, TwinModel, twin_profile

#: What `format` and `format_version` say.
FORMAT, FORMAT_VERSION = "qfw-device-model", 1
#: Bytes of a document: the largest built-in model has 150 kB.
MAX_BYTES = 64 * 2**20
#: Qubits of a model.
MAX_QUBITS = 10_000


class _Qubit(QubitCalibration, frozen=True, forbid_unknown_fields=True):
    pass


class _Gate(GateCalibration, frozen=True, forbid_unknown_fields=True):
    pass


class _Timing(Timing, frozen=True, forbid_unknown_fields=True):
    pass


class _Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    device: str
    version: str
    measured_s: float
    qubits: tuple[_Qubit, ...]
    gates: tuple[_Gate, ...]


class _Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    model: str
    native_gates: tuple[str, ...]
    coupling: tuple[tuple[int, int], ...] | None
    timing: _Timing
    positions: tuple[tuple[float, float], ...] = ()
    max_shots: int = MAX_SHOTS
    max_sets: int = MAX_SETS


class _Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    format_version: int
    device: _Device
    calibration: _Calibration


class _Header(msgspec.Struct, frozen=True):
    """What is read first, so that a later form is named as such and not by its first new key."""

    format: str = ""
    format_version: int = FORMAT_VERSION


def read_model(path: Path) -> TwinModel:
    """The model in a file.

    Raises:
        CalibrationError: it cannot be read, is too large, of another form, or has a value that cannot be:
            names the file and the place in it.
    """
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise CalibrationError(f"{path}: {error.strerror}; give a readable JSON file of a model") from error
    except ValueError as error:
        # A path that no file can have.
        raise CalibrationError(f"{str(path)!r}: {error}; give a readable JSON file of a model") from error
    return parse_model(text, str(path))


def parse_model(text: bytes, source: str) -> TwinModel:
    """The model that a document holds; `source` names it in errors. Raises like `read_model`."""
    if len(text) > MAX_BYTES:
        raise CalibrationError(f"{source} has more than {MAX_BYTES} bytes; a model has at most so many")
    try:
        header = msgspec.json.decode(text, type=_Header)
        if header.format != FORMAT:
            _wrong(source, "$.format", header.format, f"must be {FORMAT!r}")
        if header.format_version != FORMAT_VERSION:
            _wrong(source, "$.format_version", header.format_version, f"must be {FORMAT_VERSION}")
        document = msgspec.json.decode(text, type=_Document)
    except msgspec.ValidationError as error:
        raise CalibrationError(f"{source}: {error}{_nearest(str(error))}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CalibrationError(f"{source}: no JSON, or not the whole of it: {error}") from error
    device = document.device
    count = len(document.calibration.qubits)
    _check_device(source, device, count)
    profile = twin_profile(
        device.name,
        device.model,
        device.native_gates,
        device.coupling,
        device.positions,
        msgspec.convert(device.timing, Timing, from_attributes=True),
        count,
    )
    profile = msgspec.structs.replace(profile, max_shots=device.max_shots, max_sets=device.max_sets)
    calibration = msgspec.convert(document.calibration, Calibration, from_attributes=True)
    check_calibration(calibration, profile, f"{source}: $.calibration.")
    return TwinModel(profile, calibration)


def written_model(model: TwinModel) -> bytes:
    """A model's document; `parse_model` gives the same model again."""
    profile = model.profile
    document = _Document(
        FORMAT,
        FORMAT_VERSION,
        _Device(
            profile.name,
            profile.engine,
            profile.native_gates,
            profile.coupling,
            msgspec.convert(profile.timing or Timing(), _Timing, from_attributes=True),
            profile.positions,
            profile.max_shots,
            profile.max_sets,
        ),
        msgspec.convert(model.calibration, _Calibration, from_attributes=True),
    )
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _check_device(source: str, device: _Device, count: int) -> None:
    where = f"{source}: $.device"
    if not device.name.strip() or len(device.name) > 256:
        _wrong(source, "$.device.name", device.name, "must be text of 1 to 256 characters")
    if not 1 <= count <= MAX_QUBITS:
        _wrong(source, "$.calibration.qubits", count, f"must be 1 to {MAX_QUBITS} entries")
    if not device.native_gates:
        raise CalibrationError(f"{where}.native_gates is empty; name one gate at least")
    for at, name in enumerate(device.native_gates):
        if name not in GATES or name == "gphase" or name in device.native_gates[:at]:
            _wrong(source, f"$.device.native_gates[{at}]", name, "must be a gate of the normal form, once")
    seen = set()
    for at, pair in enumerate(device.coupling or ()):
        if pair[0] == pair[1] or not all(0 <= qubit < count for qubit in pair) or pair in seen:
            rule = f"must be two different qubits from 0 to {count - 1}, once"
            _wrong(source, f"$.device.coupling[{at}]", pair, rule)
        seen.add(pair)
    if device.positions and len(device.positions) != count:
        _wrong(source, "$.device.positions", len(device.positions), f"must be none or {count} entries")
    for at, number in enumerate(chain.from_iterable(device.positions)):
        if not math.isfinite(number) or abs(number) > 1e6:
            _wrong(source, f"$.device.positions[{at // 2}]", number, "must be within ±1e6")
    for field in Timing.__struct_fields__:
        value = getattr(device.timing, field)
        if not 0 <= value <= MAX_NS:
            _wrong(source, f"$.device.timing.{field}", value, f"must be nanoseconds from 0 to {MAX_NS}")
    for field, most in (("max_shots", MOST_SHOTS), ("max_sets", 2**31)):
        value = getattr(device, field)
        if not 1 <= value <= most:
            _wrong(source, f"$.device.{field}", value, f"must be 1 to {most}")


def _wrong(source: str, where: str, value: object, rule: str) -> NoReturn:
    raise CalibrationError(f"{source}: {where} is {repr(value)[:120]}; it {rule}")


def _nearest(message: str) -> str:
    unknown = re.search(r"unknown field `([^`]+)`", message)
    kinds = (_Document, _Device, _Timing, _Calibration, _Qubit, _Gate)
    known = sorted({name for kind in kinds for name in kind.__struct_fields__})
    near = difflib.get_close_matches(unknown[1], known, n=1) if unknown else []
    return f"; did you mean `{near[0]}`?" if near else ""
