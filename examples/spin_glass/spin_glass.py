"""Much classical, little quantum: parallel tempering of a spin glass that seldom asks a quantum device.

Every process moves replicas of the glass at several temperatures, and opens a session of its own. Once in many sweeps
it asks the device for one shot from each of its coldest states: the circuit is the glass's own evolution in a
transverse field, which is as likely to lead from one state to another as back, so that the Boltzmann distribution
stays exact (Layden et al., Nature 619, 282, 2023). Mean energy and probability of the ground state are compared with
the sums over all states.

    python examples/spin_glass/spin_glass.py
    python examples/spin_glass/spin_glass.py --processes 4 --spins 14 --sweeps 30000
    mpirun -n 4 python examples/spin_glass/spin_glass.py          # the ranks are the processes; needs mpi4py

Exit codes: 0 the averages are right, 1 not, 2 usage, or the device refuses.
"""

import argparse
import concurrent.futures.process
import math
import multiprocessing
import os
import sys
import time
from typing import NamedTuple

import numpy as np
from glass import MOST_SPINS, Glass, Ladders

import qfw

#: Of the sweeps, before anything is counted.
SETTLING = 0.2
#: Standard errors that an average may be off; of 16 ladders and more this is passed by chance in one of 10 000.
MOST_ERRORS = 5.0
#: Seconds within which the device answers.
LIMIT_S = 300.0
#: What launchers of MPI tell a rank.
MPI_SIGNS = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_RANK")


class Share(NamedTuple):
    """What one process found."""

    #: Of each of its ladders: mean energy of the coldest replica, and share of the ground state.
    energies: list[float]
    ground: list[float]
    #: Times that it asked, shots, and proposals that were taken.
    questions: int
    shots: int
    taken: int
    #: Seconds of the device, and of the process.
    device_s: float
    wall_s: float


