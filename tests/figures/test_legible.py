"""Every figure can be read as printed: size of the text, nothing cut off, colours told apart, labels with units."""

import re
from itertools import combinations

import numpy as np
import pytest
from drawn import everything, require_legible, texts
from matplotlib.figure import Figure
from test_style import MISSING_CONES, TOLD_APART, lab

import eie_sim as es
from eie_sim.report.figures.style import LINES, PAGE, colours, line_styles, short, wrapped

COUNTS = {
    "", "PEs", "PE", "cycle", "cycles", "weight", "weights in a bin", "column (input)", "row (output), row % 4",
    "times those of the narrowest", "cycles (all vectors)", "effectual operations per byte of Spmat SRAM",
    "GOP/s (1 MAC = 2 operations)", "items in a queue of 2", "cycles per vector", "speedup over 4 PEs",
    "cycles per vector of the layer", "bytes",
}  # fmt: skip
"""Labels of what has no unit, or is one."""


@pytest.mark.parametrize("size", [(PAGE, 4.2), (5.8, 3.7), (3.6, 3.2)])
def test_every_figure_is_legible_at_the_size_of_a_page_and_of_half_a_page(
    size, matrix, activity, result, designs, weights
):
    for name, draw in everything(matrix, activity, result, designs, weights):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        try:
            require_legible(figure)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def test_axes_have_units(matrix, activity, result, designs, weights):
    for name, draw in everything(matrix, activity, result, designs, weights):
        figure = draw(Figure().subplots()).figure
        for axes in figure.axes:
            for label in (axes.get_xlabel(), axes.get_ylabel()):
                ok = label in COUNTS or label.startswith("row (output)") or re.search(", [^ ]+( of PEs)?$", label)
                assert ok, f"{name}: {label}"


def test_a_figure_without_points_says_so():
    f = es.figures
    for draw in (
        lambda a: f.classes({}, a),
        lambda a: f.energy({}, a),
        lambda a: f.storage({}, a),
        lambda a: f.footprint({}, a),
        lambda a: f.batches([], a),
        lambda a: f.accuracy([], a),
        lambda a: f.sensitivity([], a),
        lambda a: f.sparsity([], a),
        lambda a: f.balance([], a),
        lambda a: f.scaling([], a),
        lambda a: f.pareto([], axes=a),
        lambda a: f.roofline({}, a),
        lambda a: f.widths([], a),
        lambda a: f.parity([], a),
        lambda a: f.weights([], [], a),
        lambda a: f.spy(es.EieMatrix.from_dense(np.zeros((4, 4)), n_pe=2), a),
    ):
        figure = Figure(layout="constrained")
        said = texts(draw(figure.subplots()))
        assert len(said) == 1 and said[0].startswith("no "), said
        require_legible(figure)


def test_lines_have_colours_of_their_own_however_many_there_are():
    assert len({*LINES}) == len(LINES)
    for number in (1, 9, len(LINES), len(LINES) + 1, 60):
        assert len({*colours(number)}) == number
        assert [style["color"] for style in line_styles(number)] == colours(number)


@pytest.mark.parametrize("cones", ["none", "long"])
def test_nine_layers_are_told_apart(cones):
    assert cones in MISSING_CONES
    for one, other in combinations(LINES, 2):
        assert np.linalg.norm(lab(one, cones) - lab(other, cones)) > TOLD_APART, (one, other)


def test_notes_break_behind_commas():
    assert wrapped("held fixed: a 1, b 2, c 3", 18) == ["held fixed: a 1,", "b 2, c 3"]
    assert wrapped("one two three, four", 8) == ["one two", "three,", "four"]
    assert wrapped("", 8) == [""]
    assert short(-0.0) == "0"
