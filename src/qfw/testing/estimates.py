"""Checks of estimates: what is said before anything starts."""

from __future__ import annotations

import math

from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.outputs import Counts, Memory, Output, Statevector
from qfw.model.program import Program
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, NotApplicable, expect, refused
from qfw.testing.starts import not_lowered

checks: Checks[Bench] = Checks()
check = checks.check


def estimate(
    bench: Bench, program: Program, outputs: tuple[Output, ...], sets: int, shots: int
) -> tuple[float, int]:
    """Seconds and bytes of a task. Raises what it is refused with."""
    found = bench.stand.call("estimate", bench.platform.estimate, bench.name, program, outputs, sets, shots)
    return found.cost_s, found.memory_bytes


@check("estimate.positive", "An estimate is positive and finite.", "Estimates")
def _positive(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    cost_s, memory_bytes = estimate(bench, program, outputs, 1, shots)
    expect(cost_s > 0 and math.isfinite(cost_s), "a positive time", cost_s)
    expect(memory_bytes >= 0, "memory of 0 or more", memory_bytes)


@check("estimate.same", "The same task has the same estimate: nothing is changed by asking.", "Estimates")
def _same(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    first, second = (estimate(bench, program, outputs, 1, shots) for _ in range(2))
    expect(first == second, first, second)


@check("estimate.sets", "It grows with the sets.", "Estimates")
def _by_sets(bench: Bench) -> None:
    _work(bench)
    program, outputs, shots = bench.small()
    few, many = (
        estimate(bench, program, outputs, s, shots)[0] for s in (1, min(5000, bench.profile.max_sets))
    )
    expect(many > few, f"more than {few:.3g} s", f"{many:.3g} s")


@check("estimate.shots", "It grows with the shots of memory=True.", "Estimates")
def _by_shots(bench: Bench) -> None:
    bench.answers(Memory)
    program, _, _ = bench.small()
    few, many = (estimate(bench, program, (Memory(),), 1, s)[0] for s in (1, bench.shots(1_000_000)))
    expect(many > few, f"more than {few:.3g} s", f"{many:.3g} s")


@check("estimate.gates", "It grows with the gates.", "Estimates")
def _by_gates(bench: Bench) -> None:
    _work(bench)
    _, outputs, shots = bench.small()
    costs = [
        estimate(
            bench,
            bench.circuits.place(bench.circuits.turn(0, 0.3) * n, 1, measured=[(0, 0)]).placed,
            outputs,
            1,
            shots,
        )[0]
        for n in (2, 2000)
    ]
    expect(costs[1] > costs[0], f"more than {costs[0]:.3g} s", f"{costs[1]:.3g} s")


def _work(bench: Bench) -> None:
    if not bench.profile.outputs:
        raise NotApplicable("it answers nothing, which takes the same time always")


@check(
    "estimate.too_wide",
    "A program wider than the device is refused: TooLarge, with both figures and what to do.",
    "Estimates",
)
def _too_wide(bench: Bench) -> None:
    width = bench.profile.max_qubits + 1
    if width > 1_000_000:
        raise NotApplicable("no program is wider than it")
    _, outputs, shots = bench.small()
    with refused(TooLarge, what=f"a program of {width} qubits") as caught:
        estimate(bench, Program(width, 0, 0, tuple(bench.circuits.flip(0))), outputs, 1, shots)
    text = str(caught[0])
    expect(str(width) in text and str(bench.profile.max_qubits) in text, "a message with both figures", text)


@check(
    "estimate.too_much",
    "A task whose answer or state does not fit is refused before it starts, not while it runs.",
    "Estimates",
)
def _too_much(bench: Bench) -> None:
    bench.answers(Statevector)
    width = bench.profile.max_qubits
    program = Program(width, 0, 0, tuple(bench.circuits.flip(0)))
    with refused(TooLarge, what="a thousand million statevectors of the whole device"):
        estimate(bench, program, (Statevector(),), 2**30, 0)


@check("estimate.output", "An output that is not claimed is refused: UnsupportedFeature.", "Estimates")
def _by_output(bench: Bench) -> None:
    kinds: list[Output] = [Counts(), Memory(), Statevector()]
    missing = [o for o in kinds if o.__struct_config__.tag not in bench.profile.outputs]
    if not missing:
        raise NotApplicable("it answers all of them")
    program, _, _ = bench.small()
    for output in missing:
        with refused(UnsupportedFeature, what=type(output).__name__):
            estimate(bench, program, (output,), 1, 0 if isinstance(output, Statevector) else 10)


@check(
    "estimate.not_lowered",
    "A program that is not lowered is refused where the device takes lowered ones only.",
    "Estimates",
)
def _estimate_lowered(bench: Bench) -> None:
    if not bench.profile.lowered_only:
        raise NotApplicable("it takes more than lowered programs")
    for program in not_lowered(bench):
        with refused(UnsupportedFeature, what="a program that is not lowered"):
            estimate(bench, program, (Counts(),), 1, 10)
