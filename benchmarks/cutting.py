"""A program that is cut: how much sooner two workers are than one, over what two bare processes reach beside them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context

import numpy as np

from benchmarks.measure import Disagreement, Effort, Floats, Outcome, judged
from qfw.config.discover import runtime_dir
from qfw.engines.qulacs import QulacsEngine
from qfw.formats.lowering import lower
from qfw.model.device import DeviceProfile
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Expectation, decode_answers, encode_answers
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Gate, Operation, Program, slot
from qfw.qpi import Session
from qfw.qpi.stream import QStream
from qfw.qpm.tool import Split, Target, Variant
from qfw.toolchain.cut import CutTool

SPINS, STEPS, WIDTH = 32, 2, 17
GOAL = 0.85
OPTIONS = {"max_qubits": WIDTH}
OUTPUTS = (Expectation((PauliSum.of({f"Z{q} Z{q + 1}": 1.0 for q in range(SPINS - 1)}),)),)

_SETTINGS = """\
engines = ["qulacs"]
[workers]
count = %d
threads = 1
wide_threads = 1
"""


def two_workers(effort: Effort) -> list[Outcome]:
    """Speed-up of two workers over one on the variants of a cut chain, over that of two bare processes."""
    rounds = max(3, round(12 * effort.share))
    program = _chain()
    taken: dict[str, list[float]] = {name: [] for name in ("one", "two", "bare one", "bare two")}
    pipeline = Pipeline((Stage("cut", "cut", OPTIONS),))
    with _session(1) as one, _session(2) as two:
        streams = {
            name: session.device("qulacs").stream(pipeline=pipeline)
            for name, session in (("one", one), ("two", two))
        }
        split = _split(program, two.device("qulacs").profile)
        with _pool(1, split) as alone, _pool(2, split) as both:
            legs = {
                **{
                    name: lambda values, stream=stream: _ours(stream, program, values)
                    for name, stream in streams.items()
                },
                "bare one": lambda values: _bare(alone, split, values),
                "bare two": lambda values: _bare(both, split, values),
            }
            names = list(legs)
            for index in range(-1, rounds):
                values = np.array([[0.3 + 0.01 * index, 0.7]])
                found = []
                # Each comes first equally often; the first round is not counted: workers start, and prepare.
                for name in names[index % 4 :] + names[: index % 4]:
                    began = time.perf_counter()
                    found.append(legs[name](values))
                    if index >= 0:
                        taken[name].append(time.perf_counter() - began)
                if np.ptp(found) > 1e-9:
                    raise Disagreement(f"the answers are {found}")
    median = {name: float(np.median(times)) for name, times in taken.items()}
    ours, peer = median["one"] / median["two"], median["bare one"] / median["bare two"]
    return [
        judged(
            Outcome(
                name="cutting_two_workers",
                ours=median["two"] * 1e6,
                peer=median["bare two"] * 1e6,
                ratio=median["two"] / median["bare two"],
                goal=GOAL,
                ok=True,
                control=None,
                value=ours / peer,
                measure="speed-up / peer's",
                better="higher",
                pairs=rounds,
                note=f"{len(split.variants)} programs of up to {WIDTH} qubits of a cut chain of {SPINS}, qulacs; "
                "peer: the engine on the same programs in bare processes, put together by the same tool",
                pieces={"speed_up": round(ours, 3), "speed_up_peer": round(peer, 3)}
                | {f"ms_{name.replace(' ', '_')}": round(1e3 * value, 1) for name, value in median.items()},
            )
        )
    ]


def _chain() -> Program:
    """Trotter steps of an Ising chain; slots: coupling and field."""
    operations: list[Operation] = []
    for _ in range(STEPS):
        operations += [Gate("rzz", (q, q + 1), (slot(0),)) for q in range(SPINS - 1)]
        operations += [Gate("rx", (q,), (slot(1),)) for q in range(SPINS)]
    return Program(SPINS, 0, 2, tuple(operations))


def _session(workers: int) -> Session:
    folder = runtime_dir() / f"cutting-{workers}"
    folder.mkdir(parents=True, mode=0o700)
    config = folder / "qfw.toml"
    config.write_text(_SETTINGS % workers, encoding="utf-8")
    return Session(runtime_folder=folder, config=config)


def _pool(processes: int, split: Split) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(processes, get_context("spawn"), _prepare_all, (split.variants,))


def _prepare_all(variants: Sequence[Variant]) -> None:
    """Each process has everything prepared, whichever programs it then gets; one thread, as our workers."""
    # Before the engine imports qulacs, which looks at it once.
    os.environ["OMP_NUM_THREADS"] = "1"
    for variant in variants:
        _prepared(variant.program)


def _split(program: Program, profile: DeviceProfile) -> Split:
    return CutTool().split(program, OUTPUTS, 0, Target(profile), OPTIONS)


def _ours(stream: QStream, program: Program, values: Floats) -> float:
    result = stream.run(program, values, outputs=OUTPUTS).result(120)
    return float(result.expectation_values[0, 0])


def _bare(pool: ProcessPoolExecutor, split: Split, values: Floats) -> float:
    answers = pool.map(_run, split.variants, [values] * len(split.variants))
    (found,) = CutTool().combine(split.recipe, [decode_answers(each) for each in answers])
    values_found: Floats = found.values.numpy()  # type: ignore[union-attr,assignment]
    return float(values_found[0, 0])


def _run(variant: Variant, values: Floats) -> bytes:
    """One program on the engine, in a bare process that keeps what it prepared."""
    engine, prepared = _prepared(variant.program)
    answers: tuple[Answer, ...] = engine.run(prepared, variant.outputs, values, variant.shots, [0])
    return encode_answers(answers)


@cache
def _engine() -> QulacsEngine:
    return QulacsEngine(1, 1)


@cache
def _prepared(program: Program) -> tuple[QulacsEngine, object]:
    engine = _engine()
    return engine, engine.prepare(lower(program, engine.native_gates))
