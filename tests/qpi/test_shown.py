"""What futures, results, completions, pipelines and calibrations show of themselves, in a shell and in a notebook."""

from __future__ import annotations

import pytest

from qfw.model.device import DeviceState, DeviceStatus
from qfw.model.errors import OptionError
from qfw.model.events import DeviceEventKind
from qfw.model.outputs import Counts, Memory, Statevector
from qfw.model.program import Gate, Program
from qfw.platforms.twin.models import model
from qfw.qpi import Event, QStream, Session
from qfw.qpi import program as qpi
from qfw.qpi.compiled import CompiledProgram
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpm.tool import Target
from tests.stack import LIMIT_S, SHORT, Z0

BELL = Program(2, 0, 0, (Gate("h", (0,)), Gate("cx", (0, 1))))


def test_a_future_says_how_far_it_is_and_does_not_read(stream: QStream) -> None:
    future = stream.run(SHORT, [0.0], outputs=Z0)
    assert repr(future) in (f"TaskFuture(task {future.name}; {how})" for how in ("not answered yet", "done"))
    future.result(LIMIT_S)
    assert repr(future) == f"TaskFuture(task {future.name}; done)"

    wrong = stream.call(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        wrong.result(LIMIT_S)
    assert repr(wrong) == f"Operation(operation {wrong.name}; failed: ZeroDivisionError)"


def test_a_result_shows_its_answers(stream: QStream) -> None:
    result = stream.run(BELL, shots=100, seed=1, outputs=(Counts(), Memory())).result(LIMIT_S)
    counts = result.counts[0]
    assert repr(result).startswith("Result(task ") and f"counts {counts}, memory)" in repr(result)
    shown = result._repr_html_()
    assert f"11: {counts['11']}" in shown and "<th>memory</th>" in shown and ", …" in shown

    value = stream.run(SHORT, [0.0], outputs=Z0).result(LIMIT_S)
    assert "expectation value 1)" in repr(value)


def test_a_result_of_many_sets_shows_the_first(stream: QStream) -> None:
    result = stream.run(SHORT, [[0.1 * k] for k in range(20)], outputs=Z0).result(LIMIT_S)
    assert "sets: 20; expectation values)" in repr(result)
    assert result._repr_html_().count("<tr>") == 1 + 8 and "… of 20 sets" in result._repr_html_()
    amplitudes = stream.run(BELL, outputs=(Statevector(),)).result(LIMIT_S)
    assert "0.707107+0j, 0+0j, 0+0j, 0.707107+0j" in amplitudes._repr_html_()


def test_a_completion_and_an_executor_fit_a_line(stream: QStream) -> None:
    queue = stream.completion_queue("results")
    stream.run(BELL, shots=10)
    completion = queue.get(LIMIT_S)
    assert repr(completion) == f"Completion(0: results; {completion.result!r})"
    executor = stream.executor(shots=10)
    assert repr(executor).startswith("StreamExecutor(QStream(reference")
    executor.shutdown()
    assert "shut down" in repr(executor)


def test_a_pipeline_is_a_table_of_its_stages() -> None:
    shown = ToolPipeline([("transpile", {"level": 2})], name="<mine>")._repr_html_()
    assert "<td>transpile</td><td>level=2</td>" in shown and "&lt;mine&gt;" in shown


def test_a_calibration_fits_a_line() -> None:
    calibration = model("heavy-hex-127").calibration
    assert "qubits: 127" in repr(calibration) and len(repr(calibration)) < 200


def test_a_program_is_printed_as_openqasm() -> None:
    program = qpi.Program.of(BELL)
    assert str(program) == program.to_qasm() and "cx q[0], q[1];" in program._repr_html_()
    wrong = qpi.Program(1, 0, 0, (Gate("cnot", (0,)),))
    assert str(wrong) == repr(wrong)


def test_what_devices_say_fits_a_line(session: Session) -> None:
    profile = model("heavy-hex-127").profile
    assert "qubits: 127" in repr(profile) and len(repr(profile)) < 200
    status = session.device("reference").status()
    assert repr(status).startswith("DeviceStatus('reference'; online, running: ") and "wait: " in repr(status)
    offline = DeviceStatus(profile, DeviceState.OFFLINE, 0, 2, "repair", "v1", wait_s=None)
    assert "offline: repair, running: 0, queued: 2, wait: unbounded, calibration: v1" in repr(offline)
    event = Event("twin", DeviceEventKind.LOAD, 1.0, "2 more", figures={"queued": 2.0})
    assert repr(event) == "Event('twin'; load: 2 more, queued: 2)"


def test_a_group_says_how_far_it_is(session: Session) -> None:
    group = session.mesh(["reference"]).run_group(SHORT, [[0.1], [0.2]], outputs=Z0, parts=2)
    group.result(LIMIT_S)
    assert repr(group) == f"GroupFuture(group {group.name}; 2 of 2 parts answered)"


def test_what_pipelines_make_fits_a_line() -> None:
    target = Target(*model("heavy-hex-20"))
    lowered = ToolPipeline(["reduce", "transpile"]).lower(BELL, target)
    assert repr(lowered).startswith("Lowered(20 qubits, ") and repr(lowered).endswith(
        " gates; reduce → transpile; calibration heavy-hex-20-0.0)"
    )
    expanded = ToolPipeline([("cut", {"max_qubits": 2})]).expand(
        Program(3, 0, 0, (*BELL.operations, Gate("cx", (1, 2)))), target, Z0, 100
    )
    assert repr(expanded).startswith("Expanded(") and len(repr(expanded)) < 100


def test_a_presets_name_in_place_of_stages_is_explained() -> None:
    with pytest.raises(OptionError, match=r"a preset is ToolPipeline\.preset\('fast'\)"):
        ToolPipeline("fast")
    with pytest.raises(OptionError, match="the preset none"):
        ToolPipeline([])
    with pytest.raises(OptionError, match="the name of a preset, not"):
        CompiledProgram.make(BELL, ["reduce"])  # type: ignore[arg-type]
