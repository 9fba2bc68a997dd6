"""Tool `distribute`: one program over several devices, by teleported gates where they have a link, or by cutting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from qfw import __version__
from qfw.model.calibration import Calibration
from qfw.model.device import DevicePart, DeviceProfile
from qfw.model.errors import NotInstalled, OptionError, TooLarge, ToolFailed, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.outputs import Answer, Counts, CountsAnswer, Memory, MemoryAnswer, Output
from qfw.model.program import Program
from qfw.qpm.tool import Split, Target, Variant
from qfw.toolchain import teleport
from qfw.toolchain.counted import MAX_QUBITS, Asked, asked, in_bases
from qfw.toolchain.cut import CutTool
from qfw.toolchain.options import check_names, integer
from qfw.toolchain.transpile import TranspileTool

#: In front of the recipe of a program that is cut; no MessagePack of ours begins so.
_CUT = b"\xc1"


class DistributeTool:
    """Places qubits on the parts so that few gates go between them, teleports these, and lowers each part for itself.

    For devices that are made of others (`DeviceProfile.parts`), between which there is nothing but entangled pairs. A
    part gives one of its qubits to pairs. What is asked is measured, in each basis by a program of its own. On a mesh
    of devices without a link the tool `cut` does it, with what it can answer.
    """

    keeps: ClassVar[str] = "distribution"
    needs_client: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {
        "level": "effort of lowering each part, 0 to 3, 1 by default: that of the tool transpile",
        "seed": "of the search for places, 0 by default: another one may find fewer gates between parts",
        "max_qubits": "of the program on one part, 1 or more; by default as many as it has beside that of the pairs",
    }
    #: Tags of outputs.
    answers: ClassVar[frozenset[str]] = frozenset(("counts", "memory", "expectation", "probabilities"))

    @classmethod
    def binds(cls, target: Target) -> bool:
        """Whether what it makes is for this target and calibration only: fragments run anywhere."""
        return bool(target.profile.parts)

    def __init__(self) -> None:
        """Needs nothing for cutting; for parts what lowers them, when there are some."""
        self._cut = CutTool()

    @classmethod
    def version(cls) -> str | None:
        """QFw's own, with that of what lowers parts where it is installed."""
        found = TranspileTool.version()
        return __version__ if found is None else f"{__version__}, {found}"

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, or one outside its range."""
        check_names("distribute", options, cls.options)
        _level(options), _seed(options), _max_qubits(options)

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        """The program over the parts, for each basis that something is measured in; or fragments. See SplittingTool.

        Raises:
            UnsupportedFeature: there is one device only; the program measures before its end.
            TooLarge: more qubits than the parts have beside those of the pairs; no cuts within the limits of `cut`.
            OptionError: no shots, over a link.
        """
        self.check_options(options)
        profile = target.profile
        if not profile.parts:
            return self._fragments(program, outputs, shots, target, options)
        if not shots:
            raise OptionError("a program over several devices is answered from shots; give shots")
        sizes = [min(part.qubits - 1, _max_qubits(options)) for part in profile.parts]
        if program.num_qubits > sum(sizes):
            raise TooLarge(
                f"the program needs {program.num_qubits} qubits; the parts of {profile.name} have "
                f"{' + '.join(map(str, sizes))}, each giving one to entangled pairs. Cut the program, or use larger "
                "devices"
            )
        question = asked(program, outputs, shots)
        body = teleport.normal(program)
        whole = [part.qubits for part in profile.parts]
        parts = self._parts(body, sizes, options)
        targets = part_targets(target)

        try:
            transpile = TranspileTool()
        except NotInstalled as error:
            raise NotInstalled(
                f"tool distribute lowers each part with the tool transpile: {error}"
            ) from error

        def lower_part(local: Program, part: int) -> Program:
            return transpile.apply(
                local, targets[part], {"level": _level(options), "seed": _seed(options)}
            ).program

        memory = any(isinstance(output, Memory) for output in outputs)
        variants: list[Variant] = []
        notes: tuple[str, ...] = ()
        for place, basis in enumerate(in_bases(body, question.question)):
            made = teleport.distributed(basis, parts, whole, lower_part)
            check_native(made.program, profile)
            wanted: Output = Memory() if memory and not place else Counts()
            variants.append(Variant(made.program, (wanted,), shots))
            notes = (_note(made, parts, profile),) if not place else notes
        return Split(tuple(variants), msgspec.msgpack.encode(question), notes)

    def _parts(self, body: Program, sizes: Sequence[int], options: Mapping[str, Any]) -> tuple[int, ...]:
        """The part of every qubit: one alone where that holds them all."""
        for part, size in enumerate(sizes):
            if body.num_qubits <= size:
                return (part,) * body.num_qubits
        return teleport.places(body, sizes, _seed(options))

    def _fragments(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        """By cutting, for any device of the mesh."""
        if not target.peers:
            raise UnsupportedFeature(
                f"{target.profile.name} is one device. A program goes over several on a stream of their mesh, which is "
                "cut; or, where they have an entangling link, of what mesh.joint() gives"
            )
        known = {str(output.__struct_config__.tag) for output in outputs}
        if known - self._cut.answers:
            able, lacking = (
                ", ".join(sorted(tags)) for tags in (self._cut.answers, known - self._cut.answers)
            )
            raise UnsupportedFeature(
                f"without an entangling link the program is cut, and fragments give {able}, not {lacking}. Ask for "
                "these, or take mesh.joint() where there is a link"
            )
        chosen = {name: value for name, value in options.items() if name in ("max_qubits", "seed")}
        found = self._cut.split(program, outputs, shots, target, chosen)
        return Split(found.variants, _CUT + found.recipe, found.notes)

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """See SplittingTool."""
        if recipe.startswith(_CUT):
            return self._cut.combine(recipe.removeprefix(_CUT), answers)
        try:
            question = msgspec.msgpack.decode(recipe, type=Asked)
        except msgspec.DecodeError as error:
            raise ToolFailed(f"distribute: not its own recipe: {error}") from error
        if len(answers) != len(question.question.bases):
            raise ToolFailed(
                f"distribute: {len(question.question.bases)} answers were awaited, not {len(answers)}"
            )
        counted = []
        for found in answers:
            if len(found) != 1 or not isinstance(found[0], (CountsAnswer, MemoryAnswer)):
                raise ToolFailed("distribute: counts were asked for, and something else was answered")
            counted.append(found[0])
        return question.answers(counted)


def part_targets(target: Target) -> list[Target]:
    """What each part of a device is to a program that runs on it alone."""
    found, first = [], 0
    for part in target.profile.parts:
        found.append(_part(target, part, first))
        first += part.qubits
    return found


def _part(target: Target, part: DevicePart, first: int) -> Target:
    last = first + part.qubits
    calibration, profile = target.calibration, target.profile
    if calibration is None:
        raise UnsupportedFeature(f"{profile.name} is not calibrated: nobody knows the gates of its parts")

    def inside(qubits: tuple[int, ...]) -> bool:
        return all(first <= qubit < last for qubit in qubits)

    gates = tuple(
        msgspec.structs.replace(gate, qubits=tuple(qubit - first for qubit in gate.qubits))
        for gate in calibration.gates
        if inside(gate.qubits) and not _of_pairs(gate.name, gate.error, gate.duration_ns)
    )
    names = tuple(dict.fromkeys(gate.name for gate in gates))
    coupling = profile.coupling
    pairs = None if coupling is None else tuple((a - first, b - first) for a, b in coupling if inside((a, b)))
    return Target(
        _replaced(profile, part, names, pairs),
        Calibration(
            part.device,
            calibration.version,
            calibration.measured_s,
            calibration.qubits[first:last],
            gates,
        ),
    )


def _of_pairs(name: str, error: float, duration_ns: int) -> bool:
    """Whether a calibrated gate is only there to begin a pair: it takes no time and never errs."""
    return name == "h" and error == 0.0 and duration_ns == 0


def _replaced(
    profile: DeviceProfile,
    part: DevicePart,
    names: tuple[str, ...],
    pairs: tuple[tuple[int, int], ...] | None,
) -> DeviceProfile:
    return msgspec.structs.replace(
        profile, name=part.device, max_qubits=part.qubits, native_gates=names, coupling=pairs, parts=()
    )


def _note(made: teleport.Distributed, parts: Sequence[int], profile: DeviceProfile) -> str:
    shared = ", ".join(f"{parts.count(number)} on {part.device}" for number, part in enumerate(profile.parts))
    return f"qubits: {shared}; entangled pairs: {made.pairs}, which carry {made.gates} gates"


def _level(options: Mapping[str, Any]) -> int:
    return integer("distribute", options, "level", 1, 0, 3)


def _seed(options: Mapping[str, Any]) -> int:
    return integer("distribute", options, "seed", 0, 0, 2**31 - 1)


def _max_qubits(options: Mapping[str, Any]) -> int:
    return integer("distribute", options, "max_qubits", MAX_QUBITS, 1, MAX_QUBITS)
