"""The control of contained failures: a bare process misbehaves as the platform in its host does."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contained
from benchmarks.measure import Disagreement
from benchmarks.stack import PLUGINS, ROOT
from tests.stack import is_alive, until


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*map(str, PLUGINS), str(ROOT / "src")]))
    monkeypatch.chdir(ROOT)


def cpu_s(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def group_of(pid: int) -> list[int]:
    """Processes whose group is led by this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                if os.getpgid(int(entry.name)) == pid and is_alive(int(entry.name)):
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


@pytest.mark.parametrize(("name", "processes"), [("hang", 1), ("children", 1 + contained.CHILDREN)])
def test_what_lasts_burns_as_nice_as_a_host_and_is_ended(plugins: None, name: str, processes: int) -> None:
    with contained.bare(contained.KINDS[name]) as first:
        pid = first.pid
        until(lambda: len(group_of(pid)) == processes, "all of its processes")
        burning = [pid] if processes == 1 else [child for child in group_of(pid) if child != pid]
        before = {child: cpu_s(child) for child in burning}
        until(lambda: all(cpu_s(child) > before[child] for child in burning), "all of them burn")
        assert {os.getpriority(os.PRIO_PROCESS, child) for child in group_of(pid)} == {5}
    until(lambda: not group_of(pid), "all are gone")


@pytest.mark.parametrize("name", ["flood", "garbage"])
def test_what_is_over_at_once_is_begun_again(plugins: None, name: str) -> None:
    with contained.bare(contained.KINDS[name]) as first:
        assert first.stdout is not None
        # Each life says that it is up; the line of the first one was read.
        assert any(line.endswith(b"up\n") for line in iter(first.stdout.readline, b""))
    until(lambda: not group_of(first.pid), "all are gone")


def test_a_control_that_does_not_come_up_is_no_control(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "src"))
    monkeypatch.chdir(ROOT)
    with pytest.raises(Disagreement, match="did not come up"), contained.bare(contained.KINDS["hang"]):
        pass


def test_the_figure_is_the_ratio_of_both_sides_medians() -> None:
    taken = np.array([[130.0, 120.0, 140.0, 130.0], [100.0, 90.0, 110.0, 100.0]])
    found = contained.judge("hang", contained.KINDS["hang"], taken, {})
    assert found.name == "contained_hang"
    assert found.value == found.ratio == pytest.approx(1.3)
    assert not found.ok
    # (100 + 110) / 2 over (90 + 100) / 2
    assert found.control == pytest.approx(105 / 95) and found.noisy
    assert contained.judge("hang", contained.KINDS["hang"], taken[::-1], {}).ok
