"""Every engine keeps its contract, and one that does not is found out by the check that names what it breaks."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.engines.reference import ReferenceEngine
from qfw.model.errors import NotInstalled
from qfw.model.outputs import Array, CountsAnswer, ExpectationAnswer, MemoryAnswer
from qfw.qpm import registry
from qfw.testing import Verdict, check_engine


@pytest.mark.parametrize("name", registry.names(registry.ENGINES))
def test_every_engine_passes(name: str) -> None:
    if registry.load(registry.ENGINES, name).version() is None:
        pytest.skip(f"{name}'s framework is not installed")
    try:
        report = check_engine(name)
    except NotInstalled as error:
        pytest.skip(str(error))
    assert report.passed, [f for f in report.findings if f.verdict in (Verdict.FAILED, Verdict.STUCK)]


class Wrong(ReferenceEngine):
    """The reference engine, with answers changed."""

    def change(self, answer: Any, program: Any) -> Any:
        return answer

    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        answers = super().run(prepared, outputs, parameters, shots, seeds)
        return tuple(self.change(answer, prepared.program) for answer in answers)


def _mirrored(words: Array, bits: int) -> Array:
    values = words.numpy()[..., 0].astype(np.uint64)
    turned = np.zeros_like(values)
    for bit in range(min(bits, 64)):
        turned |= ((values >> np.uint64(bit)) & np.uint64(1)) << np.uint64(min(bits, 64) - 1 - bit)
    found = words.numpy().astype(np.uint64)
    found[..., 0] = turned
    return Array.of(found)


class ReversedBits(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, CountsAnswer | MemoryAnswer):
            return msgspec.structs.replace(answer, outcomes=_mirrored(answer.outcomes, answer.num_bits))
        return answer


class IgnoredSeed(ReferenceEngine):
    calls = 0

    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        self.calls += 1
        return super().run(prepared, outputs, parameters, shots, [seed ^ self.calls for seed in seeds])


class OneSeed(ReferenceEngine):
    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        return super().run(prepared, outputs, parameters, shots, [7] * len(seeds))


class SeedOfTheTask(ReferenceEngine):
    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        mixed = sum(seeds) % 2**64
        return super().run(prepared, outputs, parameters, shots, [mixed + i for i in range(len(seeds))])


class OneShotMore(ReferenceEngine):
    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        return super().run(prepared, outputs, parameters, shots + 1 if shots else 0, seeds)


class SortedMemory(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, MemoryAnswer):
            return msgspec.structs.replace(
                answer, outcomes=Array.of(np.sort(answer.outcomes.numpy(), axis=1))
            )
        return answer


class OffCoefficient(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, ExpectationAnswer):
            return msgspec.structs.replace(answer, values=Array.of(answer.values.numpy() * 1.001))
        return answer


class NoError(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, ExpectationAnswer):
            zeros = np.zeros_like(answer.standard_errors.numpy())
            return msgspec.structs.replace(answer, standard_errors=Array.of(zeros))
        return answer


class SetsTurned(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, ExpectationAnswer):
            return msgspec.structs.replace(answer, values=Array.of(answer.values.numpy()[::-1].copy()))
        return answer


class Flat(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, ExpectationAnswer):
            return msgspec.structs.replace(answer, values=Array.of(answer.values.numpy().reshape(-1)))
        return answer


class NotANumber(Wrong):
    def change(self, answer: Any, program: Any) -> Any:
        if isinstance(answer, ExpectationAnswer):
            return msgspec.structs.replace(answer, values=Array.of(answer.values.numpy() * np.nan))
        return answer


class ClaimsControl(ReferenceEngine):
    control = True


class ForgetsAnOutput(ReferenceEngine):
    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        return super().run(prepared, outputs, parameters, shots, seeds)[:1]


class KeepsTheFirstAnswer(ReferenceEngine):
    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        kept = vars(prepared).setdefault("kept", {})
        key = (outputs, shots, parameters.shape, tuple(seeds))
        if key not in kept:
            kept[key] = super().run(prepared, outputs, parameters, shots, seeds)
        return kept[key]


class NegativeAngles(ReferenceEngine):
    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        return super().run(prepared, outputs, parameters + 0.05, shots, seeds)


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (ReversedBits, "bits.qubit_0_is_rightmost"),
        (ReversedBits, "bits.pattern"),
        (ReversedBits, "memory.bit_order"),
        (IgnoredSeed, "seeds.equal"),
        (IgnoredSeed, "seeds.memory"),
        (OneSeed, "seeds.other"),
        (OneSeed, "seeds.sets_differ"),
        (SeedOfTheTask, "seeds.split"),
        (OneShotMore, "shots.sum"),
        (OneShotMore, "memory.length"),
        (SortedMemory, "memory.order"),
        (OffCoefficient, "observables.coefficients"),
        (OffCoefficient, "observables.identity"),
        (NoError, "observables.standard_error"),
        (SetsTurned, "parameters.sets"),
        (Flat, "parameters.sets"),
        (NotANumber, "observables.single"),
        (ClaimsControl, "control.then"),
        (ForgetsAnOutput, "memory.agrees_with_counts"),
        (KeepsTheFirstAnswer, "parameters.again"),
        (NegativeAngles, "parameters.affine"),
    ],
)
def test_a_wrong_engine_is_found_out(kind: type[Any], check: str) -> None:
    (finding,) = check_engine(kind, only=[check]).findings
    assert finding.verdict is Verdict.FAILED, finding
    assert finding.found and finding.expected
