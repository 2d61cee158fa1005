"""Graphs pruned as recipes say: masks of parameters, those of the layers that they could have been."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.network import Layer, Network
from eie_sim.network.layered import graph_of
from eie_sim.prune.parameters import graph_outputs_off
from eie_sim.prune.recipe import Recipe

CONFIG = es.EieConfig(n_pe=3)
WIDTHS = (12, 8, 16, 4)


def drawn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def both(seed):
    """One chain of layers, as layers and as a graph."""
    named = [
        (f"fc{at}", drawn(n_out, n_in, seed=seed), drawn(n_out, seed=seed))
        for at, (n_in, n_out) in enumerate(pairwise(WIDTHS), 1)
    ]
    x = np.maximum(drawn(20, WIDTHS[0], seed=seed), 0)
    layers = tuple(
        Layer(
            name=name,
            weights=w,
            bias=b,
            activations=x if name == "fc1" else None,
            weights_source="drawn",
            synthetic=True,
        )
        for name, w, b in named
    )
    network = Network(name="n", layers=layers, chained=True, source="drawn", test_inputs=x)
    return network, graph_of(network)


PATTERNS = [
    {"pattern": "element"},
    {"pattern": "element", "criterion": "l2", "scope": "global"},
    {"pattern": "element", "criterion": "random", "seed": 3},
    {"pattern": "per_row"},
    {"pattern": "per_row", "criterion": "wanda"},
    {"pattern": "block", "block_rows": 2, "block_cols": 4},
    {"pattern": "block", "scope": "global"},
    {"pattern": "input", "criterion": "l2"},
    {"pattern": "balanced"},
    {"pattern": "balanced", "window": 4},
    {"pattern": "2:4"},
    {"pattern": "1:4", "criterion": "wanda"},
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(PATTERNS),
    st.floats(0.05, 1),
    st.sampled_from(["one-shot", "linear", "cubic", "iterative"]),
    st.sampled_from([0.0, 0.1]),
    st.integers(0, 99),
)
def test_masks_of_a_graph_are_those_of_its_layers(given, density, schedule, floor, seed):
    if given["pattern"][0] in "12":
        density, schedule = None, "one-shot"
    if given.get("scope") == "global" and density < floor:
        floor = 0.0
    recipe = Recipe(**given, density=density, schedule=schedule, steps=3, floor=floor)
    network, graph = both(seed)
    pruned, kept = es.prune.prune_network(network, recipe, CONFIG)
    masked, found = es.prune.prune_network(graph, recipe, CONFIG)
    assert found.asked == kept.asked
    for layer in pruned.layers:
        name = f"{layer.name}.weight"
        np.testing.assert_array_equal(found.masks[name], kept.masks[layer.name])
        np.testing.assert_array_equal(masked.parameters[name].array, layer.weights)
        assert found.layers[name].achieved == kept.layers[layer.name].achieved
        assert found.layers[name].asked == kept.layers[layer.name].asked
        assert masked.parameters[f"{layer.name}.bias"].array.all()


def test_a_parameter_has_a_density_of_its_own():
    _, graph = both(0)
    densities = {"fc2.weight": 0.25}
    _, kept = es.prune.prune_network(graph, Recipe(density=0.5), CONFIG, layer_density=densities)
    assert {name: one.achieved for name, one in kept.layers.items()} == {
        "fc1.weight": 0.5,
        "fc2.weight": 0.25,
        "fc3.weight": 0.5,
    }
    with pytest.raises(es.InputError, match=r"layer_density=fc2\.wait: unknown; did you mean fc2\.weight"):
        es.prune.prune_network(graph, Recipe(density=0.5), CONFIG, layer_density={"fc2.wait": 0.5})


def test_neurons_of_the_last_product_are_the_answers():
    _, graph = both(0)
    masked, kept = es.prune.prune_network(graph, Recipe(density=0.5, pattern="neuron"), CONFIG)
    for name, rows in (("fc1.weight", 4), ("fc2.weight", 8), ("fc3.weight", 4)):
        array, before = masked.parameters[name].array, graph.parameters[name].array
        stays = array.any(axis=1)
        assert stays.sum() == rows
        lost = np.abs(before).sum(axis=1)[~stays]
        assert lost.max(initial=0) <= np.abs(before).sum(axis=1)[stays].min()
    assert kept.layers["fc3.weight"].achieved == 1


def test_distance_is_of_the_outputs_before():
    _, graph = both(0)
    masked, _ = es.prune.prune_network(graph, Recipe(density=0.5), CONFIG)
    assert graph_outputs_off(graph, graph) == {"fc3.output": 0.0}
    layers = [
        [one.parameters[f"fc{at}.{part}"].array for at in (1, 2, 3) for part in ("weight", "bias")]
        for one in (graph, masked)
    ]
    x = graph.examples["input"].astype(np.float64)
    was, now = (
        np.maximum(np.maximum(x @ w1.T + b1, 0) @ w2.T + b2, 0) @ w3.T + b3 for w1, b1, w2, b2, w3, b3 in layers
    )
    error = np.sqrt(np.square(now - was).sum() / np.square(was).sum())
    assert graph_outputs_off(graph, masked) == {"fc3.output": pytest.approx(error, rel=1e-5)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"criterion": "taylor"}, "criterion=taylor: is of chains of layers"),
        ({"criterion": "obd"}, "criterion=obd: is of chains of layers"),
        ({"criterion": "apoz", "pattern": "neuron"}, "criterion=apoz: is of chains of layers"),
        ({"epochs": 5}, "epochs=5: is of chains of layers"),
        ({"distillation": 0.5}, "distillation=0.5: is of chains of layers"),
        ({"remove": True}, "remove=True: is of chains of layers"),
    ],
)
def test_what_needs_labelled_inputs_is_refused(given, said):
    _, graph = both(0)
    with pytest.raises(es.InputError, match=said) as caught:
        es.prune.prune_network(graph, Recipe(density=0.5, **given), CONFIG)
    assert "\n" not in str(caught.value)


def test_functions_of_layers_are_refused():
    _, graph = both(0)
    with pytest.raises(es.InputError, match="update=function: must be left out for a graph"):
        es.prune.prune_network(graph, Recipe(density=0.5), CONFIG, update=lambda *given: given[1])


def odd(n, seed=0):
    """A product of so many weights, and one of three times as many."""
    weights = {"a": drawn(n, 1, seed=seed), "b": drawn(3, n, seed=seed)}
    return graph_of(es.load(weights, chain="a,b"))


@pytest.mark.parametrize(("n", "density", "kept"), [(5, 0.5, 2), (15, 0.5, 8), (25, 0.1, 2), (5, 0.3, 2), (5, 0.1, 0)])
def test_what_stays_of_a_parameter_is_rounded_half_to_even(n, density, kept):
    graph = odd(n)
    masked, found = es.prune.prune_network(graph, Recipe(density=density), CONFIG)
    before, after = graph.parameters["a.weight"].array.ravel(), masked.parameters["a.weight"].array.ravel()
    assert set(np.flatnonzero(after)) == set(np.argsort(np.abs(before), kind="stable")[n - kept :])
    assert found.asked == found.layers["a.weight"].asked == density
    assert found.layers["a.weight"].kept == kept


@pytest.mark.parametrize("scope", ["local", "global"])
def test_no_floor_is_rounded_below(scope):
    _, found = es.prune.prune_network(odd(5), Recipe(density=0.5, floor=0.5, scope=scope), CONFIG)
    assert found.layers["a.weight"].kept >= 3
    assert found.asked == 0.5
    assert found.warnings == ()


def test_a_floor_is_said_as_what_it_is():
    _, found = es.prune.prune_network(odd(5), Recipe(density=0.5, floor=0.65), CONFIG)
    assert found.layers["a.weight"].kept == 4
    assert found.layers["a.weight"].asked == 0.8
    assert found.warnings[0] == "a.weight: density 0.5 raised to the floor, 0.65"


@pytest.mark.parametrize(("n", "kept"), [(5, 10), (3, 6), (15, 30)])
def test_ranked_over_the_network_what_stays_of_it_is_rounded(n, kept):
    graph = odd(n)
    masked, found = es.prune.prune_network(graph, Recipe(density=0.5, scope="global"), CONFIG)
    assert found.kept == kept
    assert found.asked == 0.5
    rows = [of.parameters[name].array.ravel() for of in (graph, masked) for name in ("a.weight", "b.weight")]
    before, after = np.concatenate(rows[:2]), np.concatenate(rows[2:])
    assert set(np.flatnonzero(after)) == set(np.argsort(np.abs(before), kind="stable")[4 * n - kept :])
