"""Removal changes shapes and nothing else. Values are small dyadic fractions, so that equal means equal to the bit."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune.removal import (
    BatchNorm,
    Coupling,
    LayerArrays,
    NetworkArrays,
    chain,
    couplings_of_chain,
    dead,
    fold_norms,
    masked,
    relu,
    remove,
)

SIDE = 3
"""Height and width of the images between convolutions."""


def convolve(x, weight):
    """x [n, c, h, w], zeros around it, weight [out, c, kh, kw] of odd sides: [n, out, h, w]."""
    *_, kh, kw = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (kh, kw), axis=(2, 3))
    return np.einsum("nchwij,ocij->nohw", windows, weight)


def apply(layer, x):
    """One layer before its activation function, as the definition of the layer says it."""
    y = convolve(x, layer.weight) if layer.weight.ndim == 4 else x.reshape(len(x), -1) @ layer.weight.T
    along = (1, -1, *(1 for _ in y.shape[2:]))
    if layer.bias is not None:
        y = y + layer.bias.reshape(along)
    if (norm := layer.norm) is not None:
        part = {name: values.reshape(along) for name, values in norm.vectors.items()}
        y = (y - part.get("mean", 0)) / np.sqrt(part.get("var", 1) + norm.eps)
        y = y * part.get("gamma", 1) + part.get("beta", 0)
    return y


def forward(network, x):
    """Outputs of a chain, ReLU between layers."""
    for at, layer in enumerate(network.layers):
        x = apply(layer, x if at == 0 else relu(x))
    return x


def inputs_of(network, rng, n=4):
    first = network.layers[0]
    shape = (n, first.n_in, SIDE, SIDE) if first.weight.ndim == 4 else (n, first.n_in)
    return rng.integers(-4, 5, shape).astype(float)


@st.composite
def chains(draw, kernels=(1, 3)):
    """Zero or more convolutions and one or more fully connected layers, with and without bias and normalisation."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    widths = draw(st.lists(st.integers(1, 6), min_size=2, max_size=5))
    n_conv = draw(st.integers(0, len(widths) - 2))
    layers = []
    for at, (n_in, n_out) in enumerate(pairwise(widths)):
        kernel = (draw(st.sampled_from(kernels)),) * 2 if at < n_conv else ()
        wide = n_in * SIDE**2 if at == n_conv > 0 else n_in
        weight = rng.integers(-4, 5, (n_out, wide, *kernel)) / 4
        bias = rng.integers(-4, 5, n_out) / 2 if draw(st.booleans()) else None
        layers.append(LayerArrays(name=f"l{at}", weight=weight, bias=bias, norm=draw(norms(rng, n_out))))
    return chain(layers), rng


@st.composite
def norms(draw, rng, n_out):
    if draw(st.booleans()):
        return None
    vectors = {
        "gamma": rng.choice([-1, 0, 0.5, 1, 2], n_out),
        "beta": rng.integers(-2, 3, n_out) / 2,
        "mean": rng.integers(-2, 3, n_out) / 2,
        "var": rng.choice([0.25, 1, 4], n_out),
    }
    return BatchNorm(**{name: vectors[name] for name in draw(st.sets(st.sampled_from(list(vectors))))}, eps=0.0)


def random_keep(network, rng):
    keep = {}
    for layer in network.layers:
        mask = rng.random(layer.n_out) < 0.6
        mask[rng.integers(layer.n_out)] = True
        keep[layer.name] = mask
    return keep


@given(chains())
def test_the_removed_network_computes_what_the_masked_one_does(case):
    network, rng = case
    keep = random_keep(network, rng)
    x = inputs_of(network, rng)
    small = remove(network, keep)
    np.testing.assert_array_equal(
        forward(small, x), forward(masked(network, keep), x)[:, keep[network.layers[-1].name]]
    )
    for before, after in zip(network.layers, small.layers, strict=True):
        assert after.n_out == keep[before.name].sum()
    assert small.couplings == network.couplings == couplings_of_chain(small.layers)


