"""Answers as they travel: whole, or in parts whose arrays are aligned."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import OptionError
from qfw.model.outputs import (
    ALIGNMENT,
    Answer,
    Array,
    CountsAnswer,
    ExpectationAnswer,
    MemoryAnswer,
    ProbabilitiesAnswer,
    StatevectorAnswer,
    answer_parts,
    array_bytes,
    decode_answers,
    encode_answers,
)

SIZES = st.integers(0, 70)


@st.composite
def answers(draw: st.DrawFn) -> Answer:
    kind = draw(st.sampled_from(["counts", "memory", "expectation", "probabilities", "statevector"]))
    rows, columns = draw(SIZES), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    floats = Array.of(rng.random((rows, columns)))
    words = Array.of(rng.integers(0, 2**63, (rows, columns), dtype=np.uint64))
    match kind:
        case "counts":
            counts = Array.of(rng.integers(0, 2**40, rows))
            return CountsAnswer(draw(st.integers(0, 300)), words, counts, Array.of(np.arange(columns)))
        case "memory":
            return MemoryAnswer(draw(st.integers(0, 300)), words)
        case "expectation":
            return ExpectationAnswer(floats, Array.of(rng.random((rows, columns))))
        case "probabilities":
            return ProbabilitiesAnswer(floats)
    return StatevectorAnswer(Array.of(rng.random((rows, 2 * columns)).view(np.complex128)))


def arrays(found: tuple[Answer, ...]) -> list[Array]:
    return [
        field
        for answer in found
        for field in msgspec.structs.astuple(answer)  # type: ignore[arg-type]
        if isinstance(field, Array)
    ]


@settings(deadline=None, derandomize=True, max_examples=150)
@given(st.lists(answers(), max_size=20).map(tuple))
def test_parts_are_the_same_answers_and_their_arrays_are_aligned(sent: tuple[Answer, ...]) -> None:
    whole = b"".join(answer_parts(sent))
    held = np.zeros(len(whole) + ALIGNMENT, dtype=np.uint8)
    first = -held.ctypes.data % ALIGNMENT
    held[first : first + len(whole)] = np.frombuffer(whole, dtype=np.uint8)
    found = decode_answers(held[first : first + len(whole)].data)
    assert [type(answer) for answer in found] == [type(answer) for answer in sent]
    for one, other in zip(sent, found, strict=True):
        for before, after in zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True):
            if isinstance(before, Array):
                values = after.numpy()
                assert values.dtype == before.dtype and np.array_equal(values, before.numpy())
                assert values.size == 0 or values.ctypes.data % ALIGNMENT == 0
                assert not values.flags.writeable
                # It shares what was decoded.
                assert values.size == 0 or np.shares_memory(values, held)
            else:
                assert before == after
    assert array_bytes(sent) == sum(array.numpy().nbytes for array in arrays(sent))


@settings(deadline=None, derandomize=True, max_examples=50)
@given(st.lists(answers(), max_size=4).map(tuple), st.integers(0, 20))
def test_answers_travel_whole_wherever_they_lie(sent: tuple[Answer, ...], before: int) -> None:
    """In a frame they begin anywhere; what comes of it is aligned all the same."""
    held = memoryview(bytes(before) + encode_answers(sent))[before:]
    for one, other in zip(arrays(sent), arrays(decode_answers(held)), strict=True):
        values = other.numpy()
        assert np.array_equal(values, one.numpy())
        assert values.flags.aligned and not values.flags.writeable


def test_the_parts_hold_the_arrays_themselves() -> None:
    values = np.arange(1000.0)
    parts = answer_parts((ProbabilitiesAnswer(Array.of(values)),))
    assert any(np.shares_memory(np.frombuffer(part, dtype=np.uint8), values) for part in parts)


@pytest.mark.parametrize(
    "array",
    [Array("<f8", (2,), b"", memoryview(bytes(15))), Array("<f8", (3,), b"", memoryview(bytes(16)))],
)
def test_bytes_that_do_not_fit_their_shape(array: Array) -> None:
    with pytest.raises(OptionError, match="array of shape"):
        array.numpy()


def test_a_dtype_that_is_not_of_the_wire() -> None:
    with pytest.raises(OptionError, match="not part of the wire"):
        Array("|O", (1,), b"", memoryview(bytes(8))).numpy()
