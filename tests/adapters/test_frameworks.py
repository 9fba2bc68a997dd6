"""A front end whose framework is not installed says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Runs in a Python of its own, in which the framework is not to be found.
WITHOUT = """
import importlib.abc, sys

class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
from qfw.model.errors import NotInstalled
try:
    import {module}
except ImportError as error:
    assert isinstance(error, NotInstalled), error
    print(error)
"""


@pytest.mark.parametrize(
    ("module", "missing", "extra"),
    [
        ("qfw.qiskit", ["qiskit"], "qfw[qiskit]"),
        ("qfw_qiskit", ["qiskit"], "qfw[qiskit]"),
        ("qfw.pennylane", ["pennylane", "autograd"], "qfw[pennylane]"),
    ],
)
def test_it_says_what_to_install(module, missing, extra):
    code = WITHOUT.format(module=module, missing=missing)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert f"pip install '{extra}'" in done.stdout
