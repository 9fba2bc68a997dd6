"""Memory of a process: recorded cgroup trees of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfw.config.discover import memory_bytes

V2 = "0::/system.slice/slurmstepd.scope/job_7/step_0\n"
V1 = "12:pids:/slurm\n9:cpuset,memory:/slurm/uid_1000/job_7\n0::/\n"


@pytest.mark.parametrize(
    ("own", "tree", "expected"),
    [
        pytest.param(V2, {"system.slice/slurmstepd.scope/job_7/memory.max": "4096"}, 4096, id="of a parent"),
        pytest.param(
            V2,
            {
                "system.slice/slurmstepd.scope/job_7/step_0/memory.max": "max",
                "system.slice/slurmstepd.scope/job_7/memory.max": "8192",
                "system.slice/memory.max": "6000",
                "memory.max": "7000",
            },
            6000,
            id="the least",
        ),
        pytest.param(V1, {"memory/slurm/uid_1000/job_7/memory.limit_in_bytes": "5000"}, 5000, id="version 1"),
        pytest.param(
            V1,
            {"memory/memory.limit_in_bytes": "9223372036854771712", "memory.max": "4242"},
            4242,
            id="hybrid",
        ),
        pytest.param("0::/../../host\n", {"memory.max": "3000"}, 3000, id="of a container"),
        pytest.param(V2, {"other/memory.max": "1"}, None, id="another's"),
        pytest.param("", {}, None, id="none"),
    ],
)
def test_least_limit_of_the_groups_above(
    tmp_path: Path, own: str, tree: dict[str, str], expected: int | None
) -> None:
    for name, text in tree.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    (tmp_path / "own").write_text(own)
    machine = memory_bytes(tmp_path / "nothing", tmp_path / "nowhere")
    assert memory_bytes(tmp_path / "own", tmp_path / "cgroup") == (expected or machine)
