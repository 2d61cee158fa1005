"""The notebooks run as they are, show what is in them, and hold nothing of the machine that made them."""

import re
import time

import pytest

from notebooks import MISSING, ROOT, TIMEOUT_S, executed, figures, notebook_of, shown_numbers, shown_texts, sources

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"needs eie-sim[notebooks]: {', '.join(MISSING)} not installed")

MAX_BYTES = 300_000
each = pytest.mark.parametrize("source", sources(), ids=lambda source: source.stem)


def kept(source):
    """The notebook as it is in the repository."""
    import nbformat

    return nbformat.read(source.with_suffix(".ipynb"), as_version=4)


def test_there_are_ten_pairs():
    names = [source.stem for source in sources()]
    assert [name[:2] for name in names] == [f"{at:02}" for at in range(1, 11)]
    assert names == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
    listed = re.findall(r"\((\w+)\.ipynb\)", (ROOT / "notebooks" / "README.md").read_text())
    assert listed == names


@each
def test_a_pair_has_the_same_cells_and_no_trace_of_a_machine(source):
    notebook, written = kept(source), notebook_of(source)
    assert [(cell.cell_type, cell.id, cell.source) for cell in notebook.cells] == [
        (cell.cell_type, cell.id, cell.source) for cell in written.cells
    ], "run python tests/notebooks.py"
    assert notebook.metadata == written.metadata
    assert source.with_suffix(".ipynb").stat().st_size < MAX_BYTES
    texts = "\n".join(shown_texts(notebook).values())
    assert not any(name in texts for name in ("/home/", "/root/", "/tmp/", "/Users/", "site-packages", " at 0x"))
    assert not any(o.get("name") == "stderr" for cell in notebook.cells for o in cell.get("outputs", []))


@each
def test_sources_hold_no_logic(source):
    """Import, call, plot: no definitions, no loops over statements, no branches."""
    import ast

    code = "\n".join(cell.source for cell in notebook_of(source).cells if cell.cell_type == "code")
    logic = (ast.FunctionDef, ast.ClassDef, ast.While, ast.If, ast.Try, ast.Lambda, ast.With)
    assert not [node for node in ast.walk(ast.parse(code)) if isinstance(node, logic)]


@each
def test_a_notebook_runs_and_shows_what_is_in_it(source):
    start = time.perf_counter()
    notebook = executed(source)
    assert time.perf_counter() - start < TIMEOUT_S
    assert shown_numbers(notebook) == shown_numbers(kept(source)), "run python tests/notebooks.py"
    assert len(figures(notebook)) == len(figures(kept(source))) >= 1
