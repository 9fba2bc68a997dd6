"""Expanded: the programs that a pipeline with splitting tools makes of one, as a value that travels.

Its depth is that of the pipeline: behind each splitting tool, every branch has passed as many of them. So the tree
is a list of levels, and the branches of a level stand in the order of the level before.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from qfw.model.decoding import decoder
from qfw.model.errors import OptionError, ToolFailed
from qfw.model.pipeline import MAX_STAGES, Pipeline, StageReport

#: Leaves of one expansion, and bytes of its programs, recipes and outputs together.
MAX_LEAVES, MAX_EXPANDED_BYTES = 100_000, 32 * 2**20
#: Notes that travel with it, and characters of each.
MAX_NOTES, MAX_NOTE_CHARACTERS = 256, 2000
#: Encoded, with the frames of its parts.
MAX_ENCODED_BYTES = MAX_EXPANDED_BYTES + 64 * MAX_LEAVES + 8 * 2**20

_LEAVES = msgspec.Meta(max_length=MAX_LEAVES)
_STAGES = msgspec.Meta(max_length=MAX_STAGES)


class Leaf(msgspec.Struct, frozen=True, array_like=True):
    """A program that is run, and what is asked of it."""

    #: Its place in `Expanded.programs`.
    program: int
    #: Encoded: `qfw.model.outputs.decode_outputs` reads them.
    outputs: bytes
    #: Executions for each parameter set; 0: exact answers.
    shots: int
    #: Name of the device that has to run it; empty: any that can.
    device: str = ""


class Fork(msgspec.Struct, frozen=True, array_like=True):
    """A program that a splitting tool made several of."""

    #: Of the tool, for `combine`.
    recipe: bytes
    #: How many it made: these are the next of the level below, or of the leaves.
    variants: int
    #: What was asked of the program, encoded.
    outputs: bytes


class Level(msgspec.Struct, frozen=True, array_like=True):
    """What one splitting stage did."""

    #: Number of the stage in the pipeline, from 0.
    stage: int
    forks: Annotated[tuple[Fork, ...], _LEAVES]


class Expanded(msgspec.Struct, frozen=True, array_like=True):
    """Programs in place of one, and how their answers become those of the one."""

    #: Encoded, each once.
    programs: Annotated[tuple[bytes, ...], _LEAVES]
    leaves: Annotated[tuple[Leaf, ...], _LEAVES]
    #: In the order of the stages; the first has one fork.
    levels: Annotated[tuple[Level, ...], _STAGES]
    #: Stages behind the last splitting one, which lower each leaf for whatever device it gets; None: no more.
    rest: Pipeline | None
    #: Whether the leaves are for `device` and `calibration` only.
    bound: bool
    #: The device that was expanded for, and the version of its calibration; empty where it has none.
    device: str
    calibration: str
    #: The program behind each stage up to the last splitting one. Behind a splitting one: the widest qubits, the
    #: largest depth, and the gates of all variants together.
    reports: Annotated[tuple[StageReport, ...], _STAGES]
    #: What tools say of it, one line each.
    notes: Annotated[tuple[str, ...], msgspec.Meta(max_length=MAX_NOTES)] = ()

    @property
    def executions(self) -> int:
        """Executions of all leaves, for each parameter set."""
        return sum(leaf.shots for leaf in self.leaves)

    @property
    def size(self) -> int:
        """Bytes of its programs, recipes and outputs."""
        forks = (fork for level in self.levels for fork in level.forks)
        return (
            sum(map(len, self.programs))
            + sum(len(leaf.outputs) for leaf in self.leaves)
            + sum(len(fork.recipe) + len(fork.outputs) for fork in forks)
        )

    @property
    def encoded(self) -> bytes:
        """As it travels: MessagePack."""
        return msgspec.msgpack.encode(self)

    def __repr__(self) -> str:
        """In one line, without the bytes of programs and recipes."""
        where = f" for {self.device}, calibration {self.calibration}" if self.bound else ""
        return f"Expanded({len(self.leaves)} leaves of {len(self.programs)} programs{where})"

    @staticmethod
    def decode(encoded: bytes) -> Expanded:
        """The expansion of such bytes. Raises ToolFailed: they are none."""
        if len(encoded) > MAX_ENCODED_BYTES:
            raise ToolFailed(f"an expansion of {len(encoded)} bytes; at most {MAX_ENCODED_BYTES} are taken")
        try:
            found: Expanded = _decode(encoded)
        except msgspec.DecodeError as error:
            raise ToolFailed(f"what the pipeline gave is no expansion: {error}") from error
        found.check()
        return found

    def check(self) -> None:
        """Raises ToolFailed unless its parts fit each other."""
        if self.size > MAX_EXPANDED_BYTES:
            raise ToolFailed(
                f"an expansion of {self.size} bytes of programs; at most {MAX_EXPANDED_BYTES} are taken"
            )
        if not self.levels:
            raise ToolFailed("an expansion without levels")
        below = [len(level.forks) for level in self.levels[1:]] + [len(self.leaves)]
        stages = [level.stage for level in self.levels]
        fits = len(self.levels[0].forks) == 1 and stages == sorted(set(stages)) and stages[0] >= 0
        for level, count in zip(self.levels, below, strict=True):
            numbers = [fork.variants for fork in level.forks]
            fits = fits and min(numbers, default=0) > 0 and sum(numbers) == count
        places = range(len(self.programs))
        if not fits or any(leaf.program not in places or leaf.shots < 0 for leaf in self.leaves):
            raise ToolFailed("an expansion whose levels, leaves and programs do not fit each other")
        if self.rest is not None:
            try:
                self.rest.check()
            except OptionError as error:
                raise ToolFailed(f"the rest of the pipeline of an expansion: {error}") from error


_decode = decoder(Expanded)
