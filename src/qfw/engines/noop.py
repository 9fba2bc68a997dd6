"""NoopEngine: runs nothing. It measures what the stack itself costs, and is of no other use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qfw.engines.refusals import refuse_outputs
from qfw.model.device import Estimate
from qfw.model.gates import GATES
from qfw.model.outputs import Answer, Output
from qfw.model.program import MAX_QUBITS, Program


class NoopEngine:
    """Answers a task that asks for no outputs, with none. Takes any program; looks at none."""

    native_gates: ClassVar[frozenset[str]] = frozenset(GATES)
    outputs: ClassVar[frozenset[str]] = frozenset()
    max_qubits: ClassVar[int] = MAX_QUBITS
    control: ClassVar[bool] = False
    preference: ClassVar[int] = -100
    preferred_qubits: ClassVar[int] = 0

    def __init__(self, threads: int, wide_threads: int) -> None:
        """Threads are without effect."""

    @classmethod
    def version(cls) -> str | None:
        """A version of its own: there is no framework."""
        return "1"

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """One microsecond, no memory."""
        return _NOTHING

    def prepare(self, program: Program) -> Any:
        """None."""
        return None

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """No answers.

        Raises:
            UnsupportedFeature: an output is asked for.
        """
        refuse_outputs(outputs, self.outputs, "noop")
        return ()


_NOTHING = Estimate(cost_s=1e-6, memory_bytes=0)
