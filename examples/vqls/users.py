"""Solves a system of the user's own: says what it will cost, runs, and shows what was found."""

import sys
import time
from pathlib import Path

import numpy as np
import pennylane as qml

from ansatz import Ansatz, usual_layers
from cost import Cost
from decomposition import decompose
from hadamard import HadamardTests
from optimizers import STEADY, WINDOW, WITH_GRADIENT, Watch, search
from outcome import CONVERGED, InputError, Refused, fidelity, state_fidelity
from progress import CircuitCounter, Progress, open_device, trying
from system import load_system

#: Where the command line names none.
EPOCHS, EPOCHS_WITH_SHOTS = 200, 100
RESTARTS, RESTARTS_WITH_SHOTS = 4, 1
PRUNE = 1e-13
#: Above, or from so many qubits on, only with --force.
MAX_CIRCUITS_PER_EVALUATION, MANY_QUBITS = 2000, 4
#: The infidelity that the default tolerance allows.
INFIDELITY = 0.01
#: Circuits that are run to predict the time, and the longest that predicting may take.
SAMPLE, SAMPLE_S = 16, 2.0


def solve(args):
    """Solves the system of --matrix and --rhs as the command line says; returns the exit code.

    Raises:
        InputError: the system, or where its solution shall go, is not usable.
        Refused: it costs more than is allowed.
        DeviceRefused: PennyLane or the device does not take the options.
    """
    system = load_system(args.matrix, args.rhs)
    _check_output(args.output)
    terms = decompose(system.matrix, PRUNE if args.prune is None else args.prune, system.condition)
    tests = HadamardTests.of(terms, system.rhs)
    layers = usual_layers(system.qubits) if args.layers is None else args.layers
    ansatz = Ansatz(system.qubits, layers, system.real)
    with trying(args.device):
        device = open_device(args, wires=system.qubits + 1)
    counter = CircuitCounter(device)
    cost = Cost(tests, ansatz, device, args.shots, least_norm=system.condition**-2)

    plan = Plan(args, cost, system)
    _announce(args, system, terms, cost)
    with trying(args.device):
        plan.predict()
    plan.check(args)

    began, before = time.perf_counter(), counter.circuits
    weights = plan.run(counter, np.random.default_rng(args.seed))
    spent = f"{counter.circuits - before} circuits in {time.perf_counter() - began:.2f} s"
    return _show(args, system, cost, weights, spent)


class Plan:
    """What will be run, and what it may take at most."""

    def __init__(self, args, cost, system):
        self.cost, self.seed = cost, args.seed
        self.optimizer = args.optimizer or ("adam" if args.shots else "bfgs")
        self.epochs = args.epochs or (EPOCHS_WITH_SHOTS if args.shots else EPOCHS)
        usual = RESTARTS_WITH_SHOTS if args.shots else RESTARTS
        self.starts = 1 + (usual if args.restarts is None else args.restarts)
        # C ≤ ε / (n κ²) means a fidelity of at least 1 - ε (arXiv:1909.05820).
        self.tolerance = args.tolerance
        if self.tolerance is None:
            self.tolerance = INFIDELITY / (system.qubits * system.condition**2)
        self.window = WINDOW if args.shots and self.optimizer in STEADY else 1
        #: Sets of weights in an epoch.
        self.sets = cost.sets_of_gradient if self.optimizer in WITH_GRADIENT else 1

    @property
    def circuits(self):
        """At most, in all."""
        return self.cost.tests.circuits * self.sets * self.epochs * self.starts

    def predict(self):
        """Runs a few circuits and prints what all of them would take."""
        rng = np.random.default_rng(self.seed)
        sample = self.cost.tests.sample(SAMPLE, rng)
        # The first ones start what has to be started.
        self._time(sample, 1, rng)
        single_s = self._time(sample, 1, rng) / SAMPLE
        many_s = single_s * self.sets
        if self.sets > 1 and many_s * SAMPLE < SAMPLE_S:
            self._time(sample, self.sets, rng)
            many_s = self._time(sample, self.sets, rng) / SAMPLE
        circuits = self.cost.tests.circuits
        print(
            f"predicted  {seconds(circuits * single_s)} for an evaluation, {seconds(circuits * many_s)} for an epoch"
            f" of {self.optimizer} ({circuits * self.sets} circuits), at most"
            f" {seconds(circuits * many_s * self.epochs * self.starts)} in all"
            f" ({self.epochs} epochs from each of {self.starts} starts)",
            flush=True,
        )

    def _time(self, sample, sets, rng):
        weights = rng.uniform(-np.pi, np.pi, (self.cost.ansatz.weights, sets))
        began = time.perf_counter()
        self.cost.run(sample, weights)
        return time.perf_counter() - began

    def check(self, args):
        """Whether that may be run.

        Raises:
            Refused: it may not.
        """
        tests = self.cost.tests
        if not args.force:
            if tests.circuits > MAX_CIRCUITS_PER_EVALUATION:
                raise Refused(
                    f"an evaluation takes {tests.circuits} circuits, more than {MAX_CIRCUITS_PER_EVALUATION}; "
                    "--prune leaves out small terms, --force runs it all the same"
                )
            if tests.qubits >= MANY_QUBITS:
                raise Refused(
                    f"{tests.qubits} qubits: from {MANY_QUBITS} on random starts rarely converge; "
                    "--force runs it all the same"
                )
        if args.max_circuits and self.circuits > args.max_circuits:
            raise Refused(
                f"{self.epochs} epochs of {self.optimizer} from each of {self.starts} starts may need "
                f"{self.circuits} circuits, more than --max-circuits {args.max_circuits}; "
                "lower --epochs or --restarts, try --optimizer cobyla, or raise it"
            )

    def run(self, counter, rng):
        """The best weights of all starts; no further start once the tolerance is met."""
        best, best_cost = None, float("inf")
        for start in range(1, self.starts + 1):
            print(f"start {start} of at most {self.starts}", flush=True)
            watch = Watch(Progress(counter, self.tolerance), self.epochs, self.window)
            weights = rng.uniform(-np.pi, np.pi, self.cost.ansatz.weights)
            search(self.optimizer, self.cost, weights, watch)
            if watch.best_cost < best_cost:
                best, best_cost = watch.best, watch.best_cost
            if best_cost <= self.tolerance:
                break
        print(f"best cost {best_cost:.3g}, tolerance {self.tolerance:.3g}")
        return best


