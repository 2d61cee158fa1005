"""Fused operators as plain ones: what onnxruntime's fused kernels compute, with products where these hide them."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from onnx_models import agree, drawn, expected, helper, model, read, read_onnx

import eie_sim as es
from eie_sim.network.floatrun import run
from eie_sim.network.lower import coverage, host_reason, steps_of
from eie_sim.network.products import Style
from eie_sim.network.readers import decomposing

TAKEN = Style(batched=True, two_activations=True)
MICROSOFT = ("com.microsoft",)
small = st.integers(1, 4)
yes = st.booleans()


def fused(op, inputs, outputs="y", domain="com.microsoft", **given):
    """A node; inputs, outputs : names apart by spaces, "-" for one that is left out"""
    names, makes = (["" if name == "-" else name for name in text.split()] for text in (inputs, outputs))
    while not names[-1]:
        names.pop()
    return helper.make_node(op, names, makes, name="fused", domain=domain, **given)


def plain(node, inputs, arrays=None, outputs="y", opset=17):
    """The graph of a model of one fused node, held against onnxruntime's kernel for it."""
    proto = model([node], inputs, arrays, outputs=outputs, opset=opset, domains=MICROSOFT)
    return agree(proto, inputs, [TAKEN])


def kept(*shape, seed):
    """A mask of whole numbers, each row of which keeps its first key."""
    mask = (drawn(*shape, seed=seed) > -0.3).astype(np.int32)
    mask[..., 0] = 1
    return mask


def mask_of(draw, batch, n_query, n_key):
    shapes = {"lengths": (batch,), "keys": (batch, n_key), "queries": (batch, n_query, n_key)}
    kind = draw(st.sampled_from([None, *shapes]))
    if kind is None:
        return {}
    if kind == "lengths":
        return {"m": np.array([draw(st.integers(1, n_key)) for _ in range(batch)], np.int32)}
    return {"m": kept(*shapes[kind], seed=draw(small))}


def kinds_of(graph):
    return [step.products[0].kind for step in steps_of(graph, TAKEN)]


@given(st.data(), small, small, small, small, small, st.sampled_from([9, 12, 13, 17]))
def test_attention_with_its_projections_is_one_weights_matmul_and_two_products(data, batch, length, n, d, d_v, opset):
    hidden, hidden_v = n * d, n * data.draw(st.sampled_from([d, d_v]))
    width = data.draw(st.integers(2, 5))
    inputs = {"x": drawn(batch, length, width)} | mask_of(data.draw, batch, length, length)
    arrays = {"w": drawn(width, 2 * hidden + hidden_v), "b": drawn(2 * hidden + hidden_v)}
    given = {"num_heads": n, "unidirectional": int(data.draw(yes)), "qkv_hidden_sizes": [hidden, hidden, hidden_v]}
    if data.draw(yes):
        given["scale"] = 0.3
    if data.draw(yes):
        inputs["bias"] = drawn(*data.draw(st.sampled_from([(1, n), (batch, n), (1, 1)])), length, length, seed=3)
    names = (
        f"x w {'b' if data.draw(yes) else '-'} {'m' if 'm' in inputs else '-'} - {'bias' if 'bias' in inputs else '-'}"
    )
    graph = plain(fused("Attention", names, **given), inputs, arrays, opset=opset)
    assert kinds_of(graph) == ["weights matmul", "two activations matmul", "two activations matmul"]
    assert graph.parameters["w"].axes == ("in", "out")
    (step, *_) = steps_of(graph, TAKEN)
    assert step.products[0].parameters == ("w",)
    assert (step.products[0].bias is not None) == ("x w b" in names)
    shares = {share.kind: share.macs for share in coverage(graph, TAKEN)}
    assert shares["weights matmul"] == batch * length * width * (2 * hidden + hidden_v)
    assert shares["two activations matmul"] == batch * length**2 * (hidden + hidden_v)


