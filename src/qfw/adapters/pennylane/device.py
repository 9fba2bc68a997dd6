"""QFwDevice: PennyLane's device API on top of the QPI."""

from __future__ import annotations

import random
import time
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from autograd.tracer import getval  # type: ignore[import-untyped]
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.exceptions import DeviceError, WireError
from pennylane.gradients import param_shift
from pennylane.math import Interface
from pennylane.tape import QuantumScript
from pennylane.wires import Wires

from qfw.adapters.pennylane.gradients import parameter_shift
from qfw.adapters.pennylane.measurements import Reading, Values, covers_all_wires, reading, signature
from qfw.adapters.pennylane.preprocess import pipeline
from qfw.adapters.pennylane.versions import CompilePipeline
from qfw.adapters.session import check_given, forget, is_shared, shared_session
from qfw.formats.pennylane_gates import lower, standard_order, structure
from qfw.model.errors import ConnectionFailed, QFwError
from qfw.model.program import Program
from qfw.model.result import Result
from qfw.model.seeds import check_seed
from qfw.qpi import Request, Session

#: Structures that a device remembers.
MAX_STRUCTURES = 4096


class Structure:
    """A tape without its numbers: a Program, and how its measurements are read."""

    def __init__(self, program: Program, how: Reading) -> None:
        self.program = program
        self.reading = how


class _Task:
    """Consecutive runs of one structure with the same shots: the sets of one request."""

    def __init__(self, of: Structure, shots: int | None) -> None:
        self.structure = of
        self.shots = shots
        self.rows: list[npt.NDArray[np.float64]] = []
        self.sets = 0
        self.values: Values = ()

    def add(self, rows: npt.NDArray[np.float64], copies: int) -> slice:
        """Adds the sets `rows`, `copies` times; returns where their values will be."""
        self.rows.extend([rows] * copies)
        first, self.sets = self.sets, self.sets + len(rows) * copies
        return slice(first, self.sets)

    def request(self, rng: random.Random | None, began_ns: int) -> Request:
        how = self.structure.reading
        return Request(
            program=self.structure.program,
            parameters=self.rows[0] if len(self.rows) == 1 else np.concatenate(self.rows),
            shots=self.shots if how.sampled else None,
            outputs=how.outputs,
            seed=rng.getrandbits(63) if rng is not None and how.sampled else None,
            began_ns=began_ns,
        )


class _Part(NamedTuple):
    """Where the result of one tape comes from."""

    #: For each entry of the shot vector (one without): the task, and which of its sets.
    where: list[tuple[_Task, slice]]
    #: Sets of broadcast parameters; None where nothing is broadcast.
    batch: int | None
    #: Whether the tape has a shot vector.
    partitioned: bool

    def result(self) -> Any:
        """The result in PennyLane's nesting: shot vector, measurements, broadcasting."""
        values: list[Any] = []
        for task, where in self.where:
            rows = task.values[where]
            if self.batch is None:
                values.extend(rows)
            else:
                values.extend(_stack(rows[low : low + self.batch]) for low in range(0, len(rows), self.batch))
        return tuple(values) if self.partitioned else values[0]


