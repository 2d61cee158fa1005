"""A layer's own activations beside independent ones."""

from dataclasses import replace

import numpy as np
import pytest

from eie_sim import EieConfig, InputError, compare_inputs, load
from eie_sim.network import Layer, Network, independent, independent_by_column
from eie_sim.prune.cost import cost

DESIGN = EieConfig(n_pe=4)
DRAWS = {
    "own": lambda activations, seed: activations,
    "independent by column": lambda activations, seed: independent_by_column(activations, seed=seed),
    "independent": lambda activations, seed: independent(activations, seed=seed),
}


def network_of(weights, activations):
    layer = Layer(name="fc", weights=weights, activations=activations, weights_source="made up", synthetic=True)
    return Network(name="one", layers=(layer,), chained=False, source="made up")


@pytest.mark.parametrize("seed", [0, 3])
def test_every_row_is_what_the_layer_costs_with_those_inputs(seed):
    network = load("digits-mlp")
    rows = compare_inputs(network, DESIGN, seed=seed)
    expected = [
        cost("cycles", layer.weights, DESIGN, activations=draw(layer.activations, seed), bias=layer.bias)
        for layer in network.layers
        for draw in DRAWS.values()
    ]
    assert [row.cycles_per_vector for row in rows] == expected
    assert [row.inputs for row in rows] == [*DRAWS] * 3
    for own, *others in (rows[at : at + 3] for at in (0, 3, 6)):
        assert own.cycles_ratio == 1
        assert all(row.cycles_ratio == own.cycles_per_vector / row.cycles_per_vector for row in others)
        assert all(abs(row.activation_density - own.activation_density) < 0.03 for row in others)


def test_columns_that_fire_often_and_hold_many_weights_are_seen_by_their_rates_alone():
    """Full columns that always fire beside empty ones that never do: 16 weights a vector, 8 where all are mixed."""
    weights = np.zeros((8, 4), dtype=np.float32)
    weights[:, :2] = np.arange(1, 17).reshape(8, 2)
    activations = np.tile(np.float32([1, 1, 0, 0]), (400, 1))
    own, by_column, mixed = compare_inputs(network_of(weights, activations), DESIGN)
    assert own.macs_per_vector == by_column.macs_per_vector == 16
    assert mixed.macs_per_vector == pytest.approx(8, rel=0.1)
    assert by_column.cycles_ratio == 1 < mixed.cycles_ratio


def test_silent_inputs_cost_nothing_whatever_their_kind():
    rows = compare_inputs(network_of(np.ones((3, 5), np.float32), np.zeros((2, 5), np.float32)), DESIGN)
    assert [(row.cycles_per_vector, row.cycles_ratio) for row in rows] == [(0, 1)] * 3


def test_a_layer_without_activations_is_refused():
    bare = network_of(np.ones((3, 5), np.float32), None)
    with pytest.raises(InputError, match="layer fc: activations=none: needs its own"):
        compare_inputs(bare, DESIGN)
    with pytest.raises(InputError, match="network=str: must be Network"):
        compare_inputs("digits-mlp", DESIGN)
    with pytest.raises(InputError, match="config=NoneType: must be EieConfig"):
        compare_inputs(replace(bare), None)
