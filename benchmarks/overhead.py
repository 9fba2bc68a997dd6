"""What the stack adds to one small task: the whole way, less the engine, less the bytes' own way."""

from __future__ import annotations

import numpy as np

from benchmarks.echo import Echo
from benchmarks.measure import Effort, Outcome, agree, interval, judged, medians, take_turns
from benchmarks.programs import PARITY, THREE_QUBITS, fresh_parameters
from benchmarks.stack import three_processes
from qfw.engines.qulacs import QulacsEngine
from qfw.model.outputs import encode_answers
from qfw.model.result import Result
from qfw.model.seeds import set_seeds
from qfw.qpi import QStream, Session
from qfw.qpm.frames import pack
from qfw.qpm.platform import Run, RunDone
from qfw.qpm.wire import Done, Submit, TaskAnswer
from qfw.simenv.protocol import Ended, Work


def task_overhead(effort: Effort) -> list[Outcome]:
    """One three-qubit task client → qpmd → worker → client, with journal, on engine qulacs."""
    pairs = effort.pairs(1200)
    rows = fresh_parameters(pairs + 200, 3)
    engine = QulacsEngine(1, 1)
    prepared = engine.prepare(THREE_QUBITS)
    with Session() as session, session.device("qulacs").stream() as stream:

        def ours(index: int) -> float:
            result = stream.run(THREE_QUBITS, rows[index], outputs=PARITY, seed=index).result(60)
            results.append(result)
            return float(result.expectation_values[0, 0])

        def in_process(index: int) -> float:
            answer = engine.run(prepared, PARITY, rows[index : index + 1], 0, set_seeds(index, 0, 1))[0]
            return float(answer.values.numpy()[0, 0])

        results: list[Result] = []
        agree(ours, in_process, 50, 1e-12)
        pids = three_processes(results[-1])
        sizes = frame_sizes(stream, rows[-1])
        with Echo(sizes) as echo:
            legs = (ours, in_process, echo.run) * 2
            take_turns(legs, 100, 50)
            results.clear()
            taken = take_turns(legs, pairs, 150)
    # Every leg ran twice: together they are the figure, one against the other the control.
    samples = np.concatenate([taken[:3], taken[3:]], axis=1)
    first, second = np.median(taken[1:3], axis=1).sum(), np.median(taken[4:], axis=1).sum()
    stages = [result.timeline.stages_us() for result in results]
    middle = np.median(samples, axis=1)
    drawn = medians(samples)
    added = float(middle[0] - middle[1] - middle[2])
    return [
        judged(
            Outcome(
                name="task_overhead_us",
                ours=float(middle[0]),
                peer=float(middle[1] + middle[2]),
                ratio=float(middle[0] / (middle[1] + middle[2])),
                goal=100.0,
                ok=True,
                control=float(second / first),
                value=added,
                interval=interval(drawn[:, 0] - drawn[:, 1] - drawn[:, 2]),
                measure="ours - peer",
                pairs=2 * pairs,
                note="peer: the engine prepared once, in process, plus a bare two-hop echo of frames of the same "
                "sizes; ours adds futures, checks, estimate, journal, fair queue",
                pieces={
                    "engine_us": round(float(middle[1]), 2),
                    "echo_us": round(float(middle[2]), 2),
                    # Where a message wakes a process on another core, it costs twice as much: two humps.
                    "quartiles_us": {
                        name: [round(float(value), 1) for value in np.quantile(row, (0.25, 0.75))]
                        for name, row in zip(("ours", "engine", "echo"), samples, strict=True)
                    },
                    "frame_bytes": list(sizes),
                    "stage_medians_us": {
                        name: round(float(np.median([stage[name] for stage in stages])), 2)
                        for name in stages[0]
                    },
                    "pids": pids,
                },
            )
        )
    ]


def frame_sizes(stream: QStream, row: np.ndarray) -> tuple[int, int, int, int]:
    """Bytes of a task's frames: client to qpmd, to the worker, back to qpmd, to the client."""
    future = stream.run(THREE_QUBITS, row, outputs=PARITY)
    result, task = future.result(60), future.task
    seen, answers = result.timeline, encode_answers(result.answers)
    run = Run(
        task.number, 1, task.program, task.outputs, task.sets, task.parameters, task.shots, task.seed, 3600.0
    )
    done = RunDone(task.number, 1, seen.run_began_ns, seen.run_ended_ns, seen.compile_ns, True, None, answers)
    answer = TaskAnswer(
        task.number,
        seen.worker_pid,
        seen.accepted_ns,
        seen.started_ns,
        seen.run_began_ns,
        seen.run_ended_ns,
        seen.compile_ns,
        seen.answered_ns,
        None,
        answers,
    )
    frames = (Submit([task]), Work([run]), Ended([done]), Done([answer]))
    first, second, third, fourth = (len(pack(frame)) for frame in frames)
    return first, second, third, fourth
