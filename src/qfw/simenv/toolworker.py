"""A process that runs tools, one pipeline at a time. `python -m qfw.simenv.toolworker`.

Limits come first, then the first byte of input; a tool's framework is imported when it is first needed.
"""

from __future__ import annotations

import argparse
import os
import socket

import msgspec

from qfw.model.errors import ErrorReport, QFwError, ToolFailed, WireError
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.program import Program
from qfw.processes import limits
from qfw.qpm import recall, stages
from qfw.qpm.shelf import Shelf
from qfw.qpm.tool import Target
from qfw.qpm.wire import MAX_PROGRAM_BYTES, FrameReader, Receiver, pack
from qfw.simenv.toolprotocol import (
    MAX_FRAME_BYTES,
    Began,
    Lower,
    Lowered,
    LowerFailed,
    Ready,
    decode_to_tools,
)


def lower(request: Lower, channel: socket.socket, shelf: Shelf | None = None) -> Lowered | LowerFailed:
    """The answer to a request, from the shelf where it is there; says of every stage that it begins."""
    try:
        pipeline = Pipeline.decode(request.pipeline)
        stages.check(pipeline)
        program = Program.decode(request.program)
        target = msgspec.msgpack.decode(request.target, type=Target)

        def begins(stage: Stage) -> None:
            channel.sendall(pack(Began(request.number, stage.name, stage.tool)))

        lowered, _ = recall.lowered(pipeline, program, target, shelf, begins)
        if len(lowered.encoded) > MAX_PROGRAM_BYTES:
            raise ToolFailed(
                f"the pipeline made a program of {len(lowered.encoded)} bytes; at most {MAX_PROGRAM_BYTES} are taken"
            )
        return Lowered(request.number, msgspec.msgpack.encode(lowered))
    except MemoryError:
        return LowerFailed(request.number, ErrorReport.of(_no_memory("a tool of the pipeline")))
    except QFwError as error:
        if isinstance(error.__cause__, MemoryError):
            error = _no_memory(str(error).partition(" failed with")[0])
        return LowerFailed(request.number, ErrorReport.of(error))
    except Exception as error:
        failed = ToolFailed(f"a tool of the pipeline failed with {type(error).__name__}: {str(error)[:500]}")
        return LowerFailed(request.number, ErrorReport.of(failed))


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
            channel.sendall(pack(lower(decode_to_tools(body), channel, shelf)))


def main() -> int:
    """Runs one worker; its exit code is 0 when the pool closed the channel."""
    parser = argparse.ArgumentParser(prog="qfw.simenv.toolworker")
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--cache-folder", default="")
    parser.add_argument("--cache-bytes", type=int, default=0)
    arguments = parser.parse_args()
    limits.apply(arguments.memory_bytes, arguments.parent)
    channel = socket.socket(fileno=arguments.channel)
    channel.setblocking(True)
    try:
        serve(channel, recall.shelf_of(arguments.cache_folder, arguments.cache_bytes))
    except ConnectionError:
        return 0
    except (msgspec.DecodeError, WireError):
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
