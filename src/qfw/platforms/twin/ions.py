"""Model of a trapped-ion processor: a chain in which every two ions are coupled through their common motion.

T1              log-normal, median 100 s, sigma 0.2: hyperfine states hardly decay
T2              log-normal, median 1.2 s, sigma 0.2: fields and clocks
readout         1 of |0>: log-normal, median 0.1 %; 0 of |1>: 0.25 %, sigma 0.4; 200 µs of fluorescence
rx, ry          12 µs; decoherence + log-normal, median 8e-5, sigma 0.4
rz              a change of the frame: 0 ns, no error
rxx             220 µs, and 4 µs for each ion between; decoherence + log-normal, median 2.5e-3, and 2 % of it
for each ion between, sigma 0.3
reset           25 µs of optical pumping; log-normal, median 0.05 %, sigma 0.3
"""

from __future__ import annotations

from itertools import combinations

from qfw.model.calibration import GateCalibration, QubitCalibration
from qfw.model.device import Timing
from qfw.platforms.twin.drawn import Drawn
from qfw.platforms.twin.superconducting import Measured

IONS = 24
NATIVE = ("rx", "rxx", "ry", "rz")
#: Before each shot the chain is cooled to its ground state.
TIMING = Timing(
    task_ns=50_000_000, set_ns=1_000_000, reset_ns=3_000_000, repetition_delay_ns=100_000, feedback_ns=20_000
)


def measured(drawn: Drawn) -> Measured:
    """Qubits and gates of the chain."""
    qubits = []
    for _ in range(IONS):
        t1_us = drawn.around(100e6, 0.2)
        qubits.append(
            QubitCalibration(
                t1_us=t1_us,
                t2_us=drawn.t2_us(t1_us, 1.2e6, 0.2),
                read1_given0=drawn.around(0.001, 0.4),
                read0_given1=drawn.around(0.0025, 0.4),
                readout_ns=200_000,
                reset_error=drawn.around(0.0005, 0.3),
                reset_ns=25_000,
            )
        )
    gates = []
    for index in range(IONS):
        pulse = drawn.gate("rx", (index,), qubits, 12_000, 8e-5, 0.4)
        gates += [GateCalibration(name, (index,), pulse.error, 12_000) for name in ("rx", "ry")]
        gates.append(GateCalibration("rz", (index,), 0.0, 0))
    for first, second in combinations(range(IONS), 2):
        between = second - first - 1
        error = 2.5e-3 * (1 + 0.02 * between)
        gates.append(drawn.gate("rxx", (first, second), qubits, 220_000 + 4_000 * between, error, 0.3))
    return tuple(qubits), tuple(gates)
