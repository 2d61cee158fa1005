"""--figure of the commands that draw: a whole file, or one line and no file."""

import pytest


@pytest.mark.parametrize(
    "words",
    [
        ["footprint", "digits-mlp", "--density", "0.1"],
        ["footprint", "digits-mlp", "--layer", "fc2"],
        ["sensitivity", "digits-mlp", "--densities", "0.1", "0.5"],
    ],
)
def test_a_figure_is_written_beside_what_is_printed(words, ask, tmp_path):
    plain, drawn = ask(*words), ask(*words, "--figure", tmp_path / "a.svg")
    assert drawn == plain
    assert drawn[0] == 0
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]


@pytest.mark.parametrize("command", ["footprint", "sensitivity"])
def test_a_path_that_is_no_figure_is_refused_and_nothing_is_written(command, ask, tmp_path):
    code, out, err = ask(command, "digits-mlp", "--figure", tmp_path / "a.gif")
    assert (code, out) == (2, "")
    assert err.endswith("a.gif: must end in .png, .svg\n")
    assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
