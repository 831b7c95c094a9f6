"""The tour runs from top to bottom."""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

TOUR = Path(__file__).parents[1] / "notebooks" / "tour.ipynb"


def test_tour_runs():
    notebook = nbformat.read(TOUR, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(TOUR.parents[1])}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert "C_tr            6" in "".join(output.get("text", "") for output in outputs)
