"""Tool `search`: transpiles with several seeds, on lower levels too, and keeps the program that errs least."""

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
    """`transpile` with one seed after the other, then once on each lower level from 1 on; of what they gave the best.

    The best is the most probable to run without an error, by the calibration; without one, that with the fewest
    two-qubit gates, then the least depth, then the first that was tried. So it is never worse than `transpile` with the
    first seed: on its own level, nor on a lower one, which may happen to place a small program better.
    """

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False
    binds: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {
        "level": f"as of transpile, {DEFAULT_LEVEL} by default; lower ones from 1 on are tried once each as well",
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
        tried = [(level, first + number) for number in range(seeds)]
        tried += [(lower, first) for lower in range(level - 1, 0, -1)]
        found = [
            self._transpile.apply(program, target, {"level": tried_level, "seed": seed})
            for tried_level, seed in tried
        ]
        # min() gives the first of equals: the level that was asked for, and its lowest seed.
        best = min(range(len(tried)), key=lambda number: _cost(found[number].program, target))
        tried_level, seed = tried[best]
        if tried_level == level:
            note = f"seed {seed} of {seeds} tried"
        else:
            note = f"level {tried_level}, better here than {seeds} seeds on level {level}"
        return found[best]._replace(notes=(*found[best].notes, note))


def _seeds(options: Mapping[str, Any]) -> int:
    return integer("search", options, "seeds", DEFAULT_SEEDS, 1, MAX_SEEDS)


def _cost(program: Program, target: Target) -> tuple[float, int, int]:
    likely = fidelity(program, target.calibration) or 0.0
    return -likely, sum(len(gate.qubits) == 2 for gate in program.gates()), depth(program)
