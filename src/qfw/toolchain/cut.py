"""Tool `cut`: programs wider than the device as several that fit, by cutting wires and gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from typing import Any, ClassVar

from qfw import __version__
from qfw.model.errors import OptionError, ProgramError, TooLarge, UnsupportedFeature
from qfw.model.outputs import (
    Answer,
    Expectation,
    ExpectationAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
)
from qfw.model.program import Program
from qfw.qpm.tool import Split, Target, Variant
from qfw.toolchain import cut_recipe
from qfw.toolchain.cut_fragments import Cuts, Fragment
from qfw.toolchain.cut_places import cost, described, explicit
from qfw.toolchain.cut_reconstruction import Reconstruction
from qfw.toolchain.cut_search import Limits, find, narrowest
from qfw.toolchain.cut_steps import Steps
from qfw.toolchain.cut_variants import Variants
from qfw.toolchain.options import check_names, integer

#: Cuts that are made unless more are allowed, and that can be allowed.
DEFAULT_CUTS = 4
MAX_CUTS = 16
#: Qubits of a distribution that is put together.
MAX_BITS = 20
#: Executions of a variant at least where a total is divided: fewer have no standard error.
FEWEST_SHOTS = 2


class CutTool:
    """Cuts a program into fragments that fit, finds its cuts itself, and puts their answers together.

    Without shots what comes is exact. With shots it has standard errors that are upper bounds of the first order.
    A program that fits stays one.
    """

    keeps: ClassVar[str] = "expectation"
    needs_client: ClassVar[bool] = False
    answers: ClassVar[frozenset[str]] = frozenset({"expectation", "probabilities"})
    options: ClassVar[Mapping[str, str]] = {
        "max_qubits": "width of the widest fragment, ancilla included; by default that of the widest device",
        "max_cuts": f"cuts at most, 0 to {MAX_CUTS}, {DEFAULT_CUTS} by default; a cut costs a factor of up to 9 (gate) "
        "or 16 (wire) in executions",
        "gates": "whether gates may be cut, true by default",
        "wires": "whether wires may be cut, true by default",
        "seed": "of the search, 0 by default: another one may find cheaper cuts",
        "cuts": 'places instead of a search: ["gate", operation] or ["wire", qubit, operation that it is cut before]',
        "shots": "`each` by default: every variant is executed as often as asked; `divided`: that is the total, "
        "divided by the variants' coefficients",
    }

    def __init__(self) -> None:
        """Needs nothing."""

    @classmethod
    def version(cls) -> str | None:
        """QFw's own."""
        return __version__

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, or one outside its range."""
        check_names("cut", options, cls.options)
        _limits(options, 1), _seed(options), _divided(options)
        _places(options)

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        """The fragments' programs.

        Raises:
            UnsupportedFeature: control, or an output that cannot be put together; says where and what to ask.
            TooLarge: no cuts within the limits; says what can be reached.
            OptionError: a place in `cuts` where nothing can be cut.
        """
        self.check_options(options)
        widest = max(profile.max_qubits for profile in (target.profile, *target.peers))
        limits = _limits(options, widest)
        places = _places(options)
        if program.num_qubits <= limits.width and not places:
            return Split((Variant(program, outputs, shots),), cut_recipe.UNCUT, ("fits: not cut",))
        wanted = _wanted(program, outputs)
        steps = Steps.of(program)
        cuts = explicit(program, steps, places) if places else _searched(steps, limits, _seed(options))
        variants = Variants(steps, cuts, bool(shots))
        for output in wanted:
            variants.ask(output)
        exact = all(profile.exact for profile in (target.profile, *target.peers))

        def shares(weights: Sequence[float]) -> Sequence[int]:
            return _shares(weights, shots, _divided(options))

        made = variants.variants(shares, 0 if exact else shots)
        _check_widths(made, limits)
        return Split(
            made, cut_recipe.encode(variants.recipe()), _notes(program, steps, cuts, variants.fragments, made)
        )

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        """The program's answers of its fragments'.

        Raises:
            ProgramError: the answers are not those of the recipe's variants.
        """
        if recipe == cut_recipe.UNCUT:
            if len(answers) != 1:
                raise ProgramError(f"tool cut made one variant, and is given the answers of {len(answers)}")
            if not answers[0]:
                raise ProgramError("tool cut made one variant of a program that fits, and it did not answer")
            return answers[0]
        whole = cut_recipe.decode(recipe)
        _check_answers(whole, answers)
        return Reconstruction(whole, answers).answers()


def _check_answers(recipe: cut_recipe.Recipe, answers: Sequence[tuple[Answer, ...]]) -> None:
    """Raises ProgramError unless there is an answer wherever the recipe looks for one, and no other variant's."""
    wanted = 1 + max((variant for variant, _ in (*recipe.columns, *recipe.distributions)), default=-1)
    if len(answers) != wanted:
        raise ProgramError(f"tool cut made {wanted} variants, and is given the answers of {len(answers)}")
    for variant, place in recipe.columns:
        first = answers[variant][0] if answers[variant] else None
        if not isinstance(first, ExpectationAnswer) or first.values.shape[1] <= place:
            raise ProgramError(
                f"variant {variant} of tool cut was asked for its observable {place}, and did not answer it"
            )
    for variant, place in recipe.distributions:
        if place >= len(answers[variant]) or not isinstance(answers[variant][place], ProbabilitiesAnswer):
            raise ProgramError(
                f"variant {variant} of tool cut lacks the distribution that is its output {place}"
            )


