"""Engines that sleep, eat, crash and lie: a stranger's plugin, on the daemon's PYTHONPATH in tests."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from qfw.model.device import Estimate
from qfw.model.outputs import Array, ExpectationAnswer
from qfw.qpm.platform import RunDone
from qfw.qpm.wire import pack
from qfw.simenv.protocol import Ended, NeedProgram, Ready


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
            lambda task: self.say(pack(Ended([RunDone(int(task), 1, 1, 2, 0, True, b"a lie")]))),
            lambda _: self.say(b"\xff\xff\xff\xff"),
            lambda task: self.say(pack(NeedProgram(int(task), 1, b"nonsense"))),
            # Dies of its memory where nothing catches it: in another thread, by the C library's hand.
            lambda _: os.abort(),
        ]

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


class StillbornEngine(StrangeEngine):
    """Its constructor fails as nobody foresaw."""

    preference: ClassVar[int] = 0

    def __init__(self, threads: int, wide_threads: int) -> None:
        raise ZeroDivisionError("no device found at 0x0")
