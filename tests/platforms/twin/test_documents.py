"""Models as documents: the same again, and every field wrong in turn refused with its place."""

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qfw.model.errors import CalibrationError
from qfw.platforms.twin import documents
from qfw.platforms.twin.documents import parse_model, read_model, written_model
from qfw.platforms.twin.models import MODELS, load_model, model

Path_ = tuple[str | int, ...]


@pytest.mark.parametrize("name", MODELS.values())
def test_a_model_survives_its_document(name: str, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    file.write_bytes(written_model(model(name)))
    assert read_model(file) == model(name)
    assert load_model(str(file), "mine").calibration.device == "mine"


def small() -> Any:
    """The document of heavy-hex-20, cut down to two qubits."""
    found = json.loads(written_model(model("heavy-hex-20")))
    found["device"]["coupling"] = [[0, 1]]
    found["device"]["positions"] = [[0.0, 0.0], [1.0, 0.0]]
    calibration = found["calibration"]
    calibration["qubits"] = calibration["qubits"][:2]
    singles = [gate for gate in calibration["gates"] if gate["qubits"] in ([0], [1])]
    cz = next(gate for gate in calibration["gates"] if gate["name"] == "cz") | {"qubits": [0, 1]}
    calibration["gates"] = [*singles, cz]
    return found


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Places of all values that hold no others."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from leaves(inner, (*path, at))
    else:
        yield path


def at(document: Any, path: Path_) -> Any:
    for step in path:
        document = document[step]
    return document


def put(path: Path_, value: Any) -> bytes:
    document = small()
    at(document, path[:-1])[path[-1]] = value
    return json.dumps(document).encode()


def refusal(text: bytes) -> str:
    with pytest.raises(CalibrationError) as caught:
        parse_model(text, "model.json")
    assert str(caught.value).startswith("model.json: ")
    return str(caught.value)


ALL = list(leaves(small()))
#: Text that may be any.
FREE = {("device", "model")}


def bad_values(path: Path_, value: Any) -> list[Any]:
    """Values that a field may not have, whatever it is."""
    wrong: list[Any] = [{}, ["x"], "" if isinstance(value, str) else "1"]
    if isinstance(value, bool):
        return [*wrong, 1]
    if isinstance(value, int | float):
        if "positions" not in path:
            wrong.append(-1)
        return [*wrong, 1e400, True]
    if path[-1] == "frequency_ghz":
        return [*wrong, -1.0, 0.0]
    return [*wrong, 3]


@pytest.mark.parametrize(
    "path", [path for path in ALL if path not in FREE], ids=lambda p: ".".join(map(str, p))
)
def test_every_field_damaged_in_turn(path: Path_) -> None:
    parse_model(json.dumps(small()).encode(), "whole")
    for wrong in bad_values(path, at(small(), path)):
        text = put(path, wrong).replace(b"Infinity", b"1e400")
        message = refusal(text)
        named = [str(step) for step in path if isinstance(step, str)]
        assert named[0] in message or "$" in message or "out of range" in message, (wrong, message)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("format",), "other", r"\$\.format is 'other'"),
        (("format_version",), 2, r"\$\.format_version is 2; it must be 1"),
        (("device", "native_gates", 0), "warp", r"\$\.device\.native_gates\[0\] is 'warp'"),
        (("device", "coupling", 0), [0, 2], r"\$\.device\.coupling\[0\] is \(0, 2\)"),
        (("device", "positions"), [[0, 0]], r"\$\.device\.positions is 1"),
        (("device", "timing", "reset_ns"), -1, r"\$\.device\.timing\.reset_ns is -1"),
        (("device", "max_shots"), 0, r"\$\.device\.max_shots is 0"),
        (("calibration", "device"), "x", r"\$\.calibration\.device is 'x'; it must be 'twin-20'"),
        (("calibration", "version"), " ", r"\$\.calibration\.version"),
        (("calibration", "qubits", 1, "t1_us"), 0, r"\$\.calibration\.qubits\[1\]\.t1_us is 0"),
        (("calibration", "qubits", 1, "t2_us"), 1e9, r"qubits\[1\]\.t2_us is .*at most 2·T1"),
        (("calibration", "qubits", 0, "read1_given0"), 1.5, r"qubits\[0\]\.read1_given0 is 1.5"),
        (("calibration", "gates", 8, "error"), 1.01, r"gates\[8\]\.error is 1.01"),
        (("calibration", "gates", 0, "name"), "rx", r"gates\[0\]\.name is 'rx'; it must be native"),
        (("calibration", "gates", 0, "name"), "warp", r"gates\[0\]\.name is 'warp'"),
        (("calibration", "gates", 0, "qubits"), [2], r"gates\[0\]\.qubits"),
        (("calibration", "gates", 0, "qubits"), [0, 1], r"gates\[0\]\.qubits .*1 qubits for id"),
        (("calibration", "gates", 8, "qubits"), [1, 1], r"gates\[8\]\.qubits .*different"),
        (("calibration", "gates", 0, "qubits"), [1], r"gates\[4\] .*gates\[0\]"),
    ],
)  # fmt: skip
def test_a_refusal_names_place_value_and_rule(path: Path_, value: Any, said: str) -> None:
    with pytest.raises(CalibrationError, match=said):
        parse_model(put(path, value), "model.json")


def test_a_pair_that_is_not_coupled_is_refused() -> None:
    document = small()
    document["device"]["coupling"] = []
    with pytest.raises(CalibrationError, match=r"gates\[8\]\.qubits .*coupled pair"):
        parse_model(json.dumps(document).encode(), "model.json")


def test_unknown_keys_name_the_nearest() -> None:
    for path in [(), ("device",), ("device", "timing"), ("calibration",), ("calibration", "qubits", 0)]:
        document = copy.deepcopy(small())
        at(document, path)["t1_ms"] = 1
        with pytest.raises(CalibrationError, match=r"unknown field `t1_ms`.*did you mean `t1_us`"):
            parse_model(json.dumps(document).encode(), "model.json")


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"\xff", b"null", b"[" * 100_000, b'{"format": "qfw-device-model"}']
)
def test_what_is_no_document_is_refused(text: bytes) -> None:
    refusal(text)


def test_size_and_readability(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"none\.json: No such file"):
        read_model(tmp_path / "none.json")
    with pytest.raises(CalibrationError, match="more than"):
        parse_model(b" " * (documents.MAX_BYTES + 1), "model.json")