def parse(arguments):
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="spin_glass.py",
        description="Parallel tempering of a spin glass in several processes, with seldom a quantum proposal.",
        epilog="Exit codes: 0 the averages are right, 1 not, 2 usage, or the device refuses.",
    )
    parser.add_argument("--device", default="auto", help="any device of QFw (default: %(default)s)")
    parser.add_argument("--processes", type=positive, default=2, help="without MPI (default: %(default)s)")
    parser.add_argument(
        "--spins", type=positive, default=12, help=f"at most {MOST_SPINS} (default: %(default)s)"
    )
    parser.add_argument(
        "--ladders", type=positive, default=16, help="independent ones in each process (default: %(default)s)"
    )
    parser.add_argument("--temperatures", type=positive, default=6, help="of a ladder (default: %(default)s)")
    parser.add_argument("--coldest", type=float, default=0.25, help="temperature (default: %(default)s)")
    parser.add_argument("--hottest", type=float, default=2.0, help="temperature (default: %(default)s)")
    parser.add_argument(
        "--sweeps", type=positive, default=10_000, help="of every process (default: %(default)s)"
    )
    parser.add_argument(
        "--every", type=positive, default=1000, help="sweeps between two questions (default: %(default)s)"
    )
    parser.add_argument("--steps", type=positive, default=4, help="of the circuit (default: %(default)s)")
    parser.add_argument(
        "--most-errors",
        type=float,
        default=MOST_ERRORS,
        help="standard errors that an average may be off (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the glass and all else (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    if not 2 <= args.spins <= MOST_SPINS:
        parser.error(f"--spins: 2 to {MOST_SPINS}, not {args.spins}")
    if not 0 < args.coldest < args.hottest < math.inf:
        parser.error(
            f"--coldest and --hottest: above 0, and ascending, not {args.coldest} and {args.hottest}"
        )
    if not 0 <= args.seed < 2**31:
        parser.error(f"--seed: 0 to 2**31 - 1, not {args.seed}")
    if args.ladders * args.processes < 2:
        parser.error("standard errors need two ladders at least")
    return args


def positive(text):
    """A number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not at least 1")
    return number


def circuit(glass, steps):
    """From a state (a slot for each spin: 0 or π) to another one, as likely as back.

    A product that reads the same from both ends, of symmetric matrices: its own transpose.
    """
    spins = glass.spins
    angle = 0.6
    prepare = [qfw.Gate("rx", (i,), (qfw.slot(i),)) for i in range(spins)]
    half = [qfw.Gate("rx", (i,), (angle,)) for i in range(spins)]
    turn = [qfw.Gate("rx", (i,), (2 * angle,)) for i in range(spins)]
    couple = [
        qfw.Gate("rzz", (i, j), (-2 * angle * float(glass.couplings[i, j]),))
        for i in range(spins)
        for j in range(i + 1, spins)
    ]
    couple += [qfw.Gate("rz", (i,), (-2 * angle * float(glass.fields[i]),)) for i in range(spins)]
    operations = [*prepare, *half, *(couple + turn) * (steps - 1), *couple, *half]
    measured = [qfw.Measure(i, i) for i in range(spins)]
    return qfw.Program(spins, spins, spins, (*operations, *measured))


def work(args, rank, processes):
    """One process: moves its ladders, and seldom asks."""
    glass = Glass(args.spins, args.seed)
    rng = np.random.default_rng([args.seed, rank])
    ladders = Ladders(glass, args.ladders, np.geomspace(args.coldest, args.hottest, args.temperatures), rng)
    lowest = glass.exact(args.coldest)[2]
    program, settling = circuit(glass, args.steps), int(SETTLING * args.sweeps)
    energy, ground = np.zeros(args.ladders), np.zeros(args.ladders)
    questions = taken = 0
    device_s, began = 0.0, time.perf_counter()
    with qfw.Session() as session, session.device(args.device).stream() as stream:
        for sweep in range(1, args.sweeps + 1):
            ladders.sweep()
            ladders.swap(sweep % 2)
            if sweep % args.every == 0:
                given = np.where(ladders.states[:, 0] < 0, np.pi, 0.0)
                # A seed of its own for every question of every process.
                seed = (args.seed * processes + rank) * args.sweeps + sweep
                result = stream.run(program, given, shots=1, outputs=(qfw.Memory(),), seed=seed).result(
                    LIMIT_S
                )
                taken += ladders.propose(1.0 - 2.0 * result.memory_bits[:, 0])
                questions += 1
                device_s += seconds_of(result)
            if sweep > settling:
                energy += ladders.energies[:, 0]
                ground += ladders.energies[:, 0] < lowest + 1e-9
            if sweep * 5 // args.sweeps > (sweep - 1) * 5 // args.sweeps:
                wall = time.perf_counter() - began
                print(
                    f"process {rank}: {sweep} of {args.sweeps} sweeps, {questions} questions, {wall:.1f} s",
                    file=sys.stderr,
                    flush=True,
                )
    counted = args.sweeps - settling
    return Share(
        (energy / counted).tolist(),
        (ground / counted).tolist(),
        questions,
        questions * args.ladders,
        taken,
        device_s,
        time.perf_counter() - began,
    )


def seconds_of(result):
    """Seconds that a task had the device."""
    if result.conditions is not None:
        return result.conditions.device_ns / 1e9
    return (result.timeline.run_ended_ns - result.timeline.run_began_ns) / 1e9


def in_processes(args):
    """All shares, by processes of this machine, whose sessions share one daemon."""
    # Spawned: a process that is forked cannot use its parent's session.
    context = multiprocessing.get_context("spawn")
    with (
        qfw.Session() as session,
        concurrent.futures.ProcessPoolExecutor(args.processes, mp_context=context) as pool,
    ):
        # Now, not in one of the processes: a device that does not exist is said once.
        session.device(args.device)
        return list(
            pool.map(work, [args] * args.processes, range(args.processes), [args.processes] * args.processes)
        )


def in_ranks(args):
    """All shares, by the ranks of MPI; None but in the first one."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        print(
            f"this is a rank of MPI, but mpi4py is not there ({error}): pip install mpi4py", file=sys.stderr
        )
        raise SystemExit(2) from error
    world = MPI.COMM_WORLD
    try:
        share = work(args, world.rank, world.size)
    except qfw.errors.QFwError as error:
        print(f"process {world.rank}: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
        # The others would wait for this one for ever.
        world.Abort(2)
    return world.gather(share)


def report(args, shares):
    """Prints what was found beside the truth; true where it is right."""
    energy, chance, lowest = Glass(args.spins, args.seed).exact(args.coldest)
    found = {
        "mean energy": (np.concatenate([share.energies for share in shares]), energy),
        "ground state": (np.concatenate([share.ground for share in shares]), chance),
    }
    right = True
    print(f"{args.spins} spins at temperature {args.coldest:g}, ground state at {lowest:.4f}")
    for name, (values, truth) in found.items():
        # Ladders know nothing of each other: their spread is the error.
        mean, error = values.mean(), values.std(ddof=1) / math.sqrt(len(values))
        print(f"{name:13} {mean:9.4f} ± {error:.4f}   exact {truth:9.4f}   of {len(values)} ladders")
        right &= bool(abs(mean - truth) <= args.most_errors * error + 1e-9)
    questions, shots = sum(share.questions for share in shares), sum(share.shots for share in shares)
    print(f"{questions} questions, {shots} proposals, {sum(share.taken for share in shares)} taken")
    device_s, wall_s = sum(share.device_s for share in shares), max(share.wall_s for share in shares)
    print(
        f"device {device_s:.3f} s of {wall_s:.2f} s · {len(shares)} processes: "
        f"{device_s / (wall_s * len(shares)):.2%} quantum"
    )
    return right


def main(arguments=None):
    """Runs all processes; returns the exit code."""
    args = parse(arguments)
    ranks = any(sign in os.environ for sign in MPI_SIGNS)
    try:
        shares = in_ranks(args) if ranks else in_processes(args)
    except qfw.errors.QFwError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except concurrent.futures.process.BrokenProcessPool as error:
        print(f"a process was lost: {error}", file=sys.stderr)
        return 2
    if shares is None or report(args, shares):
        return 0
    print("the averages are not those of the sums over all states", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
