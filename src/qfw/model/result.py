"""Result: what a task answered, and where its time went."""

from __future__ import annotations

import html
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from qfw.model.conditions import Conditions
from qfw.model.errors import UsageError
from qfw.model.outputs import (
    Answer,
    CountsAnswer,
    ExpectationAnswer,
    MemoryAnswer,
    ProbabilitiesAnswer,
    StatevectorAnswer,
    decode_answers,
)
from qfw.model.task import task_name
from qfw.model.timeline import Timeline

_A = TypeVar("_A", bound=Answer)

#: What an answer is called, in errors and tables.
_ASKED: dict[type[Any], str] = {
    CountsAnswer: "counts",
    MemoryAnswer: "memory",
    ExpectationAnswer: "expectation values",
    ProbabilitiesAnswer: "probabilities",
    StatevectorAnswer: "a statevector",
}
#: Sets, and figures of each, that a table of a result shows.
_SHOWN = 8


class Result:
    """The answers of one task, per parameter set.

    Every bit string has qubit (or classical bit) 0 rightmost.
    """

    def __init__(
        self,
        task: int,
        device: str,
        encoded: bytes | memoryview,
        sets: int,
        timeline: Timeline,
        conditions: Conditions | None = None,
    ):
        """`encoded` are the answers as they travelled; they are decoded when first looked at."""
        #: Number of the task.
        self.task = task
        #: The device that ran it, as the session calls it.
        self.device = device
        #: Number of parameter sets.
        self.sets = sets
        #: When it passed which process.
        self.timeline = timeline
        #: Calibration, device time and notes; None for an ideal simulator.
        self.conditions = conditions
        self._encoded = encoded

    def __getstate__(self) -> dict[str, Any]:
        """For pickle and copy: the answers as bytes of their own, since large ones lie in shared memory."""
        kept = {name: value for name, value in vars(self).items() if name != "answers"}
        return {**kept, "_encoded": bytes(self._encoded)}

    @cached_property
    def answers(self) -> tuple[Answer, ...]:
        """The raw answers in the order of the outputs asked for."""
        return decode_answers(self._encoded)

    @property
    def calibration(self) -> str | None:
        """Version of the calibration that it ran under; None for an ideal simulator."""
        return self.conditions.calibration or None if self.conditions else None

    def _one(self, kind: type[_A], name: str) -> _A:
        for answer in self.answers:
            if isinstance(answer, kind):
                return answer
        asked = ", ".join(_ASKED[type(answer)] for answer in self.answers)
        raise UsageError(
            f"task {task_name(self.task)} was asked for {asked or 'nothing'}, not for {name}; add it to outputs"
        )

    @property
    def expectation_values(self) -> npt.NDArray[np.float64]:
        """Shape (sets, observables)."""
        return _floats(self._one(ExpectationAnswer, "expectation values").values)

    @property
    def standard_errors(self) -> npt.NDArray[np.float64]:
        """Standard errors of the expectation values, shape (sets, observables); 0 where exact."""
        return _floats(self._one(ExpectationAnswer, "expectation values").standard_errors)

    @property
    def probabilities(self) -> npt.NDArray[np.float64]:
        """Shape (sets, 2**qubits); the first qubit asked for is the least significant bit."""
        return _floats(self._one(ProbabilitiesAnswer, "probabilities").values)

    @property
    def statevector(self) -> npt.NDArray[np.complex128]:
        """Shape (sets, 2**qubits), qubit 0 the least significant bit of the index."""
        return self._one(StatevectorAnswer, "a statevector").values.numpy().astype(np.complex128, copy=False)

    @cached_property
    def counts(self) -> list[dict[str, int]]:
        """For each set: how often each bit string was measured; bit 0 rightmost."""
        answer = self._one(CountsAnswer, "counts")
        outcomes, numbers = answer.outcomes.numpy(), answer.counts.numpy()
        offsets = answer.offsets.numpy().tolist()
        strings = bit_strings(outcomes, answer.num_bits)
        return [
            dict(zip(strings[low:high], numbers[low:high].tolist(), strict=True))
            for low, high in pairwise(offsets)
        ]

    @cached_property
    def memory(self) -> list[list[str]]:
        """For each set: the bit string of every shot, in order; bit 0 rightmost."""
        answer = self._one(MemoryAnswer, "memory")
        return [bit_strings(rows, answer.num_bits) for rows in answer.outcomes.numpy()]

    @property
    def memory_bits(self) -> npt.NDArray[np.uint8]:
        """Shape (sets, shots, bits) of 0 and 1; column i is bit i."""
        answer = self._one(MemoryAnswer, "memory")
        return unpack_bits(answer.outcomes.numpy(), answer.num_bits)

    def __repr__(self) -> str:
        return f"Result(task {task_name(self.task)} on {self.device}; sets: {self.sets}; {self._shown()})"

    def _shown(self) -> str:
        """What it answers; the counts themselves where they are few."""
        parts = []
        for answer in self.answers:
            name = _ASKED[type(answer)]
            if isinstance(answer, CountsAnswer) and self.sets == 1 and len(self.counts[0]) <= _SHOWN:
                name = f"counts {self.counts[0]}"
            elif isinstance(answer, ExpectationAnswer) and answer.values.numpy().size == 1:
                name = f"expectation value {answer.values.numpy().flat[0]:.6g}"
            parts.append(name)
        return ", ".join(parts)

    def _repr_html_(self) -> str:
        """A table of the answers for notebooks: of the first sets, and of each the first figures."""
        head, rows = ["set"], [[str(number)] for number in range(min(self.sets, _SHOWN))]
        for answer in self.answers:
            head.append(_ASKED[type(answer)])
            if isinstance(answer, CountsAnswer):
                ranked = [
                    sorted(each.items(), key=lambda item: -item[1]) for each in self.counts[: len(rows)]
                ]
                shown = [[f"{bits}: {number}" for bits, number in each] for each in ranked]
            elif isinstance(answer, MemoryAnswer):
                shown = [list(each) for each in self.memory[: len(rows)]]
            else:
                shown = [
                    [f"{value:.6g}" for value in each[: _SHOWN + 1]]
                    for each in answer.values.numpy()[: len(rows)]
                ]
            for row, cells in zip(rows, shown, strict=True):
                row.append(", ".join(cells[:_SHOWN]) + (", …" if len(cells) > _SHOWN else ""))
        ran = f", calibration {self.calibration}" if self.calibration else ""
        top = "".join(f"<th>{name}</th>" for name in head)
        body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
        rest = f"<p>… of {self.sets} sets</p>" if self.sets > len(rows) else ""
        title = html.escape(f"Result: task {task_name(self.task)} on {self.device}{ran}")
        return f"<p>{title}</p><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>{rest}"


def unpack_bits(outcomes: npt.NDArray[Any], num_bits: int) -> npt.NDArray[np.uint8]:
    """Shape (..., words) uint64 to (..., num_bits) of 0 and 1; column i is bit i."""
    little = np.ascontiguousarray(outcomes, dtype="<u8")
    return np.unpackbits(little.view(np.uint8), axis=-1, count=num_bits, bitorder="little")


def bit_strings(outcomes: npt.NDArray[Any], num_bits: int) -> list[str]:
    """Bit strings, bit 0 rightmost, of packed outcomes of shape (outcomes, words)."""
    if num_bits <= 64:
        return [format(value, f"0{num_bits}b") if num_bits else "" for value in outcomes[:, 0].tolist()]
    bits = unpack_bits(outcomes, num_bits)[:, ::-1]
    return ["".join(map(str, row)) for row in bits.tolist()]


def _floats(array: Any) -> npt.NDArray[np.float64]:
    return array.numpy().astype(np.float64, copy=False)  # type: ignore[no-any-return]
