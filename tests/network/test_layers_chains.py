"""Chains that are declared, BatchNorms folded into them, and what cannot be placed."""

import re

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from named_arrays import ROWS, SMALL, batch_norm, rng, sparse
from safetensors.numpy import save_file

import eie_sim as es
from eie_sim import InputError
from eie_sim.network import load


def autoencoder():
    return {
        "enc.weight": sparse((8, 16)),
        "enc.bias": rng(3).normal(size=8).astype("f4"),
        "dec.weight": sparse((16, 8), 5),
    }


def outcome(network):
    run = es.run_network(network, SMALL)
    assert run.verified
    return [
        (each.layer.name, each.result.output.tolist(), each.result.cycles_per_vector.tolist()) for each in run.layers
    ]


def test_no_chain_is_guessed_and_every_kind_of_file_gives_the_same(tmp_path):
    arrays = autoencoder()
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    found = [load(source) for source in (arrays, tmp_path / "a.npz", tmp_path / "a.safetensors")]
    assert [network.chained for network in found] == [False] * 3
    assert {layer.activations_source for network in found for layer in network.layers} == {
        "drawn, none given: synthetic, density 1, seed 0"
    }
    assert outcome(found[0]) == outcome(found[1]) == outcome(found[2])


def test_a_declared_chain_is_the_same_from_arrays_files_and_archive(tmp_path):
    arrays, x = autoencoder(), np.maximum(rng(9).normal(size=(5, 16)), 0)
    np.savez(tmp_path / "a.npz", **arrays)
    save_file(arrays, tmp_path / "a.safetensors")
    sources = (arrays, tmp_path / "a.npz", tmp_path / "a.safetensors")
    found = [load(source, chain="enc,dec", activations=x) for source in sources]
    matrices = [layer.matrix for layer in es.run_network(found[0], SMALL).layers]
    es.archive.save(tmp_path / "a.eie.safetensors", es.archive.archive_of(found[0], matrices))
    found.append(load(es.archive.load(tmp_path / "a.eie.safetensors").network, activations=x))
    outcomes = [outcome(network) for network in found]
    assert outcomes.count(outcomes[0]) == 4


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(1, 4), st.booleans(), st.sampled_from(["weight", "kernel"]))
def test_order_and_names_of_a_state_dict_do_not_matter(seed, n_layer, norms, word):
    random = rng(seed)
    sides = random.integers(1, 12, n_layer + 1)
    old = [f"fc{at + 1}" for at in range(n_layer)]
    new = [f"{'abcdef'[at]}{random.integers(100, 999)}.x" for at in random.permutation(n_layer)]
    parts = []
    for at in range(n_layer):
        w = sparse((sides[at + 1], sides[at]), seed + at, 0.6)
        stored = w if word == "weight" else w.T
        one_layer = {f"{{}}.{word}": stored, "{}.bias": random.normal(size=sides[at + 1])}
        if norms:
            one_layer |= {
                f"{{}}bn.{field}": random.random(sides[at + 1]) + 0.5
                for field in ("weight", "bias", "running_mean", "running_var")
            }
        parts.append(one_layer)
    x = np.maximum(random.normal(size=(3, sides[0])), 0)

    def network(names, shuffled):
        items = [
            (key.format(name), array) for name, part in zip(names, parts, strict=True) for key, array in part.items()
        ]
        order = random.permutation(len(items)) if shuffled else range(len(items))
        chain = [each for name in names for each in ([name, f"{name}bn"] if norms else [name])]
        return load(dict(items[at] for at in order), chain=chain, activations=x)

    first, second = (outcome(network(names, shuffled)) for names, shuffled in ((old, False), (new, True)))
    assert [each[1:] for each in first] == [each[1:] for each in second]


@pytest.mark.parametrize("chain", ["fc1,fc2", "fc1,bn1,fc2"])
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csc_array])
def test_a_batch_norm_is_folded_in_float64(chain, form):
    norm, bias = batch_norm(8), np.arange(8, dtype="f4")
    arrays = {**norm, "fc1.weight": form(sparse((8, 6))), "fc1.bias": bias, "fc2.weight": sparse((3, 8))}
    network = load(arrays, chain=chain)
    gamma, beta, mean, variance = (part.astype(np.float64) for part in norm.values())
    scale = gamma / np.sqrt(variance + 1e-5)
    found = network.layers[0].weights
    found = found.toarray() if scipy.sparse.issparse(found) else found
    np.testing.assert_array_equal(found, (sparse((8, 6)) * scale[:, None]).astype("f4"))
    np.testing.assert_array_equal(network.layers[0].bias, (bias - mean) * scale + beta)
    assert network.layers[0].weights_source.endswith("bn1 folded (eps 1e-05)")
    assert network.not_simulated == ()


