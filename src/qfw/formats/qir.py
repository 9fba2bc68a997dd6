"""Programs from and to QIR: text by QFw itself, bitcode by way of pyqir."""

from __future__ import annotations

from typing import Literal

from qfw.formats import qir_bitcode, qir_reader, qir_writer
from qfw.formats.qir_writer import Profile
from qfw.formats.source import refuse_path
from qfw.model.errors import OptionError, ParseError
from qfw.model.program import Program

Form = Literal["text", "bitcode"]


def loads(source: str | bytes) -> Program:
    """The program of a QIR module: text, or the bytes of bitcode or of a text.

    Raises:
        ParseError, UnsupportedFeature, TooLarge, ProgramError: see `qir_reader.read`.
        NotInstalled: bitcode, and pyqir is missing.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        raw = bytes(source)
        if raw[:2] in (b"BC", b"\xde\xc0"):
            source = qir_bitcode.to_text(raw)
        else:
            try:
                source = raw.decode()
            except UnicodeDecodeError as error:
                raise ParseError("these bytes are neither LLVM bitcode nor a text") from error
    if not isinstance(source, str):
        raise ParseError(f"QIR is a text or the bytes of bitcode, not a {type(source).__name__}")
    refuse_path(source)
    return qir_reader.read(source)


def dumps(program: Program, profile: Profile | None = None, form: Form = "text") -> str | bytes:
    """The program as QIR: str for `form` "text", bytes for "bitcode".

    Raises:
        UnsupportedFeature: QIR, or that profile, cannot say it.
        NotInstalled: bitcode, and pyqir is missing.
        OptionError: no such profile or form.
    """
    if form not in ("text", "bitcode"):
        raise OptionError(f"QIR is written as text or bitcode, not as {form!r}")
    text = qir_writer.write(program, profile)
    return text if form == "text" else qir_bitcode.from_text(text)