@given(st.data(), small, small, small, small, small)
def test_attention_of_heads_is_two_products(data, batch, n_query, n_key, n, d):
    hidden, past = n * d, data.draw(st.sampled_from([0, 0, 2]))
    causal = data.draw(yes)
    n_key = n_query if causal else n_key
    inputs = {"q": drawn(batch, n_query, hidden)}
    apart = data.draw(yes) and not past and not causal
    sides = (batch, n, n_key, d) if apart else (batch, n_key, hidden)
    inputs |= {"k": drawn(*sides, seed=1), "v": drawn(*sides, seed=2)}
    inputs |= mask_of(data.draw, batch, n_query, n_key + past)
    assume(not (past and len(inputs.get("m", np.empty(0)).shape) == 1))
    if past:
        inputs |= {"pk": drawn(batch, n, past, d, seed=3), "pv": drawn(batch, n, past, d, seed=4)}
    if data.draw(yes):
        inputs["bias"] = drawn(*data.draw(st.sampled_from([(1, n), (batch, n)])), n_query, n_key + past, seed=5)
    arrays = {} if apart or data.draw(yes) else {"b": drawn(3 * hidden, seed=6)}
    there = [name if name in {**inputs, **arrays} else "-" for name in ("q", "k", "v", "b", "m", "bias", "pk", "pv")]
    given = {"num_heads": n, "unidirectional": int(causal)}
    outputs = "y a c" if past else "y"
    graph = plain(fused("MultiHeadAttention", " ".join(there), outputs, **given), inputs, arrays, outputs)
    assert kinds_of(graph) == ["two activations matmul"] * 2
    assert {len(step.products) for step in steps_of(graph, TAKEN)} == {batch * n}
    assert coverage(graph, TAKEN)[0].macs == 2 * batch * n_query * (n_key + past) * hidden


@given(st.data(), small, small, small, st.integers(1, 2), st.integers(1, 3), small, small, st.sampled_from([23, 24]))
def test_onnx_attention_is_two_products(data, batch, n_query, n_key, n_kv, shared, d, d_v, opset):
    n, past, wide = n_kv * shared, data.draw(st.sampled_from([0, 2])), data.draw(yes)
    causal = data.draw(yes)
    n_key = n_query if causal and past else n_key
    sides = [(n_query, n, d), (n_key, n_kv, d), (n_key, n_kv, d_v)]
    inputs = {
        name: drawn(batch, length, heads * size) if wide else drawn(batch, heads, length, size, seed=at)
        for at, (name, (length, heads, size)) in enumerate(zip("qkv", sides, strict=True))
    }
    mask = data.draw(st.sampled_from([None, (), (1,), (batch, 1), (batch, n)]))
    if mask is not None:
        inputs["m"] = drawn(*mask, n_query, n_key + past, seed=5)
        inputs["m"] = inputs["m"] > -0.5 if data.draw(yes) else inputs["m"]
    if past:
        inputs |= {"pk": drawn(batch, n_kv, past, d, seed=6), "pv": drawn(batch, n_kv, past, d_v, seed=7)}
    given = {"q_num_heads": n, "kv_num_heads": n_kv} if wide else {}
    given |= {"is_causal": int(causal)}
    given |= {"softcap": 1.5} if data.draw(yes) else {}
    given |= {"scale": 0.4} if data.draw(yes) else {}
    there = " ".join(name if name in inputs else "-" for name in ("q", "k", "v", "m", "pk", "pv"))
    outputs = "y a c" if past else "y"
    graph = plain(fused("Attention", there, outputs, "", **given), inputs, outputs=outputs, opset=opset)
    steps = steps_of(graph, TAKEN)
    assert [step.node.name for step in steps] == ["fused.scores", "fused.context"]
    assert {(len(step.products), step.products[0].positions) for step in steps} == {(batch * n_kv, shared * n_query)}
    assert coverage(graph, TAKEN)[0].macs == batch * n * n_query * (n_key + past) * (d + d_v)


def test_a_query_all_of_whose_keys_are_masked_gets_zeros():
    inputs = {"q": drawn(1, 1, 3, 2), "k": drawn(1, 1, 3, 2, seed=1), "v": drawn(1, 1, 3, 2, seed=2)}
    for causal in (0, 1):
        for mask in (np.array([[False] * 3, [False, True, True], [True] * 3]), np.full((3, 3), -np.inf, np.float32)):
            node = fused("Attention", "q k v m", domain="", is_causal=causal)
            graph = plain(node, inputs | {"m": mask}, opset=23)
            assert len(steps_of(graph, TAKEN)) == 2


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 3)])
@pytest.mark.parametrize("op", ["Attention", "MultiHeadAttention"])
def test_a_key_is_masked_where_its_number_is_not_above_zero(op, shape):
    mask = np.resize(np.array([2, -1, 1, 0, -7, 3, 1], np.int32), shape)
    if op == "Attention":
        inputs, arrays = {"x": drawn(2, 3, 4)}, {"w": drawn(4, 12, seed=1), "b": drawn(12, seed=2)}
        plain(fused(op, "x w b m", num_heads=2), inputs | {"m": mask}, arrays)
    else:
        inputs = {name: drawn(2, 3, 4, seed=at) for at, name in enumerate("qkv")}
        plain(fused(op, "q k v - m", num_heads=2), inputs | {"m": mask})


