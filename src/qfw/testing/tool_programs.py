"""Programs and targets that tools are tried on: drawn from a seed, the same ones each time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from qfw.model.calibration import Calibration, GateCalibration, QubitCalibration
from qfw.model.device import DeviceKind, DeviceProfile, Timing
from qfw.model.gates import GATES
from qfw.model.program import (
    Affine,
    Angle,
    Barrier,
    Delay,
    Gate,
    IfElse,
    Measure,
    Operation,
    Program,
    Reset,
    While,
)
from qfw.qpm.tool import Target

SLOTS = 3
#: What gates that are drawn more often are called: so that there is something to do.
COMMON = ("h", "x", "t", "s", "rz", "rx", "cx", "cz")
ROUND = (0.0, math.pi, -math.pi / 2, math.pi / 4, 2 * math.pi, -0.3)
NATIVE = ("cz", "rz", "sx", "x")
OUTPUTS = ("counts", "memory", "expectation", "probabilities", "statevector")


def ideal() -> Target:
    """A simulator of all gates, with control and without a calibration."""
    profile = DeviceProfile(
        "ideal", DeviceKind.SIMULATOR, "reference", 24, tuple(GATES), OUTPUTS, 1, control=True
    )
    return Target(profile)


def heavy_hex() -> Target:
    """20 qubits in two hexagons of 12 that share an edge, calibrated; qubit 3 is the best, and qubit 7 is broken."""
    pairs = [(q, (q + 1) % 12) for q in range(12)]
    # The second hexagon hangs on qubits 0 and 2 of the first.
    outer = [0, *range(12, 20), 2]
    pairs += list(pairwise(outer))
    return _calibrated("heavy-hex", 20, [(min(pair), max(pair)) for pair in pairs], broken=7)


def line() -> Target:
    """Eight qubits in a row, calibrated, without control."""
    return _calibrated("row", 8, [(q, q + 1) for q in range(7)], control=False)


def targets() -> dict[str, Target]:
    """All that tools are tried on, by name."""
    return {target.profile.name: target for target in (ideal(), heavy_hex(), line())}


def _calibrated(
    name: str, qubits: int, pairs: list[tuple[int, int]], broken: int | None = None, control: bool = True
) -> Target:
    rng = np.random.default_rng(qubits)
    each = tuple(
        QubitCalibration(
            float(rng.uniform(80, 200)),
            float(rng.uniform(60, 150)),
            0.01 if q != 3 else 0.001,
            0.02 if q != 3 else 0.002,
            500,
            0.001,
            300,
            operational=q != broken,
        )
        for q in range(qubits)
    )
    gates = [
        GateCalibration(gate, (q,), 0.0 if gate == "rz" else float(rng.uniform(2e-4, 6e-4)), duration_ns)
        for q in range(qubits)
        for gate, duration_ns in (("sx", 30), ("x", 30), ("rz", 0))
    ]
    gates += [GateCalibration("cz", pair, float(rng.uniform(4e-3, 2e-2)), 120) for pair in pairs]
    profile = DeviceProfile(
        name,
        DeviceKind.TWIN,
        name,
        qubits,
        NATIVE,
        OUTPUTS[:4],
        1,
        control=control,
        lowered_only=True,
        coupling=tuple(pairs),
        timing=Timing(5_000, 700, 200, 1_000, 400),
        exact=False,
        reruns=False,
    )
    return Target(profile, Calibration(name, "1", 1_700_000_000.0, each, tuple(gates)))


def straight(rng: np.random.Generator, qubits: int, gates: int, measured: bool = False) -> Program:
    """Gates, some with angles of slots, and a barrier; with `measured` all qubits are measured at the end."""
    ops: list[Operation] = [gate(rng, qubits) for _ in range(gates)]
    ops.insert(len(ops) // 2, Barrier(tuple(range(qubits))))
    if measured:
        # Bits in another order than qubits, and one bit that nobody writes.
        ops += [Measure(qubit, int(bit)) for qubit, bit in enumerate(rng.permutation(qubits))]
    return _checked(Program(qubits, qubits + 1 if measured else 0, SLOTS, tuple(ops)))


def waiting(rng: np.random.Generator, qubits: int, gates: int) -> Program:
    """Gates with delays between them."""
    ops: list[Operation] = []
    for _ in range(gates):
        ops.append(gate(rng, qubits))
        if rng.random() < 0.3:
            ops.append(Delay(int(rng.integers(qubits)), int(rng.integers(1, 40)) * 20))
    return _checked(Program(qubits, 0, SLOTS, tuple(ops)))


def controlled(rng: np.random.Generator, qubits: int, size: int = 10) -> Program:
    """Measurements, resets, branches and loops among gates; the last qubit is measured at the end."""
    ops = (*_block(rng, qubits, size, 2), Measure(qubits - 1, 0))
    return _checked(Program(qubits, qubits, SLOTS, ops))


def native(rng: np.random.Generator, target: Target, qubits: int, gates: int) -> Program:
    """Made of what the target takes, as wide as it is where it couples qubits."""
    profile = target.profile
    if profile.coupling is None:
        return straight(rng, qubits, gates)
    usable = [pair for pair in profile.coupling if _works(target, pair)][: 2 * qubits]
    singles = [name for name in profile.native_gates if GATES[name].num_qubits == 1]
    doubles = [name for name in profile.native_gates if GATES[name].num_qubits == 2]
    ops: list[Operation] = []
    for _ in range(gates):
        pair = usable[int(rng.integers(len(usable)))]
        name = str(rng.choice(doubles if rng.random() < 0.3 else singles))
        where = pair if name in doubles else (pair[int(rng.integers(2))],)
        ops.append(Gate(name, where, tuple(_angle(rng) for _ in range(GATES[name].num_angles))))
    return _checked(Program(profile.max_qubits, 0, SLOTS, tuple(ops)))


def gate(rng: np.random.Generator, qubits: int) -> Gate:
    """Any gate of the normal form that fits so many qubits."""
    fits = [name for name, spec in GATES.items() if spec.num_qubits <= qubits]
    common = [name for name in COMMON if name in fits]
    name = str(rng.choice(common if rng.random() < 0.5 else fits))
    where = tuple(int(q) for q in rng.permutation(qubits)[: GATES[name].num_qubits])
    return Gate(name, where, tuple(_angle(rng) for _ in range(GATES[name].num_angles)))


def _angle(rng: np.random.Generator) -> Angle:
    constant = float(rng.choice(ROUND)) if rng.random() < 0.4 else float(rng.uniform(-4, 4))
    if rng.random() < 0.5:
        return constant
    slots = sorted(int(s) for s in rng.permutation(SLOTS)[: int(rng.integers(1, 3))])
    return Affine(tuple((s, float(rng.choice((1.0, -1.0, 2.0, 0.5, -0.37)))) for s in slots), constant)


def _block(rng: np.random.Generator, qubits: int, size: int, depth: int) -> tuple[Operation, ...]:
    found: list[Operation] = []
    for _ in range(size):
        kind = int(rng.integers(10))
        qubit, bit = int(rng.integers(qubits)), int(rng.integers(qubits))
        if kind == 6:
            found.append(Measure(qubit, bit))
        elif kind == 7:
            found.append(Reset(qubit))
        elif kind == 8 and depth:
            then, otherwise = (_block(rng, qubits, 3, depth - 1) for _ in range(2))
            found.append(IfElse((bit,), int(rng.integers(2)), then, otherwise))
        elif kind == 9 and depth:
            found.append(While((bit,), int(rng.integers(2)), _block(rng, qubits, 3, depth - 1), 2))
        else:
            found.append(gate(rng, qubits))
    return tuple(found)


def _works(target: Target, pair: tuple[int, int]) -> bool:
    known = target.calibration
    return known is None or all(known.qubits[qubit].operational for qubit in pair)


def _checked(program: Program) -> Program:
    program.check()
    return program
