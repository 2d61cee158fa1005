"""What people save and how it is meant: no kind of file makes a wrong network in silence."""

import re

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import eie_sim as es
from eie_sim import InputError
from eie_sim.workload import load, network_from_arrays

SMALL = es.EieConfig(n_pe=4)


def rng(seed=0):
    return np.random.default_rng(seed)


def sparse(shape, seed=0, density=0.3):
    w = rng(seed).normal(size=shape).astype(np.float32)
    return w * (rng(seed + 100).random(shape) < density).astype(np.float32)


def one(arrays, **given):
    """The only layer of named arrays."""
    (layer,) = network_from_arrays(arrays, "net", **given).layers
    return layer


def reasons(arrays, **given):
    return dict(network_from_arrays(arrays, "net", **given).not_simulated)


FC = {"fc.weight": sparse((4, 6))}


# what is a layer


@pytest.mark.parametrize(
    "name",
    [
        "model.embed_tokens.weight", "transformer.wte.weight", "transformer.wpe.weight", "shared.weight", "emb.weight",
        "embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight", "tok_embeddings.weight",
        "token_embd.weight", "item_embedding.weight", "params/Embed_0/embedding", "embedding/embeddings:0",
        "gpt_neox.embed_in.weight", "pos_embed", "encoder.pos_emb", "position_ids", "relative_position_bias_table",
    ],
)  # fmt: skip
def test_embeddings_and_positions_are_looked_up(name):
    assert reasons({**FC, name: np.ones((100, 6))})[name].startswith("embedding, shape (100, 6), looked up")


@pytest.mark.parametrize(
    "name", ["embed_out.weight", "embeddings_project.weight", "embeddings.dense.weight", "linear_pos.weight"]
)
def test_layers_whose_names_only_speak_of_embeddings_are_multiplied(name):
    assert one({name: sparse((4, 6))}).n_out == 4


def test_what_has_a_bias_is_no_embedding():
    assert one({"emb.weight": sparse((4, 6)), "emb.bias": np.ones(4)}).bias is not None


@pytest.mark.parametrize(
    ("name", "array", "reason"),
    [
        ("fc.weight_scale", np.ones((4, 1)), "scale or zero point"),
        ("fc.weight_zero_point", np.ones((4, 1)), "scale or zero point"),
        ("attn.k_scale", np.ones((1, 1)), "scale or zero point"),
        ("optimizer.state.0.exp_avg", np.ones((4, 6)), "optimiser state"),
        ("fc.weight.momentum_buffer", np.ones((4, 6)), "optimiser state"),
        ("opt_state.0.mu.Dense_0.kernel", np.ones((6, 4)), "optimiser state"),
        ("h.0.attn.bias", np.ones((1, 1, 8, 8)), "mask"),
        ("h.0.attn.masked_bias", np.ones(()), "mask"),
        ("attn_mask", np.ones((8, 8)), "mask"),
        ("bn.running_mean", np.ones(4), "statistics"),
        ("experts.w1.weight", np.ones((8, 4, 6)), "three-dimensional weights"),
        ("conv.weight", np.ones((8, 4, 3, 3)), "convolution"),
        ("input_ids", np.ones((2, 7), np.int64), "inputs of no layer"),
        ("labels", np.ones((2, 7)), "inputs of no layer"),
        ("fc.qweight", np.ones((8, 4), np.int32), "packed words"),
        ("fc.weight_packed", np.ones((8, 4), np.int32), "packed words"),
        ("fc.bitmask", np.ones((8, 4), np.uint8), "packed words"),
        ("whatever", np.ones((8, 4)), "shape (8, 4), neither its name nor a bias"),
        ("big.weight", np.zeros((2**20 + 1, 1), np.int8), "shape (1048577, 1), more than 1048576"),
        ("complex.weight", np.ones((2, 2), complex), "not a weight matrix, shape (2, 2), dtype complex128"),
        ("text", np.array(["a"]), "not a weight matrix"),
        ("empty.weight", np.ones((0, 4)), "empty, shape (0, 4)"),
        ("objects", np.array([{}], dtype=object), "not a weight matrix"),
        ("nothing", None, "not a weight matrix"),
        ("ragged", [[1, 2], [3]], "must be a rectangular array"),
    ],
)
def test_what_is_no_layer_is_listed_and_the_rest_runs(name, array, reason):
    arrays = {name: array, **FC}
    assert [layer.name for layer in load(arrays).layers] == ["fc"]
    assert reasons(arrays)[name].startswith(reason)


