"""Compiling: known programs, from memory, from disk, through a daemon; and what `fast` adds to Qiskit's level 1."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from qiskit.transpiler import generate_preset_pass_manager

from benchmarks.measure import (
    Disagreement,
    Effort,
    Floats,
    Outcome,
    compare,
    judged,
    medians,
    outcome,
    take_turns,
)
from benchmarks.measure import interval as middle
from benchmarks.programs import NOTHING, fresh_parameters
from qfw.formats.qiskit_target import calibrated_target
from qfw.model.program import Gate, Measure, Program, slot
from qfw.platforms.twin.models import model
from qfw.qpi import Session
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpi.program import Program as OwnProgram
from qfw.qpm import recall
from qfw.qpm.shelf import Shelf
from qfw.qpm.status import Counters
from qfw.qpm.tool import Target

QUBITS, LAYERS, SETS = 50, 3, 480
#: Programs over which gates are counted.
COUNTED = 12


def layered(seed: int, qubits: int = QUBITS, layers: int = LAYERS) -> Program:
    """Layers of rotations by slots and CX gates between random neighbours on a ring; all measured."""
    rng = np.random.default_rng(seed)
    operations: list[Gate | Measure] = []
    for layer in range(layers):
        operations += [Gate("ry", (q,), (slot(layer * qubits + q),)) for q in range(qubits)]
        begin = int(rng.integers(qubits))
        operations += [
            Gate("cx", ((begin + q) % qubits, (begin + q + 1) % qubits)) for q in range(0, qubits, 2)
        ]
    operations += [Measure(q, q) for q in range(qubits)]
    return Program(qubits, qubits, layers * qubits, tuple(operations))


def known(effort: Effort) -> list[Outcome]:
    """A program that this process lowered before, and one that another one did."""
    target = Target(*model("heavy-hex-127"))
    pipeline, program = ToolPipeline.preset("fast"), OwnProgram.of(layered(0))
    pipeline.lower(program, target)
    pairs = effort.pairs(2000)

    def ours(index: int) -> Any:
        return pipeline.lower(program, target)

    samples = take_turns((ours,), pairs)
    note = "ToolPipeline.lower of 50 qubits for 127, known to this process"
    return [_value("compile_warm_us", samples, 30.0, note), _disk(effort, target)]


def _value(name: str, samples: Floats, goal: float, note: str) -> Outcome:
    """A figure of one leg: microseconds, compared with the goal itself."""
    found = float(np.median(samples))
    return judged(
        Outcome(
            name=name,
            ours=found,
            peer=None,
            ratio=None,
            goal=goal,
            ok=True,
            control=None,
            value=found,
            interval=middle(medians(samples)[:, 0]),
            measure="value",
            pairs=samples.shape[1],
            note=note,
        )
    )


def _disk(effort: Effort, target: Target) -> Outcome:
    pairs = effort.pairs(40)
    pipeline = ToolPipeline.preset("fast").pipeline
    program = layered(0)
    # Programs as another process has them: nothing is remembered of them.
    fresh = [Program.decode(program.encoded) for _ in range(5 * (pairs + 5))]
    with tempfile.TemporaryDirectory() as folder:
        shelf = Shelf(Path(folder) / "lowered", 2**28)
        first, _ = recall.lowered(pipeline, program, target, shelf)

        def ours(index: int) -> Any:
            found, _ = recall.lowered(pipeline, fresh.pop(), target, shelf)
            return found

        def peer(index: int) -> Any:
            made, _ = recall.lowered(pipeline, fresh.pop(), target, None)
            return made

        if ours(0).encoded != first.encoded or peer(0).encoded != first.encoded:
            raise Disagreement("what is on the disk is not what is made")
        found = compare(
            "compile_disk",
            ours,
            peer,
            pairs,
            None,
            note="preset fast, 50 qubits for 127, read from the disk, checked and decoded; peer: compiled, all that is "
            "needed being imported and kept; value: times sooner",
        )
    drawn = found.interval
    found.value, found.better, found.goal, found.measure = 1 / found.value, "higher", 20.0, "times"
    found.interval = (1 / drawn[1], 1 / drawn[0]) if drawn else None
    return judged(found)


def fast(effort: Effort) -> list[Outcome]:
    """Preset fast from Program to Program, beside Qiskit's level 1 from circuit to circuit."""
    profile, calibration = model("heavy-hex-127")
    target = Target(profile, calibration)
    pipeline = ToolPipeline.preset("fast").pipeline
    manager = generate_preset_pass_manager(
        optimization_level=1, target=calibrated_target(profile, calibration), seed_transpiler=0
    )
    pairs = effort.pairs(120)
    programs = [layered(seed) for seed in range(COUNTED)]
    circuits = [OwnProgram.of(program).to_qiskit() for program in programs]

    def ours(index: int) -> Any:
        return recall.lowered(pipeline, programs[index % COUNTED], target, None)

    def peer(index: int) -> Any:
        return manager.run(circuits[index % COUNTED])

    mine = sum(ours(index)[0].stages[-1].two_qubit_gates for index in range(COUNTED))
    theirs = sum(
        sum(len(place.qubits) == 2 for place in peer(index).data if place.operation.name != "barrier")
        for index in range(COUNTED)
    )
    found = compare(
        "compile_fast",
        ours,
        peer,
        pairs,
        1.1,
        note="50 qubits for 127; ours from Program to Program, with figures of it; peer: Qiskit's level 1 from circuit "
        "to circuit, its pass manager kept; two-qubit gates among the pieces, no more than the peer's",
    )
    found.pieces = {"two_qubit_gates": mine, "two_qubit_gates_peer": theirs}
    found.ok = found.ok and mine <= theirs
    return [found]


