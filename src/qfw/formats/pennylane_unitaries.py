"""Operations given by a matrix: PennyLane's decomposition where it is right, another where it is not.

PennyLane takes a two-qubit unitary near a product of one-qubit ones for that product, and leaves out a rotation of
up to some thousandths (seen in 0.43 to 0.45). So what it gives is multiplied out and compared.
"""

from __future__ import annotations

from functools import reduce

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.exceptions import DecompositionUndefinedError, DeviceError
from pennylane.operation import Operator

#: The largest difference of an entry that rounding may make.
TOLERANCE = 1e-10
#: Those that are compared: of one wire and of more than two PennyLane's own way is another.
COMPARED_WIRES = 2

Complex = npt.NDArray[np.complex128]


def decomposition(operation: Operator) -> list[Operator]:
    """PennyLane's decomposition of an operation, or that of its matrix where there is only one.

    Raises:
        DecompositionUndefinedError: it has neither.
        DeviceError: no decomposition of its matrix is right.
    """
    if _is_by_matrix(operation):
        return _checked(operation)
    if operation.has_decomposition:
        return operation.decomposition()  # type: ignore[no-any-return]
    if operation.has_matrix:
        return [qml.QubitUnitary(operation.matrix(), wires=operation.wires)]
    raise DecompositionUndefinedError


def _is_by_matrix(operation: Operator) -> bool:
    """Whether an operation is given by a matrix that must be compared with its decomposition."""
    by_matrix = isinstance(operation, (qml.QubitUnitary, qml.ControlledQubitUnitary))
    return by_matrix and len(operation.wires) == COMPARED_WIRES and operation.batch_size is None


def _checked(operation: Operator) -> list[Operator]:
    """Operations that multiply to the matrix of `operation`, its phase included.

    Raises:
        DeviceError: none were found that do.
    """
    wires, wanted = operation.wires, np.asarray(qml.matrix(operation), dtype=np.complex128)
    found: list[Operator] = operation.decomposition()
    if _differs(found, wanted, wires):
        # Two factors that are far from any product multiply to what is near one.
        far = _far_from_products()
        factors = (far, wanted @ far.conj().T)
        found = [step for factor in factors for step in qml.QubitUnitary(factor, wires=wires).decomposition()]
        if _differs(found, wanted, wires):
            raise DeviceError(
                f"{operation.name} on wires {wires.tolist()} has no decomposition to {TOLERANCE:g}; write it in gates"
            )
    return found


def _differs(operations: list[Operator], wanted: Complex, wires: qml.wires.Wires) -> bool:
    matrices = (_matrix(operation, wires) for operation in reversed(operations))
    product: Complex = reduce(np.matmul, matrices, np.eye(len(wanted), dtype=np.complex128))
    return not np.abs(product - wanted).max() <= TOLERANCE


def _matrix(operation: Operator, wires: qml.wires.Wires) -> Complex:
    if isinstance(operation, qml.GlobalPhase):
        # Before 0.44 PennyLane gives it one qubit, whatever the wires are.
        phase: Complex = np.exp(-1j * operation.data[0]) * np.eye(2 ** len(wires))
        return phase
    return np.asarray(qml.matrix(operation, wire_order=wires), dtype=np.complex128)


def _far_from_products() -> Complex:
    """A two-qubit unitary in general position."""
    rng = np.random.default_rng(2)
    unitary: Complex = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    return unitary
