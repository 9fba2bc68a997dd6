"""Programs over two twins with a link: the same distribution as on one device."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from random import Random
from typing import Any

import numpy as np
import pytest

from qfw.model.errors import OptionError, TooLarge, ToolFailed, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.outputs import Answer, Counts, CountsAnswer, Expectation, Memory, Output, Probabilities
from qfw.model.program import Gate, Measure, Program, Reset, slot
from qfw.platforms.twin.platform import BuiltTwinDriver
from qfw.qpm.driver import Execution
from qfw.qpm.platform import PlatformConfig
from qfw.qpm.tool import Split, Target
from qfw.toolchain import teleport
from qfw.toolchain.distribute import DistributeTool
from qfw.toolchain.partition import partition
from tests.engines.branches import exact
from tests.toolchain.programs import PARAMETERS, compact

LINK = {"devices": ["left", "right"], "fidelity": 1.0, "rate_per_s": 1e5, "attempt_us": 1.0}
IONS = [{"model": "trapped-ion", "name": "left"}, {"model": "trapped-ion", "name": "right"}]
HEXAGONS = [{"model": "heavy-hex-20", "name": "left"}, {"model": "heavy-hex-20", "name": "right", "seed": 7}]
TOOL = DistributeTool()


def driver(devices: Any = IONS, **options: Any) -> BuiltTwinDriver:
    return BuiltTwinDriver(
        PlatformConfig("twins", {"devices": devices, "links": [LINK], "noise": False, **options})
    )


def target(twins: BuiltTwinDriver) -> Target:
    joint = twins.devices()[-1]
    return Target(joint, twins.calibration(joint.name))


def same(program: Program, distributed: Program, parameters: Any = ()) -> None:
    """Equal distributions of the program's own bits."""
    wanted, found = exact(program, parameters), {}
    for outcome, probability in exact(distributed, parameters).items():
        own = outcome & (1 << program.num_bits) - 1
        found[own] = found.get(own, 0.0) + probability
    for outcome in {*wanted, *found}:
        assert abs(wanted.get(outcome, 0.0) - found.get(outcome, 0.0)) < 1e-9


def unlowered(program: Program, parts: Sequence[int], widths: Sequence[int]) -> Program:
    """Over parts that run all gates."""

    def widened(local: Program, part: int) -> Program:
        return Program(widths[part], local.num_clbits, local.num_slots, local.operations)

    body = teleport.normal(program)
    return teleport.distributed(body, parts, widths, widened).program


def measured(program: Program) -> Program:
    ending = tuple(Measure(q, q) for q in range(program.num_qubits))
    return Program(program.num_qubits, program.num_qubits, program.num_slots, program.operations + ending)


@pytest.mark.parametrize("seed", range(30))
def test_every_way_to_place_qubits_gives_the_same_distribution(seed: int) -> None:
    random = Random(seed)
    program = measured(mixture(random, 4, 3))
    same(program, unlowered(program, [random.randrange(2) for _ in range(4)], (5, 5)), PARAMETERS)


def mixture(random: Random, width: int, pairs: int) -> Program:
    """Gates of one qubit, with slots, between so many of two: each pair of devices' qubits costs four branches."""
    operations: list[Gate] = []
    for _ in range(pairs):
        operations += [Gate("u", (q,), (random.uniform(-3, 3), slot(q % 3, 0.5), 0.3)) for q in range(width)]
        name = random.choice(["cx", "cz", "rzz", "cry", "ch"])
        angles = tuple(random.uniform(-3, 3) for _ in range(GATES[name].num_angles))
        operations.append(Gate(name, tuple(random.sample(range(width), 2)), angles))
    return Program(width, 0, 3, tuple(operations))


