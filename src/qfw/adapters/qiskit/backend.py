"""Backend: Qiskit's backend on top of the QPI."""

from __future__ import annotations

import copy
import random
import time
import uuid
import weakref
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.providers import BackendV2, Options
from qiskit.transpiler import Target

from qfw import __version__
from qfw.adapters.qiskit.batch import Batch
from qfw.adapters.qiskit.binding import for_each
from qfw.adapters.qiskit.job import Job
from qfw.adapters.qiskit.options import DEFAULTS, RunOptions, run_options
from qfw.adapters.qiskit.submission import submit
from qfw.adapters.session import check_given, is_shared, shared_session
from qfw.formats.qiskit_target import calibrated_target, ideal_target
from qfw.model.device import DeviceKind
from qfw.model.errors import ProgramError, RequestError, UsageError
from qfw.model.seeds import check_seed, set_seed
from qfw.qpi import QStream, Session
from qfw.qpi.device import AUTOMATIC

#: Jobs that `Backend.retrieve_job` finds though nobody else holds them.
KEPT_JOBS = 32
#: Of the answers of such a job: states and shots of many qubits live only as long as somebody holds them.
KEPT_BYTES = 16 * 2**20


class Backend(BackendV2):  # type: ignore[misc]
    """A Qiskit backend that runs on QFw: `Backend().run(circuit, shots=1000).result().get_counts()`.

    The session with the stack opens at the first need and is shared by the backends and devices of a
    process, until its end. Circuits of one call that differ in numbers only are one task with many sets.
    """

    def __init__(
        self,
        device: str | None = None,
        *,
        session: Session | None = None,
        seed: int | None = None,
        **options: Any,
    ) -> None:
        """Prepares the backend; opens nothing yet.

        Args:
            device: the stack's device, as `qfw sinfo` lists them; None for the best one for each task.
            session: the session to use; None for the one that all of the process share.
            seed: makes the results of this backend's calls repeat; None for fresh ones.
            options: other defaults of `run`'s options.

        Raises:
            OptionError: the seed is none, the device no name, the session no Session.
            AttributeError: an unknown option, as Qiskit has it.
        """
        check_given(device, session)
        super().__init__(
            name=device or AUTOMATIC,
            description="QFw: quantum processors and simulators through one stack",
            backend_version=__version__,
            **options,
        )
        self._device = device
        self._given = session
        self._rng = None if check_seed(seed) is None else random.Random(seed)
        self._session: Any = None
        self._stream: Any = None
        #: Made of a calibration, and its version.
        self._target: Target | None = None
        self._calibration = ""
        self._jobs: weakref.WeakValueDictionary[str, Job] = weakref.WeakValueDictionary()
        self._kept: deque[Job] = deque(maxlen=KEPT_JOBS)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self.name!r})>"

    @classmethod
    def _default_options(cls) -> Options:
        return Options(**DEFAULTS)

    @property
    def max_circuits(self) -> None:
        """None: a call may have any number of circuits."""
        return None

    @property
    def target(self) -> Target:
        """What the device runs as it is; of a calibrated one with errors and durations. Opens the session.

        A calibrated device is asked once, and what `run` and the primitives submit from then on runs under that
        calibration only: after another one they fail with StaleCalibration. Then `refresh`, and lower again.
        """
        device = self.qfw_stream().device
        profile = device.profile
        if profile.kind is DeviceKind.SIMULATOR and not profile.lowered_only:
            return ideal_target(profile)
        if self._target is None:
            calibration = device.calibration()
            if calibration is None:
                return ideal_target(profile)
            self._target = calibrated_target(profile, calibration)
            self._calibration = calibration.version
        return self._target

    @property
    def qfw_calibration(self) -> str:
        """Version of the calibration that `target` was made of; empty where none was asked for, or there is none."""
        return self._calibration

    def refresh(self) -> Target:
        """The target by the device's calibration of now, for which circuits are to be lowered from here on."""
        self._target, self._calibration = None, ""
        return self.target

    def qfw_stream(self) -> QStream:
        """The stream of tasks to the device; opened at the first need, anew where the shared session is gone.

        Raises:
            UsageError: the backend's own session is closed, or belongs to the process that this one was
                forked from.
            DaemonLost: the daemon of the backend's own session is gone.
            UnknownDevice: no device of that name; names the nearest.
        """
        if self._given is not None:
            self._given.client.check()
            if self._stream is None:
                self._stream = self._given.device(self._device).stream()
        elif self._stream is None or not is_shared(self._session):
            self._session = shared_session()
            self._stream = self._session.device(self._device).stream()
        stream: QStream = self._stream
        return stream

    def engines(self, stream: QStream) -> Mapping[str, str]:
        """The engine of each device that `stream` may have used."""
        return {device.name: device.profile.engine for device in stream.device.session.devices}

    def run(self, run_input: QuantumCircuit | Iterable[QuantumCircuit], **options: Any) -> Job:
        """Submits circuits and returns at once.

        Args:
            run_input: a circuit, or several.
            options: shots (1024; None for exact states), seed or seed_simulator, memory, parameter_binds,
                bindings, meas_level (2), meas_return. What is left out is the backend's (`set_options`).

        Raises:
            OptionError: an unknown option, which names the nearest; a value out of its range.
            ProgramError: what is given is no circuit; or it is one circuit alone that cannot run. Of several
                circuits those that cannot run fail alone, in the result.
            RequestError: no circuit is given.
            UsageError: the backend's own session is closed, or belongs to another process.
        """
        began_ns = time.monotonic_ns()
        asked = run_options(options, self.options)
        circuits, alone = _circuits(run_input)
        batch = _batch(circuits, alone, asked)
        stream = None
        if batch.tasks:
            stream = self.qfw_stream()
            submit(
                batch.tasks,
                stream,
                lambda number: self._seed(asked.seed, number),
                began_ns,
                self._calibration,
            )
        if len(circuits) == 1:
            part = batch.parts[0]
            for error in (part.error, *(piece.task.error for piece in part.where)):
                if error is not None:
                    raise error
        job = Job(self, str(uuid.uuid4()), batch, asked, stream)
        self._jobs[job.job_id()] = job
        if batch.answer_bytes <= KEPT_BYTES:
            self._kept.append(job)
        return job

    def retrieve_job(self, job_id: str) -> Job:
        """A job of this backend and process by its id: any that somebody still holds, and the last 32.

        Of those that nobody holds one with large answers (KEPT_BYTES) is not among these.

        Raises:
            UsageError: there is none of that id, or it is no longer kept.
        """
        found = self._jobs.get(job_id)
        if found is None:
            raise UsageError(
                f"this backend has no job {job_id!r}; of those that nobody holds it keeps the last {KEPT_JOBS}, "
                "those with large answers not, and none of another process. Keep the Job that run() returned"
            )
        return found

    def __deepcopy__(self, memo: dict[int, Any]) -> Backend:
        """A backend with options of its own; the session and the sequence of seeds stay common."""
        copied = copy.copy(self)
        copied._options = copy.deepcopy(self._options, memo)
        copied._stream = copied._session = None
        copied._jobs = weakref.WeakValueDictionary()
        copied._kept = deque(maxlen=KEPT_JOBS)
        return copied

    def close(self) -> None:
        """Closes the backend's stream; the next call opens another."""
        if self._stream is not None:
            self._stream.close()
        self._stream = None

    def _seed(self, seed: int | None, number: int) -> int | None:
        """Seed of a call's task `number`."""
        if seed is not None:
            return set_seed(seed, number) >> 1
        return None if self._rng is None else self._rng.getrandbits(63)


def _circuits(run_input: Any) -> tuple[list[QuantumCircuit], bool]:
    """The circuits of a call, and whether one was given alone."""
    if isinstance(run_input, QuantumCircuit):
        return [run_input], True
    if isinstance(run_input, (str, bytes, Mapping)) or not isinstance(run_input, Iterable):
        raise ProgramError(f"run() takes a QuantumCircuit or a list of them, not {run_input!r:.80}")
    circuits = list(run_input)
    if not circuits:
        raise RequestError("run() was given no circuits; give at least one")
    for position, circuit in enumerate(circuits):
        if not isinstance(circuit, QuantumCircuit):
            raise ProgramError(f"entry {position} of the list is no QuantumCircuit: {circuit!r:.80}")
    return circuits, False


def _batch(circuits: Sequence[QuantumCircuit], alone: bool, asked: RunOptions) -> Batch:
    if asked.bindings is not None:
        values = for_each(circuits, asked.bindings, "bindings", alone)
    else:
        values = for_each(circuits, asked.parameter_binds, "parameter_binds", alone)
    batch = Batch()
    for circuit, given in zip(circuits, values, strict=True):
        batch.add(circuit, given, asked.shots, asked.memory)
    return batch
