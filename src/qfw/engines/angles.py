"""Sums of a program's angles as functions of its slots, for engines that take their angles one by one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from qfw.model.program import Program

Floats = npt.NDArray[np.float64]

#: A weighted sum of the program's angles: pairs (place in its angle table, weight).
Sum = list[tuple[int, float]]


class AngleSums:
    """Several sums of angles, worked out for all parameter sets at once."""

    def __init__(self, program: Program, sums: Sequence[Sum]) -> None:
        """Affine in the slots, as the angles are."""
        table = program.angle_table
        self._matrix = np.zeros((program.num_slots, len(sums)))
        self._offsets = np.zeros(len(sums))
        for column, terms in enumerate(sums):
            for angle, weight in terms:
                self._matrix[:, column] += weight * table.matrix[angle]
                self._offsets[column] += weight * table.offsets[angle]

    def bind(self, parameters: Floats) -> Floats:
        """The sums in each set: shape (sets, sums), radians."""
        found: Floats = parameters @ self._matrix + self._offsets
        return found
