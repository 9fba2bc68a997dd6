"""Protocol of an engine: what runs inside a worker.

A plugin of the entry point group `qfw.engines` is a class. Its module must import
without its framework (qpmd reads the class to estimate and describe); the framework is
imported by the constructor, inside the limited worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from qfw.model.device import Estimate
from qfw.model.outputs import Answer, Output
from qfw.model.program import Program


@runtime_checkable
class Engine(Protocol):
    """Runs programs; one instance lives in one worker process."""

    #: Gates of `qfw.model.gates` that `prepare` takes; others are lowered to these first.
    native_gates: ClassVar[frozenset[str]]
    #: Tags of the outputs that `run` answers.
    outputs: ClassVar[frozenset[str]]
    #: Largest register whatever the memory.
    max_qubits: ClassVar[int]
    #: Whether programs may measure and reset before their end, and branch on what was measured.
    control: ClassVar[bool]
    #: Where a task may run on several engines, the highest is chosen first …
    preference: ClassVar[int]
    #: … among those for which its register is not wider than this.
    preferred_qubits: ClassVar[int]

    def __init__(self, threads: int, wide_threads: int) -> None:
        """Imports the framework.

        How many threads a task gets depends on the task alone, never on what else is running.

        Args:
            threads: of most tasks.
            wide_threads: of tasks so wide that more threads than these make them faster; the engine knows which.

        Raises:
            NotInstalled: the framework is missing, with what to install.
        """
        ...

    @classmethod
    def version(cls) -> str | None:
        """Version of the framework, found without importing it; None where it is not installed."""
        ...

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Time on one worker and memory that the task will need."""
        ...

    def prepare(self, program: Program) -> Any:
        """What `run` needs of a program whose gates are native; done once per structure.

        Raises:
            UnsupportedFeature: control, mid-circuit measurement, … that this engine does not do.
        """
        ...

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """Answers in the order of `outputs`.

        Args:
            prepared: of `prepare`.
            outputs: checked by `check_outputs`.
            parameters: shape (sets, slots), radians, finite.
            shots: 0 for exact answers.
            seeds: one for each set, 0 to 2**64 - 1; equal seeds give equal answers.
        """
        ...
