"""What people save and how it is meant: no kind of file makes a wrong network in silence."""

import numpy as np
import pytest
import scipy.sparse
from named_arrays import FC, one, reasons, rng, sparse

import eie_sim as es
from eie_sim import InputError
from eie_sim.network import load


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
        "mask_W1", "scale_w", "scales.weight", "pos_W", "adam_W1", "grad_W1",
        "momentum_weight", "adam_m/fc/kernel", "exp_avg_sq_fc.weight",
        "momentum_buffer.fc.weight", "velocity.fc.weight", "char_lookup.weight",
        "arch.embedding_bags.t_cat_0.weight", "user_table.weight", "tokens.weight", "word_vectors.weight",
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


def test_three_dimensions_of_recorded_inputs_are_vectors():
    x = rng().random((2, 3, 6))
    np.testing.assert_array_equal(one({**FC, "fc.input": x}).activations, x.reshape(6, 6))
    np.testing.assert_array_equal(load(FC, activations=x).layers[0].activations, x.reshape(6, 6))


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


def test_a_file_of_one_matrix_is_the_same_by_its_own_name(tmp_path):
    np.save(tmp_path / "kernel.npy", sparse((4, 6)))
    for layer in (None, "kernel"):
        assert load(tmp_path / "kernel.npy", layer=layer).layers[0].n_out == 4


@pytest.mark.parametrize("name", ["mlp.shared_expert_gate.weight", "to_vocab.weight", "to_pos.weight"])
def test_gates_and_heads_are_no_tables(name):
    assert one({name: sparse((4, 6))}).n_out == 4


@pytest.mark.parametrize(
    "name", ["mask_head.fc1.weight", "roi.mask_fcn1.weight", "conv5_mask.weight", "item_head.weight", "v.weight"]
)
def test_a_layer_of_a_part_that_is_named_so_is_one(name):
    assert len(load({name: sparse((9, 6)), **FC}).layers) == 2


def test_a_dense_layer_of_keras_3_is_stored_in_out():
    layer = one({"dense/vars/0": sparse((6, 4)), "dense/vars/1": np.arange(4.0)})
    np.testing.assert_array_equal(layer.weights, sparse((6, 4)).T)
    np.testing.assert_array_equal(layer.bias, np.arange(4.0))
