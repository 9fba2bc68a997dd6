"""The notebook runs from the first cell to the last, and is kept with its outputs."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

PATH = Path(__file__).parents[2] / "examples" / "notebook" / "first_steps.ipynb"


@pytest.fixture(scope="module")
def notebook() -> nbformat.NotebookNode:
    return nbformat.read(PATH, as_version=4)


def test_it_runs(notebook: nbformat.NotebookNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each cell compares its results with exact ones itself: a wrong one raises."""
    monkeypatch.setenv("QFW_RUNTIME_DIR", str(tmp_path / "run"))
    # The kernel's own files, too.
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    done = NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}}).execute()
    asserting = [cell for cell in done.cells if cell.cell_type == "code" and "assert" in cell.source]
    assert len(asserting) >= 5
    assert not (tmp_path / "run" / "qpmd.sock").exists()


def test_it_is_kept_with_outputs(notebook: nbformat.NotebookNode) -> None:
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any(cell.outputs for cell in code)
    text = nbformat.writes(notebook)
    assert str(Path.home()) not in text
    assert os.sep + "tmp" not in text
