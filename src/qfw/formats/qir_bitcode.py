"""QIR bitcode to text and back, by LLVM in pyqir.

LLVM trusts bitcode: a damaged file can end the process that reads it. So the container is
walked first, linearly, and then LLVM reads it in a child process with limits of memory
and time, that gives back the text. What is written here is our own text, and needs none.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from qfw.formats.qir_text import MAX_CHARACTERS
from qfw.model.errors import InternalError, NotInstalled, ParseError, TooLarge

#: Bytes of a file of bitcode.
MAX_BYTES = 8_000_000
#: Blocks of the bitstream that are open at one place; LLVM's own writer needs fewer than ten.
MAX_DEPTH = 32
#: For LLVM in the child: seconds of its processor and of the clock, and bytes of address space.
CPU_S = 20
CLOCK_S = 60
MEMORY_BYTES = 2 << 30

_MAGIC = b"BC\xc0\xde"
_WRAPPER = b"\xde\xc0\x17\x0b"


def to_text(bitcode: bytes) -> str:
    """The text of a module of bitcode.

    Raises:
        NotInstalled: pyqir is missing.
        ParseError: not bitcode, or damaged; LLVM's word on it.
        TooLarge: beyond the limits of this module.
    """
    check(bitcode)
    where = _pyqir()
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _CHILD, str(where), str(CPU_S), str(MEMORY_BYTES)],
            input=bitcode,
            capture_output=True,
            timeout=CLOCK_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise TooLarge(f"LLVM has not read the bitcode within {CLOCK_S} s") from error
    if done.returncode == _UNREADABLE:
        reason = done.stdout[:300].decode(errors="replace")
        raise ParseError(f"LLVM cannot read the bitcode: {reason}")
    if done.returncode == _IMPORT_FAILED:
        raise NotInstalled(f"pyqir does not load: {done.stdout[:300].decode(errors='replace')}")
    if done.returncode != 0:
        raise ParseError(
            f"the bitcode is damaged: LLVM ended on it with status {done.returncode}. Give the text form instead"
        )
    if len(done.stdout) > 4 * MAX_CHARACTERS:
        raise TooLarge(f"the bitcode has a text of {len(done.stdout)} bytes")
    return done.stdout.decode(errors="replace")


def from_text(text: str) -> bytes:
    """The bitcode of a text that QFw wrote.

    Raises:
        NotInstalled: pyqir is missing.
    """
    _pyqir()
    try:
        import pyqir
    except ImportError as error:
        raise _missing(error) from error
    try:
        module = pyqir.Module.from_ir(pyqir.Context(), text)
        wrong = module.verify()
    except ValueError as error:
        raise InternalError(f"LLVM cannot read the QIR that was written: {error}") from error
    if wrong is not None:
        raise InternalError(f"the QIR that was written is not well formed: {wrong}")
    written: bytes = module.bitcode
    return written


def check(bitcode: bytes) -> None:
    """Walks the blocks of a bitstream, without a look into them.

    Raises:
        ParseError: not bitcode, or a block that ends outside of the file.
        TooLarge: too many bytes.
    """
    if len(bitcode) > MAX_BYTES:
        raise TooLarge(f"the bitcode has {len(bitcode)} bytes; at most {MAX_BYTES} are read")
    if bitcode[:4] == _WRAPPER:
        if len(bitcode) < 20:
            raise ParseError("the bitcode ends within its wrapper")
        start, size = (int.from_bytes(bitcode[at : at + 4], "little") for at in (8, 12))
        if start + size > len(bitcode):
            raise ParseError(f"the wrapper says {start} + {size} bytes; the file has {len(bitcode)}")
        bitcode = bitcode[start : start + size]
    if bitcode[:4] != _MAGIC:
        raise ParseError("these bytes are no LLVM bitcode: it begins with BC C0 DE")
    if len(bitcode) % 4:
        raise ParseError(f"bitcode comes in words of 4 bytes; {len(bitcode)} are none")
    at, blocks = 4, 0
    while at < len(bitcode):
        # At the top there are blocks only: 2 bits that say so (1), the number and the width of what is inside,
        # in groups of 8 and 4 bits, then up to a full word, and the length in words.
        head = int.from_bytes(bitcode[at : at + 8], "little")
        if head & 3 != 1:
            raise ParseError(f"byte {at}: no block of bitcode begins here")
        position, number = _grouped(head, 2, 8, at)
        position, width = _grouped(head, position, 4, at)
        if not 2 <= width <= 32:
            raise ParseError(f"byte {at}: block {number} says codes of {width} bits")
        words_at = at + -(-position // 32) * 4
        size = int.from_bytes(bitcode[words_at : words_at + 4], "little") * 4
        following = words_at + 4 + size
        if words_at + 4 > len(bitcode) or following > len(bitcode):
            raise ParseError(f"byte {at}: block {number} of {size} bytes ends outside of the file")
        at, blocks = following, blocks + 1
        if blocks > MAX_DEPTH:
            raise TooLarge(f"the bitcode holds more than {MAX_DEPTH} modules and tables side by side")


def _grouped(bits: int, position: int, group: int, at: int) -> tuple[int, int]:
    """A number in groups whose highest bit says that another follows, and where it ends."""
    value = shift = 0
    while position + group <= 64:
        chunk = bits >> position & ((1 << group) - 1)
        position += group
        value |= (chunk & ((1 << (group - 1)) - 1)) << shift
        shift += group - 1
        if not chunk >> (group - 1):
            return position, value
    raise ParseError(f"byte {at}: the head of a block does not end")


def _pyqir() -> Path:
    """The folder that pyqir is in."""
    found = importlib.util.find_spec("pyqir")
    if found is None or found.origin is None:
        raise _missing(None)
    return Path(found.origin).parent.parent


def _missing(error: ImportError | None) -> NotInstalled:
    detail = f" ({error})" if error is not None else ""
    return NotInstalled(
        f"pyqir, which QIR bitcode needs, is not installed{detail}: pip install 'qfw[qir]', or use the text form"
    )


_UNREADABLE, _IMPORT_FAILED = 3, 4
_CHILD = f"""
import sys
try:
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (int(sys.argv[2]),) * 2)
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[3]),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
except (ImportError, ValueError, OSError):
    pass
sys.path.insert(0, sys.argv[1])
try:
    import pyqir
except ImportError as error:
    sys.stdout.write(str(error))
    sys.exit({_IMPORT_FAILED})
try:
    text = str(pyqir.Module.from_bitcode(pyqir.Context(), sys.stdin.buffer.read()))
except ValueError as error:
    sys.stdout.write(str(error))
    sys.exit({_UNREADABLE})
sys.stdout.buffer.write(text.encode())
"""
