"""Which observables are asked of which parameter sets: work is done once, and none that was not asked for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.intp]


class Group(NamedTuple):
    """Parameter sets of which the same observables are asked."""

    #: Numbers of the parameter sets, shape (rows,); rising.
    sets: Ints
    #: Numbers of the observables, shape (columns,); rising.
    observables: Ints
    #: Elements of the flat broadcast array that are found here, shape (elements,).
    elements: Ints
    #: For each of these: its row and its column, shape (elements,).
    rows: Ints
    columns: Ints


def groups(sets: Ints, observables: Ints) -> list[Group]:
    """The pairs (set, observable) as few rectangles, in which each pair is once.

    Args:
        sets, observables: of each element of the broadcast array its parameter set and its observable,
            numbers from 0, each number in use; shape (elements,).
    """
    if not sets.size:
        return []
    num_sets, num_observables = int(sets.max()) + 1, int(observables.max()) + 1
    pairs = np.unique(sets * num_observables + observables)
    if pairs.size == num_sets * num_observables:
        everything = np.arange(sets.size)
        return [Group(np.arange(num_sets), np.arange(num_observables), everything, sets, observables)]
    of_set = np.split(
        pairs % num_observables, np.searchsorted(pairs, np.arange(1, num_sets) * num_observables)
    )
    numbers: dict[bytes, int] = {}
    members: list[list[int]] = []
    group_of, row_of = np.empty(num_sets, dtype=np.intp), np.empty(num_sets, dtype=np.intp)
    for number, asked in enumerate(of_set):
        group = numbers.setdefault(asked.tobytes(), len(members))
        if group == len(members):
            members.append([])
        group_of[number], row_of[number] = group, len(members[group])
        members[group].append(number)
    groups_of_elements = group_of[sets]
    order = np.argsort(groups_of_elements, kind="stable")
    starts = np.searchsorted(groups_of_elements[order], np.arange(1, len(members)))
    found = []
    for group_sets, elements in zip(members, np.split(order, starts), strict=True):
        columns = of_set[group_sets[0]]
        found.append(
            Group(
                np.array(group_sets, dtype=np.intp),
                columns,
                elements,
                row_of[sets[elements]],
                np.searchsorted(columns, observables[elements]),
            )
        )
    return found


def numbered(shape: tuple[int, ...], numbers: Ints, broadcast: tuple[int, ...]) -> Ints:
    """Number of each element of an array of `shape`, for each element of what it is broadcast to; flat."""
    return np.broadcast_to(numbers.reshape(shape), broadcast).reshape(-1)
