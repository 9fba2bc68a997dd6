"""Much quantum, little classical: a sampling sweep of a Trotterised Ising chain, against exact diagonalisation.

A chain of spins begins with all of them up and evolves under H = -Σ Z Z - field · Σ X. For every field and every time
one circuit is sampled; all times of a field are one task, and all circuits are one structure, of which only the angles
travel. Magnetisation and correlations are compared with the exact ones.

    python examples/ising_sweep/ising_sweep.py
    python examples/ising_sweep/ising_sweep.py --spins 8 --steps 30 --points 41 --shots 10000
    python examples/ising_sweep/ising_sweep.py --device twin-20 --pipeline transpile --spins 3 --steps 2 --until 0.4

Exit codes: 0 everything is within what is stated, 1 not, 2 usage, or the device refuses.
"""

import argparse
import sys
import time
from concurrent.futures import as_completed

import chain
import numpy as np

import qfw

#: Qubits err while they wait, too, and more than they did when they were calibrated.
NOISE_MARGIN = 1.5


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="ising_sweep.py",
        description="Sample a Trotterised Ising chain for many fields and times; compare with exact diagonalisation.",
        epilog="Exit codes: 0 everything is within what is stated, 1 not, 2 usage, or the device refuses.",
    )
    parser.add_argument("--device", default="auto", help="any device of QFw (default: %(default)s)")
    parser.add_argument(
        "--pipeline",
        metavar="TOOLS",
        help="tools that lower the circuit, with commas between them: transpile",
    )
    parser.add_argument(
        "--spins", type=int, default=6, help=f"2 to {chain.MOST_SPINS} (default: %(default)s)"
    )
    parser.add_argument(
        "--steps", type=positive, default=20, help="Trotter steps of every circuit (default: %(default)s)"
    )
    parser.add_argument(
        "--fields", type=fields, default="0.5,1,1.5", help="transverse fields (default: %(default)s)"
    )
    parser.add_argument("--until", type=float, default=1.5, help="the last time (default: %(default)s)")
    parser.add_argument("--points", type=positive, default=16, help="times per field (default: %(default)s)")
    parser.add_argument("--shots", type=positive, default=4000, help="of each circuit (default: %(default)s)")
    parser.add_argument(
        "--risk",
        type=float,
        default=1e-6,
        help="probability that statistics alone exceed their bound, for each number (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the shots (default: %(default)s)")
    args = parser.parse_args(arguments)
    if not 2 <= args.spins <= chain.MOST_SPINS:
        parser.error(f"--spins: 2 to {chain.MOST_SPINS}, not {args.spins}")
    if not 0 < args.until < float("inf"):
        parser.error(f"--until: a time above 0, not {args.until}")
    if not 0 < args.risk < 1:
        parser.error(f"--risk: between 0 and 1, not {args.risk}")
    if not 0 <= args.seed < 2**62:
        parser.error(f"--seed: 0 or more, not {args.seed}")
    return args