@given(chains())
def test_masking_keeps_shapes_and_silences_every_removed_neuron(case):
    network, rng = case
    keep = random_keep(network, rng)
    x = inputs_of(network, rng)
    quiet = masked(network, keep)
    for at, layer in enumerate(quiet.layers):
        assert layer.weight.shape == network.layers[at].weight.shape
        outputs = apply(layer, x)
        assert not outputs[:, ~keep[layer.name]].any()
        x = relu(outputs)


@given(chains())
def test_removing_nothing_and_removing_in_two_steps(case):
    network, rng = case
    same = remove(network, {})
    for before, after in zip(network.layers, same.layers, strict=True):
        np.testing.assert_array_equal(before.weight, after.weight)
    keep = random_keep(network, rng)
    first = {name: mask | (rng.random(len(mask)) < 0.5) for name, mask in keep.items()}
    then = {name: keep[name][first[name]] for name in keep}
    for one, two in zip(remove(network, keep).layers, remove(remove(network, first), then).layers, strict=True):
        np.testing.assert_array_equal(one.weight, two.weight)


@given(chains())
def test_folding_normalisation_changes_no_output(case):
    network, rng = case
    x = inputs_of(network, rng)
    folded = fold_norms(network)
    assert all(layer.norm is None for layer in folded.layers)
    np.testing.assert_array_equal(forward(folded, x), forward(network, x))


@given(chains(kernels=(1,)))
def test_dead_neurons_go_unnoticed_where_their_constants_are_folded(case):
    network, rng = case
    layers = []
    for layer in network.layers:
        weight = layer.weight.copy()
        weight[rng.random(layer.n_out) < 0.3] = 0
        weight[:, rng.random(layer.n_in) < 0.2] = 0
        layers.append(replace(layer, weight=weight))
    network = replace(network, layers=tuple(layers))
    x = inputs_of(network, rng)
    found = dead(network)
    assert not found[network.layers[-1].name].any()
    keep = {name: ~mask | (np.arange(len(mask)) == 0) for name, mask in found.items()}
    np.testing.assert_array_equal(forward(remove(network, keep, fold_constants=True), x), forward(network, x))


@given(chains())
def test_dead_neurons_are_those_whose_removal_no_input_shows(case):
    """Brute force: no weight leads in, or none leads out."""
    network, _ = case
    found = dead(network)
    for first, second, coupling in zip(network.layers, network.layers[1:], network.couplings, strict=False):
        for i in range(first.n_out):
            leads_out = second.weight[:, i * coupling.repeat : (i + 1) * coupling.repeat].any()
            factor = 1 if first.norm is None else first.norm.vectors.get("gamma", np.ones(first.n_out))[i]
            leads_in = first.weight[i].any() and factor != 0
            assert found[first.name][i] == (not leads_in or not leads_out)


def test_a_removed_neuron_takes_everything_that_is_its_own():
    norm = BatchNorm(**{name: np.arange(3.0) + 1 for name in ("gamma", "beta", "mean", "var")})
    conv = LayerArrays(name="conv", weight=np.arange(54.0).reshape(3, 2, 3, 3), bias=np.arange(3.0), norm=norm)
    fc = LayerArrays(name="fc", weight=np.arange(24.0).reshape(2, 12))
    small = remove(
        chain([conv, fc]), {"conv": np.array([True, False, True])}, keep_inputs={"conv": np.array([0, 1]) > 0}
    )
    first, second = small.layers
    np.testing.assert_array_equal(first.weight, conv.weight[[0, 2]][:, [1]])
    assert first.bias.tolist() == [0, 2]
    assert all(values.tolist() == [1, 3] for values in first.norm.vectors.values())
    np.testing.assert_array_equal(second.weight, np.delete(fc.weight, slice(4, 8), axis=1))
    assert fc.weight.shape == (2, 12), "what was given stays as it was"


