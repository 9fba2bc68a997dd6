"""Bytes of a .qfw file: a program, its pipeline, and what that made of it for devices. docs/specs/qfw-file.md.

Nothing in it is run when it is read, nothing in it is compressed, and every length is checked before what it is
the length of.
"""

from __future__ import annotations

import hashlib
import struct
from typing import Annotated

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import CompiledFileError, OptionError, ProgramError
from qfw.model.pipeline import MAX_STAGES, LoweredProgram, Pipeline, StageReport
from qfw.model.program import MAX_QUBITS, Program
from qfw.model.relocation import Relocation

#: As that of PNG: a file that went through a transfer for texts, or lost its eighth bits, is seen to be none.
MAGIC = b"\x89QFW\r\n\x1a\n"
#: Another one where files are read otherwise.
FORMAT_VERSION = 1
MAX_FILE_BYTES = 256 * 2**20
#: Devices of one file.
MAX_LOWERED = 256
_HEAD = struct.Struct(">8sHQ32s")
_DIGEST_BYTES = 32
_LARGEST_PROGRAM = 64 * 2**20

_Bytes = Annotated[bytes, msgspec.Meta(max_length=_LARGEST_PROGRAM)]
_Digest = Annotated[bytes, msgspec.Meta(max_length=64)]
_Name = Annotated[str, msgspec.Meta(max_length=4096)]


class LoweredFor(msgspec.Struct, frozen=True, array_like=True):
    """What the pipeline made of the program for one device under one calibration."""

    device: _Name
    #: Version of the calibration; empty where the device has none.
    calibration: _Name
    #: Digests of the device's profile, and of that with the calibration.
    profile: _Digest
    target: _Digest
    #: How many stages do not look at the calibration, and what they made: the program that a newer one is lowered from.
    #: Its qubits are where they were.
    front_stages: Annotated[int, msgspec.Meta(ge=0, le=MAX_STAGES)]
    front: _Bytes
    #: What all stages made: program, places of the front's qubits, figures of every stage, artefacts.
    encoded: _Bytes
    layout: Annotated[tuple[int, ...], msgspec.Meta(max_length=MAX_QUBITS)] | None
    stages: Annotated[tuple[StageReport, ...], msgspec.Meta(max_length=MAX_STAGES)]
    artefacts: Annotated[dict[str, bytes], msgspec.Meta(max_length=64)] = {}

    @property
    def lowered(self) -> LoweredProgram:
        """As a pipeline gives it."""
        return LoweredProgram(self.encoded, self.layout, self.stages, self.artefacts)


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """What a file says."""

    #: Version of QFw that wrote it, and of the tools of the pipeline by their names: for people.
    qfw: _Name
    tools: Annotated[dict[str, str], msgspec.Meta(max_length=MAX_STAGES)]
    #: Of the pipeline, for people.
    name: _Name
    #: Digests of the program and the pipeline.
    program_digest: _Digest
    pipeline_digest: _Digest
    program: _Bytes
    pipeline: _Bytes
    lowered: Annotated[tuple[LoweredFor, ...], msgspec.Meta(max_length=MAX_LOWERED)] = ()


def pack(contents: Contents) -> bytes:
    """The bytes of a file. Raises OptionError where they would be more than are read."""
    body = msgspec.msgpack.encode(contents)
    if len(body) + _HEAD.size > MAX_FILE_BYTES:
        raise OptionError(f"a .qfw file of {len(body)} bytes; at most {MAX_FILE_BYTES} are read")
    return _HEAD.pack(MAGIC, FORMAT_VERSION, len(body), _digest(body)) + body


def unpack(data: bytes, source: str = "the data") -> Contents:
    """What such bytes say, checked: every program, the pipeline, and that one program may stand for the other.

    Raises:
        CompiledFileError: damaged, cut off, of another version of the format, or no such bytes; `source` says of what.
    """
    if len(data) < len(MAGIC) or data[: len(MAGIC)] != MAGIC:
        raise CompiledFileError(f"{source} is no .qfw file: it does not begin as one")
    if len(data) < _HEAD.size:
        raise CompiledFileError(f"{source} is cut off: {len(data)} bytes; its head alone has {_HEAD.size}")
    _, version, size, digest = _HEAD.unpack_from(data)
    if version != FORMAT_VERSION:
        raise CompiledFileError(
            f"{source} is a .qfw file of format {version}; this QFw reads format {FORMAT_VERSION}. Compile the program "
            "again"
        )
    body = memoryview(data)[_HEAD.size :]
    if len(body) != size:
        raise CompiledFileError(
            f"{source} is cut off, or something was added: {len(body)} bytes behind its head, which says {size}"
        )
    if _digest(body) != digest:
        raise CompiledFileError(f"{source} is damaged: its checksum is of other bytes")
    try:
        contents: Contents = _decode(body)
        _check(contents)
    except (msgspec.DecodeError, ProgramError, OptionError) as error:
        # Whoever wrote it made a checksum of it as well.
        raise CompiledFileError(f"{source} is no .qfw file that QFw wrote: {error}") from error
    return contents


def _check(contents: Contents) -> None:
    program, pipeline = Program.decode(contents.program), Pipeline.decode_any(contents.pipeline)
    if program.digest != contents.program_digest or pipeline.digest != contents.pipeline_digest:
        raise ProgramError("the program or its pipeline is not the one that its digest is of")
    for row in contents.lowered:
        if row.front_stages > len(pipeline.stages):
            raise ProgramError(f"{row.device}: {row.front_stages} stages of {len(pipeline.stages)}")
        front, lowered = Program.decode(row.front), Program.decode(row.encoded)
        Relocation(program, front, None).check()
        Relocation(front, lowered, row.layout).check()


def _digest(body: bytes | memoryview) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES).digest()


_decode = decoder(Contents)
