"""A chain that no simulator of the mesh holds: one Trotter step of an Ising chain, cut and run on two simulators.

Every spin begins turned by `tilt` from up, the chain evolves by one step of H = -Σ Z Z - Σ X: rzz(coupling) between
neighbours, rx(field) on each. What becomes of the magnetisation is known in closed form. The tool `cut` finds where the
chain falls into fragments that fit, both simulators of the mesh run these, and their answers come together again: the
whole chain is never simulated. All couplings are one task; the cut gates' angle is a slot as well.

    python examples/cut_chain/cut_chain.py
    python examples/cut_chain/cut_chain.py --spins 60 --width 16 --shots 4000

Exit codes: 0 the magnetisation is within its stated error, 1 not, 2 usage, or no two simulators are there.
"""

import argparse
import sys
from math import pi

import numpy as np

import qfw

#: Stated errors within which each number has to be: of one in some million it is not.
BOUND = 5.0
#: What rounding leaves where nothing is sampled.
ROUNDING = 1e-9


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="cut_chain.py",
        description="Run an Ising chain that is wider than every device, cut into fragments, on two simulators.",
        epilog="Exit codes: 0 the magnetisation is within its stated error, 1 not, 2 usage, or too few simulators.",
    )
    parser.add_argument("--spins", type=int, default=36, help="of the chain (default: %(default)s)")
    parser.add_argument(
        "--width", type=int, default=20, help="qubits of the widest fragment (default: %(default)s)"
    )
    parser.add_argument("--cuts", type=int, default=4, help="at most (default: %(default)s)")
    parser.add_argument(
        "--shots", type=int, default=1000, help="of each program; 0: exact (default: %(default)s)"
    )
    parser.add_argument("--points", type=int, default=3, help="couplings (default: %(default)s)")
    parser.add_argument("--tilt", type=float, default=1.0, help="of the first state (default: %(default)s)")
    parser.add_argument("--field", type=float, default=0.8, help="angle of each spin (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the shots (default: %(default)s)")
    args = parser.parse_args(arguments)
    if not 2 <= args.spins <= 500:
        parser.error(f"--spins: 2 to 500, not {args.spins}")
    if args.points < 1:
        parser.error(f"--points: at least 1, not {args.points}")
    return args


def step(spins, tilt, field):
    """The program; its slot is the coupling's angle."""
    return qfw.Program(
        spins,
        0,
        1,
        (
            *(qfw.Gate("ry", (spin,), (tilt,)) for spin in range(spins)),
            *(qfw.Gate("rzz", (spin, spin + 1), (qfw.slot(0),)) for spin in range(spins - 1)),
            *(qfw.Gate("rx", (spin,), (field,)) for spin in range(spins)),
        ),
    )


def magnetisation(spins, tilt, field, couplings):
    """Mean <Z> in closed form, of each coupling.

    A neighbour turns X + iY of a spin by the coupling, this or that way round as its own Z is; the field makes Z of Y.
    """
    turned = np.cos(couplings) + 1j * np.sin(couplings) * np.cos(tilt)
    inner, ends = (
        np.cos(tilt) * np.cos(field) + np.sin(tilt) * np.sin(field) * (turned**n).imag for n in (2, 1)
    )
    return (inner * (spins - 2) + ends * 2) / spins


def two_simulators(session):
    """The two that are preferred, of those that answer exactly."""
    found = [
        device
        for device in session.devices
        if device.profile.kind == "simulator" and device.profile.exact and device.profile.engine != "noop"
    ]
    found.sort(key=lambda device: device.profile.preference, reverse=True)
    if len(found) < 2:
        raise qfw.errors.UnknownDevice(f"two simulators are needed; there are {len(found)}")
    return found[:2]


def main(arguments=None):
    """Runs it; gives the exit code."""
    args = parse(arguments)
    couplings = np.linspace(pi / 12, pi / 3, args.points)
    terms = {f"Z{spin}": 1 / args.spins for spin in range(args.spins)}
    pipeline = qfw.ToolPipeline([("cut", {"max_qubits": args.width, "max_cuts": args.cuts})])
    try:
        with qfw.Session() as session:
            mesh = session.mesh(two_simulators(session))
            print(
                f"{args.spins} spins on {', '.join(device.name for device in mesh.devices)}", file=sys.stderr
            )
            with mesh.stream(pipeline=pipeline) as stream:
                future = stream.run(
                    step(args.spins, args.tilt, args.field),
                    couplings.reshape(-1, 1),
                    shots=args.shots or None,
                    outputs=qfw.Expectation((qfw.PauliSum.of(terms),)),
                    seed=args.seed,
                )
                result = future.result(timeout=600)
    except qfw.errors.QFwError as error:
        print(f"cut_chain: {error}", file=sys.stderr)
        return 2
    for note in result.notes:
        print(note, file=sys.stderr)
    exact = magnetisation(args.spins, args.tilt, args.field, couplings)
    values, errors = result.expectation_values[:, 0], result.standard_errors[:, 0]
    print("coupling  magnetisation  stated error  exact")
    for coupling, value, error, right in zip(couplings, values, errors, exact, strict=True):
        print(f"{coupling:8.4f}  {value:13.6f}  {error:12.6f}  {right:.6f}")
    print(
        f"programs {len(result.parts)}, on {', '.join(result.devices)}; executions per coupling {result.executions}"
    )
    return int(bool((np.abs(values - exact) > BOUND * errors + ROUNDING).any()))


if __name__ == "__main__":
    sys.exit(main())
