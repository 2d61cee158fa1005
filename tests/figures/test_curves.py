"""Curves over axes of sweeps: every point is a row's, ideals and crossings follow from the rows."""

from itertools import combinations

import numpy as np
import pytest
from drawn import ACCURACIES, labels, line, texts
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.prune.sensitivity import Sensitivity
from eie_sim.report.figures.curves import _crossings
from eie_sim.report.figures.style import UNFIT_NOTE


def of(rows, **values):
    return [row for row in rows if all(row.get(name) == value for name, value in values.items())]


def test_sparsity_draws_the_cycles_of_every_row_and_the_ideal(axes, designs):
    es.figures.sparsity(designs, axes)
    own = sorted(of(designs, unit="eie", n_pe=4, queue_depth=1), key=lambda row: row["weight_density"])
    x, y = line(axes, "EIE, n_pe 4, queue_depth 1")
    assert x.tolist() == [100 * (1 - row["weight_density"]) for row in own]
    assert y.tolist() == [row["cycles"] for row in own]
    ideals = [one.get_ydata().tolist() for one in axes.lines if one.get_linestyle() == ":"]
    assert [row["effectual_macs"] / 4 for row in own] in ideals
    dense = next(row for row in designs if row.get("runs_as") == "dense")
    assert set(line(axes, "nm-64 dense")[1]) == {dense["cycles"]}
    assert axes.get_ylabel() == "cycles (all vectors)"


def test_no_two_level_lines_look_alike(axes, designs):
    product = of(designs, runs_as="2:4")[0]
    kinds = [product | {"runs_as": f"{n}:16", "n_keep": n, "m_group": 16, "cycles": 10 * n} for n in range(1, 13)]
    es.figures.sparsity([*of(designs, unit="eie"), *kinds], axes)
    levels = [one for one in axes.lines if str(one.get_label()).startswith("nm-64")]
    assert len({(one.get_color(), str(one._dash_pattern)) for one in levels}) == len(levels) == 12


def test_products_as_fast_as_each_other_share_a_line(axes, designs):
    product = of(designs, runs_as="2:4")[0]
    same = [product, product | {"runs_as": "1:2", "n_keep": 1, "m_group": 2}]
    es.figures.sparsity([*of(designs, unit="eie"), *same], axes)
    (level,) = (one for one in axes.lines if str(one.get_label()).startswith("nm-64"))
    assert sorted(level.get_label().split("; ")) == ["nm-64 1:2", "nm-64 2:4"]


def test_designs_of_several_clocks_are_drawn_in_time(axes):
    rows = es.sweep.run("digits-mlp", grid={"density": [0.1, 0.5], "clock_mhz": [400, 800]}, workers=1).rows
    es.figures.sparsity(rows, axes)
    assert axes.get_ylabel() == "time, us (all vectors)"
    own = of(rows, clock_mhz=400.0)
    assert sorted(line(axes, "EIE, clock_mhz 400")[1]) == sorted(row["time_us"] for row in own)
    ideals = [sorted(one.get_ydata()) for one in axes.lines if one.get_linestyle() == ":"]
    assert sorted(row["effectual_macs"] / 64 / 400 for row in own) in ideals


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=8), st.floats(1, 1e6))
def test_crossings_are_where_the_drawn_curve_meets_the_level(values, level):
    x, y = np.arange(len(values), dtype=float), np.array(values)
    found = _crossings(x, y, level)
    signs = np.sign(y - level)
    assert len(found) == np.count_nonzero(signs[:-1] * signs[1:] < 0)
    for crossing in found:
        assert np.exp(np.interp(crossing, x, np.log(y))) == pytest.approx(level, rel=1e-9)


def test_a_crossing_is_named(axes, designs):
    rows = of(designs, unit="eie", n_pe=4, queue_depth=4)
    cycles = [row["cycles"] for row in rows]
    level = round((min(cycles) * max(cycles)) ** 0.5)
    es.figures.sparsity([*rows, *(row | {"cycles": level} for row in of(designs, runs_as="2:4"))], axes)
    named = [text for text in texts(axes) if text.startswith("as fast as nm-64 2:4\nat ")]
    assert len(named) == 1


