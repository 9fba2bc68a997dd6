"""Maximum cut of a graph by the quantum approximate optimisation algorithm, with PennyLane.

The graph is a prism: two triangles joined by three edges. The angles of two layers are optimised by gradient
descent, then the best state is sampled; the best cut among the samples is compared with the one that trying
all 64 partitions finds.

    python qaoa_maxcut.py                       # PennyLane's lightning.qubit, in this process
    python qaoa_maxcut.py --device qfw          # the same through QFw
    python qaoa_maxcut.py --device qfw --edges 0-1,1-2,2-3,3-0

Exit codes: 0 the best cut was found, 1 not, 2 usage.
"""

import argparse
import sys
from itertools import product

import numpy as np
import pennylane as qml
from pennylane import numpy as pnp

PRISM = "0-1,1-2,2-0,3-4,4-5,5-3,0-3,1-4,2-5"
#: Trying all partitions, and a state of all qubits, is for small graphs.
MOST_NODES = 16


def read_edges(text):
    """Pairs of nodes from "0-1,1-2"; ValueError where they are no simple graph."""
    edges = []
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) != 2 or not all(end.isdecimal() for end in ends):
            raise ValueError(f"{part!r} is no edge; write for example 0-1,1-2")
        first, second = sorted(map(int, ends))
        if first == second:
            raise ValueError(f"the edge {part!r} joins a node with itself")
        if (first, second) in edges:
            raise ValueError(f"the edge {part!r} is there twice")
        edges.append((first, second))
    nodes = {node for edge in edges for node in edge}
    if nodes != set(range(len(nodes))):
        raise ValueError(f"the nodes must be 0 to {len(nodes) - 1} without a gap, not {sorted(nodes)}")
    if len(nodes) > MOST_NODES:
        raise ValueError(f"the graph has {len(nodes)} nodes; {MOST_NODES} are the most here")
    return edges, len(nodes)


def cut(bits, edges):
    """Edges between the two sides."""
    return sum(bits[a] != bits[b] for a, b in edges)


def make_circuits(device, edges, nodes, shots):
    """The cost of given angles, exact or with shots; and samples of the state."""
    hamiltonian = qml.sum(*(0.5 * (qml.Z(a) @ qml.Z(b) - qml.I(a)) for a, b in edges))

    def layers(angles):
        for wire in range(nodes):
            qml.Hadamard(wire)
        for gamma, beta in zip(*angles, strict=True):
            for a, b in edges:
                qml.IsingZZ(gamma, wires=[a, b])
            for wire in range(nodes):
                qml.RX(2 * beta, wires=wire)

    @qml.qnode(device, diff_method="parameter-shift", shots=shots)
    def cost(angles):
        layers(angles)
        return qml.expval(hamiltonian)

    @qml.qnode(device, shots=1000)
    def samples(angles):
        layers(angles)
        return qml.sample(wires=range(nodes))

    return cost, samples


def positive(text):
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def main(arguments=None):
    """Runs the algorithm; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="qaoa_maxcut.py", description="Maximum cut of a small graph by QAOA."
    )
    parser.add_argument(
        "--device", default="lightning.qubit", help="any PennyLane device (default: %(default)s)"
    )
    parser.add_argument("--edges", default=PRISM, help="the graph (default: %(default)s)")
    parser.add_argument("--layers", type=positive, default=2, help="of the ansatz (default: %(default)s)")
    parser.add_argument(
        "--epochs", type=positive, default=30, help="of gradient descent (default: %(default)s)"
    )
    parser.add_argument("--shots", type=positive, help="of every cost (default: exact)")
    parser.add_argument("--seed", type=int, default=0, help="of the samples (default: %(default)s)")
    args = parser.parse_args(arguments)
    try:
        edges, nodes = read_edges(args.edges)
    except ValueError as error:
        parser.error(f"--edges: {error}")

    device = qml.device(args.device, wires=nodes, seed=args.seed)
    cost, samples = make_circuits(device, edges, nodes, args.shots)
    # A ramp: weak cost and strong mixing first, the reverse at the end.
    ramp = (np.arange(args.layers) + 0.5) / args.layers
    angles = pnp.array([0.8 * ramp, 0.8 * (1 - ramp)], requires_grad=True)
    optimizer = qml.AdamOptimizer(stepsize=0.05)
    for _ in range(args.epochs):
        angles = optimizer.step(cost, angles)
    mean = -float(cost(angles))

    best = max((tuple(row) for row in samples(angles)), key=lambda bits: cut(bits, edges))
    exact = max(cut(bits, edges) for bits in product((0, 1), repeat=nodes))
    print(f"device {args.device}, {nodes} nodes, {len(edges)} edges, {args.layers} layers")
    print(f"mean cut of the state   {mean:.3f}  (ratio {mean / exact:.3f})")
    print(f"best cut of 1000 shots  {cut(best, edges)}  by {''.join(map(str, best))}")
    print(f"exact maximum           {exact}")
    if cut(best, edges) < exact:
        print("the samples do not hold a maximum cut; try more --layers or --epochs", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
