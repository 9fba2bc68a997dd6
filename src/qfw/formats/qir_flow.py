"""Where the branches of a function meet again, and where its loops are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from qfw.model.errors import UnsupportedFeature

#: The end of the function, as a place where branches meet.
END = ""


class Loop(NamedTuple):
    """The blocks from which a block, the header, is come back to."""

    header: str
    blocks: frozenset[str]
    #: Edges (from, to) that leave it.
    exits: tuple[tuple[str, str], ...]


class Flow(NamedTuple):
    """What is known of a function's control flow."""

    #: Label -> the block that every way from it to the end goes through next; END where there is none.
    joins: Mapping[str, str]
    #: Header -> loop.
    loops: Mapping[str, Loop]


def flow(entry: str, successors: Mapping[str, Sequence[str]]) -> Flow:
    """The flow of a function whose blocks go on to these.

    Raises:
        UnsupportedFeature: a block from which the end cannot be reached.
    """
    order, backward = _walk(entry, lambda label: successors[label])
    reachable = set(order)
    predecessors: dict[str, list[str]] = {label: [] for label in order}
    predecessors[END] = []
    for label in order:
        for target in successors[label] or (END,):
            predecessors[target].append(label)
    from_end, _ = _walk(END, lambda label: predecessors[label])
    if lost := reachable.difference(from_end):
        label = min(lost, key=order.index)
        raise UnsupportedFeature(f"from block {label} on, the QIR is a loop without end")
    return Flow(_joins(from_end, successors), _loops(backward, successors, predecessors))


def _walk(start: str, following: Callable[[str], Sequence[str]]) -> tuple[list[str], list[tuple[str, str]]]:
    """Blocks in reverse post-order of a depth-first walk, and the edges that go back on its way."""
    state = {start: 1}
    stack = [(start, iter(following(start)))]
    finished: list[str] = []
    backward: list[tuple[str, str]] = []
    while stack:
        label, targets = stack[-1]
        for target in targets:
            if target not in state:
                state[target] = 1
                stack.append((target, iter(following(target))))
                break
            if state[target] == 1:
                backward.append((label, target))
        else:
            state[label] = 2
            finished.append(label)
            stack.pop()
    return finished[::-1], backward


def _joins(order: list[str], successors: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Immediate post-dominators, by the iteration of Cooper, Harvey and Kennedy."""
    place = {label: position for position, label in enumerate(order)}
    joins = {END: END}
    changed = True
    while changed:
        changed = False
        for label in order[1:]:
            meeting: str | None = None
            for target in successors[label] or (END,):
                if target not in joins:
                    continue
                if meeting is None:
                    meeting = target
                    continue
                left, right = meeting, target
                while left != right:
                    while place[left] > place[right]:
                        left = joins[left]
                    while place[right] > place[left]:
                        right = joins[right]
                meeting = left
            if meeting is not None and joins.get(label) != meeting:
                joins[label] = meeting
                changed = True
    return joins


def _loops(
    backward: list[tuple[str, str]],
    successors: Mapping[str, Sequence[str]],
    predecessors: Mapping[str, Sequence[str]],
) -> dict[str, Loop]:
    blocks: dict[str, set[str]] = {}
    for latch, header in backward:
        body = blocks.setdefault(header, {header})
        open_blocks = [latch]
        while open_blocks:
            label = open_blocks.pop()
            if label not in body:
                body.add(label)
                open_blocks += predecessors[label]
    return {
        header: Loop(
            header,
            frozenset(body),
            tuple((label, target) for label in body for target in successors[label] if target not in body),
        )
        for header, body in blocks.items()
    }
