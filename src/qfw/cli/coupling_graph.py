"""A picture of a device: its coupling graph, coloured by what its calibration says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceProfile
from qfw.model.errors import NotInstalled, OptionError, SetupError

#: Formats, by the file's suffix.
SUFFIXES = (".pdf", ".png", ".svg")
#: Edges beyond which they are drawn fine, the worst on top.
_MANY = 200
_NOTHING = "#b0b0b0"

Pair = tuple[int, int]


def check_file(file: Path) -> None:
    """Raises OptionError unless a picture can be written there as its suffix says."""
    if file.suffix.lower() not in SUFFIXES:
        raise OptionError(
            f"--plot {file}: a picture's name ends in one of {', '.join(SUFFIXES)}, not {file.suffix!r}"
        )
    if not file.parent.is_dir():
        raise OptionError(f"--plot {file}: there is no folder {file.parent}")


def draw(profile: DeviceProfile, calibration: Calibration, file: Path) -> None:
    """Writes the picture.

    Edges: the error of the best two-qubit gate of a pair. Discs: the mean of both wrong readings. Grey: out of order,
    or not calibrated.

    Raises:
        OptionError: another suffix, or no such folder.
        NotInstalled: matplotlib is missing.
        SetupError: the file cannot be written.
    """
    check_file(file)
    try:
        import matplotlib
        import matplotlib.ticker
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.collections import LineCollection
        from matplotlib.figure import Figure
    except ImportError as error:
        raise NotInstalled("--plot needs matplotlib; install it with: pip install 'qfw[plot]'") from error
    places = profile.positions or _circle(profile.max_qubits)
    errors = pair_errors(calibration)
    pairs = sorted({_ordered(pair) for pair in profile.coupling or ()} | set(errors))
    # The worst are drawn last, on top.
    pairs.sort(key=lambda pair: errors.get(pair, -1.0))
    wide, high = _extent(places)
    scale = min(0.75, 12 / max(wide, 1.0), 9 / max(high, 1.0))
    size = (max(5.5, wide * scale + 3.4), max(4.4, high * scale + 1.6))
    figure: Any = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    many = len(pairs) > _MANY
    lines: Any = LineCollection(
        [_segment(places, pair) for pair in pairs],
        linewidths=0.9 if many else 4.5,
        alpha=0.75 if many else 1.0,
        zorder=1,
    )
    values = [errors[pair] for pair in pairs if pair in errors]
    edge_scale = _scale(matplotlib, values)
    colours = matplotlib.colormaps["viridis_r"]
    lines.set_color([colours(edge_scale(errors[pair])) if pair in errors else _NOTHING for pair in pairs])
    axes.add_collection(lines)
    readings = [(qubit.read1_given0 + qubit.read0_given1) / 2 for qubit in calibration.qubits]
    disc_scale = _scale(
        matplotlib, [r for r, q in zip(readings, calibration.qubits, strict=True) if q.operational]
    )
    discs = matplotlib.colormaps["OrRd"]
    # Points per unit of the plane, so that discs do not meet.
    diameter = min(26.0, 72 * scale * 0.62 * _nearest(places))
    for index, (x, y) in enumerate(places):
        works = calibration.qubits[index].operational
        shade = disc_scale(readings[index])
        colour = discs(shade) if works else _NOTHING
        axes.plot(
            x,
            y,
            "o",
            markersize=diameter,
            color=colour,
            markeredgecolor="#303030",
            markeredgewidth=0.7,
            zorder=2,
        )
        axes.annotate(
            str(index), (x, y), ha="center", va="center", fontsize=diameter * 0.36, zorder=3,
            color="white" if works and shade > 0.65 else "black",
        )  # fmt: skip
    axes.set_aspect("equal")
    axes.margins(0.06)
    axes.set_axis_off()
    for scaled, colour_map, label in (
        (edge_scale, colours, "two-qubit gate error"),
        (disc_scale, discs, "readout error"),
    ):
        bar = figure.colorbar(
            matplotlib.cm.ScalarMappable(scaled, colour_map),
            ax=axes,
            label=label,
            fraction=0.04,
            pad=0.02,
            shrink=0.8,
        )
        bar.ax.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:.2%}"))
        bar.ax.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axes.set_title(
        f"{profile.name}: {profile.max_qubits} qubits, calibration {calibration.version}", fontsize=11
    )
    try:
        figure.savefig(file, dpi=160)
    except OSError as error:
        raise SetupError(f"--plot {file}: cannot be written ({error.strerror or error})") from error


def pair_errors(calibration: Calibration) -> dict[Pair, float]:
    """Error of the best usable two-qubit gate of each pair, the lower qubit first."""
    found: dict[Pair, float] = {}
    for gate in calibration.gates:
        if len(gate.qubits) == 2 and gate.operational:
            pair = _ordered((gate.qubits[0], gate.qubits[1]))
            found[pair] = min(gate.error, found.get(pair, 1.0))
    return found


def _ordered(pair: Pair) -> Pair:
    return (min(pair), max(pair))


def _scale(matplotlib: Any, values: list[float]) -> Any:
    """Linear from the best to the worst; of equal ones a scale around them."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high <= low:
        low, high = low * 0.9, high * 1.1 or 1e-6
    return matplotlib.colors.Normalize(low, high)


def _segment(places: Any, pair: Pair) -> list[tuple[float, float]]:
    """A straight line; a bow where it would pass through others that stand between."""
    (x, y), (u, v) = places[pair[0]], places[pair[1]]
    across = (x + u) / 2, (y + v) / 2
    length = math.hypot(u - x, v - y)
    between = any(
        index not in pair
        and abs((px - x) * (v - y) - (py - y) * (u - x)) < 0.3 * length
        and min(x, u) - 0.1 <= px <= max(x, u) + 0.1
        and min(y, v) - 0.1 <= py <= max(y, v) + 0.1
        for index, (px, py) in enumerate(places)
    )
    if not between or length == 0:
        return [(x, y), (u, v)]
    bow = 0.12 * length
    middle = across[0] - (v - y) / length * bow, across[1] + (u - x) / length * bow
    return [
        (
            (1 - t) ** 2 * x + 2 * t * (1 - t) * middle[0] + t * t * u,
            (1 - t) ** 2 * y + 2 * t * (1 - t) * middle[1] + t * t * v,
        )
        for t in (step / 12 for step in range(13))
    ]


def _circle(count: int) -> tuple[tuple[float, float], ...]:
    """Places of a device that says none: a circle with one unit from each to the next."""
    radius = max(count / (2 * math.pi), 0.5)
    turns = (2 * math.pi * index / count for index in range(count))
    return tuple((radius * math.sin(turn), radius * math.cos(turn)) for turn in turns)


def _extent(places: Any) -> tuple[float, float]:
    xs, ys = [x for x, _ in places], [y for _, y in places]
    return max(xs) - min(xs), max(ys) - min(ys)


def _nearest(places: Any) -> float:
    """Distance of the two that are nearest."""
    found = [math.dist(a, b) for at, a in enumerate(places) for b in places[:at]]
    return min((distance for distance in found if distance > 0), default=1.0)