def _limits(options: Mapping[str, Any], widest: int) -> Limits:
    limits = Limits(
        integer("cut", options, "max_qubits", widest, 1, 10_000),
        integer("cut", options, "max_cuts", DEFAULT_CUTS, 0, MAX_CUTS),
        _boolean(options, "gates"),
        _boolean(options, "wires"),
    )
    if not (limits.gates or limits.wires):
        raise OptionError("tool cut has nothing to cut: one of its options gates and wires must be true")
    return limits


def _boolean(options: Mapping[str, Any], name: str) -> bool:
    value = options.get(name, True)
    if not isinstance(value, bool):
        raise OptionError(f"option {name} of tool cut is true or false, not {value!r}")
    return value


def _seed(options: Mapping[str, Any]) -> int:
    return integer("cut", options, "seed", 0, 0, 2**31 - 1)


def _divided(options: Mapping[str, Any]) -> bool:
    value = options.get("shots", "each")
    if value not in ("each", "divided"):
        raise OptionError(f"option shots of tool cut is 'each' or 'divided', not {value!r}")
    return bool(value == "divided")


def _places(options: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    value = options.get("cuts", [])
    shapes = {"gate": 2, "wire": 3}
    good = isinstance(value, list | tuple) and all(
        isinstance(place, list | tuple)
        and len(place) > 1
        and shapes.get(str(place[0])) == len(place)
        and all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in place[1:])
        for place in value
    )
    if not good or len(value) > MAX_CUTS:
        raise OptionError(
            f'option cuts of tool cut is a list of at most {MAX_CUTS} places ["gate", operation] or '
            f'["wire", qubit, operation], not {value!r}'
        )
    return [tuple(place) for place in value]


def _wanted(program: Program, outputs: tuple[Output, ...]) -> list[Expectation | Probabilities]:
    found: list[Expectation | Probabilities] = []
    for output in outputs:
        if not isinstance(output, Expectation | Probabilities):
            raise UnsupportedFeature(
                f"{type(output).__name__.lower()} of a cut program cannot be put together: ask for probabilities of up "
                f"to {MAX_BITS} qubits, or for expectation values"
            )
        if isinstance(output, Probabilities):
            bits = len(output.qubits) or program.num_qubits
            if bits > MAX_BITS:
                raise TooLarge(
                    f"probabilities of {bits} qubits of a cut program; at most {MAX_BITS} are put together. Name fewer "
                    "qubits, or ask for expectation values"
                )
        found.append(output)
    return found


def _searched(steps: Steps, limits: Limits, seed: int) -> Cuts:
    found = find(steps, limits, seed)
    if found is not None:
        return found.cuts
    width = narrowest(steps, limits, seed)
    kinds = " or ".join(kind for kind, may in (("gates", limits.gates), ("wires", limits.wires)) if may)
    raise TooLarge(
        f"the program needs {steps.num_tracks} qubits; with at most {limits.cuts} cuts of {kinds} the best that "
        f"was found has {width} in its widest fragment, not {limits.width}. Allow more cuts (max_cuts) or wider "
        "fragments (max_qubits), or try another seed"
    )


def _check_widths(variants: Sequence[Variant], limits: Limits) -> None:
    """For places that the user chose: the search keeps the width."""
    width = max((variant.program.num_qubits for variant in variants), default=0)
    if width > limits.width:
        raise TooLarge(
            f"cut there, the widest program has {width} qubits, ancilla included; {limits.width} are allowed. Cut "
            "elsewhere, or leave the option cuts away"
        )


def _shares(weights: Sequence[float], shots: int, divided: bool) -> list[int]:
    """Executions of each variant."""
    if not shots or not divided:
        return [shots] * len(weights)
    total = sum(weights) or 1.0
    return [max(FEWEST_SHOTS, round(shots * weight / total)) for weight in weights]


def _notes(
    program: Program, steps: Steps, cuts: Cuts, fragments: Sequence[Fragment], variants: Sequence[Variant]
) -> tuple[str, ...]:
    widths = ", ".join(str(fragment.num_qubits) for fragment in fragments)
    widest = max((variant.program.num_qubits for variant in variants), default=0)
    overhead = exp(cost(steps, cuts))
    return (
        *described(program, steps, cuts),
        f"fragments of {widths} qubits; {len(variants)} programs of up to {widest}; for equal errors "
        f"{overhead:.4g} × executions",
    )
