"""Convolutions as products, against onnxruntime and against what the page says of the order of columns."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx_models import STYLES, TAILS, agree, drawn, expected, lower, model, node, read, with_tail

from eie_sim.network import products
from eie_sim.network.lower import steps_of
from eie_sim.network.products import Style


@st.composite
def convolutions(draw, transposed=False):
    """Attributes and shapes of input and weights."""
    n_axis = draw(st.integers(1, 3))
    group = draw(st.sampled_from([1, 1, 2, 3]))
    c, m = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    some = lambda low, high: [draw(st.integers(low, high)) for _ in range(n_axis)]  # noqa: E731
    kernel, strides, dilations, side = some(1, 4), some(1, 3), some(1, 2), some(1, 7)
    attributes = {"group": group, "strides": strides, "dilations": dilations}
    if draw(st.booleans()):
        attributes["kernel_shape"] = kernel
    padding = draw(st.sampled_from(["pads", "none", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    if padding == "pads":
        attributes["pads"] = some(0, 3) + some(0, 3)
    elif padding != "none":
        attributes["auto_pad"] = padding
    if transposed and draw(st.booleans()):
        attributes["output_padding"] = [
            draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilations, strict=True)
        ]
    if transposed and padding != "pads" and draw(st.booleans()):
        of_axes = zip(side, strides, dilations, kernel, strict=True)
        attributes["output_shape"] = [
            max(1, (n - 1) * s + (k - 1) * d + 1 - draw(st.integers(-2, 3))) for n, s, d, k in of_axes
        ]
    x = [draw(st.integers(1, 2)), group * c, *side]
    w = [group * c, m, *kernel] if transposed else [group * m, c, *kernel]
    return attributes, x, w, group * m, draw(st.booleans())


def built(op, attributes, w, n_out, bias, tail):
    arrays = {"w": drawn(*w)} | ({"b": drawn(n_out)} if bias else {})
    return with_tail(tail, [node(op, "x w b" if bias else "x w", "h", **attributes)], arrays, n_out, len(w)), arrays


def runs(proto, inputs):
    try:
        return all(array.size for array in expected(proto, inputs).values())
    except Exception:
        return False


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose"])
@given(data=st.data(), tail=st.sampled_from(TAILS))
def test_any_convolution_is_its_products(op, data, tail):
    attributes, x, w, n_out, bias = data.draw(convolutions(op == "ConvTranspose"))
    nodes, arrays = built(op, attributes, w, n_out, bias, tail)
    inputs = {"x": drawn(*x)}
    proto = model(nodes, inputs, arrays)
    assume(runs(proto, inputs))
    agree(proto, inputs, STYLES)


@given(
    st.integers(1, 3),
    st.integers(2, 5),
    st.integers(1, 3),
    st.integers(1, 4),
    st.sampled_from(["SAME_UPPER", "SAME_LOWER", "NOTSET"]),
    st.integers(-1, 2),
)
def test_output_shapes_of_transposed_convolutions(side, kernel, stride, extra, auto_pad, less):
    n = stride * (side - 1) + kernel - less
    assume(n > 0)
    inputs = {"x": drawn(1, 2, side + 1, side)}
    shape = [stride * side + kernel - extra, n]
    assume(min(shape) > 0)
    nodes = [node("ConvTranspose", "x w", "y", strides=[stride, stride], output_shape=shape, auto_pad=auto_pad)]
    proto = model(nodes, inputs, {"w": drawn(2, 3, kernel, kernel)})
    assume(runs(proto, inputs))
    agree(proto, inputs)


def test_taps_are_outside_and_channels_innermost():
    """W[m, t * C + c] = weight[m, c, tap t], and X in the same order."""
    w = drawn(4, 3, 2, 3)
    inputs = {"x": drawn(2, 3, 5, 6)}
    graph = read(model([node("Conv", "x w", "y", pads=[1, 0, 0, 2])], inputs, {"w": w}), inputs)
    (product,) = lower(graph)
    for tap, (i, j) in enumerate(np.ndindex(2, 3)):
        for c in range(3):
            assert np.array_equal(product.weight[:, tap * 3 + c], w[:, c, i, j])
    padded = np.pad(inputs["x"], [(0, 0), (0, 0), (1, 0), (0, 2)])
    x = np.concatenate(list(product.vectors(inputs["x"])))
    assert x.shape == (product.positions, product.n_in) == (2 * 5 * 6, 18)
    for p, (n, i, j) in enumerate(np.ndindex(2, 5, 6)):
        assert np.array_equal(x[p], padded[n, :, i : i + 2, j : j + 3].transpose(1, 2, 0).ravel())
    assert np.array_equal(product.elements, product.elements[:, :].astype(int))
    assert np.array_equal(w.ravel()[product.elements], product.weight)


def test_groups_stand_on_the_diagonal_or_alone():
    w = drawn(6, 2, 3, 3)
    inputs = {"x": drawn(1, 4, 5, 5)}
    graph = read(model([node("Conv", "x w", "y", group=2)], inputs, {"w": w}), inputs)
    (one,) = lower(graph)
    assert (one.n_out, one.n_in, one.blocks, one.n_weight) == (6, 36, 2, 6 * 18)
    by_tap = one.weight.reshape(6, 9, 4)
    assert np.array_equal(by_tap[:3, :, :2], w[:3].reshape(3, 2, 9).transpose(0, 2, 1))
    assert np.array_equal(by_tap[3:, :, 2:], w[3:].reshape(3, 2, 9).transpose(0, 2, 1))
    assert not by_tap[:3, :, 2:].any() and not by_tap[3:, :, :2].any()
    assert np.array_equal(one.elements >= 0, one.weight != 0)
    two = lower(graph, Style(batched=True))
    assert [product.name for product in two] == ["Conv_y.0", "Conv_y.1"]
    assert {product.launch for product in two} == {"Conv_y"}
    assert np.array_equal(two[1].weight, by_tap[3:, :, 2:].reshape(3, 18))
    assert sum(product.macs for product in two) == one.macs == 6 * 18 * 9


def test_channels_are_padded_for_each_tap():
    inputs = {"x": drawn(1, 3, 4, 4)}
    graph = read(model([node("Conv", "x w", "y")], inputs, {"w": drawn(5, 3, 2, 2)}), inputs)
    (product,) = lower(graph, Style(pattern=(2, 4)))
    assert product.n_in == 16 and product.n_weight == 5 * 12
    assert (product.elements.reshape(5, 4, 4)[:, :, 3] == -1).all()
    assert not np.concatenate(list(product.vectors(inputs["x"]))).reshape(9, 4, 4)[:, :, 3].any()


def test_depthwise_is_host_work_where_it_is_not_wanted():
    inputs = {"x": drawn(1, 4, 6, 6)}
    nodes = [node("Conv", "x w", "h", group=4), node("Conv", "h v", "y")]
    graph = read(model(nodes, inputs, {"w": drawn(4, 1, 3, 3), "v": drawn(2, 4, 1, 1)}), inputs)
    assert [step.node.name for step in steps_of(graph, Style(depthwise=False))] == ["Conv_y"]
    assert [product.kind for product in lower(graph)] == ["depthwise conv2d", "1x1 conv2d"]


def test_a_phase_without_taps_is_the_bias():
    inputs = {"x": drawn(1, 2, 3)}
    arrays = {"w": drawn(2, 3, 1), "b": drawn(3)}
    graph = agree(model([node("ConvTranspose", "x w b", "y", strides=[3])], inputs, arrays), inputs)
    assert [product.name for product in lower(graph)] == ["ConvTranspose_y.0"]


def test_strides_far_beyond_the_output_take_no_longer():
    inputs = {"x": drawn(1, 2, 1, 3)}
    nodes = [node("ConvTranspose", "x w", "y", strides=[2**62, 2], auto_pad="SAME_LOWER", output_shape=[1, 6])]
    graph = read(model(nodes, inputs, {"w": drawn(2, 3, 1, 2)}), inputs)
    assert [product.positions for product in lower(graph)] == [3, 3]


def test_vectors_come_in_chunks_in_order(monkeypatch):
    inputs = {"x": drawn(2, 3, 7, 9)}
    graph = read(model([node("Conv", "x w", "y")], inputs, {"w": drawn(4, 3, 3, 3)}), inputs)
    (product,) = lower(graph)
    whole = np.concatenate(list(product.vectors(inputs["x"])))
    for rows in (1, 2, 7, 10, 35, 1000):
        monkeypatch.setattr(products, "CHUNK_BYTES", rows * 27 * 4)
        chunks = list(product.vectors(inputs["x"]))
        assert max(map(len, chunks)) <= rows
        assert np.array_equal(np.concatenate(chunks), whole)
