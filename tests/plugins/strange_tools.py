"""Tools that work, wait, eat, crash and lie: a stranger's plugin, on the daemon's PYTHONPATH in tests."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import numpy as np

from qfw.model.errors import ProgramError
from qfw.model.observable import PauliSum, PauliTerm
from qfw.model.outputs import Answer, Array, Expectation, ExpectationAnswer, Output, ProbabilitiesAnswer
from qfw.model.program import Gate, IfElse, Measure, Program
from qfw.qpm.frames import pack
from qfw.qpm.tool import Split, Target, ToolOutput, Variant
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


class Terms(Identity):
    """Makes a program of each term of the observables, and sums their values. Options: those of Identity."""

    keeps: ClassVar[str] = "expectation"
    answers: ClassVar[frozenset[str]] = frozenset({"expectation"})

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        self.apply(program, target, options)
        variants, owners = [], []
        for at, output in enumerate(outputs):
            assert isinstance(output, Expectation)
            for column, observable in enumerate(output.observables):
                for term in observable.terms:
                    one = Expectation((PauliSum((msgspec.structs.replace(term, coefficient=1.0),)),))
                    variants.append(Variant(program, (one,), shots))
                    owners.append((at, column, term.coefficient))
        widths = [len(output.observables) for output in outputs if isinstance(output, Expectation)]
        recipe = msgspec.msgpack.encode((widths, owners))
        return Split(tuple(variants), recipe, (f"{len(variants)} terms",))

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        widths, owners = msgspec.msgpack.decode(recipe)
        (first,) = answers[0]
        sets = first.values.shape[0]
        values = [np.zeros((sets, width)) for width in widths]
        squares = [np.zeros((sets, width)) for width in widths]
        for (at, column, coefficient), (answer,) in zip(owners, answers, strict=True):
            values[at][:, column] += coefficient * answer.values.numpy()[:, 0]
            squares[at][:, column] += (coefficient * answer.standard_errors.numpy()[:, 0]) ** 2
        return tuple(
            ExpectationAnswer(Array.of(value), Array.of(np.sqrt(square)))
            for value, square in zip(values, squares, strict=True)
        )


class Frames(Identity):
    """Averages over Pauli frames: each variant ends with X on some qubits, which its observables are told of.

    Options: `frames` (4), `seed` (0), `devices`: names for variants, in turn; those of Identity.
    """

    keeps: ClassVar[str] = "expectation"
    answers: ClassVar[frozenset[str]] = frozenset({"expectation"})

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        self.apply(program, target, options)
        number, places = options.get("frames", 4), options.get("devices", [""])
        drawn = np.random.default_rng(options.get("seed", 0)).integers(2, size=(number, program.num_qubits))
        variants = []
        for at, frame in enumerate(drawn.tolist()):
            flips = tuple(Gate("x", (qubit,)) for qubit, bit in enumerate(frame) if bit)
            framed = Program(
                program.num_qubits, program.num_clbits, program.num_slots, program.operations + flips
            )
            asked = tuple(Expectation(tuple(_turned(o, frame) for o in out.observables)) for out in outputs)  # type: ignore[union-attr]
            mine = shots // number + (at < shots % number)
            variants.append(Variant(framed, asked, mine, places[at % len(places)]))
        said = f"for {target.profile.name}, peers {','.join(peer.name for peer in target.peers)}"
        return Split(tuple(variants), b"", (f"{number} frames", said))

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        found = []
        for column in zip(*answers, strict=True):
            values = np.stack([answer.values.numpy() for answer in column])
            errors = np.stack([answer.standard_errors.numpy() for answer in column])
            mean = np.sqrt((errors**2).sum(axis=0)) / len(column)
            found.append(ExpectationAnswer(Array.of(values.mean(axis=0)), Array.of(mean)))
        return tuple(found)


def _turned(observable: PauliSum, frame: list[int]) -> PauliSum:
    """An observable behind X on the qubits of a frame: Y and Z change their signs."""
    terms = []
    for term in observable.terms:
        signs = [
            -1.0 if frame[qubit] and pauli != "X" else 1.0
            for qubit, pauli in zip(term.qubits, term.paulis, strict=True)
        ]
        terms.append(PauliTerm(term.coefficient * float(np.prod(signs)), term.qubits, term.paulis))
    return PauliSum(tuple(terms))


class Bound(Frames):
    """Frames for one device as it is now."""

    binds: ClassVar[bool] = True


class FramesAtHome(Frames):
    """Runs in the application only."""

    needs_client: ClassVar[bool] = True


class StrangeSplit(Frames):
    """Does what the option `does` says: to split, or to combine the answers."""

    def split(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        shots: int,
        target: Target,
        options: Mapping[str, Any],
    ) -> Split:
        given = super().split(program, outputs, shots, target, {})
        one = given.variants[0]
        match options["does"]:
            case "refuse":
                raise ProgramError("this tool does not like the program")
            case "raise":
                raise ZeroDivisionError("nobody foresaw this")
            case "crash":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                threading.Event().wait(600)
            case "garbage":
                say(b"\x00\x00\x00\x03abc")
            case "nonsense":
                say(pack(Lowered(int(options["number"]), b"no expansion")))
            case "nothing":
                return Split((), b"")
            case "none":
                return None  # type: ignore[return-value]
            case "slots":
                return Split((msgspec.structs.replace(one, program=Program(3, 0, 7, ())),), b"")
            case "device":
                return Split((msgspec.structs.replace(one, device="nowhere"),), b"")
            case "wide":
                return Split(
                    (msgspec.structs.replace(one, outputs=(Expectation((PauliSum.of("Z99"),)),)),), b""
                )
            case "many":
                return Split((one,) * 100_001, b"")
            case "large":
                return Split((one,), bytes(40 * 2**20))
            case "control":
                loop = Program(1, 1, program.num_slots, (Measure(0, 0), IfElse((0,), 1, (Gate("x", (0,)),))))
                asked = (Expectation((PauliSum.of("Z0"),)),)
                return Split((one, Variant(loop, asked, shots)), b"")
        return Split(given.variants, options["does"].encode())

    def combine(self, recipe: bytes, answers: Sequence[tuple[Answer, ...]]) -> tuple[Answer, ...]:
        whole = super().combine(b"", answers)
        match recipe.decode():
            case "combine raises":
                raise ZeroDivisionError("nobody foresaw this")
            case "combine hangs":
                threading.Event().wait(600)
            case "combine nothing":
                return ()
            case "combine none":
                return None  # type: ignore[return-value]
            case "combine shape":
                return (ExpectationAnswer(Array.of(np.zeros((1, 7))), Array.of(np.zeros((1, 7)))),)
            case "combine sets":
                return (ExpectationAnswer(Array.of(np.zeros((9, 1))), Array.of(np.zeros((9, 1)))),)
            case "combine nan":
                return (ExpectationAnswer(Array.of(np.full((1, 1), np.nan)), Array.of(np.zeros((1, 1)))),)
            case "combine kind":
                return (ProbabilitiesAnswer(Array.of(np.zeros((1, 2)))),)
        return whole
