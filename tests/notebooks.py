"""The notebooks, executed. `python tests/notebooks.py [NAME ...]` writes their outputs and figures anew.

`notebooks/NN_name.py` is the source, in jupytext's percent format; `notebooks/NN_name.ipynb` beside it has the same
cells with what they print and draw. Nothing in it depends on the time or the machine.
"""

import os
import re
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
NEEDED = ("jupytext", "nbclient", "ipykernel", "pandas", "onnx", "onnxruntime")
MISSING = [name for name in NEEDED if find_spec(name) is None]
TIMEOUT_S = 60
TAGS = re.compile(r"<style.*?</style>|<script.*?</script>|<[^>]*>", re.DOTALL)
NUMBER = re.compile(r"[0-9]+(?:[.,][0-9]+)*(?:e[-+][0-9]+)?")


def sources():
    """The notebooks' sources, in order."""
    return sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def notebook_of(source):
    """The notebook of a source, cells without outputs; ids are those of its places, not random."""
    import jupytext

    notebook = jupytext.read(source)
    for at, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{at:02}"
    notebook.metadata = {
        "jupytext": {"formats": "ipynb,py:percent"},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def executed(source):
    """The notebook of a source with what its cells show, run in an empty folder. Raises CellExecutionError."""
    from nbclient import NotebookClient

    notebook = notebook_of(source)
    metadata = notebook.metadata.copy()
    with tempfile.TemporaryDirectory() as folder:
        paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": paths, "IPYTHONDIR": folder, "OPENBLAS_NUM_THREADS": "1"}
        environment.pop("MPLBACKEND", None)  # the kernel's own draws into the notebook
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT_S,
            kernel_name="python3",
            record_timing=False,
            coalesce_streams=True,
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment)
    notebook.metadata = metadata
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/html" in output.get("data", {}):
                output.data.pop("text/plain", None)  # the same again, and of results every array
    return notebook


def shown_texts(notebook):
    """What each cell shows as text, by its place."""
    return {at: _text(cell) for at, cell in enumerate(notebook.cells) if cell.cell_type == "code" and _text(cell)}


def shown_numbers(notebook):
    """The numbers in what each cell shows as text, by its place."""
    return {at: NUMBER.findall(text) for at, text in shown_texts(notebook).items()}


def figures(notebook):
    """The images in a notebook, encoded."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]


def write(source):
    """Execute a source and write the notebook beside it."""
    import nbformat

    nbformat.write(executed(source), source.with_suffix(".ipynb"))


def _text(cell):
    texts = [_text_of(output) for output in cell.outputs if output.get("name") != "stderr"]
    return "\n".join(text for text in texts if text)


def _text_of(output):
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return TAGS.sub(" ", data["text/html"]) if "text/html" in data else data.get("text/plain", "")


if __name__ == "__main__":
    chosen = [source for source in sources() if not sys.argv[1:] or source.stem in sys.argv[1:]]
    for each in chosen:
        write(each)
