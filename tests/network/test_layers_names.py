"""What the names of arrays say: weights, biases, activations, and what is not simulated."""

import numpy as np
import pytest
import scipy.sparse
from sample_files import matrix

from eie_sim import InputError
from eie_sim.network import load, network_from_arrays


def network(**arrays):
    return network_from_arrays({name.replace("__", "."): array for name, array in arrays.items()}, "net")


def reasons(net):
    return dict(net.not_simulated)


@pytest.mark.parametrize(
    ("weight", "bias", "layer"),
    [
        ("fc1.weight", "fc1.bias", "fc1"),
        ("fc1_weight", "fc1_bias", "fc1"),
        ("net/fc1/weight", "net/fc1/bias", "net/fc1"),
        ("fc1.weights", "fc1.biases", "fc1"),
        ("W1", "b1", "W1"),
        ("w_3", "b_3", "w_3"),
        ("block.W", "block.b", "block.W"),
        ("dec_w", "dec_b", "dec_w"),
        ("weight", "bias", "net"),
        ("weight1", "bias1", "weight1"),
        ("anything", "anything.bias", "anything"),
        ("anything", "anything_bias", "anything"),
        ("anything", "bias", "anything"),
    ],
)
@pytest.mark.parametrize("bias_shape", [(6,), (6, 1), (1, 6)])
def test_weights_find_their_bias(weight, bias, layer, bias_shape):
    if bias == "bias" and weight == "anything" and len(bias_shape) == 2:
        pytest.skip("a 2-D array of that name is a second matrix")
    values = np.arange(6.0).reshape(bias_shape)
    for order in (1, -1):
        net = network_from_arrays(dict([(weight, matrix()), (bias, values)][::order]), "net")
        assert [each.name for each in net.layers] == [layer]
        np.testing.assert_array_equal(net.layers[0].bias, np.arange(6.0))
        assert net.not_simulated == ()


def test_each_of_several_layers_finds_its_own():
    net = network(
        W1=matrix(), b1=np.ones(6), W2=matrix(1, (4, 6)), b2=np.zeros(4), W3=matrix(2, (1, 4)), b3=np.ones((1, 1))
    )
    assert [layer.name for layer in net.layers] == ["W1", "W2", "W3"]
    assert [layer.bias.shape for layer in net.layers] == [(6,), (4,), (1,)]
    assert not net.chained


def test_a_bias_of_another_length_is_refused():
    with pytest.raises(InputError, match=r"array fc1\.bias=shape \(5,\): must be \(6,\)"):
        network(fc1__weight=matrix(), fc1__bias=np.ones(5))


def test_a_matrix_without_a_telling_name_is_a_layer_alone_or_asked_for():
    arrays = {"first": matrix(), "second": scipy.sparse.csr_array(matrix(1, (4, 6)))}
    assert [layer.name for layer in network(first=matrix()).layers] == ["first"]
    with pytest.raises(InputError, match=r"neither its name nor a bias says that it is a layer: ask for it by name"):
        network(**arrays)
    (second,) = network_from_arrays(arrays, "net", layer="second").layers
    assert second.weights.format == "csc"
    beside = network(first=matrix(), fc__weight=matrix())
    assert [layer.name for layer in beside.layers] == ["fc"]
    assert reasons(beside)["first"].startswith("shape (6, 9), neither its name")


def test_layers_of_the_same_short_name_keep_their_own():
    net = network_from_arrays({"a.weight": matrix(), "a/weight": matrix()}, "net")
    assert [layer.name for layer in net.layers] == ["a.weight", "a/weight"]


@pytest.mark.parametrize("name", ["fc1.activations", "fc1.input", "fc1/input", "fc1.x", "fc1_activations"])
@pytest.mark.parametrize(("shape", "n_vector"), [((9,), 1), ((4, 9), 4), ((2, 3, 9), 6), ((1, 2, 3, 9), 6)])
def test_recorded_activations(name, shape, n_vector):
    net = network_from_arrays({name: np.ones(shape), "fc1.weight": matrix(), "fc2.weight": matrix(1, (4, 6))}, "net")
    assert [layer.name for layer in net.layers] == ["fc1", "fc2"]
    assert net.layers[0].activations.shape == (n_vector, 9)
    assert net.layers[0].activations_source == f"recorded: array {name}"
    assert net.layers[1].activations is None
    assert net.not_simulated == ()


