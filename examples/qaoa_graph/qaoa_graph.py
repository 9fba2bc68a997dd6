"""Quantum and classical in turns: the maximum cut of a graph by QAOA and COBYLA, against trying all partitions.

The graph is read from a file with an edge (and perhaps its weight) in every line. COBYLA moves the angles of the
circuit; each of its steps waits for one sampled circuit. Several starts go on at the same time, on one stream. The best
angles are sampled once more, and the best cut among these shots is compared with the best one of all.

    python examples/qaoa_graph/qaoa_graph.py
    python examples/qaoa_graph/qaoa_graph.py my-graph.txt --layers 4 --starts 8 --shots 4000

Exit codes: 0 a maximum cut was found, more often than by chance; 1 not; 2 usage, a file that is no graph, or the device
refuses.
"""

import argparse
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import graph
import numpy as np
from scipy.optimize import minimize

import qfw

GRAPH = Path(__file__).with_name("petersen.txt")
#: Seconds within which the device answers.
LIMIT_S = 300.0
#: Evaluations between two lines of progress.
TELL = 20


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="qaoa_graph.py",
        description="Maximum cut of a graph by QAOA with COBYLA, checked by trying all partitions.",
        epilog="Exit codes: 0 a maximum cut was found, more often than by chance; 1 not; 2 usage, a file that is no "
        "graph, or the device refuses.",
    )
    parser.add_argument(
        "graph",
        nargs="?",
        type=Path,
        default=GRAPH,
        help="edge list (default: %(default)s, Petersen's graph)",
    )
    parser.add_argument("--device", default="auto", help="any device of QFw (default: %(default)s)")
    parser.add_argument("--layers", type=positive, default=3, help="of the circuit (default: %(default)s)")
    parser.add_argument(
        "--starts", type=positive, default=4, help="of COBYLA, at once (default: %(default)s)"
    )
    parser.add_argument(
        "--evaluations",
        type=positive,
        default=80,
        help="of the mean cut, for each start (default: %(default)s)",
    )
    parser.add_argument("--shots", type=positive, default=2000, help="of each circuit (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of starts and shots (default: %(default)s)")
    args = parser.parse_args(arguments)
    if not 0 <= args.seed < 2**31:
        parser.error(f"--seed: 0 to 2**31 - 1, not {args.seed}")
    if args.evaluations < 2 * args.layers + 2:
        parser.error(f"--evaluations: COBYLA needs {2 * args.layers + 2} for {args.layers} layers at least")
    try:
        args.graph = graph.read(args.graph.read_text(encoding="utf-8").splitlines())
    except (OSError, ValueError) as error:
        parser.error(f"{args.graph}: {error}")
    return args


def positive(text):
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def circuit(found, layers):
    """QAOA of a graph; slots: the angles of cost of all layers, then those of mixing."""
    nodes = range(len(found.names))
    # Angles that do not depend on how the weights are scaled.
    scale = found.weight / len(found.edges)
    operations = [qfw.Gate("h", (node,)) for node in nodes]
    for layer in range(layers):
        operations += [qfw.Gate("rzz", (a, b), (qfw.slot(layer, w / scale),)) for a, b, w in found.edges]
        operations += [qfw.Gate("rx", (node,), (qfw.slot(layers + layer, 2.0),)) for node in nodes]
    operations += [qfw.Measure(node, node) for node in nodes]
    return qfw.Program(len(nodes), len(nodes), 2 * layers, tuple(operations))


class Sampler:
    """Cuts that the device samples, and how long that took; several starts use one at the same time."""

    def __init__(self, stream, found, layers, shots):
        """`found`: the graph."""
        self._stream, self._graph, self._shots = stream, found, shots
        self._program = circuit(found, layers)
        self._lock = threading.Lock()
        self.circuits, self.device_s = 0, 0.0

    def cuts(self, angles, seed):
        """The cut of every shot: the different ones, how often each came, and a partition for each."""
        result = self._stream.run(self._program, angles, shots=self._shots, seed=seed).result(LIMIT_S)
        timeline, conditions = result.timeline, result.conditions
        took_ns = conditions.device_ns if conditions else timeline.run_ended_ns - timeline.run_began_ns
        with self._lock:
            self.circuits += 1
            self.device_s += took_ns / 1e9
        strings = list(result.counts[0])
        # Bit 0 is the rightmost.
        sides = np.array([[int(bit) for bit in reversed(string)] for string in strings])
        return self._graph.cuts(sides), np.array(list(result.counts[0].values())), strings

    def mean(self, angles, seed):
        """The mean cut."""
        cuts, numbers, _ = self.cuts(angles, seed)
        return float(cuts @ numbers / numbers.sum())


def optimised(args, sampler, start):
    """Angles that COBYLA ends with from one start, and the mean cut there."""
    rng = np.random.default_rng([args.seed, start])
    ramp = (np.arange(args.layers) + 0.5) / args.layers
    # Weak cost and strong mixing first, the reverse at the end; every start but the first a little aside.
    first = np.concatenate([-0.8 * ramp, 0.8 * (1 - ramp)])
    first += (start > 0) * rng.normal(scale=0.2, size=len(first))
    best, done = (first, -np.inf), 0

    def cost(angles):
        nonlocal best, done
        done += 1
        found = sampler.mean(angles, int(rng.integers(2**62)))
        best = max(best, (angles.copy(), found), key=lambda pair: pair[1])
        if done % TELL == 0:
            print(f"start {start}: {done} evaluations, mean cut {best[1]:.3f}", file=sys.stderr, flush=True)
        return -found

    minimize(cost, first, method="COBYLA", options={"maxiter": args.evaluations, "rhobeg": 0.2, "tol": 1e-3})
    return best


def main(arguments=None):
    """Runs the algorithm; returns the exit code."""
    args = parse(arguments)
    nodes = len(args.graph.names)
    began = time.perf_counter()
    try:
        with qfw.Session() as session, session.device(args.device).stream() as stream:
            sampler = Sampler(stream, args.graph, args.layers, args.shots)
            with ThreadPoolExecutor(args.starts) as starts:
                found = list(starts.map(lambda start: optimised(args, sampler, start), range(args.starts)))
            angles, _ = max(found, key=lambda pair: pair[1])
            # Anew: the best of many means is a little luck.
            cuts, numbers, strings = sampler.cuts(angles, args.seed)
    except qfw.errors.QFwError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    wall_s = time.perf_counter() - began
    exact, partitions = args.graph.best()
    mean, best = float(cuts @ numbers / numbers.sum()), float(cuts.max())
    share = float(numbers[cuts > exact - 1e-9].sum() / numbers.sum())
    chance = partitions / 2**nodes
    print(f"{nodes} nodes, {len(args.graph.edges)} edges, {args.layers} layers, {args.starts} starts")
    print(
        f"mean cut of the state   {mean:.3f}  (ratio {mean / exact:.3f}; {args.graph.weight / 2 / exact:.3f} by chance)"
    )
    side = [
        name
        for name, bit in zip(args.graph.names, reversed(strings[int(cuts.argmax())]), strict=True)
        if bit == "1"
    ]
    print(f"best cut of {args.shots} shots  {best:g}  by {' '.join(side)}")
    print(f"exact maximum           {exact:g}  in {share:.2%} of the shots ({chance:.2%} by chance)")
    print(f"{sampler.circuits} circuits: device {sampler.device_s:.3f} s of {wall_s:.2f} s")
    if best < exact - 1e-9 or share <= chance:
        print("the state does not favour a maximum cut; try more --layers or --evaluations", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