def test_the_batch_norm_that_silences_a_layer():
    arrays = {**batch_norm(32), "fc1.weight": sparse((32, 16)), "fc2.weight": sparse((8, 32))}
    arrays["bn1.bias"] = np.full(32, -50, "f4")
    run = es.run_network(load(arrays, chain="fc1,fc2", activations=np.ones((2, 16))), SMALL)
    assert run.layers[1].result.cycles == 0


@pytest.mark.parametrize(
    ("names", "chain", "folded"),
    [
        (("0", "1", "3"), "0,3", "0"),
        (("net.0", "net.1", "net.3"), "net.0,net.3", "net.0"),
        (("layers.0.fc", "layers.0.bn", "layers.1.fc"), "layers.0.fc,layers.1.fc", "layers.0.fc"),
        (("a", "norm", "b"), "a,norm,b", "a"),
    ],
)
def test_where_a_batch_norm_is_placed(names, chain, folded):
    first, norm, second = names
    arrays = {f"{first}.weight": sparse((8, 6)), f"{second}.weight": sparse((5, 8)), **batch_norm(8, name=norm)}
    network = load(arrays, chain=chain)
    assert [layer.name for layer in network.layers if "folded" in layer.weights_source] == [folded]


@pytest.mark.parametrize(
    ("names", "chain"),
    [
        (("0", "2", "3"), "0,3"),
        (("a", "norm", "b"), "a,b"),
        (("fc1", "bn0", "fc2"), "fc1,fc2"),
        (("fc1", "bn1", "fc2"), "fc1,fc2"),  # square: before or after, and of inputs or outputs
        (("fc1", "block.norm", "fc2"), "fc1,fc2"),
    ],
)
def test_statistics_that_cannot_be_placed_are_refused(names, chain):
    first, norm, second = names
    arrays = {f"{first}.weight": sparse((8, 8)), f"{second}.weight": sparse((8, 8)), **batch_norm(8, name=norm)}
    with pytest.raises(InputError, match=rf"batch norm {norm}=8 values: must stand in the chain right after its layer"):
        load(arrays, chain=chain)
    network = load(arrays, chain=f"{chain},-{norm}")
    assert not any("folded" in layer.weights_source for layer in network.layers)
    assert f"{norm}.running_mean" in dict(network.not_simulated)


def test_two_batch_norms_after_one_layer_are_refused():
    arrays = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8))}
    arrays |= {**batch_norm(8, name="bn_source1"), **batch_norm(8, 1, name="bn_target1")}
    with pytest.raises(InputError, match="its place is not clear"):
        load(arrays, chain="fc1,fc2")


@pytest.mark.parametrize(
    "arrays",
    [
        {"bn1_running_mean": np.ones(8)},
        {"bn1.running_var": np.ones(8)},
        {"bn1.running_mean": np.array(list("abcdefgh")), "bn1.running_var": np.ones(8)},
        {"bn1.running_mean": np.ones((1, 8, 1, 1)), "bn1.running_var": np.ones((1, 8, 1, 1))},
        {"bn1.running_mean": None, "bn1.running_var": np.ones(8)},
        {"bn1.mean": np.ones(8), "bn1.var": np.ones(8), "bn1.scale": np.ones(7)},
        {"bn1.running_mean": np.ones(8), "bn1.running_var": np.ones(8), "bn1.eps": np.array("x")},
        {"\u00b2.running_mean": np.ones(8), "\u00b2.running_var": np.ones(8)},
    ],
)
def test_statistics_of_no_whole_batch_norm_are_refused_in_a_chain(arrays):
    arrays |= {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8))}
    with pytest.raises(InputError, match="its place is not clear"):
        load(arrays, chain="fc1,fc2")
    assert len(load(arrays).layers) == 2