@pytest.mark.parametrize("name", ["x", "X", "input", "inputs", "activations", "acts"])
def test_inputs_without_a_layer_in_their_name(name):
    alone = network_from_arrays({"fc1.weight": matrix(), name: np.ones((4, 9))}, "net")
    assert alone.layers[0].activations.shape == (4, 9)
    two = {"fc1.weight": matrix(), "fc2.weight": matrix(1, (4, 6)), name: np.ones((4, 9))}
    assert reasons(network_from_arrays(two, "net")) == {name: "inputs of no layer here"}
    chain = network_from_arrays(two, "net", chain="fc1,fc2")
    assert chain.layers[0].activations.shape == (4, 9)
    assert network_from_arrays(two, "net", layer="fc1").layers[0].activations.shape == (4, 9)


def test_recorded_activations_of_a_later_layer():
    net = network(fc1__weight=matrix(), fc2__weight=matrix(1, (4, 6)), fc2__input=np.ones((2, 6)))
    assert net.layers[0].activations is None
    assert net.layers[1].activations.shape == (2, 6)


def test_recorded_activations_of_another_width_are_refused():
    with pytest.raises(InputError, match=r"array fc1\.input=shape \(2, 8\): must be \(n_vector, 9\)"):
        network(fc1__weight=matrix(), fc1__input=np.ones((2, 8)))


def test_recorded_activations_of_no_layer_are_listed():
    net = network(fc1__weight=matrix(), fc7__input=np.ones((2, 9)))
    assert reasons(net) == {"fc7.input": "inputs of no layer here"}


def test_what_is_not_simulated_is_listed_with_a_reason():
    net = network(
        conv1__weight=np.ones((8, 3, 3, 3)),
        conv1__bias=np.ones(8),
        conv0__weight=np.ones((8, 3, 3)),
        lstm__weight_ih_l0=np.ones((8, 3)),
        lstm__bias_hh_l0=np.ones(8),
        encoder__gru=np.ones((8, 3)),
        enc_w_hh=np.ones((8, 3)),
        rnn__weight=np.ones((8, 3)),
        embedding__weight=np.ones((8, 3)),
        self_attn_mask=np.ones((6, 9)),
        fc__weight=matrix(),
        scale=np.float32(1),
        cube=np.ones((2, 2, 2)),
        names=np.array(["a", "b"]),
    )
    assert [layer.name for layer in net.layers] == ["fc"]
    listed = reasons(net)
    assert listed["conv1.weight"] == "convolution, shape (8, 3, 3, 3), not simulated yet"
    assert listed["conv0.weight"] == "convolution, shape (8, 3, 3), not simulated yet"
    for name in ("lstm.weight_ih_l0", "lstm.bias_hh_l0", "encoder.gru", "enc_w_hh", "rnn.weight"):
        assert listed[name].startswith("recurrent, shape ("), name
        assert listed[name].endswith("not simulated yet")
    assert listed["embedding.weight"] == "embedding, shape (8, 3), looked up and not multiplied"
    assert listed["self_attn_mask"] == "mask, shape (6, 9), not applied"
    assert listed["conv1.bias"] == "not a weight matrix, shape (8,)"
    assert listed["scale"] == "scale or zero point, shape (), of no integer weights here"
    assert listed["cube"] == "not a weight matrix, shape (2, 2, 2)"
    assert listed["names"] == "not a weight matrix, shape (2,), dtype <U1"
    assert len(listed) == 13


@pytest.mark.parametrize("name", ["congruent.weight", "current", "ground.weight"])
def test_names_that_only_look_recurrent_are_simulated(name):
    assert len(network_from_arrays({name: matrix()}, "net").layers) == 1


def test_a_matrix_of_booleans_is_a_pattern():
    for mask in (matrix() != 0, scipy.sparse.csr_array(matrix() != 0)):
        (layer,) = network(pattern=mask).layers
        assert layer.synthetic
        assert layer.weights_source == "pattern from memory, values synthetic, seed 0"
        np.testing.assert_array_equal(layer.weights.toarray() != 0, matrix() != 0)


