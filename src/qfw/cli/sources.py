"""Programs as a command is given them: which format a file has, and what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qfw.formats.compiled_file import MAGIC
from qfw.model.errors import ParseError, SetupError

if TYPE_CHECKING:
    from qfw.qpi.program import Program

STDIN = "-"
#: How LLVM bitcode begins: bare, and wrapped.
BITCODE = (b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
#: Text is looked at so far for what only LLVM's has.
_HEAD = 4096


def read(name: str, most_bytes: int) -> bytes:
    """A file's bytes, or those of standard input. Raises SetupError: it cannot be read, is no file, or has more."""
    from qfw.config import files

    if name != STDIN:
        return files.read(Path(name), most_bytes)
    try:
        data = sys.stdin.buffer.read(most_bytes + 1)
    except OSError as error:
        raise SetupError(f"cannot read standard input: {error.strerror}") from error
    if len(data) > most_bytes:
        raise SetupError(f"standard input has more than {most_bytes} bytes")
    return data


def program_of(data: bytes, name: str) -> Program:
    """The program that bytes say; a .qfw file's is a CompiledProgram.

    Raises:
        ParseError: it is neither OpenQASM nor QIR nor a .qfw file, or a wrong one; says line and column.
        ProgramError: it says what cannot be taken.
    """
    from qfw.qpi.compiled import CompiledProgram
    from qfw.qpi.program import Program

    if data.startswith(MAGIC[:4]):
        return CompiledProgram.from_bytes(data, name)
    if data.startswith(BITCODE):
        return Program.from_qir(data)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, error.start - data.rfind(b"\n", 0, error.start)
        raise ParseError(
            f"{name} is no OpenQASM or QIR text (byte {error.start} is no UTF-8), no bitcode and no .qfw file",
            line,
            column,
        ) from error
    if "\0" in text:
        raise ParseError(f"{name} is no text, no bitcode and no .qfw file: it has zero bytes")
    if Path(name).suffix == ".ll" or _is_llvm(text):
        return Program.from_qir(text)
    return Program.from_qasm(text)


def _is_llvm(text: str) -> bool:
    lines = [line.strip() for line in text[:_HEAD].splitlines()]
    begins = ("; ModuleID", "source_filename", "target datalayout", "define ", "%Qubit = type", "declare ")
    return any(line.startswith(begins) for line in lines)