def test_the_batch_norm_of_flax():
    mean, variance, scale, bias = batch_norm(8).values()
    arrays = {"params/Dense_0/kernel": sparse((6, 8)), "params/Dense_1/kernel": sparse((8, 3))}
    arrays |= {"batch_stats/BatchNorm_0/mean": mean, "batch_stats/BatchNorm_0/var": variance}
    arrays |= {"params/BatchNorm_0/scale": scale, "params/BatchNorm_0/bias": bias}
    for chain in ("params/Dense_0,params/Dense_1", "params/Dense_0,params/BatchNorm_0,params/Dense_1"):
        network = load(arrays, chain=chain)
        folded = sparse((6, 8)).T * (scale / np.sqrt(variance.astype(float) + 1e-5))[:, None]
        np.testing.assert_allclose(network.layers[0].weights, folded, rtol=1e-6)
        assert network.not_simulated == ()


def test_the_batch_norm_of_a_convolution_is_its_own():
    arrays = {"conv1.weight": np.ones((8, 3, 3, 3)), **batch_norm(8, name="bn1"), "fc.weight": sparse((3, 8))}
    assert "folded" not in load(arrays, chain="fc").layers[0].weights_source


def test_layout_counts_for_where_a_batch_norm_is():
    arrays = {"fc1.weight": sparse((16, 8)), "fc2.weight": sparse((8, 4)), **batch_norm(8, name="bn1")}
    network = load(arrays, chain="fc1,fc2", layout="in-out")
    assert ["bn1 folded" in layer.weights_source for layer in network.layers] == [True, False]


def test_batch_norms_of_other_layers_are_listed():
    arrays = {"fc.weight": sparse((8, 6)), **batch_norm(64, name="bn1"), **batch_norm(8, name="stem.bn2")}
    network = load({**arrays, "stem.conv2.weight": np.ones((8, 3, 3, 3))}, chain="fc")
    assert dict(network.not_simulated)["bn1.running_mean"] == "statistics, shape (64,), not folded"
    assert "folded" not in network.layers[0].weights_source


TWO = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8)), "fc3.weight": sparse((3, 3))}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"chain": "fc1,fc4"}, "chain=fc4: unknown; did you mean fc3"),
        ({"chain": "fc1,fc2,fc1"}, "chain=fc1,fc2,fc1: must have each layer once, fc1"),
        ({"chain": "fc2,fc1"}, "layer fc1: n_in=6: must be the 3 outputs of fc2"),
        ({"chain": "fc1,fc3"}, "layer fc3: n_in=3: must be the 8 outputs of fc1"),
        ({"chain": "bn1,fc1"}, "chain=bn1,fc1: must follow the layer it is folded into: bn1 is a BatchNorm"),
        ({"chain": "fc1,fc2,bn1"}, "batch norm bn1=8 values: must be 3, one per output of fc2 before it"),
        ({"chain": ""}, "chain=: must be names of layers"),
        ({"chain": "fc1,,fc2"}, "chain=fc1,,fc2: must be names of layers"),
        ({"chain": 3}, "chain=int: must be list or tuple"),
        ({"chain": [3]}, "chain[0]=int: must be str"),
        ({"chain": "fc1,fc2", "between": "tanh"}, "between=tanh: must be relu or none"),
        ({"between": "none"}, "between=none: must be left out without a chain"),
        ({"chain": "fc1,fc2", "layer": "fc1"}, "layer=fc1: must be left out, chain says which layers run"),
    ],
)
def test_chains_that_are_refused(given, message):
    with pytest.raises(InputError) as caught:
        load({**TWO, **batch_norm(8, name="bn1")}, **given)
    assert str(caught.value).startswith(message)


def test_what_is_not_in_the_chain_is_named():
    network = load(TWO, chain=["fc1.weight", "fc2"])
    assert [layer.name for layer in network.layers] == ["fc1", "fc2"]
    assert network.not_simulated == (("fc3.weight", "not in the chain"),)


def test_layers_of_a_preset_can_be_chained():
    network = load("eie-paper", chain="vgg-6,vgg-7,vgg-8")
    assert network.chained
    with pytest.raises(InputError, match=r"layout=in-out: must be left out, eie-paper says how weights are stored"):
        load("eie-paper", layout="in-out")


def test_recorded_inputs_of_every_layer_win_over_computed_ones():
    arrays = {**TWO, "fc1.input": np.ones((2, 6)), "fc2.input": np.eye(8)[:5]}
    run = es.run_network(load(arrays, chain="fc1,fc2"), SMALL)
    assert [layer.inputs for layer in run.layers] == ["recorded: array fc1.input", "recorded: array fc2.input"]
    assert [layer.n_vector for layer in run.layers] == [2, 5]
    given = load(arrays, chain="fc1,fc2", activations=np.ones(6))
    assert es.run_network(given, SMALL).layers[1].inputs == "simulated: outputs of fc1 after ReLU"
    assert dict(given.not_simulated)["inputs of fc2"].startswith("recorded with other inputs")