def sets(effort: Effort) -> list[Outcome]:
    """480 tasks of one program, a parameter set each: lowered once."""
    program = layered(0, 4, 1)
    rounds = effort.pairs(20)
    values = fresh_parameters(SETS * (rounds + 10), program.num_slots)
    with Session() as session:
        device = session.device("twin-20")
        pipeline = ToolPipeline.preset("default")
        lowered = pipeline.lower(program, device)

        def ours(index: int) -> Any:
            with device.stream(pipeline=pipeline) as stream:
                futures = [stream.run(program, row, shots=1) for row in values[index * SETS :][:SETS]]
                return [future.result(120) for future in futures]

        def peer(index: int) -> Any:
            with device.stream() as stream:
                futures = [stream.run(lowered.program, row, shots=1) for row in values[index * SETS :][:SETS]]
                return [future.result(120) for future in futures]

        ours(0)
        found = compare(
            "compile_480_sets",
            ours,
            peer,
            rounds,
            None,
            note="480 tasks of a set each on twin-20, one shot, preset default; peer: the same, lowered before; met "
            "where it was compiled once at most",
        )
        counters = msgspec.msgpack.decode(session.client.ask("counters", 30.0), type=Counters)
        asked = take_turns((lambda index: pipeline.lower(program, device),), effort.pairs(1000))
    found.pieces = {"compilations": counters.counts["lowerings"]}
    found.ok = counters.counts["lowerings"] <= 1
    return [found, _value("compile_warm_device_us", asked, 30.0, "ToolPipeline.lower for a Device, twin-20")]


def hits(effort: Effort) -> list[Outcome]:
    """What a task costs more because it has a pipeline, whose lowered program the daemon knows."""
    program = layered(0, 4, 1)
    values = fresh_parameters(SETS, program.num_slots)
    with Session() as session:
        device = session.device("noop")
        pipeline = ToolPipeline(["reduce"])
        lowered = pipeline.lower(program, device).program
        with device.stream(pipeline=pipeline) as stream, device.stream() as plain:

            def ours(index: int) -> Any:
                futures = [stream.run(program, row, outputs=NOTHING) for row in values]
                return [future.result(120) for future in futures]

            def peer(index: int) -> Any:
                futures = [plain.run(lowered, row, outputs=NOTHING) for row in values]
                return [future.result(120) for future in futures]

            legs = (ours, peer, peer, peer)
            take_turns(legs, 5)
            samples = take_turns(legs, effort.pairs(60)) / SETS
    found = outcome(
        "compile_task_us",
        samples,
        30.0,
        note="a task of engine noop with a pipeline, its program lowered before, of 480 submitted one by one; peer: a "
        "task of the lowered program without a pipeline; value: the difference",
    )
    drawn = medians(samples)
    found.value, found.measure = found.ours - (found.peer or 0.0), "difference"
    found.interval = middle(drawn[:, 0] - drawn[:, 1])
    return [judged(found)]
