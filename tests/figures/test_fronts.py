"""Fronts are those of the sweep, with the knee by name; roofs follow from the design by hand."""

import re

import pytest
from drawn import line, texts
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.report.figures.style import UNFIT_NOTE, joint_hash


def test_the_front_and_its_knee_are_the_sweeps(axes, designs):
    rows = [row for row in designs if row["unit"] == "eie"]
    names = ("cycles", "energy_nj")
    es.figures.pareto(rows, names, axes)
    best = es.sweep.front(rows, names).rows
    x, y = line(axes, f"not beaten: {len(best)}")
    assert sorted(zip(x, y, strict=True)) == sorted((row["cycles"], row["energy_nj"]) for row in best)
    knee = es.sweep.knee(best, names)
    assert [value[0] for value in line(axes, "knee")] == [knee["cycles"], knee["energy_nj"]]
    words = f"density {knee['density']:g}, n_pe {knee['n_pe']}, queue_depth {knee['queue_depth']}"
    assert words in [text.replace("\n", " ") for text in texts(axes)]


def test_a_front_brings_its_objectives(axes, designs):
    best = es.sweep.front([row for row in designs if row["unit"] == "eie"], ["bytes", "accuracy"])
    es.figures.pareto(best, axes=axes)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("bytes", "accuracy, %")


def test_what_does_not_fit_is_hollow_and_not_on_the_front(axes, designs):
    rows = [row | {"fits": row["n_pe"] == 64} for row in designs if row["unit"] == "eie"]
    es.figures.pareto(rows, axes=axes)
    hollow = next(one for one in axes.collections if one.get_label() == f"_{UNFIT_NOTE}")
    assert len(hollow.get_offsets()) == sum(not row["fits"] for row in rows)
    x, _ = next(one for one in axes.lines if str(one.get_label()).startswith("not beaten")).get_data()
    assert set(x) <= {row["cycles"] for row in rows if row["fits"]}
    nothing = es.figures.pareto([row | {"fits": False} for row in rows], axes=Figure().subplots())
    assert texts(nothing) == ["no point fits the memories"]


def test_a_front_of_three_has_the_third_as_a_colour_with_its_unit(axes, designs):
    rows = [row for row in designs if row["unit"] == "eie"]
    names = ("cycles", "energy_nj", "area_mm2")
    es.figures.pareto(rows, names, axes, unfit=True)
    best = es.sweep.front(rows, names, all_rows=True).rows
    points = next(one for one in axes.collections if str(one.get_label()).startswith("not beaten"))
    assert points.get_array().tolist() == [row["area_mm2"] for row in best]
    assert [tuple(at) for at in points.get_offsets()] == [(row["cycles"], row["energy_nj"]) for row in best]
    (bar,) = (one for one in axes.figure.axes if one is not axes)
    assert bar.get_ylabel() == "area, mm2"
    four = es.figures.pareto(rows, (*names, "accuracy"), Figure().subplots())
    assert any("not drawn: accuracy, %" in text for text in texts(four))


def test_the_words_of_the_knee_hide_no_point_of_the_front(designs):
    rows = [row for row in designs if row["unit"] == "eie"]
    for names in (("cycles", "energy_nj"), ("cycles", "energy_nj", "area_mm2")):
        drawn = es.figures.pareto(rows, names, Figure().subplots())
        front = next(one for one in (*drawn.lines, *drawn.collections) if str(one.get_label()).startswith("not beaten"))
        assert all(front.get_zorder() > text.get_zorder() for text in drawn.texts)


