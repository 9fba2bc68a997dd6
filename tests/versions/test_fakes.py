"""Qiskit's fake backends, snapshots of IBM's machines, as twins: complete, and as noisy as Qiskit Aer makes them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

fakes = pytest.importorskip(
    "qiskit_ibm_runtime.fake_provider",
    reason="IBM's client is no dependency of QFw; runs in make test-versions",
)
from qiskit import QuantumCircuit, transpile  # noqa: E402
from qiskit.circuit.random import random_circuit  # noqa: E402
from qiskit.providers import BackendV2  # noqa: E402
from qiskit_aer import AerSimulator  # noqa: E402
from scipy.stats import chi2  # noqa: E402

from qfw.formats.qiskit import loads  # noqa: E402
from qfw.model.calibration import Calibration  # noqa: E402
from qfw.model.calibration_check import check_calibration  # noqa: E402
from qfw.model.errors import CalibrationError  # noqa: E402
from qfw.model.native import check_native  # noqa: E402
from qfw.model.outputs import Counts  # noqa: E402
from qfw.platforms.twin.documents import parse_model, written_model  # noqa: E402
from qfw.platforms.twin.importing import Defaults, import_backend  # noqa: E402
from qfw.platforms.twin.models import TwinModel  # noqa: E402
from qfw.qiskit import Backend  # noqa: E402
from qfw.qpi.session import Session  # noqa: E402
from tests.platforms.twin.noisy import simulate  # noqa: E402
from tests.stack import runtime_folder  # noqa: E402

SHOTS = 50_000
#: A right twin is refused once in so many comparisons.
REFUSED = 1e-6

#: By name: qubits, and gates of two of them.
MACHINES = {
    "FakeManilaV2": (5, {"cx"}),
    "FakeKolkataV2": (27, {"cx"}),
    "FakePeekskill": (27, {"ecr"}),
    "FakeSherbrooke": (127, {"ecr"}),
    "FakeBrisbane": (127, {"ecr"}),
    "FakeTorino": (133, {"cz"}),
}
#: What their targets do not say, or say in another way than others: the part of the message that names it.
INCOMPLETE = {
    "FakeBurlingtonV2": "readout time of qubit 0; give Defaults(readout_ns=",
    "FakeKingston": "T1 of qubit 146; give Defaults(t1_us=",
    "FakeBoeblingenV2": "gate u1 is not of the normal form",
}


@pytest.mark.parametrize("name", MACHINES)
def test_a_machine_is_taken_whole(name: str) -> None:
    backend = getattr(fakes, name)()
    model, notes = import_backend(backend)
    num_qubits, two = MACHINES[name]
    assert model.profile.max_qubits == num_qubits == len(model.calibration.qubits)
    assert set(model.profile.native_gates) == two | {"id", "rz", "sx", "x"}
    check_calibration(model.calibration, model.profile)
    assert parse_model(written_model(model), "again") == model
    for gate in model.calibration.gates:
        known = backend.target[gate.name][gate.qubits]
        assert gate.duration_ns == round(known.duration * 1e9)
        assert gate.error == (known.error or 0.0) and gate.operational == (gate.error < 1)
    for index, qubit in enumerate(model.calibration.qubits):
        known = backend.target.qubit_properties[index]
        assert qubit.t1_us == pytest.approx(known.t1 * 1e6)
        assert qubit.t2_us == pytest.approx(min(known.t2, 2 * known.t1) * 1e6)
        # Only what could not be was changed, and that is said.
        assert any(f"T2 of qubit {index} " in note for note in notes) == (known.t2 > 2 * known.t1)
        assert qubit.read1_given0 == qubit.read0_given1 == backend.target["measure"][index,].error


def test_every_machine_is_taken_or_refused_with_the_place() -> None:
    kinds = [kind for name in sorted(dir(fakes)) if isinstance(kind := getattr(fakes, name), type)]
    taken = 0
    for kind in kinds:
        if not issubclass(kind, BackendV2):
            continue
        try:
            model, _ = import_backend(kind())
        except CalibrationError as error:
            assert "give Defaults(" in str(error) or "is not of the normal form" in str(error), error
        else:
            check_calibration(model.calibration, model.profile)
            taken += 1
    assert taken >= 50


@pytest.mark.parametrize("name", INCOMPLETE)
def test_what_a_machine_does_not_say_is_refused_by_name(name: str) -> None:
    with pytest.raises(CalibrationError) as caught:
        import_backend(getattr(fakes, name)())
    assert INCOMPLETE[name] in str(caught.value)


def test_a_default_stands_for_what_is_missing() -> None:
    model, notes = import_backend(
        fakes.FakeKingston(), defaults=Defaults(t1_us=100, t2_us=80, readout_error=0.5)
    )
    assert model.calibration.qubits[146].t1_us == 100
    assert any("t1_us 100 was taken" in note and "qubit 146" in note for note in notes)


def ghz(count: int) -> QuantumCircuit:
    """A measured GHZ state of so many qubits."""
    circuit = QuantumCircuit(count, name=f"ghz {count}")
    circuit.h(0)
    for qubit in range(1, count):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    return circuit


def circuits() -> list[QuantumCircuit]:
    """GHZ states and random circuits, measured."""
    found = [ghz(3), ghz(5)]
    for seed in (1, 2, 5):
        found.append(random_circuit(4, 5, max_operands=2, seed=seed))
        found[-1].name = f"random {seed}"
        found[-1].measure_all()
    return found


@pytest.mark.parametrize("name", MACHINES)
def test_a_twin_is_as_noisy_as_aers_simulation(name: str) -> None:
    """Aer's waiting qubits decay only where the circuit has delays, so it gets the circuit scheduled."""
    backend = getattr(fakes, name)()
    model, _ = import_backend(backend)
    theirs = AerSimulator.from_backend(backend, seed_simulator=3)
    told_apart = 0
    lowered = transpile(circuits(), backend, seed_transpiler=7, optimization_level=1)
    scheduled = transpile(lowered, backend, scheduling_method="asap", optimization_level=0)
    done = theirs.run(scheduled, shots=SHOTS).result()
    for number, circuit in enumerate(lowered):
        expected = done.get_counts(number)
        assert disagreement(counts(model, circuit, number), expected) < 1, circuit.name
        told_apart += disagreement(counts(worse(model), circuit, number), expected) > 1
    # The comparison sees noise that is wrong by half.
    assert told_apart >= 4


