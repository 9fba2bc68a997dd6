"""Models of superconducting processors: transmons on heavy hexagons with tunable couplers.

T1              log-normal, median 240 µs, sigma 0.35
T2              log-normal, median 170 µs, sigma 0.45, at most 1.9 T1
readout         1 of |0>: log-normal, median 0.7 %; 0 of |1>: 1.3 %, sigma 0.6: |1> decays meanwhile; 1200 ns
sx, x, id       32 ns; decoherence + log-normal, median 1.2e-4, sigma 0.5; one pulse each, so one error for all
rz              a change of the frame: 0 ns, no error
cz              84 ns; decoherence + log-normal, median 1.8e-3, sigma 0.5
reset           1500 ns; log-normal, median 0.6 %, sigma 0.5
frequency       4.6 to 5.2 GHz, uniform
"""

from __future__ import annotations

from qfw.model.calibration import GateCalibration, QubitCalibration
from qfw.model.device import Timing
from qfw.platforms.twin.drawn import Drawn
from qfw.platforms.twin.lattices import Lattice

NATIVE = ("cz", "id", "rz", "sx", "x")
TIMING = Timing(
    task_ns=8_000_000, set_ns=400_000, reset_ns=1_500, repetition_delay_ns=250_000, feedback_ns=700
)

Measured = tuple[tuple[QubitCalibration, ...], tuple[GateCalibration, ...]]


def measured(lattice: Lattice, drawn: Drawn) -> Measured:
    """Qubits and gates of a processor on a lattice."""
    qubits = []
    for _ in lattice.positions:
        t1_us = drawn.around(240, 0.35)
        qubits.append(
            QubitCalibration(
                t1_us=t1_us,
                t2_us=drawn.t2_us(t1_us, 170, 0.45),
                read1_given0=drawn.around(0.007, 0.6),
                read0_given1=drawn.around(0.013, 0.6),
                readout_ns=1_200,
                reset_error=drawn.around(0.006, 0.5),
                reset_ns=1_500,
                frequency_ghz=drawn.between(4.6, 5.2),
            )
        )
    gates = []
    for index in range(len(qubits)):
        pulse = drawn.gate("sx", (index,), qubits, 32, 1.2e-4, 0.5)
        gates += [GateCalibration(name, (index,), pulse.error, 32) for name in ("id", "sx", "x")]
        gates.append(GateCalibration("rz", (index,), 0.0, 0))
    gates += [drawn.gate("cz", pair, qubits, 84, 1.8e-3, 0.5) for pair in lattice.pairs]
    return tuple(qubits), tuple(gates)
