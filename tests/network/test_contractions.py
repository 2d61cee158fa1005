"""Gemm, MatMul and Einsum as products, against onnxruntime."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import STYLES, TAILS, agree, drawn, lower, model, node, read, with_tail

from eie_sim.network.lower import coverage, steps_of

sides = st.integers(1, 5)
factors = st.sets(st.sampled_from(["alpha", "beta"]))


@given(st.data(), sides, sides, sides, st.sampled_from(TAILS))
def test_any_gemm_is_its_product(data, m, k, n, tail):
    trans_a, trans_b, left = (data.draw(st.booleans()) for _ in range(3))
    a, b = drawn(*((k, m) if trans_a else (m, k))), drawn(*((n, k) if trans_b else (k, n)))
    arrays = {"b": a if left else b}
    bias = data.draw(st.sampled_from([None, "", "n", "1n", "1", "mn", "m1"]))
    if bias is not None:
        arrays["c"] = drawn(*({"m": m, "n": n, "1": 1}[side] for side in bias))
    inputs = {"x": b if left else a}
    names = ("b x" if left else "x b") + ("" if bias is None else " c")
    given = {"transA": int(trans_a), "transB": int(trans_b)}
    given |= {name: data.draw(st.sampled_from([0.75, 1.0, 0.0, -1.5])) for name in data.draw(factors)}
    nodes = with_tail(tail, [node("Gemm", names, "h", **given)], arrays, n, 2)
    agree(model(nodes, inputs, arrays), inputs)


@st.composite
def matrices(draw):
    """Shapes of two sides whose outer axes broadcast."""
    batch = draw(st.lists(st.integers(1, 3), max_size=2))
    m, k, n = draw(sides), draw(sides), draw(sides)
    some = lambda: [draw(st.sampled_from([1, side])) for side in batch][draw(st.integers(0, len(batch))) :]  # noqa: E731
    left = draw(st.sampled_from([[*some(), m, k], [k]]))
    right = draw(st.sampled_from([[*some(), k, n], [k]]))
    return left, right


@given(matrices(), st.booleans())
def test_any_matmul_is_its_products(shapes, constant_left):
    left, right = (drawn(*shape) for shape in shapes)
    inputs, arrays = ({"x": right}, {"w": left}) if constant_left else ({"x": left}, {"w": right})
    agree(model([node("MatMul", "w x" if constant_left else "x w", "y")], inputs, arrays), inputs)


def test_a_batched_constant_is_a_product_each():
    inputs = {"x": drawn(2, 5, 4)}
    w = drawn(3, 1, 4, 6)
    graph = agree(model([node("MatMul", "x w", "y")], inputs, {"w": w}), inputs)
    products = lower(graph)
    assert [product.name for product in products] == ["MatMul_y.0", "MatMul_y.1", "MatMul_y.2"]
    assert all(product.positions == 10 and product.launch == "MatMul_y" for product in products)
    assert np.array_equal(products[1].weight, w[1, 0].T)
    assert graph.parameters["w"].axes == ("group", "group", "in", "out")


def test_a_constant_on_the_left_has_a_position_for_each_column():
    inputs = {"x": drawn(2, 4, 5)}
    w = drawn(3, 4)
    graph = agree(model([node("MatMul", "w x", "y")], inputs, {"w": w}), inputs)
    (product,) = lower(graph)
    assert np.array_equal(product.weight, w) and product.positions == 10
    assert np.array_equal(
        np.concatenate(list(product.vectors(inputs["x"]))), inputs["x"].transpose(0, 2, 1).reshape(10, 4)
    )
    assert graph.parameters["w"].axes == ("out", "in")


@pytest.mark.parametrize(
    ("equation", "x", "w", "n"),
    [
        ("btgi,gih->btgh", (2, 3, 4, 5), (4, 5, 6), 4),
        ("bij,jk->bik", (2, 3, 4), (4, 5), 1),
        ("bij,jk", (2, 3, 4), (4, 5), 1),
        ("...d,hd->...h", (2, 3, 4), (5, 4), 1),
        ("bthd,hdm->btm", (2, 3, 4, 5), (4, 5, 6), 1),
        ("btd,dhk->bthk", (2, 3, 4), (4, 5, 6), 1),
        ("bd,d->bd", (2, 3), (3,), 3),
        (" b i , i -> b ", (2, 3), (3,), 1),
        ("btgi,gih->hgtb", (2, 3, 4, 5), (4, 5, 6), 4),
    ],
)
@pytest.mark.parametrize("constant_left", [False, True])
def test_a_linear_einsum_is_its_products(equation, x, w, n, constant_left):
    inputs, arrays = {"x": drawn(*x)}, {"w": drawn(*w)}
    if constant_left and "->" not in equation:
        pytest.skip("letters of an output that is not said are in order")
    if constant_left:
        left, arrow, y = equation.partition("->")
        equation = ",".join(left.split(",")[::-1]) + arrow + y
    nodes = [node("Einsum", "w x" if constant_left else "x w", "y", equation=equation)]
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert len(lower(graph)) == n


@given(st.data())
def test_any_linear_einsum_is_its_products(data):
    """Letters of the input alone, of both and the output (groups), of both alone (summed), of the weights alone."""
    letters = iter(data.draw(st.permutations("abcdefgh")))
    alone, group, inner, out = (
        [next(letters) for _ in range(data.draw(st.integers(least, 2)))] for least in (0, 0, 0, 0)
    )
    size = dict(zip("abcdefgh", data.draw(st.lists(st.integers(1, 3), min_size=8, max_size=8)), strict=True))
    x, w, y = (
        data.draw(st.permutations(one)) for one in (alone + group + inner, group + inner + out, alone + group + out)
    )
    left = data.draw(st.booleans())
    equation = ",".join("".join(one) for one in ((w, x) if left else (x, w))) + "->" + "".join(y)
    inputs = {"x": drawn(*(size[one] for one in x))}
    arrays = {"w": drawn(*(size[one] for one in w))}
    nodes = [node("Einsum", "w x" if left else "x w", "h", equation=equation), node("Identity", "h", "y")]
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert len(lower(graph)) == np.prod([size[one] for one in group], dtype=int)


@pytest.mark.parametrize(
    ("equation", "x", "w"),
    [("bij,jk->b", (2, 3, 4), (4, 5)), ("bii,ik->bk", (2, 3, 3), (3, 4)), ("bi,i->b", (2, 1), (3,))],
)
def test_another_einsum_is_host_work(equation, x, w):
    inputs = {"x": drawn(*x)}
    nodes = [node("Einsum", "x w", "h", equation=equation), node("ReduceSum", "h", "s"), node("Reshape", "s one", "r")]
    nodes.append(node("MatMul", "r v", "y"))
    arrays = {"w": drawn(*w), "v": drawn(1, 2), "one": np.array([1, 1])}
    graph = agree(model(nodes, inputs, arrays), inputs)
    assert [step.node.op for step in steps_of(graph)] == ["MatMul"]
    assert next(share for share in coverage(graph) if share.kind == "einsum").reason == "not a linear map of one input"


def test_shares_are_the_products_macs():
    inputs = {"x": drawn(1, 4, 6, 5)}
    nodes = [node("Conv", "x w", "h", group=2, pads=[1, 0, 0, 2]), node("ConvTranspose", "h v", "g", strides=[2, 3])]
    nodes += [node("Reshape", "g n", "f"), node("Gemm", "f u", "y", transA=1)]
    arrays = {"w": drawn(6, 2, 3, 2), "v": drawn(6, 2, 3, 2), "n": np.array([2, -1]), "u": drawn(2, 7)}
    graph = agree(model(nodes, inputs, arrays), inputs)
    for style in STYLES:
        assert sum(step.macs for step in steps_of(graph, style)) == sum(share.macs for share in coverage(graph, style))


def test_two_activations_are_counted_and_left_to_the_host():
    inputs = {"x": drawn(2, 3, 4)}
    nodes = [node("MatMul", "x w", "q"), node("Transpose", "x", "k", perm=[0, 2, 1]), node("MatMul", "q k", "y")]
    graph = agree(model(nodes, inputs, {"w": drawn(4, 4)}), inputs)
    shares = {share.kind: share for share in coverage(graph)}
    assert shares["weights matmul"].macs == 2 * 3 * 16 and shares["weights matmul"].reason == ""
    assert shares["two activations matmul"].macs == 2 * 9 * 4
    assert shares["two activations matmul"].reason == "both sides are activations"


@pytest.mark.parametrize(
    ("op", "shapes", "bias", "inside"),
    [
        ("MatMul", ((2, 3, 4), (4, 5)), (5,), True),
        ("MatMul", ((2, 3, 4), (4, 5)), (1, 1, 5), True),
        ("MatMul", ((2, 3, 4), (4, 5)), (3, 1), False),
        ("MatMul", ((2, 3, 4), (4, 5)), (1,), False),
        ("MatMul", ((2, 3, 4), (4, 1)), (1,), True),
        ("MatMul", ((2, 3, 4), (4, 5)), (3, 2, 3, 5)[:1], False),
        ("MatMul", ((2, 3, 4), (2, 4, 5)), (2, 1, 5), True),
        ("MatMul", ((2, 3, 4), (2, 4, 5)), (5,), True),
        ("Conv", ((2, 3, 4, 5), (5, 3, 1, 1)), (5, 1, 1), True),
        ("Conv", ((2, 3, 4, 5), (5, 3, 1, 1)), (5,), False),
        ("Conv", ((2, 3, 4, 5), (5, 3, 1, 1)), (1, 5, 1, 1), True),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_an_add_of_one_value_for_each_output_is_the_bias(op, shapes, bias, inside, first):
    if op == "MatMul" and bias == (3,):
        bias = (3, 1, 1, 5)
    inputs = {"x": drawn(*shapes[0])}
    nodes = [node(op, "x w", "h"), node("Add", "h b" if first else "b h", "y")]
    graph = agree(model(nodes, inputs, {"w": drawn(*shapes[1]), "b": drawn(*bias)}), inputs)
    (step,) = steps_of(graph)
    assert (step.makes == ("y",)) is inside
    assert all((product.bias is not None) is inside for product in step.products)


@pytest.mark.parametrize("op", ["Gemm", "Conv"])
def test_a_bias_that_depends_on_data_is_added_by_the_host(op):
    x, w = (drawn(2, 4), drawn(4, 3)) if op == "Gemm" else (drawn(2, 4, 5, 5), drawn(3, 4, 2, 2))
    inputs = {"x": x, "z": drawn(3)}
    norms = {name: np.abs(drawn(3, seed=n)) + 0.1 for n, name in enumerate(["g", "b", "m", "v"])}
    nodes = [node("Exp", "z", "c"), node(op, "x w c", "h"), node("BatchNormalization", "h g b m v", "y")]
    graph = agree(model(nodes, inputs, {"w": w} | norms), inputs)
    (step,) = steps_of(graph)
    assert step.makes == ("h",) and step.products[0].bias is None


def test_a_bias_read_elsewhere_or_given_out_stays():
    inputs = {"x": drawn(2, 4)}
    nodes = [node("MatMul", "x w", "h"), node("Add", "h b", "y")]
    arrays = {"w": drawn(4, 3), "b": drawn(3)}
    graph = agree(model(nodes, inputs, arrays, outputs="y h"), inputs)
    assert steps_of(graph)[0].makes == ("h",)
    graph = agree(model([*nodes, node("Relu", "h", "z")], inputs, arrays, outputs="y z"), inputs)
    assert steps_of(graph)[0].makes == ("h",)


@pytest.mark.parametrize("op", ["Conv", "ConvTranspose", "Gemm"])
@pytest.mark.parametrize("with_bias", ["", "own", "Add"])
def test_batchnorm_is_folded_unless_it_is_not_to_be(op, with_bias):
    arrays = {name: drawn(6, seed=n) for n, name in enumerate(["gamma", "beta", "mean"])} | {
        "var": np.abs(drawn(6)) + 0.1
    }
    w = {"Conv": drawn(6, 2, 3, 3), "ConvTranspose": drawn(4, 3, 3, 3), "Gemm": drawn(4, 6)}[op]
    inputs = {"x": drawn(2, 4) if op == "Gemm" else drawn(2, 4, 5, 5)}
    given = {} if op == "Gemm" else {"group": 2}
    arrays |= {"w": w, "b": drawn(6), "c": drawn(*((6,) if op == "Gemm" else (6, 1, 1)))}
    nodes = [node(op, "x w b" if with_bias == "own" else "x w", "h", **given)]
    nodes += [node("Add", "h c", "i")] if with_bias == "Add" else []
    nodes.append(node("BatchNormalization", f"{nodes[-1].output[0]} gamma beta mean var", "y", epsilon=0.01))
    graph = agree(model(nodes, inputs, arrays), inputs)
    (step,) = steps_of(graph)
    assert step.makes == ("y",) and len(step.nodes) == len(nodes)
    assert steps_of(graph, STYLES[2])[0].makes == (nodes[-2].output[0],)
    assert [node.op for node in graph.nodes] == [node.op_type for node in nodes]
    if op == "Conv" and not with_bias:
        scaled = w.astype(np.float64) * arrays["gamma"][:, None, None, None].astype(np.float64)
        scaled /= np.sqrt(arrays["var"].astype(np.float64) + np.float32(0.01))[:, None, None, None]
        product = steps_of(graph)[0].products[0]
        mine = product.elements >= 0
        flat = np.zeros(w.size, np.float32)
        flat[product.elements[mine] - graph.offsets["w"]] = product.weight[mine]
        assert np.array_equal(flat.reshape(w.shape), scaled.astype(np.float32))


def test_a_bias_that_is_all_zero_is_there():
    inputs = {"x": drawn(2, 4)}
    graph = read(model([node("Gemm", "x w b", "y")], inputs, {"w": drawn(4, 3), "b": np.zeros(3, np.float32)}), inputs)
    assert lower(graph)[0].bias.tolist() == [0, 0, 0]
    graph = read(model([node("Gemm", "x w", "y")], inputs, {"w": drawn(4, 3)}), inputs)
    assert lower(graph)[0].bias is None
