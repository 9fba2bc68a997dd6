"""Links: two twins that herald entangled pairs between each other, try by try.

Native operations `link.peers` and `link.entangle`.

A pair is a Werner state: the Bell state Φ+ with a given fidelity, the other three Bell states alike. Tries are
independent and equally likely to succeed. So what a link gives is known to the last bit from its seed.
"""

from __future__ import annotations

import math
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt

from qfw.model.errors import ConfigError, OptionError, TooLarge

#: Pairs of one call.
MAX_PAIRS = 1_000_000

Count = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAIRS)]
Floats = npt.NDArray[np.float64]


class LinkOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A link, as the options of the platform say it."""

    #: Names of two devices.
    devices: tuple[str, str]
    #: Of a pair, with Φ+: 0.25 is no entanglement at all, 1 the Bell state.
    fidelity: float
    #: Mean number of pairs in a second of uninterrupted tries.
    rate_per_s: float
    #: Time of one try, in microseconds of the device's clock.
    attempt_us: float = 10.0
    #: None: that of the platform.
    seed: int | None = None

    @property
    def success(self) -> float:
        """Probability that a try succeeds."""
        return self.rate_per_s * self.attempt_us / 1e6

    @property
    def attempt_ns(self) -> int:
        """Time of one try."""
        return round(self.attempt_us * 1000)


class LinkPeer(msgspec.Struct, frozen=True):
    """An entry of what `link.peers` answers: a device that this one has a link with."""

    peer: str
    #: Of a pair, and pairs per second of uninterrupted tries: as configured.
    fidelity: float
    rate_per_s: float


class EntangleRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Body of `link.entangle`."""

    #: The device at the other end.
    peer: str
    pairs: Count = 1
    #: Bases in which each pair is measured, two letters of XYZ: this device's first; empty: not measured.
    bases: str = ""
    #: None: the next of the link's own.
    seed: int | None = None


class EntangleAnswer(msgspec.Struct, frozen=True):
    """Answer of `link.entangle`."""

    #: Fidelity with Φ+ of each pair, when it is there.
    fidelity: float
    #: Density matrix of a pair, row by row: real numbers, |00>, |01>, |10>, |11>.
    state: tuple[tuple[float, ...], ...]
    #: Tries that each pair took, and when it was there: nanoseconds from the first try.
    attempts: tuple[int, ...]
    succeeded_ns: tuple[int, ...]
    attempt_ns: int
    #: Time that both devices spent.
    device_ns: int
    #: Bits of this device and of its peer, where bases were given.
    outcomes: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


class Tries(msgspec.Struct, frozen=True):
    """How a call will go: known from its seed before it is waited for."""

    attempts: tuple[int, ...]
    succeeded_ns: tuple[int, ...]
    outcomes: tuple[tuple[int, int], ...]

    @property
    def device_ns(self) -> int:
        """Until the last pair is there."""
        return self.succeeded_ns[-1]


class Link:
    """Between two devices of one platform."""

    def __init__(self, options: LinkOptions, seed: int) -> None:
        """Args: `seed` is the platform's, unless the options have one."""
        self.options = options
        self._seed = seed if options.seed is None else options.seed
        self._calls = 0

    def next_seed(self) -> int:
        """Seed of the next call that brings none."""
        self._calls += 1
        return int(np.random.SeedSequence((self._seed, 4, self._calls)).generate_state(1, np.uint64)[0] >> 1)

    def tries(self, request: EntangleRequest, seed: int) -> Tries:
        """How a call goes.

        Raises:
            OptionError: bases that are not two letters of XYZ.
            TooLarge: more time than a device has.
        """
        bases = request.bases
        if bases and (len(bases) != 2 or not set(bases) <= set("XYZ")):
            raise OptionError(f"bases must be two letters of XYZ, such as 'XX', not {bases!r}")
        random = np.random.default_rng(seed)
        attempts = random.geometric(self.options.success, request.pairs)
        ended = np.cumsum(attempts)
        attempt_ns = self.options.attempt_ns
        if int(ended[-1]) > 2**62 // attempt_ns:
            raise TooLarge(f"{request.pairs} pairs take longer than a device's clock goes; ask for fewer")
        outcomes = measured(self.options.fidelity, bases, request.pairs, random) if bases else ()
        return Tries(tuple(attempts.tolist()), tuple((ended * attempt_ns).tolist()), outcomes)

    def answer(self, tries: Tries, notes: tuple[str, ...]) -> EntangleAnswer:
        """What a call is answered."""
        state = werner(self.options.fidelity)
        return EntangleAnswer(
            fidelity=self.options.fidelity,
            state=tuple(tuple(row) for row in state.tolist()),
            attempts=tries.attempts,
            succeeded_ns=tries.succeeded_ns,
            attempt_ns=self.options.attempt_ns,
            device_ns=tries.device_ns,
            outcomes=tries.outcomes,
            notes=notes,
        )


def werner(fidelity: float) -> Floats:
    """Density matrix of a pair, shape (4, 4): F·Φ+ and (1 - F)/3 of each other Bell state."""
    other = (1 - fidelity) / 3
    state = np.diag([(fidelity + other) / 2, other, other, (fidelity + other) / 2])
    state[0, 3] = state[3, 0] = (fidelity - other) / 2
    return state


def measured(
    fidelity: float, bases: str, pairs: int, random: np.random.Generator
) -> tuple[tuple[int, int], ...]:
    """Bits of both ends of each pair: each by itself fair, and equal as often as the state says.

    <PP> is (4F - 1)/3 for XX and ZZ, minus that for YY, and 0 for two different letters.
    """
    correlation = (4 * fidelity - 1) / 3 if bases[0] == bases[1] else 0.0
    if bases == "YY":
        correlation = -correlation
    first = random.integers(0, 2, pairs)
    differs = random.random(pairs) >= (1 + correlation) / 2
    return tuple(zip(first.tolist(), (first ^ differs).tolist(), strict=True))


def check_link(options: LinkOptions, where: str) -> None:
    """Raises ConfigError for a figure that cannot be."""
    for key, value, low, high in (
        ("fidelity", options.fidelity, 0.25, 1.0),
        ("rate_per_s", options.rate_per_s, 1e-6, 1e9),
        ("attempt_us", options.attempt_us, 0.001, 1e9),
    ):
        if not (math.isfinite(value) and low <= value <= high):
            raise ConfigError(f"{where}.{key} is {value}; it must be {low:g} to {high:g}")
    if options.success > 1:
        raise ConfigError(
            f"{where}: {options.rate_per_s:g} pairs per second are more than the tries of {options.attempt_us:g} us; "
            f"at most {1e6 / options.attempt_us:g} can be"
        )
    if options.devices[0] == options.devices[1]:
        raise ConfigError(f"{where}.devices names {options.devices[0]} twice; a link has two ends")
