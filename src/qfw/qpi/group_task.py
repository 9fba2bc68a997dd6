"""What a group is to do: tasks whose answers are merged; of one that is split, checked before anything is sent."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.errors import ErrorReport, OptionError, QFwError, UnsupportedFeature
from qfw.model.outputs import (
    Answer,
    Output,
    Statevector,
    answer_bytes,
    check_outputs,
    check_shots,
    encode_outputs,
)
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program, check_parameters
from qfw.model.result import Result
from qfw.model.seeds import check_seed
from qfw.model.task import TaskOptions, check_options
from qfw.qpi.device import Device
from qfw.qpi.drafting import Outputs, asked, lowering_of
from qfw.qpi.filters import check_able
from qfw.qpi.merge import merge_sets, merge_shots
from qfw.qpi.split import SETS, SHOTS, Part, by_sets, by_shots
from qfw.qpm.expansion import splitting

if TYPE_CHECKING:
    from qfw.qpi.stream import BoundPipeline

#: Parts of sets for each slot of the mesh: late ones go where it is fast.
PARTS_PER_SLOT = 4
#: Most parts of a group; and bytes of parameters, or of answers, that one part should have at most.
MAX_PARTS, PART_BYTES = 100_000, 16 * 2**20


class Piece(NamedTuple):
    """What parts run: a program, and what is asked of it."""

    program: Program
    outputs: tuple[Output, ...]
    #: The same as bytes.
    encoded: bytes


class GroupTask(NamedTuple):
    """A task in parts."""

    pieces: Sequence[Piece]
    #: Shape (sets, slots), radians.
    values: npt.NDArray[np.float64]
    options: TaskOptions
    parts: list[Part]
    #: The answers of the whole, of the results of the parts in their order.
    merge: Callable[[Sequence[Result]], tuple[Answer, ...]]
    #: Lowers the program for whatever device a part gets.
    pipeline: Pipeline | None = None
    #: Version of the calibration that the programs are for; empty: any.
    calibration: str = ""
    #: Number of the first set, from which the seeds of sets are counted.
    first_set: int = 0
    #: What is known of it besides: see `GroupResult`.
    notes: tuple[str, ...] = ()
    executions: int = 0


def group_task(
    devices: Sequence[Device],
    program: Program,
    parameters: npt.ArrayLike | None,
    split: str,
    shots: int | None,
    outputs: Outputs | None,
    seed: int | None,
    options: TaskOptions,
    parts: int | None,
    pipeline: BoundPipeline | Pipeline | str | None,
) -> GroupTask:
    """A task for all of these devices, split; see `Mesh.run_group`."""
    count = 0 if shots is None else check_shots(shots)
    if shots is not None and count == 0:
        raise OptionError("shots must be at least 1; leave them out for exact results")
    if split not in (SETS, SHOTS):
        raise OptionError(f"split is {SETS!r} or {SHOTS!r}, not {split!r}")
    check_options(options)
    if options.idempotency_key or options.detached:
        raise OptionError("a group has no idempotency key, and is not detached: its answers are merged here")
    wanted = asked(outputs, count)
    given: Any = () if parameters is None else parameters
    values = check_parameters(given, program.num_slots)
    chosen = check_seed(seed)
    chosen = fresh_seed() if chosen is None else chosen
    most = _most(wanted, values.shape[0], count, split, parts)
    made = (
        by_shots(values.shape[0], count, chosen, parts)
        if split == SHOTS
        else by_sets(
            values.shape[0],
            count,
            chosen,
            parts or min(most, _parts_of_sets(devices, program, wanted, values.shape[0], count)),
        )
    )
    largest = max(part.sets for part in made), max(part.shots for part in made)
    lowering = lowering_of(program, pipeline)
    if lowering is not None and splitting(lowering):
        raise OptionError(
            "a group is split by sets or shots, and the pipeline makes several programs of one besides: run it on a "
            "stream with this pipeline, mesh.stream(pipeline=…).run(…), which spreads them over the mesh"
        )
    _check_common(devices, program, wanted, *largest, lowered=lowering is not None)
    # As the daemons will check them: each part is refused alike.
    check_outputs(wanted, program, *largest)
    pieces = (Piece(program, wanted, encode_outputs(wanted)),)

    def merge(results: Sequence[Result]) -> tuple[Answer, ...]:
        answers = [result.answers for result in results]
        if split == SETS:
            return merge_sets(answers)
        return merge_shots(answers, [part.shots for part in made])

    return GroupTask(pieces, values, options, made, merge, lowering, executions=count)


def fresh_seed() -> int:
    """A seed for one who gave none."""
    return secrets.randbits(63)


def _most(outputs: tuple[Output, ...], sets: int, shots: int, split: str, parts: int | None) -> int:
    """The most parts that there can be. Raises OptionError where it cannot be split so."""
    if split == SHOTS:
        if not shots:
            raise OptionError("exact answers cannot be split by shots; give shots, or split='sets'")
        if any(isinstance(output, Statevector) for output in outputs):
            raise OptionError("a statevector cannot be split by shots; split='sets' without shots")
    most = min(sets if split == SETS else shots, MAX_PARTS)
    wrong = isinstance(parts, bool) or not isinstance(parts, int | None)
    if wrong or (parts is not None and not 1 <= parts <= most):
        raise OptionError(f"parts is a number from 1 to {most}, as there are so many {split}, not {parts!r}")
    return most


def _parts_of_sets(
    devices: Sequence[Device], program: Program, outputs: tuple[Output, ...], sets: int, shots: int
) -> int:
    slots = sum(max(1, device.profile.slots) for device in devices)
    size = sum(answer_bytes(output, program, sets, shots) for output in outputs)
    size = max(size, 8 * sets * program.num_slots)
    most_sets = min(device.profile.max_sets for device in devices)
    return max(size // PART_BYTES + 1, -(-sets // most_sets), slots * PARTS_PER_SLOT)


def _check_common(
    devices: Sequence[Device],
    program: Program,
    outputs: tuple[Output, ...],
    sets: int,
    shots: int,
    lowered: bool,
) -> None:
    """Raises unless every device can run a part."""
    used = {gate.name for gate in program.gates()} - {"gphase"}
    lacking = []
    errors: list[tuple[str, QFwError]] = []
    for device in devices:
        profile = device.profile
        missing = sorted(used - set(profile.native_gates)) if profile.lowered_only and not lowered else []
        if missing:
            lacking.append(f"{device.name} lacks {', '.join(missing)}")
            continue
        try:
            check_able(profile, program, outputs, sets, shots, lowered)
        except QFwError as error:
            errors.append((device.name, error))
    if lacking:
        raise UnsupportedFeature(
            f"the devices of this mesh do not have the program's gates in common: {'; '.join(lacking)}. Give "
            "pipeline=qfw.ToolPipeline(['transpile']), which lowers it for each, or take those devices out of the mesh"
        )
    for name, reason in errors:
        said = f"a split task runs on every device of its mesh; {name} cannot: {reason}"
        raise ErrorReport(type(reason).__name__, said).to_exception() from reason