@simulator_tracking
@single_tape_support
class QFwDevice(Device):  # type: ignore[misc]
    """A PennyLane device that runs on QFw: `qml.device("qfw", wires=3)`.

    The session with the stack opens at the first execution and is shared by the devices of a process,
    until its end. Batches of tapes travel in one message, and consecutive tapes that differ in
    numbers only are one task with many sets.
    """

    def __init__(
        self,
        wires: int | Iterable[Hashable] | None = None,
        shots: int | Sequence[int] | None = None,
        *,
        engine: str | None = None,
        seed: int | None = None,
        session: Session | None = None,
    ) -> None:
        """Prepares the device; opens nothing yet.

        Args:
            wires: number or labels of the wires; None for those that a tape uses.
            shots: default shots; None for exact results.
            engine: name of the stack's device, `qulacs` for example; None for the preferred one.
            seed: makes sampled results repeat; None for fresh ones.
            session: the session to use; None for the one that all devices of the process share.

        Raises:
            OptionError: the seed is none, the engine no name, the session no Session.
        """
        check_given(engine, session)
        seed = check_seed(seed)
        super().__init__(wires=wires, shots=shots)
        self._engine = engine
        self._rng = None if seed is None else random.Random(seed)
        #: For what PennyLane draws itself.
        self._generator = None if seed is None else np.random.default_rng(seed)
        self._given = session
        self._session: Any = None
        self._stream: Any = None
        self._close: Any = None
        self._pipeline = pipeline(self.wires, self.name)
        self._programs: OrderedDict[Hashable, Program] = OrderedDict()
        self._structures: OrderedDict[Hashable, Structure] = OrderedDict()

    @property
    def name(self) -> str:
        """The name that `qml.device` knows it by."""
        return "qfw"

    def close(self) -> None:
        """Closes the device's stream; the next execution opens another."""
        if self._close is not None:
            self._close()
        self._stream = self._close = None

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> bool:
        """False: gradients are PennyLane's, by parameter shift unless told otherwise."""
        return False

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: QuantumScript | None = None
    ) -> ExecutionConfig:
        """The configuration with PennyLane's slower ways replaced; what is computed stays the same.

        Raises:
            DeviceError: an option or a method for mid-circuit measurements that the device has not.
        """
        if config is None:
            return ExecutionConfig()
        if config.device_options:
            raise DeviceError(f"device options {dict(config.device_options)} are not known to {self.name}")
        if config.mcm_config.mcm_method not in (None, "deferred"):
            method = str(config.mcm_config.mcm_method)
            raise DeviceError(f"{self.name} does not support mcm_method={method!r}; use 'deferred'")
        changes: dict[str, Any] = {}
        if config.gradient_method is param_shift:
            changes["gradient_method"] = parameter_shift
        if config.interface is Interface.AUTOGRAD:
            # The numbers are taken out of autograd's boxes as they are read; no tape need be copied for it.
            changes["convert_to_numpy"] = False
        return replace(config, **changes) if changes else config

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """One transform, which changes only tapes that cannot run as they are."""
        return self._pipeline

    def execute(
        self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None
    ) -> Any:
        """Results of a batch of tapes, run together.

        Raises:
            WireError: a tape uses a wire that the device does not have.
            QFwError: what the stack reports.
        """
        began_ns = time.monotonic_ns()
        tasks: list[_Task] = []
        parts: list[_Part] = []
        for tape in circuits:
            of = self._structure(tape)
            rows, batch = _parameters(tape)
            part = _Part([], batch, tape.shots.has_partitioned_shots)
            for shots, copies in _shots(tape):
                if not tasks or tasks[-1].structure is not of or tasks[-1].shots != shots:
                    tasks.append(_Task(of, shots))
                part.where.append((tasks[-1], tasks[-1].add(rows, copies)))
            parts.append(part)
        self._run(tasks, began_ns)
        return tuple(part.result() for part in parts)

    def _run(self, tasks: Sequence[_Task], began_ns: int) -> None:
        if self._stream is None or (self._given is None and not is_shared(self._session)):
            self._open()
        try:
            futures = self._stream.run_many([task.request(self._rng, began_ns) for task in tasks])
            try:
                for task, future in zip(tasks, futures, strict=True):
                    result: Result = future.result()
                    task.values = task.structure.reading.read(result, task.shots, self._generator)
            except BaseException:
                # Where the session is lost, nothing is left to cancel.
                with suppress(QFwError):
                    self._stream.cancel(futures)
                raise
        except ConnectionFailed:
            # The daemon is gone; what comes next may find another.
            self._stream = None
            if self._given is None:
                forget(self._session)
            raise

    def _open(self) -> None:
        self.close()
        self._session = self._given or shared_session()
        self._stream = self._session.device(self._engine).stream()
        self._close = weakref.finalize(self, self._stream.close)
        # At the end of the process the session closes its streams.
        self._close.atexit = False

    def _structure(self, tape: QuantumScript) -> Structure:
        operations, measurements, sampled = tape.operations, tape.measurements, bool(tape.shots)
        shape = structure(operations)
        asked = signature(measurements, sampled)
        if asked is not None:
            known = self._structures.get((shape, asked))
            if known is not None:
                return known
        order = wire_order(tape, self.wires)
        program = self._programs.get((shape, order))
        if program is None:
            qubits = {wire: len(order) - 1 - index for index, wire in enumerate(order)}
            # A barrier may be of wires that nothing else uses.
            program = lower([op for op in operations if qubits.keys() >= op.wires.toset()], qubits)
            _remember(self._programs, (shape, order), program)
        found = Structure(program, reading(measurements, sampled, order))
        if asked is not None:
            _remember(self._structures, (shape, asked), found)
        return found


def wire_order(tape: QuantumScript, wires: Wires | None) -> tuple[Hashable, ...]:
    """The wires that a tape needs, most significant first: in the device's order, or in PennyLane's own.

    Raises:
        WireError: the tape uses a wire that the device does not have.
    """
    if not wires:
        return standard_order(tape)
    used = tape.wires
    if missing := [wire for wire in used if wire not in wires]:
        raise WireError(f"the circuit uses the wires {missing}; the device has {wires.tolist()}")
    if any(map(covers_all_wires, tape.measurements)):
        return tuple(wires)
    return tuple(wire for wire in wires if wire in used)


def _parameters(tape: QuantumScript) -> tuple[npt.NDArray[np.float64], int | None]:
    """Numbers of all operations, shape (sets, slots); and the number of sets if parameters are broadcast."""
    values = [getval(value) for operation in tape.operations for value in operation.data]
    try:
        rows = np.array(values)
    except ValueError:
        rows = np.array(np.broadcast_arrays(*values))
    if rows.dtype != np.float64:
        # Some of PennyLane's decompositions give angles as complex numbers.
        rows = rows.real.astype(np.float64)
    return (rows.T, rows.shape[1]) if rows.ndim == 2 else (rows.reshape(1, -1), None)


def _shots(tape: QuantumScript) -> list[tuple[int | None, int]]:
    """Pairs (shots, how many times)."""
    if not tape.shots:
        return [(None, 1)]
    return [(entry.shots, entry.copies) for entry in tape.shots.shot_vector]


def _stack(rows: Values) -> Any:
    if isinstance(rows[0], tuple):
        return tuple(np.stack(column) for column in zip(*rows, strict=True))
    return np.stack(list(rows))


def _remember(cache: OrderedDict[Hashable, Any], key: Hashable, value: Any) -> None:
    cache[key] = value
    if len(cache) > MAX_STRUCTURES:
        cache.popitem(last=False)
