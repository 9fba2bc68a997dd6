"""Tool `verify`: whether the tools in front of it kept what they promise. It changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from qfw.model.errors import NotInstalled, ToolFailed, UnsupportedFeature
from qfw.model.program import Program
from qfw.numerics import equivalence
from qfw.numerics.equivalence import Pair, Verdict
from qfw.qpm.tool import Target
from qfw.toolchain.installed import installed
from qfw.toolchain.options import check_names, choice, integer, number

METHODS = ("auto", "states", "unitary", "stimuli", "diagrams", "distribution")
DEFAULT_STIMULI, MAX_STIMULI = 8, 1024
DEFAULT_SETS, MAX_SETS = 2, 64
DEFAULT_TOLERANCE = 1e-6
DEFAULT_TIME_S = 30.0


class VerifyTool:
    """Compares the program that a pipeline was given with what has become of it; says how, or what differs.

    What tools promise is the state that |0…0> becomes, and that is what is compared, of all qubits that anything
    acts on: exactly to 20 of them, above by decision diagrams. Where that is right, and few enough qubits are used,
    unitaries are compared too, and else what random inputs become; the note says whether they are equal. Slots are
    filled with random values. Programs with control have the same outcomes with the same probabilities.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    options: ClassVar[Mapping[str, str]] = {
        "method": f"how: {', '.join(METHODS)}; auto by default: what fits the programs",
        "stimuli": f"random input states of method stimuli, 1 to {MAX_STIMULI}, {DEFAULT_STIMULI} by default",
        "sets": f"random values of the slots, 1 to {MAX_SETS}, {DEFAULT_SETS} by default",
        "seed": "of all that is random, 0 by default",
        "tolerance": f"distance of states, or of probabilities, that is none, {DEFAULT_TOLERANCE:g} by default",
        "time_s": f"seconds that decision diagrams may take, {DEFAULT_TIME_S:g} by default",
    }

    def __init__(self) -> None:
        """Imports nothing but NumPy; decision diagrams when they are first needed."""

    @classmethod
    def version(cls) -> str | None:
        """NumPy's version."""
        return installed("numpy")

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, or one outside its range."""
        check_names("verify", options, cls.options)
        choice("verify", options, "method", METHODS)
        integer("verify", options, "stimuli", DEFAULT_STIMULI, 1, MAX_STIMULI)
        integer("verify", options, "sets", DEFAULT_SETS, 1, MAX_SETS)
        integer("verify", options, "seed", 0, 0, 2**31 - 1)
        number("verify", options, "tolerance", DEFAULT_TOLERANCE, 0.0, 1.0)
        number("verify", options, "time_s", DEFAULT_TIME_S, 0.01, 86_400.0)

    def compare(
        self,
        original: Program,
        program: Program,
        layout: tuple[int, ...] | None,
        keeps: str,
        target: Target,
        options: Mapping[str, Any],
    ) -> tuple[str, ...]:
        """One line that says what was compared; see `qfw.qpm.tool.CheckingTool`.

        Raises:
            ToolFailed: they differ; the first input, and the amplitude or outcome that differs most.
            TooLarge: no method that fits is able to compare so wide programs.
            NotInstalled: they are so wide that decision diagrams are needed, which are not installed.
            UnsupportedFeature: the method that was asked for does not fit programs with control.
        """
        self.check_options(options)
        verdict = _verdict(original, program, layout, keeps, options)
        if not verdict.equal:
            raise ToolFailed(
                f"verify: this is not what the pipeline was given any more ({keeps} was promised): {verdict.text}"
            )
        return (f"verified: {verdict.text}",)


def _verdict(
    original: Program,
    program: Program,
    layout: tuple[int, ...] | None,
    keeps: str,
    options: Mapping[str, Any],
) -> Verdict:
    method = options.get("method", "auto")
    sets = options.get("sets", DEFAULT_SETS)
    seed = options.get("seed", 0)
    tolerance = float(options.get("tolerance", DEFAULT_TOLERANCE))
    stimuli = options.get("stimuli", DEFAULT_STIMULI)
    both = equivalence.pair(original, program, layout)
    if isinstance(both, Verdict):
        return both
    rng = np.random.default_rng(seed)
    control = original.has_control or program.has_control
    if method == "auto":
        if control or both.found.num_qubits <= equivalence.STATE_QUBITS:
            return equivalence.compare(
                original,
                program,
                layout,
                keeps,
                sets=sets,
                stimuli=stimuli,
                seed=seed,
                tolerance=tolerance,
            )
        method = "diagrams"
        sets = min(sets, 1)
    values = equivalence.random_sets(original.num_slots, sets, rng)
    if method == "distribution":
        return equivalence.distributions_agree(both, values, tolerance)
    if control:
        raise UnsupportedFeature(
            f"verify: method {method} compares states, and the program measures, resets or branches before its end. "
            "Use method distribution or auto"
        )
    if keeps == "distribution":
        raise UnsupportedFeature(
            f"verify: method {method} compares states, and a tool in front keeps the distribution of the outcomes "
            "only. Use method distribution, on fewer qubits"
        )
    if keeps == "equivalence" and not equivalence.same_measurements(both):
        return Verdict(False, "other qubits are measured into the classical bits")
    match method:
        case "states":
            return equivalence.states_agree(both, values, tolerance)
        case "unitary":
            return equivalence.unitaries_agree(both, values, tolerance)
        case "stimuli":
            return equivalence.stimuli_agree(both, values, tolerance, stimuli, rng)
    return _by_diagrams(both, values, tolerance, float(options.get("time_s", DEFAULT_TIME_S)))


def _by_diagrams(both: Pair, values: equivalence.Floats, tolerance: float, time_s: float) -> Verdict:
    try:
        from qfw.toolchain import diagrams
    except ImportError as error:
        raise NotInstalled(
            f"verify: {both.found.num_qubits} qubits are beyond statevectors ({equivalence.STATE_QUBITS} qubits), and "
            f"decision diagrams are not installed ({error}): pip install 'qfw[verify]'"
        ) from error
    return diagrams.states_agree(both, values, max(tolerance, diagrams.ROUNDING), time_s)
