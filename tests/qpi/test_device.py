"""The automatic device: which device a task goes to, and that its result says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.outputs import Statevector
from qfw.model.program import Gate, IfElse, Measure, Program, slot
from qfw.qpi import Session
from qfw.qpi.device import AUTOMATIC, choose
from tests.stack import LIMIT_S, SHORT, Z0

EXACT = {"expectation", "statevector"}


def profile(
    name: str, most: int, preference: int, preferred_qubits: int, control: bool = False
) -> DeviceProfile:
    return DeviceProfile(
        name=name,
        kind=DeviceKind.SIMULATOR,
        engine=name,
        max_qubits=most,
        native_gates=("ry",),
        outputs=("counts",) if control else tuple(sorted(EXACT | {"counts"})),
        slots=1,
        preference=preference,
        preferred_qubits=preferred_qubits,
        control=control,
    )


SMALL, LARGE = profile("small", 24, 20, 16), profile("large", 28, 10, 64)
BRANCHING, PLAIN = profile("branching", 26, 5, 64, control=True), profile("plain", 30, 0, 0)
ALL = [SMALL, LARGE, BRANCHING, PLAIN]


@pytest.mark.parametrize(
    ("num_qubits", "control", "tags", "expected"),
    [
        (1, False, EXACT, "small"),
        (16, False, {"counts"}, "small"),
        (17, False, EXACT, "large"),
        (28, False, EXACT, "large"),
        (29, False, EXACT, "plain"),
        (3, True, {"counts"}, "branching"),
        (1, False, set(), "small"),
    ],
)
def test_the_best_that_can_run_a_task(num_qubits: int, control: bool, tags: set[str], expected: str) -> None:
    assert choose(ALL, num_qubits, control, tags) == expected


def test_above_every_preferred_width_preference_decides() -> None:
    assert choose([SMALL, PLAIN], 20, False, EXACT) == "small"
    assert choose([SMALL, PLAIN], 25, False, EXACT) == "plain"


def test_too_wide_for_all_says_what_each_holds() -> None:
    with pytest.raises(TooLarge, match=r"31 qubits.*small 24, large 28, branching 26, plain 30"):
        choose(ALL, 31, False, EXACT)


def test_nobody_answers() -> None:
    with pytest.raises(UnsupportedFeature, match="needs statevector with control before the end on 2 qubits"):
        choose(ALL, 2, True, {"statevector"})
    with pytest.raises(UnsupportedFeature, match="pip install 'qfw"):
        choose([SMALL], 2, True, {"counts"})


def test_control_goes_to_an_engine_that_has_it(folder: Path) -> None:
    pytest.importorskip("qiskit_aer")
    (folder / "settings.toml").write_text('engines = ["reference", "aer"]\nworkers.count = 1\n')
    program = Program(
        1, 2, 0, (Gate("x", (0,)), Measure(0, 0), IfElse((0,), 1, (Gate("x", (0,)),)), Measure(0, 1))
    )
    with Session(runtime_folder=folder, config=folder / "settings.toml") as session:
        result = session.device().stream().run(program, shots=10).result(LIMIT_S)
        assert result.device == "aer"
        assert result.counts == [{"01": 10}]
        with pytest.raises(UnsupportedFeature, match=r"device reference runs gates .* aer"):
            session.device("reference").stream().run(program, shots=10).result(LIMIT_S)
        with pytest.raises(UnsupportedFeature, match="not statevector"):
            session.device("aer").stream().run(program, outputs=(Statevector(),)).result(LIMIT_S)


def test_the_result_says_what_was_chosen(folder: Path) -> None:
    pytest.importorskip("qulacs")
    (folder / "settings.toml").write_text('engines = ["reference", "qulacs"]\nworkers.count = 1\n')
    with Session(runtime_folder=folder, config=folder / "settings.toml") as session:
        device = session.device()
        assert device.name == AUTOMATIC == session.device(AUTOMATIC).name
        with device.stream() as stream:
            assert stream.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S).device == "qulacs"
            branching = Program(1, 1, 0, (Measure(0, 0), Gate("x", (0,))))
            with pytest.raises(UnsupportedFeature, match="control before the end"):
                stream.run(branching, shots=10)
        assert (
            session.device("reference").stream().run(SHORT, [0.3], outputs=Z0).result(LIMIT_S).device
            == "reference"
        )


def test_lightning_is_chosen_before_qulacs(folder: Path) -> None:
    pytest.importorskip("qulacs")
    pytest.importorskip("pennylane_lightning")
    settings = folder / "settings.toml"
    settings.write_text('engines = ["reference", "qulacs", "lightning"]\nworkers.count = 1\n')
    wide = Program(18, 0, 1, (Gate("ry", (0,), (slot(0),)),))
    with Session(runtime_folder=folder, config=settings) as session, session.device().stream() as stream:
        for program in (SHORT, wide):
            result = stream.run(program, [0.3], outputs=Z0).result(LIMIT_S)
            assert result.device == "lightning"
            assert result.expectation_values[0, 0] == pytest.approx(np.cos(0.3), abs=1e-9)
