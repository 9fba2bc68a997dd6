"""What tests of `mitigate` share: programs for it, and answers of a noisy device and of an ideal one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit.quantum_info import Operator

import qfw
from qfw.formats.lowering import lower
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Expectation, ExpectationAnswer, Output
from qfw.model.program import Gate, Program, slot
from qfw.model.relocation import Relocation
from qfw.model.seeds import set_seed, slice_seed
from qfw.platforms.twin.models import model
from qfw.platforms.twin.simulation import NoisySimulation
from qfw.qpm import registry
from qfw.qpm.tool import Split, Target, Variant
from qfw.testing.expected import unmeasured
from qfw.toolchain.mitigate import MitigateTool
from qfw.toolchain.transpile import TranspileTool

Floats = npt.NDArray[np.float64]
#: Answers of a device to a variant, for parameters of shape (sets, slots) and a seed.
Device = Callable[[Variant, Floats, int], tuple[Answer, ...]]

TWIN = Target(*model("heavy-hex-20"))
SIMULATOR = Target(
    DeviceProfile("sim", DeviceKind.SIMULATOR, "reference", 30, tuple(GATES), ("expectation",), 1)
)
TOOL = MitigateTool()


def chain(seed: int, width: int = 5, layers: int = 5) -> Program:
    """Trotter steps of an Ising chain with random couplings and fields; slots 0 and 1 scale these."""
    draw = np.random.default_rng(seed).uniform
    couplings, fields = draw(0.2, 0.5, width - 1), draw(0.1, 0.3, width)
    step: list[Gate] = []
    for q, coupling in enumerate(couplings):
        pair = Gate("cx", (q, q + 1))
        step += [pair, Gate("rz", (q + 1,), (slot(0, float(coupling)),)), pair]
    step += [Gate("rx", (q,), (slot(1, float(field)),)) for q, field in enumerate(fields)]
    return Program(width, 0, 2, tuple(step) * layers)


def energy(width: int = 5) -> PauliSum:
    """Couplings and magnetisation, each between -1 and 1, half of either."""
    words = {f"Z{q} Z{q + 1}": 0.5 / (width - 1) for q in range(width - 1)}
    return PauliSum.of(words | {f"Z{q}": 0.5 / width for q in range(width)})


def lowered(
    program: Program, outputs: tuple[Output, ...], target: Target
) -> tuple[Program, tuple[Output, ...]]:
    """Program and outputs as `transpile` leaves them."""
    found, layout, *_ = TranspileTool().apply(program, target, {})
    return found, Relocation(program, found, layout).outputs(outputs)


def twin(target: Target = TWIN) -> Device:
    """A device with exactly the noise of its calibration."""
    assert target.profile.timing is not None and target.calibration is not None
    simulation, calibration = NoisySimulation(target.profile.timing), target.calibration

    def ask(variant: Variant, parameters: Floats, seed: int) -> tuple[Answer, ...]:
        seeds = [set_seed(seed, index) for index in range(len(parameters))]
        return simulation.simulate(
            calibration, variant.program, variant.outputs, parameters, variant.shots, seeds
        ).answers

    return ask


def ideal() -> Device:
    """A device without noise."""
    engine = registry.load(registry.ENGINES, "reference")(1, 1)

    def ask(variant: Variant, parameters: Floats, seed: int) -> tuple[Answer, ...]:
        prepared = engine.prepare(lower(variant.program, engine.native_gates))
        seeds = [set_seed(seed, index) for index in range(len(parameters))]
        answers: tuple[Answer, ...] = engine.run(prepared, variant.outputs, parameters, variant.shots, seeds)
        return answers

    return ask


def answered(split: Split, device: Device, parameters: npt.ArrayLike, seed: int = 0) -> tuple[Answer, ...]:
    """What the tool makes of a device's answers, each variant with a seed of its own."""
    values = np.atleast_2d(np.asarray(parameters, dtype=np.float64))
    answers = [device(variant, values, slice_seed(seed, k)) for k, variant in enumerate(split.variants)]
    return TOOL.combine(split.recipe, answers)


def mitigated(
    program: Program,
    observables: Sequence[PauliSum],
    shots: int,
    device: Device,
    parameters: npt.ArrayLike = (),
    target: Target = TWIN,
    seed: int = 0,
    **options: Any,
) -> tuple[Floats, Floats]:
    """Values and standard errors, shape (sets, observables) each."""
    outputs: tuple[Output, ...] = (Expectation(tuple(observables)),)
    (found,) = answered(TOOL.split(program, outputs, shots, target, options), device, parameters, seed)
    return of(found)


def of(answer: Answer) -> tuple[Floats, Floats]:
    """Values and standard errors of an answer."""
    assert isinstance(answer, ExpectationAnswer)
    return answer.values.numpy().astype(np.float64), answer.standard_errors.numpy().astype(np.float64)


def matrix(program: Program, parameters: Sequence[float] = ()) -> npt.NDArray[np.complex128]:
    """The unitary of a program by Qiskit, without its measurements."""
    bound = unmeasured(program)
    if program.num_slots:
        bound = bound.bound(np.array(parameters, dtype=np.float64))
    found: npt.NDArray[np.complex128] = Operator(qfw.Program.of(bound).to_qiskit()).data
    return found


def same_up_to_phase(first: npt.NDArray[np.complex128], second: npt.NDArray[np.complex128]) -> bool:
    """Whether two unitaries differ by a global phase at most."""
    return bool(abs(abs(np.vdot(first, second)) / len(first) - 1) < 1e-9)
