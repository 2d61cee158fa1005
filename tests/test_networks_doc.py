"""docs/networks.md tells the truth: its outputs are what its commands print, its examples run."""

import contextlib
import io
import json
from importlib.util import find_spec

import pytest
import real_networks
from readme import BLOCK, NETWORKS, output_of, put_network, python_blocks, settled

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def test_every_output_is_what_its_command_prints(tmp_path):
    put_network(tmp_path)
    blocks = list(BLOCK.finditer(NETWORKS.read_text()))
    assert len(blocks) == 5
    for block in blocks:
        printed = output_of(block["command"], tmp_path)
        assert settled(block["text"]) == settled(printed), f"{block['command']}: run python tests/readme.py"


def test_python_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_network(tmp_path)
    names: dict[str, object] = {}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for block in python_blocks(NETWORKS.read_text()):
            if "import torch" not in block or find_spec("torch") is not None:
                exec(block, names)
                assert names["run"].verified
    assert "('out', 'in', 'kernel0', 'kernel1')\nTrue 0.0" in printed.getvalue()
    assert (tmp_path / "pruned.onnx").exists()


def test_real_networks_are_those_that_were_measured():
    text = NETWORKS.read_text()
    assert text == real_networks.page(text, json.loads(real_networks.KEPT.read_text())), "run tests/real_networks.py"
    assert text.count("\n| ddddocr |") == 2
