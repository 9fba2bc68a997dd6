"""Engines that sleep, eat, crash and lie: a stranger's plugin, on the daemon's PYTHONPATH in tests."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from qfw.model.device import Estimate
from qfw.model.outputs import (
    Array,
    ExpectationAnswer,
    Probabilities,
    ProbabilitiesAnswer,
    StatevectorAnswer,
)
from qfw.processes.child import Child
from qfw.qpm.frames import pack
from qfw.qpm.platform import RunDone
from qfw.simenv.launcher import LocalLauncher
from qfw.simenv.protocol import Ended, NeedProgram, Ready


def sealed(seals: int, size: int) -> int:
    """Memory of so many bytes with these seals."""
    fd = os.memfd_create("strange", os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd


class StrangeEngine:
    """Does what slot 0 says with the value of slot 1, and answers that value if it lives."""

    native_gates: ClassVar[frozenset[str]] = frozenset({"ry"})
    outputs: ClassVar[frozenset[str]] = frozenset({"expectation"})
    max_qubits: ClassVar[int] = 4
    control: ClassVar[bool] = False
    preference: ClassVar[int] = 1
    preferred_qubits: ClassVar[int] = 4

    def __init__(self, threads: int, wide_threads: int) -> None:
        self.doings = [
            lambda value: None,
            time.sleep,
            lambda mebibytes: np.ones(int(mebibytes) * 2**17),
            lambda _: os.kill(os.getpid(), signal.SIGKILL),
            lambda _: 1 / 0,
            lambda _: self.say(b"\x00\x00\x00\x03abc"),
            lambda _: self.say(pack(Ready(1, "again"))),
            lambda task: self.say(pack(Ended([RunDone(int(task), 1, 1, 2, 0, True, None, b"a lie")]))),
            lambda _: self.say(b"\xff\xff\xff\xff"),
            lambda task: self.say(pack(NeedProgram(int(task), 1, b"nonsense"))),
            # Dies of its memory where nothing catches it: in another thread, by the C library's hand.
            lambda _: os.abort(),
            # Large answers that are none: (task, what).
            lambda task: self.hand(int(task), sealed(0xF, 0)),
            lambda task: self.hand(int(task), sealed(0x0, 2**21)),
            lambda task: self.hand(int(task), sealed(0x7, 2**21)),
            lambda task: self.hand(int(task), sealed(0xF, 2**31)),
            lambda task: self.hand(int(task), os.open("/dev/zero", os.O_RDWR)),
            lambda task: self.hand(int(task), *os.pipe()),
            lambda task: self.hand(int(task), *(sealed(0xF, 2**21) for _ in range(250))),
            lambda task: self.hand(int(task)),
            lambda task: self.hand(int(task), sealed(0xF, 2**21), flagged=False),
            lambda task: self.hand(int(task), sealed(0xF, 2**21), answers=b"and more"),
            lambda task: self.hand(int(task), sealed(0xF, 2**21), message=Ready(1, "x")),
            # One that is cut short: the descriptor came, the rest of its frame never does.
            lambda task: self.hand(int(task), sealed(0xF, 2**21), keep=3),
            # Sealed, of the right size, and no answers.
            lambda task: self.hand(int(task), sealed(0xF, 2**21), sleep=False),
        ]

    def hand(
        self,
        task: int,
        *fds: int,
        flagged: bool = True,
        answers: bytes = b"",
        message: Any = None,
        keep: int | None = None,
        sleep: bool = True,
    ) -> None:
        """An answer to the pool with descriptors, past the worker's own loop."""
        done = RunDone(task, 1, 1, 2, 0, True, None, answers)
        frame = pack(message or Ended([done]))
        if flagged:
            frame = bytes([frame[0] | 0x80]) + frame[1:]
        fd = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--channel="))
        with socket.socket(fileno=os.dup(fd)) as channel:
            socket.send_fds(channel, [frame[:keep]], fds)
        for fd in fds:
            os.close(fd)
        if keep is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        if sleep:
            threading.Event().wait(0.05)

    @staticmethod
    def say(frames: bytes) -> None:
        """To the pool, past the worker's own loop."""
        fd = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--channel="))
        with socket.socket(fileno=os.dup(fd)) as channel:
            channel.sendall(frames)
        threading.Event().wait(0.05)

    @classmethod
    def version(cls) -> str | None:
        return "1"

    @classmethod
    def estimate(cls, program: Any, outputs: Sequence[Any], sets: int, shots: int) -> Estimate:
        # Too short: so the pool gives many of them ahead.
        return Estimate(1e-6, 0)

    def prepare(self, program: Any) -> Any:
        return None

    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        what, value = parameters[0]
        self.doings[int(what)](float(value))
        answer = Array.of(np.array([[value]]))
        return (ExpectationAnswer(answer, answer),)


class LargeEngine(StrangeEngine):
    """Answers slot 0 mebibytes of probabilities, all of them slot 1; and a state of the same size, if asked."""

    outputs: ClassVar[frozenset[str]] = frozenset({"probabilities", "statevector"})
    max_qubits: ClassVar[int] = 30
    preference: ClassVar[int] = 0

    def __init__(self, threads: int, wide_threads: int) -> None:
        pass

    def run(self, prepared: Any, outputs: Any, parameters: Any, shots: int, seeds: Any) -> Any:
        mebibytes, value = parameters[0]
        count = int(mebibytes * 2**20)
        return tuple(
            ProbabilitiesAnswer(Array.of(np.full((1, count // 8), value)))
            if isinstance(output, Probabilities)
            else StatevectorAnswer(Array.of(np.full((1, count // 16), value, dtype=np.complex128)))
            for output in outputs
        )


class PlainLauncher(LocalLauncher):
    """Starts workers whose channel carries no descriptors: TCP."""

    def launch(self, engine: str, name: str, threads: int, wide_threads: int, memory_bytes: int) -> Child:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        words = ["-m", "qfw.simenv.worker", f"--engine={engine}", f"--channel={theirs.fileno()}"]
        words += [f"--threads={threads}", f"--wide-threads={wide_threads}"]
        words += [f"--memory-bytes={memory_bytes}", f"--parent={os.getpid()}"]
        with theirs:
            process = subprocess.Popen(
                [sys.executable, *words], pass_fds=(theirs.fileno(),), start_new_session=True
            )
        ours.setblocking(False)
        return Child(process, ours, None, None)


class StillbornEngine(StrangeEngine):
    """Its constructor fails as nobody foresaw."""

    preference: ClassVar[int] = 0

    def __init__(self, threads: int, wide_threads: int) -> None:
        raise ZeroDivisionError("no device found at 0x0")
