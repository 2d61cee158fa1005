"""Densities for a budget: scans of a network, and choices beside plain magnitude pruning."""

from dataclasses import replace

import numpy as np
import pytest
from networks import chain, needs_mnist, outputs
from pruning_samples import DESIGN, DIGITS, accuracy_of

from eie_sim import EieConfig, InputError, TensorCoreConfig
from eie_sim.network import load
from eie_sim.prune import (
    allocate_network,
    default_quality,
    is_nm,
    magnitude,
    scan_network,
    unpruned,
)
from eie_sim.prune.cost import cost
from eie_sim.prune.measure import inputs_of, quality_of, weights_of


def test_a_scan_changes_one_layer_at_a_time():
    points = scan_network(DIGITS, (0.1, 1.0), "cycles", DESIGN)
    before, biases = weights_of(DIGITS)
    inputs = inputs_of(DIGITS, before, biases)
    whole = accuracy_of(unpruned(DIGITS))
    for point in points:
        dense = before[point.layer]
        pruned = np.where(magnitude(dense, density=point.asked).mask, dense, 0)
        expected = cost("cycles", pruned, DESIGN, activations=inputs[point.layer], bias=biases[point.layer])
        assert point.cost == expected
        assert point.kept == np.count_nonzero(pruned)
        layers = [
            replace(layer, weights=pruned) if layer.name == point.layer else layer for layer in unpruned(DIGITS).layers
        ]
        assert point.quality == np.mean(outputs(layers, DIGITS.test_inputs).argmax(axis=1) == DIGITS.test_labels)
        assert point.asked < 1 or point.quality == whole


def test_qualities_are_best_before_pruning():
    before, _ = weights_of(DIGITS)
    fewer = {name: w * magnitude(w, density=0.1).mask for name, w in before.items()}
    for name in ("accuracy", "loss", "outputs"):
        quality = quality_of(name, DIGITS)
        assert quality(before) > quality(fewer)
    assert quality_of("outputs", DIGITS)(before) == 0
    assert default_quality(DIGITS, "loss") == "loss"
    assert default_quality(load("alex-8"), "loss") == "outputs"
    with pytest.raises(InputError, match="quality=los: unknown; did you mean loss"):
        quality_of("los", DIGITS)
    with pytest.raises(InputError, match="test_labels=none: accuracy needs"):
        quality_of("accuracy", load("alex-8"))


@pytest.mark.parametrize("quantity", ["weights", "bytes", "cycles", "energy"])
def test_an_allocation_is_within_its_budget_in_every_quantity(quantity):
    network = chain((16, 24, 12, 4))
    points = scan_network(network, (0.2, 1.0), quantity, DESIGN)
    costs = {density: sum(p.cost for p in points if p.asked == density) for density in (0.2, 1.0)}
    budget = (costs[0.2] + costs[1.0]) / 2
    for choice in allocate_network(network, budget, quantity, DESIGN, densities=(0.1, 0.2, 0.4, 0.7, 1.0)):
        assert choice.cost <= budget
        before, biases = weights_of(network)
        inputs = inputs_of(network, before, biases)
        measured = sum(
            cost(quantity, layer.weights, DESIGN, activations=inputs[layer.name], bias=layer.bias)
            for layer in choice.network.layers
        )
        assert measured == pytest.approx(choice.cost)


