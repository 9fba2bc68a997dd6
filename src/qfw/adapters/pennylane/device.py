"""QFwDevice: PennyLane's device API on top of the QPI."""

from __future__ import annotations

import random
import time
import weakref
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.devices import Device, ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.exceptions import DeviceError, WireError
from pennylane.measurements import CountsMP
from pennylane.tape import QuantumScript
from pennylane.transforms.core import CompilePipeline
from pennylane.wires import Wires

from qfw.adapters.pennylane.lowering import lower, structure
from qfw.adapters.pennylane.measurements import Reading, covers_all_wires, reading, signature
from qfw.adapters.pennylane.preprocess import pipeline
from qfw.model.program import Program
from qfw.model.result import Result
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
        self.values: Sequence[Any] = ()

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


@simulator_tracking
@single_tape_support
class QFwDevice(Device):  # type: ignore[misc]
    """A PennyLane device that runs on QFw: `qml.device("qfw", wires=3)`.

    The session with the stack opens at the first execution; it closes with `close()`, when the
    device is garbage collected, or at the end of the process. Batches of tapes travel in one
    message, and consecutive tapes that differ in numbers only are one task with many sets.
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
            session: a session to share, which stays open; None for one of the device's own.
        """
        super().__init__(wires=wires, shots=shots)
        self._engine = engine
        self._rng = None if seed is None else random.Random(seed)
        self._session = session
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
        """Closes the stream, and the session where it is the device's own; the next execution opens anew."""
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
        """The configuration as it is: nothing is for the device to choose.

        Raises:
            DeviceError: an option or a method for mid-circuit measurements that the device has not.
        """
        if config is None:
            return ExecutionConfig()
        if config.device_options:
            raise DeviceError(f"device options {dict(config.device_options)} are not known to {self.name}")
        if config.mcm_config.mcm_method not in (None, "deferred"):
            raise DeviceError(
                f"mcm_method {str(config.mcm_config.mcm_method)!r} is not supported by {self.name}; use 'deferred'"
            )
        return config

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """One transform, which changes only tapes that cannot run as they are."""
        return self._pipeline

    def execute(self, circuits: Sequence[QuantumScript], execution_config: ExecutionConfig | None = None) -> Any:
        """Results of a batch of tapes, run together.

        Raises:
            WireError: a tape uses a wire that the device does not have.
            QFwError: what the stack reports.
        """
        began_ns = time.monotonic_ns()
        tasks: list[_Task] = []
        parts: list[list[tuple[_Task, slice]]] = []
        for tape in circuits:
            of = self._structure(tape)
            rows = _parameters(tape)
            part: list[tuple[_Task, slice]] = []
            for shots, copies in _shots(tape):
                if not tasks or tasks[-1].structure is not of or tasks[-1].shots != shots:
                    tasks.append(_Task(of, shots))
                part.append((tasks[-1], tasks[-1].add(rows, copies)))
            parts.append(part)
        self._run(tasks, began_ns)
        return tuple(_collect(tape, part) for tape, part in zip(circuits, parts, strict=True))

    def _run(self, tasks: Sequence[_Task], began_ns: int) -> None:
        if self._stream is None:
            self._open()
        futures = self._stream.run_many([task.request(self._rng, began_ns) for task in tasks])
        try:
            for task, future in zip(tasks, futures, strict=True):
                result: Result = future.result()
                task.values = task.structure.reading.read(result, task.shots)
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def _open(self) -> None:
        session = Session() if self._session is None else self._session
        try:
            self._stream = session.device(*(() if self._engine is None else (self._engine,))).stream()
        except BaseException:
            if self._session is None:
                session.close()
            raise
        self._close = weakref.finalize(self, _close, self._stream, None if self._session is not None else session)

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
            program = lower(operations, {wire: len(order) - 1 - index for index, wire in enumerate(order)})
            _remember(self._programs, (shape, order), program)
        found = Structure(program, reading(measurements, sampled, order))
        if asked is not None:
            _remember(self._structures, (shape, asked), found)
        return found


def wire_order(tape: QuantumScript, wires: Wires | None) -> tuple[Hashable, ...]:
    """The wires that a tape needs, most significant first: in the device's order, or else in PennyLane's standard one.

    Raises:
        WireError: the tape uses a wire that the device does not have.
    """
    used = tape.wires
    if not wires:
        labels = set(used)
        return tuple(range(len(labels))) if labels == set(range(len(labels))) else tuple(used)
    if missing := [wire for wire in used if wire not in wires]:
        raise WireError(f"the circuit uses the wires {missing}; the device has {wires.tolist()}")
    if any(map(covers_all_wires, tape.measurements)):
        return tuple(wires)
    return tuple(wire for wire in wires if wire in used)


def _parameters(tape: QuantumScript) -> npt.NDArray[np.float64]:
    """Numbers of all operations, shape (sets, slots): one set unless parameters are broadcast."""
    values = [value for operation in tape.operations for value in operation.data]
    try:
        rows = np.array(values, dtype=np.float64)
    except ValueError:
        rows = np.array(np.broadcast_arrays(*values), dtype=np.float64)
    return rows.T if rows.ndim == 2 else rows.reshape(1, -1)


def _shots(tape: QuantumScript) -> list[tuple[int | None, int]]:
    """Pairs (shots, how many times)."""
    if not tape.shots:
        return [(None, 1)]
    return [(entry.shots, entry.copies) for entry in tape.shots.shot_vector]


def _collect(tape: QuantumScript, parts: Sequence[tuple[_Task, slice]]) -> Any:
    """The result of one tape in PennyLane's nesting: shot vector, measurements, broadcasting."""
    batch = tape.batch_size
    if len(parts) == 1 and batch is None and not tape.shots.has_partitioned_shots:
        task, where = parts[0]
        return task.values[where.start]
    values: list[Any] = []
    for task, where in parts:
        rows = task.values[where]
        if batch is None:
            values.extend(rows)
        else:
            values.extend(_stack(rows[low : low + batch]) for low in range(0, len(rows), batch))
    return tuple(values) if tape.shots.has_partitioned_shots else values[0]


def _stack(rows: Sequence[Any]) -> Any:
    if isinstance(rows[0], tuple):
        return tuple(np.stack(column) for column in zip(*rows, strict=True))
    return np.stack(rows)


def _remember(cache: OrderedDict[Hashable, Any], key: Hashable, value: Any) -> None:
    cache[key] = value
    if len(cache) > MAX_STRUCTURES:
        cache.popitem(last=False)


def _close(stream: Any, session: Session | None) -> None:
    stream.close()
    if session is not None:
        session.close()
