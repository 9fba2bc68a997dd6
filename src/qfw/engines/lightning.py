"""LightningEngine: statevectors by PennyLane-Lightning (C++, AVX2 and AVX-512), one set after the other.

Its binding module is used directly: that takes 4 ms to import, PennyLane seconds. A state asked for with 64
qubits silently has none: so programs wider than the engine holds are refused first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from qfw.engines.costs import Costs, estimate
from qfw.engines.installed import installed
from qfw.engines.kernels import METHODS
from qfw.engines.lightning_program import LightningProgram, States
from qfw.engines.refusals import memory_errors, refuse_control, refuse_gates, refuse_outputs
from qfw.model.device import Estimate
from qfw.model.errors import NotInstalled, SetupError, TooLarge
from qfw.model.gates import GATES
from qfw.model.outputs import Answer, Output
from qfw.model.program import Program
from qfw.numerics.answers import Answers
from qfw.numerics.sampling import Stream

#: Sets that are run together have this many amplitudes in all bases that are read, and this many
#: kernel angles, unless one set alone has more.
CHUNK_AMPLITUDES = 2**16
CHUNK_ANGLES = 2**20
#: Earlier versions copy distributions, beyond what is estimated.
OLDEST = (0, 43)


class LightningEngine:
    """Every gate, exact or sampled answers. Needs pennylane-lightning 0.43 or later, not PennyLane.

    State: 16 · 2**qubits bytes. One thread: the published wheels compute states without OpenMP.
    """

    native_gates: ClassVar[frozenset[str]] = frozenset(GATES)
    outputs: ClassVar[frozenset[str]] = frozenset(
        {"counts", "memory", "expectation", "probabilities", "statevector"}
    )
    max_qubits: ClassVar[int] = 30
    control: ClassVar[bool] = False
    preference: ClassVar[int] = 30
    preferred_qubits: ClassVar[int] = 64

    def __init__(self, threads: int, wide_threads: int) -> None:
        """Imports Lightning's binding module. Numbers of threads are without effect.

        Raises:
            NotInstalled: pennylane-lightning is missing.
            SetupError: it is too old, or lacks what is called here.
        """
        try:
            from pennylane_lightning import lightning_qubit_ops
        except ImportError as error:
            raise NotInstalled(
                f"engine lightning needs the package pennylane-lightning ({error}). "
                "Install it: pip install 'qfw[lightning]'"
            ) from error
        check_binding(lightning_qubit_ops, self.version() or "an unknown version")
        self._binding = lightning_qubit_ops
        self._stream = Stream()
        self._states = States(lightning_qubit_ops)

    @classmethod
    def version(cls) -> str | None:
        """Version of pennylane-lightning; None where it is not installed."""
        return installed("pennylane-lightning")

    @classmethod
    def estimate(cls, program: Program, outputs: Sequence[Output], sets: int, shots: int) -> Estimate:
        """Calibrated on one core of an AMD EPYC with AVX-512."""
        return estimate(program, outputs, sets, shots, _COSTS)

    def prepare(self, program: Program) -> LightningProgram:
        """Kernels with their wires, and their angles as functions of the slots.

        Raises:
            UnsupportedFeature: control, reset or measurement before the end.
            TooLarge: more than `max_qubits`.
        """
        refuse_control(program, "lightning")
        refuse_gates(program, self.native_gates, "lightning")
        if program.num_qubits > self.max_qubits:
            raise TooLarge(
                f"the program needs {program.num_qubits} qubits; engine lightning holds {self.max_qubits}. "
                "Use fewer qubits"
            )
        return LightningProgram(program, self._binding)

    def run(
        self,
        prepared: Any,
        outputs: tuple[Output, ...],
        parameters: npt.NDArray[np.float64],
        shots: int,
        seeds: Sequence[int],
    ) -> tuple[Answer, ...]:
        """Answers in the order of `outputs`; see `qfw.qpm.engine.Engine`."""
        assert isinstance(prepared, LightningProgram)
        refuse_outputs(outputs, self.outputs, "lightning")
        program = prepared.program
        sets, states = parameters.shape[0], 2**program.num_qubits
        with memory_errors("lightning", program.num_qubits, sets):
            question = prepared.questions.of(outputs, shots)
            chunk = max(1, CHUNK_AMPLITUDES // (states * max(1, len(question.bases))))
            chunk = max(1, min(chunk, CHUNK_ANGLES // prepared.num_angles))
            answers = Answers(program, question, shots, self._stream)
            held = self._states.of(program.num_qubits)
            for start in range(0, sets, chunk):
                readings = prepared.read(held, parameters[start : start + chunk], question)
                answers.add(readings, seeds[start : start + chunk])
            return answers.answers()


_COSTS = Costs(
    run_us=12.0,
    set_us=1.5,
    gate_us=0.2,
    sets_at_once=1,
    amplitude_ns=0.15,
    wide_amplitude_ns=0.6,
    term_ns=1.5,
    term_us=1.0,
    copies=1,
    term_copies=0,
    reading_copies=1,
)


def check_binding(binding: Any, installed: str) -> None:
    """Raises SetupError where Lightning's version `installed` is too old, or lacks something that is called here."""
    state = getattr(binding, "StateVectorC128", None)
    missing = sorted(name for name in METHODS | {"resetStateVector", "getState"} if not hasattr(state, name))
    measurements = getattr(binding, "MeasurementsC128", None)
    if not hasattr(measurements, "probs"):
        missing.append("probs")
    numbers = [int(part) for part in installed.split(".")[:2] if part.isdecimal()]
    if missing or numbers < list(OLDEST):
        what = f", which lacks {', '.join(missing)}" if missing else ""
        raise SetupError(
            f"engine lightning needs pennylane-lightning {OLDEST[0]}.{OLDEST[1]} or later; {installed} is "
            f"installed{what}. Install another: pip install --upgrade 'qfw[lightning]'"
        )