def test_the_type_of_the_weights_stays():
    layers = [LayerArrays(name=name, weight=np.eye(2, dtype=np.float32), bias=np.ones(2, np.float32)) for name in "ab"]
    layers[0].weight[0] = 0
    small = remove(chain(layers), {"a": np.array([False, True])}, fold_constants=True)
    assert {array.dtype for layer in small.layers for array in (layer.weight, layer.bias)} == {np.dtype(np.float32)}
    assert small.layers[1].bias.tolist() == [2, 1]


def test_a_constant_makes_a_bias_only_where_it_is_needed():
    first = LayerArrays(name="a", weight=np.zeros((2, 1)), bias=np.array([3.0, -3.0]))
    second = LayerArrays(name="b", weight=np.array([[2.0, 5.0]]))
    network = chain([first, second])
    told = remove(network, {"a": np.array([False, True])}, fold_constants=True)
    assert told.layers[1].bias.tolist() == [6]
    silent = remove(network, {"a": np.array([True, False])}, fold_constants=True)
    assert silent.layers[1].bias is None, "ReLU(-3) adds nothing"
    assert remove(network, {"a": np.array([False, True])}).layers[1].bias is None
    tanh = remove(network, {"a": np.array([True, False])}, fold_constants=True, activation=np.tanh)
    assert tanh.layers[1].bias.tolist() == [5 * np.tanh(-3.0)]


def test_a_constant_is_not_folded_into_a_kernel_that_sees_the_border():
    first = LayerArrays(name="a", weight=np.zeros((2, 1, 1, 1)), bias=np.array([3.0, 0.0]))
    network = chain([first, LayerArrays(name="b", weight=np.ones((1, 2, 3, 3)))])
    with pytest.raises(InputError, match="layer b: weight axis 1 of size 2: a constant of a cannot be folded"):
        remove(network, {"a": np.array([False, True])}, fold_constants=True)
    assert remove(network, {"a": np.array([True, False])}, fold_constants=True).layers[1].bias is None


def branches(second_offset):
    """Two layers that feed a third: joined end to end, or added where both begin at 0."""
    a = LayerArrays(name="a", weight=np.arange(12.0).reshape(4, 3))
    b = LayerArrays(name="b", weight=np.arange(12.0).reshape(4, 3) + 50)
    c = LayerArrays(name="c", weight=np.arange(18.0).reshape(2, 9))
    couplings = (Coupling("a", "c"), Coupling("b", "c", offset=second_offset))
    return NetworkArrays(layers=(a, b, c), couplings=couplings)


def test_layers_joined_end_to_end():
    network = branches(4)
    keep = {"a": np.array([True, False, False, True]), "b": np.array([False, True, True, True])}
    small = remove(network, keep)
    np.testing.assert_array_equal(small.layer("c").weight, network.layer("c").weight[:, [0, 3, 5, 6, 7, 8]])
    assert small.couplings == (Coupling("a", "c"), Coupling("b", "c", offset=2))
    again = remove(small, {"b": np.array([True, False, True])}, keep_inputs={"c": np.arange(6) < 5})
    np.testing.assert_array_equal(again.layer("c").weight, network.layer("c").weight[:, [0, 3, 5, 7]])


def test_layers_that_are_added_keep_the_same_neurons():
    network = branches(0)
    half = np.array([True, False, True, False])
    assert remove(network, {"a": half, "b": half}).layer("c").n_in == 7
    with pytest.raises(InputError, match="layer c: weight axis 1 of size 9: b must keep the same neurons"):
        remove(network, {"a": half})
    silent = replace(network.layer("a"), weight=np.zeros((4, 3)), bias=np.ones(4))
    with pytest.raises(InputError, match=r"layer c: .*another layer is added"):
        remove(replace(network, layers=(silent, *network.layers[1:])), {"a": half, "b": half}, fold_constants=True)


