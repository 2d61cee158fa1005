"""Names of any kind, very many things at once, and rows that somebody has edited: legible, or one line."""

import warnings

import pytest
from drawn import texts
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.report.figures.style import LONG, named

NAMES = ["_hidden", r"$\frac{1}{0$", "a\nb\0", "\ud800", "\u202egnol", "中文", "x" * 300, "<script>"]


@pytest.fixture
def loud():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_drawn_as_it_is(name, axes, tmp_path, loud):
    es.figures.classes({name: {name: 1, "padding": 3}}, axes, config_hash=name)
    es.figures.save(axes, tmp_path / "a.png")
    assert any(named(name) in text.get_text() for text in axes.get_legend().get_texts())
    assert axes.get_yticklabels()[0].get_text() == named(name)
    assert len(named(name)) <= LONG + 1


def test_of_many_bars_some_are_named(axes, tmp_path, loud):
    es.figures.energy({f"layer {at}": {"ptr_read": at + 1.0} for at in range(400)}, axes)
    es.figures.save(axes, tmp_path / "a.png")
    assert len(axes.patches) == 400
    assert len(axes.get_yticklabels()) == len(texts(axes)) == 40


def test_a_legend_says_how_many_more_there_are(axes, designs, tmp_path, loud):
    row = next(row for row in designs if row["unit"] == "eie")
    rows = [{**row, "layer": f"a layer with a name {at}", "queue_depth": depth} for at in range(60) for depth in (1, 8)]
    es.figures.balance(rows, axes)
    es.figures.save(axes, tmp_path / "a.png")
    said = [text.get_text() for text in axes.get_legend().get_texts()]
    more = next(word for word in said if word.startswith("..."))
    assert len(said) - 1 + int(more.split()[1]) == 60
    assert said[-1] == more
    assert axes.get_position().height > 0.3


@pytest.mark.parametrize("column", ["cycles", "n_pe", "weight_density", "load_balance", "waiting_cycles", "fits"])
@pytest.mark.parametrize("value", [None, "x", float("nan"), float("inf"), -1, 10**400, [1]])
def test_rows_that_were_edited_are_refused_in_one_line(column, value, designs):
    rows = [{**designs[0], column: value}, *designs[1:]]
    for draw in (es.figures.sparsity, es.figures.balance, es.figures.scaling, es.figures.pareto):
        with pytest.raises(es.InputError, match=r"^rows\[0\]: must be a row of a sweep[^\n]*$"):
            draw(rows)


def test_rows_without_a_cycle_have_an_empty_picture(designs, loud):
    rows = [{**row, "cycles": 0} for row in designs]
    assert texts(es.figures.sparsity(rows, Figure().subplots())) == ["no points of units with PEs"]


def test_amounts_without_bounds_are_refused(axes):
    with pytest.raises(es.InputError, match=r"^parts\[fc\]\[weight\]=[^\n]*: must be a finite number >= 0$"):
        es.figures.energy({"fc": {"weight": 10**400}}, axes)
    with pytest.raises(es.InputError, match=r"^before=not finite"):
        es.figures.weights([1e308, -1e308], [1e308, 0], axes)
