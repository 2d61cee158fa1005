"""Rows of a sweep are what a run of the same point gives, which encodes, multiplies and times it whole."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.energy import account, area, total_of
from eie_sim.engine import compress
from eie_sim.network import Layer, Network, load
from eie_sim.pipeline import run_network
from eie_sim.prune import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.study.evaluator import Evaluator
from eie_sim.study.points import points_of, read_axes
from eie_sim.study.subject import subject_of
from eie_sim.study.sweep import run
from eie_sim.units.eie.matrix import encoded
from eie_sim.units.nm.unit import packed

EVENTS = ("padding_entries", "spmat_reads", "broadcasts")


def figures_of(result, config):
    """Figures of a simulation, as columns of a row; those of formulas of their own are left to be compared apart."""
    report, stats = account(result), result.stats
    return {
        "n_vector": result.n_vector,
        "cycles": result.cycles,
        "time_us": result.time_us,
        "energy_nj": report.total_pj / 1e3,
        "power_mw": report.power_mw,
        "area_mm2": area(config).total_mm2,
        "utilisation": result.utilisation,
        "load_balance": result.load_balance,
        "effective_gops": result.effective_gops,
        "effectual_macs": result.effectual_macs,
        "dense_macs": result.dense_macs,
        "fits": result.fits,
        "passes": result.passes,
        "blocked_cycles": stats["broadcast"]["blocked_cycles"],
        "lost_cycles": stats["broadcast"]["lost_cycles"],
        **{name: stats["events"][name] for name in EVENTS},
        **{f"{name}_cycles": count for name, count in stats["classes"].items()},
    }


def assert_like(row, expected):
    for name, value in expected.items():
        same = row[name] == value or (isinstance(value, float) and math.isclose(row[name], value, rel_tol=1e-12))
        assert same, (name, row[name], value)


@st.composite
def designs(draw):
    return {
        "n_pe": draw(st.sampled_from([1, 2, 3, 7, 16, 64])),
        "queue_depth": draw(st.integers(1, 20)),
        "index_bits": draw(st.integers(1, 5)),
        "weight_bits": draw(st.sampled_from([1, 4])),
        "spmat_width_bits": draw(st.sampled_from([16, 64, 128])),
        "accumulator_bits": draw(st.sampled_from([16, 24])),
        "pointer_bits": draw(st.sampled_from([8, 16])),
        "clock_mhz": draw(st.sampled_from([100.0, 800.0])),
        "node_nm": draw(st.sampled_from([45, 28])),
        "active": draw(st.sampled_from(["positive", "nonzero"])),
        "register_entries": draw(st.sampled_from([1, 64])),
    }


@st.composite
def layers(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_out, n_in = draw(st.integers(1, 40)), draw(st.integers(1, 30))
    weights = rng.standard_normal((n_out, n_in)) * (rng.random((n_out, n_in)) < draw(st.floats(0, 1)))
    inputs = rng.standard_normal((draw(st.integers(1, 4)), n_in)) * (rng.random(n_in) < draw(st.floats(0, 1)))
    bias = rng.standard_normal(n_out) * (rng.random(n_out) < 0.7) if draw(st.booleans()) else None
    if draw(st.booleans()):
        weights = scipy.sparse.csc_array(weights)
    return Layer(
        name="one",
        weights=weights,
        bias=bias,
        activations=inputs,
        weights_source="drawn",
        activations_source="drawn",
        synthetic=True,
    )


@given(layers(), st.lists(designs(), min_size=1, max_size=6))
@settings(max_examples=40)
def test_rows_are_what_simulate_gives(layer, given_designs):
    network = Network(name="net", layers=(layer,), chained=False, source="drawn")
    found = run(network, points=given_designs, workers=1)
    unique = list({es.EieConfig(**design): None for design in given_designs})
    assert len(found.rows) == len(unique)
    for row, config in zip(found.rows, unique, strict=True):
        matrix = compress(layer.weights, config, bias=layer.bias)
        result = es.simulate(matrix, layer.activations, config.for_inputs(layer.activations))
        assert_like(row, figures_of(result, config))
        assert row["bytes"] == encoded(matrix, pointer_bits=config.pointer_bits).total_bits / 8
        assert (row["n_weight"], row["n_entry"]) == (matrix.n_weight, matrix.n_entry)
        assert row["weight_density"] == pytest.approx(matrix.density, rel=1e-12)
        assert row["misfit"] == ", ".join(memory.memory for memory in result.memories if not memory.fits)
        assert row["config_hash"] == es.simulate(matrix, layer.activations, config).config_hash
        assert row["error"] is None


@given(layers(), designs())
@settings(max_examples=20)
def test_each_vector_is_a_run_of_that_vector_at_the_scale_of_all(layer, design):
    network = Network(name="net", layers=(layer,), chained=False, source="drawn")
    config = es.EieConfig(**design)
    matrix = compress(layer.weights, config, bias=layer.bias)
    matrix = matrix.with_scales_for(layer.activations, active="nonzero")
    found = run(network, grid={**{name: [value] for name, value in design.items()}, "vector": "each"}, workers=1)
    assert len(found.rows) == len(layer.activations)
    for row, vector in zip(found.rows, layer.activations, strict=True):
        assert_like(row, figures_of(es.simulate(matrix, vector, config.for_inputs(vector)), config))
    whole = run(network, points=[design], workers=1).rows[0]
    assert sum(row["cycles"] for row in found.rows) == whole["cycles"]


@pytest.mark.parametrize("density", [None, 0.05, 0.3])
@pytest.mark.parametrize("design", [{"n_pe": 64}, {"n_pe": 5, "queue_depth": 2, "weight_bits": 2, "index_bits": 3}])
def test_a_chain_is_what_a_run_of_it_gives(density, design):
    network, config = load("digits-mlp"), es.EieConfig(**design)
    given_axes = {name: [value] for name, value in design.items()} | ({} if density is None else {"density": [density]})
    row = run("digits-mlp", grid=given_axes, workers=1).rows[0]
    if density is not None:
        network, _ = prune_network(network, Recipe(density=density), config)
    done = run_network(network, config)
    total = done.to_dict()["total"]
    energy = total_of([layer.energy for layer in done.layers])
    expected = {
        "cycles": done.cycles,
        "energy_nj": energy.total_pj / 1e3,
        "utilisation": total["utilisation"],
        "load_balance": total["load_balance"],
        "accuracy": done.accuracy.compressed,
        "effectual_macs": total["effectual_macs"],
        "dense_macs": total["dense_macs"],
        "bytes": total["storage"]["total_bits"] / 8,
        "fits": total["fits"],
        "passes": total["passes"],
        "n_weight": total["n_weight"],
    }
    assert_like(row, expected)
    each = run("digits-mlp", grid={**given_axes, "layer": "each"}, workers=1).rows
    assert [one["cycles"] for one in each] == [layer.result.cycles for layer in done.layers]


def test_densities_share_one_ordering_and_are_those_of_pruning_one_by_one():
    rng = np.random.default_rng(1)
    weights = np.round(rng.standard_normal((60, 50)), 1)  # ties
    inputs = np.abs(rng.standard_normal((2, 50)))
    layer = Layer(
        name="one",
        weights=weights,
        activations=inputs,
        weights_source="drawn",
        activations_source="drawn",
        synthetic=True,
    )
    network = Network(name="net", layers=(layer,), chained=False, source="drawn")
    densities = [0.03, 0.1, 0.11, 0.5, 0.9, 1.0]
    rows = run(network, grid={"density": densities, "n_pe": [4, 16]}, workers=1).rows
    for row in rows:
        mask = es.prune.magnitude(weights, density=row["density"]).mask
        config = es.EieConfig(n_pe=row["n_pe"])
        result = es.simulate(compress(weights * mask, config), inputs, config)
        assert row["cycles"] == result.cycles
        assert row["weight_density"] == np.count_nonzero(weights * mask) / weights.size


@pytest.mark.parametrize("recipe", [{"pattern": "2:4"}, {"density": 0.4}, {"density": 0.3, "pattern": "balanced"}])
def test_verified_rows_encode_and_multiply(recipe):
    grid = {name: [value] for name, value in recipe.items()} | {"n_pe": [4, 8]}
    rows = run("digits-mlp", grid=grid, verify=True, workers=1).rows
    plain = run("digits-mlp", grid=grid, workers=1).rows
    assert [row["verified"] for row in rows] == [True, True]
    assert [row["verified"] for row in plain] == [None, None]
    for one, other in zip(rows, plain, strict=True):
        assert {**one, "key": 0, "verified": 0} == {**other, "key": 0, "verified": 0}


@pytest.mark.parametrize("chip", ["nm-64", "stc-1024", "a100-sxm"])
@pytest.mark.parametrize("pattern", ["2:4", "1:4", "element"])
def test_nm_rows_are_what_simulate_gives(chip, pattern):
    grid = {"unit": "nm", "chip": chip, "pattern": pattern, "density": [0.3], "layer": "fc2"}
    row = run("digits-mlp", grid=grid, verify=True, workers=1).rows[0]
    config = es.TensorCoreConfig.preset(chip)
    n_keep, m_group = (2, 4) if pattern == "2:4" else (1, 4)
    recipe = Recipe(density=0.3) if pattern == "element" else Recipe(pattern=pattern)
    network, _ = prune_network(load("digits-mlp"), recipe, config)
    weights = network.layer("fc2").layers[0].weights
    given_pattern = (1, 1) if pattern == "element" else (n_keep, m_group)
    result = es.simulate_gemm(*weights.shape, 360, config, n_keep=given_pattern[0], m_group=given_pattern[1])
    runs_as = config.runs_as(*given_pattern)
    stored = packed(weights, config, runs_as)
    expected = {
        "cycles": result.cycles,
        "time_us": result.time_us,
        "energy_nj": account(result).total_pj / 1e3,
        "utilisation": result.utilisation,
        "effective_gops": result.effective_gops,
        "effectual_macs": result.effectual_macs,
        "dense_macs": result.dense_macs,
        "bytes": stored.total_bits / 8,
        "bound": result.bound,
        "runs_as": result.named["runs_as"],
        "tile": "x".join(map(str, result.named["tile"])),
        "config_hash": result.config_hash,
        "verified": True,
        "n_vector": 360,
        "fits": True,
    }
    assert_like(row, expected)
    assert 0.5 < row["accuracy"] <= 1


def test_points_are_computed_in_any_order_with_the_same_rows():
    subject = subject_of("digits-mlp")
    points = points_of(subject, read_axes({"n_pe": [4, 16], "queue_depth": [1, 8], "layer": "each"}, None))
    forward, _ = Evaluator(subject).rows(points, math.inf)
    backward, _ = Evaluator(subject).rows(points[::-1], math.inf)
    assert sorted(forward) == sorted(backward)


def test_a_point_that_breaks_a_rule_has_a_row_that_says_so():
    found = run("digits-mlp", grid={"weight_bits": [4, 8], "spmat_width_bits": [8, 64]}, workers=1)
    assert found.failed == 1
    (row,) = [row for row in found.rows if row["error"]]
    assert (row["weight_bits"], row["spmat_width_bits"]) == (8, 8)
    assert row["error"] == "spmat_width_bits=8: must hold an entry of weight_bits + index_bits = 12 bits"
    node = run("digits-mlp", grid={"node_nm": [45, 44]}, workers=1)
    assert [row["error"] is None for row in node.rows] == [True, False]
    assert "no scaling factors" in node.rows[1]["error"]


def test_a_deeper_queue_that_nothing_waits_for_changes_nothing_but_its_area():
    rows = run("digits-mlp", grid={"queue_depth": [64, 65, 1000]}, workers=1).rows
    subject = replace(subject_of("digits-mlp"), densities=())
    alone = [
        Evaluator(subject).rows(points_of(subject, read_axes({"queue_depth": [depth]}, None)), math.inf)[0][0][0]
        for depth in (64, 65, 1000)
    ]
    assert [row["key"] for row in rows] == alone
    assert len({row["cycles"] for row in rows}) == 1
    assert rows[0]["area_mm2"] < rows[1]["area_mm2"] < rows[2]["area_mm2"]


def test_words_of_layers_that_differ_stand_with_a_plus_between_them():
    point = {"unit": "nm", "density": 0.25, "vector": 0}
    whole = es.sweep.run("digits-mlp", points=[point]).rows[0]
    alone = es.sweep.run("digits-mlp", points=[{**point, "layer": f"fc{at}"} for at in (1, 2, 3)]).rows
    for name in ("tile", "bound", "runs_as"):
        assert whole[name] == "+".join(dict.fromkeys(row[name] for row in alone))
    assert "+" in whole["bound"] and "+" in whole["tile"]
