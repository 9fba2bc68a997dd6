"""Recipe of a cut program: how the answers of its fragments' programs are put together, as it travels.

A *column* is one number that is asked of a variant: the value of an observable. The first is the constant 1, the last
the constant 0. A tensor of a fragment has an axis for each of its ends and names a column for each entry.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.decoding import decoder
from qfw.model.errors import OptionError

Ints = npt.NDArray[np.int32]


class Bond(msgspec.Struct, frozen=True, array_like=True):
    """A cut wire, or a cut gate, which is rzz(angle)."""

    wire: bool
    #: Radians; of no meaning where the columns say cosine and sine.
    angle: float = 0.0
    #: Columns of cos and sin of the angle; 0 where it is constant.
    cosine: int = 0
    sine: int = 0


class Axes(msgspec.Struct, frozen=True, array_like=True):
    """Ends of a fragment, (bond, side), in the order of its tensors' axes: prepared, of cut gates, measured."""

    prepared: tuple[tuple[int, int], ...]
    legs: tuple[tuple[int, int], ...]
    measured: tuple[tuple[int, int], ...]


class Table(msgspec.Struct, frozen=True, array_like=True):
    """Numbers of columns or distributions, int32."""

    #: Settings of the prepared ends and of the legs; then the measured ends' Pauli matrices I, X, Y, Z, or, of
    #: distributions, bases X, Y, Z; then the programs of which the mean is taken.
    shape: tuple[int, ...]
    numbers: bytes

    @staticmethod
    def of(values: Ints) -> Table:
        """Its form in a recipe."""
        return Table(values.shape, values.astype("<i4").tobytes())

    def numpy(self) -> Ints:
        """The numbers."""
        return np.frombuffer(self.numbers, dtype="<i4").reshape(self.shape)


class Values(msgspec.Struct, frozen=True, array_like=True, tag="v"):
    """Tensor of a fragment and an observable on it."""

    fragment: int
    #: Of columns.
    table: Table


class Joint(msgspec.Struct, frozen=True, array_like=True, tag="j"):
    """Tensor of a fragment and the distribution of some of its qubits: its last axis has 2**bits entries."""

    fragment: int
    #: Of distributions: of these qubits, least significant, then those of the measured ends, then the ancilla.
    table: Table
    bits: int


class Term(msgspec.Struct, frozen=True, array_like=True):
    """coefficient · the contraction of one tensor of each fragment; of fragments that are not named it is 1."""

    coefficient: float
    #: Numbers of tensors.
    tensors: tuple[int, ...]


class Sums(msgspec.Struct, frozen=True, array_like=True, tag="s"):
    """Answer to an Expectation: of each observable its terms."""

    observables: tuple[tuple[Term, ...], ...]


class Spread(msgspec.Struct, frozen=True, array_like=True, tag="d"):
    """Answer to a Probabilities: contraction of tensors, of which those that are Joint keep their last axes."""

    tensors: tuple[int, ...]
    #: Of the qubits in the order of the joint tensors' bits, least significant first: place in the answer.
    places: tuple[int, ...]


class Recipe(msgspec.Struct, frozen=True, array_like=True):
    """All that `combine` needs besides the answers."""

    bonds: tuple[Bond, ...]
    fragments: tuple[Axes, ...]
    tensors: tuple[Values | Joint, ...]
    answers: tuple[Sums | Spread, ...]
    #: Of each column but the constants its variant, and its place among that one's observables.
    columns: tuple[tuple[int, int], ...]
    #: Of each column but the constants the Pauli factors that all its terms have: qubits and letters.
    factors: tuple[tuple[tuple[int, ...], str], ...]
    #: Of each distribution its variant, and its place among that one's outputs.
    distributions: tuple[tuple[int, int], ...]


#: Columns of the constants.
ONE = 0
ZERO = -1
#: Recipe of a program that is not cut: MessagePack's text "uncut".
UNCUT = b"\xa5uncut"

_ENCODER = msgspec.msgpack.Encoder()
_decode = decoder(Recipe)


def encode(recipe: Recipe) -> bytes:
    """The recipe's bytes."""
    return _ENCODER.encode(recipe)


def decode(encoded: bytes) -> Recipe:
    """The recipe of its bytes. Raises OptionError where they are none."""
    try:
        found: Recipe = _decode(encoded)
    except msgspec.DecodeError as error:
        raise OptionError(f"no recipe of tool cut: {error}") from error
    return found
