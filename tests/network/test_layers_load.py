"""The one door: sources, layers, activations, densities."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st
from sample_files import WRITERS, matrix, two_layers

from eie_sim import InputError
from eie_sim.network import (
    Layer,
    Network,
    load,
    load_activations,
    load_preset,
    network_from_arrays,
    pruned,
    read_arrays,
    synthetic_activations,
)
from eie_sim.prune import keep_count

UNCHAINED = {"a.weight": matrix(), "b.weight": matrix(1, (5, 7))}


def test_a_numpy_array():
    network = load(matrix())
    (layer,) = network.layers
    assert (network.name, network.source, layer.name) == ("array", "memory", "array")
    assert layer.weights_source == "from memory"
    np.testing.assert_array_equal(layer.weights, matrix())
    assert not layer.synthetic


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia", "lil", "dok"])
@pytest.mark.parametrize("kind", ["array", "matrix"])
def test_a_scipy_matrix(form, kind):
    (layer,) = load(getattr(scipy.sparse, f"{form}_{kind}")(matrix())).layers
    assert isinstance(layer.weights, scipy.sparse.csc_array)
    np.testing.assert_array_equal(layer.weights.toarray(), matrix())


def test_a_mapping_is_matrices_and_a_chain_where_it_is_declared():
    network = load(two_layers())
    assert not network.chained
    assert [layer.activations_source for layer in network.layers] == [
        "recorded: array fc1.input",
        "drawn, none given: synthetic, density 1, seed 0",
    ]
    network = load(two_layers(), chain=["fc1", "fc2"])
    assert network.chained
    assert [layer.activations_source for layer in network.layers] == [
        "recorded: array fc1.input",
        "computed by the layer before",
    ]
    assert network.inputs.shape == (3, 9)


@pytest.mark.parametrize("as_text", [True, False])
def test_a_path_as_text_or_object(tmp_path, as_text, monkeypatch):
    WRITERS["stored.npz"](tmp_path / "net.npz")
    path = tmp_path / "net.npz"
    assert load(str(path) if as_text else path).name == "net"
    monkeypatch.chdir(tmp_path)
    assert load("net.npz" if as_text else Path("net.npz")).name == "net"


def test_one_layer_by_name(tmp_path):
    network = load(two_layers(), layer="fc2")
    assert [layer.name for layer in network.layers] == ["fc2"]
    assert network.layers[0].activations_source == "drawn, none given: synthetic, density 1, seed 0"
    with pytest.raises(InputError, match="layer=fc3: unknown; did you mean fc2 or fc1"):
        load(two_layers(), layer="fc3")


LAYER = {"name": "fc1", "weights": matrix(), "weights_source": "made up", "synthetic": True}
PART = Layer(**LAYER)
NETWORK = {"name": "net", "layers": (PART,), "chained": False, "source": "made up"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "layer=None: must be 1 to 200 printable characters"),
        ({"weights": None}, "layer fc1: weights=NoneType: must be ndarray"),
        ({"weights": [[1.0]]}, "layer fc1: weights=list: must be ndarray"),
        ({"weights": np.ones(3)}, "layer fc1: weights=shape (3,): must have 2 dimensions, (out, in)"),
        ({"bias": [0.0]}, "layer fc1: bias=list: must be ndarray"),
        ({"bias": 1.0}, "layer fc1: bias=float: must be ndarray"),
        ({"activations": "x"}, "layer fc1: activations=str: must be ndarray"),
        ({"weights_source": None}, "layer fc1: weights_source=NoneType: must be str"),
        ({"activations_source": 3}, "layer fc1: activations_source=int: must be str"),
        ({"synthetic": None}, "layer fc1: synthetic=NoneType: must be bool"),
        ({"stored": "x"}, "layer fc1: stored=str: must be SharedWeights"),
    ],
)
def test_parts_of_a_layer_of_another_type(change, message):
    with pytest.raises(InputError) as caught:
        Layer(**(LAYER | change))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": None}, "network=None: must be 1 to 200 printable characters"),
        ({"layers": None}, "layers=NoneType: must be tuple"),
        ({"layers": ()}, "layers=(): must be at least one"),
        ({"layers": (PART, None)}, "layers[1]=NoneType: must be Layer"),
        ({"chained": None}, "chained=NoneType: must be bool"),
        ({"source": None}, "source=NoneType: must be str"),
        ({"not_simulated": None}, "not_simulated=NoneType: must be tuple"),
        ({"not_simulated": ("x",)}, "not_simulated[0]=str: must be a pair of texts, (name, reason)"),
        ({"test_inputs": [1.0]}, "test_inputs=list: must be ndarray"),
        ({"calibration": 1.0}, "calibration=float: must be ndarray"),
        ({"test_labels": [1]}, "test_labels=list: must be ndarray"),
        ({"test_labels": np.ones(1)}, "test_labels=dtype float64: must be integers"),
        ({"dense_layers": PART}, "dense_layers=Layer: must be tuple"),
        ({"dense_layers": (None,)}, "dense_layers[0]=NoneType: must be Layer"),
        ({"seed": None}, "seed=None: must be an integer >= 0"),
        ({"seed": 2**128}, f"seed={2**128}: must be below 2**128"),
    ],
)
def test_parts_of_a_network_of_another_type(change, message):
    with pytest.raises(InputError) as caught:
        Network(**(NETWORK | change))
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load(matrix(), layer=np.ones(3)), "layer=ndarray: must be str"),
        (lambda: load(matrix(), layer=3), "layer=int: must be str"),
        (lambda: load(None), "workload=NoneType: must be a preset"),
        (lambda: load(matrix(), density=10**400), "density=1000"),
        (lambda: load(matrix(), activation_density=10**400), "activation_density=1000"),
        (lambda: load(matrix(), density=np.ones(2)), r"density=array([1., 1.]): must be a number in 0..1"),
        (lambda: load(matrix(), seed=2**128), f"seed={2**128}: must be below 2**128"),
        (lambda: load(matrix(), seed=10**5000), "seed=an int too long to show: must be below 2**128"),
        (lambda: pruned(None, 0.5), "network=NoneType: must be Network"),
        (lambda: load_activations(None), "activations=NoneType: must be str or PathLike"),
        (lambda: load_activations(3), "activations=int: must be str or PathLike"),
        (lambda: read_arrays(None), "file=NoneType: must be str or PathLike"),
        (lambda: load_preset(None), "workload=NoneType: must be str"),
        (lambda: load_preset("alex-7", seed=2**128), f"seed={2**128}: must be below 2**128"),
        (lambda: network_from_arrays(None, "net"), "arrays=NoneType: must be Mapping"),
        (lambda: network_from_arrays([matrix()], "net"), "arrays=list: must be Mapping"),
        (lambda: network_from_arrays({"w": matrix()}, None), "name=None: must be 1 to 200 printable characters"),
        (
            lambda: network_from_arrays({3: matrix()}, "net"),
            "no weight matrix, 2-D (out, in), among 3 (its name",
        ),
        (lambda: network_from_arrays({"w": None}, "net"), "no weight matrix, 2-D (out, in), among w"),
        (lambda: network_from_arrays({"w": matrix()}, "net", origin=None), "origin=NoneType: must be str"),
        (lambda: network_from_arrays({"w": matrix()}, "net", seed=None), "seed=None: must be an integer >= 0"),
        (lambda: synthetic_activations(3, 0.5, seed=2**128), f"seed={2**128}: must be below 2**128"),
    ],
)
def test_arguments_of_another_type(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 400


def test_the_largest_seed():
    assert load(matrix() != 0, seed=2**128 - 1).layers[0].synthetic


def test_given_activations_replace_recorded_ones_and_test_inputs():
    x = np.linspace(0, 1, 64)
    network = load("digits-mlp", activations=x)
    assert network.test_inputs is None
    assert network.test_labels is None
    np.testing.assert_array_equal(network.inputs, x[None])
    assert network.layers[0].activations_source == "given"
    assert load("digits-mlp", layer="fc2", activations=np.ones((2, 256), np.int16)).inputs.dtype == np.float32


def test_drawn_activations_start_a_chain_only():
    network = load("digits-mlp", activation_density=0.25, seed=4)
    assert network.test_inputs is None
    assert network.layers[0].activations_source == "synthetic, density 0.25, seed 4"
    assert network.layers[1].activations_source == "computed by the layer before"
    assert dict(network.not_simulated)["inputs of fc2"].startswith("recorded with other inputs")
    bare = load({"a": matrix(), "b": matrix(1, (4, 6))}, chain="a,b", activation_density=0.25)
    assert [layer.activations_source for layer in bare.layers] == [
        "synthetic, density 0.25, seed 0",
        "computed by the layer before",
    ]


def test_drawn_activations_go_to_every_layer_that_is_not_chained():
    network = load(UNCHAINED, activation_density=0.5, seed=1)
    assert [layer.activations.shape for layer in network.layers] == [(1, 9), (1, 7)]
    assert {layer.activations_source for layer in network.layers} == {"synthetic, density 0.5, seed 1"}


def test_without_any_activations_dense_ones_are_drawn_and_say_so():
    for layer in load(UNCHAINED).layers:
        assert layer.activation_density == 1
        assert layer.activations_source == "drawn, none given: synthetic, density 1, seed 0"


def test_given_activations_need_one_first_layer():
    with pytest.raises(InputError, match=r"shape \(8,\): must be of one layer: choose it among a, b"):
        load(UNCHAINED, activations=np.ones(8))
    alike = {"q.weight": matrix(), "k.weight": matrix(1)}
    with pytest.raises(InputError, match=r"must be of one layer: choose it among k, q"):
        load(alike, activations=np.ones((3, 9)))


def test_given_activations_go_to_the_only_layer_they_fit():
    network = load(UNCHAINED, activations=np.ones((3, 7)))
    assert [layer.activations.shape for layer in network.layers] == [(1, 9), (3, 7)]
    assert [layer.activations_source for layer in network.layers] == [
        "drawn, none given: synthetic, density 1, seed 0",
        "given",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        np.ones(8),
        np.ones((2, 8)),
        np.float64(1),
        np.ones((0, 9)),
        np.full(9, np.nan),
        np.ones(9, complex),
        "x.csv",
    ],
)
def test_bad_activations(wrong):
    with pytest.raises(InputError) as caught:
        load(matrix(), activations=wrong)
    assert "\n" not in str(caught.value)


def test_activations_and_a_density_exclude_each_other():
    with pytest.raises(InputError, match=r"activation_density=0\.5: must be left out"):
        load(matrix(), activations=np.ones(9), activation_density=0.5)


@pytest.mark.parametrize("field", ["density", "activation_density"])
@pytest.mark.parametrize("value", [-0.1, 1.0001, float("nan"), float("inf"), "half", True, [0.5]])
def test_densities_out_of_range(field, value):
    with pytest.raises(InputError, match=f"{field}="):
        load(matrix(), **{field: value})


@pytest.mark.parametrize("seed", [-1, 0.5, "0", True, None])
def test_bad_seeds(seed):
    with pytest.raises(InputError, match="seed="):
        load(matrix(), seed=seed)


@given(
    seed=st.integers(0, 1000),
    density=st.floats(0, 1),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    levels=st.integers(1, 5),
)
def test_sparse_and_dense_weights_are_pruned_alike(seed, density, shape, levels):
    w = np.random.default_rng(seed).integers(-levels, levels + 1, shape).astype(np.float32)
    kept = round(Fraction(str(density)) * w.size)
    order = np.argsort(np.abs(w), axis=None, kind="stable")
    expected = np.where(np.isin(np.arange(w.size), order[w.size - kept :]).reshape(shape), w, 0)
    from_dense, from_sparse = (load(m, density=density).layers[0] for m in (w, scipy.sparse.coo_array(w)))
    np.testing.assert_array_equal(from_dense.weights, expected)
    np.testing.assert_array_equal(from_sparse.weights.toarray(), expected)
    assert from_dense.density <= kept / w.size


def test_pruning_keeps_the_layers_before_and_says_so():
    w = np.random.default_rng(0).normal(size=(20, 30))
    network = load(w, density=0.1)
    assert network.layers[0].density == 0.1
    assert network.layers[0].weights_source == "from memory; pruned by magnitude to density 0.1"
    np.testing.assert_array_equal(network.dense_layers[0].weights, w)


def test_a_layer_sparser_than_asked_is_left_alone_and_says_so():
    w = np.eye(10)
    network = load(w, density=0.5)
    assert network.layers[0].weights_source == "from memory; density 0.1 is not above 0.5, nothing pruned"
    np.testing.assert_array_equal(network.layers[0].weights, w)


def test_a_layer_of_published_shape_is_pruned_from_a_dense_draw_to_any_density():
    layer = load("nt-lstm", density=0.5).layers[0]
    assert layer.weights_source == "synthetic, density 1, seed 0; pruned by magnitude to density 0.5"
    assert layer.density == 0.5
    assert load("nt-lstm", before_pruning=True).layers[0].density > 0.999


def test_pruning_starts_from_the_weights_before_pruning_where_they_are_there():
    network = load("digits-mlp", density=0.5)
    assert [layer.density for layer in network.layers] == [0.5, 0.5, 0.5]
    np.testing.assert_array_equal(network.layers[0].bias, network.dense_layers[0].bias)
    assert network.layers[1].weights_source == "real, trained, not pruned; pruned by magnitude to density 0.5"
    assert network.test_inputs.shape == (360, 64)
    one = load("digits-mlp", layer="fc2", density=0.5)
    np.testing.assert_array_equal(one.layers[0].weights, network.layers[1].weights)
    assert (
        pruned(network, 0.2).layers[0].weights_source == "real, trained, not pruned; pruned by magnitude to density 0.2"
    )


def test_presets_take_every_option():
    network = load("nt-lstm", layer="nt-lstm", density=0.05, activation_density=0.5, seed=2)
    assert network.seed == 2
    assert network.layers[0].density == keep_count(0.05, 2400 * 1201) / (2400 * 1201)
    assert network.layers[0].activations_source == "synthetic, density 0.5, seed 2"


def test_the_same_call_gives_the_same_network():
    a, b = (load("nt-lstm", seed=3).layers[0] for _ in range(2))
    np.testing.assert_array_equal(a.weights.data, b.weights.data)
    np.testing.assert_array_equal(a.weights.indices, b.weights.indices)
    np.testing.assert_array_equal(a.activations, b.activations)


@pytest.mark.parametrize("source", [None, 3, [[1.0]], object()])
def test_sources_of_no_known_kind(source):
    with pytest.raises(InputError, match="must be a preset, a path, an array"):
        load(source)


def a_layer(**changes):
    parts = {"name": "a", "weights": matrix(), "weights_source": "test", "synthetic": False}
    return Layer(**(parts | changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": matrix().astype(np.int32)}, "layer a: weights=dtype int32: must be float32 or float64"),
        ({"weights": np.ones(3)}, "layer a: weights=shape"),
        ({"weights": scipy.sparse.csr_array(matrix())}, "layer a: weights=csr"),
        ({"bias": np.ones(9)}, "layer a: bias=shape"),
        ({"bias": np.full(6, np.inf)}, r"layer a: bias\[0\]=inf: must be finite"),
        ({"activations": np.ones(9)}, "layer a: activations=shape"),
        ({"activations": np.ones((1, 6))}, "layer a: activations=shape"),
        ({"name": ""}, "layer="),
    ],
)
def test_a_layer_checks_its_parts(changes, said):
    with pytest.raises(InputError, match=said):
        a_layer(**changes)


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_first_bad_weight_is_located(order):
    w = np.asarray(matrix(), order=order)
    w[4, 1] = np.nan
    with pytest.raises(InputError, match=r"layer array: weights\[4, 1\]=nan: must be finite"):
        load(w)
    with pytest.raises(InputError, match=r"weights\[4, 1\]=nan: must be finite"):
        load(scipy.sparse.csr_array(w))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": ()}, "layers="),
        ({"layers": (a_layer(), a_layer())}, "must not share a name"),
        ({"layers": (a_layer(), a_layer(name="b")), "chained": True}, "layer b: n_in=9: must be the 6 outputs of a"),
        ({"test_inputs": np.ones((2, 8))}, "test_inputs=shape"),
        ({"calibration": np.ones((2, 8))}, "calibration=shape"),
        ({"test_labels": np.ones(3, int)}, "test_labels=shape"),
        ({"test_inputs": np.ones((2, 9)), "test_labels": np.ones(3, int)}, "test_labels=shape"),
        ({"dense_layers": (a_layer(name="b"),)}, "dense_layers="),
    ],
)
def test_a_network_checks_its_parts(changes, said):
    with pytest.raises(InputError, match=said):
        Network(**({"name": "net", "layers": (a_layer(),), "chained": False, "source": "test"} | changes))
