"""Protocols of tools: what transforms a program on its way to a device, or makes several programs of it.

A plugin of the entry point group `qfw.tools` is a class. Its module must import without its framework;
the framework is imported by the constructor, inside a limited worker or in the application.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import msgspec

from qfw.model.calibration import Calibration
from qfw.model.constants import READS
from qfw.model.device import DeviceProfile
from qfw.model.outputs import Answer, Output
from qfw.model.program import Program


class Target(msgspec.Struct, frozen=True, dict=True):
    """What a program is lowered for. Kept by whoever lowers often: its digest is taken once."""

    profile: DeviceProfile
    #: None of an ideal device.
    calibration: Calibration | None = None
    #: The other devices of the mesh, for tools that use several; empty where a stream is bound to one device.
    peers: tuple[DeviceProfile, ...] = ()

    @property
    def version(self) -> str:
        """Version of the calibration; empty where there is none."""
        return self.calibration.version if self.calibration else ""

    @cached_property
    def digest(self) -> bytes:
        """Of all that it says, the calibration included."""
        return hashlib.blake2b(msgspec.msgpack.encode(self), digest_size=32).digest()


class Needs(msgspec.Struct, frozen=True):
    """What a tool takes at most; a tool worker holds it to that, and refuses one that needs more than settings give."""

    #: Seconds for one program, from when the tool is made; 0: no more than `tools.time_limit_s`.
    time_s: float = 0.0
    #: Bytes that it allocates for one program, beyond what the process has then; 0: no more than `tools.memory_bytes`.
    memory_bytes: int = 0
    #: Workers among which it can share its work; 1: none.
    workers: int = 1


class ToolOutput(NamedTuple):
    """What a tool made of a program."""

    program: Program
    #: Where each qubit of the program that it was given is at the end; None: where it was.
    layout: tuple[int, ...] | None = None
    #: What the tool made besides, by name: MessagePack. `schedule`: a `qfw.model.pulse.Schedule`.
    artefacts: Mapping[str, bytes] = {}
    #: What people should know of it: one line each.
    notes: tuple[str, ...] = ()


@runtime_checkable
class Tool(Protocol):
    """Transforms programs; pure: equal programs, targets and options give equal programs.

    Slots survive: a tool transforms the parametric program, and slot i of what it gives is slot i of what it got.
    """

    #: What it keeps: `equivalence` (up to a global phase and the layout), `distribution` or `expectation`.
    keeps: ClassVar[str]
    #: Whether it must run in the application's process.
    needs_client: ClassVar[bool]
    #: What each option says, with its range and what it is by default; for people.
    options: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        """Imports the framework.

        Raises:
            NotInstalled: it is missing, with what to install.
        """
        ...

    @classmethod
    def version(cls) -> str | None:
        """Version of the tool or its framework, found without importing it; None where it is not installed."""
        ...

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for one that it does not know (names the nearest), or a wrong value."""
        ...

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The program, transformed.

        Raises:
            ProgramError: it cannot be, for this target; says why.
        """
        ...


class Variant(msgspec.Struct, frozen=True, array_like=True):
    """One of the programs that a splitting tool made of one. Its slots are those of that program."""

    program: Program
    #: What is asked of it.
    outputs: tuple[Output, ...]
    #: Executions for each parameter set; 0: exact answers.
    shots: int
    #: Name of the device that has to run it; empty: any that can.
    device: str = ""


class Split(msgspec.Struct, frozen=True, array_like=True):
    """Programs in place of one, and what their answers are put together with."""

    variants: tuple[Variant, ...]
    #: What `SplittingTool.combine` is given back: the tool's own.
    recipe: bytes
    #: What people should know of it (places of cuts, cost in executions): one line each.
    notes: tuple[str, ...] = ()

    @property
    def executions(self) -> int:
        """Executions of all variants, for each parameter set: what it costs."""
        return sum(variant.shots for variant in self.variants)


@runtime_checkable
class SplittingTool(Protocol):
    """Makes several programs of one, and the answers to that one of theirs. Pure; a Tool but for `apply`."""

    keeps: ClassVar[str]
    needs_client: ClassVar[bool]
    options: ClassVar[Mapping[str, str]]
    #: Tags of the outputs that it can answer: expectation, probabilities, counts …
    answers: ClassVar[frozenset[str]]

    def __init__(self) -> None:
        """See Tool."""
        ...

    @classmethod
    def version(cls) -> str | None:
        """See Tool."""
        ...

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """See Tool."""
        ...

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        """The programs that are to be run.

        Args:
            program: what was asked, as the stages before left it.
            outputs: what was asked of it: of the kinds in `answers` only.
            shots: executions for each parameter set that the user gives each variant, unless the tool documents
                otherwise; 0: exact answers.
            target: see `Tool.apply`.
            options: checked.

        Raises:
            ProgramError: it cannot be split; says why.
        """
        ...

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """The answers to what was asked, one for each output.

        Args:
            recipe: of the Split.
            answers: of each variant, in their order, to its outputs; all of the same number of sets.
        """
        ...


@runtime_checkable
class CheckingTool(Protocol):
    """Compares what a pipeline was given with what the stages before made of it, and changes nothing.

    A Tool but for `apply`.
    """

    keeps: ClassVar[str]
    needs_client: ClassVar[bool]
    options: ClassVar[Mapping[str, str]]

    def __init__(self) -> None:
        """See Tool."""
        ...

    @classmethod
    def version(cls) -> str | None:
        """See Tool."""
        ...

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """See Tool."""
        ...

    def compare(
        self,
        original: Program,
        program: Program,
        layout: tuple[int, ...] | None,
        keeps: str,
        target: Target,
        options: Mapping[str, Any],
    ) -> tuple[str, ...]:
        """What people should know of the comparison, one line each.

        Args:
            original: what the pipeline was given.
            program: what has become of it.
            layout: where each qubit of `original` is at the end; None: where it was.
            keeps: the least that one of the tools between promises: `equivalence`, `distribution` or `expectation`.
            target: see `Tool.apply`.
            options: checked.

        Raises:
            ToolFailed: they differ; says in what.
            ProgramError: they cannot be compared; says why.
        """
        ...


#: What tools promise, the most first.
KEEPS = ("equivalence", "distribution", "expectation")


def compares(kind: Any) -> bool:
    """Whether a tool's class is a CheckingTool."""
    return callable(getattr(kind, "compare", None))


