"""Every tool keeps its contract, and one that does not is found out by the check that names what it breaks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from qfw.model.errors import OptionError, ProgramError, UnknownDevice
from qfw.model.outputs import Array, Expectation, ExpectationAnswer
from qfw.model.program import Affine, Gate, Measure, Program
from qfw.platforms.twin.gate_pulses import with_pulses
from qfw.platforms.twin.models import model
from qfw.qpm import registry
from qfw.qpm.tool import Needs, Split, Target, ToolOutput, Variant, plays, splits
from qfw.testing import Report, Verdict, check_tool, tool_checks
from qfw.toolchain.options import check_names, integer
from qfw.toolchain.reduce import ReduceTool
from qfw.toolchain.transpile import TranspileTool
from qfw.toolchain.verify import VerifyTool


def failures(report: Report) -> dict[str, str]:
    return {f.check: f.found for f in report.of(Verdict.FAILED, Verdict.STUCK)}


#: What tools are checked with, where they do nothing without.
OPTIONS: dict[str, dict[str, Any]] = {"cut": {"max_qubits": 3}, "mitigate": {"methods": ["zne"]}}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_they_pass_without_options_too(name: str) -> None:
    report = check_tool(name, only={"tool", "split"})
    assert report.passed, failures(report)


@pytest.mark.parametrize("name", registry.names(registry.TOOLS))
def test_our_tools_pass(name: str) -> None:
    kind = registry.load(registry.TOOLS, name)
    if kind.version() is None:
        pytest.skip(f"{name}'s framework is not installed")
    profile, calibration = model("heavy-hex-20")
    targets = {"with pulses": Target(profile, with_pulses(calibration))} if plays(kind) else {}
    report = check_tool(name, options=OPTIONS.get(name), targets=targets)
    assert report.passed, failures(report)
    assert report.kind == "tool" and report.name == name and len(report.findings) == len(tool_checks())
    if splits(kind):
        # There is a program and a place that each of ours splits.
        unmet = {each.check for each in report.of(Verdict.NOT_APPLICABLE) if each.check.startswith("split")}
        assert not unmet


@pytest.mark.parametrize("reads", ["special", "none"])
def test_transpile_looks_at_the_constants_that_it_says(reads: str) -> None:
    report = check_tool("transpile", options={"constants": reads}, only={"program.constants"})
    assert report.passed and len(report.of(Verdict.PASSED)) == 1, failures(report)


def test_an_unknown_tool_names_the_nearest() -> None:
    with pytest.raises(UnknownDevice, match="did you mean 'reduce'"):
        check_tool("redcue")


class Fine:
    """Gives back what it is given."""

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {"level": "how much, 0 to 3, 1 by default"}

    def __init__(self) -> None:
        self.calls = 0

    @classmethod
    def version(cls) -> str | None:
        return "1"

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        check_names("fine", options, cls.options)
        integer("fine", options, "level", 1, 0, 3)

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        self.calls += 1
        return ToolOutput(program)


def with_gates(program: Program, *gates: Gate) -> Program:
    return msgspec.structs.replace(program, operations=(*gates, *program.operations))


class Lies(Fine):
    keeps = "everything"


class Silent(Fine):
    options: ClassVar[Mapping[str, str]] = {"level": ""}


class Versionless(Fine):
    @classmethod
    def version(cls) -> str | None:
        return ""


class TakesAnything(Fine):
    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        pass


class NamesNothing(Fine):
    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        if set(options) - {"level"}:
            raise OptionError("one of these options is not known here")
        integer("fine", options, "level", 1, 0, 3)


class Turns(Fine):
    """Adds a gate that changes the state."""

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(with_gates(program, Gate("ry", (0,), (0.3,))))


class LooksAtConstants(Fine):
    """Drops gates that turn by nothing, and says that it looks at no constant."""

    constants = "none"

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        kept = tuple(op for op in program.operations if not (isinstance(op, Gate) and op.angles == (0.0,)))
        return ToolOutput(msgspec.structs.replace(program, operations=kept))


class MixesSlots(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        def turned(gate: Any) -> Any:
            if not isinstance(gate, Gate):
                return gate
            angles = tuple(
                Affine(tuple(((s + 1) % program.num_slots, c) for s, c in a.terms), a.offset)
                if isinstance(a, Affine)
                else a
                for a in gate.angles
            )
            return Gate(gate.name, gate.qubits, angles)

        return ToolOutput(msgspec.structs.replace(program, operations=tuple(map(turned, program.operations))))


class DropsSlots(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(program.bound(np.zeros(program.num_slots)) if program.num_slots else program)


class DropsMeasurements(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        kept = tuple(op for op in program.operations if not isinstance(op, Measure))
        return ToolOutput(msgspec.structs.replace(program, operations=kept))


class DropsBranches(Fine):
    """Right for gates and measurements at the end only."""

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        kept = tuple(op for op in program.operations if isinstance(op, Gate | Measure))
        return ToolOutput(msgspec.structs.replace(program, operations=kept))


class LosesQubits(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(program, (0,) * program.num_qubits)


class SaysItMoved(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(program, tuple(reversed(range(program.num_qubits))))


class Counts(Fine):
    """Another result each time, of the same meaning."""

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        self.calls += 1
        return ToolOutput(with_gates(program, *(Gate("id", (0,)),) * self.calls))


class OfTheProcess(Fine):
    """The hash of a text is another one in each process."""

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(with_gates(program, *(Gate("id", (0,)),) * (hash("a text") % 1009)))


class NoProgram(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(with_gates(program, Gate("cx", (0, 0))))


class NoNotes(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(program, notes=("two\nlines",))


class WritesOptions(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        options["level"] = 2  # type: ignore[index]
        return ToolOutput(program)


class Crashes(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        if program.num_qubits > target.profile.max_qubits or not program.operations:
            raise IndexError("list index out of range")
        return ToolOutput(program)


class NoControl(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        if program.has_control and not target.profile.control:
            raise KeyError(3)
        return ToolOutput(program)


class Hangs(Fine):
    needs: ClassVar[Needs] = Needs(time_s=0.05)

    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        end_s = time.monotonic() + 0.4
        while time.monotonic() < end_s:
            pass
        return ToolOutput(program)


class NotNative(Fine):
    def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
        h = Gate("h", (0,))
        return ToolOutput(with_gates(program, h, h))


class ClaimsToLower(Fine):
    lowers: ClassVar[bool] = True


class WrongNeeds(Fine):
    needs: ClassVar[Needs] = Needs(workers=0)


BROKEN: dict[str, tuple[type[Any], set[str]]] = {
    "tool.claims": (Lies, set()),
    "tool.claims of needs": (WrongNeeds, set()),
    "tool.options_said": (Silent, set()),
    "tool.version": (Versionless, set()),
    "options.unknown": (TakesAnything, {"options.nearest", "options.wrong_values"}),
    "options.nearest": (NamesNothing, set()),
    "program.constants": (LooksAtConstants, set()),
    "program.keeps": (Turns, {"program.measured", "program.delay", "program.control", "program.native"}),
    "program.keeps of slots": (MixesSlots, {"program.measured", "program.delay", "program.control"}),
    "program.slots": (DropsSlots, {"program.keeps", "program.delay", "program.measured", "program.control"}),
    "program.measured": (DropsMeasurements, {"program.control"}),
    "program.control": (DropsBranches, set()),
    "program.layout": (
        LosesQubits,
        {"program.keeps", "program.delay", "program.measured", "program.control"},
    ),
    "program.keeps of layouts": (SaysItMoved, {"program.measured", "program.delay", "program.control"}),
    "program.pure": (Counts, {"program.native", "program.process"}),
    "program.process": (OfTheProcess, {"program.native"}),
    "program.form of notes": (NoNotes, set()),
    "program.native": (NotNative, set()),
    "program.native of lowering": (ClaimsToLower, set()),
    "program.too_wide": (Crashes, {"program.smallest"}),
    "program.no_control": (NoControl, set()),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_a_tool_breaks_is_named(what: str) -> None:
    kind, besides = BROKEN[what]
    name = what.partition(" ")[0]
    # `tool.module_is_light` is asked of the module that tests are in, which imports Qiskit's tools.
    found = set(failures(check_tool(kind, only={"options", "program", name}))) - {"tool.module_is_light"}
    assert name in found
    assert found <= {name, *besides}, found


def test_a_tool_that_gives_no_program_fails() -> None:
    assert "program.form" in failures(check_tool(NoProgram, only={"program.form"}))


def test_a_tool_that_writes_into_its_options_fails() -> None:
    found = failures(check_tool(WritesOptions, only={"program.pure"}))
    assert found["program.pure"] == "one of them changed"


def test_a_tool_that_takes_longer_than_it_said_is_stuck() -> None:
    (finding,) = check_tool(Hangs, only={"program.slots"}).findings
    assert finding.verdict is Verdict.STUCK and "within 0.05 s" in finding.expected


def test_a_class_that_nobody_can_import_is_not_asked_in_another_process() -> None:
    class Local(Fine):
        pass

    found = check_tool(
        Local, only={"program.process", "tool.class_is_light", "tool.module_is_light"}
    ).findings
    assert {f.verdict for f in found} == {Verdict.NOT_APPLICABLE}


def test_a_module_that_imports_its_framework_fails() -> None:
    found = failures(check_tool(Fine, only={"tool.module_is_light"}))
    assert "pytest" in found["tool.module_is_light"]


class Halves:
    """Measures each observable in a variant of its own, and puts them side by side."""

    keeps: ClassVar[str] = "expectation"
    needs_client: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {}
    answers: ClassVar[frozenset[str]] = frozenset({"expectation"})

    @classmethod
    def version(cls) -> str | None:
        return "1"

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        check_names("halves", options, cls.options)

    def split(self, program: Program, outputs: Any, shots: int, target: Any, options: Any) -> Split:
        (asked,) = outputs
        variants = tuple(Variant(program, (Expectation((o,)),), shots) for o in asked.observables)
        return Split(variants, msgspec.msgpack.encode(["halves", len(variants)]))

    def combine(self, recipe: bytes, answers: Any) -> tuple[Any, ...]:
        try:
            _name, number = msgspec.msgpack.decode(recipe, type=tuple[str, int])
        except msgspec.DecodeError as error:
            raise ProgramError(f"no recipe of halves: {error}") from error
        if number != len(answers) or any(len(each) != 1 for each in answers):
            raise ProgramError(f"halves has {number} variants with an answer each, not {len(answers)}")
        return (self.together([each[0] for each in answers]),)

    def together(self, answers: list[Any]) -> Any:
        values, errors = (
            np.concatenate([getattr(each, name).numpy() for each in answers], axis=1)
            for name in ("values", "standard_errors")
        )
        return ExpectationAnswer(Array.of(values), Array.of(errors))


class Inexact(Halves):
    def together(self, answers: list[Any]) -> Any:
        found = super().together(answers)
        return msgspec.structs.replace(found, values=Array.of(found.values.numpy() * 1.01))


class Trusting(Halves):
    def combine(self, recipe: bytes, answers: Any) -> tuple[Any, ...]:
        return (self.together([each[0] for each in answers]),)


class Forgets(Halves):
    def split(self, program: Program, outputs: Any, shots: int, target: Any, options: Any) -> Split:
        found = super().split(program, outputs, shots, target, options)
        bound = program.bound(np.zeros(program.num_slots))
        variants = tuple(msgspec.structs.replace(v, program=bound) for v in found.variants)
        return msgspec.structs.replace(found, variants=variants)


class Remembers(Halves):
    """Its recipe is of no use to others."""

    def __init__(self) -> None:
        self.number = next(NUMBERS)

    def split(self, program: Program, outputs: Any, shots: int, target: Any, options: Any) -> Split:
        found = super().split(program, outputs, shots, target, options)
        return msgspec.structs.replace(found, recipe=found.recipe + bytes([self.number % 128]))

    def combine(self, recipe: bytes, answers: Any) -> tuple[Any, ...]:
        if recipe[-1:] != bytes([self.number % 128]):
            raise ProgramError("a recipe of somebody else's")
        return super().combine(recipe[:-1], answers)


NUMBERS = itertools.count(1)


def test_a_splitting_tool_passes() -> None:
    report = check_tool(Halves)
    assert set(failures(report)) <= {"tool.module_is_light"}, failures(report)
    assert {f.check for f in report.of(Verdict.PASSED)} > {
        "split.form",
        "split.pure",
        "split.travels",
        "split.exact",
        "split.recipe",
        "split.garbage",
    }


@pytest.mark.parametrize(
    ("kind", "broken"),
    [
        (Inexact, {"split.exact"}),
        (Trusting, {"split.garbage"}),
        (Forgets, {"split.form", "split.exact"}),
        (Remembers, {"split.pure", "split.recipe"}),
    ],
)
def test_what_a_splitting_tool_breaks_is_named(kind: type[Any], broken: set[str]) -> None:
    assert set(failures(check_tool(kind, only={"split"}))) == broken


class Blind(VerifyTool):
    def compare(self, *given: Any) -> tuple[str, ...]:
        return ("all is well",)


class Suspicious(VerifyTool):
    def compare(self, *given: Any) -> tuple[str, ...]:
        return super().compare(given[0], given[0], given[2], *given[3:])


def test_what_a_checking_tool_breaks_is_named() -> None:
    assert set(failures(check_tool(Blind, only={"compare"}))) == {"compare.different"}
    assert "compare.equal" in failures(check_tool(Suspicious, only={"compare"}))


def test_subclasses_of_our_tools_that_err_are_found() -> None:
    class Careless(TranspileTool):
        def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
            return super().apply(program, target, options)._replace(layout=None)

    assert "program.keeps" in failures(check_tool(Careless, only={"program.keeps"}))

    class Rounds(ReduceTool):
        def apply(self, program: Program, target: Any, options: Mapping[str, Any]) -> ToolOutput:
            def cut(op: Any) -> Any:
                if not isinstance(op, Gate):
                    return op
                return Gate(
                    op.name, op.qubits, tuple(round(a, 2) if isinstance(a, float) else a for a in op.angles)
                )

            given = super().apply(program, target, options)
            return given._replace(
                program=msgspec.structs.replace(
                    given.program, operations=tuple(map(cut, given.program.operations))
                )
            )

    assert "program.keeps" in failures(check_tool(Rounds, only={"program.keeps"}))
