"""Runs a pipeline with splitting tools: one program becomes many, and their answers become those of the one."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from qfw.model.errors import (
    OptionError,
    QFwError,
    SetupError,
    TooLarge,
    ToolFailed,
    UnknownDevice,
    UnsupportedFeature,
    WrongAnswer,
)
from qfw.model.expansion import (
    MAX_EXPANDED_BYTES,
    MAX_LEAVES,
    MAX_NOTE_CHARACTERS,
    MAX_NOTES,
    Expanded,
    Fork,
    Leaf,
    Level,
)
from qfw.model.outputs import (
    Answer,
    CountsAnswer,
    Expectation,
    ExpectationAnswer,
    MemoryAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    StatevectorAnswer,
    check_outputs,
    check_shots,
    decode_outputs,
    encode_outputs,
)
from qfw.model.pipeline import Pipeline, Stage, StageReport
from qfw.model.program import Program
from qfw.model.relocation import Relocation
from qfw.qpm import registry, stages
from qfw.qpm.quality import depth
from qfw.qpm.stages import failing_as, kind_of, tool_of
from qfw.qpm.tool import Split, Target, Variant, binds, splits


def splitting(pipeline: Pipeline) -> bool:
    """Whether a stage makes several programs of one; of tools that are not installed here nobody knows it."""
    for stage in pipeline.stages:
        with contextlib.suppress(UnknownDevice, SetupError):
            if splits(registry.load(registry.TOOLS, stage.tool)):
                return True
    return False


def front(pipeline: Pipeline) -> tuple[Stage, ...]:
    """The stages up to the last splitting one: those that an expansion runs."""
    last = max((at for at, stage in enumerate(pipeline.stages) if splits(kind_of(stage.tool))), default=-1)
    return pipeline.stages[: last + 1]


def expand(
    pipeline: Pipeline,
    program: Program,
    outputs: tuple[Output, ...],
    shots: int,
    target: Target,
    begins: Callable[[Stage], None] = lambda stage: None,
) -> Expanded:
    """The programs that a pipeline makes of one for a target.

    Stages in front of a splitting one run as in `stages.run`; what is asked follows the qubits; the splitting tool
    makes variants, and each of them goes on in the same way. The stages behind the last splitting one are the
    expansion's `rest`.

    Args:
        pipeline: with at least one splitting tool.
        program: what was asked to run.
        outputs: what was asked of it.
        shots: executions for each parameter set; 0: exact answers.
        target: what it is expanded for; a variant may name its device or one of its peers.
        begins: told of every stage before it runs on a program.

    Raises:
        ProgramError: a tool says that the program cannot be split, or not for these outputs; says which stage.
        TooLarge: more than MAX_LEAVES programs, or more than MAX_EXPANDED_BYTES.
        ToolFailed: a tool failed otherwise, or what it gave fits nothing.
        OptionError: no stage splits.
    """
    program.check()
    check_outputs(outputs, program, 1, shots)
    growth = _Growth(pipeline, target, begins)
    found = growth.grown(_Branch(program, outputs, shots))
    found.check()
    return found


def combine(
    pipeline: Pipeline, expanded: Expanded, answers: Sequence[tuple[Answer, ...]]
) -> tuple[Answer, ...]:
    """The answers to what was asked, of the answers of all leaves in their order. Pure.

    Raises:
        WrongAnswer: the answers are not those of the leaves.
        ToolFailed: a tool failed, or what it gave does not answer what was asked; says which stage.
    """
    expanded.check()
    sets = _sets(expanded, answers)
    found = list(answers)
    for level in reversed(expanded.levels):
        if level.stage >= len(pipeline.stages):
            raise ToolFailed(f"an expansion of another pipeline: this one has no stage {level.stage + 1}")
        stage = pipeline.stages[level.stage]
        at, merged = 0, []
        for fork in level.forks:
            merged.append(_combined(stage, fork, found[at : at + fork.variants], sets))
            at += fork.variants
        found = merged
    return found[0]


class _Branch(NamedTuple):
    """A program on its way, and what is asked of it."""

    program: Program
    outputs: tuple[Output, ...]
    shots: int
    device: str = ""


class _Growth:
    """One expansion under way."""

    def __init__(self, pipeline: Pipeline, target: Target, begins: Callable[[Stage], None]) -> None:
        self._pipeline = pipeline
        self._target = target
        self._begins = begins
        self._names = {target.profile.name, *(peer.name for peer in target.peers)}
        self._notes: dict[str, None] = {}
        self._reports: list[StageReport] = []
        #: Of what will travel.
        self._bytes = 0
        #: Of programs that are counted in it.
        self._counted: set[bytes] = set()

    def grown(self, root: _Branch) -> Expanded:
        found = self._pipeline.stages
        at = [number for number, stage in enumerate(found) if splits(kind_of(stage.tool))]
        if not at:
            raise OptionError(
                "no stage of the pipeline makes several programs of one; lower the program with it"
            )
        bound = any(binds(kind_of(stage.tool), self._target) for stage in found[: at[-1] + 1])
        branches, levels, begin = [root], [], 0
        for number in at:
            if number > begin:
                branches = self._lowered(found[begin:number], branches)
            forks, branches = self._forked(found[number], branches)
            levels.append(Level(number, tuple(forks)))
            begin = number + 1
        self._check_places(branches, bound)
        programs: dict[bytes, int] = {}
        leaves = []
        for branch in branches:
            place = programs.setdefault(branch.program.encoded, len(programs))
            leaves.append(Leaf(place, encode_outputs(branch.outputs), branch.shots, branch.device))
        rest = found[begin:]
        return Expanded(
            tuple(programs),
            tuple(leaves),
            tuple(levels),
            Pipeline(rest) if rest else None,
            bound,
            self._target.profile.name,
            self._target.version,
            tuple(self._reports),
            _bounded(list(self._notes)),
        )

    def _lowered(self, segment: tuple[Stage, ...], branches: list[_Branch]) -> list[_Branch]:
        """The branches behind stages that do not split; equal programs for one device are lowered once."""
        known: dict[tuple[bytes, str], Relocation] = {}
        found = []
        for branch in branches:
            key = branch.program.encoded, branch.device
            relocation = known.get(key)
            if relocation is None:
                target = self._target_of(segment, branch)
                made = stages.through(segment, branch.program, target, self._begins)
                relocation = Relocation(branch.program, made.program, made.layout)
                try:
                    relocation.check()
                except QFwError as error:
                    names = ", ".join(stage.name for stage in segment)
                    raise ToolFailed(f"stages {names}: {error}") from error
                known[key] = relocation
                if len(branches) == 1:
                    self._reports += made.reports
                self._note(note for report in made.reports for note in report.notes)
            outputs = relocation.outputs(branch.outputs)
            found.append(branch._replace(program=relocation.lowered, outputs=outputs))
        return found

    def _target_of(self, segment: Sequence[Stage], branch: _Branch) -> Target:
        """What a branch is lowered for: the device that a tool named for it, of which only the profile is known."""
        if branch.device in ("", self._target.profile.name):
            return self._target
        binding = [stage for stage in segment if binds(kind_of(stage.tool), self._target)]
        if binding:
            raise UnsupportedFeature(
                f"stage {binding[0].name}: a stage in front gives a program to {branch.device}, and tool "
                f"{binding[0].tool} makes programs for {self._target.profile.name} as it is now. Put {binding[0].name} "
                "behind the last stage that makes several programs of one"
            )
        everything = (self._target.profile, *self._target.peers)
        (own,) = (profile for profile in everything if profile.name == branch.device)
        return Target(own, None, tuple(profile for profile in everything if profile is not own))

    def _forked(self, stage: Stage, branches: list[_Branch]) -> tuple[list[Fork], list[_Branch]]:
        """What a splitting stage makes of each branch."""
        tool = tool_of(stage.tool)
        forks: list[Fork] = []
        found: list[_Branch] = []
        began = time.perf_counter()
        notes: dict[str, None] = {}
        for branch in branches:
            self._begins(stage)
            _check_answers(stage, branch.outputs)
            target = self._target_of((stage,), branch)
            with failing_as(stage):
                split = tool.split(branch.program, branch.outputs, branch.shots, target, stage.options)
                variants = self._variants(stage, branch, split)
                notes.update(dict.fromkeys(map(str, split.notes)))
                self._count(len(split.recipe), len(found) + len(variants))
            forks.append(Fork(split.recipe, len(variants), encode_outputs(branch.outputs)))
            for variant in variants:
                device = variant.device or branch.device
                found.append(_Branch(variant.program, variant.outputs, variant.shots, device))
        self._note(notes)
        took_s = time.perf_counter() - began
        self._reports.append(_summed(stage.name, found, took_s, _bounded(list(notes))))
        return forks, found

    def _variants(self, stage: Stage, branch: _Branch, split: Split) -> tuple[Variant, ...]:
        """What a tool gave, looked at as what anybody gives."""
        said = f"tool {stage.tool}"
        if not isinstance(split, Split) or not split.variants or not isinstance(split.recipe, bytes):
            raise ToolFailed(f"{said} gave {type(split).__name__}; a Split with variants and a recipe is one")
        if len(split.variants) > MAX_LEAVES:
            raise _too_many(len(split.variants))
        for number, variant in enumerate(split.variants):
            what = f"variant {number + 1} of {len(split.variants)} of {said}"
            try:
                variant.program.check()
                check_outputs(variant.outputs, variant.program, 1, check_shots(variant.shots))
            except QFwError as error:
                raise ToolFailed(f"{what} cannot be run: {error}") from error
            if variant.program.num_slots != branch.program.num_slots:
                raise ToolFailed(
                    f"{what} has {variant.program.num_slots} slots; the {branch.program.num_slots} of the program were "
                    "to be kept"
                )
            if not variant.outputs:
                raise ToolFailed(f"{what} asks for nothing")
            if variant.device and variant.device not in self._names:
                raise ToolFailed(
                    f"{what} is for device {variant.device!r}, which is not there: {', '.join(sorted(self._names))}"
                )
            encoded = variant.program.encoded
            size = len(encode_outputs(variant.outputs)) + (0 if encoded in self._counted else len(encoded))
            self._counted.add(encoded)
            self._count(size, 0)
        return split.variants

    def _count(self, size: int, number: int) -> None:
        self._bytes += size
        if number > MAX_LEAVES:
            raise _too_many(number)
        if self._bytes > MAX_EXPANDED_BYTES:
            raise TooLarge(
                f"the programs made of one take more than {MAX_EXPANDED_BYTES / 2**20:.0f} MiB. "
                "Split into fewer or smaller ones"
            )

    def _check_places(self, branches: list[_Branch], bound: bool) -> None:
        away = next((b.device for b in branches if b.device not in ("", self._target.profile.name)), "")
        if bound and away:
            raise UnsupportedFeature(
                f"a tool gives a program to {away}, but another one made it for {self._target.profile.name} as that is "
                "now. Put tools that make programs for one device behind the last that makes several programs of one"
            )

    def _note(self, notes: Iterable[str]) -> None:
        self._notes.update(dict.fromkeys(notes))


def _too_many(number: int) -> TooLarge:
    return TooLarge(
        f"the pipeline makes {number} programs or more of one; at most {MAX_LEAVES} are run. Split into fewer"
    )


def _bounded(notes: list[str]) -> tuple[str, ...]:
    """Notes as they travel."""
    found = [note[:MAX_NOTE_CHARACTERS] for note in notes]
    if len(found) > MAX_NOTES:
        found = [*found[: MAX_NOTES - 1], f"… and {len(found) - MAX_NOTES + 1} more notes"]
    return tuple(found)


def _check_answers(stage: Stage, outputs: tuple[Output, ...]) -> None:
    """Raises UnsupportedFeature where a splitting tool cannot answer an output."""
    able = kind_of(stage.tool).answers
    wrong = sorted({tag for output in outputs if (tag := str(output.__struct_config__.tag)) not in able})
    if wrong:
        raise UnsupportedFeature(
            f"stage {stage.name}: tool {stage.tool} puts together {', '.join(sorted(able))}, not {', '.join(wrong)}. "
            f"Ask for {' or '.join(sorted(able))}, or leave the stage out"
        )


def _summed(name: str, branches: list[_Branch], took_s: float, notes: tuple[str, ...]) -> StageReport:
    """All variants behind a splitting stage in figures."""
    figures: dict[bytes, tuple[int, int, int, int]] = {}
    gates = pairs = 0
    for branch in branches:
        program = branch.program
        found = figures.get(program.encoded)
        if found is None:
            placed = [gate for gate in program.gates() if gate.qubits]
            found = (
                program.num_qubits,
                len(placed),
                sum(len(gate.qubits) == 2 for gate in placed),
                depth(program),
            )
            figures[program.encoded] = found
        gates, pairs = gates + found[1], pairs + found[2]
    shots = sum(branch.shots for branch in branches)
    said = (
        f"{len(branches)} variants of {len(figures)} programs, "
        + (f"{shots} executions for each set" if shots else "exact"),
        *notes,
    )
    return StageReport(
        name,
        max(found[0] for found in figures.values()),
        gates,
        pairs,
        max(found[3] for found in figures.values()),
        None,
        None,
        took_s,
        said,
    )


# Answers ------------------------------------------------------------------------------------------


def _sets(expanded: Expanded, answers: Sequence[tuple[Answer, ...]]) -> int:
    """Number of sets, which is that of all. Raises WrongAnswer where the answers are not those of the leaves."""
    if len(answers) != len(expanded.leaves):
        raise WrongAnswer(f"{len(answers)} answers; the expansion has {len(expanded.leaves)} leaves")
    sets = -1
    for number, (leaf, given) in enumerate(zip(expanded.leaves, answers, strict=True)):
        if sets < 0 and given:
            sets = _sets_of(given[0])
        fault = _fault(decode_outputs(leaf.outputs), given, sets)
        if fault:
            raise WrongAnswer(f"leaf {number + 1} of {len(answers)}: {fault}")
    return sets


def _combined(stage: Stage, fork: Fork, answers: list[tuple[Answer, ...]], sets: int) -> tuple[Answer, ...]:
    with failing_as(stage):
        given = tuple(tool_of(stage.tool).combine(fork.recipe, answers))
        fault = _fault(decode_outputs(fork.outputs), given, sets)
        if fault:
            raise ToolFailed(f"tool {stage.tool} does not answer what was asked: {fault}")
        return given


def _fault(outputs: tuple[Output, ...], answers: tuple[Answer, ...], sets: int) -> str:
    """What is wrong with answers to these outputs; empty: nothing."""
    if len(outputs) != len(answers):
        return f"{len(answers)} answers to {len(outputs)} outputs"
    for output, answer in zip(outputs, answers, strict=True):
        asked, tag = output.__struct_config__.tag, getattr(answer, "__struct_config__", None)
        if not isinstance(answer, msgspec.Struct) or tag is None or tag.tag != asked:
            return f"{type(answer).__name__} in the place of {asked}"
        if _sets_of(answer) != sets:
            return f"{asked} of {_sets_of(answer)} sets; {sets} were run"
        width = _width(output)
        if isinstance(answer, ExpectationAnswer | ProbabilitiesAnswer):
            values = answer.values.numpy()
            if values.ndim != 2 or (width and values.shape[1] != width):
                return f"{asked} of shape {values.shape}; ({sets}, {width or '2**qubits'}) was asked"
            if not np.isfinite(values.astype(np.float64)).all():
                return f"{asked} with NaN or infinity"
        if isinstance(answer, ExpectationAnswer) and answer.standard_errors.shape != answer.values.shape:
            return (
                f"standard errors of shape {answer.standard_errors.shape} for values of {answer.values.shape}"
            )
    return ""


def _width(output: Output) -> int:
    """Values of each set, where the output alone says it; else 0."""
    match output:
        case Expectation():
            return len(output.observables)
        case Probabilities() if output.qubits:
            return int(2 ** len(output.qubits))
    return 0


def _sets_of(answer: Answer) -> int:
    match answer:
        case CountsAnswer():
            return int(answer.offsets.numpy().size) - 1
        case MemoryAnswer():
            return int(answer.outcomes.numpy().shape[0])
        case ExpectationAnswer() | ProbabilitiesAnswer() | StatevectorAnswer():
            values = answer.values.numpy()
            return int(values.shape[0]) if values.ndim else -1
    return -1