def _announce(args, system, terms, cost):
    tests, ansatz = cost.tests, cost.ansatz
    gates = " and ".join(rotation.__name__ for rotation in ansatz.rotations)
    moved = "no bound" if np.isinf(terms.solution_error) else f"at most {terms.solution_error:.2g}"
    print(f"system     {system.kind()}, condition number {system.condition:.4g}")
    print(f"device     {args.device}, {args.shots or 'no'} shots")
    print(f"qubits     {system.qubits}, and one for the Hadamard tests")
    print(
        f"terms      {len(terms.coefficients)} of {4**system.qubits} Pauli words kept; relative error of the matrix"
        f" {terms.error:.2g} (spectral norm), of the solution {moved}"
    )
    print(f"ansatz     {gates}, {ansatz.layers} entangling layers, {ansatz.weights} weights")
    print(
        f"circuits   {tests.circuits} for an evaluation of the cost,"
        f" {tests.circuits_of_all_pairs} before symmetry",
        flush=True,
    )


def _show(args, system, cost, weights, spent):
    """Prints the solution, its residual and its fidelity; returns the exit code."""
    state = _state(cost, weights)
    if system.real:
        state = state.real
    matrix, rhs = (part.real if system.real else part for part in (system.matrix, system.rhs))
    image = matrix @ state
    # The scale and phase with the least residual.
    found = state * (np.vdot(image, rhs) / np.vdot(image, image))
    residual = float(np.linalg.norm(matrix @ found - rhs))
    exact = np.linalg.solve(matrix, rhs)

    print("\nsolution   found                   exact")
    for index, pair in enumerate(zip(found * system.scale, exact * system.scale, strict=True)):
        print(f"x[{index}]".ljust(11) + "".join(f"{number:<24.5g}" for number in pair).rstrip())
    if args.shots:
        measured = _distribution(cost, weights)
        end = fidelity(measured, np.abs(exact) ** 2 / np.linalg.norm(exact) ** 2)
        compared = f"of the distributions, measured with {args.shots} shots and exact"
        source = "state computed from the weights in this process"
    else:
        end = state_fidelity(state, exact)
        compared = "of the states, |<found|exact>|²"
        source = f"state as {args.device} gives it"
    print(f"\nresidual   |Ax - b| / |b| = {residual:.3g} ({source}; scale and phase by least squares)")
    print(f"fidelity   {end:.4f} ({compared}), {spent}")
    if args.output:
        _write(args.output, found * system.scale)
    if end < CONVERGED:
        print(
            f"not converged: the fidelity is below {CONVERGED}; residual {residual:.3g}. "
            "Try more --layers, --restarts, --epochs or --shots, or another --seed",
            file=sys.stderr,
        )
        return 1
    return 0


def _state(cost, weights):
    """V(w)|0>, shape (2^n,): from the device; in this process where the device samples, which shows no state."""
    qubits = cost.ansatz.qubits
    device = qml.device("default.qubit", wires=qubits + 1) if cost.shots else cost.device
    circuit = qml.tape.QuantumScript(cost.ansatz.operations(weights), [qml.state()])
    (state,) = qml.execute([circuit], device, diff_method=None)
    # The wire of the Hadamard tests is the last one, and idle.
    return np.reshape(state, (2**qubits, -1))[:, 0]


def _distribution(cost, weights):
    measured = [qml.probs(wires=range(cost.ansatz.qubits))]
    circuit = qml.tape.QuantumScript(cost.ansatz.operations(weights), measured, shots=cost.shots)
    return qml.execute([circuit], cost.device, diff_method=None)[0]


def _check_output(path):
    if path and not Path(path).parent.is_dir():
        raise InputError(f"--output {path}: no such folder")
    if path and Path(path).is_dir():
        raise InputError(f"--output {path}: is a folder")


def _write(path, solution):
    try:
        with Path(path).open("wb") as file:
            np.save(file, solution, allow_pickle=False)
    except OSError as error:
        raise InputError(f"--output {path}: {error.strerror or error}") from error
    print(f"written    {path}")


def seconds(number):
    """A time for people."""
    if number < 1:
        return f"{number * 1000:.3g} ms"
    if number < 120:
        return f"{number:.3g} s"
    return f"{number / 60:.3g} min" if number < 7200 else f"{number / 3600:.3g} h"
