"""How much of a file is not simulated: weights, numbers that are looked up, and arrays that nobody can count."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csc_array

import eie_sim as es
from eie_sim.core.arrays import Unread
from eie_sim.network import Left, load, network_from_arrays

FC = {"fc.weight": np.ones((4, 6), np.float32), "fc.bias": np.ones(4, np.float32)}


def left(arrays, **how):
    return network_from_arrays(FC | arrays, "net", **how).left


@pytest.mark.parametrize(
    ("name", "array", "found"),
    [
        ("conv.weight", np.ones((4, 3, 3, 3)), Left(weights=108)),
        ("depthwise.weight", np.ones((4, 1, 3, 3)), Left(weights=36)),
        ("lstm.weight_hh_l0", np.ones((8, 2)), Left(weights=16)),
        ("lstm.bias_hh_l0", np.ones(8), Left()),
        ("experts.gate_up_proj", np.ones((2, 3, 4)), Left(weights=24)),
        ("thing", np.ones((5, 2)), Left(weights=10)),
        ("thing", csc_array(np.eye(5)), Left(weights=25)),
        ("embed.weight", np.ones((50, 8)), Left(looked_up=400)),
        ("q.qweight", np.ones((4, 4), np.int32), Left(uncounted=1)),
        ("other.weight", Unread("dtype F4, which numpy has not"), Left(uncounted=1)),
        ("notes", Unread("text"), Left()),
        ("attn.mask", np.ones((9, 9)), Left()),
        ("bn.running_mean", np.ones(9), Left()),
        ("norm.weight", np.ones(9), Left()),
        ("optimizer.exp_avg", np.ones((4, 6)), Left()),
        ("x_val", np.ones((4, 6)), Left()),
        ("none.weight", np.ones((0, 6)), Left()),
    ],
)
def test_what_counts(name, array, found):
    assert left({name: array}) == found


shapes = st.lists(st.integers(2, 5), min_size=2, max_size=4).map(tuple)


@given(st.lists(shapes, max_size=6))
def test_every_weight_is_simulated_or_left(each):
    arrays = {f"l{at}.weight": np.ones(shape, np.float32) for at, shape in enumerate(each)}
    network = network_from_arrays(FC | arrays, "net")
    simulated = sum(layer.n_out * layer.n_in for layer in network.layers)
    assert simulated + network.left.weights == sum(prod(shape) for shape in (*each, (4, 6)))


def test_what_is_not_in_the_chain_is_left():
    assert left({"other.weight": np.ones((5, 5))}, chain="fc") == Left(weights=25)


def test_one_layer_among_others_is_no_share_of_them():
    others = {"other.weight": np.ones((5, 5)), "conv.weight": np.ones((4, 3, 3, 3))}
    assert left(others, layer="fc") is None
    assert left({"conv.weight": np.ones((4, 3, 3, 3))}, layer="fc") == Left(weights=108)
    assert network_from_arrays(FC | others, "net").layer("fc").left is None


def test_layers_of_an_archive_that_are_not_in_the_chain_are_left(tmp_path):
    whole = load(FC | {"other.weight": np.eye(5), "conv.weight": np.ones((4, 3, 3, 3))})
    matrices = [es.EieMatrix.from_dense(layer.weights, bias=layer.bias) for layer in whole.layers]
    es.archive.save(tmp_path / "net.eie.safetensors", es.archive.archive_of(whole, matrices))
    kept = es.archive.load(tmp_path / "net.eie.safetensors").network
    assert kept.left == whole.left == Left(weights=108)
    chain = load(kept, chain="fc")
    assert chain.left == Left(weights=133)
    assert chain.not_simulated == (*whole.not_simulated, ("other", "not in the chain"))
