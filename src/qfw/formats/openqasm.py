"""OpenQASM 2 and 3, read and written by ourselves.

What is known while the text is read (constants, loops, classical variables, subroutines) is
evaluated and unrolled; what was measured decides, by IfElse and While. All else is refused by
name with its line and column: docs/specs/openqasm.md says what is read.

A text without a version line is OpenQASM 3, or 2 where it begins by including qelib1.inc.
"""

from __future__ import annotations

from qfw.formats.openqasm_parser import Parser
from qfw.formats.openqasm_writer import written
from qfw.formats.precheck import DEFAULT_LIMITS, Limits, precheck
from qfw.formats.source import refuse_path
from qfw.model.errors import ParseError
from qfw.model.program import Program


def loads(text: str, limits: Limits = DEFAULT_LIMITS) -> Program:
    """The program of a text; `input float` and `input angle` become slots in order of declaration.

    Registers are laid out in order of declaration, the first qubit of the first one being
    qubit 0; bit 0 of the first classical register is the rightmost character of a bit string.
    Gates that a text defines are inlined. A global phase that gates bring along (U, u2, u3 and
    definitions in version 3) is summed into one `gphase` at the end of its block; a written gphase
    stays.

    Raises:
        ParseError: the text is not a program (with line and column).
        UnsupportedFeature: it uses something that a Program cannot say.
        TooLarge: it exceeds `limits`, or would after definitions and loops are expanded.
        ParameterError: an angle has no finite value.
    """
    if not isinstance(text, str):
        raise ParseError(
            f"OpenQASM is a text, not a {type(text).__name__}; bytes are decoded first, data.decode()"
        )
    refuse_path(text)
    return Parser(precheck(text, limits), limits).program()


def dumps(program: Program, version: int = 3) -> str:
    """The program as OpenQASM; numbers as the shortest text that reads back as the same float64.

    Slots become `input float[64] p0;` and so on. Gates that the standard include lacks are
    defined in the text's head, and known again by `loads`: loads(dumps(program)) == program.
    A While has its bound in an annotation, which other readers pass over.

    Raises:
        UnsupportedFeature: what version 2 lacks: inputs, loops, delays, and conditions on other than whole registers.
        OptionError: a version other than 2 and 3.
        ProgramError: the program is not well formed.
    """
    return written(program, version)