def test_a_machine_is_served_as_a_twin(tmp_path: Path) -> None:
    """The way of docs/guides/twin.md: written as a document, named in the settings, used from Qiskit."""
    found = import_backend(fakes.FakeSherbrooke(), "sherbrooke")
    document, config = tmp_path / "sherbrooke.json", tmp_path / "qfw.toml"
    document.write_bytes(written_model(found.model))
    config.write_text(f"[platforms.twin.options]\ndevices = ['{document}']\n")
    with runtime_folder() as folder, Session(runtime_folder=folder, config=config) as session:
        backend = Backend("sherbrooke", session=session, seed=1)
        assert "ecr" in backend.operation_names and backend.num_qubits == 127
        lowered = transpile(ghz(5), backend, seed_transpiler=1)
        assert lowered.count_ops()["ecr"] >= 4
        counted = backend.run(lowered, shots=2000).result().get_counts()
        assert 1200 < counted["00000"] + counted["11111"] < 2000


def counts(model: TwinModel, circuit: QuantumCircuit, seed: int) -> dict[str, int]:
    """Of the twin."""
    program = loads(circuit)
    program.check()
    check_native(program, model.profile)
    assert model.profile.timing is not None
    done = simulate(
        model.calibration, program, Counts(), shots=SHOTS, seeds=[seed], timing=model.profile.timing
    )
    return dict(done.counts[0])


def worse(model: TwinModel) -> TwinModel:
    """The same with errors of gates and readout half as large again, and times of decay as much shorter."""
    qubits = tuple(
        msgspec.structs.replace(
            qubit,
            t1_us=qubit.t1_us / 1.5,
            t2_us=qubit.t2_us / 1.5,
            read1_given0=min(1.5 * qubit.read1_given0, 1.0),
            read0_given1=min(1.5 * qubit.read0_given1, 1.0),
        )
        for qubit in model.calibration.qubits
    )
    gates = tuple(msgspec.structs.replace(g, error=min(1.5 * g.error, 1.0)) for g in model.calibration.gates)
    changed: Calibration = msgspec.structs.replace(model.calibration, qubits=qubits, gates=gates)
    return TwinModel(model.profile, changed)


def disagreement(ours: dict[str, int], theirs: dict[str, int]) -> float:
    """χ² of two samples of equal size by the bound for what both model; rare outcomes are one."""
    pairs = np.array([(ours.get(key, 0), theirs.get(key, 0)) for key in {*ours, *theirs}], dtype=float)
    rare = pairs.sum(axis=1) < 20
    pairs = np.vstack([pairs[~rare], pairs[rare].sum(axis=0)])
    pairs = pairs[pairs.sum(axis=1) > 0]
    found = ((pairs[:, 0] - pairs[:, 1]) ** 2 / pairs.sum(axis=1)).sum()
    return float(found / chi2.isf(REFUSED, len(pairs) - 1))
