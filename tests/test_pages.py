"""The README and the pages in docs/ tell the truth: outputs, tables, examples and links."""

import contextlib
import io
import re
from importlib.util import find_spec

import pytest
from document_tables import RERUN, made
from readme import (
    BLOCK,
    CLUSTERS,
    DOCS,
    DOCUMENTS,
    NEEDS_ONNX,
    NETWORKS,
    NEW_UNIT,
    README,
    ROOT,
    SWEEPS,
    TABLE,
    output_of,
    put_network,
)
from readme import python_blocks as examples_of

import eie_sim as es
from eie_sim.cli import commands, main

OWN = DOCS / "bring_your_own.md"
"""Has a test of its own, test_bring_your_own.py."""
PAGES = [page for page in DOCUMENTS if page not in (NETWORKS, NEW_UNIT)]
"""Those without a test of their own for what commands print."""
COMMANDS = (DOCS / "commands.md").read_text() if (DOCS / "commands.md").exists() else ""
OF_TABLE = re.findall(r"^\| `(?:eie-sim )?([\w-]+)` \|.*\| `(eie-sim .+?)` \|", COMMANDS, re.MULTILINE)
LONG = ("accuracy", "validate")
LINK = re.compile(r"\[[^]]*\]\((?P<to>[^)\s]+)\)")
FENCED = re.compile(r"```.*?```", re.DOTALL)
LINKING = [*DOCUMENTS, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), ROOT / "notebooks" / "README.md"]
NEEDS = {"to_pandas": "pandas", "import torch": "torch", ".onnx": "onnxruntime"}


def name_of(page):
    return page.name if page.parent == ROOT else str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_output_is_what_its_command_prints(page, tmp_path):
    for block in BLOCK.finditer(page.read_text()):
        if NEEDS_ONNX in block["command"] and find_spec("onnxruntime") is None:
            continue
        assert block["text"] == output_of(block["command"], tmp_path), f"{block['command']}: run python tests/readme.py"


@pytest.mark.parametrize("page", DOCUMENTS, ids=name_of)
def test_every_table_is_what_the_code_says(page):
    for table in TABLE.finditer(page.read_text()):
        if table["asked"].partition(" ")[0] not in RERUN:
            assert table["text"] == made(table["asked"]), f"{table['asked']}: run python tests/readme.py"


def test_errors_are_those_of_the_figures_rerun():
    shown = [table for page in DOCUMENTS for table in TABLE.finditer(page.read_text())]
    rerun = [table for table in shown if table["asked"].partition(" ")[0] in RERUN]
    for table in rerun:
        assert table["text"] == made(table["asked"]), f"{table['asked']}: run python tests/readme.py"
        assert table["text"].count("\n") > 2, f"{table['asked']} has no rows"


@pytest.mark.parametrize("page", [page for page in PAGES if page not in (SWEEPS, CLUSTERS, OWN)], ids=name_of)
def test_python_examples_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write a file
    if ".onnx" in page.read_text() and find_spec("onnxruntime") is not None:
        put_network(tmp_path)
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for block in examples_of(page.read_text()):
            if all(word not in block or find_spec(NEEDS[word]) for word in NEEDS):
                exec(block, names)


def test_every_command_has_a_line_with_an_example():
    assert sorted(name for name, _ in OF_TABLE) == sorted(name for name in commands() if not name.startswith("-"))
    assert all(example.split()[1] == name for name, example in OF_TABLE)


@pytest.mark.parametrize(
    ("name", "example"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] in LONG else (), id=one[0]) for one in OF_TABLE],
)
def test_examples_of_commands_run(name, example, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if ".onnx" in example:
        pytest.importorskip("onnxruntime")
        put_network(tmp_path)
    if name == "report":
        assert main(["run", "hand-8x8", "--out", "hand"]) == 0
    if name == "check-unit":
        pytest.importorskip("hypothesis")
    assert main(example.split()[1:]) == 0, capsys.readouterr().err


def test_commands_of_the_readme_on_a_graph_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    put_network(tmp_path)
    (tmp_path / "small.onnx").rename("model.onnx")
    for command in re.findall(r"^    eie-sim (.*\bmodel\.onnx.*)$", README.read_text(), re.MULTILINE):
        assert main(command.partition("  #")[0].split()) == 0, (command, capsys.readouterr().err)


@pytest.mark.parametrize("page", LINKING, ids=name_of)
def test_links_lead_somewhere(page):
    text = FENCED.sub("", page.read_text())
    for link in LINK.finditer(text):
        if link["to"].startswith(("http://", "https://")):
            continue
        name, _, place = link["to"].partition("#")
        to = (page.parent / name).resolve() if name else page
        assert to.exists() and ROOT in to.parents, link["to"]
        if place:
            assert place in anchors(to.read_text()), link["to"]


def anchors(text):
    """The names of a document's headings, as links have them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked():
    linked = {
        (page.parent / link["to"].partition("#")[0]).resolve()
        for page in DOCUMENTS
        for link in LINK.finditer(page.read_text())
    }
    assert {page for page in DOCUMENTS if page != README} <= linked


def test_no_document_names_a_folder_of_a_machine():
    for page in LINKING:
        assert not re.search(r"(?<![\w.])/(tmp|work|home|root|Users)/", page.read_text()), page


def test_the_citation_has_the_version_of_the_package():
    version = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert version[1] == es.__version__
