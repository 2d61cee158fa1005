"""What the documents show of commands, files and the code. `python tests/readme.py` writes it anew.

A block that follows a line `<!-- output: COMMAND -->` is the output of that command, of `COMMAND | grep -A N WORDS` its
first line with these words and N more. One that follows a line `<!-- file: PATH -->` is that file. A table after a line
`<!-- table: NAME -->` is made by tests/document_tables.py. `python tests/readme.py docs/sweeps.md` leaves the other
documents alone.

The commands of a document run one after the other in a folder of their own, empty at first, so that what they write is
not left in the checkout; those of docs/networks.md find a network that docs/small_network.py writes, and those of
docs/new_unit.md the toy of tests/units.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
README, DOCS = ROOT / "README.md", ROOT / "docs"
SWEEPS, CLUSTERS = DOCS / "sweeps.md", DOCS / "clusters.md"
NEW_UNIT, NETWORKS = DOCS / "new_unit.md", DOCS / "networks.md"
DOCUMENTS = (README, *sorted(DOCS.glob("*.md")))
BLOCK = re.compile(r"(<!-- output: (?P<command>[^\n]+?) -->\n```(?P<language>\w*)\n)(?P<text>.*?)(```\n)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: (?P<asked>[^\n]+?) -->\n)(?P<text>(?:\|.*\n)*)")
FILE = re.compile(r"(<!-- file: (?P<path>.+?) -->\n```\w+\n)(?P<text>.*?)(```\n)", re.DOTALL)


ROUNDING = re.compile(r"\d\.\de-\d\d")
"""How far float32 sums differ, which depends on the processor."""
NEEDS_ONNX = "digits-resnet"


def settled(text: str) -> str:
    """An output without what depends on the processor."""
    return ROUNDING.sub("", text)


def output_of(command: str, folder: Path) -> str:
    """What an `eie-sim` or `python` command prints in a folder, without trailing blanks."""
    command, _, shown = command.partition(" | grep -A ")
    program, *arguments = shlex.split(command)
    if program == "eie-sim":
        arguments = ["-c", "import sys; from eie_sim.cli import main; sys.exit(main())", *arguments]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "80"}
    program = [sys.executable, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    if shown:
        more, _, words = shown.partition(" ")
        first = next(at for at, line in enumerate(lines) if words in line)
        lines = lines[first : first + int(more) + 1]
    return "\n".join(lines) + "\n"


def python_blocks(text: str) -> list[str]:
    """A document's Python examples, in order."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def put_network(folder: Path) -> None:
    """Write the network of docs/networks.md and its inputs."""
    subprocess.run([sys.executable, ROOT / "docs" / "small_network.py"], check=True, cwd=folder)


def no_files(folder: Path) -> None:
    """Leave a folder empty."""


def rewritten(text: str, prepare: Callable[[Path], None] = no_files) -> str:
    """A document with every file, table and output made anew, in a folder that is prepared before."""
    from document_tables import made

    text = FILE.sub(lambda match: match[1] + (ROOT / match["path"]).read_text() + match[4], text)
    text = TABLE.sub(lambda match: match[1] + made(match["asked"]), text)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        return BLOCK.sub(lambda match: match[1] + output_of(match["command"], Path(folder)) + match[5], text)


def rewrite(document: Path) -> None:
    """Write a document anew, with what its commands need."""
    if document != NEW_UNIT:
        prepare = put_network if document == NETWORKS else no_files
        document.write_text(rewritten(document.read_text(), prepare))
        return
    sys.path.insert(0, str(ROOT / "tests" / "units"))
    from registering import install, path_with

    with tempfile.TemporaryDirectory() as installed:
        install(Path(installed))
        os.environ["PYTHONPATH"] = path_with(installed)
        document.write_text(rewritten(document.read_text()))


if __name__ == "__main__":
    asked = [Path(name).resolve() for name in sys.argv[1:]] or DOCUMENTS
    for document in sorted(asked, key=NEW_UNIT.__eq__):  # the last: it leaves its toy installed
        rewrite(document)
