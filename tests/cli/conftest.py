"""The command as its users start it: a process of its own, in a runtime folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Qfw = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A runtime folder with a short path; not made yet."""
    parent = Path(tempfile.mkdtemp(prefix="qfw-cli-"))
    yield parent / "r"
    shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def qfw(folder: Path, tmp_path: Path) -> Qfw:
    """Runs `qfw ARGUMENTS`."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "qfw.cli.main", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"QFW_RUNTIME_DIR": str(folder)} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
        )

    return run
