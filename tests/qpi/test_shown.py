"""What futures, results, completions, pipelines and calibrations show of themselves, in a shell and in a notebook."""

from __future__ import annotations

import pytest

from qfw.model.outputs import Counts, Memory, Statevector
from qfw.model.program import Gate, Program
from qfw.platforms.twin.models import model
from qfw.qpi import QStream
from qfw.qpi.pipeline import ToolPipeline
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
