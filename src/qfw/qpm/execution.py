"""One run through a driver: decoded before, checked after, every exception translated once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import numpy as np

from qfw.model.errors import (
    ErrorReport,
    InternalError,
    OutOfMemory,
    PlatformFailed,
    QFwError,
    StaleCalibration,
    TaskCancelled,
    WrongAnswer,
)
from qfw.model.outputs import Output, decode_outputs, encode_answers
from qfw.model.program import Program, check_parameters
from qfw.model.seeds import set_seeds
from qfw.qpm.driver import Answered, Driver, Execution
from qfw.qpm.platform import Run, RunDone, RunFailed

#: Programs that are kept decoded, and the encoded bytes of all of them together.
PROGRAMS, PROGRAM_BYTES = 1024, 32 * 2**20


class Programs:
    """Programs by digest, decoded once; bounded. Any thread."""

    def __init__(self) -> None:
        """Empty."""
        self._kept: OrderedDict[bytes, Program] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()

    def get(self, digest: bytes) -> Program | None:
        """The program, if it is kept."""
        with self._lock:
            found = self._kept.get(digest)
            if found is not None:
                self._kept.move_to_end(digest)
            return found

    def decode(self, digest: bytes, encoded: bytes) -> Program:
        """The program, kept from now on. Raises ProgramError."""
        program = self.get(digest)
        if program is not None:
            return program
        program = Program.decode(encoded)
        with self._lock:
            if self._kept.setdefault(digest, program) is program:
                self._size += len(encoded)
            while len(self._kept) > PROGRAMS or (self._size > PROGRAM_BYTES and len(self._kept) > 1):
                self._size -= len(self._kept.popitem(last=False)[1].encoded)
        return program


@dataclass(frozen=True)
class Begun:
    """A run on its way through a driver."""

    device: str
    run: Run
    #: The program, or its bytes where it is not decoded yet.
    source: Program | bytes
    cancelled: threading.Event = field(default_factory=threading.Event)


def perform(
    begun: Begun,
    driver: Driver,
    programs: Programs,
    version: Callable[[], str],
    check: Callable[[Program, tuple[Output, ...]], object],
) -> RunDone | RunFailed:
    """What became of a run. Blocks for as long as the driver does, and raises nothing.

    Args:
        begun: what to run.
        driver: to run it.
        programs: where decoded programs are kept.
        version: gives the version of the device's calibration now; empty where it has none.
        check: raises where the device cannot run this.
    """
    run = begun.run
    try:
        return _answer(begun, driver, programs, version, check)
    except BaseException as raised:
        report = report_of(raised, begun.device)
        if begun.cancelled.is_set():
            report = ErrorReport.of(
                TaskCancelled(f"task {run.task} was cancelled while device {begun.device} ran it")
            )
        return RunFailed(run.task, run.epoch, report)


def _answer(
    begun: Begun,
    driver: Driver,
    programs: Programs,
    version: Callable[[], str],
    check: Callable[[Program, tuple[Output, ...]], object],
) -> RunDone:
    run = begun.run
    began_ns = time.monotonic_ns()
    cached = isinstance(begun.source, Program)
    program = (
        begun.source if isinstance(begun.source, Program) else programs.decode(run.program, begun.source)
    )
    outputs = decode_outputs(run.outputs)
    check(program, outputs)
    flat = np.frombuffer(run.parameters, dtype="<f8")
    if flat.size != run.sets * program.num_slots:
        raise InternalError(
            f"task {run.task} came with {flat.size} parameters for {run.sets} sets of {program.num_slots} slots"
        )
    execution = Execution(
        device=begun.device,
        program=program,
        outputs=outputs,
        parameters=check_parameters(flat.reshape(run.sets, program.num_slots), program.num_slots),
        shots=run.shots,
        seeds=set_seeds(run.seed, run.first_set, run.first_set + run.sets),
        calibration=run.calibration,
        time_limit_s=run.time_limit_s,
        cancelled=begun.cancelled,
    )
    compile_ns = time.monotonic_ns() - began_ns
    current = version()
    if run.calibration and run.calibration != current:
        raise stale(run, begun.device, current)
    answered = driver.run(execution)
    _check_answered(answered, outputs, begun.device)
    conditions = answered.conditions
    if not conditions.calibration:
        conditions = msgspec.structs.replace(conditions, calibration=current)
    elif run.calibration and conditions.calibration != run.calibration:
        raise WrongAnswer(
            f"the driver of {begun.device} ran task {run.task} under calibration {conditions.calibration}; it "
            f"was lowered for {run.calibration}"
        )
    encoded = encode_answers(answered.answers)
    ended_ns = time.monotonic_ns()
    return RunDone(run.task, run.epoch, began_ns, ended_ns, compile_ns, cached, conditions, encoded)


def stale(run: Run, device: str, current: str) -> StaleCalibration:
    """The error of a run that was lowered for another calibration than the `current` one."""
    now = f"calibration {current}" if current else "no calibration"
    return StaleCalibration(
        f"task {run.task} was lowered for calibration {run.calibration} of {device}, which has {now} now. "
        "Lower the program again and send it again"
    )


def report_of(error: BaseException, device: str) -> ErrorReport:
    """The report of what a driver raised: errors of QFw as they are, others as PlatformFailed with their type."""
    if isinstance(error, QFwError):
        # A vendor may derive errors of its own; what travels is the nearest one that both ends know.
        for kind in type(error).__mro__:
            report = ErrorReport(kind.__name__, str(error), error.retry_after_s)
            if type(report.to_exception()) is kind:
                return report
    if isinstance(error, MemoryError):
        return ErrorReport.of(
            OutOfMemory(
                f"the host of {device} met its memory limit while running this task. Use fewer qubits or sets "
                "per task, or raise memory_bytes of its platform in the daemon's settings"
            )
        )
    return ErrorReport.of(PlatformFailed(f"the driver of {device} failed: {type(error).__name__}: {error}"))


def _check_answered(answered: object, outputs: tuple[Output, ...], device: str) -> None:
    if not isinstance(answered, Answered):
        raise WrongAnswer(f"the driver of {device} answered {type(answered).__name__}; Answered is wanted")
    wanted = [output.__struct_config__.tag for output in outputs]
    found = [
        getattr(getattr(answer, "__struct_config__", None), "tag", type(answer).__name__)
        for answer in answered.answers
    ]
    if found != wanted:
        raise WrongAnswer(
            f"the driver of {device} answered {', '.join(map(str, found)) or 'nothing'}; "
            f"{', '.join(map(str, wanted)) or 'nothing'} was asked for, in this order"
        )
