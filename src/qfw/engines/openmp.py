"""The number of threads that OpenMP libraries of this process may use."""

from __future__ import annotations

import ctypes
import logging
from pathlib import Path

logger = logging.getLogger(__name__)

_LIBRARIES = ("libgomp", "libomp", "libiomp")


def allow_threads(count: int) -> None:
    """Lets parallel regions that ask for it have up to `count` threads, whatever OMP_NUM_THREADS said.

    For the calling thread, and for the OpenMP libraries that are loaded by now: each wheel may bring its own.
    """
    for path in _loaded():
        try:
            ctypes.CDLL(path).omp_set_num_threads(count)
        except (OSError, AttributeError) as error:
            logger.warning("threads of an OpenMP library cannot be set: library=%s error=%s", path, error)


def _loaded() -> set[str]:
    words = (line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines())
    paths = (parts[5] for parts in words if len(parts) == 6)
    return {path for path in paths if path.rpartition("/")[2].startswith(_LIBRARIES)}
