"""Random programs through every tool that is installed, and every preset: `verify` behind it, and NumPy beside it.

Tools are those of the registry: a new one is tried as `Case()` says until `CASES` says otherwise.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

import numpy as np
import pytest

from qfw.model import outputs as asked
from qfw.model.errors import ProgramError, ToolFailed, UnsupportedFeature
from qfw.model.observable import PauliSum
from qfw.model.outputs import (
    Answer,
    Array,
    Counts,
    CountsAnswer,
    Expectation,
    ExpectationAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
)
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Delay, Gate, Measure, Operation, Program
from qfw.platforms.twin.gate_pulses import with_pulses
from qfw.platforms.twin.models import model
from qfw.platforms.twin.platform import BuiltTwinDriver
from qfw.qpi.compiled import CompiledProgram
from qfw.qpm import expansion, presets, registry, stages
from qfw.qpm.platform import PlatformConfig
from qfw.qpm.tool import Target, compares, lowers, splits
from qfw.testing import tool_programs
from tests.engines.branches import exact
from tests.toolchain import seeded
from tests.toolchain.cut_cases import distribution, value
from tests.toolchain.programs import PARAMETERS, compact, same_distribution

HEAVY_HEX = model("heavy-hex-20")
ION = model("trapped-ion")
TARGETS = {
    "ideal": tool_programs.ideal(),
    "heavy-hex-20": Target(HEAVY_HEX.profile, with_pulses(HEAVY_HEX.calibration)),
    "trapped-ion": Target(ION.profile, with_pulses(ION.calibration)),
}
NATIVE = Stage("native", "transpile", {"level": 1})
VERIFY = Stage("verify", "verify", {})
#: Executions by which exact probabilities are told to tools that take counts only.
SHOTS = 100_000_000
SETS = (PARAMETERS, (-0.4, 5.1, 0.0))


class Case(NamedTuple):
    """How a tool is tried."""

    options: Mapping[str, Any] = {}
    #: Whether it is given native programs, as `transpile` leaves them.
    native: bool = False
    #: Targets on which it has nothing to go by.
    not_on: tuple[str, ...] = ()
    #: What it says of such a target, of control, and of slots; empty: it takes them.
    without: str = ""
    control: str = ""
    slots: str = ""
    #: Executions of a variant; 0: exact answers.
    shots: int = 0
    #: How far answers that are put together are off, at most.
    within: float = 1e-8


DRIVER_OPTIONS = {
    "devices": [{"model": "trapped-ion", "name": "left"}, {"model": "trapped-ion", "name": "right"}],
    "links": [{"devices": ["left", "right"], "fidelity": 1.0, "rate_per_s": 1e5, "attempt_us": 1.0}],
    "noise": False,
}
#: By tool, what is tried; one that is not named is tried with nothing said.
CASES: dict[str, tuple[Case, ...]] = {
    "cut": (
        Case({"max_qubits": 3}, control="operation .* cannot be cut|is a|behind its measurement"),
        Case({"max_qubits": 3, "gates": False, "max_cuts": 8}, control="is a|behind its measurement"),
    ),
    "distribute": (Case({"max_qubits": 2}, control="measure at their end only", shots=SHOTS, within=1e-5),),
    "mitigate": (
        Case({"methods": ["zne"]}, control="without control"),
        Case({"methods": ["zne", "twirl"], "frames": 3, "folding": "global"}, control="without control"),
    ),
    "pulse": (
        Case(
            native=True,
            not_on=("ideal",),
            without="does not define pulses|has no calibration",
            control="a branch|a loop|a reset|was measured",
            slots="depends on a slot",
        ),
    ),
    "schedule": tuple(
        Case(options, True, ("ideal",), "calibration")
        for options in ({}, {"policy": "asap", "decoupling": "xy4", "spacing": "even"})
    ),
    "search": (Case({"seeds": 2, "level": 2}),),
    "transpile": tuple(Case({"level": level}) for level in range(4)),
}
if find_spec("pytket"):
    CASES["transpile"] += (Case({"compiler": "tket", "level": 2}, control="Use compiler qiskit|delay"),)


def tools(kind: str) -> list[Any]:
    """Every installed tool of a kind, once with each of its cases."""
    found = []
    for name in registry.names(registry.TOOLS):
        loaded = registry.load(registry.TOOLS, name)
        its = "splits" if splits(loaded) else "compares" if compares(loaded) else "lowers"
        if its != kind:
            continue
        missing = [pytest.mark.skip(f"{name}'s framework is not installed")] * (loaded.version() is None)
        found += [
            pytest.param(name, case, id=f"{name}-{number}", marks=missing)
            for number, case in enumerate(CASES.get(name, (Case(),)))
        ]
    return found


def straight(seed: int) -> Program:
    """Now and then measured."""
    return seeded.straight(seed, measured=seed % 2 == 0)


def ran(names: Sequence[Stage], program: Program, target: Target) -> LoweredProgram:
    """What these stages make of a program, verified by the last one."""
    pipeline = Pipeline((*names, VERIFY))
    stages.check(pipeline)
    return stages.run(pipeline, program, target)


def same(program: Program, lowered: LoweredProgram) -> None:
    """Every outcome has the same probability; measured in Z, and turned before so that phases count."""
    assert lowered.stages[-1].notes[0].startswith("verified: ")
    found = Program.decode(lowered.encoded)
    assert found.num_slots == program.num_slots
    same_distribution(program, found, lowered.layout)
    if program.has_measurements:
        return
    width = program.num_qubits
    turns = [Gate("ry", (q,), (0.9 + q,)) for q in range(width)]
    turned = Program(width, 0, program.num_slots, (*program.operations, *turns))
    bare = tuple(op for op in found.operations if not isinstance(op, Measure))
    places = lowered.layout or tuple(range(width))
    turns = [Gate("ry", (places[q],), (0.9 + q,)) for q in range(width)]
    same_distribution(turned, Program(found.num_qubits, 0, found.num_slots, (*bare, *turns)), places)


def native(program: Program, target: Target) -> None:
    """By what the profile says, nothing else."""
    profile = target.profile
    if not profile.lowered_only:
        return
    pairs = profile.coupling and {frozenset(pair) for pair in profile.coupling}
    for gate in program.gates():
        assert gate.name in (*profile.native_gates, "gphase")
        assert len(gate.qubits) < 2 or pairs is None or frozenset(gate.qubits) in pairs


@pytest.mark.parametrize("where", TARGETS)
@pytest.mark.parametrize(("name", "case"), tools("lowers"))
def test_tools(name: str, case: Case, where: str) -> None:
    target, kind = TARGETS[where], registry.load(registry.TOOLS, name)
    stage = Stage(name, name, dict(case.options))
    front = (NATIVE,) if case.native else ()
    taken: Counter[str] = Counter()
    for seed in range(6):
        for program in (straight(seed), seeded.controlled(seed, size=6, wait=seed % 2 == 0)):
            given = "straight" if plain(program) else "control"
            if case.slots:
                if given == "straight" and where not in case.not_on and _turns(program):
                    with pytest.raises(ProgramError, match=case.slots):
                        ran((*front, stage), _measured(program), target)
                program = _measured(program.bound(PARAMETERS))
            try:
                lowered = ran((*front, stage), program, target)
            except (UnsupportedFeature, ProgramError) as error:
                _refused(error, case, given, where)
                continue
            assert not (where in case.not_on or (given == "control" and case.control))
            same(program, lowered) if program.num_slots else same_bound(program, lowered)
            if lowers(kind) or case.native:
                native(Program.decode(lowered.encoded), target)
            taken[given] += 1
    if where not in case.not_on:
        assert taken["straight"] >= 6 and (case.control or taken["control"] >= 4), taken


def plain(program: Program) -> bool:
    """Whether it has gates, barriers and measurements at its end only."""
    return not program.has_control and not any(isinstance(op, Delay) for op in program.operations)


def same_bound(program: Program, lowered: LoweredProgram) -> None:
    found, places = compact(Program.decode(lowered.encoded), lowered.layout, program.num_qubits)
    wanted, got = exact(program), exact(found)
    for outcome in {*wanted, *got}:
        assert abs(wanted.get(outcome, 0.0) - got.get(outcome, 0.0)) < 1e-9, (outcome, places)


def _turns(program: Program) -> bool:
    """Whether a slot is left in an angle after lowering, almost surely."""
    return any(gate.name in ("rx", "ry", "u") and program.num_slots for gate in program.gates()) and any(
        np.abs(program.angle_table.matrix).sum(axis=1)
    )


def _measured(program: Program) -> Program:
    if program.has_measurements:
        return program
    ending = tuple(Measure(q, q) for q in range(program.num_qubits))
    return Program(program.num_qubits, program.num_qubits, program.num_slots, program.operations + ending)


def _refused(error: Exception, case: Case, given: str, where: str) -> None:
    """What a tool must take it took; of the rest it says why not."""
    words = case.without if where in case.not_on else case.control if given == "control" else ""
    assert words and re.search(words, str(error)), error


@pytest.mark.parametrize("where", TARGETS)
@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets(name: str, where: str) -> None:
    target, front = TARGETS[where], presets.preset(name)
    if any(registry.load(registry.TOOLS, stage.tool).version() is None for stage in front):
        pytest.skip("Qiskit is not installed")
    for seed in range(20, 24):
        for program in (straight(seed), seeded.controlled(seed, size=6, wait=seed % 2 == 0)):
            lowered = ran(front, program, target)
            same(program, lowered)
            if front:
                native(Program.decode(lowered.encoded), target)


@pytest.mark.parametrize("where", TARGETS)
def test_compiled_files(where: str) -> None:
    """What a .qfw file carries for a target is the program, lowered; with slots, measured or not."""
    pytest.importorskip("qiskit")
    target = TARGETS[where]
    for seed in range(30, 33):
        for program in (straight(seed), seeded.controlled(seed, size=6)):
            carried = CompiledProgram.from_bytes(
                CompiledProgram.make(program, "default", [target]).to_bytes()
            )
            assert carried.compiled_for == ((target.profile.name, target.version),)
            lowered = carried.lower(target)
            same_distribution(program, lowered.program, lowered.layout)
            native(lowered.program, target)


#: What may stand behind native programs, in any order.
BEHIND = (
    Stage("reduce", "reduce", {}),
    Stage("again", "transpile", {"level": 0}),
    Stage("otherwise", "transpile", {"level": 3, "seed": 5}),
    Stage("late", "schedule", {}),
    Stage("soon", "schedule", {"policy": "asap", "decoupling": "xy4"}),
)


@pytest.mark.parametrize("seed", range(24))
def test_tools_one_behind_another(seed: int) -> None:
    """Layouts of several stages are put together, and delays of one kept by the next."""
    pytest.importorskip("qiskit")
    rng = np.random.default_rng(seed)
    where = ("heavy-hex-20", "trapped-ion")[seed % 2]
    chosen = [BEHIND[int(place)] for place in rng.integers(len(BEHIND), size=3)]
    names = [Stage(f"{place}-{stage.name}", stage.tool, stage.options) for place, stage in enumerate(chosen)]
    program = (
        seeded.straight(seed, 5, 14, measured=seed % 4 == 0)
        if seed % 3
        else seeded.controlled(seed, 3, 8, wait=seed % 2 == 0)
    )
    lowered = ran((NATIVE, *names), program, TARGETS[where])
    same(program, lowered)
    native(Program.decode(lowered.encoded), TARGETS[where])


# Tools that split -------------------------------------------------------------------------------------


def joint() -> Target:
    """Two twins with a link."""
    driver = BuiltTwinDriver(PlatformConfig("twins", DRIVER_OPTIONS))
    profile = driver.devices()[-1]
    return Target(profile, driver.calibration(profile.name))


#: Where a splitting tool is tried; elsewhere on the ideal target.
PLACES = {"distribute": joint}


def wanted_of(kind: Any, width: int) -> tuple[Output, ...]:
    words = {f"Z{q} X{(q + 1) % width}" if width > 1 else "X0": 0.5 + q for q in range(width)}
    everything: dict[str, Output] = {
        "expectation": Expectation((PauliSum.of("Z0"), PauliSum.of(words), PauliSum.of(f"Y{width - 1}"))),
        "probabilities": Probabilities(tuple(dict.fromkeys((width - 1, 0)))),
    }
    found = tuple(output for tag, output in everything.items() if tag in kind.answers)
    assert found, f"it answers {kind.answers} only: say here what it is asked"
    return found


def answered(program: Program, outputs: Sequence[Output], shots: int) -> tuple[Answer, ...]:
    """Exact answers by NumPy; counts are probabilities times shots, rounded."""
    found: list[Answer] = []
    for output in outputs:
        match output:
            case Expectation(observables):
                assert not program.has_control
                rows = np.array([[value(program, o, values) for o in observables] for values in SETS])
                errors = np.full(rows.shape, 1e-9 if shots else 0.0)
                found.append(ExpectationAnswer(Array.of(rows), Array.of(errors)))
            case Probabilities(qubits):
                assert not program.has_control
                every = qubits or tuple(range(program.num_qubits))
                table = np.array([distribution(program, every, values) for values in SETS])
                found.append(ProbabilitiesAnswer(Array.of(table)))
            case Counts():
                found.append(_counts(program, shots))
            case _:
                raise AssertionError(f"a variant asks for {type(output).__name__}: answer it here")
    return tuple(found)


def _counts(program: Program, shots: int) -> CountsAnswer:
    narrow, _ = compact(program, [0], 1)
    outcomes: list[int] = []
    numbers: list[int] = []
    offsets = [0]
    for values in SETS:
        for outcome, probability in exact(narrow, values[: program.num_slots]).items():
            if number := round(probability * shots):
                outcomes.append(outcome)
                numbers.append(number)
        offsets.append(len(outcomes))
    words = np.array(outcomes, dtype=np.uint64)[:, None]
    return CountsAnswer(
        program.num_bits, Array.of(words), Array.of(np.array(numbers)), Array.of(np.array(offsets))
    )


@pytest.mark.parametrize(("name", "case"), tools("splits"))
def test_splitting_tools(name: str, case: Case) -> None:
    """Of exact answers the exact answer; what is behind the tool lowers each part, verified."""
    target, kind = PLACES.get(name, tool_programs.ideal)(), registry.load(registry.TOOLS, name)
    pipeline = Pipeline((Stage("reduce", "reduce", {}), Stage(name, name, dict(case.options))))
    stages.check(pipeline)
    parted = 0
    for seed in range(8):
        program = chained(seed)
        outputs = wanted_of(kind, program.num_qubits)
        expanded = expansion.expand(pipeline, program, outputs, case.shots, target)
        programs = [Program.decode(encoded) for encoded in expanded.programs]
        answers = [
            answered(programs[leaf.program], asked.decode_outputs(leaf.outputs), leaf.shots)
            for leaf in expanded.leaves
        ]
        parted += len(expanded.leaves) > 1
        found = expansion.combine(pipeline, expanded, answers)
        for one, two in zip(found, answered(program, outputs, 0), strict=True):
            assert isinstance(one, ExpectationAnswer | ProbabilitiesAnswer) and type(one) is type(two)
            np.testing.assert_allclose(one.values.numpy(), two.values.numpy(), rtol=0, atol=case.within)
        if not seed and not target.profile.parts:
            for part in programs[:3]:
                same(part, ran((NATIVE,), part, TARGETS["heavy-hex-20"]))
    assert parted >= 4


@pytest.mark.parametrize(
    "names", [("cut", "mitigate"), ("mitigate", "cut")], ids=lambda names: "-".join(names)
)
def test_one_splitting_tool_behind_another(names: tuple[str, str]) -> None:
    pipeline = Pipeline(tuple(Stage(name, name, dict(CASES[name][0].options)) for name in names))
    outputs: tuple[Output, ...] = (Expectation((PauliSum.of({"Z0": 1.0, "X1 Y3": 0.5, "": 0.25}),)),)
    for seed in range(4):
        program = chained(seed)
        expanded = expansion.expand(pipeline, program, outputs, 0, tool_programs.ideal())
        programs = [Program.decode(encoded) for encoded in expanded.programs]
        answers = [
            answered(programs[leaf.program], asked.decode_outputs(leaf.outputs), 0)
            for leaf in expanded.leaves
        ]
        (found,) = expansion.combine(pipeline, expanded, answers)
        (wanted,) = answered(program, outputs, 0)
        assert isinstance(found, ExpectationAnswer) and isinstance(wanted, ExpectationAnswer)
        np.testing.assert_allclose(found.values.numpy(), wanted.values.numpy(), rtol=0, atol=1e-8)


def chained(seed: int) -> Program:
    """Four qubits with few gates between them: so that parts of three are enough."""
    rng = np.random.default_rng(seed)
    operations: list[Operation] = list(tool_programs.straight(rng, 1, 2).operations[:1])
    for q in range(3):
        pair = rng.permutation([q, q + 1])
        name = str(rng.choice(["cx", "cz", "rzz", "crx", "ecr", "cp"]))
        turn = tool_programs.gate(rng, 1)
        operations += [
            Gate(turn.name, (q,) * len(turn.qubits), turn.angles),
            Gate("ry", (q,), (float(rng.uniform(0.3, 2.0)),)),
            Gate(name, (int(pair[0]), int(pair[1])), (0.7 * q + 0.4,) * (name in ("rzz", "crx", "cp"))),
        ]
        if rng.random() < 0.2:
            operations.append(Delay(q, 100))
    program = Program(4, 0, tool_programs.SLOTS, tuple(operations))
    program.check()
    return program


@pytest.mark.parametrize(("name", "case"), tools("splits"))
def test_splitting_tools_and_control(name: str, case: Case) -> None:
    """Refused by name, or put together right."""
    target, kind = PLACES.get(name, tool_programs.ideal)(), registry.load(registry.TOOLS, name)
    pipeline = Pipeline((Stage(name, name, dict(case.options)),))
    for seed in range(12):
        program = seeded.controlled(seed, max_qubits=4)
        if not program.has_control or program.num_qubits < 4:
            continue
        outputs = wanted_of(kind, program.num_qubits)
        with pytest.raises(UnsupportedFeature, match=case.control or "control"):
            expansion.expand(pipeline, program, outputs, case.shots, target)


# Tools that compare ------------------------------------------------------------------------------------


def far(one: Program, other: Program) -> float:
    """By how much the probability of an outcome differs, of qubits that nothing measures turned before."""

    def ended(program: Program) -> Program:
        if program.has_measurements:
            return program
        turns = tuple(Gate("u", (q,), (0.9 + q, 0.4, 0.2)) for q in range(program.num_qubits))
        return _measured(Program(program.num_qubits, 0, program.num_slots, (*program.operations, *turns)))

    found = 0.0
    for values in SETS:
        first, second = exact(ended(one), values), exact(ended(other), values)
        gaps = (abs(first.get(key, 0.0) - second.get(key, 0.0)) for key in {*first, *second})
        found = max(found, *gaps)
    return found


@pytest.mark.parametrize(("name", "case"), tools("compares"))
def test_comparing_tools(name: str, case: Case) -> None:
    """They take what is the same, and find every change of one operation that changes what is measured."""
    target, stage = TARGETS["heavy-hex-20"], Stage(name, name, dict(case.options))
    tool = registry.load(registry.TOOLS, name)()
    found = 0
    for seed in range(60):
        program = straight(seed) if seed % 3 else seeded.controlled(seed, size=6)
        tool.compare(program, program, None, "equivalence", target, stage.options)
        wrong = seeded.mutated(program, seed)
        if far(program, wrong) > 1e-4:
            found += 1
            with pytest.raises(ToolFailed):
                tool.compare(program, wrong, None, "equivalence", target, stage.options)
    assert found >= 15


def test_every_case_is_of_a_tool() -> None:
    """A case of a tool that was renamed would be tried no more."""
    assert set(CASES) <= set(registry.names(registry.TOOLS))
