"""Variational quantum linear solver: solves A x = b with quantum circuits and a classical optimiser.

    python vqls.py                                      # a built-in system, on PennyLane's lightning.qubit
    python vqls.py --device qfw                         # the same through QFw
    python vqls.py --device qfw --engine qulacs --shots 1000
    python vqls.py --device qfw --optimizer cobyla      # without gradients
    python vqls.py --device qfw --matrix A.npy --rhs b.npy --output x.npy

`paper` holds the built-in system, `users` solves systems of the user's own; this module is the command line.

Exit codes: 0 converged, 1 not converged, 2 usage or bad input, 3 refused because it needs
too many circuits, 130 interrupted.
"""

import argparse
import sys

import paper
import users
from optimizers import OPTIMIZERS
from outcome import DeviceRefused, InputError, Refused

#: Options that mean nothing for the built-in system.
FOR_USERS_SYSTEMS = ("layers", "restarts", "prune", "output", "force")


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="vqls.py",
        description="Solve a linear system with the variational quantum linear solver: a built-in one, "
        "or that of --matrix and --rhs.",
        epilog="Exit codes: 0 converged, 1 not converged, 2 usage or bad input, 3 refused: too many circuits, "
        "130 interrupted.",
    )
    parser.add_argument(
        "--device", default="lightning.qubit", help="any PennyLane device (default: %(default)s)"
    )
    parser.add_argument("--engine", help="with --device qfw: the engine that runs the circuits")
    parser.add_argument("--shots", type=positive, help="shots of every circuit (default: exact)")
    parser.add_argument(
        "--optimizer",
        choices=sorted(OPTIMIZERS),
        help="gradient descent (gd) or without gradients (cobyla); bfgs and adam are for --matrix "
        "(default: gd; with --matrix bfgs, with --shots adam)",
    )
    parser.add_argument(
        "--epochs",
        "--steps",
        type=positive,
        help=f"at most so many, from every start (default: {paper.EPOCHS}; with --matrix {users.EPOCHS}, "
        f"sampled {users.EPOCHS_WITH_SHOTS})",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help=f"stop at this cost (default: {paper.TOLERANCE}; with --matrix by the condition number)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="of the start and of the device (default: %(default)s)"
    )
    parser.add_argument(
        "--max-circuits",
        type=positive,
        help=f"refuse above (default: {paper.MAX_CIRCUITS}; with --matrix no limit on the whole)",
    )
    own = parser.add_argument_group("systems of your own")
    own.add_argument("--matrix", metavar="A.npy", help="a square matrix of 2^n rows, n at least 1")
    own.add_argument("--rhs", metavar="b.npy", help="the right-hand side, 2^n numbers")
    own.add_argument("--output", metavar="x.npy", help="write the solution there, scale and phase included")
    own.add_argument(
        "--layers", type=count, help="entangling layers (default: one for each qubit, none for one)"
    )
    own.add_argument(
        "--restarts",
        type=count,
        help="further random starts while the tolerance is not met; the best one counts "
        f"(default: {users.RESTARTS}; with --shots {users.RESTARTS_WITH_SHOTS})",
    )
    own.add_argument(
        "--prune",
        type=fraction,
        metavar="R",
        help=f"leave out terms of at most R times the largest coefficient (default: {users.PRUNE:g})",
    )
    own.add_argument("--force", action="store_true", default=None, help="run it whatever it may cost")
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


def count(text):
    """A number of at least 0."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{number} is negative")
    return number


def fraction(text):
    """A number from 0 to less than 1."""
    number = float(text)
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to less than 1")
    return number


def check(args):
    """Options that need each other.

    Raises:
        InputError: one stands without another.
    """
    if (args.matrix is None) != (args.rhs is None):
        given, missing = ("--matrix", "--rhs") if args.rhs is None else ("--rhs", "--matrix")
        raise InputError(f"{given} needs {missing} too: a system has a matrix and a right-hand side")
    if args.matrix is not None:
        return
    for name in FOR_USERS_SYSTEMS:
        if getattr(args, name) is not None:
            raise InputError(f"--{name} is for systems of your own: give --matrix and --rhs")
    if args.optimizer not in (None, *paper.OPTIMIZERS):
        raise InputError(f"--optimizer {args.optimizer} is for systems of your own: give --matrix and --rhs")


def main(arguments=None):
    """Runs the solver; returns the exit code."""
    parser, args = parse(arguments)
    try:
        check(args)
        return (paper if args.matrix is None else users).solve(args)
    except InputError as error:
        print(f"vqls.py: error: {error}", file=sys.stderr)
        return 2
    except DeviceRefused as error:
        parser.error(str(error))
    except Refused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted: no solution was written", file=sys.stderr)
        # What shells say of a process that Ctrl-C ended.
        sys.exit(130)
