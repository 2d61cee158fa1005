"""What all figures share: the same bytes each time, no display needed, colours that anybody tells apart."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest
from drawn import everything, texts
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.prune.sensitivity import Sensitivity
from eie_sim.report.figures.style import COLOURS, HAIR_SPACE, LINES, LONG, joint_hash, named, printable, short, unit_for

# Simulation of missing cones in linear RGB: Machado, Oliveira, Fernandes 2009, table 1, severity 1.
MISSING_CONES = {
    "none": np.eye(3),
    "long": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "medium": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "short": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TOLD_APART = 10
"""CIE 1976 colour difference that is seen at a glance; 2.3 is just noticeable."""

TOGETHER = (
    ("weight", "padding", "empty", "waiting", "drain"),
    ("act_queue", "ptr_read", "spmat_read", "arithm_unit", "act_rw", "leakage"),
    ("macs", "registers", "smem", "l2", "dram", "metadata", "clock", "leakage"),
    ("weights", "index", "padding", "pointers", "codebook"),
    ("values", "index", "pointers", "bias"),
    ("values", "row_index", "column_index"),
    ("values", "metadata", "bias"),
    ("values", "runs", "padding"),
)


def lab(colour, cones):
    """CIE L*a*b* of a colour, D65."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(np.array(MISSING_CONES[cones]) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(np.array(to_xyz) @ linear / [0.95047, 1.0, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("cones", MISSING_CONES)
@pytest.mark.parametrize("parts", TOGETHER)
def test_colours_of_one_bar_are_told_apart_by_any_eye(parts, cones):
    for one, other in combinations(parts, 2):
        distance = np.linalg.norm(lab(COLOURS[one], cones) - lab(COLOURS[other], cones))
        assert distance > TOLD_APART, f"{one} and {other}"


def test_every_component_that_a_result_can_have_has_a_colour(result, matrix):
    product = es.simulate_gemm(16, 16, 16, es.TensorCoreConfig())
    known = set(COLOURS)
    for one in (result, product):
        assert set(one.stats["classes"]) <= known
        assert set(es.energy.account(one).by_component) <= known
    for each in es.footprint(matrix).values():
        assert set(each.parts) <= known
    assert len(set(LINES)) == len(LINES)


def test_every_figure_draws_on_its_axes_and_names_its_config(matrix, activity, result, designs, weights):
    for name, draw in everything(matrix, activity, result, designs, weights):
        axes = Figure(layout="constrained").subplots()
        assert draw(axes) is axes, name
        corner = [text for text in texts(axes) if re.fullmatch("config [0-9a-f]{12}", text)]
        assert len(corner) == 1, name
        assert axes.get_title(loc="left"), name
        assert axes.get_xlabel(), name
        axes.figure.draw_without_rendering()


def test_the_hash_is_below_the_label_of_the_x_axis(matrix, activity, result, designs, weights):
    for name, draw in everything(matrix, activity, result, designs, weights):
        axes = draw(Figure(figsize=(2.6, 2.2), dpi=100).subplots())
        axes.figure.draw_without_rendering()
        corner = next(text for text in axes.texts if text.get_gid() == "config-hash")
        assert corner.get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0, name


names = st.text(st.sampled_from("a_$^{}\\%&<x \n\0\u202e\u6f22\ud800"), max_size=60)


def with_names(name, result, activity, designs):
    """Every figure that has names in it, with this one: in bars, legends, titles, labels and annotations."""
    f, classes = es.figures, result.stats["classes"]
    rows = [row | {"layer": name} for row in designs if row["unit"] == "eie"]
    rows.append(rows[0] | {"layer": "fc1", "cycles": 10**9})  # so that layers are told apart; never the knee
    batch = {"name": name, "unit": "nm", "batch": 1, "time_us": 2.0}
    yield lambda a: f.classes({name: classes}, a, unfit=(name,), config_hash=name)
    yield lambda a: f.storage({"fc1": {name: 8}}, a, title=name, config_hash=[name, "b"])
    yield lambda a: f.energy({name: {name: 8}}, a, label=name)
    named = replace(activity, label=name, result=replace(activity.result, config_hash=name))
    yield lambda a: f.occupancy(named, a)
    yield lambda a: f.queues(named, a)
    yield lambda a: f.roofline({name: result}, a, config_hash=name)
    yield lambda a: f.sensitivity([Sensitivity(name, 0.5, 0.5, 50, 0.9, 120.0)], a, quality=name, cost=name)
    yield lambda a: f.batches([batch, batch | {"name": "other"}], a)
    for draw in (f.sparsity, f.balance, f.scaling, f.pareto):
        yield lambda a, draw=draw: draw(rows, axes=a)


