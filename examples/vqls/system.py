"""The user's system A x = b: read from .npy files, checked before anything is loaded or run."""

import warnings
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from outcome import InputError

#: 2^8 unknowns: already 10^11 circuits for one evaluation.
MAX_QUBITS = 8
#: Beyond it, rounding alone decides the solution.
MAX_CONDITION = 1e12
_TINY, _HUGE = 1e-300, 1e300
_MAGIC = b"\x93NUMPY"


@dataclass(frozen=True)
class System:
    """A x = b, scaled so that circuits see numbers near one; `unscaled` gives the user's x back."""

    #: Shape (2^n, 2^n), complex128; its largest singular value is 1.
    matrix: np.ndarray
    #: Shape (2^n,), complex128; its norm is 1.
    rhs: np.ndarray
    #: Whether A and b are real, so that x is.
    real: bool
    hermitian: bool
    condition: float
    #: The user's x is this times the scaled system's.
    scale: float

    @property
    def qubits(self):
        """The n of 2^n unknowns."""
        return len(self.rhs).bit_length() - 1

    def exact(self):
        """NumPy's solution of the scaled system."""
        return np.linalg.solve(self.matrix, self.rhs)

    def kind(self):
        """In words: 4×4 complex hermitian, for example."""
        size = len(self.rhs)
        symmetry = ("symmetric" if self.real else "hermitian") if self.hermitian else "general"
        return f"{size}×{size} {'real' if self.real else 'complex'} {symmetry}"


def load_system(matrix_path, rhs_path):
    """The system of two .npy files.

    Raises:
        InputError: a file that cannot be read or is no array of numbers; a system that has no unique
            solution, or not 2^n unknowns.
    """
    return make_system(load_array(matrix_path, 2), load_array(rhs_path, 1))


def load_array(path, dimensions):
    """The numbers of an .npy file; its header is checked before the rest is read.

    Raises:
        InputError: no such file, no .npy file, no numbers, or too many.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise InputError(f"{path}: {'not a regular file' if path.exists() else 'no such file'}")
        with path.open("rb") as file:
            shape, dtype = _header(file, path)
            _check_header(path, shape, dtype, dimensions)
            start, size = file.tell(), path.stat().st_size
        needed = start + prod(shape) * dtype.itemsize
        if size < needed:
            raise InputError(f"{path}: cut short, {size} bytes of {needed}")
        return np.load(path, allow_pickle=False)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error


def _header(file, path):
    """Shape and dtype by the header alone; the file stands behind it."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise InputError(f"{path}: not an .npy file; write it with numpy.save")
    file.seek(0)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(file)
        if version not in readers:
            # Only names of fields need version 3: its arrays are not plain numbers.
            raise ValueError(f"version {version[0]}.{version[1]} of the format is not for plain numbers")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            shape, _, dtype = readers[version](file)
    except Exception as error:  # Whatever a damaged header makes NumPy's parser raise.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: damaged .npy header: {reason:.120}") from error
    return shape, dtype


def _check_header(path, shape, dtype, dimensions):
    if dtype.hasobject:
        raise InputError(f"{path}: pickled Python objects are not read; save an array of numbers")
    if dtype.kind not in "iufc":
        raise InputError(f"{path}: dtype {dtype} is not a number; use float64 or complex128")
    limit = 2**MAX_QUBITS
    if any(length < 0 for length in shape):
        raise InputError(f"{path}: damaged .npy header: shape {shape}")
    if max(shape, default=0) > limit or len(shape) > 2:
        wanted = f"{limit}×{limit}" if dimensions == 2 else f"{limit} numbers"
        raise InputError(f"{path}: shape {shape} is too large; at most {wanted} ({MAX_QUBITS} qubits)")


def make_system(matrix, rhs):
    """The system of two arrays of numbers.

    Raises:
        InputError: see `load_system`.
    """
    matrix, rhs = np.asarray(matrix), np.asarray(rhs)
    _check_shapes(matrix, rhs)
    real = not (np.any(np.imag(matrix)) or np.any(np.imag(rhs)))
    matrix, rhs = (_double(name, array) for name, array in (("the matrix", matrix), ("the rhs", rhs)))
    rhs = rhs.reshape(-1)
    if not rhs.any():
        raise InputError("the rhs is zero: so is the solution, and no quantum state stands for it")
    if not matrix.any():
        raise InputError("the matrix is zero, hence singular")

    # Powers of two first: squares of very large or small numbers leave the range of float64.
    (matrix, matrix_exponent), (rhs, rhs_exponent) = _near_one(matrix), _near_one(rhs)
    values = np.linalg.svd(matrix, compute_uv=False)
    condition = float(values[0] / values[-1]) if values[-1] > 0 else float("inf")
    if not condition <= MAX_CONDITION:
        raise InputError(
            f"the matrix is singular or nearly so: condition number {condition:.3g}, at most {MAX_CONDITION:.0e}"
        )
    norm = np.linalg.norm(rhs)
    with np.errstate(over="ignore", under="ignore"):
        scale = float(np.ldexp(norm / values[0], rhs_exponent - matrix_exponent))
    # The norm of x is between scale and scale * condition.
    if not _TINY < scale < _HUGE / condition:
        raise InputError("the solution leaves the range of float64: scale the matrix or the rhs")
    matrix = matrix / values[0]
    return System(
        matrix=matrix,
        rhs=rhs / norm,
        real=real,
        hermitian=bool(np.allclose(matrix, matrix.conj().T, rtol=0, atol=1e-14)),
        condition=condition,
        scale=scale,
    )


def _check_shapes(matrix, rhs):
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise InputError(f"the matrix has shape {matrix.shape}; a square one is needed, (2^n, 2^n)")
    size = len(matrix)
    if rhs.shape not in {(size,), (size, 1)}:
        raise InputError(f"the rhs has shape {rhs.shape}; the matrix needs ({size},)")
    if size == 0:
        raise InputError("the system is empty")
    if size == 1:
        raise InputError("a 1×1 system needs no qubit: x = b / a")
    if size & (size - 1):
        padded = 1 << size.bit_length()
        raise InputError(
            f"{size} unknowns are not a power of two: pad to {padded}, with ones on the new diagonal of the "
            f"matrix and zeros in the rhs; the first {size} numbers of the solution are then yours"
        )


def _double(name, array):
    """As complex128; every number finite."""
    with np.errstate(over="ignore"):
        array = array.astype(np.complex128)
    if not np.all(np.isfinite(array)):
        raise InputError(f"{name} has NaN, infinite or too large numbers")
    return array


def _near_one(array):
    """The array times a power of two, its largest part between 1/2 and 1; and the exponent taken out."""
    parts = np.stack([array.real, array.imag])
    exponent = int(np.frexp(np.abs(parts).max())[1])
    with np.errstate(under="ignore"):
        real, imaginary = np.ldexp(parts, -exponent)
    return real + 1j * imaginary, exponent
