"""The automatic device: which device a task goes to, and that its result says so."""

from __future__ import annotations

import concurrent.futures
import os
import signal
from pathlib import Path

import msgspec
import numpy as np
import pytest

from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import (
    DaemonLost,
    OptionError,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.outputs import Statevector
from qfw.model.program import Gate, IfElse, Measure, Program, slot
from qfw.qpi import QStream, Session
from qfw.qpi.device import AUTOMATIC, AutomaticDevice, Device, choose
from qfw.qpi.question import Question
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right

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


def test_a_device_says_what_it_is(stream: QStream, session: Session) -> None:
    device = session.device("reference")
    status = device.status()
    assert (status.profile, status.wait_s, status.calibration) == (device.profile, 0.0, "")
    assert device.calibration() is None
    result = stream.run(SHORT, [0.3], outputs=Z0).result(LIMIT_S)
    assert result.conditions is None and result.calibration is None
    with pytest.raises(UnsupportedFeature, match=r"no native operation 'pulse'; it has none"):
        device.native("pulse")


def test_the_automatic_device_has_no_status_of_its_own(session: Session) -> None:
    first, second = profile("one", 8, 1, 8), profile("two", 8, 0, 8)
    automatic = AutomaticDevice(session, session.client, [first, second])
    with pytest.raises(UsageError, match="one, two"):
        automatic.status()
    assert automatic.calibration() is None


def test_questions_and_tasks_share_a_connection(session: Session) -> None:
    """Whoever reads takes in what others wait for, and nobody waits for ever."""
    device = session.device("reference")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:

        def work(seed: int) -> bool:
            stream = device.stream()
            future = stream.run(SHORT, [seed / 10], outputs=Z0)
            state = device.status().profile.name
            return state == "reference" and cosine_is_right(future.result(LIMIT_S), seed / 10)

        assert all(pool.map(work, range(40)))


def test_a_native_operation_that_nobody_has_is_refused_by_the_daemon(session: Session) -> None:
    claimed = msgspec.structs.replace(session.device("reference").profile, native=("pulse",))
    operation = Device(session, session.client, claimed).native("pulse")
    with pytest.raises(UnsupportedFeature, match="device reference has no native operations"):
        operation({"shots": 1}, timeout_s=5)
    with pytest.raises(OptionError, match="above 0"):
        operation(timeout_s=0)
    with pytest.raises(OptionError, match="cannot be sent"):
        operation(object())


def test_an_unknown_name_asks_the_platforms(session: Session) -> None:
    with pytest.raises(UnknownDevice, match=r"no device is called 'refrence'; did you mean 'reference'\?"):
        session.device("refrence")


def test_questions_end_with_the_connection(folder: Path) -> None:
    session = Session(runtime_folder=folder)
    device = session.device("reference")
    os.kill(session.client.welcome.pid, signal.SIGKILL)
    with pytest.raises(DaemonLost):
        device.status()
    session.close()
    with pytest.raises(UsageError):
        device.status()


def test_a_question_is_answered_once() -> None:
    question = Question()
    told: list[object] = []
    forgotten: list[object] = []
    question.when_done(told.append)
    question.when_done(forgotten.append)
    question.forget(forgotten.append)
    question.settle(b"a")
    question.settle(b"b", TooLarge("late"))
    question.when_done(told.append)
    assert question.answer() == b"a" and told == [question, question] and forgotten == []
