"""The README's outputs, made by the commands above them. Run `python tests/readme.py` to write them anew.

A block that follows a line `<!-- output: COMMAND -->` is the output of that command, in whole or, where the line says
`head N` or `rows A-B`, in part.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"(<!-- output: (?P<command>.+?) -->\n```(?P<language>\w*)\n)(?P<text>.*?)(```\n)", re.DOTALL)


def output_of(command: str) -> str:
    """What an `eie-sim` or `python` command prints, without trailing blanks."""
    program, *arguments = shlex.split(command)
    if program == "eie-sim":
        arguments = ["-c", "import sys; from eie_sim.cli import main; sys.exit(main())", *arguments]
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"


def python_blocks(text: str) -> list[str]:
    """The README's Python examples, in order."""
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def rewritten(text: str) -> str:
    """The README with every output made anew."""
    return BLOCK.sub(lambda match: match[1] + output_of(match["command"]) + match[5], text)


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text()))
