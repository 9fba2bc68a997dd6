"""Options of the tool `mitigate`, read and checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from qfw.model.errors import OptionError
from qfw.toolchain.options import check_names, integer

METHODS: Final = ("readout", "zne", "twirl")
FOLDINGS: Final = ("local", "global")
EXTRAPOLATIONS: Final = ("linear", "quadratic", "exponential", "richardson")

DEFAULT_METHODS: Final = ("readout", "zne")
DEFAULT_FACTORS: Final = (1.0, 3.0, 5.0)
DEFAULT_FRAMES: Final = 16
#: Factors of noise in one list, and the largest.
MAX_FACTORS, MAX_FACTOR = 20, 99.0
MAX_FRAMES: Final = 1000

OPTIONS: Final[Mapping[str, str]] = {
    "methods": f"list of {', '.join(METHODS)}; {' and '.join(DEFAULT_METHODS)} by default",
    "factors": f"of zne: by how much gates are folded, 2 to {MAX_FACTORS} rising numbers from 1 to {MAX_FACTOR:g}; "
    "1, 3, 5 by default",
    "folding": "of zne: local (each gate of two or more qubits, the default) or global (all of the program)",
    "extrapolation": "of zne: linear (the default), quadratic, exponential or richardson",
    "frames": f"of twirl: random Pauli frames among which the shots are divided, 1 to {MAX_FRAMES}, "
    f"{DEFAULT_FRAMES} by default",
    "seed": "of twirl: of the frames, 0 by default",
}

#: The method without which an option would say nothing.
_BELONGS: Final = {
    "factors": "zne",
    "folding": "zne",
    "extrapolation": "zne",
    "frames": "twirl",
    "seed": "twirl",
}
#: Factors that a curve needs at least.
_NEEDED: Final = {"linear": 2, "quadratic": 3, "exponential": 2, "richardson": 2}


class Choices(NamedTuple):
    """What the options say."""

    methods: tuple[str, ...]
    #: 1 alone without zne.
    factors: tuple[float, ...]
    folding: str
    extrapolation: str
    #: 1 without twirl.
    frames: int
    seed: int


def choices(options: Mapping[str, Any]) -> Choices:
    """The options as values.

    Raises:
        OptionError: an unknown one (names the nearest), a wrong value, or one of a method that is not asked for.
    """
    check_names("mitigate", options, OPTIONS)
    methods = _methods(options.get("methods", DEFAULT_METHODS))
    for name in options:
        if name in _BELONGS and _BELONGS[name] not in methods:
            raise OptionError(
                f"option {name} of tool mitigate says something of {_BELONGS[name]}, which is not among the methods "
                f"{', '.join(methods)}. Leave it out, or add {_BELONGS[name]}"
            )
    extrapolation = _one_of(options, "extrapolation", EXTRAPOLATIONS)
    factors = _factors(options.get("factors", DEFAULT_FACTORS)) if "zne" in methods else (1.0,)
    if "zne" in methods and len(factors) < _NEEDED[extrapolation]:
        raise OptionError(
            f"extrapolation {extrapolation} needs {_NEEDED[extrapolation]} factors or more; {len(factors)} are given"
        )
    return Choices(
        methods,
        factors,
        _one_of(options, "folding", FOLDINGS),
        extrapolation,
        integer("mitigate", options, "frames", DEFAULT_FRAMES, 1, MAX_FRAMES) if "twirl" in methods else 1,
        integer("mitigate", options, "seed", 0, 0, 2**31 - 1),
    )


def _methods(given: object) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise OptionError(
            f"option methods of tool mitigate is a list of {', '.join(METHODS)}, at least one, not {given!r}"
        )
    for name in given:
        if name not in METHODS:
            near = difflib.get_close_matches(str(name), METHODS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise OptionError(
                f"option methods of tool mitigate: there is no method {name!r}{hint} There are: {', '.join(METHODS)}"
            )
    if len(set(given)) != len(given):
        raise OptionError(f"option methods of tool mitigate names one twice: {', '.join(given)}")
    return tuple(name for name in METHODS if name in given)


def _factors(given: object) -> tuple[float, ...]:
    wrong = OptionError(
        f"option factors of tool mitigate is a list of 2 to {MAX_FACTORS} rising numbers from 1 to {MAX_FACTOR:g}, "
        f"not {given!r}"
    )
    if isinstance(given, str) or not isinstance(given, Sequence) or not 2 <= len(given) <= MAX_FACTORS:
        raise wrong
    if any(isinstance(factor, bool) or not isinstance(factor, int | float) for factor in given):
        raise wrong
    found = tuple(float(factor) for factor in given)
    rising = all(low < high for low, high in pairwise(found))
    if not rising or not 1 <= found[0] <= found[-1] <= MAX_FACTOR:
        raise wrong
    return found


def _one_of(options: Mapping[str, Any], name: str, allowed: tuple[str, ...]) -> str:
    value = options.get(name, allowed[0])
    if value not in allowed:
        near = difflib.get_close_matches(str(value), allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise OptionError(
            f"option {name} of tool mitigate is one of {', '.join(allowed)}, not {value!r}{hint}"
        )
    return str(value)
