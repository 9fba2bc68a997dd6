"""A worker process: one engine, one task at a time. `python -m qfw.simenv.worker`.

Limits come first, then the engine's import, then the first byte of input.
"""

from __future__ import annotations

import argparse
import errno
import gc
import logging
import os
import socket
import time
from collections import OrderedDict, deque
from typing import Any, NamedTuple, TypeVar

import msgspec
import numpy as np

from qfw.formats.lowering import lower
from qfw.model.errors import ErrorReport, OutOfMemory, QFwError, TooLarge
from qfw.model.outputs import Answer, Output, answer_parts, array_bytes, decode_outputs, encode_answers
from qfw.model.program import Program
from qfw.model.seeds import set_seeds
from qfw.processes import limits
from qfw.qpm import registry
from qfw.qpm.engine import Engine
from qfw.qpm.frames import FrameReader, Receiver, pack, pack_begin, pack_parcel
from qfw.qpm.platform import Run, RunDone, RunFailed
from qfw.qpm.shared import MAX_SHARED_BYTES, SHARED_BYTES, Memory, can_share, hand_over
from qfw.simenv.protocol import (
    MAX_FRAME_BYTES,
    Ended,
    Load,
    NeedProgram,
    NotReady,
    Ready,
    Work,
    decode_to_worker,
)

logger = logging.getLogger(__name__)

#: Prepared programs that a worker keeps.
PREPARED = 1024
#: Programs (encoded) that a worker keeps.
PROGRAMS = 4096
#: While more runs wait, outcomes of short ones travel together, but none waits longer than this.
HOLD_NS = 200_000
#: Kinds of runs of which a worker remembers whether they are short; the oldest are forgotten.
KINDS = 4096

#: What the time of a run depends on: program, outputs, sets, shots.
_Kind = tuple[bytes, bytes, int, int]
_Key = TypeVar("_Key")