def positive(text):
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def fields(text):
    """Numbers with commas between them."""
    try:
        found = [float(word) for word in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of numbers; write for example 0.5,1") from None
    if not all(0 <= field < 1e3 for field in found):
        raise argparse.ArgumentTypeError("fields are 0 or more and below 1000")
    return found


def sampled(args, times):
    """Estimates and their standard errors, shape (fields, times, observables), and how noisy the device is.

    The noise is the probability that anything errs in a circuit by the device's calibration, 0 of an ideal one.
    """
    program = chain.circuit(args.spins, args.steps)
    means = np.empty((len(args.fields), args.points, len(chain.OBSERVABLES)))
    errors = np.empty_like(means)
    with qfw.Session() as session:
        device = session.device(args.device)
        pipeline, noise = None, 0.0
        if args.pipeline:
            pipeline = qfw.ToolPipeline(args.pipeline.split(","))
            likely = pipeline.explain(program, device).rows[-1].fidelity
            noise = 0.0 if likely is None else 1.0 - likely
        with device.stream(pipeline=pipeline) if pipeline else device.stream() as stream:
            requests = [
                qfw.Request(
                    program, chain.angles(field, times, args.steps), args.shots, seed=args.seed + index
                )
                for index, field in enumerate(args.fields)
            ]
            futures = {future: index for index, future in enumerate(stream.run_many(requests))}
            began = time.perf_counter()
            for done, future in enumerate(as_completed(futures), 1):
                result, index = future.result(), futures[future]
                for row, counts in enumerate(result.counts):
                    means[index, row], errors[index, row] = estimate(counts)
                print(
                    f"field {args.fields[index]:g} done on {result.device}: {done} of {len(futures)}, "
                    f"{done * args.points * args.shots} shots, {time.perf_counter() - began:.2f} s",
                    file=sys.stderr,
                )
    return means, errors, noise


def estimate(counts):
    """Means of the observables and their standard errors, from the counts of one circuit."""
    z = np.array([[1.0 - 2.0 * int(bit) for bit in reversed(string)] for string in counts])
    numbers = np.array(list(counts.values()), dtype=float)
    values, shots = chain.observables(z), numbers.sum()
    means = numbers @ values / shots
    squares = numbers @ (values - means) ** 2 / max(shots - 1, 1)
    return means, np.sqrt(squares / shots)


def compare(args, times, means, errors, noise):
    """Prints the sweep beside the truth; true where all is within what is stated, else says why not."""
    of_noise = 2.0 * min(1.0, NOISE_MARGIN * noise)
    outside = loose = 0
    trotter_is_right = True
    worst_statistics = worst_trotter = worst = 0.0
    print("field  time   " + "   ".join(f"{name:>22}" for name in chain.OBSERVABLES) + "   trotter bound")
    for index, field in enumerate(args.fields):
        truth = chain.exact(args.spins, field, times)
        ideal, variances = chain.trotterised(args.spins, field, times, args.steps)
        of_trotter = chain.trotter_bound(args.spins, field, times, args.steps)[:, None]
        allowed = chain.statistical_bound(variances, args.shots, args.risk) + of_noise
        outside += int((np.abs(means[index] - ideal) > allowed).sum())
        loose += int((allowed + of_trotter >= 1.0).sum())
        trotter_is_right &= bool((np.abs(ideal - truth) <= of_trotter + 1e-9).all())
        worst_statistics = max(worst_statistics, float(np.abs(means[index] - ideal).max()))
        worst_trotter = max(worst_trotter, float(np.abs(ideal - truth).max()))
        worst = max(worst, float((np.abs(means[index] - truth) / (allowed + of_trotter)).max()))
        for row, at in enumerate(times):
            cells = [
                f"{means[index, row, k]:6.3f} ±{errors[index, row, k]:.3f} ({truth[row, k]:6.3f})"
                for k in range(len(chain.OBSERVABLES))
            ]
            print(f"{field:5g}  {at:4.2f}   " + "   ".join(f"{cell:>22}" for cell in cells), end="")
            print(f"   {of_trotter[row, 0]:13.4f}")
    numbers = means.size
    print(f"\n{numbers} numbers of {args.shots} shots each; in parentheses by exact diagonalisation")
    print(
        f"statistics{' and noise' if noise else ''}: {numbers - outside} of {numbers} within their bound of the "
        f"circuit's own value, at most {worst_statistics:.4f} off"
    )
    print(
        f"Trotter error: {'within' if trotter_is_right else 'BEYOND'} its bound, at most {worst_trotter:.4f}"
    )
    print(f"both together: at most {worst:.2f} of what is allowed")
    if noise:
        print(f"noise: something errs in a circuit with probability {noise:.3f} by the calibration")
    if loose > numbers // 2:
        print("most bounds are so wide that they say nothing: take fewer spins or steps", file=sys.stderr)
        return False
    right = outside == 0 and trotter_is_right and worst <= 1.0
    if not right:
        print("not as exact diagonalisation has it", file=sys.stderr)
    return right


def main(arguments=None):
    """Runs the sweep; returns the exit code."""
    args = parse(arguments)
    times = np.linspace(0.0, args.until, args.points)
    try:
        means, errors, noise = sampled(args, times)
    except qfw.errors.QFwError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0 if compare(args, times, means, errors, noise) else 1


if __name__ == "__main__":
    sys.exit(main())
