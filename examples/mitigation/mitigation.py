"""Energies of a variational circuit on a noisy device: as measured, mitigated, and exact.

The circuit is that of a variational eigensolver for the transverse-field Ising chain H = -Σ Z Z - field · Σ X. Its
energy is measured for points on the way down from a first guess, on a simulated quantum processor: as the shots have
it, and through the tool `mitigate`. Both are compared with the exact state.

    python examples/mitigation/mitigation.py
    python examples/mitigation/mitigation.py --methods readout,zne,twirl --frames 8
    python examples/mitigation/mitigation.py --folding local --extrapolation linear --shots 4000

Exit codes: 0 the mitigated energies are nearer to the exact ones, 1 not, 2 usage, or the device refuses.
"""

import argparse
import sys

import numpy as np
import trial

import qfw


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="mitigation.py",
        description="Energies of a variational circuit: as measured, mitigated, and exact.",
        epilog="Exit codes: 0 mitigated energies are nearer to the exact ones, 1 not, 2 usage, or the device refuses.",
    )
    parser.add_argument("--device", default="twin-20", help="one with a calibration (default: %(default)s)")
    parser.add_argument("--spins", type=int, default=4, help="2 to 8 (default: %(default)s)")
    parser.add_argument(
        "--layers", type=int, default=3, help="of the circuit, 1 to 10 (default: %(default)s)"
    )
    parser.add_argument("--points", type=int, default=6, help="energies, 1 to 100 (default: %(default)s)")
    parser.add_argument("--shots", type=int, default=10_000, help="of each basis (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the shots (default: %(default)s)")
    parser.add_argument("--methods", default="readout,zne", help="with commas (default: %(default)s)")
    parser.add_argument("--folding", default="global", help="local or global (default: %(default)s)")
    parser.add_argument("--extrapolation", default="exponential", help="(default: %(default)s)")
    parser.add_argument("--frames", type=int, help="of the method twirl")
    args = parser.parse_args(arguments)
    for name, low, high in (("spins", 2, 8), ("layers", 1, 10), ("points", 1, 100), ("shots", 2, 100_000)):
        if not low <= getattr(args, name) <= high:
            parser.error(f"--{name}: {low} to {high}, not {getattr(args, name)}")
    if not 0 <= args.seed < 2**62:
        parser.error(f"--seed: 0 or more, not {args.seed}")
    return args


def options(args):
    """Of the tool `mitigate`; it checks them itself."""
    methods = args.methods.split(",")
    found = {"methods": methods}
    if "zne" in methods:
        found |= {"folding": args.folding, "extrapolation": args.extrapolation}
    if args.frames is not None:
        found["frames"] = args.frames
    return found


def measured(args, parameters):
    """Results without and with mitigation."""
    program, energy = trial.circuit(args.spins, args.layers), trial.energy(args.spins)
    stages = ["transpile", ("mitigate", options(args))]
    with qfw.Session() as session:
        device = session.device(args.device)
        for pipeline in (qfw.ToolPipeline(stages[:1]), qfw.ToolPipeline(stages)):
            with device.stream(pipeline=pipeline) as stream:
                future = stream.run(
                    program, parameters, outputs=qfw.Expectation((energy,)), shots=args.shots, seed=args.seed
                )
                yield future.result(timeout=600)
            print(f"{pipeline} done on {args.device}", file=sys.stderr)


def main(arguments=None):
    """Prints the energies; returns the exit code."""
    args = parse(arguments)
    parameters = trial.path(args.layers, args.points)
    try:
        raw, better = measured(args, parameters)
    except qfw.errors.QFwError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    exact = trial.exact(args.spins, parameters)
    print("point     exact     as measured        mitigated")
    for row, truth in enumerate(exact):
        cells = [
            f"{result.expectation_values[row, 0]:8.4f} ±{result.standard_errors[row, 0]:.4f}"
            for result in (raw, better)
        ]
        print(f"{row:5}  {truth:8.4f}  " + "  ".join(cells))
    off = [np.sqrt(np.mean((result.expectation_values[:, 0] - exact) ** 2)) for result in (raw, better)]
    print(f"off by (root of mean square): {off[0]:.4f} as measured, {off[1]:.4f} mitigated")
    print(f"executions for each point and basis: {args.shots} as measured, {better.executions} mitigated")
    print(*better.notes, sep="\n")
    if off[1] >= off[0]:
        print("mitigation brought the energies no nearer", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
