"""What is around this process. The only module that reads the environment."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

RUNTIME_DIR = "QFW_RUNTIME_DIR"
CONFIG = "QFW_CONFIG"
JOB_DAEMON = "QFW_JOB_DAEMON"
SITE_DAEMONS = "QFW_SITE_DAEMONS"


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


def cache_dir() -> Path | None:
    """QFw's folder for what can be made again: in $XDG_CACHE_HOME, else in ~/.cache; None where there is no home."""
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    if chosen.startswith("/"):
        return Path(chosen) / "qfw"
    try:
        return Path.home() / ".cache" / "qfw"
    except RuntimeError:
        return None


def job_daemon() -> Path | None:
    """Runtime folder of the job's daemon: $QFW_JOB_DAEMON, if any."""
    chosen = os.environ.get(JOB_DAEMON)
    return Path(chosen) if chosen else None


def site_daemons() -> list[Path]:
    """Runtime folders of the site's daemons: $QFW_SITE_DAEMONS, separated by ":"."""
    return [Path(folder) for folder in os.environ.get(SITE_DAEMONS, "").split(":") if folder]


def take_notify_socket() -> str | None:
    """Where the service manager listens ($NOTIFY_SOCKET), if any; processes started from here on are not told."""
    return os.environ.pop("NOTIFY_SOCKET", None)


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
        # Qiskit's allocator reserves 1 GiB at its import, which would count as the worker's data (RLIMIT_DATA).
        MIMALLOC_ARENA_EAGER_COMMIT="0",
    )


def command_environment(folder: Path) -> Mapping[str, str]:
    """Environment of a command that settings name: where programs are, and `folder` as its home; nothing else."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def host_environment(foreign: bool) -> Mapping[str, str]:
    """Environment of a platform's host: a worker's of one thread.

    `foreign`: it runs in another Python environment, so what points an interpreter to this one's modules is
    left out.
    """
    found = dict(worker_environment(1))
    if foreign:
        for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"):
            found.pop(name, None)
    return found


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def memory_bytes(own: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> int:
    """Memory that this process may use: the machine's, or that of a cgroup it is in where that is less.

    `own` says its cgroups, and `root` is where they are mounted: cgroups(7).
    """
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        lines = own.read_text(errors="surrogateescape").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if not controllers:
            mount, limit = root, "memory.max"
        elif "memory" in controllers.split(","):
            mount, limit = root / "memory", "memory.limit_in_bytes"
        else:
            continue
        # Every group above has its say. In a container the path may be the host's: then its root is ours.
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            try:
                text = mount.joinpath(*parts[:depth], limit).read_text().strip()
            except OSError:
                continue
            if text.isdecimal():
                total = min(total, int(text))
    return total