@pytest.mark.parametrize("shape", [(4, 6, 1, 1), (4, 6, 1)])
def test_a_1x1_convolution_is_a_layer(shape):
    w = sparse((4, 6))
    maps = rng().random((2, 6, 3, 6) if len(shape) == 4 else (2, 6, 6))
    arrays = {"conv.weight": w.reshape(shape), "conv.bias": np.ones(4)}
    layer = one({**arrays, "conv.input": maps})
    np.testing.assert_array_equal(layer.weights, w)
    np.testing.assert_array_equal(layer.activations, np.moveaxis(maps, 1, -1).reshape(-1, 6))
    np.testing.assert_array_equal(load(arrays, activations=maps).layers[0].activations, layer.activations)
    with pytest.raises(InputError, match=r"maps of . dimensions with 6 channels as the second"):
        load(arrays, activations=maps[0] if len(shape) == 4 else maps[None])
    assert layer.weights_source == "from memory, 1x1 convolution of one group"
    keras = one({"conv/kernel:0": w.T.reshape(1, 1, 6, 4), "conv/input": rng().random((2, 6, 6, 6))})
    np.testing.assert_array_equal(keras.weights, w)
    np.testing.assert_array_equal(keras.activations, rng().random((2, 6, 6, 6)).reshape(-1, 6))


# weights in parts


def test_torch_prune_is_the_product_with_the_bias():
    w, b = rng().normal(size=(4, 6)).astype(np.float32), np.arange(4.0)
    mask, bias_mask = (np.abs(w) > 1).astype(np.float32), np.array([1.0, 0, 1, 1])
    arrays = {"fc.weight_orig": w, "fc.weight_mask": mask, "fc.bias_orig": b, "fc.bias_mask": bias_mask}
    layer = one(arrays)
    assert layer.name == "fc"
    np.testing.assert_array_equal(layer.weights, w * mask)
    np.testing.assert_array_equal(layer.bias, b * bias_mask)
    assert layer.weights_source == "from memory, weight_orig times its mask"
    assert reasons(arrays) == {}


