"""Stacked bars: as long as the amounts they are of, in the colours of their components, with values and totals."""

import numpy as np
import pytest
from drawn import labels, texts
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.report.figures.bars import UNFIT, write_footprints
from eie_sim.report.figures.style import COLOURS

CLASSES = ("weight", "padding", "empty", "waiting", "drain")
counts = st.lists(st.fixed_dictionaries(dict.fromkeys(CLASSES, st.integers(0, 10**9))), min_size=1, max_size=4).map(
    lambda bars: {f"layer {at}": own for at, own in enumerate(bars)}
)


def bars_on(axes):
    """Width of every bar by kind and place, and its colour by kind: [(kind, y, left, width)], {kind: colour}.

    A kind is what the legend calls the colour: a part, or several.
    """
    handles, kinds = axes.get_legend_handles_labels()
    colours = {kind: to_hex(handle[0].get_facecolor()) for handle, kind in zip(handles, kinds, strict=True)}
    kind_of = {colour: kind for kind, colour in colours.items()}
    bars = [
        (kind_of[to_hex(bar.get_facecolor())], round(bar.get_y() + bar.get_height() / 2), bar.get_x(), bar.get_width())
        for container in axes.containers
        for bar in container
    ]
    return bars, colours


@given(counts)
def test_a_bar_of_classes_is_a_hundred_percent_in_one_colour_per_class(parts):
    axes = es.figures.classes(parts, Figure().subplots())
    if not any(sum(own.values()) for own in parts.values()):
        assert texts(axes) == ["no cycles"]
        return
    bars, colours = bars_on(axes)
    assert colours == {part: COLOURS[part] for part in colours}
    for place, own in enumerate(reversed(parts.values())):
        total = sum(own.values())
        found = {part: width for part, y, _, width in bars if y == place}
        assert all(np.isclose(width, 100 * own[part] / total if total else 0) for part, width in found.items())
        assert np.isclose(sum(found.values()), 100 if total else 0)


def test_parts_lie_end_to_end(axes):
    es.figures.storage({"fc1": {"weights": 8000, "index": 16000, "codebook": 256}}, axes)
    bars, _ = bars_on(axes)
    found = {part: (left, pytest.approx(width)) for part, _, left, width in bars}
    assert found == {"weights": (0, 1), "index": (1, 2), "codebook": (3, 0.032)}
    assert axes.get_xlabel() == "size, kB"
    assert {"1", "2", "3.03 kB"} <= set(texts(axes))


def test_energy_is_that_of_the_report_in_a_unit_that_reads_well(axes, result):
    report = es.energy.account(result)
    es.figures.energy({"layer": report.by_component}, axes, label="energy per vector")
    bars, _ = bars_on(axes)
    assert sum(width for *_, width in bars) == pytest.approx(report.total_pj / 1e3)
    assert axes.get_xlabel() == "energy per vector, nJ"
    assert axes.get_title(loc="left") == "Energy per vector by component"


def test_formats_are_those_of_the_footprint(axes, matrix):
    formats = es.footprint(matrix)
    es.figures.footprint(formats, axes)
    bars, _ = bars_on(axes)
    for place, each in enumerate(reversed(formats.values())):
        total = sum(width for _, y, _, width in bars if y == place)
        factor = {"size, bytes": 8, "size, kB": 8e3}[axes.get_xlabel()]
        assert total == pytest.approx(each.total_bits / factor)
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert names == [each.name if each.valid else f"{each.name} (cannot hold it)" for each in formats.values()]


def test_a_colour_is_in_the_legend_once_with_all_parts_that_have_it(axes, matrix):
    formats = es.footprint(matrix)
    es.figures.footprint(formats, axes)
    _, colours = bars_on(axes)
    assert len({*colours.values()}) == len(colours) == len(labels(axes))
    drawn = {part for each in formats.values() for part, bits in each.parts.items() if bits}
    assert {part: colour for kind, colour in colours.items() for part in kind.split(", ")} == {
        part: COLOURS[part] for part in drawn
    }


@pytest.mark.parametrize("name", ["fc1", "model.layers.31.self_attn.q_proj.weight"])
@pytest.mark.parametrize("draw", [es.figures.classes, es.figures.energy])
def test_values_are_on_bars_that_are_long_enough_and_no_longer_than_these(draw, name):
    parts = {name: {"weight": 40, "padding": 1, "empty": 5, "waiting": 9, "drain": 3, "l2": 14.25, "dram": 27.75}}
    axes = draw(parts, Figure(figsize=(5.8, 2.2), layout="constrained").subplots())
    axes.figure.draw_without_rendering()
    written = [text for text in axes.texts if text.get_text() and text.get_gid() is None][:-1]  # the last is the sum
    bars = [bar.get_window_extent() for container in axes.containers for bar in container]
    assert written
    for text in written:
        own = text.get_window_extent()
        assert any(bar.x0 <= own.x0 and own.x1 <= bar.x1 for bar in bars), text.get_text()


def test_what_does_not_fit_is_marked(axes):
    es.figures.classes({"a": {"weight": 1}, "b": {"weight": 1}}, axes, unfit=("b",))
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", f"b\n({UNFIT})"]


@pytest.mark.parametrize("parts", [{}, {"fc1": {}}, {"fc1": {"weight": 0}}])
@pytest.mark.parametrize("draw", [es.figures.classes, es.figures.energy, es.figures.storage])
def test_nothing_to_draw_is_said_in_the_picture(draw, parts, axes):
    assert draw(parts, axes) is axes
    assert len(texts(axes)) == 1
    assert texts(axes)[0].startswith("no ")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "parts=list: must be Mapping"),
        ({"fc1": 3}, "parts[fc1]=int: must be Mapping"),
        ({"fc1": {"weight": -1}}, "parts[fc1][weight]=-1: must be a finite number >= 0"),
        ({"fc1": {"weight": float("nan")}}, "parts[fc1][weight]=nan: must be a finite number >= 0"),
        ({"fc1": {"weight": "3"}}, "parts[fc1][weight]=3: must be a finite number >= 0"),
    ],
)
def test_bad_parts_are_refused_in_one_line(parts, said, axes):
    with pytest.raises(es.InputError) as refused:
        es.figures.energy(parts, axes)
    assert str(refused.value) == said


def test_more_pictures_than_a_file_takes_are_refused(tmp_path, matrix):
    layers = {f"fc{at}": es.footprint(matrix) for at in range(41)}
    with pytest.raises(es.InputError, match=r"a\.png: takes at most 40 layers, there are 41$"):
        write_footprints(layers, tmp_path / "a.png", config_hash="")
    assert list(tmp_path.iterdir()) == []
