"""How many random systems converge: runs `vqls.py --matrix` for one seed after the other.

    python seeds.py --device qfw                              # seeds 0 to 19
    python seeds.py --device qfw --first 20 --number 100

Numbers are normally distributed, the four kinds take turns, every third system is 4×4 and the others are 2×2.
Nothing is chosen by hand: condition numbers are whatever comes.

Exit codes: 0 at least 95 of 100 converged, 1 fewer, 2 usage.
"""

import argparse
import re
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np

import vqls

#: Of those that are run.
ENOUGH = 0.95


def random_system(seed):
    """The matrix and the right-hand side of a seed."""
    rng = np.random.default_rng(seed)
    size = 4 if seed % 3 == 0 else 2
    is_complex, is_hermitian = seed // 2 % 2, seed % 2 == 0

    def draw(*shape):
        numbers = rng.normal(size=shape)
        return numbers + 1j * rng.normal(size=shape) if is_complex else numbers

    matrix, rhs = draw(size, size), draw(size)
    return ((matrix + matrix.conj().T) / 2 if is_hermitian else matrix), rhs


def run(seed, options):
    """Solves the system of a seed; returns the exit code and what was printed."""
    matrix, rhs = random_system(seed)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("A.npy", "b.npy")]
        for path, array in zip(paths, (matrix, rhs), strict=True):
            np.save(path, array)
        words = ["--matrix", str(paths[0]), "--rhs", str(paths[1]), "--seed", str(seed), *options]
        with redirect_stdout(StringIO()) as output, redirect_stderr(StringIO()) as errors:
            code = vqls.main(words)
    return code, output.getvalue() + errors.getvalue()


def main(arguments=None):
    """Runs the seeds; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="seeds.py", description=__doc__.splitlines()[0], epilog="Other options are those of vqls.py."
    )
    parser.add_argument("--first", type=vqls.count, default=0, help="first seed (default: %(default)s)")
    parser.add_argument(
        "--number", type=vqls.positive, default=20, help="how many seeds (default: %(default)s)"
    )
    args, options = parser.parse_known_args(arguments)
    converged = 0
    for seed in range(args.first, args.first + args.number):
        began = time.perf_counter()
        code, text = run(seed, options)
        if code not in (0, 1):
            print(f"seed {seed}: exit code {code}: {text}", file=sys.stderr)
            return 2
        converged += code == 0
        kind, condition = re.search(r"^system +(.*), condition number (.*)$", text, re.MULTILINE).groups()
        fidelity = re.search(r"^fidelity +([\d.]+)", text, re.MULTILINE).group(1)
        epochs, starts = text.count("\nepoch "), text.count("\nstart ")
        print(
            f"seed {seed:3d}  {kind:22}  condition number {condition:>6}  fidelity {fidelity}"
            f"  {starts} starts {epochs:3d} epochs {time.perf_counter() - began:6.1f} s"
            f"  {'converged' if code == 0 else 'not converged'}",
            flush=True,
        )
    print(f"{converged} of {args.number} converged")
    return 0 if converged >= ENOUGH * args.number else 1


if __name__ == "__main__":
    sys.exit(main())