def test_no_weights_at_all_lists_what_is_there():
    with pytest.raises(InputError) as caught:
        network(a=np.ones(3), conv=np.ones((2, 2, 2, 2)), fc__input=np.ones((2, 2)))
    said = str(caught.value)
    assert said.startswith(
        "no weight matrix, 2-D (out, in), among a (not a weight matrix, shape (3,)), conv (convolution"
    )
    assert "fc.input (inputs of no layer here)" in said


def test_many_arrays_are_listed_in_part():
    with pytest.raises(InputError, match=r"a7 \(.*\) and 92 more$"):
        network_from_arrays({f"a{n}": np.ones(3) for n in range(100)}, "net")


@pytest.mark.parametrize("name", ["", "a\nb", "\x1b[31mred", "x" * 201, 3, None])
def test_names_unfit_for_a_table_are_listed(name):
    net = network_from_arrays({name: matrix(), "fc.weight": matrix()}, "net")
    assert [layer.name for layer in net.layers] == ["fc"]
    ((shown, reason),) = net.not_simulated
    assert reason == "its name must be 1 to 200 printable characters"
    assert shown.isprintable()
    with pytest.raises(InputError, match="its name must be") as caught:
        network_from_arrays({name: matrix()}, "net")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [None, [[1, 2], [3]], "text", object(), np.array([{}, []], dtype=object)])
def test_values_that_are_no_arrays(value):
    with pytest.raises(InputError):
        network_from_arrays({"w": value}, "net")


def test_the_arrays_given_are_not_changed():
    repeated = scipy.sparse.coo_array(([1.0, 2.0, 0.0], ([0, 0, 1], [0, 0, 1])), shape=(2, 3)).tocsr()
    raw = scipy.sparse.csc_array((np.array([1.0, 2.0]), np.array([1, 0]), np.array([0, 2, 2])), shape=(3, 2))
    before = [(m.data.copy(), m.indices.copy(), m.indptr.copy()) for m in (repeated, raw)]
    network(a__weight=repeated, b__weight=raw)
    for m, parts in zip((repeated, raw), before, strict=True):
        for now, then in zip((m.data, m.indices, m.indptr), parts, strict=True):
            np.testing.assert_array_equal(now, then)


def test_labelled_inputs_belong_to_the_network(tmp_path):
    rng = np.random.default_rng(0)
    arrays = {"fc1.weight": rng.normal(size=(5, 4)), "fc2.weight": rng.normal(size=(3, 5))}
    arrays |= {"test_inputs": rng.normal(size=(7, 4)), "test_labels": rng.integers(0, 3, 7)}
    arrays |= {"train_inputs": rng.integers(0, 2, (9, 4)), "train_labels": rng.integers(0, 3, 9)}
    np.savez(tmp_path / "net.npz", **arrays, calibration=np.ones((2, 4)))
    assert {"test_inputs", "calibration"} <= {name for name, _ in load(tmp_path / "net.npz").not_simulated}
    network = load(tmp_path / "net.npz", chain=["fc1", "fc2"])
    assert [layer.name for layer in network.layers] == ["fc1", "fc2"]
    np.testing.assert_array_equal(network.test_inputs, arrays["test_inputs"])
    np.testing.assert_array_equal(network.train_labels, arrays["train_labels"])
    assert network.train_inputs.dtype.kind == "f"
    assert network.calibration.shape == (2, 4)
    assert network.not_simulated == ()


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("test_labels", np.zeros(7, int), "test_labels=shape .7,.: must be one per input, test_inputs"),
        ("train_inputs", np.zeros((7, 3)), r"train_inputs=shape \(7, 3\): must be \(n_vector, 4\)"),
        ("calibration", np.full((1, 4), np.nan), r"calibration\[0, 0\]=nan: must be finite"),
        ("test_inputs", np.array([["a"]]), "array test_inputs=dtype <U1: must hold real numbers"),
        ("train_labels", np.zeros(7), "train_labels=dtype float64: must be integers"),
        ("test_labels", np.full(2, -3), "test_labels=-3: must be >= 0"),
        ("test_labels", np.array([0, 3]), "test_labels=3: must be below the network's 3 outputs"),
        ("test_labels", np.array([0, 2**64 - 1], np.uint64), "test_labels=18446744073709551615: must be below"),
    ],
)
def test_inputs_that_do_not_fit_the_network_are_refused(name, array, message):
    with pytest.raises(InputError, match=message):
        load({"w": np.ones((3, 4)), "test_inputs": np.ones((2, 4)), name: array})
