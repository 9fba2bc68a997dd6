"""QStream: tasks on their way to a device, and their futures."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from qfw.model.errors import OptionError, UsageError
from qfw.model.outputs import Counts, Output, Statevector, check_shots
from qfw.model.pipeline import Pipeline
from qfw.model.program import Program, check_parameters
from qfw.model.seeds import key_seed
from qfw.model.task import TaskOptions, check_options
from qfw.qpi.client import Draft
from qfw.qpi.device import Device
from qfw.qpi.future import TaskFuture

_NO_PARAMETERS = b""
_DEFAULT_OPTIONS = TaskOptions()
_COUNTS: tuple[Output, ...] = (Counts(),)
_STATEVECTOR: tuple[Output, ...] = (Statevector(),)


class Request(NamedTuple):
    """One task for `QStream.run_many`; the fields are the arguments of `QStream.run`."""

    program: Program
    parameters: npt.ArrayLike | None = None
    shots: int | None = None
    outputs: tuple[Output, ...] | None = None
    seed: int | None = None
    options: TaskOptions = _DEFAULT_OPTIONS
    began_ns: int | None = None
    calibration: str = ""


class QStream:
    """Submits tasks to one device. A context manager: at its end it takes no more; what is open goes on."""

    def __init__(self, device: Device, pipeline: Pipeline | None = None) -> None:
        """Made by `Device.stream`."""
        self._device = device
        self._pipeline = pipeline
        self._client = device.client
        self._closed = False
        #: Futures by idempotency key; the lock is held from a look at them to the submission.
        self._keys: dict[str, TaskFuture] = {}
        self._keyed = threading.Lock()

    @property
    def device(self) -> Device:
        """Where the tasks run; the automatic one chooses for each."""
        return self._device

    def run(
        self,
        program: Program,
        parameters: npt.ArrayLike | None = None,
        *,
        shots: int | None = None,
        outputs: tuple[Output, ...] | None = None,
        seed: int | None = None,
        options: TaskOptions = _DEFAULT_OPTIONS,
        began_ns: int | None = None,
        calibration: str = "",
    ) -> TaskFuture:
        """Submits one task and returns at once.

        Args:
            program: what to run.
            parameters: shape (slots,) or (sets, slots), radians; many sets are one task and one message.
            shots: executions per set, 1 or more; None for exact results.
            outputs: what to answer; by default counts with shots, the statevector without.
            seed: 0 to 2**63 - 1; None draws one, or takes that of the idempotency key. Equal seeds give equal results.
            options: job type, priority, time limit, idempotency key.
            began_ns: time.monotonic_ns() at which the application handed this work over, where that
                was earlier than now; for the timeline.
            calibration: version of the calibration that the program was lowered for (`Device.calibration`): under
                another one the task fails with StaleCalibration. Empty: it runs under any.

        Raises:
            ParameterError, OptionError: checked here, before anything is sent.
            UsageError: the stream or session is closed, or this process was forked.
            DaemonLost: the daemon is gone.
        """
        return self.run_many(
            (Request(program, parameters, shots, outputs, seed, options, began_ns, calibration),)
        )[0]

    def run_many(self, requests: Sequence[Request]) -> list[TaskFuture]:
        """Submits tasks in as few messages as possible; their futures in the same order.

        A request whose idempotency key this stream has seen is not submitted again: its future is
        the earlier one. Raises like `run`; then nothing of the list was submitted.
        """
        if self._closed:
            raise UsageError("the stream is closed; open a new one")
        now_ns = time.monotonic_ns()
        if any(_stream_key(request.options) for request in requests):
            with self._keyed:
                return self._run_keyed(requests, now_ns)
        return self._client.submit([self._draft(request, now_ns) for request in requests])

    def _run_keyed(self, requests: Sequence[Request], now_ns: int) -> list[TaskFuture]:
        # Of each key the first request, of those without a key every one.
        fresh: dict[str | int, Request] = {}
        places: list[str | int] = []
        for place, request in enumerate(requests):
            key = _stream_key(request.options) or place
            places.append(key)
            if key not in self._keys:
                fresh.setdefault(key, request)
        drafts = [self._draft(request, now_ns) for request in fresh.values()]
        found: dict[str | int, TaskFuture] = dict(zip(fresh, self._client.submit(drafts), strict=True))
        for key, future in found.items():
            if isinstance(key, str):
                self._keys[key] = future
        return [found[key] if key in found else self._keys[str(key)] for key in places]

    def _draft(self, request: Request, now_ns: int) -> Draft:
        program = request.program
        if request.options is not _DEFAULT_OPTIONS:
            check_options(request.options)
        shots = 0 if request.shots is None else check_shots(request.shots)
        if request.shots is not None and shots == 0:
            raise OptionError("shots must be at least 1; leave them out for exact results")
        outputs = request.outputs
        if outputs is None:
            outputs = _COUNTS if shots else _STATEVECTOR
        if request.parameters is None and not program.num_slots:
            sets, parameters = 1, _NO_PARAMETERS
        else:
            given: Any = () if request.parameters is None else request.parameters
            values = check_parameters(given, program.num_slots)
            sets, parameters = values.shape[0], values.astype("<f8", copy=False).tobytes()
        if self._pipeline is not None and request.calibration:
            raise OptionError(
                "the stream's pipeline lowers the program for the calibration that the device has when the task "
                "starts; name no calibration, or use a stream without a pipeline"
            )
        seed = _seed(request.seed, request.options.idempotency_key)
        encoded = self._client.encode_outputs(outputs)
        began_ns = request.began_ns or now_ns
        return Draft(
            program,
            self._device.chosen(program, outputs),
            (encoded, sets, parameters, shots, seed, request.options, request.calibration, began_ns),
            pipeline=self._pipeline,
        )

    def cancel(self, futures: Sequence[TaskFuture]) -> None:
        """Asks the daemon to end these tasks, in one message; does not wait for its word."""
        open_tasks = [future.task.number for future in futures if not future.settled]
        if open_tasks:
            self._client.cancel(open_tasks)

    def close(self) -> None:
        """No more tasks are taken; those that are open go on."""
        self._closed = True

    def __enter__(self) -> QStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _stream_key(options: TaskOptions) -> str:
    """The key that counts within a stream: of a detached task the daemon looks itself, for all sessions."""
    return "" if options.detached else options.idempotency_key


def _seed(seed: int | None, key: str) -> int:
    if seed is None:
        # Sent again from another process it must be the same task.
        return key_seed(key) if key else secrets.randbits(63)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise OptionError(f"seed must be an integer from 0 to 2**63 - 1, not {seed!r}")
    return int(seed)
