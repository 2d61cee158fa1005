"""What the documents show of commands and files. `python tests/readme.py` writes it anew.

A block that follows a line `<!-- output: COMMAND -->` is the output of that command, and one that follows a line
`<!-- file: PATH -->` is that file. The commands of a document run one after the other in a folder of their own, empty
at first, so that what they write is not left in the checkout; those of docs/networks.md find a network that
docs/small_network.py writes, and those of docs/new_unit.md the toy of tests/units.
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
README, SWEEPS, NEW_UNIT = ROOT / "README.md", ROOT / "SWEEPS.md", ROOT / "docs" / "new_unit.md"
NETWORKS = ROOT / "docs" / "networks.md"
BLOCK = re.compile(r"(<!-- output: (?P<command>.+?) -->\n```(?P<language>\w*)\n)(?P<text>.*?)(```\n)", re.DOTALL)
FILE = re.compile(r"(<!-- file: (?P<path>.+?) -->\n```\w+\n)(?P<text>.*?)(```\n)", re.DOTALL)


ROUNDING = re.compile(r"\d\.\de-\d\d")
"""How far float32 sums differ, which depends on the processor."""
NEEDS_ONNX = "digits-resnet"


def settled(text: str) -> str:
    """An output without what depends on the processor."""
    return ROUNDING.sub("", text)


def output_of(command: str, folder: Path) -> str:
    """What an `eie-sim` or `python` command prints in a folder, without trailing blanks."""
    program, *arguments = shlex.split(command)
    if program == "eie-sim":
        arguments = ["-c", "import sys; from eie_sim.cli import main; sys.exit(main())", *arguments]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths, "COLUMNS": "80"}
    program = [sys.executable, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def python_blocks(text: str) -> list[str]:
    """A document's Python examples, in order."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def put_network(folder: Path) -> None:
    """Write the network of docs/networks.md and its inputs."""
    subprocess.run([sys.executable, ROOT / "docs" / "small_network.py"], check=True, cwd=folder)


def rewritten(text: str, prepare: Callable[[Path], None] = lambda folder: None) -> str:
    """A document with every file and every output made anew, in a folder that is prepared before."""
    text = FILE.sub(lambda match: match[1] + (ROOT / match["path"]).read_text() + match[4], text)
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        return BLOCK.sub(lambda match: match[1] + output_of(match["command"], Path(folder)) + match[5], text)


if __name__ == "__main__":
    for document in (README, SWEEPS):
        document.write_text(rewritten(document.read_text()))
    NETWORKS.write_text(rewritten(NETWORKS.read_text(), put_network))
    sys.path.insert(0, str(ROOT / "tests" / "units"))
    from registering import install, path_with

    with tempfile.TemporaryDirectory() as installed:
        install(Path(installed))
        os.environ["PYTHONPATH"] = path_with(installed)
        NEW_UNIT.write_text(rewritten(NEW_UNIT.read_text()))