def test_a_batch_norm_twice_in_a_chain_is_refused():
    arrays = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8)), **batch_norm(8, name="bn1")}
    for chain in ("fc1,-bn1,bn1,fc2", "fc1,bn1,-bn1,fc2"):
        if chain.startswith("fc1,-"):
            with pytest.raises(InputError, match="must have each BatchNorm once, bn1"):
                load(arrays, chain=chain)
        else:
            assert "bn1 folded" in load(arrays, chain=chain).layers[0].weights_source


@pytest.mark.parametrize(
    "other",
    [
        {"conv1/kernel": np.ones((3, 3, 4, 8))},
        {"deconv1.weight": np.ones((3, 8, 3, 3))},
        {"conv1.weight_orig": np.ones((8, 3, 3, 3))},
        {"lin1.qweight": np.ones((8, 4), np.int32)},
    ],
)
def test_a_batch_norm_that_two_may_own_is_refused(other):
    arrays = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8)), **batch_norm(8, name="bn1"), **other}
    with pytest.raises(InputError, match="its place is not clear"):
        load(arrays, chain="fc1,fc2")
    assert len(load(arrays, chain="fc1,fc2,-bn1").layers) == 2


def test_a_batch_norm_without_a_module_keeps_its_parts():
    named = {"running_mean": np.ones(4), "running_var": np.ones(4), "gamma": np.full(4, 3.0), "beta": np.ones(4)}
    layer = load({"fc.weight": sparse((4, 6)), **named}, chain="fc,batch norm").layers[0]
    np.testing.assert_allclose(layer.bias, 1 - 3 / np.sqrt(1 + 1e-5))


def test_statistics_of_no_batch_norm_may_be_left_out():
    arrays = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8)), "obs_mean": np.ones(6), "log_std": np.ones(3)}
    with pytest.raises(InputError, match="its place is not clear"):
        load(arrays, chain="fc1,fc2")
    assert len(load(arrays, chain="fc1,fc2,-obs_mean,-log_std").layers) == 2


@pytest.mark.parametrize(
    ("mean", "variance", "scale", "offset", "eps"),
    [
        ("bn1.running_mean", "bn1.running_var", "bn1.scale", "bn1.offset", 1e-5),
        ("bn1/moving_mean", "bn1/moving_variance", "bn1/weight", "bn1/bias", 1e-3),
        ("batch_stats.bn1.mean", "batch_stats.bn1.var", "params.bn1.scale", "params.bn1.bias", 1e-5),
        ("batch_stats/bn1/mean", "batch_stats/bn1/var", "bn1/scale", "bn1/bias", 1e-5),
    ],
)
def test_what_a_batch_norm_multiplies_by_and_adds_is_found_beside_it(mean, variance, scale, offset, eps):
    values = {mean: ROWS, variance: ROWS + 1, scale: ROWS - 3, offset: ROWS + 2}
    arrays = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8)), **values}
    own = re.sub(r"[./][a-z]+$", "", scale)
    layer = load(arrays, chain=f"fc1,{own},fc2").layers[0]
    factor = (ROWS - 3) / np.sqrt(ROWS + 1 + eps)
    np.testing.assert_allclose(layer.weights, sparse((8, 6)) * factor[:, None], rtol=1e-5)
    np.testing.assert_allclose(layer.bias, ROWS + 2 - ROWS * factor, rtol=1e-5)


@pytest.mark.parametrize(
    "more", [{"bn1.alpha": ROWS, **batch_norm(8, name="bn1")}, {"bn1.mu": ROWS, "bn1.sigma": ROWS}]
)
def test_a_batch_norm_with_parts_that_are_not_known_is_refused(more):
    arrays = {"fc1.weight": sparse((8, 6)), "fc2.weight": sparse((3, 8)), **more}
    with pytest.raises(InputError, match="its place is not clear"):
        load(arrays, chain="fc1,fc2")
    assert len(load(arrays, chain="fc1,fc2,-bn1").layers) == 2


def test_shapes_that_do_not_follow_are_said_before_the_width_of_a_recording():
    arrays = {"a.weight": sparse((8, 16)), "b.weight": sparse((4, 8)), "x": np.ones((3, 16))}
    with pytest.raises(InputError, match=r"^layer a: n_in=16: must be the 4 outputs of b$"):
        load(arrays, chain="b,a")
