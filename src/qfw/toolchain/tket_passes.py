"""tket's passes: optimised, placed by the calibration's errors and routed; in CX and single-qubit gates."""

from __future__ import annotations

from functools import lru_cache

from pytket.architecture import Architecture
from pytket.circuit import OpType
from pytket.passes import (
    AutoRebase,
    BasePass,
    CliffordSimp,
    DecomposeBoxes,
    DecomposeMultiQubitsCX,
    DecomposeSwapsToCXs,
    DefaultMappingPass,
    FullPeepholeOptimise,
    PlacementPass,
    RemoveRedundancies,
    RoutingPass,
    SequencePass,
    SynthesiseTket,
)
from pytket.placement import NoiseAwarePlacement
from pytket.predicates import CompilationUnit
from pytket.unit_id import Node

from qfw.formats import tket
from qfw.formats.lowering import lower
from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.errors import TooLarge, UnsupportedFeature
from qfw.model.program import Program
from qfw.qpm.tool import Target
from qfw.toolchain.reduce import ReduceTool

#: Sequences of passes that a process keeps.
MAX_KEPT = 32
#: What passes leave, before the native gates are made of it.
GATES = frozenset({OpType.CX, OpType.TK1})


def lowered(
    program: Program, target: Target, level: int, seed: int
) -> tuple[Program, tuple[int, ...] | None] | None:
    """The program in native gates, and where its qubits are at the end; None: where they were.

    tket draws nothing, so `seed` is without effect. None in place of both where an angle is not affine in the slots.

    Raises:
        UnsupportedFeature: tket finds no way; with what it says. Or the program is more than gates and barriers.
    """
    profile = target.profile
    arranged = _arranged(profile, target.calibration)
    if arranged is not None and program.num_qubits > len(arranged.nodes):
        raise TooLarge(
            f"the program needs {program.num_qubits} qubits; {profile.name} has {len(arranged.nodes)} that work and "
            "are connected. Use fewer qubits or a larger device"
        )
    unit = CompilationUnit(tket.outward(program))
    try:
        _passes(profile, target.calibration, level).apply(unit)
    except RuntimeError as error:
        raise UnsupportedFeature(
            f"tket cannot lower the program for {profile.name} at level {level}: {error}"
        ) from error
    wide = program.num_qubits if arranged is None else profile.max_qubits
    found = tket.back(unit.circuit, wide, program.num_slots)
    if found is None:
        return None
    native = lower(found, frozenset(profile.native_gates) | {"gphase"})
    # What lowering one gate after another leaves beside each other.
    native = ReduceTool().apply(native, target, {}).program
    if arranged is None:
        return native, None
    ends = {tket.index_of(qubit): tket.index_of(node) for qubit, node in unit.final_map.items()}
    return native, tuple(ends[qubit] for qubit in range(program.num_qubits))


@lru_cache(maxsize=MAX_KEPT)
def _arranged(profile: DeviceProfile, calibration: Calibration | None) -> Architecture | None:
    """The largest set of working qubits that working pairs connect; None where all are coupled."""
    if profile.coupling is None:
        return None
    broken: set[tuple[int, ...]] = set()
    if calibration is not None:
        broken = {gate.qubits for gate in calibration.gates if not gate.operational}
        broken |= {(q,) for q, qubit in enumerate(calibration.qubits) if not qubit.operational}
    pairs = [(a, b) for a, b in profile.coupling if not {(a,), (b,), (a, b), (b, a)} & broken]
    region = _largest(pairs)
    return Architecture([(Node(a), Node(b)) for a, b in pairs if a in region])


def _largest(pairs: list[tuple[int, int]]) -> set[int]:
    """The most qubits that pairs connect with each other; tket places programs on such only."""
    beside: dict[int, set[int]] = {}
    for a, b in pairs:
        beside.setdefault(a, set()).add(b)
        beside.setdefault(b, set()).add(a)
    best: set[int] = set()
    left = set(beside)
    while left:
        found, edge = set[int](), [min(left)]
        while edge:
            qubit = edge.pop()
            if qubit not in found:
                found.add(qubit)
                edge += beside[qubit] - found
        left -= found
        best = max(best, found, key=len)
    return best


@lru_cache(maxsize=MAX_KEPT)
def _passes(profile: DeviceProfile, calibration: Calibration | None, level: int) -> BasePass:
    arranged = _arranged(profile, calibration)
    rebase = AutoRebase(set(GATES))
    before: list[BasePass] = [DecomposeBoxes()]
    match level:
        case 3:
            before.append(FullPeepholeOptimise(allow_swaps=False))
        case 2:
            before += [SynthesiseTket(), CliffordSimp(allow_swaps=False)]
        case 1:
            before.append(RemoveRedundancies())
    before.append(DecomposeMultiQubitsCX())
    if arranged is None:
        return SequencePass([*before, rebase])
    if calibration is None:
        mapping: list[BasePass] = [DefaultMappingPass(arranged, False)]
    else:
        mapping = [PlacementPass(_placement(arranged, calibration)), RoutingPass(arranged)]
    after: list[BasePass] = [DecomposeSwapsToCXs(arranged, False)]
    if level:
        after.append(RemoveRedundancies())
    return SequencePass([*before, *mapping, *after, rebase])


def _placement(arranged: Architecture, calibration: Calibration) -> NoiseAwarePlacement:
    """By the errors of gates and readout."""
    nodes, edges = dict[Node, float](), dict[tuple[Node, Node], float]()
    for gate in calibration.gates:
        if len(gate.qubits) == 1:
            node = Node(gate.qubits[0])
            nodes[node] = max(nodes.get(node, 0.0), gate.error)
        elif len(gate.qubits) == 2:
            first, second = Node(gate.qubits[0]), Node(gate.qubits[1])
            for edge in ((first, second), (second, first)):
                edges[edge] = max(edges.get(edge, 0.0), gate.error)
    readout = {
        Node(q): (qubit.read1_given0 + qubit.read0_given1) / 2 for q, qubit in enumerate(calibration.qubits)
    }
    there = set(arranged.nodes)
    return NoiseAwarePlacement(
        arranged,
        {node: error for node, error in nodes.items() if node in there},
        {edge: error for edge, error in edges.items() if there.issuperset(edge)},
        {node: error for node, error in readout.items() if node in there},
    )