class Worker:
    """Runs what arrives on its channel until that closes."""

    def __init__(self, engine: Engine, channel: socket.socket, descriptors: bool) -> None:
        """`descriptors`: the channel carries them to the pool."""
        self._engine = engine
        self._channel = channel
        self._descriptors = descriptors and can_share()
        self._receiver = Receiver()
        self._reader = FrameReader(MAX_FRAME_BYTES)
        self._runs: deque[Run] = deque()
        self._programs: OrderedDict[bytes, bytes] = OrderedDict()
        self._prepared: OrderedDict[bytes, tuple[int, Any]] = OrderedDict()
        self._outputs: OrderedDict[bytes, tuple[Output, ...]] = OrderedDict()
        #: Whether the last run of each kind took less than HOLD_NS.
        self._short: OrderedDict[_Kind, bool] = OrderedDict()

    def serve(self) -> None:
        """Returns when the channel closes."""
        outcomes: list[RunDone | RunFailed] = []
        flushed_ns = time.monotonic_ns()
        while True:
            if not self._runs:
                if outcomes:
                    self._channel.sendall(pack(Ended(outcomes)))
                    outcomes = []
                if not self._receive():
                    return
                flushed_ns = time.monotonic_ns()
                continue
            run = self._runs.popleft()
            if outcomes and not self._is_short(run):
                # Who waits for these does not wait for a run that may be long.
                self._channel.sendall(pack(Ended(outcomes)))
                outcomes = []
            began_ns = time.monotonic_ns()
            outcome = self._run(run)
            short = time.monotonic_ns() - began_ns < HOLD_NS
            kind = _kind(run)
            # Most are as the one before: then there is nothing to write down.
            if self._short.get(kind) is not short:
                _keep(self._short, kind, short, KINDS)
            if isinstance(outcome, _Large):
                self._send_large(outcomes, outcome)
                outcomes = []
                flushed_ns = time.monotonic_ns()
                continue
            if outcome is not None:
                outcomes.append(outcome)
            now_ns = time.monotonic_ns()
            if outcomes and now_ns - flushed_ns > HOLD_NS:
                self._channel.sendall(pack(Ended(outcomes)))
                outcomes = []
                flushed_ns = now_ns

    def _is_short(self, run: Run) -> bool:
        """Whether one like it took less than HOLD_NS the last time."""
        return self._short.get(_kind(run), False)

    def _send_large(self, outcomes: list[RunDone | RunFailed], large: _Large) -> None:
        """Sends `outcomes`, then a large one in a message of its own, with its memory."""
        if outcomes:
            self._channel.sendall(pack(Ended(outcomes)))
        message, memory = Ended([large.outcome]), large.memory
        parcel = pack_parcel(message, memory)
        try:
            sent = hand_over(self._channel, parcel, memory.fd)
        except OSError as error:
            if error.errno != errno.ETOOMANYREFS:
                raise
            logger.warning("too many descriptors on their way, an answer goes in a frame")
            self._channel.sendall(pack_begin(message, memory.size))
            self._channel.sendall(memory.view())
        else:
            self._channel.sendall(parcel[sent:])
        memory.close()

    def _receive(self) -> bool:
        chunk = self._receiver.receive(self._channel)
        if not chunk:
            return False
        for body in self._reader.feed(chunk):
            message = decode_to_worker(body)
            match message:
                case Work():
                    self._runs.extend(message.runs)
                case Load():
                    _keep(self._programs, message.digest, message.encoded, PROGRAMS)
        return True

    def _run(self, run: Run) -> RunDone | RunFailed | _Large | None:
        try:
            try:
                return self._answer(run)
            except MemoryError:
                # What is kept for other programs may be what is missing.
                self._prepared.clear()
                self._outputs.clear()
            gc.collect()
            return self._answer(run)
        except MemoryError:
            # Leave the handler before anything is allocated for the report.
            gc.collect()
            error: QFwError = OutOfMemory(
                "the worker met its memory limit while running this task. Use fewer qubits or sets per task, "
                "or raise workers.memory_bytes in the daemon's settings"
            )
            return RunFailed(run.task, run.epoch, ErrorReport.of(error))
        except Exception as error:
            return RunFailed(run.task, run.epoch, ErrorReport.of(error))

    def _answer(self, run: Run) -> RunDone | _Large | None:
        """The answered run; None where its program has to be asked for."""
        began_ns = time.monotonic_ns()
        cached = self._prepared.get(run.program)
        if cached is None:
            encoded = self._programs.get(run.program)
            if encoded is None:
                self._channel.sendall(pack(NeedProgram(run.task, run.epoch, run.program)))
                return None
            program = Program.decode(encoded)
            prepared = self._engine.prepare(lower(program, self._engine.native_gates))
            num_slots = program.num_slots
            _keep(self._prepared, run.program, (num_slots, prepared), PREPARED)
            compile_ns = time.monotonic_ns() - began_ns
        else:
            num_slots, prepared = cached
            self._prepared.move_to_end(run.program)
            compile_ns = 0
        outputs = self._outputs.get(run.outputs)
        if outputs is None:
            outputs = decode_outputs(run.outputs)
            _keep(self._outputs, run.outputs, outputs, PREPARED)
        parameters = np.frombuffer(run.parameters, dtype="<f8").reshape(run.sets, num_slots)
        seeds = set_seeds(run.seed, run.first_set, run.first_set + run.sets)
        answers = self._engine.run(prepared, outputs, parameters, run.shots, seeds)
        memory = self._in_memory(answers)
        encoded = b"" if memory is not None else encode_answers(answers)
        ended_ns = time.monotonic_ns()
        done = RunDone(run.task, run.epoch, began_ns, ended_ns, compile_ns, cached is not None, None, encoded)
        return done if memory is None else _Large(done, memory)

    def _in_memory(self, answers: tuple[Answer, ...]) -> Memory | None:
        """Sealed memory that holds the answers; None where they travel in a frame. Raises TooLarge."""
        if not self._descriptors or array_bytes(answers) <= SHARED_BYTES:
            return None
        parts = answer_parts(answers)
        # What an estimate let through, an engine may still overdo; no limit of this process counts this memory.
        size = sum(memoryview(part).nbytes for part in parts)
        if size > MAX_SHARED_BYTES:
            raise TooLarge(
                f"the engine answered {size} bytes; at most {MAX_SHARED_BYTES} travel. Ask for fewer sets per task"
            )
        try:
            return Memory.of(parts)
        except OSError as error:
            logger.warning("no memory to share, answers go in a frame: %s", error)
            return None


class _Large(NamedTuple):
    """A run whose answers lie in memory."""

    outcome: RunDone
    memory: Memory


def _kind(run: Run) -> _Kind:
    return run.program, run.outputs, run.sets, run.shots


def _keep(cache: OrderedDict[_Key, Any], key: _Key, value: Any, size: int) -> None:
    cache[key] = value
    cache.move_to_end(key)
    if len(cache) > size:
        cache.popitem(last=False)


def main() -> int:
    """Runs one worker; its exit code is 0 when the pool closed the channel."""
    parser = argparse.ArgumentParser(prog="qfw.simenv.worker")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--channel", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--wide-threads", type=int, required=True)
    parser.add_argument("--memory-bytes", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--descriptors", action="store_true", help="the channel carries descriptors")
    arguments = parser.parse_args()
    limits.apply(arguments.memory_bytes, arguments.parent)
    channel = socket.socket(fileno=arguments.channel)
    channel.setblocking(True)
    try:
        kind = registry.load(registry.ENGINES, arguments.engine)
        engine: Engine = kind(arguments.threads, arguments.wide_threads)
    except Exception as error:
        channel.sendall(pack(NotReady(ErrorReport.of(error))))
        return 1
    channel.sendall(pack(Ready(os.getpid(), kind.version() or "")))
    # What is imported stays; the collector need not look at it between tasks.
    gc.collect()
    gc.freeze()
    try:
        Worker(engine, channel, arguments.descriptors).serve()
    except (ConnectionError, BrokenPipeError):
        return 0
    except msgspec.DecodeError:
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
