"""Runs a pipeline: its tools on a program, stage by stage. In a tool worker, or in the application."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from qfw.model.errors import ErrorReport, NotInstalled, QFwError, ToolFailed
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage, StageReport
from qfw.model.program import Measure, Program
from qfw.qpm import registry
from qfw.qpm.quality import depth, duration_s, fidelity
from qfw.qpm.tool import KEEPS, Target, Tool, ToolOutput, compares


def check(pipeline: Pipeline) -> None:
    """Raises UnknownDevice, NotInstalled or OptionError unless this environment can run every stage."""
    pipeline.check()
    for stage in pipeline.stages:
        _kind(stage.tool).check_options(stage.options)


def needs_client(pipeline: Pipeline) -> bool:
    """Whether a stage must run in the application's process."""
    return any(_kind(stage.tool).needs_client for stage in pipeline.stages)


def run(
    pipeline: Pipeline,
    program: Program,
    target: Target,
    begins: Callable[[Stage], None] = lambda stage: None,
) -> LoweredProgram:
    """What the pipeline makes of a program for a target; `begins` is told of every stage before it.

    A program that measures nothing answers counts of all its qubits, qubit i as bit i. Where its qubits went
    elsewhere, or others joined them, the lowered one says so with measurements; other answers they do not change.

    Raises:
        ProgramError: a tool says that the program cannot be transformed.
        ToolFailed: a tool failed otherwise, or what it gave is no program; says which stage.
        NotInstalled, UnknownDevice: a tool is not here.
    """
    portable, layout = program, None
    kept = KEEPS[0]
    reports: list[StageReport] = []
    artefacts: dict[str, bytes] = {}
    for stage in pipeline.stages:
        begins(stage)
        began = time.perf_counter()
        if compares(_kind(stage.tool)):
            given = _compared(stage, portable, program, layout, kept, target)
        else:
            given = _apply(stage, program, target)
            kept = max(kept, _kind(stage.tool).keeps, key=KEEPS.index)
        took_s = time.perf_counter() - began
        layout = _composed(stage, program.num_qubits, layout, given)
        program = given.program
        artefacts |= given.artefacts
        reports.append(report(stage.name, program, target, took_s, given.notes))
    if not portable.has_measurements and (layout or program.num_qubits != portable.num_qubits):
        program = _measured(program, layout or range(portable.num_qubits))
    return LoweredProgram(program.encoded, layout, tuple(reports), artefacts)


def report(
    stage: str, program: Program, target: Target, took_s: float = 0.0, notes: tuple[str, ...] = ()
) -> StageReport:
    """A program in figures."""
    gates = [gate for gate in program.gates() if gate.qubits]
    return StageReport(
        stage,
        program.num_qubits,
        len(gates),
        sum(len(gate.qubits) == 2 for gate in gates),
        depth(program),
        fidelity(program, target.calibration),
        duration_s(program, target),
        took_s,
        notes,
    )


def _apply(stage: Stage, program: Program, target: Target) -> ToolOutput:
    try:
        given = _tool(stage.tool).apply(program, target, stage.options)
        given.program.check()
        return given
    except QFwError as error:
        raise ErrorReport(type(error).__name__, f"stage {stage.name}: {error}").to_exception() from error
    except Exception as error:
        raise _failure(stage, error) from error


def _compared(
    stage: Stage,
    original: Program,
    program: Program,
    layout: tuple[int, ...] | None,
    keeps: str,
    target: Target,
) -> ToolOutput:
    """The program as it is, with what a CheckingTool says of it."""
    tool: Any = _tool(stage.tool)
    try:
        notes = tool.compare(original, program, layout, keeps, target, stage.options)
    except QFwError as error:
        raise ErrorReport(type(error).__name__, f"stage {stage.name}: {error}").to_exception() from error
    except Exception as error:
        raise _failure(stage, error) from error
    return ToolOutput(program, notes=notes)


def _failure(stage: Stage, error: Exception) -> ToolFailed:
    return ToolFailed(
        f"stage {stage.name}: tool {stage.tool} failed with {type(error).__name__}: {str(error)[:500]}"
    )


def _composed(
    stage: Stage, num_qubits: int, before: tuple[int, ...] | None, given: ToolOutput
) -> tuple[int, ...] | None:
    """Where the first program's qubits are behind a stage."""
    layout = given.layout
    if layout is None:
        return before
    inside = all(0 <= place < given.program.num_qubits for place in layout)
    if len(layout) != num_qubits or len(set(layout)) != num_qubits or not inside:
        raise ToolFailed(
            f"stage {stage.name}: tool {stage.tool} gave a layout of {len(layout)} places for {num_qubits} qubits, or "
            f"one that is no place of its own"
        )
    return layout if before is None else tuple(layout[place] for place in before)


def _measured(program: Program, places: Sequence[int]) -> Program:
    """The program with a measurement of each of these qubits, in order, into the bits from 0 on."""
    clbits = max(len(places), program.num_clbits) if program.has_control else len(places)
    ending = tuple(Measure(place, bit) for bit, place in enumerate(places))
    return Program(program.num_qubits, clbits, program.num_slots, program.operations + ending)


def _kind(name: str) -> Any:
    """Class of a tool that is installed with its framework."""
    kind = registry.load(registry.TOOLS, name)
    if kind.version() is None:
        # Its constructor knows what to install.
        kind()
        raise NotInstalled(f"tool {name!r} says that its framework is not installed")
    return kind


def _tool(name: str) -> Tool:
    return _made(name if "@" in name else registry.marked(registry.TOOLS, name))


@cache
def _made(name: str) -> Tool:
    tool: Tool = _kind(name)()
    return tool
