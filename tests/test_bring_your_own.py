"""docs/bring_your_own.md tells the truth: each way in is six lines, which run and print what stands below them."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from readme import put_network

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "bring_your_own.md"
BLOCK = re.compile(
    r"^## (?P<way>[\w ]+)$(?:(?!^## ).)*?^```python\n(?P<code>.*?)```\n```text\n(?P<printed>.*?)```\n", re.M | re.S
)
WAYS = {match["way"]: match for match in BLOCK.finditer(PAGE.read_text())}
NEEDS = {
    "torch": ("torch", "onnxscript", "onnx", "onnxruntime"),
    "ONNX": ("onnx", "onnxruntime"),
    "Back into torch": ("torch", "onnxscript", "onnx", "onnxruntime"),
    "Keras": ("keras", "torch", "onnxscript", "onnx", "onnxruntime"),
}
DRAWN = ("torch", "Keras")
"""Ways whose weights their library draws, so that figures depend on its version."""


def test_all_ways_are_there_in_six_lines():
    assert list(WAYS) == ["torch", "ONNX", "safetensors", "Keras", "Back into torch"]
    assert {len(match["code"].splitlines()) for match in WAYS.values()} == {6}


@pytest.mark.filterwarnings("ignore")  # Keras and torch warn of their own export
@pytest.mark.parametrize("way", WAYS)
def test_a_way_in_prints_what_the_page_says(way, tmp_path, monkeypatch, capsys):
    missing = [name for name in NEEDS.get(way, ()) if find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")  # libraries of the users, of which we need none
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    for name in ("dense.safetensors", "digits.npz"):
        shutil.copy(ROOT / "models" / "digits-mlp" / name, tmp_path)
    if way == "ONNX":
        put_network(tmp_path)
    exec(WAYS[way]["code"], {})
    printed, shown = capsys.readouterr().out, WAYS[way]["printed"]
    if way in DRAWN:
        printed, shown = (re.sub(r"[\d.]+", "#", text) for text in (printed, shown))
    assert printed == shown
    assert printed.startswith("True ")
