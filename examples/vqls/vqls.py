"""Variational quantum linear solver: solves A x = b with quantum circuits and a classical optimiser.

The system is A = c0 I + c1 X0 Z1 + c2 X0 on three qubits, b = H⊗H⊗H|0>. An ansatz V(w)|0> of one
RY rotation per qubit stands for x. The local cost (Bravo-Prieto et al., arXiv:1909.05820) compares
A V(w)|0> with b by Hadamard tests on one more wire: 72 circuits for one evaluation. At the
end the distribution of the solution is measured and compared with that of NumPy's exact one.

    python vqls.py                                      # PennyLane's lightning.qubit, in this process
    python vqls.py --device qfw                         # the same through QFw
    python vqls.py --device qfw --engine qulacs --shots 1000
    python vqls.py --device qfw --optimizer cobyla      # without gradients

Exit codes: 0 converged, 1 not converged, 2 usage, 3 refused because it needs too many circuits.
"""

import argparse
import sys
import time
from contextlib import suppress
from itertools import product

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp
from scipy.optimize import minimize

QUBITS = 3
ANCILLA = QUBITS
#: Coefficients of A, in the order of `controlled_a`.
COEFFICIENTS = [1.0, 0.2, 0.2]
#: Hadamard tests of one cost evaluation: pairs of unitaries, a qubit or none, real and imaginary part.
CIRCUITS_PER_COST = len(COEFFICIENTS) ** 2 * (QUBITS + 1) * 2
#: The least fidelity of the two distributions that counts as a solution.
CONVERGED = 0.95


def prepare_b():
    """U_b: |0> to b. Its own inverse."""
    for wire in range(QUBITS):
        qml.Hadamard(wire)


def controlled_a(term):
    """The unitary of one term of A, controlled by the ancilla."""
    if term == 1:
        qml.CNOT([ANCILLA, 0])
        qml.CZ([ANCILLA, 1])
    if term == 2:
        qml.CNOT([ANCILLA, 0])


def ansatz(weights):
    """V(w): |0> to the trial solution."""
    for wire in range(QUBITS):
        qml.Hadamard(wire)
    for wire in range(QUBITS):
        qml.RY(weights[wire], wires=wire)


def make_circuits(device, shots):
    """The two quantum functions of the solver, on any PennyLane device."""

    @qml.qnode(device, diff_method="parameter-shift", shots=shots)
    def hadamard_test(weights, left, right, qubit, part):
        """Real or imaginary part of <V† A_left† U_b Z_qubit U_b† A_right V>; no Z where `qubit` is None."""
        qml.Hadamard(ANCILLA)
        if part == "imaginary":
            qml.PhaseShift(-np.pi / 2, wires=ANCILLA)
        ansatz(weights)
        controlled_a(left)
        prepare_b()
        if qubit is not None:
            qml.CZ([ANCILLA, qubit])
        prepare_b()
        controlled_a(right)
        qml.Hadamard(ANCILLA)
        return qml.expval(qml.PauliZ(ANCILLA))

    @qml.qnode(device, shots=shots)
    def solution(weights):
        """How the trial solution is distributed."""
        ansatz(weights)
        return qml.probs(wires=range(QUBITS))

    return hadamard_test, solution


def make_cost(hadamard_test):
    """The local cost: 0 where A V(w)|0> is parallel to b, at most 1."""

    def overlap(weights, qubit):
        total = 0.0
        for left, right in product(range(len(COEFFICIENTS)), repeat=2):
            real = hadamard_test(weights, left, right, qubit, "real")
            imaginary = hadamard_test(weights, left, right, qubit, "imaginary")
            total = total + COEFFICIENTS[left] * COEFFICIENTS[right] * (real + 1.0j * imaginary)
        return total

    def cost(weights):
        norm = pnp.abs(overlap(weights, None))
        mean = sum(overlap(weights, qubit) for qubit in range(QUBITS)) / (QUBITS * norm)
        # The distance of the mean from 1: by its absolute value alone, -1 (no qubit agrees) were a solution.
        return 0.5 * pnp.abs(1 - mean)

    return cost


def exact_distribution():
    """NumPy's solution of the same system, squared and normalised."""
    identity, x, z = np.eye(2), np.array([[0, 1], [1, 0]]), np.diag([1, -1])
    terms = [(identity, identity, identity), (x, z, identity), (x, identity, identity)]
    a = sum(c * np.kron(np.kron(*term[:2]), term[2]) for c, term in zip(COEFFICIENTS, terms, strict=True))
    b = np.full(2**QUBITS, 2 ** (-QUBITS / 2))
    squares = np.linalg.solve(a, b) ** 2
    return squares / squares.sum()


def fidelity(p, q):
    """Of two distributions: (Σ √(p q))², 1 where they are equal."""
    return float(np.sum(np.sqrt(np.asarray(p) * np.asarray(q))) ** 2)


def bad_start(solution, exact, rng):
    """Random weights that are far from the solution, and their fidelity: there is something to be solved."""
    while True:
        weights = pnp.array(rng.uniform(-np.pi, np.pi, QUBITS), requires_grad=True)
        start = fidelity(solution(weights), exact)
        if start < 0.5:
            return weights, start


