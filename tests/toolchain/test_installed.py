"""Versions of packages as tools name them."""

from __future__ import annotations

from importlib.metadata import version

import pytest

from qfw.toolchain.installed import installed
from qfw.toolchain.transpile import TranspileTool


def test_a_package_that_is_there_has_its_version_and_another_none() -> None:
    assert installed("msgspec") == version("msgspec")
    assert installed("qfw-has-no-such-package") is None
    assert installed("qfw-has-no-such-package") is None


def test_transpile_names_all_whose_passes_may_run() -> None:
    found = TranspileTool.version()
    assert found is not None and found.startswith(version("qiskit"))
    pytest.importorskip("pytket")
    # Part of the key of what is kept on disk: another pytket may lower otherwise.
    assert found.endswith(f"pytket {version('pytket')}")
