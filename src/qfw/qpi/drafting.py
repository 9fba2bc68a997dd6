"""Requests as users make them, and the drafts of tasks that are made of them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qfw.model.errors import OptionError, ParameterError
from qfw.model.outputs import (
    Counts,
    Expectation,
    Memory,
    Output,
    Probabilities,
    Statevector,
    check_shots,
    encode_outputs,
)
from qfw.model.pipeline import Pipeline
from qfw.model.program import Measure, Program, check_parameters
from qfw.model.seeds import key_seed
from qfw.model.task import TaskOptions, check_options
from qfw.qpi.client import Draft
from qfw.qpi.device import Device
from qfw.qpi.future import TaskFuture
from qfw.qpi.offers import Bringing, Offer
from qfw.qpm.presets import preset

DEFAULT_OPTIONS: TaskOptions = TaskOptions()
_NO_PARAMETERS = b""
_NO_OFFERS: tuple[Offer, ...] = ()
_COUNTS: tuple[Output, ...] = (Counts(),)
_STATEVECTOR: tuple[Output, ...] = (Statevector(),)
_OUTPUTS = (Counts, Memory, Expectation, Probabilities, Statevector)
#: Programs with measurements added that are remembered.
_MEASURED = 1024


#: What is asked of a task: one output, or some of them.
Outputs: TypeAlias = Output | Sequence[Output]


class Request(NamedTuple):
    """One task for `QStream.run_many`; the fields are the arguments of `QStream.run`."""

    program: Program
    #: Or the future of an earlier operation of the same stream, whose result they are.
    parameters: npt.ArrayLike | TaskFuture | None = None
    shots: int | None = None
    outputs: Outputs | None = None
    seed: int | None = None
    options: TaskOptions = DEFAULT_OPTIONS
    began_ns: int | None = None
    calibration: str = ""
    #: Number of its first set, from which the seeds of its sets are counted: of a part of a larger whole.
    first_set: int = 0
    #: One of the stream's devices, or its name, that is to run it; None: the stream chooses.
    device: str | Device | None = None


class NeedsResult(Exception):
    """The parameters of a request are not there yet; never leaves qpi."""


class Drafting:
    """Makes drafts for one stream."""

    def __init__(self, pipeline: Pipeline | None) -> None:
        """`pipeline`: of the stream. Raises OptionError where it cannot travel."""
        if pipeline is not None:
            pipeline.check()
        self._pipeline = pipeline
        #: By the digest of what has no measurements.
        self._measured: OrderedDict[bytes, Program] = OrderedDict()

    def draft(self, request: Request, device: Device | None, now_ns: int) -> Draft:
        """The draft of a request; `device` chooses its device, None leaves it open.

        Raises:
            NeedsResult: its parameters are a future.
            ParameterError, OptionError: what is wrong.
        """
        program = request.program
        if not isinstance(program, Program):
            raise OptionError(
                f"a task runs a qfw.Program, not {_kind(program)}; see Program.from_qasm, from_qiskit"
            )
        if request.options is not DEFAULT_OPTIONS:
            check_options(request.options)
        shots = 0 if request.shots is None else check_shots(request.shots)
        if request.shots is not None and shots == 0:
            raise OptionError("shots must be at least 1; leave them out for exact results")
        outputs = outputs_of(request)
        encoded = _encoded(outputs)
        given: Any = request.parameters
        if given is None and not program.num_slots:
            sets, parameters = 1, _NO_PARAMETERS
        else:
            if isinstance(given, TaskFuture):
                raise NeedsResult
            sets, parameters = _values(() if given is None else given, program.num_slots)
        more = (b"", _first_set(request.first_set) if request.first_set else 0, 0)
        pipeline, offers = self._pipeline, _NO_OFFERS
        bring = getattr(program, "part_for", None)
        if bring is not None:
            if pipeline is not None:
                raise OptionError(
                    "the program was compiled with a pipeline, and the stream has one too; use a stream without, or "
                    "the program that was compiled"
                )
            program, pipeline, offers = bring(device)
        if pipeline is not None:
            if request.calibration:
                raise OptionError(
                    "the stream's pipeline lowers the program for the calibration that the device has when the task "
                    "starts; name no calibration, or use a stream without a pipeline"
                )
            program = self._measuring(program, outputs)
        return Draft(
            program,
            "" if device is None else device.chosen(program, outputs),
            (
                encoded,
                sets,
                parameters,
                shots,
                _seed(request.seed, request.options.idempotency_key),
                request.options,
                request.calibration,
                request.began_ns or now_ns,
            ),
            more,
            pipeline,
            offers,
        )

    def _measuring(self, program: Program, outputs: tuple[Output, ...]) -> Program:
        """The program, where bit strings are asked of it with its measurements said.

        Lowered it is as wide as the device, and "all qubits" would be all of that.
        """
        if program.has_measurements or not any(isinstance(output, Counts | Memory) for output in outputs):
            return program
        found = self._measured.get(program.digest)
        if found is None:
            qubits = range(program.num_qubits)
            found = Program(
                program.num_qubits,
                program.num_qubits,
                program.num_slots,
                (*program.operations, *(Measure(qubit, qubit) for qubit in qubits)),
            )
            self._measured[program.digest] = found
            if len(self._measured) > _MEASURED:
                self._measured.popitem(last=False)
        return found


def outputs_of(request: Request) -> tuple[Output, ...]:
    """What a request asks for: by default counts with shots, the statevector without."""
    given: Any = request.outputs
    # What is in a tuple is looked at once for equal ones, where it is encoded.
    return given if type(given) is tuple else asked(given, request.shots or 0)


def asked(outputs: Outputs | None, shots: int) -> tuple[Output, ...]:
    """What is asked for: by default counts with shots, the statevector without. Raises OptionError for what is none."""
    if outputs is None:
        return _COUNTS if shots else _STATEVECTOR
    return _as_outputs(outputs)


def _as_outputs(given: Any) -> tuple[Output, ...]:
    """One output alone, or some of them, as a tuple. Raises OptionError where something is none."""
    found = tuple(given) if isinstance(given, tuple | list) else (given,)
    for output in found:
        if not isinstance(output, _OUTPUTS):
            raise OptionError(
                "outputs are qfw.Counts(), Memory(), Expectation(…), Probabilities(…), Statevector(); "
                f"not {output!r:.200}"
            )
    return found


@lru_cache(4096)
def _encoded(outputs: tuple[Output, ...]) -> bytes:
    return encode_outputs(_as_outputs(outputs))


def as_pipeline(pipeline: Any) -> Pipeline | None:
    """The value of a pipeline that is given as such, as a preset's name, or bound to an object with one.

    None of one without stages: it does nothing. Raises OptionError.
    """
    if isinstance(pipeline, str):
        try:
            pipeline = Pipeline(preset(pipeline))
        except OptionError as error:
            raise OptionError(
                f"a pipeline is a qfw.ToolPipeline, such as ToolPipeline(['transpile']), or a preset's name: {error}"
            ) from error
    found = pipeline if isinstance(pipeline, Pipeline | None) else getattr(pipeline, "pipeline", None)
    if pipeline is not None and not isinstance(found, Pipeline):
        raise OptionError(
            "a pipeline is a qfw.ToolPipeline, such as ToolPipeline(['transpile']), a preset's name, or None; "
            f"not {pipeline!s:.200}"
        )
    return found if found is not None and found.stages else None


def lowering_of(program: Program, pipeline: Any) -> Pipeline | None:
    """What lowers a program: the pipeline given, or that which the program brings. Raises OptionError."""
    if pipeline is None and isinstance(program, Bringing):
        return program.pipeline if program.pipeline.stages else None
    return as_pipeline(pipeline)


def _values(given: Any, num_slots: int) -> tuple[int, bytes]:
    try:
        values = check_parameters(given, num_slots)
    except (TypeError, AttributeError) as error:
        raise ParameterError(f"parameters are numbers, not {_kind(given)}: {error}") from error
    return values.shape[0], values.astype("<f8", copy=False).tobytes()


def _seed(seed: int | None, key: str) -> int:
    if seed is None:
        # Sent again from another process it must be the same task.
        return key_seed(key) if key else secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise OptionError(f"seed must be an integer from 0 to 2**63 - 1, not {seed!r}")
    return int(seed)


def _first_set(number: int) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or not 0 <= number < 2**63:
        raise OptionError(f"first_set must be an integer of at least 0, not {number!r}")
    return int(number)


def _kind(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"
