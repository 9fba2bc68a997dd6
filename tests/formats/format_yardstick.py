"""Independent unitaries: programs through qiskit.quantum_info.Operator, gate by gate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qiskit.circuit import QuantumCircuit, library
from qiskit.quantum_info import Operator

from qfw.model.program import Barrier, Gate, Measure, Program, Reset

CLASSES = {
    "id": library.IGate, "x": library.XGate, "y": library.YGate, "z": library.ZGate, "h": library.HGate,
    "s": library.SGate, "sdg": library.SdgGate, "t": library.TGate, "tdg": library.TdgGate,
    "sx": library.SXGate, "sxdg": library.SXdgGate, "rx": library.RXGate, "ry": library.RYGate,
    "rz": library.RZGate, "p": library.PhaseGate, "u": library.UGate, "cx": library.CXGate,
    "cy": library.CYGate, "cz": library.CZGate, "ch": library.CHGate, "csx": library.CSXGate,
    "swap": library.SwapGate, "iswap": library.iSwapGate, "ecr": library.ECRGate, "cp": library.CPhaseGate,
    "crx": library.CRXGate, "cry": library.CRYGate, "crz": library.CRZGate, "rxx": library.RXXGate,
    "ryy": library.RYYGate, "rzz": library.RZZGate, "cu": library.CUGate, "ccx": library.CCXGate,
    "ccz": library.CCZGate, "cswap": library.CSwapGate,
}  # fmt: skip


def circuit(program: Program) -> QuantumCircuit:
    """The unitary part of a program without slots as Qiskit's circuit, its phase included."""
    made = QuantumCircuit(program.num_qubits, program.num_clbits)
    for op in program.operations:
        match op:
            case Gate("gphase", _, (angle,)):
                made.global_phase += angle
            case Gate():
                made.append(CLASSES[op.name](*op.angles), op.qubits)
            case Measure():
                made.measure(op.qubit, op.clbit)
            case Reset():
                made.reset(op.qubit)
            case Barrier():
                made.barrier(op.qubits)
    return made


def unitary(program: Program) -> npt.NDArray[np.complex128]:
    """The matrix of a program of gates and barriers; qubit 0 is the least significant bit."""
    return np.asarray(Operator(circuit(program)).data)


def same_up_to_phase(left: npt.NDArray[np.complex128], right: npt.NDArray[np.complex128]) -> bool:
    """Whether two unitaries differ by a global phase only."""
    overlap = np.trace(left.conj().T @ right) / left.shape[0]
    return bool(abs(abs(overlap) - 1) < 1e-9)