def ones(*shape):
    return np.ones(shape)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: LayerArrays(name="a", weight=ones(3)), r"layer a: weight=shape \(3,\): must have 2 dimensions"),
        (lambda: LayerArrays(name="a", weight=ones(0, 3)), r"layer a: weight=shape \(0, 3\)"),
        (lambda: LayerArrays(name="a", weight=[[1], [2, 3]]), "layer a: weight: must be a rectangular array"),
        (lambda: LayerArrays(name="a", weight=np.array([["x"]])), "layer a: weight=dtype"),
        (lambda: LayerArrays(name="a", weight=ones(3, 2), bias=ones(2)), r"layer a: bias=shape \(2,\): must be \(3,\)"),
        (
            lambda: LayerArrays(name="a", weight=ones(3, 2), norm=BatchNorm(mean=ones(4))),
            r"layer a: mean=shape \(4,\): must be \(3,\)",
        ),
        (lambda: LayerArrays(name="a", weight=ones(1, 1), norm=BatchNorm(var=-ones(1))), r"layer a: var \+ eps=-0.99"),
        (
            lambda: chain([LayerArrays(name="a", weight=ones(3, 2)), LayerArrays(name="b", weight=ones(3, 6))]),
            "layer b: weight axis 1=size 6: must be the 3 outputs of a",
        ),
        (
            lambda: chain([LayerArrays(name="a", weight=ones(4, 2, 1, 1)), LayerArrays(name="b", weight=ones(3, 6))]),
            "layer b: weight axis 1=size 6: must be a multiple of the 4 outputs of a",
        ),
        (
            lambda: chain([LayerArrays(name="a", weight=ones(4, 2, 1, 1)), LayerArrays(name="b", weight=ones(3, 2))]),
            "layer b: weight axis 1=size 2: must be a multiple of the 4 outputs of a",
        ),
        (
            lambda: chain(
                [LayerArrays(name="a", weight=ones(4, 2, 1, 1)), LayerArrays(name="b", weight=ones(3, 8, 1, 1))]
            ),
            "layer b: weight axis 1=size 8: must be the 4 outputs of a",
        ),
        (lambda: chain([LayerArrays(name="a", weight=ones(2, 2))] * 2), "layer=.*'a'.*must not share a name"),
        (lambda: coupled(Coupling("a", "B")), "layer=B: unknown; must be one of a, b"),
        (lambda: coupled(Coupling("a", "b", repeat=0)), "coupling a to b: repeat=0"),
        (lambda: coupled(Coupling("a", "b", offset=-1)), "coupling a to b: offset=-1"),
        (
            lambda: coupled(Coupling("a", "b", offset=1)),
            "layer b: weight axis 1=size 2: must be at least 3: 2 outputs of a",
        ),
    ],
)
def test_what_does_not_fit_names_layer_axis_and_size(make, said):
    with pytest.raises(InputError, match=said):
        make()


def coupled(*couplings):
    layers = tuple(LayerArrays(name=name, weight=ones(2, 2)) for name in "ab")
    return NetworkArrays(layers=layers, couplings=couplings)


@pytest.mark.parametrize(
    ("keep", "keep_inputs", "said"),
    [
        ({"a": [True]}, {}, r"layer a: keep=shape \(1,\): must be \(2,\), the size of weight axis 0"),
        ({"a": [0, 1]}, {}, "layer a: keep=dtype int64: must be bool"),
        ({"a": [False, False]}, {}, "layer a: keep=0 of 2: must leave something of weight axis 0"),
        ({"A": [True, True]}, {}, "layer=A: unknown"),
        ({}, {"a": [True]}, r"layer a: keep_inputs=shape \(1,\): must be \(2,\), the size of weight axis 1"),
        ({}, {"b": [True, False]}, "layer b: weight axis 1 of size 2: keep_inputs takes outputs of a"),
    ],
)
def test_masks_that_do_not_fit(keep, keep_inputs, said):
    with pytest.raises(InputError, match=said):
        remove(coupled(Coupling("a", "b")), keep, keep_inputs=keep_inputs)
