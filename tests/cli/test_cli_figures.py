"""--figure of the commands that draw: a whole file, legible as printed on a page, or one line and no file."""

import struct
import sys
from pathlib import Path

import pytest

from eie_sim.report.figures import style

sys.path.insert(0, str(Path(__file__).parents[1] / "figures"))
from drawn import require_legible

TRAINED = ["--densities", "0.5", "0.25", "--patterns", "element", "2:4", "--epochs", "5"]


@pytest.mark.parametrize(
    "words",
    [
        ["footprint", "digits-mlp", "--density", "0.1"],
        ["footprint", "digits-mlp", "--layer", "fc2"],
        ["sensitivity", "digits-mlp", "--densities", "0.1", "0.5"],
        ["accuracy", "digits-mlp", *TRAINED],
    ],
)
def test_a_figure_is_written_beside_what_is_printed(words, ask, tmp_path):
    plain, drawn = ask(*words), ask(*words, "--figure", tmp_path / "a.svg")
    assert drawn == plain
    assert drawn[0] == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize(
    "words",
    [
        ["footprint", "digits-mlp", "--density", "0.1"],
        ["sensitivity", "digits-mlp", "--densities", "0.1", "0.5", "--quantity", "energy"],
        ["accuracy", "digits-mlp", *TRAINED],
        ["compare", "digits-mlp", "--layer", "fc2"],
        ["compare", "digits-mlp", "--layer", "fc2", "--on", "eie,nm", "--densities", "0.5", "0.4", "0.3", "0.2", "0.1"],
    ],
)
def test_a_figure_is_as_wide_as_a_page_and_legible(words, ask, tmp_path, monkeypatch):
    figures, drawn = [], style._drawn
    monkeypatch.setattr(style, "_drawn", lambda figure, *rest: figures.append(figure) or drawn(figure, *rest))
    assert ask(*words, "--figure", tmp_path / "a.png")[0] == 0
    require_legible(figures[0])
    width, _ = struct.unpack(">II", (tmp_path / "a.png").read_bytes()[16:24])
    assert width == round(style.PAGE * style.DPI)


@pytest.mark.parametrize("command", ["footprint", "sensitivity", "accuracy"])
def test_a_path_that_is_no_figure_is_refused_and_nothing_is_written(command, ask, tmp_path):
    code, out, err = ask(command, "digits-mlp", "--figure", tmp_path / "a.gif")
    assert (code, out) == (2, "")
    assert err.endswith("a.gif: must end in .png, .svg\n")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
