"""Tool `mitigate`: values with less noise, for more executions, by readout inversion, extrapolation, twirling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from qfw import __version__
from qfw.model.errors import OptionError, ProgramError, QFwError, TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.outputs import Answer, Expectation, Output, Probabilities
from qfw.model.program import Program
from qfw.model.seeds import slice_seed
from qfw.qpm.tool import Split, Target, Variant
from qfw.toolchain.mitigate_combining import Recipe, combined
from qfw.toolchain.mitigate_extrapolation import weights
from qfw.toolchain.mitigate_folding import Folded, everything, local
from qfw.toolchain.mitigate_inverses import Inverses
from qfw.toolchain.mitigate_options import OPTIONS, Choices, choices
from qfw.toolchain.mitigate_readout import MAX_WORDS, Errors, Readout
from qfw.toolchain.mitigate_twirling import twirled

#: Programs made of one, operations of all of them together, and words that they are asked for together.
MAX_VARIANTS = 2000
MAX_OPERATIONS = 4_000_000
MAX_ASKED = 2**18
#: Operations that come to be of one, at most, where it gets a frame.
_FRAMED = 7


class MitigateTool:
    """Expectation values and probabilities with less of the device's noise in them.

    Each factor of zne, in each frame of twirl, is a program of its own. What each answers is corrected for its readout,
    then averaged over the frames, then extrapolated: `methods` are a set, and their order is this one. Readout
    errors of observables are inverted by asking for other observables, so that the device's standard errors are those
    of the inverted ones.
    """

    keeps: ClassVar[str] = "expectation"
    needs_client: ClassVar[bool] = False
    binds: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = OPTIONS
    answers: ClassVar[frozenset[str]] = frozenset({"expectation", "probabilities"})

    def __init__(self) -> None:
        """Needs nothing."""

    @classmethod
    def version(cls) -> str | None:
        """QFw's own."""
        return __version__

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, a wrong value, or one of a method that is not asked for."""
        choices(options)

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        """A program for each factor and frame, first all frames of the first factor.

        Args:
            program: without control; for readout in the device's native gates, on its qubits.
            outputs: expectation values and probabilities.
            shots: of each factor, divided among its frames; 0: exact answers.
            target: for readout with a calibration.
            options: see `OPTIONS`.

        Raises:
            UnsupportedFeature: the program has control, or another output is asked for.
            ProgramError: factors that its gates cannot tell apart; a readout that cannot be inverted, for want of a
                calibration, of native gates, or of contrast.
            TooLarge: too many programs, operations or words.
            OptionError: fewer shots than two for each frame.
        """
        chosen = choices(options)
        _check(program, outputs, shots, chosen)
        notes: list[str] = []
        asked = outputs
        readouts: tuple[tuple[Errors, ...], ...] = ((),) * len(outputs)
        if "readout" in chosen.methods:
            asked, readouts = _read(program, outputs, target, notes)
        words = sum(
            len(o.terms) for output in asked if isinstance(output, Expectation) for o in output.observables
        )
        count = len(chosen.factors) * chosen.frames
        if words * count > MAX_ASKED:
            raise TooLarge(
                f"tool mitigate would ask {count} programs for {words} Pauli words each; {MAX_ASKED} in all are the "
                "most. Ask for fewer observables at once, or take fewer frames or factors"
            )
        inverses = Inverses(_native(program, target))
        folded = _folded(program, chosen, inverses, notes)
        programs = _framed(folded, chosen, inverses, notes)
        divided = _divided(shots, len(programs) // len(folded))
        variants = tuple(
            Variant(each, asked, divided[place % len(divided)]) for place, each in enumerate(programs)
        )
        executions = len(folded) * shots
        notes.append(
            f"cost: {len(variants)} programs, {executions} executions for each parameter set and basis, not {shots}"
            if shots
            else f"cost: {len(variants)} programs, exact answers"
        )
        recipe = Recipe(tuple(each.factor for each in folded), chosen.extrapolation, divided, readouts)
        return Split(variants, recipe.encoded, tuple(notes))

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """The values without noise, as far as it goes, with standard errors of what shots leave in doubt."""
        return combined(Recipe.decode(recipe), answers)


def _check(program: Program, outputs: tuple[Output, ...], shots: int, chosen: Choices) -> None:
    if program.has_control:
        raise UnsupportedFeature(
            "tool mitigate takes programs without control; this one measures, resets or branches before its end"
        )
    for output in outputs:
        match output:
            case Expectation():
                for observable in output.observables:
                    observable.check(program.num_qubits)
            case Probabilities() if chosen.extrapolation == "exponential":
                raise UnsupportedFeature(
                    "probabilities have no exponential extrapolation, after which they would not add up: choose "
                    "linear, quadratic or richardson, or ask for expectation values"
                )
            case Probabilities():
                pass
            case _:
                raise UnsupportedFeature(
                    f"tool mitigate answers expectation values and probabilities, not {type(output).__name__.lower()}"
                )
    if 0 < shots < 2 * chosen.frames:
        raise OptionError(
            f"{shots} shots do not give each of {chosen.frames} frames of twirl two, which a standard error needs: "
            f"take {2 * chosen.frames} shots or more, or fewer frames"
        )
    made = sum(chosen.factors) * chosen.frames * len(program.operations)
    # A fold brings two barriers for two gates, a frame up to three gates for each Pauli.
    made *= (2 if "zne" in chosen.methods else 1) * (_FRAMED if "twirl" in chosen.methods else 1)
    count = len(chosen.factors) * chosen.frames
    if count > MAX_VARIANTS or made > MAX_OPERATIONS:
        raise TooLarge(
            f"tool mitigate would make {count} programs with up to {made:.0f} operations; {MAX_VARIANTS} with "
            f"{MAX_OPERATIONS} are the most. Take fewer frames, or fewer or smaller factors"
        )


def _read(
    program: Program, outputs: tuple[Output, ...], target: Target, notes: list[str]
) -> tuple[tuple[Output, ...], tuple[tuple[Errors, ...], ...]]:
    """What is asked in place of the outputs, and what their distributions are corrected for."""
    if target.calibration is None:
        raise ProgramError(
            f"readout errors are inverted by a calibration, and {target.profile.name} has none: leave readout "
            "out of the methods of mitigate"
        )
    try:
        check_native(program, target.profile)
    except QFwError as error:
        raise ProgramError(
            "readout errors are those of the qubits that are measured, so the program must be lowered: let mitigate "
            f"follow transpile. {error}"
        ) from error
    readout = Readout(target.calibration)
    asked: list[Output] = []
    readouts: list[tuple[Errors, ...]] = []
    worst, read = 1.0, set[int]()
    for output in outputs:
        if isinstance(output, Expectation):
            found = tuple(map(readout.inverted, output.observables))
            if sum(len(observable.terms) for observable in found) > MAX_WORDS:
                raise TooLarge(
                    f"to invert the readout of these {len(found)} observables takes more than {MAX_WORDS} words. Ask "
                    "for fewer at once, or leave readout out of the methods"
                )
            asked.append(Expectation(found))
            readouts.append(())
            supports = {term.qubits for observable in output.observables for term in observable.terms}
        else:
            assert isinstance(output, Probabilities)
            qubits = output.qubits or tuple(range(program.num_qubits))
            asked.append(output)
            readouts.append(tuple(map(readout.errors, qubits)))
            supports = {qubits}
        for support in supports:
            worst = max(worst, readout.amplification(support))
            read.update(support)
    notes.append(
        f"readout: errors of {len(read)} qubits inverted by calibration {target.version}; it widens standard errors at "
        f"most {worst:.3g} times"
    )
    return tuple(asked), tuple(readouts)


def _native(program: Program, target: Target) -> frozenset[str] | None:
    """The gates that what is added has to be made of; None: any, of a program that is still to be lowered."""
    profile = target.profile
    if not profile.lowered_only:
        return None
    native = frozenset(profile.native_gates)
    return native if all(gate.name in native or gate.name == "gphase" for gate in program.gates()) else None


def _folded(program: Program, chosen: Choices, inverses: Inverses, notes: list[str]) -> list[Folded]:
    if "zne" not in chosen.methods:
        return [Folded(program, 1.0)]
    fold, least = (local, 2) if chosen.folding == "local" else (everything, 1)
    if not any(len(gate.qubits) >= least for gate in program.gates()):
        # A part of a program that was cut may be such.
        notes.append("zne: no gates to fold, so nothing is extrapolated")
        return [Folded(program, 1.0)]
    found = [fold(program, factor, inverses) for factor in chosen.factors]
    reached = [each.factor for each in found]
    if len(set(reached)) < len(reached):
        raise ProgramError(
            f"the program has too few gates to be folded by {', '.join(f'{f:g}' for f in chosen.factors)}: it comes to "
            f"{', '.join(f'{f:.3g}' for f in reached)}. Take factors further apart, such as 1, 3, 5"
        )
    spread = float(np.sqrt((weights(reached, chosen.extrapolation) ** 2).sum()))
    line = "where a line stands in, that" if chosen.extrapolation == "exponential" else "it"
    notes.append(
        f"zne: {chosen.folding} folding by {', '.join(f'{factor:.4g}' for factor in reached)}, extrapolation "
        f"{chosen.extrapolation}; {line} widens standard errors {spread:.3g} times"
    )
    return found


def _framed(folded: list[Folded], chosen: Choices, inverses: Inverses, notes: list[str]) -> list[Program]:
    """All frames of the first program, then of the next."""
    if "twirl" not in chosen.methods:
        return [each.program for each in folded]
    made = [
        twirled(each.program, slice_seed(chosen.seed, place * chosen.frames + frame), inverses)
        for place, each in enumerate(folded)
        for frame in range(chosen.frames)
    ]
    framed, wide = made[0].framed, made[0].wide
    if not framed:
        notes.append(
            f"twirl: of {wide} gates of two or more qubits none can be among Paulis, so there are no frames"
        )
        return [each.program for each in folded]
    notes.append(
        f"twirl: {chosen.frames} frames around {framed} of {wide} gates of two or more qubits; they share the shots"
    )
    return [each.program for each in made]


def _divided(shots: int, frames: int) -> tuple[int, ...]:
    """Shots of each frame: as many as of any other, or one more."""
    each, more = divmod(shots, frames)
    return tuple(each + (frame < more) for frame in range(frames))
