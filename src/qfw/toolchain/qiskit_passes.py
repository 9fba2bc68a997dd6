"""Qiskit's preset pass managers, one for each device, calibration, level and seed, kept between programs."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import msgspec
from qiskit.dagcircuit import DAGCircuit
from qiskit.exceptions import QiskitError
from qiskit.transpiler import AnalysisPass, generate_preset_pass_manager

from qfw.formats import qiskit_rewriting, symbolic_phases
from qfw.formats.qiskit_target import calibrated_target, ideal_target
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.errors import UnsupportedFeature
from qfw.model.program import Gate, Program
from qfw.qpm.tool import Target

#: Pass managers that a process keeps. One of 127 qubits takes some MiB.
MAX_KEPT = 32
#: By how much equal errors are told apart, times a number.
NUDGE = 1e-13


def lowered(
    program: Program, target: Target, level: int, seed: int
) -> tuple[Program, tuple[int, ...] | None] | None:
    """The program as the passes leave it, and where its qubits are at the end; None: where they were.

    None in place of both where an angle is not affine in the slots any more.

    Raises:
        UnsupportedFeature: Qiskit finds no way; with what it says.
    """
    passes = _passes(target.profile, target.calibration, level, seed)
    native = frozenset(target.profile.native_gates)
    written, phase = symbolic_phases.without(program, native)
    try:
        circuit = passes.run(qiskit_rewriting.outward(written))
    except QiskitError as error:
        raise UnsupportedFeature(
            f"Qiskit cannot lower the program for {target.profile.name} at level {level}: {error.message}"
        ) from error
    found = qiskit_rewriting.back(circuit, program.num_slots)
    if found is None:
        return None
    if phase and "gphase" in native:
        # Where the device has no such gate nobody could see it.
        found = msgspec.structs.replace(found, operations=(*found.operations, Gate("gphase", (), (phase,))))
    if circuit.layout is None:
        return found, None
    layout = tuple(circuit.layout.final_index_layout())
    unmoved = found.num_qubits == program.num_qubits and layout == tuple(range(program.num_qubits))
    return found, None if unmoved else layout


class _Passes:
    """A pass manager; its passes keep what they know while they run, so only one thread may."""

    def __init__(self, manager: Any) -> None:
        self._manager = manager
        self._lock = threading.Lock()

    def run(self, circuit: Any) -> Any:
        with self._lock:
            return self._manager.run(circuit)


def _distinct(calibration: Calibration) -> Calibration:
    """The calibration with errors of which no two are equal, and none is off by more than rounding would matter.

    Between places that are equally good the layout passes choose by chance, from one call to the next.
    """
    gates = tuple(
        msgspec.structs.replace(gate, error=_nudged(gate.error, place))
        for place, gate in enumerate(calibration.gates)
    )
    qubits = tuple(
        msgspec.structs.replace(
            qubit,
            read1_given0=_nudged(qubit.read1_given0, place),
            read0_given1=_nudged(qubit.read0_given1, place),
            reset_error=_nudged(qubit.reset_error, place),
        )
        for place, qubit in enumerate(calibration.qubits)
    )
    return msgspec.structs.replace(calibration, gates=gates, qubits=qubits)


def _nudged(error: float, place: int) -> float:
    return error + (place + 1) * (NUDGE if error < 0.5 else -NUDGE)


class _NothingIsMapped(AnalysisPass):  # type: ignore[misc]
    """Stands for the look whether a program's qubits fit as they are numbered, and says no."""

    def run(self, dag: DAGCircuit) -> None:
        """Sends the layout on to where pairs are compared by their errors."""
        self.property_set["is_swap_mapped"] = False


@lru_cache(maxsize=MAX_KEPT)
def _passes(profile: DeviceProfile, calibration: Calibration | None, level: int, seed: int) -> _Passes:
    target = (
        ideal_target(profile) if calibration is None else calibrated_target(profile, _distinct(calibration))
    )
    # With a length of dt known, the passes write delays in it, which nobody else can read.
    target.dt = None
    # With a degree of 1 every pass is exact; with None they may err as much as the gates that they save.
    manager = generate_preset_pass_manager(
        level, target=target, seed_transpiler=seed, approximation_degree=1.0
    )
    if level == 1 and calibration is not None and target.build_coupling_map() is not None:
        # Level 1 takes qubits 0, 1, … where they happen to be coupled, whatever the calibration says of them.
        manager.layout.replace(1, [_NothingIsMapped()])
    return _Passes(manager)
