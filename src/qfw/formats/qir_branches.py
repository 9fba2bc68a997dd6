"""Branches on values that depend on measured bits, as operations; and their bits in the order of the records."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qfw.formats.qir_values import Bit, Choice, Diagrams, leaves
from qfw.model.errors import TooLarge
from qfw.model.program import IfElse, Measure, Operation, While


def labels(targets: object) -> list[str]:
    """The labels that targets lead to."""
    return [str(leaf) for leaf in leaves(targets)]


def without(diagrams: Diagrams, targets: object, first: str) -> object:
    """The targets where they are not `first`: there another one stands in, which cannot be met."""
    others = [label for label in labels(targets) if label != first]
    return diagrams.apply(lambda target: others[0] if target == first else target, targets)


def branch_on(
    pairs: Sequence[tuple[Bit, int]], then: tuple[Operation, ...], otherwise: tuple[Operation, ...]
) -> IfElse:
    """`then` where the bits have these values, `otherwise` elsewhere."""
    value = sum(high << position for position, (_, high) in enumerate(pairs))
    clbits = tuple(bit.clbit for bit, _ in pairs)
    if not then and len(pairs) == 1:
        return IfElse(clbits, 1 - value, otherwise)
    return IfElse(clbits, value, then, otherwise)


def chosen(value: object, operations: Callable[[object], tuple[object, ...]]) -> tuple[Operation, ...]:
    """Operations of the leaf that the bits choose."""
    if not isinstance(value, Choice):
        return operations(value)  # type: ignore[return-value]  # of a gate, the leaf is an operation
    pair = [(value.bit, 1)]
    then, otherwise = chosen(value.high, operations), chosen(value.low, operations)
    return (branch_on(pair, then, otherwise),) if then or otherwise else ()


def paths(value: object) -> list[object]:
    """The leaf of every way through a value; at most 10000."""
    if not isinstance(value, Choice):
        return [value]
    found = paths(value.low) + paths(value.high)
    if len(found) > 10_000:
        raise TooLarge("a condition on measured bits has more than 10000 cases")
    return found


def used(operations: Sequence[Operation]) -> set[int]:
    """The results that operations measure into or ask for."""
    found: set[int] = set()
    for op in operations:
        match op:
            case Measure():
                found.add(op.clbit)
            case IfElse():
                found.update(op.clbits, used(op.then), used(op.otherwise))
            case While():
                found.update(op.clbits, used(op.body))
    return found


def moved(operations: Sequence[Operation], clbits: dict[int, int]) -> tuple[Operation, ...]:
    """The operations with their bits renumbered."""
    out: list[Operation] = []
    for op in operations:
        match op:
            case Measure():
                out.append(Measure(op.qubit, clbits[op.clbit]))
            case IfElse():
                places = tuple(clbits[bit] for bit in op.clbits)
                out.append(IfElse(places, op.value, moved(op.then, clbits), moved(op.otherwise, clbits)))
            case While():
                places = tuple(clbits[bit] for bit in op.clbits)
                out.append(While(places, op.value, moved(op.body, clbits), op.max_trips))
            case _:
                out.append(op)
    return tuple(out)
