"""Model of a neutral-atom processor with zones: atoms are stored, carried to meet, and carried to be read.

36 atoms, by zone from top to bottom in rows of six: 18 in storage, 12 in the entangling zone, 6 in the readout
zone. Each has its home; an operation in another zone takes the way there and back:

    way             pick up and put down, 60 µs each, and 0.5 µm/µs in between; rows and columns are 12 µm apart,
                    zones 30 µm further
    cz              0.4 µs, and the way of whichever goes: of two atoms of the entangling zone the second one beside
                    the first; an atom of another zone to its partner in the entangling zone; two of storage, or
                    two of the readout zone, that are neighbours go together. Others cannot be brought together.
                    Decoherence + log-normal, median 4e-3, sigma 0.3, and 5e-4 where an atom is carried
    readout         500 µs, and the way to the readout zone; 1 of |0>: log-normal, median 0.3 %; 0 of |1>: 0.8 %
                    (lost atoms are read as 0), sigma 0.4
    rx, ry, u       2 µs; decoherence + log-normal, median 3e-4, sigma 0.4
    rz              a shift of light: 1 µs; decoherence + log-normal, median 1e-4, sigma 0.4
    T1, T2          log-normal, median 4 s and 1.5 s, sigma 0.2
    reset           400 µs, and the way to the readout zone; log-normal, median 0.3 %, sigma 0.3
"""

from __future__ import annotations

from itertools import combinations
from math import hypot

from qfw.model.calibration import QubitCalibration
from qfw.model.device import Timing
from qfw.platforms.twin.drawn import Drawn
from qfw.platforms.twin.lattices import Lattice, Position
from qfw.platforms.twin.superconducting import Measured

NATIVE = ("cz", "rx", "ry", "rz", "u")
#: Before each shot the atoms are loaded, sorted and cooled.
TIMING = Timing(
    task_ns=100_000_000,
    set_ns=2_000_000,
    reset_ns=150_000_000,
    repetition_delay_ns=5_000_000,
    feedback_ns=100_000,
)

#: Rows of each zone, and atoms of each row.
_STORAGE, _ENTANGLING, _READOUT = range(3)
_ROWS = (3, 2, 1)
_COLUMNS = 6
_SPACING_UM, _GAP_UM = 12.0, 30.0
_HANDLING_NS, _NS_PER_UM = 60_000, 2_000


def lattice() -> Lattice:
    """Homes of the atoms, in units of their spacing, and who can be brought together."""
    positions = tuple((x / _SPACING_UM, y / _SPACING_UM) for x, y in _homes_um())
    return Lattice(positions, tuple(pair for pair in combinations(range(len(positions)), 2) if _meet(*pair)))


def measured(drawn: Drawn) -> Measured:
    """Qubits and gates of the array."""
    homes = _homes_um()
    qubits = []
    for index in range(len(homes)):
        t1_us = drawn.around(4e6, 0.2)
        way_ns = 0 if zone(index) == _READOUT else _way_ns(homes[index], (homes[index][0], homes[-1][1]))
        qubits.append(
            QubitCalibration(
                t1_us=t1_us,
                t2_us=drawn.t2_us(t1_us, 1.5e6, 0.2),
                read1_given0=drawn.around(0.003, 0.4),
                read0_given1=drawn.around(0.008, 0.4),
                readout_ns=500_000 + way_ns,
                reset_error=drawn.around(0.003, 0.3),
                reset_ns=400_000 + 2 * way_ns,
            )
        )
    gates = []
    for index in range(len(homes)):
        gates += [drawn.gate(name, (index,), qubits, 2_000, 3e-4, 0.4) for name in ("rx", "ry", "u")]
        gates.append(drawn.gate("rz", (index,), qubits, 1_000, 1e-4, 0.4))
    for pair in lattice().pairs:
        way_ns = 2 * _meeting_ns(*pair, homes)
        gates.append(drawn.gate("cz", pair, qubits, 400 + way_ns, 4.5e-3 if way_ns else 4e-3, 0.3))
    return tuple(qubits), tuple(gates)


def zone(index: int) -> int:
    """The zone that an atom has its home in: 0 storage, 1 entangling, 2 readout."""
    row = index // _COLUMNS
    return _STORAGE if row < _ROWS[0] else _ENTANGLING if row < _ROWS[0] + _ROWS[1] else _READOUT


def _homes_um() -> list[Position]:
    homes = []
    for row in range(sum(_ROWS)):
        y = -(_SPACING_UM * row + _GAP_UM * zone(row * _COLUMNS))
        homes += [(_SPACING_UM * column, y) for column in range(_COLUMNS)]
    return homes


def _meet(first: int, second: int) -> bool:
    """Whether two atoms can be brought together."""
    zones = {zone(first), zone(second)}
    if _ENTANGLING in zones:
        return True
    rows, columns = divmod(first, _COLUMNS), divmod(second, _COLUMNS)
    return len(zones) == 1 and abs(rows[0] - columns[0]) + abs(rows[1] - columns[1]) == 1


def _meeting_ns(first: int, second: int, homes: list[Position]) -> int:
    """Time in which two atoms come together, one way."""
    if zone(first) == zone(second) != _ENTANGLING:
        # Both are carried to the entangling zone at once.
        deep = homes[_ROWS[0] * _COLUMNS][1]
        return max(_way_ns(homes[atom], (homes[atom][0], deep)) for atom in (first, second))
    if abs(first - second) == 1 and first // 2 == second // 2:
        return 0  # Homes of the entangling zone are pairs: these two sit beside each other.
    return _way_ns(homes[first], homes[second])


def _way_ns(begin: Position, end: Position) -> int:
    distance_um = hypot(begin[0] - end[0], begin[1] - end[1])
    return round(2 * _HANDLING_NS + distance_um * _NS_PER_UM)
