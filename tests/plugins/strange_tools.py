"""Tools that work, wait, eat, crash and lie: a stranger's plugin, on the daemon's PYTHONPATH in tests."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from qfw.model.errors import ProgramError
from qfw.model.program import Gate, Measure, Program
from qfw.qpm.tool import Target, ToolOutput
from qfw.qpm.wire import pack
from qfw.simenv.toolprotocol import Began, Lowered


class Identity:
    """Gives what it gets. Option `log`: a file that gets a line for each run: pid and calibration."""

    keeps: ClassVar[str] = "equivalence"
    needs_client: ClassVar[bool] = False

    def __init__(self) -> None:
        pass

    @classmethod
    def version(cls) -> str | None:
        return "1"

    @classmethod
    def check_options(cls, options: Mapping[str, Any]) -> None:
        pass

    def apply(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        if "log" in options:
            # Nothing is kept back: a line that was begun is there, whenever this process is killed.
            line = f"{os.getpid()} {target.version}\n".encode()
            file = os.open(options["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(file, line)
            os.close(file)
        if "gate" in options:
            # Goes on when a file is there.
            while not Path(options["gate"]).exists():
                time.sleep(0.01)
        return self.transform(program, target, options)

    def transform(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        return ToolOutput(program)


class ToNative(Identity):
    """Turns every x into two sx, as a twin of superconducting qubits takes it."""

    def transform(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        ops: list[Any] = []
        for op in program.operations:
            ops += [Gate("sx", op.qubits)] * 2 if isinstance(op, Gate) and op.name == "x" else [op]
        return ToolOutput(Program(program.num_qubits, program.num_clbits, program.num_slots, tuple(ops)))


class Shifted(Identity):
    """Moves every qubit one place up, in a register with one more."""

    def transform(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        ops = tuple(
            Measure(op.qubit + 1, op.clbit)
            if isinstance(op, Measure)
            else Gate(op.name, tuple(q + 1 for q in op.qubits), op.angles)
            for op in program.operations
        )
        moved = Program(program.num_qubits + 1, program.num_clbits, program.num_slots, ops)
        return ToolOutput(moved, tuple(range(1, program.num_qubits + 1)))


class AtHome(Identity):
    """Runs in the application only."""

    needs_client: ClassVar[bool] = True

    def transform(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        if options.get("fails"):
            raise ProgramError("not at home")
        return ToolOutput(program)


class Elsewhere(Identity):
    """Is not installed: its framework is missing."""

    @classmethod
    def version(cls) -> str | None:
        return None


def say(frames: bytes) -> None:
    """To the pool, past the worker's own loop."""
    fd = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--channel="))
    with socket.socket(fileno=os.dup(fd)) as channel:
        channel.sendall(frames)
    threading.Event().wait(5)


class Strange(Identity):
    """Does what the option `does` says."""

    def transform(self, program: Program, target: Target, options: Mapping[str, Any]) -> ToolOutput:
        match options["does"]:
            case "refuse":
                raise ProgramError("this tool does not like the program")
            case "raise":
                raise ZeroDivisionError("nobody foresaw this")
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                threading.Event().wait(600)
            case "eat":
                return ToolOutput(program, tuple(np.ones(2**40).astype(int)))
            case "garbage":
                say(b"\x00\x00\x00\x03abc")
            case "flood":
                say(pack(Began(1, "s" * 1000, "strange")) * 1000)
            case "announce":
                say(b"\xff\xff\xff\xff")
            case "lie":
                say(pack(Lowered(12345, b"")))
            case "nonsense":
                # In the place of its own answer.
                say(pack(Lowered(int(options["number"]), b"no program")))
            case "nothing":
                return ToolOutput(Program(0, 0, 0, ()))
            case "slots":
                return ToolOutput(Program(program.num_qubits, 0, 7, program.operations))
            case "layout":
                return ToolOutput(program, (0, 0))
        return ToolOutput(program)