@pytest.mark.parametrize(
    ("node", "shapes", "reason", "macs"),
    [
        (
            fused("Attention", "x w b - past", "y present", num_heads=2),
            {"x": (1, 3, 4), "w": (4, 12), "b": (12,), "past": (2, 1, 2, 5, 2)},
            "past state",
            3 * 4 * 12 + 3 * 8 * (4 + 4),
        ),
        (
            fused("MultiHeadAttention", "q k v", num_heads=2, unidirectional=1),
            {"q": (1, 3, 4), "k": (1, 5, 4), "v": (1, 5, 4)},
            "unidirectional across sequences",
            2 * 3 * 5 * 4,
        ),
        (
            fused("Attention", "q k v", "y - - s", "", q_num_heads=2, kv_num_heads=2),
            {"q": (1, 3, 4), "k": (1, 5, 4), "v": (1, 5, 4)},
            "scores as an output",
            2 * 3 * 5 * 4,
        ),
        (
            fused("FusedMatMul", "q k", transBatchA=1, transBatchB=1),
            {"q": (3, 2, 4), "k": (4, 2, 5)},
            "transposed batches",
            None,
        ),
    ],
)
def test_what_is_not_known_stays_on_the_host_by_name(node, shapes, reason, macs):
    inputs = {name: drawn(*shape) for name, shape in shapes.items()} | {"z": drawn(2, 3)}
    other = helper.make_node("MatMul", ["z", "u"], ["h"], name="other")
    outputs = " ".join(name for name in (*node.output, "h") if name)
    proto = model([node, other], inputs, {"u": drawn(3, 3)}, outputs, 23, MICROSOFT)
    graph = agree(proto, inputs, [TAKEN])
    assert [step.node.name for step in steps_of(graph, TAKEN)] == ["other"]
    left = next(one for one in graph.nodes if one.name == "fused")
    assert host_reason(graph, left, TAKEN) == f"not decomposed: {reason}"
    if macs is not None:
        assert [share.macs for share in coverage(graph, TAKEN) if share.reason] == [macs]
    assert "h" in es.run(graph, es.TensorCoreConfig.preset("nm-64")).outputs


@given(st.data(), small, small, small)
def test_a_fused_matmul_is_a_matmul(data, m, k, n):
    trans_a, trans_b, batch = data.draw(yes), data.draw(yes), data.draw(st.sampled_from([(), (2,), (2, 3)]))
    alpha = data.draw(st.sampled_from([1.0, 0.125]))
    a, b = drawn(*batch, *((k, m) if trans_a else (m, k))), drawn(*batch, *((n, k) if trans_b else (k, n)))
    given = {"transA": int(trans_a), "transB": int(trans_b), "alpha": alpha}
    plain(fused("FusedMatMul", "a b", **given), {"a": a, "b": b})
    graph = plain(fused("FusedMatMul", "a b", **given), {"a": a}, {"b": b})
    assert kinds_of(graph) == ["weights matmul"]
    assert steps_of(graph)[0].products[0].parameters == ("b",)


ACTIVATED = st.sampled_from(
    [("Relu", []), ("Tanh", []), ("Sigmoid", []), ("LeakyRelu", [0.2]), ("HardSigmoid", [0.3, 0.4])]
)


@given(ACTIVATED, yes, yes)
def test_a_fused_gemm_is_a_gemm_and_its_activation(activation, turned, with_c):
    (name, params), inputs = activation, {"x": drawn(3, 4)}
    arrays = {"w": drawn(5, 4) if turned else drawn(4, 5)} | ({"c": drawn(5)} if with_c else {})
    given = {f"activation_{one}": value for one, value in zip(("alpha", "beta"), params, strict=False)}
    given |= {"activation": name, "alpha": 0.5, "transB": int(turned)}
    graph = plain(fused("FusedGemm", "x w c" if with_c else "x w", **given), inputs, arrays)
    assert kinds_of(graph) == ["gemm"]


