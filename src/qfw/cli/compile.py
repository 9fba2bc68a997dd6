"""Compile a program for a device: read it, run a pipeline of tools on it, write what came of it.

FILE is OpenQASM 2 or 3, QIR (text or bitcode) or a .qfw file; - reads standard input. What is compiled goes to
standard output or to OUT, the table of --explain to standard output too; all else is said on standard error.
Parameters stay parameters.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfw.cli import output

if TYPE_CHECKING:
    from qfw.cli.targets import Ground
    from qfw.model.errors import ParseError
    from qfw.model.pipeline import Stage
    from qfw.qpi.compiled import CompiledProgram
    from qfw.qpi.pipeline import Lowered, ToolPipeline
    from qfw.qpi.program import Program

FORMATS = ("qasm3", "qasm2", "qir", "qfw", "pulse")
#: Bytes of a FILE; what has more is not read.
MAX_BYTES = 256 * 2**20
#: Characters of a line that are shown where it is wrong.
SHOWN = 160


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw compile`."""
    parser.add_argument("file", metavar="FILE", help="a program; - for standard input")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--device", metavar="D", help="a device, of your daemon or a private one")
    where.add_argument(
        "--target",
        metavar="NAME_OR_FILE",
        help="without a daemon: a built-in model, or a JSON file of a profile and its calibration",
    )
    parser.add_argument(
        "--pipeline",
        metavar="P",
        help="a preset (none, fast, default, best), tools (reduce,transpile:level=2; default,verify) or a TOML file; "
        "default: default, or that of a .qfw FILE",
    )
    parser.add_argument(
        "--emit", choices=FORMATS, help="what is written (default: by OUT's ending, else qasm3)"
    )
    parser.add_argument("-o", "--output", metavar="OUT", type=Path, help="write it here, whole or not at all")
    parser.add_argument(
        "--bind", metavar="VALUES", help="values of the parameters in radians, separated by commas"
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="what each stage makes of it, as a table; without -o nothing else",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="one line of JSON: stages, layout, calibration, and what was compiled",
    )


def main(options: argparse.Namespace) -> int:
    """Compiles it."""
    from qfw.cli import targets
    from qfw.cli.sources import program_of, read
    from qfw.cli.words import pipeline_of
    from qfw.model.errors import OptionError, ParseError

    emit = options.emit or _by_ending(options.output)
    if emit == "qfw" and options.output is None and sys.stdout.isatty() and not options.explain:
        raise OptionError(
            "a .qfw file is nothing for a terminal: name one with -o OUT, or redirect the output"
        )
    pipeline = pipeline_of(options.pipeline) if options.pipeline is not None else None
    data = read(options.file, MAX_BYTES)
    try:
        program = program_of(data, options.file)
    except ParseError as error:
        _show(error, data)
        return 1
    if options.bind is not None:
        program = program.bound(_values(options.bind))
    with targets.of_model(options.target) if options.target else targets.of_device(options.device) as ground:
        bitcode = options.output is not None and options.output.suffix == ".bc"
        written, lowered, name = _compiled(program, pipeline, ground, emit, bitcode)
    if options.output is not None:
        from qfw.config import files

        files.write(options.output, written)
        output.note(f"wrote {options.output}")
    if options.json:
        _json(options, emit, written, lowered, program, ground, name)
    elif options.explain:
        print(_explanation(program, lowered, ground, name))
    elif options.output is None:
        sys.stdout.buffer.write(written)
        sys.stdout.buffer.flush()
    return 0


def _by_ending(path: Path | None) -> str:
    """The format that an output's name says; qasm3 where it says none."""
    endings = {".qfw": "qfw", ".ll": "qir", ".bc": "qir", ".json": "pulse"}
    return endings.get(path.suffix, "qasm3") if path is not None else "qasm3"


def _compiled(
    program: Program | CompiledProgram,
    pipeline: ToolPipeline | None,
    ground: Ground,
    emit: str,
    bitcode: bool,
) -> tuple[bytes, Lowered, str]:
    """What is written, the lowered program, and the pipeline's name."""
    from qfw.cli.emitting import emitted
    from qfw.qpi.compiled import CompiledProgram
    from qfw.qpi.pipeline import ToolPipeline
    from qfw.qpi.program import Program

    if pipeline is None and isinstance(program, CompiledProgram):
        pipeline = ToolPipeline.of(program.pipeline, program.contents.name)
        compiled = program.finished(ground.target, _begins)
    else:
        pipeline = pipeline or ToolPipeline.preset("default")
        if emit == "pulse":
            pipeline = _with_pulses(pipeline)
        compiled = CompiledProgram.make(Program.of(program), pipeline, [ground.target], _begins)
    lowered = compiled.lower(ground.target)
    return emitted(emit, compiled, lowered, bitcode), lowered, pipeline.name


def _with_pulses(pipeline: ToolPipeline) -> ToolPipeline:
    """The pipeline with tool pulse at its end, where it has none."""
    from qfw.qpi.pipeline import ToolPipeline

    if any(stage.tool == "pulse" for stage in pipeline.stages):
        return pipeline
    return ToolPipeline([*pipeline.stages, "pulse"], pipeline.name)


def _begins(stage: Stage) -> None:
    if sys.stderr.isatty():
        output.note(f"{stage.name} …")


def _show(error: ParseError, data: bytes) -> None:
    """The error, and the line that it is about with a mark below the place."""
    output.note(f"error: {error}")
    lines = data.decode(errors="replace").split("\n")
    if error.line is None or not 1 <= error.line <= len(lines):
        return
    column = max(1, error.column or 1)
    begin = max(0, column - SHOWN // 2)
    # What a terminal would take for a command, or a wide blank, is one sign like any other.
    line = "".join(sign if sign.isprintable() else " " for sign in lines[error.line - 1])
    if line.strip() and line.strip() not in str(error):
        sys.stderr.write(f"  {line[begin : begin + SHOWN]}\n  {' ' * (column - 1 - begin)}^\n")


def _values(text: str) -> list[float]:
    from qfw.model.errors import OptionError

    try:
        return [float(part) for part in text.split(",")] if text.strip() else []
    except ValueError as error:
        raise OptionError(f"--bind takes numbers separated by commas, such as 0.1,-2.5: {error}") from error


def _explanation(program: Program, lowered: Lowered, ground: Ground, name: str) -> str:
    from qfw.qpi.explanation import Explanation
    from qfw.qpm.stages import report

    first = report("as given", program, ground.target)
    notes = tuple(f"{row.stage}: {note}" for row in lowered.stages for note in row.notes)
    return str(Explanation(name, ground.name, lowered.calibration, (first, *lowered.stages), notes))


def _json(
    options: argparse.Namespace,
    emit: str,
    written: bytes,
    lowered: Lowered,
    program: Program,
    ground: Ground,
    name: str,
) -> None:
    import msgspec

    from qfw.qpm.stages import report

    rows = (report("as given", program, ground.target), *lowered.stages)
    found: dict[str, Any] = {
        "device": ground.name,
        "calibration": lowered.calibration,
        "pipeline": name,
        "layout": lowered.layout,
        "stages": [msgspec.structs.asdict(row) for row in rows],
        "emit": emit,
    }
    if options.output is not None:
        found["output"] = str(options.output)
    elif not options.explain:
        # Bytes become base64.
        found["program"] = written if emit == "qfw" else written.decode()
    output.json(found)
