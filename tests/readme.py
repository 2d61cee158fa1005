"""The outputs in README.md and SWEEPS.md, made by the commands above them. `python tests/readme.py` writes them anew.

A block that follows a line `<!-- output: COMMAND -->` is the output of that command. The commands of a document run one
after the other in a folder of their own, empty at first, so that what they write is not left in the checkout.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
README, SWEEPS = ROOT / "README.md", ROOT / "SWEEPS.md"
BLOCK = re.compile(r"(<!-- output: (?P<command>.+?) -->\n```(?P<language>\w*)\n)(?P<text>.*?)(```\n)", re.DOTALL)


def output_of(command: str, folder: Path) -> str:
    """What an `eie-sim` or `python` command prints in a folder, without trailing blanks."""
    program, *arguments = shlex.split(command)
    if program == "eie-sim":
        arguments = ["-c", "import sys; from eie_sim.cli import main; sys.exit(main())", *arguments]
    paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": paths}
    program = [sys.executable, *arguments]
    done = subprocess.run(program, capture_output=True, text=True, check=True, cwd=folder, env=environment)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def python_blocks(text: str) -> list[str]:
    """A document's Python examples, in order."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def rewritten(text: str) -> str:
    """A document with every output made anew."""
    with tempfile.TemporaryDirectory() as folder:
        return BLOCK.sub(lambda match: match[1] + output_of(match["command"], Path(folder)) + match[5], text)


if __name__ == "__main__":
    for document in (README, SWEEPS):
        document.write_text(rewritten(document.read_text()))