@given(ACTIVATED, yes, yes)
def test_a_fused_conv_is_a_conv_a_sum_and_its_activation(activation, with_b, with_z):
    (name, params), inputs = activation, {"x": drawn(1, 4, 5, 5)}
    arrays = {"w": drawn(4, 2, 3, 3)} | ({"b": drawn(4)} if with_b else {})
    if with_z:
        inputs["z"] = drawn(1, 4, 5, 5, seed=1)
    names = f"x w {'b' if with_b else '-'} {'z' if with_z else '-'}"
    given = {"activation": name, "group": 2, "pads": [1, 1, 1, 1]} | ({"activation_params": params} if params else {})
    graph = plain(fused("FusedConv", names, **given), inputs, arrays)
    assert kinds_of(graph) == ["kxk conv2d, 2 groups"]


def test_attention_is_pruned_by_the_name_of_its_weights_and_saved(tmp_path):
    inputs = {"x": drawn(2, 5, 8)}
    arrays = {"att.qkv": drawn(8, 24) / 3, "b": drawn(24), "out": drawn(8, 8)}
    nodes = [
        fused("Attention", "x att.qkv b", "h", num_heads=2),
        helper.make_node("MatMul", ["h", "out"], ["y"], name="projection"),
    ]
    graph = read(model(nodes, inputs, arrays, domains=MICROSOFT), inputs)
    assert graph.notes == ("1 Attention decomposed into plain operators",)
    run = es.run(graph, es.TensorCoreConfig.preset("nm-64"), pattern="2:4")
    assert run.verified and run.coverage["share_of_macs_not_simulated"] == 0
    assert [(row.name, row.named["runs_as"]) for row in run.rows] == [
        ("fused.qkv", "2:4"),
        ("fused.scores", "dense"),
        ("fused.context", "dense"),
        ("projection", "2:4"),
    ]
    assert run.distance < 0.01
    on_eie = es.run(graph, es.EieConfig(n_pe=4, weight_bits=8), density=0.5)
    assert on_eie.verified and [row.name for row in on_eie.rows] == ["fused.qkv", "projection"]
    halved = graph.with_parameters({"att.qkv": arrays["att.qkv"] / 2})
    halved.save(tmp_path / "halved.onnx")
    wanted = expected(model(nodes, inputs, arrays | {"att.qkv": arrays["att.qkv"] / 2}, domains=MICROSOFT), inputs)
    saved = read_onnx(tmp_path / "halved.onnx", inputs)
    np.testing.assert_allclose(es.network.floatrun.run(saved)["y"], wanted["y"], atol=1e-5)


@pytest.mark.parametrize("given", [{}, {"num_heads": 0}, {"num_heads": 3}])
def test_damaged_attention_is_refused_in_one_line(given):
    inputs = {"x": drawn(1, 3, 4)}
    proto = model(
        [fused("Attention", "x w b", **given)], inputs, {"w": drawn(4, 12), "b": drawn(12)}, domains=MICROSOFT
    )
    with pytest.raises(es.InputError) as caught:
        read(proto, inputs)
    assert "\n" not in str(caught.value)


def test_names_that_are_taken_stay_apart():
    inputs = {"x": drawn(1, 3, 4)}
    arrays = {"w": drawn(4, 12), "b": drawn(12), "y.scores": drawn(4, 4)}
    nodes = [
        fused("Attention", "x w b", "y", num_heads=2),
        helper.make_node("MatMul", ["y", "y.scores"], ["z"], name="fused.scores"),
    ]
    graph = agree(model(nodes, inputs, arrays, "z", domains=MICROSOFT), inputs, [TAKEN])
    assert len({step.node.name for step in steps_of(graph, TAKEN)}) == 4


def test_what_plain_operators_do_not_give_is_left_whole(monkeypatch):
    monkeypatch.setattr(decomposing, "_scale_of", lambda plain, size: 1.0)
    inputs = {"x": drawn(1, 3, 8)}
    arrays = {"w": drawn(8, 24, seed=1), "b": drawn(24, seed=2)}
    proto = model([fused("Attention", "x w b", num_heads=2)], inputs, arrays, domains=MICROSOFT)
    graph = read(proto, inputs)
    (left,) = [one for one in graph.nodes if one.op == "Attention"]
    assert left.reason.startswith("not decomposed: plain operators differ by ")
    np.testing.assert_allclose(run(graph)["y"], expected(proto, inputs)["y"], atol=1e-6)