@pytest.mark.parametrize("name", [name for name, spec in GATES.items() if spec.num_qubits == 2])
def test_every_gate_is_teleported(name: str) -> None:
    angles = (0.7, -1.9, 2.3, 0.4)[: GATES[name].num_angles]
    mixed = tuple(Gate("u", (q,), (0.3 + q, 1.1 * q + 0.2, -0.4)) for q in range(3))
    turned = tuple(Gate("u", (q,), (1.3 - q, 0.4, 0.9)) for q in range(3))
    for qubits in permutations(range(3), 2):
        for parts in ((0, 1, 1), (1, 0, 1), (1, 1, 0)):
            body = (*mixed, Gate("cx", (0, 1)), Gate(name, qubits, angles), Gate("cx", (2, 1)), *turned)
            program = measured(Program(3, 0, 0, body))
            same(program, unlowered(program, parts, (4, 4)))


def test_a_control_is_copied_once_for_many_gates() -> None:
    fan = Program(
        4, 0, 1, (Gate("h", (0,)), *(Gate("rzz", (0, q), (slot(0),)) for q in (1, 2, 3)), Gate("h", (0,)))
    )
    found = teleport.distributed(
        measured(fan), (0, 1, 1, 1), (2, 4), lambda local, part: Program((2, 4)[part], *_rest(local))
    )
    assert (found.pairs, found.gates) == (1, 3)
    same(measured(fan), found.program, (0.7,))


def _rest(program: Program) -> tuple[Any, ...]:
    return program.num_clbits, program.num_slots, program.operations


def test_three_parts() -> None:
    ring = Program(
        5,
        0,
        0,
        (
            *(Gate("ry", (q,), (0.3 + q,)) for q in range(5)),
            *(Gate("cx", (q, (q + 1) % 5)) for q in range(5)),
        ),
    )
    same(measured(ring), unlowered(measured(ring), (0, 1, 2, 0, 1), (3, 3, 2)))


def test_few_gates_go_between_parts() -> None:
    chain = {(q, q + 1): 1 for q in range(11)}
    assert sorted(np.bincount(partition(chain, (6, 6), 12, 0))) == [6, 6]
    for seed in range(5):
        parts = partition(chain, (6, 6), 12, seed)
        assert sum(parts[one] != parts[other] for one, other in chain) == 1
    uneven = partition({(0, 1): 5, (2, 3): 5, (1, 2): 1}, (3, 2), 4, 0)
    assert uneven[0] == uneven[1] != uneven[2] == uneven[3]
    assert partition(chain, (6, 6), 12, 3) == partition(chain, (6, 6), 12, 3)


# On the device --------------------------------------------------------------------------------------


def run(twins: BuiltTwinDriver, split: Split, parameters: Any = ((),), seed: int = 5) -> tuple[Answer, ...]:
    """The combined answers."""
    joint = twins.devices()[-1].name
    found = []
    for number, variant in enumerate(split.variants):
        sets = np.array(parameters, dtype=np.float64)
        seeds = [seed + number + 100 * k for k in range(len(sets))]
        done = twins.run(
            Execution(joint, variant.program, variant.outputs, sets, variant.shots, seeds, "", 60.0)
        )
        found.append(done.answers)
    return TOOL.combine(split.recipe, found)


def chain(width: int) -> Program:
    operations = [Gate("ry", (q,), (slot(0, 1.0, 0.2 * q),)) for q in range(width)]
    operations += [Gate("cx", (q, q + 1)) for q in range(width - 1)]
    operations += [Gate("rx", (q,), (0.4 + 0.1 * q,)) for q in range(width)]
    return Program(width, 0, 1, tuple(operations))


