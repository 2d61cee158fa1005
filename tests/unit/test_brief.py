"""`repr` of what a user meets in a notebook: ten lines of 100 columns at most, with figures, without arrays."""

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core.brief import LINES, WIDTH, brief, shows
from eie_sim.prune import Recipe, prune_network, schedule

W = np.random.default_rng(0).normal(size=(64, 32))
CONFIG = es.EieConfig(n_pe=4)


@pytest.fixture(scope="module")
def met():
    """Objects by what a user calls them, and words that their text has to have."""
    mask = es.prune.magnitude(W, density=0.1)
    matrix = es.EieMatrix.from_dense(W * mask.mask, n_pe=4)
    packed = es.NmMatrix.from_dense(W * es.prune.pattern.nm(2, 4).prune(np.abs(W)).mask)
    inputs = np.ones(32)
    result = es.simulate(matrix, inputs, CONFIG, timeline=True)
    network, graph = es.load("digits-mlp"), es.load("hand-8x8")
    run = es.run(network, CONFIG)
    pruned, kept = prune_network(network, Recipe(density=0.2), CONFIG)
    swept = es.sweep.run("hand-8x8", grid={"n_pe": (1, 2, 4)}, workers=1)
    return {
        "config": (CONFIG, "n_pe=4"),
        "chip": (es.TensorCoreConfig.preset("rtx3090"), "n_core=82"),
        "recipe": (Recipe(density=0.2), "density=0.2"),
        "mask": (mask, "achieved=0.100098"),
        "selection": (es.prune.locally({"a": abs(W), "b": abs(W)}, 0.1), "layers={a: 0.1"),
        "matrix": (matrix, "n_weight=205"),
        "counts": (matrix.counts, "n_entry="),
        "packed": (packed, "pattern=(2, 4)"),
        "result": (result, f"cycles={result.cycles}"),
        "gemm": (es.simulate_gemm(8, 8, 8, es.TensorCoreConfig()), "cycles="),
        "activity": (es.activity(matrix, inputs, CONFIG), "n_pe=4"),
        "network": (network, "fc1: '256x64'"),
        "small": (graph, "hand-8x8"),
        "layer": (network.layers[0], "n_out=256"),
        "run": (run, "verified=True"),
        "row": (run.rows[0], "verified=True"),
        "record": (run.record, "verified=True"),
        "layer_run": (run.layers[0], "layer='fc1'"),
        "products": (es.lower(network, CONFIG)[0], "n_weight="),
        "pruned": (pruned, "digits-mlp"),
        "kept": (kept, "fc1"),
        "sweep": (swept, "points=3"),
        "rows": (swept.rows, "3"),
        "compared": (es.compare(network, ["eie", "nm"], batches=(1,)), "network='digits-mlp'"),
        "cost": (es.compare(network, ["eie", "nm"], batches=(1,)).rows[0], "cycles="),
        "energies": (es.energy.account(result), "total_pj="),
        "table": (es.energy.EnergyTable.for_config(CONFIG), "node_nm=45"),
        "area": (es.energy.area(CONFIG), "total_mm2="),
        "footprint": (es.footprint(matrix), "eie"),
        "preset": (es.presets()[0], "digits-mlp"),
        "schedule": (schedule.cubic(0.1, steps=5), "0.1"),
        "input_cost": (es.compare_inputs(network, CONFIG)[0], "layer='fc1'"),
        "scales": (es.Scales(), "Scales"),
    }


def test_everything_fits_ten_lines_and_shows_no_array(met):
    for name, (thing, word) in met.items():
        lines = repr(thing).splitlines()
        assert len(lines) <= LINES, name
        assert max(map(len, lines)) <= WIDTH, (name, repr(thing))
        assert word in repr(thing), (name, repr(thing))
        assert "array(" not in repr(thing) and "0x" not in repr(thing).replace("10x", ""), name


def test_graphs_fit_too():
    pytest.importorskip("onnxruntime")
    graph = es.load("digits-resnet")
    run = es.run(graph, CONFIG, positions=4)
    for thing, word in (
        (graph, "nodes="),
        (run, "not_simulated="),
        (run.rows[0], "stem"),
        (es.lower(graph, CONFIG)[0], "stem"),
    ):
        lines = repr(thing).splitlines()
        assert len(lines) <= LINES and max(map(len, lines)) <= WIDTH
        assert word in repr(thing)


def test_public_names_that_are_types_are_all_met(met):
    types = {getattr(es, name) for name in es.__all__ if isinstance(getattr(es, name), type)}
    assert types - {type(thing) for thing, _ in met.values()} - {es.InputError} == set()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((2, 3), np.float32), "float32[2, 3]"),
        (np.float64(1 / 3), "0.333333"),
        (np.int64(7), "7"),
        (1234567, "1234567"),
        (True, "True"),
        (None, "None"),
        ("a", "'a'"),
        ((1, 2.5), "(1, 2.5)"),
        ((1,), "(1,)"),
        ({"a": np.zeros(2)}, "{a: float64[2]}"),
        (list(range(1000)), "<1,000 items>"),
        ({"a\nb": 1}, "{'a\\nb': 1}"),
        ([], "[]"),
    ],
)
def test_values_in_short(value, text):
    assert brief(value) == text


def test_the_longest_text_is_cut():
    class Long:
        __repr__ = shows(**{f"name{at}": lambda self: "x" * 500 for at in range(40)})

    lines = repr(Long()).splitlines()
    assert len(lines) == LINES and lines[-1].endswith("...)") and max(map(len, lines)) <= WIDTH


def test_a_text_is_made_where_a_name_is_long():
    class Named:
        name = "n" * 300
        __repr__ = shows("name")

    assert repr(Named()).count("n") < 300
    assert max(map(len, repr(Named()).splitlines())) <= WIDTH