def test_the_words_of_crossings_at_one_place_do_not_overlap(axes, designs):
    rows = of(designs, unit="eie", n_pe=4, queue_depth=4)
    cycles = [row["cycles"] for row in rows]
    product, level = of(designs, runs_as="2:4")[0], round((min(cycles) * max(cycles)) ** 0.5)
    near = [product | {"runs_as": f"{n}:8", "n_keep": n, "m_group": 8, "cycles": level + n} for n in (1, 2, 4)]
    es.figures.sparsity([*rows, *near], axes)
    axes.figure.draw_without_rendering()
    words = [text.get_window_extent() for text in axes.texts if text.get_text().startswith("as fast as")]
    assert len(words) == 3
    assert not any(one.overlaps(other) for one, other in combinations(words, 2))


def test_balance_is_the_share_that_does_not_wait(axes, designs):
    own = of(designs, unit="eie", n_pe=64, density=0.1)
    es.figures.balance(own, axes)
    x, y = line(axes, "not waiting")
    assert x.tolist() == [1, 4]
    for row, share in zip(own, y, strict=True):
        total = row["cycles"] * 64 - row["drain_cycles"]
        assert share == pytest.approx(100 * (total - row["waiting_cycles"]) / total)


def test_balance_against_pes_is_the_share_that_does_not_wait_as_well(axes, designs):
    own = of(designs, unit="eie", queue_depth=4, density=0.5)
    es.figures.balance(own, axes, by="n_pe")
    x, y = line(axes, "not waiting")
    assert x.tolist() == [row["n_pe"] for row in own]
    for row, share in zip(own, y, strict=True):
        total = row["cycles"] * row["n_pe"] - row["drain_cycles"]
        assert share == pytest.approx(100 * (total - row["waiting_cycles"]) / total)
    assert axes.get_xlabel() == "PEs"
    with pytest.raises(InputError, match=r"^by=index_bits: unknown"):
        es.figures.balance(own, axes, by="index_bits")


def test_scaling_is_cycles_over_those_of_the_fewest_pes(axes, designs):
    own = of(designs, unit="eie", queue_depth=4, density=0.5)
    es.figures.scaling(own, axes)
    x, y = line(axes, "speedup")
    assert x.tolist() == [4, 64]
    assert y.tolist() == [1.0, own[0]["cycles"] / own[1]["cycles"]]
    second = axes.figure.axes[1]
    balances = [one.get_ydata().tolist() for one in second.lines]
    assert [100 * row["load_balance"] for row in own] in balances
    shares = [100 * row["padding_cycles"] / (row["padding_cycles"] + row["weight_cycles"]) for row in own]
    assert any(np.allclose(shares, found) for found in balances)


def test_points_that_do_not_fit_are_hollow(axes, designs):
    rows = [row | {"fits": row["density"] != 1.0} for row in of(designs, unit="eie", n_pe=4, queue_depth=4)]
    es.figures.sparsity(rows, axes)
    x, _ = line(axes, f"_{UNFIT_NOTE}")
    assert x.tolist() == [0.0]


def test_sensitivity_has_quality_and_cost_of_every_point(axes):
    points = [Sensitivity("fc1", 0.5, 0.5, 50, 0.9, 120.0), Sensitivity("fc1", 0.1, 0.1, 10, 0.4, 70.0)]
    es.figures.sensitivity(points, axes)
    x, y = line(axes, "fc1")
    assert dict(zip(np.round(x), np.round(y), strict=True)) == {50: 90, 90: 40}
    assert list(axes.figure.axes[1].lines[0].get_ydata()) == [70.0, 120.0]