def test_a_roof_by_hand(axes):
    """4 PEs at 100 MHz: 0.8 GOP/s, 64-bit rows 3.2 GB/s; 30 rows of 8 bytes for 120 MACs are 1 operation a byte."""
    given = {
        "unit": "eie",
        "config": {"n_pe": 4, "clock_mhz": 100.0, "spmat_width_bits": 64},
        "stats": {"events": {"spmat_reads": 30}},
        "effectual_macs": 120,
        "dense_macs": 1200,
        "effective_gops": 0.4,
        "dense_equivalent_gops": 4.0,
    }
    es.figures.roofline({"layer": given}, axes)
    x, y = line(axes, "dense: 0.8 GOP/s, Spmat SRAM 3.2 GB/s")
    assert max(y) == pytest.approx(0.8)
    assert y[0] == pytest.approx(3.2 * x[0])
    assert (x[0], x[-1]) == pytest.approx((0.25 / 2, 1.0 * 2))  # the edge of the roof, the point, and as much again
    filled, hollow, ceiling = axes.lines[1:4]
    assert (filled.get_xdata()[0], filled.get_ydata()[0]) == (1.0, 0.4)
    assert hollow.get_ydata()[0] == 4.0
    assert max(ceiling.get_ydata()) == pytest.approx(8.0)


def test_no_layer_is_above_its_roofs(axes, result):
    product = es.simulate_gemm(256, 256, 256, es.TensorCoreConfig.preset("rtx3090"), n_keep=2, m_group=4)
    for one in (result, product):
        axes.clear()
        es.figures.roofline({"layer": one}, axes)
        roof, filled, hollow, ceiling = axes.lines[:4]
        assert filled.get_ydata()[0] <= max(roof.get_ydata())
        assert hollow.get_ydata()[0] <= max(ceiling.get_ydata())
        assert max(ceiling.get_ydata()) == pytest.approx(max(roof.get_ydata()) * one.dense_macs / one.effectual_macs)


def test_a_roofline_has_the_hash_of_its_results(axes, result, matrix, inputs):
    assert f"config {result.config_hash}" in texts(es.figures.roofline({"layer": result}, axes))
    deeper = es.simulate(matrix, inputs, es.EieConfig(n_pe=4, queue_depth=9))
    both = joint_hash({result.config_hash, deeper.config_hash})
    again = es.figures.roofline({"a": result, "b": deeper}, Figure().subplots())
    assert f"config {both}" in texts(again)
    assert both not in (result.config_hash, deeper.config_hash)


def test_log_scales_have_plain_numbers(result, designs, weights):
    eie = [row for row in designs if row["unit"] == "eie"]
    for axes in (
        es.figures.roofline({"layer": result}, Figure().subplots()),
        es.figures.sparsity(designs, Figure().subplots()),
        es.figures.pareto(eie, axes=Figure().subplots()),
        es.figures.weights(weights, weights, Figure().subplots()),
    ):
        axes.figure.draw_without_rendering()
        for axis in (axes.xaxis, axes.yaxis):
            shown = [label.get_text() for label in axis.get_ticklabels(which="both")]
            assert any(shown)
            assert all(re.fullmatch("[-\u2212]?[0-9.]+(e[-+][0-9]+)?[kMG]?|", text) for text in shown), shown


def test_roofs_of_nothing_of_two_designs_and_of_no_result(axes, matrix, inputs, result):
    assert texts(es.figures.roofline({}, axes)) == ["no operations"]
    other = es.simulate(matrix, inputs, es.EieConfig(n_pe=4, clock_mhz=400))
    with pytest.raises(es.InputError, match=r"^results: must be of one design; peak or bandwidth differ$"):
        es.figures.roofline({"a": result, "b": other}, axes)
    with pytest.raises(es.InputError, match=r"^results\[a\]: must be a result, unit is missing$"):
        es.figures.roofline({"a": {}}, axes)


def test_batches_have_a_line_per_candidate(axes):
    rows = [
        {"name": "dense", "unit": "dense", "batch": batch, "time_us": 2.0 * batch, "time_us_dram": 4.0 * batch}
        for batch in (1, 8)
    ]
    es.figures.batches(rows, axes, key="time_us_dram")
    assert [list(data) for data in line(axes, "dense")] == [[1, 8], [4.0, 4.0]]
    with pytest.raises(es.InputError, match=r"^key=cycles: must be time_us or time_us_dram$"):
        es.figures.batches(rows, axes, key="cycles")
