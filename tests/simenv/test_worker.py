"""The worker's loop in a process of the test's own."""

from __future__ import annotations

import os
import resource
import socket

import numpy as np

from qfw.engines.noop import NoopEngine
from qfw.model.outputs import Array, ProbabilitiesAnswer, answer_parts, decode_answers
from qfw.qpm import frames
from qfw.qpm.platform import RunDone
from qfw.qpm.shared import Memory, hand_over
from qfw.simenv.protocol import MAX_FRAME_BYTES, Ended, decode_from_worker
from qfw.simenv.worker import Worker, _Large

VALUES = np.arange(200_000.0)


def test_where_too_many_descriptors_are_on_their_way_answers_go_in_frames() -> None:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if _survives_a_crowd() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _survives_a_crowd() -> bool:
    """As a user who is not root, whom the kernel bounds."""
    if os.geteuid() == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    memory = Memory.of(answer_parts((ProbabilitiesAnswer(Array.of(VALUES)),)))
    crowd, silent = socket.socketpair()
    ours, theirs = socket.socketpair()
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * 2**20)
    resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
    crowd.setblocking(False)
    sent = 0
    try:
        while sent < 100:
            sent += hand_over(crowd, b"x", memory.fd)
    except BlockingIOError:
        raise
    except OSError:
        pass
    done = RunDone(7, 1, 1, 2, 0, True, None, b"")
    Worker(NoopEngine(1, 1), ours, True)._send_large([], _Large(done, memory))
    ours.close()
    receiver, reader, bodies = frames.Receiver(), frames.FrameReader(MAX_FRAME_BYTES, parcels=True), []
    while True:
        chunk, memories = receiver.receive_with_memory(theirs)
        if not chunk:
            break
        bodies += reader.feed(chunk, memories)
    (body,) = bodies
    message = decode_from_worker(body)
    assert sent < 100 and not isinstance(body, frames.Parcel) and isinstance(message, Ended)
    (found,) = decode_answers(message.outcomes[0].answers)
    return bool(np.array_equal(found.values.numpy(), VALUES)) and silent.fileno() >= 0
