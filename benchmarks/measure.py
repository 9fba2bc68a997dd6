"""Interleaved measurements and their statistics: what is compared is run in turns, in one process.

The legs of a comparison take turns in balanced order (Williams, 1949): each goes before and after
each other one equally often, so neither drift nor what the leg before left in the caches
favours one of them. Beside the two that are compared, the peer runs twice more: the ratio of
these two is the control, which should be 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
#: Runs repetition number `index` once; what it returns is for the check.
Leg = Callable[[int], Any]

#: Resamplings behind an interval.
DRAWS = 2000
#: A control outside is noise: the figure beside it says little.
QUIET = (0.95, 1.05)


class Outcome(msgspec.Struct):
    """One figure: what was measured, what it is compared with, what it was hoped to be."""

    name: str
    #: Medians, in `unit`; the peer's is None where there is none.
    ours: float
    peer: float | None
    ratio: float | None
    #: What `value` should be at most (at least, where `better` is "higher"); None: for information.
    goal: float | None
    ok: bool
    #: Peer over peer, in the same run.
    control: float | None
    noisy: bool = False
    #: The figure that is compared with the goal: the ratio, unless `measure` says otherwise.
    value: float = 0.0
    #: 95 % interval of `value`.
    interval: tuple[float, float] | None = None
    measure: str = "ratio"
    better: str = "lower"
    unit: str = "us"
    pairs: int = 0
    #: What differs between the two sides.
    note: str = ""
    #: Parts of the figure, memory, process ids, … by name.
    pieces: dict[str, Any] = msgspec.field(default_factory=dict)


class Effort(msgspec.Struct, frozen=True):
    """How long to measure."""

    #: Of the full number of pairs; 1 for figures that are reported.
    share: float = 1.0

    def pairs(self, full: int) -> int:
        """Pairs to run where a full measurement has `full`; at least 8."""
        return max(8, int(full * self.share))


class Disagreement(Exception):
    """The two sides of a comparison did not give the same results."""


class NotInstalled(Exception):
    """A peer is not there; counted, never silently skipped."""


def orders(legs: int) -> list[list[int]]:
    """Orders of the legs in which each follows each other one equally often (a Williams design)."""
    first, low, high = [0], 1, legs - 1
    while low <= high:
        first.append(low)
        if low != high:
            first.append(high)
        low, high = low + 1, high - 1
    rows = [[(leg + shift) % legs for leg in first] for shift in range(legs)]
    return rows if legs % 2 == 0 else rows + [row[::-1] for row in rows]


def take_turns(
    legs: Sequence[Leg],
    pairs: int,
    first: int = 0,
    clock_ns: Callable[[], int] = time.perf_counter_ns,
) -> Floats:
    """Microseconds, shape (legs, pairs): every leg runs the repetitions first … first + pairs - 1."""
    taken = np.empty((len(legs), pairs))
    sequence = orders(len(legs))
    for index in range(pairs):
        for leg in sequence[index % len(sequence)]:
            run = legs[leg]
            began = clock_ns()
            run(first + index)
            taken[leg, index] = clock_ns() - began
    return taken / 1e3


def medians(samples: Floats, seed: int = 0, draws: int = DRAWS) -> Floats:
    """Medians of each leg, shape (draws, legs), over resampled pairs: a pair's legs stay together."""
    rng = np.random.default_rng(seed)
    legs, pairs = samples.shape
    found = np.empty((draws, legs))
    for start in range(0, draws, 200):
        chosen = rng.integers(0, pairs, (min(200, draws - start), pairs))
        found[start : start + len(chosen)] = np.median(samples[:, chosen], axis=2).T
    return found


def interval(values: Floats) -> tuple[float, float]:
    """The middle 95 % of resampled values."""
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def outcome(name: str, samples: Floats, goal: float | None, **more: Any) -> Outcome:
    """The figure of four legs: ours, peer, and the peer twice more as the control."""
    ours, peer, third, fourth = (float(value) for value in np.median(samples, axis=1))
    drawn = medians(samples)
    return judged(
        Outcome(
            name=name,
            ours=ours,
            peer=peer,
            ratio=ours / peer,
            goal=goal,
            ok=True,
            control=third / fourth,
            value=ours / peer,
            interval=interval(drawn[:, 0] / drawn[:, 1]),
            pairs=samples.shape[1],
            **more,
        )
    )


def judged(found: Outcome) -> Outcome:
    """The same with `ok` and `noisy` filled in."""
    if found.goal is not None:
        found.ok = found.value >= found.goal if found.better == "higher" else found.value <= found.goal
    found.noisy = found.control is not None and not QUIET[0] <= found.control <= QUIET[1]
    return found


def compare(
    name: str,
    ours: Leg,
    peer: Leg,
    pairs: int,
    goal: float | None,
    first: int = 0,
    warm: int = 5,
    **more: Any,
) -> Outcome:
    """Runs ours and the peer (and the peer twice more) in turns; repetitions are numbered from `first`."""
    legs = (ours, peer, peer, peer)
    take_turns(legs, warm, first)
    return outcome(name, take_turns(legs, pairs, first + warm), goal, **more)


def agree(ours: Leg, peer: Leg, repetitions: int, tolerance: float, first: int = 0) -> float:
    """The largest difference between the results of the two sides.

    Raises:
        Disagreement: it is more than `tolerance`.
    """
    worst = 0.0
    for index in range(first, first + repetitions):
        mine, theirs = np.asarray(ours(index)), np.asarray(peer(index))
        if mine.shape != theirs.shape:
            raise Disagreement(f"repetition {index}: results of shapes {mine.shape} and {theirs.shape}")
        difference = float(np.max(np.abs(mine - theirs)))
        # Not a number is a difference, too.
        if not difference <= tolerance:
            raise Disagreement(
                f"repetition {index}: the results differ by {difference:.3g}, more than {tolerance:.3g}"
            )
        worst = max(worst, difference)
    return worst


def agree_in_mean(ours: Leg, peer: Leg, repetitions: int, deviations: float = 5.0, first: int = 0) -> float:
    """Mean difference of sampled results, in standard errors of that mean.

    Raises:
        Disagreement: it is more than `deviations`.
    """
    differences = np.array(
        [
            float(np.mean(ours(index))) - float(np.mean(peer(index)))
            for index in range(first, first + repetitions)
        ]
    )
    error = float(np.std(differences, ddof=1)) / np.sqrt(repetitions)
    mean = float(np.mean(differences))
    if error == 0.0:
        raise Disagreement("sampled results do not vary: one side does not sample")
    if not abs(mean) <= deviations * error:
        raise Disagreement(f"the sampled results differ by {mean:.3g} ± {error:.3g} in the mean")
    return mean / error
