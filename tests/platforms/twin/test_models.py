"""The built-in models: true lattices, possible values, errors that decoherence leaves room for, the same each time."""

import hashlib
from collections import Counter

import msgspec
import pytest

from qfw.model.calibration_check import check_calibration
from qfw.model.device import DeviceKind
from qfw.model.errors import OptionError, UnknownDevice
from qfw.platforms.twin import atoms
from qfw.platforms.twin.coherence import decoherence_error
from qfw.platforms.twin.models import MODELS, load_model, model

NAMES = list(MODELS.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1, 12345])
def test_values_are_possible_and_errors_leave_room_for_decoherence(name: str, seed: int) -> None:
    profile, calibration = model(name, seed=seed)
    check_calibration(calibration, profile)
    assert profile.max_qubits == len(calibration.qubits) == len(profile.positions)
    assert (profile.kind, profile.lowered_only, profile.exact, profile.reruns, profile.control) == (
        DeviceKind.TWIN,
        True,
        False,
        False,
        True,
    )
    for gate in calibration.gates:
        floor = decoherence_error([calibration.qubits[qubit] for qubit in gate.qubits], gate.duration_ns)
        assert gate.error >= floor
        assert gate.error < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_every_native_gate_is_calibrated_on_all_its_qubits(name: str) -> None:
    profile, calibration = model(name)
    found = {(gate.name, gate.qubits) for gate in calibration.gates}
    pairs = profile.coupling
    if pairs is None:
        every = range(profile.max_qubits)
        pairs = tuple((first, second) for first in every for second in every if first < second)
    expected = set()
    for gate in profile.native_gates:
        expected |= (
            {(gate, pair) for pair in pairs}
            if gate in ("cz", "rxx")
            else {(gate, (qubit,)) for qubit in range(profile.max_qubits)}
        )
    assert found == expected


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_the_same_model_and_another_one_another(name: str) -> None:
    once, again, other = model(name, seed=7), model(name, seed=7), model(name, seed=8)
    assert msgspec.json.encode(once) == msgspec.json.encode(again)
    assert once.profile == other.profile
    assert once.calibration.qubits != other.calibration.qubits
    assert once.calibration.version != other.calibration.version


def test_models_are_the_same_everywhere() -> None:
    digests = {
        name: hashlib.sha256(msgspec.json.encode(model(name).calibration)).hexdigest()[:12] for name in NAMES
    }
    assert digests == DIGESTS


DIGESTS = {
    "heavy-hex-20": "59b490f1b95f",
    "heavy-hex-127": "b18a838c74b8",
    "trapped-ion": "bef3e581fac7",
    "neutral-atoms": "66a787ebff6b",
}


def test_the_lattice_of_127_qubits_is_the_known_one() -> None:
    coupling = set(model("heavy-hex-127").profile.coupling or ())
    assert len(coupling) == 144
    bridges = [
        (0, 14, 18), (4, 15, 22), (8, 16, 26), (12, 17, 30), (20, 33, 39), (24, 34, 43), (28, 35, 47),
        (32, 36, 51), (37, 52, 56), (49, 55, 68), (58, 71, 77), (70, 74, 89), (75, 90, 94), (87, 93, 106),
        (96, 109, 114), (100, 110, 118), (104, 111, 122), (108, 112, 126),
    ]  # fmt: skip
    for above, bridge, below in bridges:
        assert {(above, bridge), (bridge, below)} <= coupling
    rows = [(0, 13), (18, 32), (37, 51), (56, 70), (75, 89), (94, 108), (113, 126)]
    assert {(at, at + 1) for first, last in rows for at in range(first, last)} <= coupling


@pytest.mark.parametrize("name", ["heavy-hex-20", "heavy-hex-127"])
def test_heavy_hexagons_have_neighbours_at_distance_one_and_at_most_three(name: str) -> None:
    profile = model(name).profile
    degrees = Counter(qubit for pair in profile.coupling or () for qubit in pair)
    assert set(degrees) == set(range(profile.max_qubits))
    assert max(degrees.values()) == 3
    for first, second in profile.coupling or ():
        (x, y), (u, v) = profile.positions[first], profile.positions[second]
        assert abs(x - u) + abs(y - v) == 1
        # Those with three neighbours are never neighbours of each other: what makes a hexagon heavy.
        assert (degrees[first], degrees[second]) != (3, 3)


def test_atoms_that_are_carried_take_longer_than_those_that_are_neighbours() -> None:
    calibration = model("neutral-atoms").calibration
    times = {gate.qubits: gate.duration_ns for gate in calibration.gates if gate.name == "cz"}
    assert [atoms.zone(qubit) for qubit in (0, 17, 18, 29, 30, 35)] == [0, 0, 1, 1, 2, 2]
    assert times[18, 19] == 400
    assert times[19, 20] > times[18, 19]
    assert times[0, 18] > times[12, 18] > times[19, 20]
    assert (0, 2) not in times
    assert (0, 30) not in times
    assert (0, 1) in times
    assert calibration.qubits[0].readout_ns > calibration.qubits[18].readout_ns
    assert calibration.qubits[30].readout_ns == 500_000


def test_names_of_models_devices_and_seeds() -> None:
    assert model("twin-20") == model("heavy-hex-20")
    assert load_model("trapped-ion", "mine").profile.name == "mine"
    assert load_model("trapped-ion", "mine").calibration.device == "mine"
    with pytest.raises(UnknownDevice, match="did you mean 'heavy-hex-20'"):
        model("heavy-hx-20")
    with pytest.raises(OptionError):
        model("trapped-ion", seed=-1)
    with pytest.raises(OptionError):
        model("trapped-ion", " ")
