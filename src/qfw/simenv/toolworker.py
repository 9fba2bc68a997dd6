"""A process that runs tools, one pipeline at a time. `python -m qfw.simenv.toolworker`.

Limits come first, then the first byte of input; a tool's framework is imported when it is first needed.
"""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated

import msgspec

from qfw.config.settings import ExternalTool
from qfw.model.decoding import decoder
from qfw.model.device import DeviceProfile
from qfw.model.errors import ErrorReport, OptionError, QFwError, ToolFailed, WireError
from qfw.model.outputs import check_shots, decode_outputs
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Program
from qfw.processes import external, limits
from qfw.qpm import recall, stages
from qfw.qpm.expansion import expand
from qfw.qpm.frames import FrameReader, Receiver, pack
from qfw.qpm.shelf import Shelf
from qfw.qpm.tool import Target
from qfw.qpm.wire import EXPAND, LOWER, MAX_PROGRAM_BYTES, ToolWork
from qfw.simenv.toolprotocol import (
    MAX_FRAME_BYTES,
    Began,
    Lower,
    Lowered,
    LowerFailed,
    Ready,
    Work,
    decode_to_tools,
)


def answer(
    request: Lower | Work, channel: socket.socket, shelf: Shelf | None = None
) -> Lowered | LowerFailed:
    """The answer to a request, from the shelf where it is there; says of every stage that it begins."""

    def begins(stage: Stage) -> None:
        channel.sendall(pack(Began(request.number, stage.name, stage.tool)))

    try:
        target = _read_target(bytes(request.target))
        if isinstance(request, Lower):
            made = _lowered(request.pipeline, request.program, target, begins, shelf, reached=True)
            body = msgspec.msgpack.encode(made)
        else:
            body = _worked(request.work, target, _once(begins), shelf)
        return Lowered(request.number, body)
    except MemoryError:
        return LowerFailed(request.number, ErrorReport.of(_no_memory("a tool of the pipeline")))
    except QFwError as error:
        if isinstance(error.__cause__, MemoryError):
            error = _no_memory(str(error).partition(" failed with")[0])
        return LowerFailed(request.number, ErrorReport.of(error))
    except Exception as error:
        failed = ToolFailed(f"a tool of the pipeline failed with {type(error).__name__}: {str(error)[:500]}")
        return LowerFailed(request.number, ErrorReport.of(failed))


@lru_cache(maxsize=8)
def _read_target(encoded: bytes) -> Target:
    """The one Target of such bytes: what tools keep for it they find by it, at once."""
    found: Target = msgspec.msgpack.decode(encoded, type=Target)
    return found


def _lowered(
    pipeline: bytes,
    program: bytes,
    target: Target,
    begins: Callable[[Stage], None],
    shelf: Shelf | None,
    reached: bool,
) -> LoweredProgram:
    wanted = Pipeline.decode(pipeline)
    stages.check(wanted)
    if reached:
        stages.check_runs(wanted)
    lowered, made = recall.lowered(wanted, Program.decode(program), target, shelf, begins)
    if reached:
        stages.check_reached(wanted, made, target.profile)
    if len(lowered.encoded) > MAX_PROGRAM_BYTES:
        raise ToolFailed(
            f"the pipeline made a program of {len(lowered.encoded)} bytes; at most {MAX_PROGRAM_BYTES} are taken"
        )
    return lowered


def _worked(work: ToolWork, target: Target, begins: Callable[[Stage], None], shelf: Shelf | None) -> bytes:
    """What a session's tool work is answered."""
    target = _target(work, target)
    if work.kind == LOWER:
        # To be looked at, and not to be run: it may go on to other tools.
        made = _lowered(work.pipeline, work.program, target, begins, shelf, reached=False)
        return msgspec.msgpack.encode((target.version, made))
    if work.kind != EXPAND:
        raise WireError(f"tool work is {LOWER} or {EXPAND}, not {work.kind[:100]!r}")
    pipeline = Pipeline.decode(work.pipeline)
    stages.check(pipeline)
    outputs = decode_outputs(work.outputs)
    program = Program.decode(work.program)
    return expand(pipeline, program, outputs, check_shots(work.shots), target, begins).encoded


def _target(work: ToolWork, target: Target) -> Target:
    """The target as the session knows it."""
    try:
        peers = _decode_peers(work.peers) if work.peers else ()
    except msgspec.DecodeError as error:
        raise OptionError(f"the peers of tool work are no list of device profiles: {error}") from error
    profile = target.profile
    if work.name:
        profile = msgspec.structs.replace(profile, name=work.name)
    return Target(profile, target.calibration, peers)


def _once(begins: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Says of each stage once that it begins, on however many programs."""
    said: set[str] = set()

    def first(stage: Stage) -> None:
        if stage.name not in said:
            said.add(stage.name)
            begins(stage)

    return first


_decode_peers = decoder(Annotated[tuple[DeviceProfile, ...], msgspec.Meta(max_length=4096)])


def _no_memory(what: str) -> ToolFailed:
    return ToolFailed(
        f"{what} met the memory limit of tool workers. Use a smaller program, or raise tools.memory_bytes in the "
        "daemon's settings"
    )


def serve(channel: socket.socket, shelf: Shelf | None = None) -> None:
    """Answers requests until the channel closes."""
    receiver, reader = Receiver(), FrameReader(MAX_FRAME_BYTES)
    channel.sendall(pack(Ready(os.getpid())))
    while chunk := receiver.receive(channel):
        for body in reader.feed(chunk):
            channel.sendall(pack(answer(decode_to_tools(body), channel, shelf)))


def main() -> int:
    """Runs one worker; its exit code is 0 when the pool closed the channel."""
    parser = argparse.ArgumentParser(prog="qfw.simenv.toolworker")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--external", default="{}")
    parser.add_argument("--cache-folder", default="")
    parser.add_argument("--cache-bytes", type=int, default=0)
    arguments = parser.parse_args()
    limits.apply(arguments.memory_bytes, arguments.parent)
    channel = socket.socket(fileno=arguments.channel)
    channel.setblocking(True)
    external.declare(msgspec.json.decode(arguments.external, type=dict[str, ExternalTool]))
    try:
        serve(channel, recall.shelf_of(arguments.cache_folder, arguments.cache_bytes))
    except ConnectionError:
        return 0
    except (msgspec.DecodeError, WireError):
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