@pytest.mark.parametrize("draw", [es.figures.sparsity, es.figures.balance, es.figures.scaling, es.figures.pareto])
def test_no_rows_failed_rows_and_one_row_are_pictures(draw, axes, designs):
    failed = [{"error": "density=2: must be in 0..1"}]
    for rows in ([], failed, designs[:1], of(designs, unit="nm")[:1]):
        axes.clear()
        assert draw(rows, axes=axes) is axes
        axes.figure.draw_without_rendering()
    assert draw([], axes=axes).texts[-1].get_text().startswith("no ")


@pytest.mark.parametrize("draw", [es.figures.sparsity, es.figures.balance, es.figures.scaling, es.figures.pareto])
@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("rows", "rows=str: must be list or tuple"),
        ([3], "rows[0]=int: must be dict"),
        ([{"cycles": 3}], "rows[0]: must be a row of a sweep, unit is missing"),
        ([{"unit": "eie", "cycles": 3}], "rows[0]: must be a row of a sweep, time_us is missing"),
    ],
)
def test_what_is_no_sweep_is_refused_in_one_line(draw, rows, said, axes):
    with pytest.raises(es.InputError) as refused:
        draw(rows, axes=axes)
    assert str(refused.value) == said


def test_a_sweep_is_as_good_as_its_rows(designs):
    found = es.sweep.run("digits-mlp", grid={"density": [0.1, 0.5]}, workers=1)
    pictures = [es.figures.svg(es.figures.sparsity(given, Figure().subplots())) for given in (found, found.rows)]
    assert pictures[0] == pictures[1]
    assert "EIE" in labels(es.figures.sparsity(found, Figure().subplots()))


def note(axes):
    """What is written below the axes, as one line."""
    return next(text.get_text() for text in axes.texts if text.get_gid() == "notes").replace("\n", " ")


def test_a_sweep_says_what_is_held_fixed(axes, designs):
    own = of(designs, unit="eie", n_pe=64, density=0.1)
    held = "held fixed: digits-mlp, pattern element, density 0.1, n_pe 64, weight_bits 4, index_bits 4"
    assert note(es.figures.balance(own, axes)).endswith(held)
    slow = [row | {"clock_mhz": 400.0} for row in own]
    assert note(es.figures.balance(slow, Figure().subplots())).endswith(f"{held}, clock_mhz 400")
    several = note(es.figures.sparsity(of(designs, unit="eie"), Figure().subplots()))
    assert "n_pe" not in several and "queue_depth" not in several and "density" not in several


def test_what_kinds_of_lines_mean_is_written_below(axes, designs):
    own = of(designs, unit="eie", queue_depth=4, density=0.5)
    said = note(es.figures.scaling(own, axes))
    assert said.startswith("solid: speedup; dotted: ideal; dashed: load balance; dash-dotted: padding of entries held")
    unfit = [row | {"fits": False} for row in own]
    assert UNFIT_NOTE in note(es.figures.scaling(unfit, Figure().subplots()))


def test_accuracy_has_a_line_for_each_recipe_and_a_colour_for_each_pattern(axes):
    es.figures.accuracy(ACCURACIES, axes)
    drawn = [one for one in axes.lines if len(one.get_xdata())]
    assert {tuple(map(round, one.get_xdata())) for one in drawn} == {(10, 50)}
    found = {(one.get_color(), one.get_linestyle()) for one in drawn}
    assert len(found) == len(drawn) == 4
    assert labels(axes) == ["element", "balanced"]
    assert sorted(y for one in drawn for y in one.get_ydata()) == pytest.approx(
        sorted(100 * one.accuracy for one in ACCURACIES)
    )
    assert note(axes) == "solid: one-shot; dashed: iterative; circles: L1"
    cycles = es.figures.accuracy(ACCURACIES, Figure().subplots(), against="cycles")
    assert sorted(x for one in cycles.lines for x in one.get_xdata()) == sorted(one.cost for one in ACCURACIES)
    with pytest.raises(InputError, match=r"^against=time: must be density or cycles$"):
        es.figures.accuracy(ACCURACIES, axes, against="time")
    with pytest.raises(InputError, match=r"^records\[0\]=int: must be AccuracyRecord"):
        es.figures.accuracy([3], axes)
