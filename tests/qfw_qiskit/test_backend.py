"""QFWBackend runs on the engine of its type and on no other, and refuses what the type does not have."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest

pytest.importorskip("qiskit")
from qiskit import QuantumCircuit
from qiskit.providers import BackendV2

from qfw.model.errors import NotInstalled, OptionError, QFwError, UsageError
from qfw.qpi import Session
from qfw.qpm import registry
from qfw_qiskit import QFWBackend, QFWBackendCapability, QFWBackendType
from tests.stack import runtime_folder

STATEVECTOR = QFWBackendCapability.QFW_CAP_STATEVECTOR
TENSORNETWORK = QFWBackendCapability.QFW_CAP_TENSORNETWORK
REFERENCE = QFWBackendType.QFW_TYPE_REFERENCE


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with runtime_folder() as folder, Session(runtime_folder=folder) as opened:
        yield opened


def ghz() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.cx(1, 2)
    circuit.measure_all()
    return circuit


def test_every_engine_has_a_type() -> None:
    # noop answers nonsense fast, to measure the stack.
    engines = set(registry.names(registry.ENGINES)) - {"noop"}
    assert engines <= {kind.value for kind in QFWBackendType}


@pytest.mark.parametrize("kind", QFWBackendType, ids=lambda kind: kind.name)
def test_every_type_runs_on_its_own_engine_or_says_what_is_missing(
    session: Session, kind: QFWBackendType
) -> None:
    backend = QFWBackend(betype=kind, session=session)
    assert isinstance(backend, BackendV2) and backend.name == kind.value
    if kind.value in {device.name for device in session.devices}:
        result = backend.run(ghz(), shots=200).result()
        assert set(result.get_counts()) == {"000", "111"}
        assert backend.qfw_stream().device.profile.engine == kind.value
    else:
        with pytest.raises(NotInstalled) as raised:
            backend.run(ghz(), shots=200)
        said = str(raised.value)
        assert kind.name in said and kind.needs in said and "qfw doctor" in said
        with pytest.raises(NotInstalled):
            _ = backend.target


@pytest.mark.parametrize("kind", QFWBackendType, ids=lambda kind: kind.name)
@pytest.mark.parametrize("capability", QFWBackendCapability, ids=lambda capability: capability.name)
def test_a_capability_is_had_or_refused(kind: QFWBackendType, capability: QFWBackendCapability) -> None:
    if capability in kind.capabilities:
        backend = QFWBackend(betype=kind, capability=capability)
        assert backend.betype is kind and backend.capability is capability
    else:
        with pytest.raises(
            OptionError, match=f"{kind.name} has .*, not {capability.name}; types that have it: QFW_"
        ):
            QFWBackend(betype=kind, capability=capability)


def test_every_capability_is_that_of_some_type() -> None:
    assert {capability for kind in QFWBackendType for capability in kind.capabilities} == set(
        QFWBackendCapability
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"betype": "nwqsim"}, "betype is 'nwqsim'; give one of QFWBackendType.QFW_TYPE_NWQSIM, "),
        (
            {"betype": REFERENCE, "capability": "statevector"},
            "capability is 'statevector'; give one of QFWBackendCap",
        ),
        ({"betype": STATEVECTOR, "capability": REFERENCE}, "betype is <QFWBackendCapability"),
        ({"betype": REFERENCE, "seed": -1}, "seed"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        QFWBackend(**arguments)  # type: ignore[arg-type]


def test_without_a_capability_it_is_what_the_type_has() -> None:
    assert QFWBackend(betype=QFWBackendType.QFW_TYPE_TNQVM).capability is TENSORNETWORK
    assert QFWBackend(betype=REFERENCE).capability is STATEVECTOR


def test_a_seed_repeats_the_results(session: Session) -> None:
    first, second = (
        [backend.run(ghz(), shots=500).result().get_counts() for _ in range(2)]
        for backend in (QFWBackend(betype=REFERENCE, session=session, seed=5) for _ in range(2))
    )
    assert first == second and first[0] != first[1]


def test_a_copy_shares_the_session_and_has_options_of_its_own(session: Session) -> None:
    backend = QFWBackend(betype=REFERENCE, session=session, seed=5)
    assert backend.run(ghz(), shots=10).result().success
    copied = copy.deepcopy(backend)
    copied.set_options(shots=77)
    assert sum(copied.run(ghz()).result().get_counts().values()) == 77
    assert sum(backend.run(ghz()).result().get_counts().values()) == 1024
    copied.close()
    assert backend.run(ghz(), shots=10).result().success


def test_a_closed_session_is_said_as_it_is() -> None:
    with runtime_folder() as folder:
        with Session(runtime_folder=folder) as closed:
            backend = QFWBackend(betype=REFERENCE, session=closed)
        with pytest.raises(UsageError) as raised:
            backend.run(ghz())
    assert isinstance(raised.value, QFwError) and not isinstance(raised.value, NotInstalled)