@pytest.mark.parametrize(
    ("weight", "mask"),
    [
        ("fc.weight", "fc.mask"), ("fc.weight", "fc.weight_mask"), ("fc.weight", "fc_mask"), ("weight", "mask"),
        ("fc.weight", "mask"), ("dense/kernel:0", "dense/mask:0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_weights_beside_a_mask_are_their_product(weight, mask, form):
    w, there = rng().normal(size=(4, 6)), rng(1).random((4, 6)) < 0.5
    layer = one({weight: form(w), mask: there})
    found = layer.weights.toarray() if scipy.sparse.issparse(layer.weights) else layer.weights
    np.testing.assert_array_equal(found if "kernel" not in weight else found.T, w * there)


def test_weights_whose_mask_is_none_are_left():
    arrays = {"fc.weight": np.ones((2, 2)), "fc.mask": np.full((2, 2), 0.5), "b.weight": sparse((4, 6))}
    assert one(arrays).name == "b"
    assert reasons(arrays)["fc.weight"].startswith("its mask, fc.mask, shape (2, 2), does not say what is pruned")


def test_a_parametrization_by_a_mask_is_the_product():
    w, mask = rng().normal(size=(4, 6)), rng(1).random((4, 6)) < 0.5
    layer = one({"fc.parametrizations.weight.original": w, "fc.parametrizations.weight.0.mask": mask})
    np.testing.assert_array_equal(layer.weights, w * mask)


@pytest.mark.parametrize("name", ["fc.weight_orig", "fc.weight_v", "fc.parametrizations.weight.original"])
def test_a_part_of_a_weight_is_no_layer(name):
    with pytest.raises(InputError, match=r"part of a weight, shape .4, 6., whose other parts are not here"):
        load({name: sparse((4, 6)), "fc.bias": np.ones(4)})


@pytest.mark.parametrize(
    ("length", "direction"),
    [
        ("fc.weight_g", "fc.weight_v"),
        ("fc.parametrizations.weight.original0", "fc.parametrizations.weight.original1"),
        ("weight_g", "weight_v"),
    ],
)
@pytest.mark.parametrize("axis", [0, 1])
def test_weight_norm_is_put_together(length, direction, axis):
    v = rng().normal(size=(4, 6))
    g = rng(1).random((4, 1) if axis == 0 else (1, 6))
    layer = one({length: g, direction: v, "fc.bias": np.ones(4)})
    expected = g * v / np.linalg.norm(v, axis=1 - axis, keepdims=True)
    np.testing.assert_allclose(layer.weights, expected, rtol=1e-15)
    assert layer.weights_source.endswith("weight_norm")


@pytest.mark.parametrize("length", [np.ones((3, 1)), np.array([["a"]] * 4), np.ones((4, 1), complex)])
def test_parts_of_weight_norm_that_do_not_fit_are_left(length):
    arrays = {"fc.weight_g": length, "fc.weight_v": np.ones((4, 6)), "b.weight": sparse((4, 6))}
    assert reasons(arrays)["fc.weight_v"].startswith("part of weight_norm, whose parts fc.weight_g and fc.weight_v")


SCALES = {
    "one": (np.float32(0.5), 0.5),
    "rows": (np.arange(1, 5.0), np.arange(1, 5.0)[:, None]),
    "rows, 2-D": (np.arange(1, 5.0)[:, None], np.arange(1, 5.0)[:, None]),
    "columns": (np.arange(1, 7.0), np.arange(1, 7.0)[None]),
    "groups of 3": (np.arange(1, 9.0).reshape(4, 2), np.arange(1, 9.0).reshape(4, 2).repeat(3, axis=1)),
    "blocks": (np.arange(1, 5.0).reshape(2, 2), np.arange(1, 5.0).reshape(2, 2).repeat(2, axis=0).repeat(3, axis=1)),
}


@pytest.mark.parametrize("kind", SCALES)
@pytest.mark.parametrize("scale_name", ["fc.weight_scale", "fc.weight.scale", "fc.scales"])
@pytest.mark.parametrize("zero", [False, True])
def test_integers_with_a_scale_are_dequantised(kind, scale_name, zero):
    q = rng().integers(-127, 128, (4, 6)).astype(np.int8)
    given, spread = SCALES[kind]
    arrays = {"fc.weight": q, scale_name: given} | (
        {"fc.weight_zero_point": np.full((4, 1), 3, np.int8)} if zero else {}
    )
    layer = one(arrays)
    np.testing.assert_array_equal(layer.weights, ((q.astype(float) - 3 * zero) * spread).astype(np.float32))
    assert f"int8 times {scale_name}" in layer.weights_source
    assert reasons(arrays) == {}


def test_bitsandbytes_int8_is_dequantised_and_4_bit_words_are_not_simulated():
    q, most = rng().integers(-127, 128, (4, 6)).astype(np.int8), np.arange(1, 5.0)
    np.testing.assert_allclose(one({"fc.weight": q, "fc.SCB": most}).weights, q * most[:, None] / 127, rtol=1e-6)
    with pytest.raises(InputError, match=r"fc\.weight \(integer weights, shape \(12, 1\): what fc\.weight\.absmax"):
        load(
            {
                "fc.weight": np.ones((12, 1), np.uint8),
                "fc.weight.absmax": np.ones(1),
                "fc.weight.quant_map": np.ones(16),
            }
        )


@pytest.mark.parametrize(
    "given",
    [
        {"fc.weight_scale": np.ones(5)},
        {"fc.weight_scale": np.ones((3, 1))},
        {"fc.weight_zero_point": np.zeros(4)},
        {"fc.weight_scale": np.ones(4), "fc.weight_zero_point": np.zeros(5)},
        {"fc.weight_scale": np.ones((1, 1, 2))},
    ],
)
def test_integers_whose_scale_does_not_fit_are_not_simulated(given):
    arrays = {"fc.weight": np.ones((4, 6), np.int8), **given, "good.weight": sparse((4, 6))}
    assert one(arrays).name == "good"
    assert reasons(arrays)["fc.weight"].startswith("integer weights, shape (4, 6)")


@pytest.mark.parametrize(
    "given",
    [
        {"fc.scales": np.ones((4, 2)), "fc.zeros": np.ones((4, 2))},
        {"fc.weight_scale": np.ones(4), "fc.scale": np.float32(1), "fc.zero_point": np.int32(3)},
        {"fc.scale": np.float32(0.1), "fc.zero_point": np.int32(3)},
        {"fc.weight_scale": None},
        {"fc.weight_scale": np.ones(4), "fc.weight_scale_2": np.ones(())},
        {"fc.weight_scale": np.ones(4), "fc.weight_zero_point": np.ones((0,))},
        {"fc.g_idx": np.zeros(6, np.int32)},
    ],
)
def test_integers_beside_what_is_not_understood_are_left(given):
    arrays = {"fc.weight": np.ones((4, 6), np.uint8), **given, "good.weight": sparse((4, 6))}
    if "fc.zeros" in given:
        assert "less fc.zeros" in load(arrays).layers[0].weights_source
        return
    assert one(arrays).name == "good"
    assert "is not clear, give floats" in reasons(arrays)["fc.weight"]


def test_words_of_32_bits_are_no_weights_even_where_asked_for():
    words = {"fc.weight": np.ones((8, 2), np.uint32), "fc.scales": np.ones((8, 1)), "fc.biases": np.ones((8, 1))}
    assert "is not clear" in reasons({**words, "good.weight": sparse((4, 6))})["fc.weight"]
    for name in ("fc.qweight", "fc.weight_packed"):
        with pytest.raises(InputError, match=f"layer={name}: is no layer: packed words"):
            load({name: np.ones((8, 4), np.int32), "good.weight": sparse((4, 6))}, layer=name)


def test_a_mask_is_of_the_dequantised_weights():
    mask = rng().random((4, 6)) < 0.5
    arrays = {"fc.weight": np.full((4, 6), 7, np.uint8), "fc.weight_mask": mask, "fc.weight_scale": np.float32(0.5)}
    layer = one({**arrays, "fc.weight_zero_point": np.uint8(3)})
    np.testing.assert_array_equal(layer.weights, 2.0 * mask)


def test_integers_without_a_scale_are_taken_as_they_are_and_say_so():
    assert one({"fc.weight": np.ones((4, 6), np.int8)}).weights_source == (
        "from memory, int8 as they are, no scale beside them"
    )


@pytest.mark.parametrize(
    ("weight", "bias"),
    [
        ("fc.weight", "fc.biases"), ("fc/kernel", "fc/b"), ("fc.w", "fc.bias"), ("l1/W", "l1/bias"),
        ("fc.weight", "fc.b"), ("fc1", "fc1_b"), ("coef_", "intercept_"), ("W_fc1", "b_fc1"),
        ("attn.weight", "attn.bias"),
        ("attention/kernel", "attention/bias"),
    ],
)  # fmt: skip
def test_biases_by_usual_names_are_taken(weight, bias):
    layer = one({weight: sparse((8, 4)) if "kernel" in weight else sparse((4, 8)), bias: np.arange(4.0)})
    np.testing.assert_array_equal(layer.bias, np.arange(4.0))
    assert layer.n_in == 8


def test_names_that_differ_in_case_keep_their_own_biases():
    arrays = {"A.weight": sparse((4, 6)), "A.bias": np.ones(4), "a.weight": sparse((4, 6), 1), "a.bias": np.zeros(4)}
    found = {layer.name: layer.bias.tolist() for layer in load(arrays).layers}
    assert found == {"A": [1.0] * 4, "a": [0.0] * 4}


@pytest.mark.parametrize("bias", [None, np.ones((2, 2)), np.ones(4, complex), scipy.sparse.csr_array(np.ones((1, 4)))])
def test_weights_whose_bias_cannot_be_used_are_left(bias):
    arrays = {"fc.weight": sparse((4, 6)), "fc.bias": bias, "good.weight": sparse((4, 6))}
    assert one(arrays).name == "good"
    assert reasons(arrays)["fc.weight"] == "its bias, fc.bias, cannot be used"


@pytest.mark.parametrize(
    "arrays",
    [
        {"fc.qweight": np.ones((8, 4), np.int32), "calib_loss": np.ones((3, 4))},
        {"query/kernel": np.ones((16, 4, 8)), "query/bias": np.ones((4, 8))},
        {"conv.weight": np.ones((8, 3, 3, 3)), "pe": np.ones((50, 8))},
        {"bias": np.ones((3, 4))},
    ],
)
def test_what_is_left_of_a_file_is_no_lone_matrix(arrays):
    with pytest.raises(InputError, match="no weight matrix"):
        load(arrays)


@pytest.mark.parametrize(
    "name",
    [
        "t5.relative_attention_bias.weight", "query_embed.weight", "src_embed.0.lut.weight", "tokenEmbedding.weight",
        "nodeEmb.weight", "embs.weight", "mu/params/Dense/kernel", "lstm.weight_hr_l0", "gru.weight",
    ],
)  # fmt: skip
def test_more_that_is_no_layer(name):
    assert one({name: sparse((9, 6)), **FC}).name == "fc"


@pytest.mark.parametrize(
    "name", ["cnn_lstm.fc.weight", "LSTMClassifier/head/weight", "grunt.weight", "rnn_out.weight", "adam_head.weight"]
)
def test_more_that_is_a_layer(name):
    assert len(load({name: sparse((9, 6)), **FC}).layers) == 2


def test_of_several_recordings_the_order_of_the_file_does_not_choose():
    arrays = {"fc.x": np.zeros((1, 6)), "fc.activations": np.ones((1, 6)), "fc.input": np.full((1, 6), 2.0)}
    for items in (arrays.items(), reversed(arrays.items())):
        assert one({**dict(items), **FC}).activations_source == "recorded: array fc.activations"


def test_files_of_one_matrix_are_weights_whatever_they_are_called(tmp_path):
    w = sparse((4, 6))
    np.save(tmp_path / "mask.npy", w)
    scipy.sparse.save_npz(tmp_path / "embedding.npz", scipy.sparse.csr_array(w))
    for name in ("mask.npy", "embedding.npz"):
        (layer,) = load(tmp_path / name).layers
        assert (layer.name, layer.density) == (name[:-4], np.count_nonzero(w) / w.size)


def test_gptq_words_are_refused_as_packed():
    arrays = {"fc.qweight": np.ones((8, 32), np.int32), "fc.qzeros": np.ones((1, 4), np.int32)}
    with pytest.raises(InputError, match=r"fc\.qweight \(packed words, shape \(8, 32\): unpack them to floats"):
        load(arrays | {"fc.scales": np.ones((1, 32)), "fc.g_idx": np.zeros(64, np.int32)})


# which side is out


def test_the_length_of_the_bias_tells_how_weights_are_stored():
    w = sparse((6, 4))
    layer = one({"fc.weight": w, "fc.bias": np.ones(4)})
    np.testing.assert_array_equal(layer.weights, w.T)
    assert layer.weights_source == "from memory, stored (in, out) as its bias says, transposed"
    assert one({"fc.weight": w, "fc.bias": np.ones(6)}).n_out == 6


@pytest.mark.parametrize("name", ["dense/kernel:0", "params/Dense_0/kernel"])
def test_kernels_are_in_out(name):
    for shape in ((6, 4), (4, 4)):
        w = sparse(shape)
        layer = one({name: w})
        np.testing.assert_array_equal(layer.weights, w.T)
        assert layer.weights_source.endswith("stored (in, out) as its name says, transposed")
    bias = name.replace("kernel", "bias")
    assert one({name: sparse((6, 4)), bias: np.ones(4)}).bias is not None


@pytest.mark.parametrize("in_out", [True, False])
def test_the_biases_of_its_kind_tell_how_conv1d_is_stored(in_out):
    c_attn, c_proj, head = sparse((24, 8)), sparse((8, 8)), sparse((30, 8))
    arrays = {"h.0.attn.c_attn.weight": c_attn.T if in_out else c_attn, "h.0.attn.c_attn.bias": rng().random(24)}
    arrays |= {"h.0.attn.c_proj.weight": c_proj.T if in_out else c_proj, "h.0.attn.c_proj.bias": rng().random(8)}
    network = load({**arrays, "lm_head.weight": head, "h.0.attn.bias": np.ones((1, 1, 9, 9))})
    found = {layer.name: layer for layer in network.layers}
    np.testing.assert_array_equal(found["h.0.attn.c_attn"].weights, c_attn)
    np.testing.assert_array_equal(found["h.0.attn.c_proj"].weights, c_proj)
    np.testing.assert_array_equal(found["lm_head"].weights, head)
    assert all(found[f"h.0.attn.{name}"].bias is not None for name in ("c_attn", "c_proj"))
    assert network.not_simulated == (("h.0.attn.bias", "mask, shape (1, 1, 9, 9), not applied"),)
    with pytest.raises(InputError, match="layout=none: must be given"):
        load({"h.0.attn.c_proj.weight": c_proj})


def test_layout_decides_where_it_is_open():
    w = sparse((6, 4))
    assert one({"w": w}).n_out == 6
    assert one({"w": w}, layout="in-out").n_out == 4
    assert one({"dense/kernel": w}, layout="out-in").n_out == 6
    mixed = {"a.weight": w, "a.bias": np.ones(4), "b.weight": sparse((4, 4)), "b.bias": np.ones(4)}
    with pytest.raises(InputError, match=r"array b\.weight: layout=none: must be given, out-in or in-out"):
        load(mixed)
    np.testing.assert_array_equal(load(mixed, layout="in-out").layers[1].weights, mixed["b.weight"].T)
    np.testing.assert_array_equal(load(mixed, layout="out-in").layers[1].weights, mixed["b.weight"])
    with pytest.raises(InputError, match="layout=up: must be out-in or in-out"):
        load(mixed, layout="up")


# chains and BatchNorm


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


def batch_norm(n, seed=0, name="bn1"):
    values = rng(seed).random((4, n)).astype("f4") + 0.5
    return dict(
        zip((f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")), values, strict=True)
    )


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


# recorded inputs


def test_recorded_inputs_of_every_layer_win_over_computed_ones():
    arrays = {**TWO, "fc1.input": np.ones((2, 6)), "fc2.input": np.eye(8)[:5]}
    run = es.run_network(load(arrays, chain="fc1,fc2"), SMALL)
    assert [layer.inputs for layer in run.layers] == ["recorded: array fc1.input", "recorded: array fc2.input"]
    assert [layer.n_vector for layer in run.layers] == [2, 5]
    given = load(arrays, chain="fc1,fc2", activations=np.ones(6))
    assert es.run_network(given, SMALL).layers[1].inputs == "simulated: outputs of fc1 after ReLU"
    assert dict(given.not_simulated)["inputs of fc2"].startswith("recorded with other inputs")


def test_three_dimensions_of_recorded_inputs_are_vectors():
    x = rng().random((2, 3, 6))
    np.testing.assert_array_equal(one({**FC, "fc.input": x}).activations, x.reshape(6, 6))
    np.testing.assert_array_equal(load(FC, activations=x).layers[0].activations, x.reshape(6, 6))


# tensors


class Tensor:
    """What eie_sim asks of a torch tensor."""

    def __init__(self, values, dtype="torch.float32", layout="torch.strided", grad=False):
        self.values, self.dtype, self.layout, self.grad = values, dtype, layout, grad
        self.shape = values.shape

    def __array__(self, *_, **__):
        return self.numpy()

    def detach(self):
        return Tensor(self.values, self.dtype, self.layout)

    def cpu(self):
        return self

    def float(self):
        return Tensor(self.values, layout=self.layout)

    def numpy(self):
        if self.grad or "float32" not in self.dtype or "strided" not in self.layout:
            raise TypeError("no such numpy array")
        return self.values


@pytest.mark.parametrize(("dtype", "grad"), [("torch.float32", True), ("torch.bfloat16", False)])
def test_parameters_and_bfloat16_are_taken(dtype, grad):
    w = sparse((4, 6))
    layer = one({"fc.weight": Tensor(w, dtype, grad=grad)})
    np.testing.assert_array_equal(layer.weights, w)
    np.testing.assert_array_equal(load(Tensor(w, dtype, grad=grad)).layers[0].weights, w)
    matrix = es.EieMatrix.from_dense(Tensor(w, dtype, grad=grad), n_pe=4)
    np.testing.assert_array_equal(matrix.codes, es.EieMatrix.from_dense(w, n_pe=4).codes)


def test_a_tensor_of_a_type_numpy_has_not_is_listed():
    arrays = {"fc.k": Tensor(np.ones(3), "torch.float8_e4m3fn"), **FC}
    assert reasons(arrays) == {"fc.k": "dtype torch.float8_e4m3fn, which numpy has not"}


def test_real_tensors():
    torch = pytest.importorskip("torch")
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    module.eval()
    x = torch.rand(5, 6)
    run = es.run_network(load(module.state_dict(), chain="0,1,3", activations=x), es.EieConfig(n_pe=4, weight_bits=8))
    raw, bits = run.layers[-1].result.output, run.layers[-1].result.scales["accumulator"]
    np.testing.assert_allclose(raw / 2.0**bits, module(x).detach().numpy(), atol=0.02)
    assert len(load(dict(module.named_parameters())).layers) == 2
    half = {"fc.weight": torch.eye(4).bfloat16(), "b.weight": torch.eye(4).to_sparse()}
    assert [layer.density for layer in load(half).layers] == [0.25, 0.25]
    with pytest.raises(InputError, match="workload=Sequential: must be arrays by name, as its state_dict"):
        load(module)
    with pytest.raises(InputError, match="among fc"):
        load({"fc": torch.eye(2).to(torch.float8_e4m3fn)})


def test_loading_grows_linearly():
    from time import process_time

    def seconds(n):
        arrays = {f"layers.{at}.weight": np.ones((2, 2), "f4") for at in range(n)}
        arrays |= {f"layers.{at}.bias": np.ones(2, "f4") for at in range(n)}
        start = process_time()
        load(arrays)
        return process_time() - start

    seconds(100)
    assert seconds(4_000) < 8 * min(seconds(1_000) for _ in range(2))


# more of what integers, masks and BatchNorms may be

INT8 = np.arange(-24, 24, dtype=np.int8).reshape(8, 6)
ROWS = np.arange(1, 9, dtype=np.float32)


@pytest.mark.parametrize(
    "beside",
    [
        {"fc.weight_quantizer._scale": ROWS},
        {"fc.weights_scaling_factor": ROWS},
        {"fc.weightScale": ROWS},
        {"fc.q_scale": ROWS},
        {"weight_scale": ROWS},
        {"fc_scale": ROWS},
        {"fc.weight_scale": ROWS, "fc.weight_offset": np.full(8, 3.0)},
        {"fc.weight_scale": np.full(8, 127, np.uint8)},
        {"fc.scales": ROWS[:, None], "fc.biases": ROWS[:, None]},
        {"fc.weight_scale": ROWS, "fc.weight_shape": np.array([8, 12])},
        {"fc.weight_scale": ROWS, "fc.bias": np.ones(8, np.int32)},
        {"fc.bias": np.ones(8, np.int8), "fc.bias_scale": np.float32(0.1)},
    ],
)
def test_integers_are_never_simulated_raw_beside_what_may_scale_them(beside):
    arrays = {"fc.weight": INT8, **beside, "good.weight": sparse((4, 6))}
    assert one(arrays).name == "good"


@pytest.mark.parametrize("shape", [(8,), (8, 1, 1, 1)])
def test_a_1x1_convolution_of_integers_is_dequantised(shape):
    arrays = {"conv.weight": INT8.reshape(8, 6, 1, 1), "conv.weight_scale": ROWS.reshape(shape)}
    np.testing.assert_array_equal(one(arrays).weights, INT8 * ROWS[:, None])


def test_what_is_said_of_a_whole_input_or_of_the_shape_is_no_scale_of_the_weights():
    arrays = {"fc.weight": INT8, "fc.weight_scale": ROWS, "fc.weight_shape": np.array([8, 6])}
    layer = one({**arrays, "fc.input_scale": np.float32(0.5)})
    np.testing.assert_array_equal(layer.weights, INT8 * ROWS[:, None])


@pytest.mark.parametrize(
    "mask",
    [{"fc.weight_mask": None}, {"fc.weight_mask": np.ones((4, 1))}, {"masks.fc.weight": None}],
)
def test_weights_whose_mask_cannot_be_applied_are_left(mask):
    arrays = {"fc.weight": sparse((4, 6)), **mask, "good.weight": sparse((4, 6))}
    assert one(arrays).name == "good"


@pytest.mark.parametrize("name", ["masks.fc.weight", "mask/fc.weight", "fc.pruning_mask", "fc._mask"])
def test_masks_by_other_names_are_applied(name):
    mask = rng(1).random((4, 6)) < 0.5
    np.testing.assert_array_equal(one({"fc.weight": sparse((4, 6)), name: mask}).weights, sparse((4, 6)) * mask)


@pytest.mark.parametrize(
    "more",
    [
        {"fc.parametrizations.weight.1.mask": np.ones((4, 6))},
        {"fc.bias_orig": np.ones(4)},
        {"fc.parametrizations.bias.original": np.ones(4)},
    ],
)
def test_weights_of_which_a_part_is_not_applied_are_left(more):
    arrays = {
        "fc.parametrizations.weight.original0": np.ones((4, 1)),
        "fc.parametrizations.weight.original1": np.ones((4, 6)),
    }
    assert one({**arrays, **more, "good.weight": sparse((4, 6))}).name == "good"
    assert len(load({**arrays, "good.weight": sparse((4, 6))}).layers) == 2


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


def test_a_file_of_one_matrix_is_the_same_by_its_own_name(tmp_path):
    np.save(tmp_path / "kernel.npy", sparse((4, 6)))
    for layer in (None, "kernel"):
        assert load(tmp_path / "kernel.npy", layer=layer).layers[0].n_out == 4


@pytest.mark.parametrize("name", ["mlp.shared_expert_gate.weight", "to_vocab.weight", "to_pos.weight"])
def test_gates_and_heads_are_no_tables(name):
    assert one({name: sparse((4, 6))}).n_out == 4


@pytest.mark.parametrize(
    "name",
    [
        *("masks.fc", "mask.fc", "mask_fc", "fc.w_mask", "fc.weight_pruning_mask", "fc.sparsity_mask", "fc.prune_mask"),
        *("fc.mask.weight", "fc.weight_fake_sparsity.mask", "fc.weightmask", "fc_mask"),
    ],
)
def test_a_mask_says_whose_it_is_by_the_words_that_both_have(name):
    mask = rng(1).random((4, 6)) < 0.5
    np.testing.assert_array_equal(one({"fc.weight": sparse((4, 6)), name: mask}).weights, sparse((4, 6)) * mask)
    assert one({"fc.weight": sparse((4, 6)), name: mask.T, "good.weight": sparse((4, 6))}).name == "good"


def test_a_mask_of_one_of_several_matrices_is_applied_to_it_alone():
    mask = rng(1).random((4, 6)) < 0.5
    first, second = load({"W1": sparse((4, 6)), "W2": sparse((3, 4)), "mask1": mask}).layers
    np.testing.assert_array_equal(first.weights, sparse((4, 6)) * mask)
    np.testing.assert_array_equal(second.weights, sparse((3, 4)))


@pytest.mark.parametrize(
    "name", ["mask_head.fc1.weight", "roi.mask_fcn1.weight", "conv5_mask.weight", "item_head.weight", "v.weight"]
)
def test_a_layer_of_a_part_that_is_named_so_is_one(name):
    assert len(load({name: sparse((9, 6)), **FC}).layers) == 2


@pytest.mark.parametrize(
    "name",
    [
        *("mask_W1", "scale_w", "scales.weight", "pos_W", "adam_W1", "grad_W1", "momentum_weight", "adam_m/fc/kernel"),
        *("exp_avg_sq_fc.weight", "momentum_buffer.fc.weight", "velocity.fc.weight", "char_lookup.weight"),
        *("arch.embedding_bags.t_cat_0.weight", "user_table.weight", "tokens.weight", "word_vectors.weight"),
    ],
)
def test_still_more_that_is_no_layer(name):
    assert one({name: np.ones((9, 6), "f4"), **FC}).name == "fc"


@pytest.mark.parametrize("name", ["s", "step_size", "weight_alpha", "weight_max", "weight.quant_state.some__nf4"])
def test_integers_beside_a_step_by_another_name_are_left(name):
    assert one({"fc.weight": INT8, f"fc.{name}": ROWS, "good.weight": sparse((4, 6))}).name == "good"


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


def test_a_dense_layer_of_keras_3_is_stored_in_out():
    layer = one({"dense/vars/0": sparse((6, 4)), "dense/vars/1": np.arange(4.0)})
    np.testing.assert_array_equal(layer.weights, sparse((6, 4)).T)
    np.testing.assert_array_equal(layer.bias, np.arange(4.0))


@pytest.mark.parametrize("names", [("fc.weight", "fc.kernel", "fc.mask"), ("fc_w", "fc.weight", "fc_mask")])
def test_a_mask_that_two_may_own_is_applied_to_none(names):
    first, second, mask = names
    arrays = {first: sparse((4, 6)), second: sparse((4, 6)), mask: np.eye(4, 6), "good.weight": sparse((4, 6))}
    assert one(arrays).name == "good"
    assert one(dict(reversed(arrays.items()))).name == "good"
