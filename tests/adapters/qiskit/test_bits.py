"""Registers are packed as Qiskit packs them, wherever their bits lie."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qiskit.primitives import BitArray

from qfw.adapters.qiskit.bits import pack
from qfw.model.result import unpack_bits


def outcomes_of(num_bits: int, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Random outcomes, shape (*shape, words)."""
    words = -(-num_bits // 64)
    found = np.random.default_rng(seed).integers(2**64, size=(*shape, words), dtype=np.uint64)
    if num_bits % 64:
        found[..., -1] &= np.uint64(2 ** (num_bits % 64) - 1)
    return found


def expected(outcomes: np.ndarray, clbits: list[int]) -> BitArray:
    bits = unpack_bits(outcomes, outcomes.shape[-1] * 64)[..., clbits]
    return BitArray.from_bool_array(bits[..., ::-1].astype(bool))


@given(
    num_bits=st.integers(1, 200),
    data=st.data(),
    shape=st.sampled_from([(1,), (7,), (3, 5), (2, 1, 4)]),
)
def test_any_choice_of_bits_is_packed_as_qiskit_does(num_bits, data, shape):
    clbits = data.draw(st.lists(st.integers(0, num_bits - 1), min_size=1, max_size=150))
    outcomes = outcomes_of(num_bits, shape)
    packed = pack(outcomes, clbits)
    wanted = expected(outcomes, clbits)
    assert packed.dtype == np.uint8 and packed.flags.c_contiguous
    assert np.array_equal(packed, wanted.array)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16, 17, 63, 64, 65, 127, 128, 129])
@pytest.mark.parametrize("first", [0, 1, 63, 64, 70])
def test_consecutive_bits_across_words(first, size):
    outcomes = outcomes_of(first + size, (4, 10), seed=size)
    clbits = list(range(first, first + size))
    assert np.array_equal(pack(outcomes, clbits), expected(outcomes, clbits).array)


def test_known_bytes():
    outcome = np.array([[0b1_0000_0011]], dtype=np.uint64)
    assert pack(outcome, list(range(9))).tolist() == [[1, 3]]
    assert pack(outcome, [8, 0]).tolist() == [[3]]
    assert pack(outcome, [2]).tolist() == [[0]]


def test_a_register_without_bits():
    assert pack(outcomes_of(3, (2, 5)), []).shape == (2, 5, 0)
