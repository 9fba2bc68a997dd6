"""The pipelines that QFw names: how much is done to a program, in one word."""

from __future__ import annotations

from collections.abc import Callable

from qfw.model.errors import OptionError
from qfw.model.pipeline import Stage
from qfw.qpm import registry

#: Seeds among which `best` looks for a layout and a routing.
SEEDS = 4


def preset(name: str) -> tuple[Stage, ...]:
    """Stages of a preset; none of `none`.

    They are always the same ones, and run for every device, calibrated or not: so none of them is `schedule`.

    Raises:
        OptionError: there is none of that name; names the nearest.
    """
    found = PRESETS.get(name)
    if found is None:
        raise OptionError(registry.unknown("preset", name, sorted(PRESETS)))
    return found[1]()


def _none() -> tuple[Stage, ...]:
    return ()


def _fast() -> tuple[Stage, ...]:
    return (Stage("transpile", "transpile", {"level": 1}),)


def _default() -> tuple[Stage, ...]:
    return (
        Stage("reduce", "reduce"),
        Stage("transpile", "transpile", {"level": 2}),
        Stage("reduce-2", "reduce"),
    )


def _best() -> tuple[Stage, ...]:
    return (
        Stage("reduce", "reduce"),
        Stage("search", "search", {"level": 3, "seeds": SEEDS}),
        Stage("reduce-2", "reduce"),
    )


#: By name: what people should know of it, and its stages.
PRESETS: dict[str, tuple[str, Callable[[], tuple[Stage, ...]]]] = {
    "none": ("nothing: for devices that take every gate, and programs that are lowered already", _none),
    "fast": ("native gates on coupled qubits, in milliseconds", _fast),
    "default": ("fewer gates, then native ones, then fewer again", _default),
    "best": ("as default, with the best of several searches for a layout and a routing", _best),
}
