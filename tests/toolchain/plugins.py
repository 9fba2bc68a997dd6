"""Tools of a stranger, installed for a process: a folder with a module and its entry points."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from qfw.config.discover import child_environment

MODULE = """
from qfw.model.errors import NotInstalled
from qfw.qpm.tool import ToolOutput


class Plain:
    keeps = "equivalence"
    needs_client = False
    options = {"how": "any text"}

    @classmethod
    def version(cls):
        return "1.0"

    @classmethod
    def check_options(cls, options):
        pass

    def apply(self, program, target, options):
        return ToolOutput(program)


class Here(Plain):
    keeps = "distribution"
    needs_client = True


class Failing(Plain):
    def apply(self, program, target, options):
        return 1 / 0


class Folding(Plain):
    def apply(self, program, target, options):
        return ToolOutput(program, (0,) * program.num_qubits)


class Turning(Plain):
    def apply(self, program, target, options):
        return ToolOutput(program, tuple(reversed(range(program.num_qubits))))


class Missing(Plain):
    def __init__(self):
        raise NotInstalled("tool missing needs what is not there: pip install it")

    @classmethod
    def version(cls):
        return None
"""

_ENTRIES = """[qfw.tools]
broken = strange_tools:NoSuchThing
failing = strange_tools:Failing
folding = strange_tools:Folding
here = strange_tools:Here
missing = strange_tools:Missing
plain = strange_tools:Plain
turning = strange_tools:Turning
"""


def install(folder: Path) -> Path:
    """Puts the tools into a folder, which a process then has on its path."""
    (folder / "strange_tools.py").write_text(MODULE)
    info = folder / "strange_tools-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange-tools\nVersion: 1\n")
    (info / "entry_points.txt").write_text(_ENTRIES)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A Python process that has the tools."""
    environment = child_environment(QFW_RUNTIME_DIR=str(folder / "run"))
    environment["PYTHONPATH"] = f"{folder}:{environment.get('PYTHONPATH', '')}"
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=100, env=environment
    )
