"""Tool `search`: transpiles with several seeds and keeps the program that errs least."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from qfw.model.program import Program
from qfw.qpm.quality import depth, fidelity
from qfw.qpm.tool import Target, ToolOutput
from qfw.toolchain.options import check_names, integer
from qfw.toolchain.transpile import TranspileTool

DEFAULT_LEVEL, DEFAULT_SEEDS = 3, 4
MAX_SEEDS = 1024


class SearchTool:
    """`transpile` with one seed after the other; of what they gave the best.

    The best is the most probable to run without an error, by the calibration; without one, that with the fewest
    two-qubit gates, then the least depth, then the lowest seed. So it is never worse than `transpile` with the first.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    binds: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {
        "level": f"as of transpile, {DEFAULT_LEVEL} by default",
        "seed": "the first one, 0 by default; the others follow it",
        "seeds": f"how many are tried, 1 to {MAX_SEEDS}, {DEFAULT_SEEDS} by default: time grows with them",
    }

    def __init__(self) -> None:
        """Imports Qiskit's transpiler. Raises NotInstalled."""
        self._transpile = TranspileTool()

    @classmethod
    def version(cls) -> str | None:
        """That of `transpile`."""
        return TranspileTool.version()

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        """Raises OptionError for an unknown option, or one outside its range."""
        check_names("search", options, cls.options)
        for seed in (0, _seeds(options) - 1):
            integer("search", options, "seed", 0, 0, 2**31 - 1 - seed)
        integer("search", options, "level", DEFAULT_LEVEL, 0, 3)

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        """The best of the programs in native gates. Raises as `transpile`."""
        self.check_options(options)
        level, first, seeds = options.get("level", DEFAULT_LEVEL), options.get("seed", 0), _seeds(options)
        found = [
            self._transpile.apply(program, target, {"level": level, "seed": first + number})
            for number in range(seeds)
        ]
        # min() gives the first of equals: the lowest seed.
        best = min(range(seeds), key=lambda number: _cost(found[number].program, target))
        return found[best]._replace(notes=(*found[best].notes, f"seed {first + best} of {seeds} tried"))


def _seeds(options: Mapping[str, Any]) -> int:
    return integer("search", options, "seeds", DEFAULT_SEEDS, 1, MAX_SEEDS)


def _cost(program: Program, target: Target) -> tuple[float, int, int]:
    likely = fidelity(program, target.calibration) or 0.0
    return -likely, sum(len(gate.qubits) == 2 for gate in program.gates()), depth(program)
