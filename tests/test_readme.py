"""The README tells the truth: its outputs are what its commands print, its examples run."""

import contextlib
import io
from importlib.util import find_spec

from readme import BLOCK, NEEDS_ONNX, README, output_of, python_blocks, settled


def test_every_output_is_what_its_command_prints(tmp_path):
    blocks = list(BLOCK.finditer(README.read_text()))
    assert len(blocks) >= 2
    for block in blocks:
        if NEEDS_ONNX in block["command"] and find_spec("onnxruntime") is None:
            continue
        found = output_of(block["command"], tmp_path)
        assert settled(block["text"]) == settled(found), f"{block['command']}: run python tests/readme.py"


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write a file
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in python_blocks(README.read_text()):
            needs = {"to_pandas": "pandas", "import torch": "torch"}
            if any(word in block and find_spec(module) is None for word, module in needs.items()):
                continue
            exec(block, names)
    assert "cycles" in printed.getvalue()
