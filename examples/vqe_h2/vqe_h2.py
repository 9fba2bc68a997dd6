"""Ground state of the hydrogen molecule by the variational quantum eigensolver, with Qiskit's EstimatorV2.

The Hamiltonian is that of H2 at 0.735 ångström in the STO-3G basis: Jordan-Wigner's four qubits reduced to
two by the parity mapping. It is small enough that NumPy's exact answer stands beside it.

    python vqe_h2.py                      # Qiskit's StatevectorEstimator, in this process
    python vqe_h2.py --device qfw         # the same through QFw: one other line, in `make_estimator`
    python vqe_h2.py --device qfw --precision 0.01

Exit codes: 0 within the tolerance of the exact energy, 1 not, 2 usage.
"""

import argparse
import sys

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from scipy.optimize import minimize

#: Electronic Hamiltonian, in hartree.
HAMILTONIAN = SparsePauliOp.from_list(
    [
        ("II", -1.052373245772859),
        ("IZ", 0.39793742484318045),
        ("ZI", -0.39793742484318045),
        ("ZZ", -0.01128010425623538),
        ("XX", 0.18093119978423156),
    ]
)
#: The nuclei's repulsion at this distance, in hartree.
REPULSION = 0.7199689944489797
#: What chemists call exact enough, in hartree.
CHEMICAL_ACCURACY = 1.6e-3


def make_estimator(device, precision, seed):
    """The one line that moves the program: Qiskit's estimator, or QFw's."""
    if device == "qfw":
        from qfw.qiskit import Estimator

        return Estimator(default_precision=precision, seed=seed)
    from qiskit.primitives import StatevectorEstimator

    return StatevectorEstimator(default_precision=precision, seed=seed)


def ansatz():
    """Real rotations around one entangler: every real state of two qubits."""
    angles = ParameterVector("θ", 4)
    circuit = QuantumCircuit(2)
    circuit.ry(angles[0], 0)
    circuit.ry(angles[1], 1)
    circuit.cx(0, 1)
    circuit.ry(angles[2], 0)
    circuit.ry(angles[3], 1)
    return circuit


def solve(estimator, start):
    """Lowest energy found, in hartree, and the evaluations that it took."""
    circuit = ansatz()
    shifts = np.pi / 2 * np.eye(start.size)

    def energy_and_gradient(angles):
        # The point and its shifted neighbours: one PUB, so one task with 1 + 2 · 4 parameter sets.
        points = np.concatenate([[angles], angles + shifts, angles - shifts])
        values = estimator.run([(circuit, HAMILTONIAN, points)]).result()[0].data.evs
        plus, minus = np.split(values[1:], 2)
        return values[0], (plus - minus) / 2

    found = minimize(energy_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
    return found.fun, found.nfev


def main(arguments=None):
    """Runs the solver; returns the exit code."""
    parser = argparse.ArgumentParser(prog="vqe_h2.py", description="Ground state energy of H2 by VQE.")
    parser.add_argument("--device", choices=["statevector", "qfw"], default="statevector")
    parser.add_argument(
        "--precision", type=float, default=0.0, help="standard error of an energy (default: exact)"
    )
    parser.add_argument(
        "--tolerance", type=float, help="hartree (default: chemical accuracy, or 4 × precision)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the start and of the shots (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    if not 0 <= args.precision < 1:
        parser.error(
            f"--precision is a standard error in hartree, 0 or more and below 1, not {args.precision}"
        )
    tolerance = args.tolerance if args.tolerance is not None else max(CHEMICAL_ACCURACY, 4 * args.precision)

    start = np.random.default_rng(args.seed).uniform(-np.pi, np.pi, 4)
    energy, evaluations = solve(make_estimator(args.device, args.precision, args.seed), start)
    exact = np.linalg.eigvalsh(HAMILTONIAN.to_matrix())[0]
    error = energy - exact
    print(f"device {args.device}, {evaluations} evaluations of 9 parameter sets")
    print(f"electronic energy  {energy:11.6f} hartree  (exact {exact:11.6f}, error {error:+.1e})")
    print(f"total energy       {energy + REPULSION:11.6f} hartree  (exact {exact + REPULSION:11.6f})")
    if not abs(error) <= tolerance:
        print(f"not converged: the error is above {tolerance:g} hartree", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
