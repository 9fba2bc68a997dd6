"""ReferenceEngine: statevectors in NumPy, all parameter sets of a program at once. The yardstick."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qfw.engines.costs import Costs, estimate
from qfw.engines.expectations import expectations
from qfw.engines.prepared import PreparedProgram
from qfw.engines.refusals import memory_errors, refuse_control, refuse_gates, refuse_outputs
from qfw.engines.register import Register, basis_change
from qfw.model.device import Estimate
from qfw.model.outputs import Answer, Output
from qfw.model.program import Program
from qfw.numerics.answers import Answers, Readings
from qfw.numerics.gates import FORMS
from qfw.numerics.question import Question
from qfw.numerics.sampling import Stream

#: Amplitudes of all sets of a chunk together, unless one set alone has more: fits a second-level cache.
CHUNK_AMPLITUDES = 2**15
#: And this many coefficients of gates that depend on slots (16 MiB).
CHUNK_COEFFICIENTS = 2**20

Floats = npt.NDArray[np.float64]


class ReferenceEngine:
    """Every gate, exact or sampled answers, no dependency but NumPy.

    State: 16 · 2**qubits bytes for each set, twice for scratch; sets are run in chunks.
    """

    native_gates: ClassVar[frozenset[str]] = frozenset(FORMS)
    outputs: ClassVar[frozenset[str]] = frozenset(
        {"counts", "memory", "expectation", "probabilities", "statevector"}
    )
    max_qubits: ClassVar[int] = 30
    control: ClassVar[bool] = False
    preference: ClassVar[int] = 0
    preferred_qubits: ClassVar[int] = 0

    def __init__(self, threads: int, wide_threads: int) -> None:
        """Threads are without effect: NumPy's elementwise loops use one."""
        self._stream = Stream()

    @classmethod
    def version(cls) -> str | None:
        """NumPy's version."""
        return version("numpy")

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Calibrated on a 2.6 GHz AMD EPYC core."""
        return estimate(program, outputs, sets, shots, _COSTS)

    def prepare(self, program: Program) -> PreparedProgram:
        """Steps with constant gates fused, and the table of angles by kind of gate.

        Raises:
            UnsupportedFeature: control, reset or measurement before the end.
        """
        refuse_control(program, "reference")
        refuse_gates(program, self.native_gates, "reference")
        return PreparedProgram(program)

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """Answers in the order of `outputs`; see `qfw.qpm.engine.Engine`."""
        assert isinstance(prepared, PreparedProgram)
        refuse_outputs(outputs, self.outputs, "reference")
        question = prepared.questions.of(outputs, shots)
        sets, states = parameters.shape[0], 2**prepared.program.num_qubits
        chunk = max(1, min(CHUNK_AMPLITUDES // states, CHUNK_COEFFICIENTS // prepared.num_coefficients))
        answers = Answers(prepared.program, question, shots, self._stream)
        with memory_errors("reference", prepared.program.num_qubits, sets):
            for start in range(0, sets, chunk):
                register = prepared.final_states(parameters[start : start + chunk])
                answers.add(read(register, question), seeds[start : start + chunk])
            return answers.answers()


_COSTS = Costs(
    run_us=25.0,
    set_us=0.05,
    gate_us=2.0,
    sets_at_once=2**20,
    amplitude_ns=8.0,
    wide_amplitude_ns=10.0,
    term_ns=9.0,
    term_us=10.0,
    copies=2,
    term_copies=5,
)


def read(register: Register, question: Question) -> Readings:
    """What `question` needs of the states in `register`, which must stay until it is used."""
    state = register.state
    return Readings(
        vectors=state.T.copy() if question.wants_vector else None,
        values=expectations(state, question) if question.wants_values else None,
        distributions=(
            _probabilities(basis_change(register, basis) if basis else state) for basis in question.bases
        ),
    )


def _probabilities(state: npt.NDArray[np.complex128]) -> Floats:
    return np.ascontiguousarray((state.real**2 + state.imag**2).T)
