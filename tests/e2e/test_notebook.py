"""The notebook in docs/, executed from its first cell to its last."""

from __future__ import annotations

import nbformat
import pytest
from nbclient import NotebookClient

from db import reads
from engine.paths import ROOT


@pytest.mark.slow
def test_the_notebook_runs_from_the_first_cell_to_the_last(home):
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not stored"
    place = {"metadata": {"path": str(ROOT / "docs")}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=place).execute()
    assert [run.status for run in reads.runs()] == ["done"] * 6  # its own, and the copy's
    text = "\n".join(str(cell.get("outputs")) for cell in notebook.cells)
    assert "rank: there is no such key" in text
    assert "pLoRA over alone:" in text and "personal: " in text
