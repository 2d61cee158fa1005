"""The README tells the truth: its outputs are what its commands print, its examples run."""

import contextlib
import io

from readme import BLOCK, README, output_of, python_blocks


def test_every_output_is_what_its_command_prints():
    blocks = list(BLOCK.finditer(README.read_text()))
    assert len(blocks) >= 2
    for block in blocks:
        assert block["text"] == output_of(block["command"]), f"{block['command']}: run python tests/readme.py"


def test_python_examples_run():
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in python_blocks(README.read_text()):
            exec(block, names)
    assert "cycles" in printed.getvalue()
