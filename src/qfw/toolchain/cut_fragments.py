"""Fragments: the parts that a program falls into at its cuts, and their programs for each setting of their ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

from qfw.model.program import Affine, Angle, Barrier, Delay, Gate, Operation, Program
from qfw.toolchain import cut_wires
from qfw.toolchain.axes import axis
from qfw.toolchain.cut_gates import Place, halves, placed
from qfw.toolchain.cut_steps import Step, Steps


class Cuts(NamedTuple):
    """Where a program is cut. Each cut is a bond between two ends, wires first, in the order of these."""

    #: Pairs (track, number of the step just before which the wire is cut).
    wires: tuple[tuple[int, int], ...] = ()
    #: Numbers of steps.
    gates: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.wires) + len(self.gates)


class End(NamedTuple):
    """A fragment's end of a bond, on one of its qubits."""

    bond: int
    #: 0: a wire's before, or a gate's first; 1: a wire's behind, or a gate's second.
    side: int
    qubit: int


class Half(NamedTuple):
    """Where a fragment has an end of a cut gate: gates before and after, on its qubit."""

    leg: int
    before: tuple[Gate, ...]
    after: tuple[Gate, ...]


class Fragment(NamedTuple):
    """A part of the program, on qubits of its own."""

    num_qubits: int
    parts: tuple[Operation | Half, ...]
    #: Ends that are prepared, that are measured, and of cut gates.
    prepared: tuple[End, ...]
    measured: tuple[End, ...]
    legs: tuple[End, ...]
    #: Of each leg whether it is last: all that follows on its qubit is diagonal.
    last: tuple[bool, ...]
    #: Qubit of each track that ends here.
    places: dict[int, int]

    @property
    def bonds(self) -> tuple[End, ...]:
        """All ends, in the order of a tensor's axes."""
        return self.prepared + self.legs + self.measured


class Setting(NamedTuple):
    """What stands at the ends of a fragment: states and places, by number."""

    states: tuple[int, ...]
    #: Of each leg; of one that is last, where nothing stands, the component that meets the observable.
    places: tuple[int, ...]
    #: How many of the places are measured.
    signs: int


def settings(fragment: Fragment, sampled: bool) -> Iterator[Setting]:
    """All settings of a fragment, the last end's first."""
    states = [range(cut_wires.states(sampled))] * len(fragment.prepared)
    places = [range(4 if last else len(Place)) for last in fragment.last]
    for chosen in product(*states, *places):
        own = chosen[len(states) :]
        signs = sum(place == Place.SIGN and not last for place, last in zip(own, fragment.last, strict=True))
        yield Setting(chosen[: len(states)], own, signs)


def programs(
    fragment: Fragment, setting: Setting, num_slots: int, sampled: bool, bases: Sequence[str] = ()
) -> tuple[Program, ...]:
    """Programs of which the mean is a setting's answer: one, or more where several signs share the ancilla.

    Args:
        fragment: of the program.
        setting: what stands at its ends.
        num_slots: of the program.
        sampled: which states are prepared.
        bases: X, Y or Z for each measured end: what is turned into Z there; none: nothing is.
    """
    start: list[Operation] = []
    for end, state in zip(fragment.prepared, setting.states, strict=True):
        start.extend(cut_wires.prepared(state, end.qubit, sampled))
    finish: list[Operation] = []
    for end, basis in zip(fragment.measured, bases, strict=bool(bases)):
        finish.extend(cut_wires.turned(basis, end.qubit))
    width = fragment.num_qubits + bool(setting.signs)
    return tuple(
        Program(width, 0, num_slots, (*start, *_middle(fragment, setting, turned), *finish))
        for turned in product((False, True), repeat=max(setting.signs - 1, 0))
    )


def _middle(fragment: Fragment, setting: Setting, turned: tuple[bool, ...]) -> Iterator[Operation]:
    # Of equal cross terms either sign may come first: the first SIGN is never turned.
    signs = iter((False, *turned))
    for part in fragment.parts:
        if not isinstance(part, Half):
            yield part
            continue
        yield from part.before
        if not fragment.last[part.leg]:
            place, qubit = Place(setting.places[part.leg]), fragment.legs[part.leg].qubit
            yield from placed(place, qubit, fragment.num_qubits, place is Place.SIGN and next(signs))
        yield from part.after


def angle_of(steps: Steps, number: int) -> Angle:
    """Angle of the rzz that the gate of a step is."""
    op = steps.steps[number].op
    assert isinstance(op, Gate)
    found = halves(op)
    assert found is not None
    return found.angle


def cosine_program(angle: Affine, num_slots: int) -> Program:
    """A program of one qubit whose <Z> and <X> are the cosine and the sine of an angle that depends on slots."""
    return Program(1, 0, num_slots, (Gate("ry", (0,), (angle,)),))