@pytest.mark.parametrize("quantity", ["weights", "bytes", "cycles", "energy"])
def test_an_nm_unit_is_allocated_its_own_patterns(quantity):
    design = TensorCoreConfig.preset("nm-64", patterns=((2, 4), (1, 4)))
    network = chain((16, 24, 12, 4))
    points = scan_network(network, (0.25, 0.5, 1.0), quantity, design, quality="outputs")
    totals = {density: sum(p.cost for p in points if p.asked == density) for density in (0.25, 0.5, 1.0)}
    assert totals[0.25] < totals[0.5] < totals[1.0]
    budget = (totals[0.5] + totals[1.0]) / 2
    budgeted, uniform = allocate_network(network, budget, quantity, design, densities=(0.25, 0.5, 1.0))
    assert uniform.name == "uniform"
    assert set(uniform.densities.values()) == {0.5}
    assert set(budgeted.densities.values()) <= {0.25, 0.5, 1.0}
    assert uniform.cost <= budget
    assert budgeted.cost <= budget
    assert budgeted.quality >= uniform.quality
    for layer in budgeted.network.layers:
        assert is_nm(layer.weights, *{0.25: (1, 4), 0.5: (2, 4), 1.0: (1, 1)}[budgeted.densities[layer.name]])


def test_an_nm_unit_names_the_densities_it_has():
    with pytest.raises(InputError, match=r"density=0\.3: must be one of 0\.25, 0\.5, 1, the unit's patterns"):
        scan_network(chain(), (0.3,), "cycles", TensorCoreConfig.preset("nm-64", patterns=((2, 4), (1, 4))))


def compared(network, budget):
    """Accuracy of each choice at the same budget of cycles, on the standard design."""
    choices = allocate_network(network, budget, "cycles", EieConfig())
    assert [choice.name for choice in choices] == ["budgeted", "uniform", "global"]
    assert all(choice.cost <= budget for choice in choices)
    return {choice.name: accuracy_of(choice.network) for choice in choices}


@pytest.mark.parametrize("budget", [200, 215])
def test_at_equal_cycles_a_budget_keeps_more_accuracy_than_uniform_magnitude(budget):
    accuracy = compared(DIGITS, budget)
    assert accuracy["budgeted"] >= accuracy["uniform"] + 0.02
    assert accuracy["budgeted"] >= accuracy["global"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-mlp", pytest.param("lenet-300-100", marks=needs_mnist)])
def test_a_budget_loses_no_more_than_magnitude_on_what_it_is_chosen_on(name):
    network = load(name)
    full = sum(point.cost for point in scan_network(network, (1.0,), "cycles", EieConfig()))
    for share in (0.55, 0.65, 0.75, 0.85):
        budgeted, *rivals = allocate_network(network, share * full, "cycles", EieConfig())
        assert all(budgeted.quality >= rival.quality for rival in rivals)


@needs_mnist
@pytest.mark.parametrize("budget", [380, pytest.param(450, marks=pytest.mark.slow)])
def test_at_equal_cycles_a_budget_keeps_more_accuracy_on_lenet(budget):
    accuracy = compared(load("lenet-300-100"), budget)
    assert accuracy["budgeted"] >= accuracy["uniform"] + 0.02


def test_a_budget_that_cannot_be_met_names_the_least():
    with pytest.raises(InputError, match=r"budget=1: must be at least [0-9.]+, the cost of the cheapest"):
        allocate_network(chain(), 1, "cycles", DESIGN)
    with pytest.raises(InputError, match="layer fc1 has no density at or above it"):
        allocate_network(chain(), 100, "cycles", DESIGN, densities=(0.1, 0.2), floor=0.5)


@pytest.mark.parametrize(
    ("budget", "wrong", "message"),
    [
        (1j, {}, "budget=1j: must be finite and real"),
        ("x", {}, "budget='x': must be finite and real"),
        (np.nan, {}, "budget=nan: must be finite and real"),
        (100, {"densities": ["x"]}, "density='x': must be a number in 0..1"),
        (100, {"densities": [0.5, 1.5]}, "density=1.5: must be in 0..1"),
        (100, {"densities": []}, "densities=none: must be at least one"),
        (100, {"floor": "x"}, "floor='x': must be a number in 0..1"),
    ],
)
def test_a_budget_of_wrong_numbers_is_refused_before_the_scan(budget, wrong, message):
    with pytest.raises(InputError) as caught:
        allocate_network(chain(), budget, "cycles", DESIGN, **wrong, progress=pytest.fail)
    assert str(caught.value) == message