class CircuitCounter:
    """Counts the circuits that PennyLane sends to a device, whatever device it is."""

    def __init__(self, device):
        self.circuits = self.calls = 0
        execute = device.execute

        def counted(circuits, *args, **kwargs):
            self.calls += 1
            self.circuits += len(circuits)
            return execute(circuits, *args, **kwargs)

        device.execute = counted


class Progress:
    """One line per epoch; says when to stop."""

    def __init__(self, counter, tolerance):
        self.counter, self.tolerance = counter, tolerance
        self.epoch, self.circuits, self.calls, self.began = (
            0,
            counter.circuits,
            counter.calls,
            time.perf_counter(),
        )

    def report(self, cost):
        """Prints the epoch that gave `cost`; true where it is good enough."""
        self.epoch += 1
        circuits, calls, now = self.counter.circuits, self.counter.calls, time.perf_counter()
        print(
            f"epoch {self.epoch:3d}  cost {cost:8.5f}  circuits {circuits - self.circuits:4d}"
            f"  device calls {calls - self.calls:4d}  {now - self.began:7.3f} s",
            flush=True,
        )
        self.circuits, self.calls, self.began = circuits, calls, now
        return cost <= self.tolerance


def descend(cost, weights, epochs, progress):
    """Gradient descent; an epoch is a cost evaluation and its gradient."""
    optimizer = qml.GradientDescentOptimizer(stepsize=2.0)
    for _ in range(epochs):
        weights, value = optimizer.step_and_cost(cost, weights)
        if progress.report(value):
            break
    return weights


class Enough(Exception):
    """Ends SciPy's optimiser."""


def search(cost, weights, epochs, progress):
    """COBYLA; an epoch is one cost evaluation, without a gradient."""
    best = (float("inf"), weights)

    def evaluate(trial):
        nonlocal best
        value = float(cost(trial))
        best = min(best, (value, trial.copy()), key=lambda pair: pair[0])
        if progress.report(value):
            raise Enough
        return value

    with suppress(Enough):
        minimize(evaluate, np.asarray(weights), method="COBYLA", options={"maxiter": epochs, "rhobeg": 1.0})
    return best[1]


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="vqls.py",
        description="Solve a linear system with the variational quantum linear solver.",
        epilog="Exit codes: 0 converged, 1 not converged, 2 usage, 3 refused: too many circuits.",
    )
    parser.add_argument(
        "--device", default="lightning.qubit", help="any PennyLane device (default: %(default)s)"
    )
    parser.add_argument("--engine", help="with --device qfw: the engine that runs the circuits")
    parser.add_argument("--shots", type=positive, help="shots of every circuit (default: exact)")
    parser.add_argument(
        "--optimizer", choices=["gd", "cobyla"], default="gd", help="gradient descent, or without"
    )
    parser.add_argument(
        "--epochs", "--steps", type=positive, default=60, help="at most so many (default: %(default)s)"
    )
    parser.add_argument(
        "--tolerance", type=float, default=0.01, help="stop at this cost (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the start and of the device (default: %(default)s)"
    )
    parser.add_argument(
        "--max-circuits", type=positive, default=50_000, help="refuse above (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    if args.engine and args.device != "qfw":
        parser.error(f"--engine is for --device qfw, not {args.device}")
    return parser, args


def positive(text):
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def most_circuits(optimizer, epochs):
    """An upper bound: parameter shift runs every circuit twice more per weight."""
    per_epoch = CIRCUITS_PER_COST * (1 + 2 * QUBITS if optimizer == "gd" else 1)
    return epochs * per_epoch + 2


def main(arguments=None):
    """Runs the solver; returns the exit code."""
    parser, args = parse(arguments)
    circuits = most_circuits(args.optimizer, args.epochs)
    if circuits > args.max_circuits:
        print(
            f"refused: {args.epochs} epochs with {args.optimizer} may need {circuits} circuits, more than "
            f"--max-circuits {args.max_circuits}; lower --epochs, try --optimizer cobyla, or raise it",
            file=sys.stderr,
        )
        return 3

    options = {"engine": args.engine} if args.engine else {}
    exact = exact_distribution()
    try:
        device = qml.device(args.device, wires=QUBITS + 1, seed=args.seed, **options)
        counter = CircuitCounter(device)
        hadamard_test, solution = make_circuits(device, args.shots)
        weights, start = bad_start(solution, exact, np.random.default_rng(args.seed))
    except (qml.exceptions.DeviceError, ValueError) as error:
        parser.error(f"device {args.device}: {error}")

    print(f"device {args.device}, {args.shots or 'no'} shots, {args.optimizer}, at most {circuits} circuits")
    print(f"start      fidelity {start:.3f}", flush=True)
    began = time.perf_counter()
    optimize = descend if args.optimizer == "gd" else search
    weights = optimize(make_cost(hadamard_test), weights, args.epochs, Progress(counter, args.tolerance))
    seconds = time.perf_counter() - began

    measured = solution(weights)
    end = fidelity(measured, exact)
    print("\nsolution   quantum  exact")
    for index, (quantum, classical) in enumerate(zip(measured, exact, strict=True)):
        print(f"|{index:0{QUBITS}b}>       {quantum:7.4f}  {classical:7.4f}")
    print(f"\nfidelity {end:.4f} (start {start:.4f}), {counter.circuits} circuits in {seconds:.2f} s")
    if end < CONVERGED:
        print(f"not converged: the fidelity is below {CONVERGED}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
