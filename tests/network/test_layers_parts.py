"""Weights in parts, masks, weight_norm and integers with a scale, are put together or left, never run as they are."""

import numpy as np
import pytest
import scipy.sparse
from named_arrays import ROWS, one, reasons, rng, sparse

from eie_sim import InputError
from eie_sim.network import load


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


def test_gptq_words_are_refused_as_packed():
    arrays = {"fc.qweight": np.ones((8, 32), np.int32), "fc.qzeros": np.ones((1, 4), np.int32)}
    with pytest.raises(InputError, match=r"fc\.qweight \(packed words, shape \(8, 32\): unpack them to floats"):
        load(arrays | {"fc.scales": np.ones((1, 32)), "fc.g_idx": np.zeros(64, np.int32)})


INT8 = np.arange(-24, 24, dtype=np.int8).reshape(8, 6)


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


@pytest.mark.parametrize(
    "name",
    [
        *("masks.fc", "mask.fc", "mask_fc", "fc.w_mask", "fc.weight_pruning_mask", "fc.sparsity_mask", "fc.prune_mask"),
        *("fc.mask.weight", "fc.weight_fake_sparsity.mask", "fc.weightmask", "fc_mask"),
        *("masks.fc.weight", "mask/fc.weight", "fc.pruning_mask", "fc._mask"),
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


@pytest.mark.parametrize("name", ["s", "step_size", "weight_alpha", "weight_max", "weight.quant_state.some__nf4"])
def test_integers_beside_a_step_by_another_name_are_left(name):
    assert one({"fc.weight": INT8, f"fc.{name}": ROWS, "good.weight": sparse((4, 6))}).name == "good"


@pytest.mark.parametrize("names", [("fc.weight", "fc.kernel", "fc.mask"), ("fc_w", "fc.weight", "fc_mask")])
def test_a_mask_that_two_may_own_is_applied_to_none(names):
    first, second, mask = names
    arrays = {first: sparse((4, 6)), second: sparse((4, 6)), mask: np.eye(4, 6), "good.weight": sparse((4, 6))}
    assert one(arrays).name == "good"
    assert one(dict(reversed(arrays.items()))).name == "good"
