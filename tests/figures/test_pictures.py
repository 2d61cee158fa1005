"""Weights and timelines as pictures: every pixel is the data's."""

import numpy as np
import pytest
from drawn import labels, texts
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.report.figures.style import LINES


def test_every_weight_has_the_colour_of_the_pe_that_owns_its_row(axes, matrix, weights):
    es.figures.spy(matrix, axes)
    pixels = axes.images[0].get_array()
    for row, column in np.ndindex(*weights.shape):
        expected = to_rgb(LINES[row % 4]) if weights[row, column] else (1, 1, 1)
        assert tuple(pixels[row, column]) == expected


def test_a_window_of_a_large_matrix_says_what_it_is_of(axes, matrix, weights):
    es.figures.spy(matrix, axes, window=10)
    assert axes.images[0].get_array().shape[:2] == (10, 10)
    assert "the first 10 x 10 of 40 x 30" in axes.get_title(loc="left")
    white = (axes.images[0].get_array() == 1).all(axis=2)
    assert np.array_equal(~white, weights[:10, :10] != 0)


def test_a_small_matrix_has_its_values_in_the_cells(axes):
    small = np.diag([1.0, -2.0, 0.5, 0.0])
    es.figures.spy(es.EieMatrix.from_dense(small, n_pe=2), axes)
    assert texts(axes) == ["1", "-2", "0.5"]


def test_more_pes_than_lines_have_colours_of_their_own(axes):
    matrix = es.EieMatrix.from_dense(np.eye(40), n_pe=40)
    es.figures.spy(matrix, axes)
    pixels = axes.images[0].get_array()
    assert len({tuple(pixels[row, row]) for row in range(40)}) == 40


def test_a_matrix_whose_rows_no_pe_owns_is_refused(axes):
    with pytest.raises(es.InputError, match=r"^matrix=NmMatrix: must be of another unit, PEs of N:M own no rows$"):
        es.figures.spy(es.NmMatrix.from_dense(np.eye(4)), axes)


def test_a_histogram_counts_every_weight_before_and_the_kept_ones_after(axes, weights):
    rng = np.random.default_rng(0)
    dense = np.where(weights != 0, weights, rng.normal(size=weights.shape) / 100)
    es.figures.weights(dense, weights, axes)
    counts = [int(patch.get_data().values.sum()) for patch in axes.patches]
    assert sorted({*counts}) == sorted({weights.size, np.count_nonzero(weights)})
    assert f"before: {weights.size:,} weights" in labels(axes)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (np.ones((2, 2)), np.ones((2, 3)), "after=shape (2, 3): must have the shape of before, (2, 2)"),
        (np.ones(2), np.array(["a", "b"]), "after=dtype <U1: must be real numbers"),
        (np.array([1.0, np.nan]), np.ones(2), "before=not finite: must be finite numbers"),
    ],
)
def test_bad_weights_are_refused_in_one_line(before, after, said, axes):
    with pytest.raises(es.InputError) as refused:
        es.figures.weights(before, after, axes)
    assert str(refused.value) == said


def test_occupancy_is_the_activitys(axes, activity):
    es.figures.occupancy(activity, axes, bins=20)
    shown = axes.images[0].get_array()
    assert np.array_equal(shown, 100 * activity.busy(activity.bins(20)))
    assert axes.images[0].get_extent() == [0.5, activity.cycles + 0.5, 3.5, -0.5]


def test_queues_are_the_activitys_and_full_ones_are_counted_over_all_cycles(axes, activity):
    es.figures.queues(activity, axes, bins=7)
    edges = activity.bins(7)
    mean = next(patch for patch in axes.patches if patch.get_label() == "mean of all PEs").get_data()
    assert np.array_equal(mean.values, activity.queued(edges).mean(axis=0))
    assert np.array_equal(mean.edges, edges - 0.5)
    whole = activity.full([1, activity.cycles + 1]).mean()
    assert f"full queues, {100 * whole:.1f} % over all" in labels(axes)


def test_one_bin_and_a_run_without_cycles(matrix, activity):
    silent = es.activity(matrix, np.zeros(30), es.EieConfig(n_pe=4))
    for draw in (es.figures.occupancy, es.figures.queues):
        assert texts(draw(silent, Figure().subplots())) == ["no cycles"]
        draw(activity, Figure().subplots(), bins=1).figure.draw_without_rendering()
        with pytest.raises(es.InputError, match=r"^bins=0: must be an integer in 1\.\.10000$"):
            draw(activity, Figure().subplots(), bins=0)
        with pytest.raises(es.InputError, match=r"^activity=dict: must be Activity"):
            draw({}, Figure().subplots())