def check_is_written(name, draw):
    axes = draw(Figure(figsize=(12, 6)).subplots())
    svg = ElementTree.fromstring(es.figures.svg(axes))
    texts = ["".join(one.itertext()).replace(HAIR_SPACE, "") for one in svg.iter() if one.tag.endswith("}text")]
    assert any(named(name).replace(HAIR_SPACE, "").strip() in text for text in texts)
    assert texts == list(map(printable, texts))


def test_a_name_of_no_letters_is_written_as_it_is_in_every_figure(result, activity, designs):
    name = "_a$x$_{ \\frac$\0\ud800"
    for draw in with_names(name, result, activity, designs):
        check_is_written(name, draw)


@settings(max_examples=10)
@given(names, st.integers(0, 11))
def test_any_name_is_written_as_it_is(result, activity, designs, name, at):
    check_is_written(name, list(with_names(name, result, activity, designs))[at])


@given(st.text(max_size=200))
def test_names_are_short_printable_seen_by_legends_and_stay_so(name):
    shown = named(name)
    assert 0 < len(shown) <= LONG + 1
    assert not shown.startswith("_")
    assert printable(shown.removeprefix(HAIR_SPACE)) == shown.removeprefix(HAIR_SPACE)
    assert named(shown.removeprefix(HAIR_SPACE)) == shown
    plain = name.isprintable() and len(name) <= LONG and name[:1] not in ("", "_")
    assert not plain or shown == name


def test_the_hash_of_several_designs_is_of_all_of_them_in_any_order():
    assert joint_hash("a") == joint_hash(["a", "a"]) == "a"
    assert joint_hash([]) == ""
    assert joint_hash(["b", "a"]) == joint_hash(["a", "b", "a"]) != joint_hash(["a", "c"])


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_files_are_png_or_svg_and_the_same_bytes_again(suffix, tmp_path, result):
    written = []
    for turn in "ab":
        axes = es.figures.classes({"fc1": result.stats["classes"]}, Figure(layout="constrained").subplots())
        written.append(es.figures.save(axes, tmp_path / f"{turn}{suffix}").read_bytes())
    assert written[0] == written[1]
    if suffix == ".png":
        assert written[0].startswith(b"\x89PNG")
    else:
        assert ElementTree.fromstring(written[0]).tag.endswith("svg")


def test_an_svg_for_a_page_has_text_and_no_id_without_use(axes, result):
    es.figures.classes({"<fc1> & co": result.stats["classes"]}, axes)
    text = es.figures.svg(axes)
    assert text.startswith("<svg ")
    root = ElementTree.fromstring(text)
    written = "".join(root.itertext())
    assert "<fc1> & co" in written
    assert "share of PE-cycles, %" in written
    ids = {one.attrib["id"] for one in root.iter() if "id" in one.attrib}
    assert all(f"#{one}" in text for one in ids)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("figure.gif", "must end in .png, .svg"),
        ("figure", "must end in .png, .svg"),
        ("missing/figure.png", "must be in a folder that exists"),
        ("a" * 300 + ".png", "cannot be written: File name too long"),
    ],
)
def test_bad_paths_are_refused_and_nothing_is_written(path, said, axes, tmp_path):
    with pytest.raises(es.InputError, match=f"^figure=.*: {re.escape(said)}$"):
        es.figures.save(axes, tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_only_read_is_refused_before_anything_is_drawn(axes, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(es.InputError, match=r"^figure=.*: must be in a folder that can be written to$"):
        es.figures.save(axes, tmp_path / "figure.png")


def test_what_is_no_axes_is_refused(result):
    with pytest.raises(es.InputError, match=r"^axes=str: must be Axes"):
        es.figures.classes({"fc1": result.stats["classes"]}, "axes")


@pytest.mark.parametrize("backend", ["", "TkAgg"])
def test_no_display_is_needed(backend, tmp_path):
    program = (
        "import eie_sim as es\n"
        f"es.figures.save(es.figures.classes({{'fc1': {{'weight': 3}}}}), {str(tmp_path / 'a.png')!r})"
    )
    environment = {name: value for name, value in os.environ.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    environment |= {"MPLBACKEND": backend} if backend else {}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_numbers_are_short_and_units_fit():
    assert [short(value) for value in (0, 0.12345, 3, 999.4, 1000, 12345, 2.5e6, 3e9)] == [
        "0", "0.123", "3", "999", "1k", "12.3k", "2.5M", "3G",
    ]  # fmt: skip
    units = ((1.0, "pJ"), (1e3, "nJ"))
    assert [unit_for(most, units)[1] for most in (0.1, 1, 999, 1000, 1e9)] == ["pJ", "pJ", "pJ", "nJ", "nJ"]
