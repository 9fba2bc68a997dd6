"""GHZ states on a simulated quantum processor of 127 qubits, and how good its calibration has them.

    QFW_CONFIG=examples/twin/settings.toml python examples/twin/twin.py
    QFW_CONFIG=examples/twin/settings.toml qfw run examples/twin/twin.py --widths 2,4,8

Each state is lowered by Qiskit's transpiler, which looks for good qubits in the calibration. While the example runs the
device is recalibrated: what was lowered before is refused with StaleCalibration, is lowered again, and sent again.

Exit codes: 0 the states are as good as the calibration says, 1 not, 2 usage.
"""

import argparse
import sys

from qiskit import QuantumCircuit, transpile

from qfw.model.errors import StaleCalibration
from qfw.qiskit import Backend

SHOTS = 4000
#: Times that a state is lowered again before the example gives up.
ATTEMPTS = 5


def ghz(width):
    """The state |0…0> + |1…1>, measured."""
    circuit = QuantumCircuit(width)
    circuit.h(0)
    for qubit in range(1, width):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    return circuit


def expected(lowered, target):
    """Probability that no operation of a lowered circuit errs, by the calibration."""
    right = 1.0
    for instruction in lowered.data:
        name = instruction.operation.name
        qubits = tuple(lowered.find_bit(qubit).index for qubit in instruction.qubits)
        if name != "barrier":
            right *= 1 - target[name][qubits].error
    return right


def run(circuit, backend, seed):
    """Lowers and runs; again where the device was recalibrated meanwhile.

    Returns:
        counts, what the calibration lets expect, and how often it was lowered again.
    """
    for again in range(ATTEMPTS):
        lowered = transpile(circuit, backend, optimization_level=3, seed_transpiler=seed)
        try:
            result = backend.run(lowered, shots=SHOTS, seed_simulator=seed).result()
        except StaleCalibration:
            backend.refresh()
            continue
        return result.get_counts(), expected(lowered, backend.target), again
    raise RuntimeError(f"the device was recalibrated {ATTEMPTS} times in a row")


def widths_of(text):
    """Widths as numbers."""
    widths = [int(word) for word in text.split(",")]
    if any(not 2 <= width <= 12 for width in widths):
        raise ValueError
    return widths


def main(arguments=None):
    """Runs the states; returns the exit code."""
    parser = argparse.ArgumentParser(prog="twin.py", description="GHZ states on a twin.")
    parser.add_argument("--widths", default="2,3,4,5,6,8", help="2 to 12 qubits each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the shots (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        widths = widths_of(args.widths)
    except ValueError:
        parser.error(f"--widths are numbers from 2 to 12 with commas between them, not {args.widths!r}")

    backend = Backend("twin-127")
    print("width   right   by calibration   under")
    lowered_again, wrong = 0, []
    for width in widths:
        counts, likely, again = run(ghz(width), backend, args.seed)
        lowered_again += again
        right = (counts.get("0" * width, 0) + counts.get("1" * width, 0)) / SHOTS
        print(f"{width:5}   {right:.3f}   {likely:14.3f}   {backend.qfw_calibration}")
        # Errors of the phase are not seen in these counts: they may be better. Qubits also err while they wait, and
        # more than they did when they were measured: they may be worse. Four standard errors of the shots besides.
        error, noise = 1 - likely, 4 * (likely * (1 - likely) / SHOTS) ** 0.5
        if not error / 3 - noise <= 1 - right <= 1.5 * error + noise:
            wrong.append(width)
    print(f"lowered again after a recalibration: {lowered_again}")
    if wrong:
        print(f"not as the calibration has it: widths {wrong}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
