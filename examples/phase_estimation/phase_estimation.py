"""Quantum phase estimation, with Qiskit's backend.run: the eigenphase of a phase gate, in binary digits.

    python phase_estimation.py                              # Qiskit Aer, in this process
    python phase_estimation.py --device qfw                 # the same through QFw: one other line
    python phase_estimation.py --device qfw --phase 0.3 --digits 8

A phase with no more digits than asked for is found with certainty; of any other the nearest value is the
most likely. The counts are compared with the distribution that theory gives.

Exit codes: 0 the right value was found and the counts are as theory has them, 1 not, 2 usage.
"""

import argparse
import sys

import numpy as np
from qiskit import QuantumCircuit, transpile
from qiskit.circuit.library import QFTGate

#: Shots; standard errors of the counts are stated for these.
SHOTS = 4000
MOST_DIGITS = 12


def make_backend(device):
    """The one line that moves the program: Aer's backend, or QFw's."""
    if device == "qfw":
        from qfw.qiskit import Backend

        return Backend()
    from qiskit_aer import AerSimulator

    return AerSimulator()


def estimation(phase, digits):
    """The circuit that writes the phase of P(2π · phase) into `digits` classical bits."""
    circuit = QuantumCircuit(digits + 1, digits)
    target = digits
    circuit.x(target)  # The eigenstate |1>.
    for k in range(digits):
        circuit.h(k)
        # The gate 2^k times.
        circuit.cp(2 * np.pi * phase * 2**k, k, target)
    circuit.append(QFTGate(digits).inverse(), range(digits))
    circuit.measure(range(digits), range(digits))
    return circuit


def distribution(phase, digits):
    """Theory: the probability of each value y is |Σ_k exp(2πi k (phase - y / 2^digits))|² / 4^digits."""
    size = 2**digits
    k = np.arange(size)
    amplitudes = np.fft.fft(np.exp(2j * np.pi * k * phase)) / size
    return np.abs(amplitudes) ** 2


def main(arguments=None):
    """Runs the estimation; returns the exit code."""
    parser = argparse.ArgumentParser(prog="phase_estimation.py", description="Quantum phase estimation.")
    parser.add_argument("--device", choices=["aer", "qfw"], default="aer")
    parser.add_argument("--phase", type=float, default=0.3125, help="in turns, 0 to 1 (default: %(default)s)")
    parser.add_argument("--digits", type=int, default=6, help="binary digits (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the shots (default: %(default)s)")
    args = parser.parse_args(arguments)
    if not 0 <= args.phase < 1:
        parser.error(f"--phase is in turns, 0 or more and below 1, not {args.phase}")
    if not 1 <= args.digits <= MOST_DIGITS:
        parser.error(f"--digits is 1 to {MOST_DIGITS}, not {args.digits}")

    backend = make_backend(args.device)
    circuit = transpile(estimation(args.phase, args.digits), backend)
    result = backend.run(circuit, shots=SHOTS, seed_simulator=args.seed).result()
    counts = {int(bits, 2): count for bits, count in result.get_counts().items()}

    expected = distribution(args.phase, args.digits)
    likely = sorted(counts, key=lambda value: -counts[value])[:4]
    print(f"device {args.device}, phase {args.phase:g}, {args.digits} digits, {SHOTS} shots")
    for value in likely:
        print(
            f"  0.{value:0{args.digits}b} = {value / 2**args.digits:.6f}   measured {counts[value] / SHOTS:.4f}"
            f"   theory {expected[value]:.4f}"
        )
    best = int(expected.argmax())
    measured = np.array([counts.get(value, 0) / SHOTS for value in range(expected.size)])
    # The total variation distance of so many shots from their own distribution is about this.
    noise = float(np.sqrt(expected * (1 - expected) / SHOTS).sum() / 2)
    distance = float(np.abs(measured - expected).sum() / 2)
    print(f"distance from theory {distance:.4f}, of which shot noise explains about {noise:.4f}")
    if likely[0] != best and expected[likely[0]] < 0.9 * expected[best]:
        print(f"the most frequent value is not the nearest one, {best / 2**args.digits:.6f}", file=sys.stderr)
        return 1
    if distance > 3 * noise + 1e-9:
        print("the counts are not distributed as theory has it", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
