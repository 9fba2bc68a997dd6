"""ReadyEngine: has the answer before it is asked, so that only its way to the client takes time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from qfw.model.device import Estimate
from qfw.model.gates import GATES
from qfw.model.outputs import Answer, Array, StatevectorAnswer
from qfw.model.program import Program


class ReadyEngine:
    """Answers 0, 1, 2, … for a statevector, from one array that it keeps."""

    native_gates: ClassVar[frozenset[str]] = frozenset(GATES)
    outputs: ClassVar[frozenset[str]] = frozenset({"statevector"})
    max_qubits: ClassVar[int] = 24
    control: ClassVar[bool] = False
    preference: ClassVar[int] = -100
    preferred_qubits: ClassVar[int] = 0

    def __init__(self, threads: int, wide_threads: int) -> None:
        self._kept = np.empty((1, 0), dtype=np.complex128)

    @classmethod
    def version(cls) -> str | None:
        return "1"

    @classmethod
    def estimate(cls, program: Program, outputs: Any, sets: int, shots: int) -> Estimate:
        return Estimate(cost_s=1e-3, memory_bytes=16 * 2**program.num_qubits)

    def prepare(self, program: Program) -> int:
        return program.num_qubits

    def run(
        self, prepared: int, outputs: Any, parameters: Any, shots: int, seeds: Sequence[int]
    ) -> tuple[Answer, ...]:
        if self._kept.size != 2**prepared:
            self._kept = np.arange(2**prepared, dtype=np.complex128).reshape(1, -1)
        return (StatevectorAnswer(Array.of(self._kept)),)