def splits(kind: Any) -> bool:
    """Whether a tool's class is a SplittingTool."""
    return callable(getattr(kind, "split", None))


def needs_of(kind: Any) -> Needs:
    """What a tool's class declares as `needs: ClassVar[Needs]`; nothing where it declares nothing."""
    found: Needs = getattr(kind, "needs", Needs())
    return found


def held_to(kind: Any) -> Needs:
    """What a tool worker holds a tool to: what it needs; nothing of one that says `limits_itself`.

    That is one whose work is in processes of its own, under limits that it keeps there.
    """
    return Needs() if getattr(kind, "limits_itself", False) else needs_of(kind)


def binds(kind: Any, target: Target | None = None) -> bool:
    """Whether what a tool makes is for its target and calibration only: its class variable `binds`, False unless said.

    Where that depends on the target, `binds` is a class method of it. Without a target: whether it ever does. Of tools
    in front of one that binds, what they made can be kept under any calibration.
    """
    found = getattr(kind, "binds", False)
    if callable(found):
        return target is None or bool(found(target))
    return bool(found)


def constants_of(kind: Any, options: Mapping[str, Any]) -> str:
    """Which constants a tool looks at: its class variable `constants`, one of `qfw.model.constants.READS`.

    `all` unless said. `special`: it looks whether one is a whole multiple of pi/4, and treats the others as slots;
    `none`: it treats every constant as a slot; beyond 1e4 radians they may look at each. Where that depends on its
    options, `constants` is a class method of them.
    """
    found = getattr(kind, "constants", READS[0])
    return str(found(options) if callable(found) else found)


def plays(kind: Any) -> bool:
    """Whether what a tool makes is played on the device and not run: its class variable `plays`, False unless said."""
    return bool(getattr(kind, "plays", False))


def lowers(kind: Any) -> bool:
    """Whether all that a tool makes is of its target's native gates on coupled qubits: its class variable `lowers`."""
    return bool(getattr(kind, "lowers", False))


def keeps_on_disk(kind: Any) -> bool:
    """Whether what a tool made may be kept for later processes: its class variable `keeps_on_disk`, True unless said.

    False of one that may become another without another version.
    """
    return bool(getattr(kind, "keeps_on_disk", True))
