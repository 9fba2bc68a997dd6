"""What is around this process. The only module that reads the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

RUNTIME_DIR = "QFW_RUNTIME_DIR"
CONFIG = "QFW_CONFIG"


def runtime_dir() -> Path:
    """The runtime folder: $QFW_RUNTIME_DIR, else one per user (and job step) in the temporary folder.

    It is not made here, and not checked: `qfw.config.runtime.prepare` does both.
    """
    chosen = os.environ.get(RUNTIME_DIR)
    if chosen:
        return Path(chosen)
    name = f"qfw-{os.getuid()}"
    job = os.environ.get("SLURM_JOB_ID")
    if job and job.isdecimal():
        step = os.environ.get("SLURM_STEP_ID", "")
        name += f"-{job}.{step}" if step.isdecimal() else f"-{job}"
    return Path(tempfile.gettempdir()) / name


def config_path() -> Path | None:
    """The settings file named by $QFW_CONFIG, if any."""
    chosen = os.environ.get(CONFIG)
    return Path(chosen) if chosen else None


def child_environment(**changes: str) -> dict[str, str]:
    """This process's environment with changes, for a process that it starts."""
    return {**os.environ, **changes}


def worker_environment(threads: int) -> Mapping[str, str]:
    """Environment of a worker: this one's, with its threads limited before any library starts."""
    count = str(threads)
    return child_environment(
        OMP_NUM_THREADS=count,
        OPENBLAS_NUM_THREADS=count,
        MKL_NUM_THREADS=count,
        NUMEXPR_NUM_THREADS=count,
        # Two workers that spin while they wait would take the cores of those that work.
        OMP_WAIT_POLICY="PASSIVE",
    )


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes() -> int:
    """Memory that this process may use: the machine's, or its cgroup's where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = Path(path).read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            total = min(total, int(text))
    return total