@pytest.mark.parametrize("devices", [IONS, HEXAGONS])
def test_the_joint_device_gives_the_uncut_distribution(devices: Any) -> None:
    twins = driver(devices)
    whole = target(twins)
    shots, program = 4000, chain(4)
    body = teleport.normal(program)
    observables = PauliSum.of({"Z0 Z1": 1.0, "X3": 0.5, "": 0.25}), PauliSum.of("Y2 Z3")
    outputs: tuple[Output, ...] = (Counts(), Probabilities((1, 3)), Expectation(observables), Memory())
    split = TOOL.split(program, outputs, shots, whole, {"max_qubits": 2})
    assert len(split.variants) >= 2 and "entangled pairs" in split.notes[0]
    answers = run(twins, split, ((0.7,), (-1.2,)))
    counts, probabilities, expectation, memory = answers
    assert isinstance(counts, CountsAnswer)
    for k, value in enumerate((0.7, -1.2)):
        wanted = np.zeros(16)
        for outcome, probability in exact(measured(body), (value,)).items():
            wanted[outcome] = probability
        rows = slice(*counts.offsets.numpy()[k : k + 2])
        found = np.zeros(16)
        found[counts.outcomes.numpy()[rows, 0].astype(int)] = counts.counts.numpy()[rows] / shots
        assert abs(found - wanted).sum() < 0.12
        marginal = wanted.reshape(2, 2, 2, 2).sum(axis=(1, 3)).reshape(-1)
        assert abs(probabilities.values.numpy()[k] - marginal).sum() < 0.08  # type: ignore[union-attr]
        exactly = expectation_values(program.bound((value,)), observables)
        off = abs(expectation.values.numpy()[k] - exactly)  # type: ignore[union-attr]
        assert (off < 5 * expectation.standard_errors.numpy()[k] + 1e-9).all()  # type: ignore[union-attr]
    assert memory.outcomes.shape == (2, shots, 1)  # type: ignore[union-attr]


def expectation_values(program: Program, observables: Sequence[PauliSum]) -> np.ndarray:
    from qiskit.quantum_info import SparsePauliOp, Statevector

    from tests.formats.format_yardstick import circuit

    state = Statevector(circuit(program))
    found = []
    for observable in observables:
        terms = [("".join(t.paulis), list(t.qubits), t.coefficient) for t in observable.terms]
        found.append(state.expectation_value(SparsePauliOp.from_sparse_list(terms, program.num_qubits)).real)
    return np.array(found)


@pytest.mark.parametrize("devices", [IONS, HEXAGONS])
def test_lowered_parts_fit_together_whatever_the_program(devices: Any) -> None:
    """Lowering puts what a part does into another order: the whole waits for nothing that does not come."""
    whole = target(driver(devices))
    random = Random(11)
    for _ in range(5):
        program = measured(mixture(random, 3, 3))
        split = TOOL.split(program, (Counts(),), 1, whole, {"max_qubits": 2, "level": random.randrange(3)})
        narrow, _ = compact(split.variants[0].program, [0], 1)
        same(program, narrow, PARAMETERS)


# What is refused --------------------------------------------------------------------------------------


def test_what_cannot_be_distributed_is_refused_by_name() -> None:
    twins = driver()
    whole = target(twins)
    alone = Target(twins.devices()[0], twins.calibration("left"))
    program = chain(3)
    with pytest.raises(UnsupportedFeature, match=r"left is one device.*mesh.joint\(\)"):
        TOOL.split(program, (Counts(),), 100, alone, {})
    without = Target(alone.profile, alone.calibration, (twins.devices()[1],))
    with pytest.raises(UnsupportedFeature, match="fragments give expectation, probabilities, not counts"):
        TOOL.split(program, (Counts(),), 100, without, {})
    with pytest.raises(OptionError, match="give shots"):
        TOOL.split(program, (Counts(),), 0, whole, {})
    controlled = Program(2, 1, 0, (Gate("h", (0,)), Measure(0, 0), Reset(0), Gate("h", (0,))))
    with pytest.raises(UnsupportedFeature, match="measure at their end only; this one has a Measure"):
        TOOL.split(controlled, (Counts(),), 100, whole, {})
    total = sum(part.qubits - 1 for part in whole.profile.parts)
    with pytest.raises(TooLarge, match=f"needs {total + 1} qubits"):
        TOOL.split(Program(total + 1, 0, 0, (Gate("h", (0,)),)), (Counts(),), 100, whole, {})
    with pytest.raises(OptionError, match="no option 'sed'; did you mean 'seed'"):
        TOOL.check_options({"sed": 1})
    split = TOOL.split(program, (Counts(),), 100, whole, {})
    with pytest.raises(ToolFailed, match="not its own recipe"):
        TOOL.combine(b"\x01", [])
    with pytest.raises(ToolFailed, match="1 answers were awaited, not 0"):
        TOOL.combine(split.recipe, [])