def fragments(steps: Steps, cuts: Cuts) -> tuple[Fragment, ...]:
    """What a program falls into; in the order of their first tracks."""
    segment_of = _segments(steps, cuts)
    groups = _joined(segment_of, steps, cuts)
    builders: dict[int, _Builder] = {}
    for segment in range(len(groups)):
        builders.setdefault(groups[segment], _Builder()).add(segment)
    behind = {(track, number): bond for bond, (track, number) in enumerate(cuts.wires)}
    legs = {number: len(cuts.wires) + order for order, number in enumerate(cuts.gates)}
    current = [segment_of[track][0][1] for track in range(steps.num_tracks)]
    for number, step in enumerate(steps.steps):
        for track in step.tracks:
            if (bond := behind.get((track, number))) is not None:
                before, after = current[track], _at(segment_of[track], number)
                builders[groups[before]].measured.append((bond, before))
                builders[groups[after]].prepared.append((bond, after))
                current[track] = after
        if number in legs:
            assert isinstance(step.op, Gate)
            found = halves(step.op)
            assert found is not None
            for side, track in enumerate(step.tracks):
                segment = current[track]
                builders[groups[segment]].cut(
                    legs[number], side, segment, found.before[side], found.after[side]
                )
            continue
        held: dict[int, list[int]] = {}
        for track in step.tracks:
            held.setdefault(groups[current[track]], []).append(current[track])
        for group, segments in held.items():
            builders[group].operation(step, segments)
    for track, segment in enumerate(current):
        builders[groups[segment]].ends[track] = segment
    return tuple(builder.built() for builder in builders.values())


class _Builder:
    """A fragment as it is put together."""

    def __init__(self) -> None:
        self._index: dict[int, int] = {}
        self._parts: list[Operation | Half] = []
        self._legs: list[End] = []
        #: Pairs (bond, segment).
        self.prepared: list[tuple[int, int]] = []
        self.measured: list[tuple[int, int]] = []
        self.ends: dict[int, int] = {}

    def add(self, segment: int) -> None:
        self._index[segment] = len(self._index)

    def cut(
        self, bond: int, side: int, segment: int, before: tuple[Gate, ...], after: tuple[Gate, ...]
    ) -> None:
        qubit = self._index[segment]
        self._parts.append(Half(len(self._legs), _on(before, qubit), _on(after, qubit)))
        self._legs.append(End(bond, side, qubit))

    def operation(self, step: Step, segments: Sequence[int]) -> None:
        qubits = tuple(self._index[segment] for segment in segments)
        match step.op:
            case Gate():
                self._parts.append(Gate(step.op.name, qubits, step.op.angles))
            case Barrier():
                self._parts.append(Barrier(qubits))
            case Delay():
                self._parts.append(Delay(qubits[0], step.op.duration_ns))

    def built(self) -> Fragment:
        return Fragment(
            len(self._index),
            tuple(self._parts),
            tuple(End(bond, 1, self._index[segment]) for bond, segment in self.prepared),
            tuple(End(bond, 0, self._index[segment]) for bond, segment in self.measured),
            tuple(self._legs),
            self._last(),
            {track: self._index[segment] for track, segment in self.ends.items()},
        )

    def _last(self) -> tuple[bool, ...]:
        """Of each leg whether all that follows on its qubit is diagonal."""
        turned: set[int] = set()
        found = [False] * len(self._legs)
        for part in reversed(self._parts):
            if isinstance(part, Gate):
                turned.update(qubit for qubit in part.qubits if axis(part, qubit) != "Z")
            elif isinstance(part, Half):
                qubit = self._legs[part.leg].qubit
                if any(axis(gate, qubit) != "Z" for gate in part.after):
                    turned.add(qubit)
                found[part.leg] = qubit not in turned
                if any(axis(gate, qubit) != "Z" for gate in part.before):
                    turned.add(qubit)
        return tuple(found)


def _on(gates: Iterable[Gate], qubit: int) -> tuple[Gate, ...]:
    return tuple(Gate(gate.name, (qubit,), gate.angles) for gate in gates)


def _segments(steps: Steps, cuts: Cuts) -> list[list[tuple[int, int]]]:
    """Of each track its segments: pairs (first step, number), in order."""
    found: list[list[tuple[int, int]]] = [[] for _ in range(steps.num_tracks)]
    starts: list[list[int]] = [[0] for _ in range(steps.num_tracks)]
    for track, number in sorted(cuts.wires):
        starts[track].append(number)
    total = 0
    for track, firsts in enumerate(starts):
        for first in firsts:
            found[track].append((first, total))
            total += 1
    return found


def _at(segments: Sequence[tuple[int, int]], number: int) -> int:
    """The segment that begins at a step."""
    return next(segment for first, segment in reversed(segments) if first == number)


def _joined(segment_of: list[list[tuple[int, int]]], steps: Steps, cuts: Cuts) -> list[int]:
    """Of each segment the first of those that gates join it to."""
    group = list(range(sum(map(len, segment_of))))

    def root(segment: int) -> int:
        while group[segment] != segment:
            group[segment] = group[group[segment]]
            segment = group[segment]
        return segment

    uncut = set(range(len(steps.steps))).difference(cuts.gates)
    for number, step in enumerate(steps.steps):
        if not step.joins or number not in uncut:
            continue
        roots = [
            root(next(s for first, s in reversed(segment_of[track]) if first <= number))
            for track in step.tracks
        ]
        for other in roots:
            group[max(roots[0], other)] = group[min(roots[0], other)]
            roots[0] = root(roots[0])
    return [root(segment) for segment in range(len(group))]
