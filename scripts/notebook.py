"""Run the notebook from top to bottom and keep its outputs: run `make notebook`."""

import pathlib

import nbformat
from nbclient import NotebookClient

NOTEBOOK = pathlib.Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def main() -> None:
    """Write the notebook with its new outputs, without the times at which its cells ran."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": NOTEBOOK.parent}}
    NotebookClient(notebook, resources=where, record_timing=False, coalesce_streams=True).execute()
    for cell in notebook.cells:
        cell.metadata.clear()
    nbformat.write(notebook, NOTEBOOK)


if __name__ == "__main__":
    main()
