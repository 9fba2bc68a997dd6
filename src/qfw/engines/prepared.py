"""A program made ready for many parameter sets: steps on a register, angles by kind of gate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from qfw.engines.register import Bound, Complex, Register, Step, fused_step, make_step
from qfw.model.gates import GATES
from qfw.model.program import Affine, Gate, Program
from qfw.numerics import gates
from qfw.numerics.question import Questions

#: A prepared program keeps its register, with all views of it, up to this size (64 KiB of state).
KEPT_AMPLITUDES = 2**12

Floats = npt.NDArray[np.float64]


class PreparedProgram:
    """A program as steps on a register, with what can be worked out before the angles are known."""

    def __init__(self, program: Program) -> None:
        """Of a straight-line program."""
        self.program = program
        self.questions = Questions(program)
        self._factors, self._steps, self._kinds = _compile(program)
        self._start = _product(self._factors) if 2**program.num_qubits <= KEPT_AMPLITUDES else None
        #: Of each set: entries of all gates that depend on slots, at least 1.
        self.num_coefficients = max(1, sum(len(kind.positions) * sum(kind.rows) for kind in self._kinds))
        self._kept: Workspace | None = None

    def final_states(self, parameters: Floats) -> Register:
        """The states of the sets in `parameters`, before any measurement. Valid until the next call."""
        sets = parameters.shape[0]
        workspace = self._kept
        if workspace is None or workspace.sets != sets:
            workspace = Workspace(self.program.num_qubits, sets, self._steps, self._kinds)
            small = sets << self.program.num_qubits <= KEPT_AMPLITUDES
            self._kept = workspace if small else None
        workspace.fill(parameters)
        start = _product(self._factors) if self._start is None else self._start
        np.copyto(workspace.register.state, start)
        workspace.register.apply(workspace.bound)
        return workspace.register


class Kind:
    """All gates of one name whose angles depend on slots: their angles and coefficients together."""

    def __init__(self, name: str, positions: list[int], matrix: Floats, offsets: Floats) -> None:
        """Of steps at `positions`; `matrix` (gates · angles, slots) and `offsets` as in AngleTable."""
        self.positions = positions
        self._bands = gates.FORMS[name].bands
        self._matrix = matrix
        self._offsets = offsets.reshape(-1, 1)
        self._shape = (len(positions), GATES[name].num_angles, -1)
        example = self._bands(*np.zeros(GATES[name].num_angles))
        #: Number of rows of the diagonal and of the partner band; 0 where there is none.
        self.rows = (len(example.diagonal or ()), len(example.partner or ()))

    def bands(self, parameters: Floats) -> gates.Bands:
        """Bands whose entries have shape (gates, sets)."""
        angles = (self._matrix @ parameters.T + self._offsets).reshape(self._shape)
        return self._bands(*(angles[:, i] for i in range(angles.shape[1])))


class Workspace:
    """A register of a given number of sets with every step bound to it."""

    def __init__(self, num_qubits: int, sets: int, steps: list[Step], kinds: list[Kind]) -> None:
        """Allocates the register and the coefficients of all gates that depend on slots."""
        self.sets = sets
        self.register = Register(num_qubits, sets)
        self._kinds = kinds
        # Of each kind: coefficients of the diagonal and of the partner band, shape (gates, rows, sets).
        self._tables = [
            [np.empty((len(kind.positions), rows, sets), dtype=np.complex128) for rows in kind.rows]
            for kind in kinds
        ]
        own: dict[int, list[Complex | None]] = {}
        for kind, tables in zip(kinds, self._tables, strict=True):
            for row, position in enumerate(kind.positions):
                spread = steps[position].spread
                own[position] = [spread(table[row]) if table.size else None for table in tables]
        self.bound: list[Bound] = [
            self.register.bind(step, *own.get(position, (step.diagonal, step.partner)))
            for position, step in enumerate(steps)
        ]

    def fill(self, parameters: Floats) -> None:
        """Works out the coefficients for `parameters`, shape (sets, slots)."""
        for kind, tables in zip(self._kinds, self._tables, strict=True):
            for table, entries in zip(tables, kind.bands(parameters), strict=True):
                for row, entry in enumerate(entries or ()):
                    table[:, row] = entry


def _compile(program: Program) -> tuple[list[Complex], list[Step], list[Kind]]:
    """Of each qubit its first state; the steps after it; the kinds of gates with angles from slots.

    Constant gates on one qubit are multiplied together until another gate meets that qubit; those
    that come before any other become part of the qubit's first state.
    """
    width = program.num_qubits
    start = [np.array([1, 0], dtype=np.complex128) for _ in range(width)]
    steps: list[Step] = []
    touched: set[int] = set()
    pending: dict[int, Complex] = {}
    positions: dict[str, list[int]] = {}
    angle_rows: dict[str, list[int]] = {}

    def flush(qubit: int) -> None:
        unitary = pending.pop(qubit, None)
        if unitary is None:
            return
        if qubit in touched:
            steps.append(fused_step(gates.bands_of(unitary), qubit, width))
        else:
            start[qubit] = unitary[:, 0]

    row = 0
    for gate in program.gates():
        rows = range(row, row + len(gate.angles))
        row += len(gate.angles)
        constant = _constant_angles(gate)
        if constant is not None and len(gate.qubits) == 1:
            before = pending.get(gate.qubits[0])
            unitary = gates.matrix(gate.name, *constant)
            pending[gate.qubits[0]] = unitary if before is None else unitary @ before
            continue
        for qubit in gate.qubits:
            flush(qubit)
        touched.update(gate.qubits)
        if constant is None:
            positions.setdefault(gate.name, []).append(len(steps))
            angle_rows.setdefault(gate.name, []).extend(rows)
        steps.append(make_step(gate.name, gate.qubits, width, constant))
    for qubit in list(pending):
        flush(qubit)
    table = program.angle_table
    kinds = [
        Kind(name, where, table.matrix[angle_rows[name]], table.offsets[angle_rows[name]])
        for name, where in positions.items()
    ]
    return start, steps, kinds


def _constant_angles(gate: Gate) -> tuple[float, ...] | None:
    angles = tuple(angle for angle in gate.angles if not isinstance(angle, Affine))
    return angles if len(angles) == len(gate.angles) else None


def _product(factors: list[Complex]) -> Complex:
    """The product state of the qubits' states, shape (2**qubits, 1)."""
    state = np.ones(1, dtype=np.complex128)
    for factor in factors:
        state = np.multiply.outer(factor, state).reshape(-1)
    return state.reshape(-1, 1)
