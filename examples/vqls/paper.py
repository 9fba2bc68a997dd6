"""The built-in system: A = c0 I + c1 X0 Z1 + c2 X0 on three qubits, b = H⊗H⊗H|0>.

Written out term by term, as a PennyLane user would: an ansatz V(w)|0> of one RY rotation per qubit
stands for x, and the local cost (Bravo-Prieto et al., arXiv:1909.05820) compares A V(w)|0> with b by
Hadamard tests on one more wire. Every pair of terms is run, 72 circuits for one evaluation, so that
other solvers can be compared with this one; systems of the user's own are solved by `users`.
"""

import sys
import time
from contextlib import suppress
from itertools import product

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp
from scipy.optimize import minimize

from outcome import CONVERGED, Refused, fidelity
from progress import CircuitCounter, Enough, Progress, open_device, trying

QUBITS = 3
ANCILLA = QUBITS
#: Coefficients of A, in the order of `controlled_a`.
COEFFICIENTS = [1.0, 0.2, 0.2]
#: Hadamard tests of one cost evaluation: pairs of unitaries, a qubit or none, real and imaginary part.
CIRCUITS_PER_COST = len(COEFFICIENTS) ** 2 * (QUBITS + 1) * 2
#: Limits where the command line names none.
EPOCHS, TOLERANCE, MAX_CIRCUITS = 60, 0.01, 50_000


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


def bad_start(solution, exact, rng):
    """Random weights that are far from the solution, and their fidelity: there is something to be solved."""
    while True:
        weights = pnp.array(rng.uniform(-np.pi, np.pi, QUBITS), requires_grad=True)
        start = fidelity(solution(weights), exact)
        if start < 0.5:
            return weights, start


def descend(cost, weights, epochs, progress):
    """Gradient descent; an epoch is a cost evaluation and its gradient."""
    optimizer = qml.GradientDescentOptimizer(stepsize=2.0)
    for _ in range(epochs):
        weights, value = optimizer.step_and_cost(cost, weights)
        if progress.report(value):
            break
    return weights


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


OPTIMIZERS = {"gd": descend, "cobyla": search}


def most_circuits(optimizer, epochs):
    """An upper bound: parameter shift runs every circuit twice more per weight."""
    per_epoch = CIRCUITS_PER_COST * (1 + 2 * QUBITS if optimizer == "gd" else 1)
    return epochs * per_epoch + 2


def solve(args):
    """Solves the built-in system as the command line says; returns the exit code.

    Raises:
        Refused: the epochs may need more circuits than are allowed.
        DeviceRefused: PennyLane or the device does not take the options.
    """
    name, epochs = args.optimizer or "gd", args.epochs or EPOCHS
    allowed = args.max_circuits or MAX_CIRCUITS
    circuits = most_circuits(name, epochs)
    if circuits > allowed:
        raise Refused(
            f"{epochs} epochs with {name} may need {circuits} circuits, more than "
            f"--max-circuits {allowed}; lower --epochs, try --optimizer cobyla, or raise it"
        )

    exact = exact_distribution()
    with trying(args.device):
        device = open_device(args, wires=QUBITS + 1)
        counter = CircuitCounter(device)
        hadamard_test, solution = make_circuits(device, args.shots)
        weights, start = bad_start(solution, exact, np.random.default_rng(args.seed))

    print(f"device {args.device}, {args.shots or 'no'} shots, {name}, at most {circuits} circuits")
    print(f"start      fidelity {start:.3f}", flush=True)
    began = time.perf_counter()
    progress = Progress(counter, TOLERANCE if args.tolerance is None else args.tolerance)
    weights = OPTIMIZERS[name](make_cost(hadamard_test), weights, epochs, progress)
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
