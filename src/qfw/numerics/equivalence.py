"""Whether a program does what another one did, before tools had it: found by computing both, to a width.

What a tool promises is the state that |0…0> becomes, up to its global phase, on the qubits that the layout names. Of
programs with control it is the distribution of the outcomes. Slots are filled with random numbers: states are
trigonometric polynomials of the slots, so two that agree at a random place agree everywhere with certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.errors import TooLarge
from qfw.model.operations import acted_on
from qfw.model.program import Gate, Measure, Program
from qfw.numerics import branches
from qfw.numerics.states import (
    Complex,
    evolve,
    ground,
    narrowed,
    random_products,
    slots_filled,
    spread,
)

#: Statevectors are computed to this width (16 MiB), and unitaries of so many qubits.
STATE_QUBITS, UNITARY_QUBITS = 20, 10
#: Amplitudes times gates that a unitary may take, before inputs are drawn at random instead.
UNITARY_WORK = 2**30
#: Executions of each program where there are too many courses to follow all, and the chance of a false alarm.
SHOTS, FALSE_ALARM = 1500, 1e-9
#: Parities of classical bits that are compared then.
PARITIES = 64

Floats = npt.NDArray[np.float64]


class Verdict(NamedTuple):
    """What a comparison found."""

    equal: bool
    #: Where equal what was compared; else the first thing that differs.
    text: str


class Pair(NamedTuple):
    """A program as it was given, and what became of it, both on the qubits that matter."""

    given: Program
    found: Program
    #: Of each qubit of `given` the qubit of `found` that it is on at the end.
    places: tuple[int, ...]
    #: What the qubits of both are called where they came from.
    given_names: tuple[int, ...]
    found_names: tuple[int, ...]


def pair(given: Program, found: Program, layout: Sequence[int] | None) -> Pair | Verdict:
    """Both programs without the qubits on which nothing happens; a Verdict where their forms differ already."""
    if found.num_slots != given.num_slots:
        return Verdict(False, f"{given.num_slots} slots went in, and {found.num_slots} came out")
    if given.has_measurements and found.num_clbits < given.num_clbits:
        return Verdict(False, f"{given.num_clbits} classical bits went in, and {found.num_clbits} came out")
    if given.has_measurements and not found.has_measurements:
        return Verdict(False, "what went in measures, and what came out measures nothing")
    if found.has_measurements and not given.has_measurements:
        # Measured, it answers each of its qubits.
        given = _measured(given, range(given.num_qubits))
    places = tuple(range(given.num_qubits)) if layout is None else tuple(layout)
    inside = all(0 <= place < found.num_qubits for place in places)
    if len(places) != given.num_qubits or len(set(places)) != len(places) or not inside:
        return Verdict(
            False,
            f"the layout {places} gives {given.num_qubits} qubits no place of their own in {found.num_qubits}",
        )
    kept = sorted(acted_on(given.operations)) or [0]
    if not given.has_measurements and given.has_control:
        # All qubits are outcomes.
        kept = list(range(given.num_qubits))
    ends = [places[qubit] for qubit in kept]
    wide = sorted({*acted_on(found.operations), *ends})
    index = {qubit: number for number, qubit in enumerate(wide)}
    return Pair(
        narrowed(given, kept),
        narrowed(found, wide),
        tuple(index[place] for place in ends),
        tuple(kept),
        tuple(wide),
    )


def random_sets(num_slots: int, sets: int, rng: np.random.Generator) -> Floats:
    """Values of slots, shape (sets, slots), radians; one set where there are no slots."""
    found: Floats = rng.uniform(-math.pi, math.pi, size=(sets if num_slots else 1, num_slots))
    return found


def states_agree(both: Pair, sets: Floats, tolerance: float) -> Verdict:
    """Whether |0…0> becomes the same, for every set of values.

    Raises:
        TooLarge: more qubits than statevectors are computed of.
    """
    _check_width(both)
    for number, values in enumerate(sets):
        wrong = _first_difference(both, values, None, None, tolerance)
        if wrong:
            return Verdict(False, f"{wrong}{_of_set(number, sets)}")
    return Verdict(True, f"states from |0…0>, {_figures(both, sets)}, to {tolerance:g}")


def unitaries_agree(both: Pair, sets: Floats, tolerance: float) -> Verdict:
    """Whether every basis state becomes the same, with one phase for all.

    Raises:
        TooLarge: more than UNITARY_QUBITS qubits.
    """
    _check_width(both)
    qubits = both.given.num_qubits
    if qubits > UNITARY_QUBITS:
        raise TooLarge(
            f"unitaries are computed of {UNITARY_QUBITS} qubits at most; {qubits} are used. Use method stimuli"
        )
    return _inputs_agree(
        both, sets, tolerance, np.eye(2**qubits, dtype=np.complex128), "basis state", "unitaries"
    )


def stimuli_agree(
    both: Pair, sets: Floats, tolerance: float, stimuli: int, rng: np.random.Generator
) -> Verdict:
    """Whether so many random product states become the same, with one phase for all.

    Programs that differ on a part of the inputs of measure more than 0 differ on these with certainty.

    Raises:
        TooLarge: more qubits than statevectors are computed of.
    """
    _check_width(both)
    inputs = random_products(both.given.num_qubits, stimuli, rng)
    return _inputs_agree(
        both, sets, tolerance, inputs, "random product state", f"{stimuli} random product states"
    )


def unitary_work(both: Pair, sets: Floats) -> int:
    """Amplitudes times gates of comparing unitaries."""
    gates = sum(1 for _ in both.given.gates()) + sum(1 for _ in both.found.gates())
    return int(gates * len(sets) << (both.found.num_qubits + both.given.num_qubits))


def same_measurements(both: Pair) -> bool:
    """Whether the same classical bits are read of the same qubits; of programs without control."""
    if not both.given.has_measurements:
        return True
    before, behind = (
        {clbit: qubit for qubit, clbit in program.terminal_measurements}
        for program in (both.given, both.found)
    )
    return {clbit: both.places[qubit] for clbit, qubit in before.items()} == behind


def distributions_agree(both: Pair, sets: Floats, tolerance: float) -> Verdict:
    """Whether every outcome has the same probability, for every set of values.

    Raises:
        TooLarge: wider than statevectors are computed of, or more courses than are followed.
    """
    _check_width(both)
    for number, values in enumerate(sets):
        wanted, found = (branches.distribution(p) for p in _both_measured(both, values))
        for outcome in sorted({*wanted, *found}):
            before, behind = wanted.get(outcome, 0.0), found.get(outcome, 0.0)
            if abs(before - behind) > tolerance:
                bits = f"{outcome:0{max(both.given.num_bits, 1)}b}"
                return Verdict(
                    False,
                    f"outcome {bits} had probability {before:.6g}, and has {behind:.6g}{_of_set(number, sets)}",
                )
    return Verdict(
        True, f"distributions of outcomes, every course followed, {_figures(both, sets)}, to {tolerance:g}"
    )


def samples_agree(both: Pair, sets: Floats, rng: np.random.Generator) -> Verdict:
    """Whether parities of the outcomes of random executions agree, as far as samples say.

    Hoeffding: the mean of SHOTS parities of each differs by more than `far` with the chance FALSE_ALARM in all.
    """
    _check_width(both)
    tests = PARITIES * len(sets)
    far = 2 * math.sqrt(math.log(2 * tests / FALSE_ALARM) / SHOTS)
    bits = max(both.given.num_bits, 1)
    masks = [1 << bit for bit in range(min(bits, PARITIES))]
    masks += [sum(1 << int(bit) for bit in np.flatnonzero(rng.integers(0, 2, bits))) for _ in masks]
    for number, values in enumerate(sets):
        seen = [branches.sampled(program, SHOTS, rng) for program in _both_measured(both, values)]
        for mask in masks[:PARITIES]:
            before, behind = (
                sum(1 - 2 * ((outcome & mask).bit_count() & 1) for outcome in outcomes) / SHOTS
                for outcomes in seen
            )
            if abs(before - behind) > far:
                return Verdict(
                    False,
                    f"the parity of bits {mask:b} was {before:.3f} on average, and is {behind:.3f}, of {SHOTS} "
                    f"executions each{_of_set(number, sets)}",
                )
    return Verdict(
        True,
        f"parities of outcomes of {SHOTS} executions, {_figures(both, sets)}, to {far:.3f}; a false alarm has a "
        f"chance of {FALSE_ALARM:g}",
    )


def compare(
    given: Program,
    found: Program,
    layout: Sequence[int] | None,
    keeps: str = "equivalence",
    *,
    sets: int = 2,
    stimuli: int = 8,
    seed: int = 0,
    tolerance: float = 1e-6,
) -> Verdict:
    """Compares by the strongest of the ways above that fits what was promised and how large the programs are.

    Programs without control: unitaries, above their width and work random inputs; where these differ and the states
    from |0…0> do not, a tool used that qubits begin in |0>, as it may. Programs with control: distributions.

    Args:
        given: as it was.
        found: what became of it.
        layout: where each qubit of `given` is at the end; None: where it was.
        keeps: what the tools between promise: `equivalence`, `distribution` or `expectation`.
        sets: random values of the slots.
        stimuli: random inputs.
        seed: of all that is random.
        tolerance: of norms of states, and of probabilities.

    Raises:
        TooLarge: too wide for any of the ways.
    """
    both = pair(given, found, layout)
    if isinstance(both, Verdict):
        return both
    rng = np.random.default_rng(seed)
    values = random_sets(given.num_slots, sets, rng)
    if given.has_control or found.has_control or keeps == "distribution":
        return _outcomes(both, values, tolerance, rng)
    if keeps == "expectation":
        return states_agree(both, values, tolerance)
    if not same_measurements(both):
        verdict = _outcomes(both, values, tolerance, rng)
        if not verdict.equal:
            return verdict
    state = states_agree(both, values, tolerance)
    if not state.equal:
        return state
    small = both.given.num_qubits <= UNITARY_QUBITS and unitary_work(both, values) <= UNITARY_WORK
    every = (
        unitaries_agree(both, values, tolerance)
        if small
        else stimuli_agree(both, values, tolerance, stimuli, rng)
    )
    return (
        every if every.equal else Verdict(True, f"{state.text}; on other inputs they differ, which tools may")
    )


def _outcomes(both: Pair, values: Floats, tolerance: float, rng: np.random.Generator) -> Verdict:
    try:
        return distributions_agree(both, values, tolerance)
    except TooLarge:
        return samples_agree(both, values, rng)


def _check_width(both: Pair) -> None:
    width = max(both.found.num_qubits, both.given.num_qubits)
    if width > STATE_QUBITS:
        raise TooLarge(
            f"statevectors are computed of {STATE_QUBITS} qubits at most; the program acts on {width}. Use method "
            "diagrams (pip install 'qfw[verify]'), or verify a narrower program"
        )


def _both_measured(both: Pair, values: npt.ArrayLike) -> tuple[Program, Program]:
    """Both with slots filled; where nothing is measured, each of the given qubits is, into the bit of its number."""
    given, found = slots_filled(both.given, values), slots_filled(both.found, values)
    if not given.has_measurements:
        found, given = _measured(found, both.places), _measured(given, range(given.num_qubits))
    return given, found


def _measured(program: Program, places: Sequence[int]) -> Program:
    """With a measurement of each of these qubits at the end, into the bits from 0 on."""
    ending = tuple(Measure(place, bit) for bit, place in enumerate(places))
    clbits = max(program.num_clbits, len(ending))
    return Program(program.num_qubits, clbits, program.num_slots, program.operations + ending)


def _inputs_agree(
    both: Pair, sets: Floats, tolerance: float, inputs: Complex, kind: str, what: str
) -> Verdict:
    for number, values in enumerate(sets):
        begins = _begins(both, values, tolerance)
        if begins is None:
            return Verdict(
                False, f"no place where the qubits begin makes them the same{_of_set(number, sets)}"
            )
        wrong = _first_difference(both, values, inputs, begins, tolerance)
        if wrong:
            return Verdict(False, f"{wrong}, of {kind}s as inputs{_of_set(number, sets)}")
    return Verdict(True, f"{what}, {_figures(both, sets)}, to {tolerance:g}")


def _begins(both: Pair, values: npt.ArrayLike, tolerance: float) -> list[int] | None:
    """Where each of the given qubits begins in the program that was found; None: nowhere.

    A qubit that is flipped at the beginning leads to an end of its own, orthogonal to those of other qubits' flips.
    So the end that the given program makes of a flip says which qubit of the found program it is a flip of.
    """
    given, found = slots_filled(both.given, values), slots_filled(both.found, values)
    small, wide = given.num_qubits, found.num_qubits
    wanted = np.zeros((2**small, small), dtype=np.complex128)
    wanted[1 << np.arange(small), np.arange(small)] = 1.0
    flipped = np.zeros((2**wide, wide), dtype=np.complex128)
    flipped[1 << np.arange(wide), np.arange(wide)] = 1.0
    evolve(wanted, _gates(given), small)
    evolve(flipped, _gates(found), wide)
    overlaps = np.abs(spread(wanted, both.places, wide).conj().T @ flipped)
    places = [int(place) for place in overlaps.argmax(axis=1)]
    sure = all(overlaps[qubit, place] > 1 - max(tolerance, 1e-9) for qubit, place in enumerate(places))
    return places if sure and len(set(places)) == small else None


def _first_difference(
    both: Pair, values: npt.ArrayLike, inputs: Complex | None, begins: Sequence[int] | None, tolerance: float
) -> str:
    """What differs most of the first input that differs; empty where none does. `inputs` None: |0…0>."""
    given, found = slots_filled(both.given, values), slots_filled(both.found, values)
    small, wide = given.num_qubits, found.num_qubits
    before = ground(small) if inputs is None else inputs.copy()
    behind = ground(wide) if inputs is None else spread(before, begins or (), wide)
    evolve(before, _gates(given), small)
    evolve(behind, _gates(found), wide)
    wanted = spread(before, both.places, wide)
    overlap = np.vdot(wanted, behind)
    if abs(overlap) > 0:
        wanted *= overlap / abs(overlap)
    off = wanted - behind
    norms = np.linalg.norm(off, axis=0)
    columns = np.flatnonzero(~(norms <= tolerance))
    if not columns.size:
        return ""
    column = int(columns[0])
    # Of equal differences that of an amplitude that is there, and should not be.
    row = int((np.abs(off[:, column]) + 1e-9 * np.abs(behind[:, column])).argmax())
    bits = "".join(str(row >> place & 1) for place in reversed(both.places))
    spare = [both.found_names[q] for q in range(wide) if row >> q & 1 and q not in both.places]
    beside = f", with spare qubits {spare} in |1>" if spare else ""
    which = "" if inputs is None else f"input {column}: "
    return (
        f"{which}the amplitude of |{bits}> on qubits {list(reversed(both.given_names))}{beside} was "
        f"{_number(wanted[row, column])}, and is {_number(behind[row, column])} (distance of the states "
        f"{norms[column]:.3g}, up to a global phase)"
    )


def _gates(program: Program) -> list[Gate]:
    return [op for op in program.operations if isinstance(op, Gate)]


def _number(amplitude: complex) -> str:
    return f"{amplitude.real:.4f}{amplitude.imag:+.4f}i"


def _of_set(number: int, sets: Floats) -> str:
    if not sets.shape[1]:
        return ""
    shown = ", ".join(f"{value:.6g}" for value in sets[number][:6].tolist())
    return f"; slots at [{shown}{', …' if sets.shape[1] > 6 else ''}]"


def _figures(both: Pair, sets: Floats) -> str:
    slots = f" at {len(sets)} random values of the slots" if sets.shape[1] else ""
    return f"{both.given.num_qubits} qubits on {both.found.num_qubits}{slots}"
