"""The harness of the benchmarks, on synthetic numbers."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import measure, report
from benchmarks.catalogue import BENCHMARKS, chosen

ROOT = Path(__file__).parents[2]


def noise(legs: list[float], pairs: int = 400, seed: int = 1) -> measure.Floats:
    """Samples around these medians, with a tenth of spread and a few outliers."""
    rng = np.random.default_rng(seed)
    samples = np.array(legs)[:, np.newaxis] * rng.lognormal(0.0, 0.1, (len(legs), pairs))
    samples[rng.random(samples.shape) < 0.02] *= 50
    return samples


@pytest.mark.parametrize("legs", [2, 3, 4, 5])
def test_each_leg_follows_each_other_equally_often(legs: int) -> None:
    rows = measure.orders(legs)
    assert all(sorted(row) == list(range(legs)) for row in rows)
    follows = Counter(pair for row in rows for pair in pairwise(row))
    assert len(follows) == legs * (legs - 1)
    assert len(set(follows.values())) == 1
    positions = Counter((place, leg) for row in rows for place, leg in enumerate(row))
    assert len(set(positions.values())) == 1


def test_legs_take_turns_with_the_same_repetitions() -> None:
    seen: list[tuple[str, int]] = []
    now = iter(range(0, 10**6, 1000))
    taken = measure.take_turns(
        [lambda index: seen.append(("a", index)), lambda index: seen.append(("b", index))],
        3,
        first=7,
        clock_ns=lambda: next(now),
    )
    assert seen == [("a", 7), ("b", 7), ("b", 8), ("a", 8), ("a", 9), ("b", 9)]
    assert taken.tolist() == [[1.0] * 3] * 2


def test_ratio_interval_and_control_of_known_numbers() -> None:
    found = measure.outcome("known", noise([30.0, 20.0, 20.0, 20.0]), goal=1.6)
    assert found.interval is not None
    low, high = found.interval
    assert low < 1.5 < high
    assert high - low < 0.1
    assert found.ok
    assert not found.noisy
    assert found.control == pytest.approx(1.0, abs=0.03)


def test_interval_is_seeded_and_covers_the_truth() -> None:
    def covers(seed: int) -> bool:
        found = measure.outcome("known", noise([12.0, 10.0, 10.0, 10.0], 60, seed), goal=None)
        assert found.interval is not None
        return found.interval[0] <= 1.2 <= found.interval[1]

    samples = noise([12.0, 10.0, 10.0, 10.0])
    assert (measure.medians(samples) == measure.medians(samples)).all()
    assert sum(covers(seed) for seed in range(40)) >= 34


def test_common_drift_leaves_the_ratio() -> None:
    drift = np.linspace(1.0, 3.0, 400)
    found = measure.outcome("drift", noise([11.0, 10.0, 10.0, 10.0]) * drift, goal=None)
    assert found.ratio == pytest.approx(1.1, rel=0.1)


def test_goals_and_noise() -> None:
    assert not measure.outcome("missed", noise([30.0, 20.0, 20.0, 20.0]), goal=1.0).ok
    assert measure.outcome("noisy", noise([30.0, 20.0, 24.0, 20.0]), goal=None).noisy
    faster = measure.outcome("rate", noise([30.0, 20.0, 20.0, 20.0]), goal=0.7, better="higher")
    assert faster.ok


def test_sides_that_differ_are_no_comparison() -> None:
    assert measure.agree(lambda i: [i, 1.0], lambda i: [i, 1.0 + 1e-12], 3, 1e-9) < 1e-9
    for wrong in ([0.0], float("nan"), 0.1):
        with pytest.raises(measure.Disagreement):
            measure.agree(lambda i: 0.0, lambda i, wrong=wrong: wrong, 3, 1e-9)


def test_sampled_results_agree_in_the_mean() -> None:
    rng = np.random.default_rng(3)
    measure.agree_in_mean(lambda i: rng.normal(i), lambda i: rng.normal(i), 50)
    with pytest.raises(measure.Disagreement, match="in the mean"):
        measure.agree_in_mean(lambda i: rng.normal(i + 5), lambda i: rng.normal(i), 50)
    with pytest.raises(measure.Disagreement, match="do not vary"):
        measure.agree_in_mean(lambda i: 0.5, lambda i: 0.5, 50)


def test_figures_survive_json_and_reach_the_page(tmp_path: Path) -> None:
    outcomes = [
        measure.outcome("first", noise([30.0, 20.0, 20.0, 20.0]), goal=1.6, note="a | b"),
        measure.judged(
            measure.Outcome("second", 5e4, None, None, 2e4, True, None, value=5e4, better="higher")
        ),
    ]
    path = tmp_path / "results.json"
    report.write_json(outcomes, path)
    assert report.read_json(path) == outcomes
    docs = tmp_path / "benchmarks.md"
    docs.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_docs(outcomes, docs)
    text = docs.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| first | 30" in text.replace("| first | 29", "| first | 30")
    assert "≥ 20 000" in text


def test_the_page_has_its_marks_and_names_every_goal() -> None:
    text = report.DOCS.read_text(encoding="utf-8")
    assert text.count(report.BEGIN) == text.count(report.END) == 1
    assert [name for name in (b.name for b in BENCHMARKS) if f"`{name}`" not in text] == []


def test_unknown_names_are_refused() -> None:
    assert [b.name for b in chosen(["sweep_480_bare_qulacs"])] == ["sweep_480_qulacs"]
    with pytest.raises(KeyError, match="nonsense"):
        chosen(["nonsense"])


def test_list_names_every_figure() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--list"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert not [name for b in BENCHMARKS for name in b.names if name not in done.stdout]
