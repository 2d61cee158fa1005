"""Products of two activations: on units that take them dense and one launch a node, elsewhere left to the host."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx_models import STYLES, agree, drawn, expected, lower, model, node, read
from test_contractions import matrices, sides

import eie_sim as es
from eie_sim.cli import main
from eie_sim.network.lower import coverage, host_reason, steps_of
from eie_sim.network.products import Style
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.study.evaluator import looped
from eie_sim.study.graph_stages import GraphStages
from eie_sim.study.points import points_of, read_axes
from eie_sim.study.subject import subject_of

TAKEN = Style(batched=True, two_activations=True)
FP16 = es.TensorCoreConfig.preset("nm-64")
INT8 = replace(FP16, elem_bytes=1)
SCALE = 127


def computed_on(graph, style=TAKEN):
    return [step.node.op for step in steps_of(graph, style)]


@given(matrices())
def test_any_matmul_of_two_activations_is_its_products(shapes):
    inputs = dict(zip("xz", (drawn(*shape, seed=at) for at, shape in enumerate(shapes)), strict=True))
    graph = agree(model([node("MatMul", "x z", "y")], inputs), inputs, [TAKEN, replace(TAKEN, pattern=(2, 4))])
    (step,) = steps_of(graph, TAKEN)
    assert step.macs == coverage(graph, TAKEN)[0].macs
    assert {product.kind for product in step.products} == {"two activations matmul"}


@given(st.data(), sides, sides, sides)
def test_any_gemm_of_two_activations_is_its_product(data, m, k, n):
    trans_a, trans_b = data.draw(st.booleans()), data.draw(st.booleans())
    inputs = {"x": drawn(*((k, m) if trans_a else (m, k))), "z": drawn(*((n, k) if trans_b else (k, n)))}
    arrays, names = {}, "x z"
    shape = data.draw(st.sampled_from([None, (n,), (1, n), (m, n), (m, 1), (1,)]))
    if shape is not None:
        (inputs if data.draw(st.booleans()) else arrays)["c"] = drawn(*shape, seed=1)
        names += " c"
    given = {"transA": int(trans_a), "transB": int(trans_b)}
    given |= {name: data.draw(st.sampled_from([0.75, 1.0, 0.0, -1.5])) for name in ("alpha", "beta")}
    agree(model([node("Gemm", names, "h", **given), node("Identity", "h", "y")], inputs, arrays), inputs, [TAKEN])


@given(st.data())
def test_any_linear_einsum_of_two_activations_is_its_products(data):
    letters = iter(data.draw(st.permutations("abcdefgh")))
    alone, group, inner, out = (
        [next(letters) for _ in range(data.draw(st.integers(least, 2)))] for least in (0, 0, 1, 0)
    )
    size = dict(zip("abcdefgh", data.draw(st.lists(st.integers(1, 3), min_size=8, max_size=8)), strict=True))
    x, z, y = (
        data.draw(st.permutations(one)) for one in (alone + group + inner, group + inner + out, alone + group + out)
    )
    equation = ",".join("".join(one) for one in (x, z)) + "->" + "".join(y)
    inputs = {"x": drawn(*(size[one] for one in x)), "z": drawn(*(size[one] for one in z), seed=1)}
    nodes = [node("Einsum", "x z", "h", equation=equation), node("Identity", "h", "y")]
    graph = agree(model(nodes, inputs), inputs, [TAKEN])
    assert len(lower(graph, TAKEN)) == np.prod([size[one] for one in group], dtype=int)


def test_which_side_is_which_is_as_the_page_says():
    x, z = drawn(2, 3, 5, 4), drawn(3, 4, 6, seed=1)
    graph = read(model([node("MatMul", "x z", "y")], {"x": x, "z": z}), {"x": x, "z": z})
    (step,) = steps_of(graph, TAKEN)
    assert (step.reads, step.weighs) == ("x", "z")
    assert [(one.n_out, one.n_in, one.positions) for one in step.products] == [
        (6, 4, 10)
    ] * 3  # the batch is of x alone
    seen = []

    def multiply(product, vectors):
        seen.append((product.weight, vectors))
        return product.multiply(vectors)

    step.compute({"x": x, "z": z}, multiply)
    for at, (weight, vectors) in enumerate(seen):
        assert np.array_equal(weight, z[at].T)
        assert np.array_equal(vectors, x[:, at].reshape(10, 4))


def test_weights_of_two_activations_are_not_there_before_the_run():
    inputs = {"x": drawn(2, 3), "z": drawn(3, 4)}
    graph = read(model([node("MatMul", "x z", "y")], inputs), inputs)
    (product,) = es.lower(graph, FP16)
    assert (product.n_weight, product.macs, product.parameters) == (0, 24, ())
    with pytest.raises(es.InputError, match="no weights before it runs"):
        _ = product.weight


def attention(batch=2, heads=3, queries=5, keys=7, d=4, *, seed=0):
    """One attention without projections; v goes through weights first, so that something is pruned."""
    inputs = {
        "q": drawn(batch, heads, queries, d, seed=seed),
        "k": drawn(batch, heads, keys, d, seed=seed + 1),
        "x": drawn(batch, heads, keys, d, seed=seed + 2),
    }
    nodes = [
        node("MatMul", "x w", "v"),
        node("Transpose", "k", "t", perm=[0, 1, 3, 2]),
        node("MatMul", "q t", "scores"),
        node("Softmax", "scores", "p", axis=-1),
        node("MatMul", "p v", "y"),
    ]
    proto = model(nodes, inputs, {"w": drawn(d, d)})
    return proto, inputs, read(proto, inputs)


@given(*[st.integers(1, 4)] * 2, *[st.integers(1, 9)] * 3, st.sampled_from(["float16", "int8"]))
def test_a_node_is_one_launch_of_all_its_heads(batch, heads, queries, keys, d, element):
    proto, inputs, graph = attention(batch, heads, queries, keys, d)
    config = FP16 if element == "float16" else INT8
    run = es.run(graph, config)
    assert run.verified and run.coverage["share_of_macs_not_simulated"] == 0
    wanted = expected(proto, inputs)["y"]
    assert np.abs(run.output - wanted).max() <= (0.01 if element == "float16" else 0.25) * np.abs(wanted).max()
    assert [row.kind for row in run.rows] == ["weights matmul", *["two activations matmul"] * 2]
    n = batch * heads
    for row, (m, k, p) in zip(run.rows[1:], [(keys, d, queries), (d, keys, queries)], strict=True):
        assert (row.n_out, row.n_in, row.n_vector) == (n * m, n * k, p)
        alone = es.simulate_gemms([(m, k, p)] * n, config, n_keep=1, m_group=1)
        assert (row.cycles, row.stats["events"]) == (alone.cycles, alone.stats["events"])
        assert (row.n_weight, row.storage.total_bits, row.weight_density) == (0, 0, None)
        assert row.dense_macs == row.effectual_macs == n * m * k * p
        assert row.verification.outputs == n * m * p
        assert row.verification.inputs == n * (m + p) * k
    assert run.record.total.n_weight == run.rows[0].n_weight
    assert run.by_kind["two activations matmul"]["stored_bits"] == 0


def words(values, scale):
    return np.clip(np.rint(values.astype(np.float64) / scale), -SCALE, SCALE)


@given(st.integers(0, 50), st.floats(0.2, 3))
def test_int8_has_one_scale_for_all_heads_from_the_calibration_and_saturates(seed, wider):
    q, k = drawn(2, 3, 5, 4, seed=seed), drawn(2, 3, 4, 6, seed=seed + 1)
    graph = read(model([node("MatMul", "q k", "y")], {"q": q, "k": k}), {"q": q * np.float32(wider), "k": k})
    calibration = {"q": q, "k": k / np.float32(2)}
    run = es.run(graph.with_calibration(calibration), INT8)
    of_q, of_k = (float(np.abs(calibration[name]).max()) / SCALE for name in "qk")
    given = graph.examples
    exact = words(given["q"], of_q) @ words(given["k"], of_k) * (of_q * of_k)
    assert run.verified
    np.testing.assert_allclose(run.output, exact, rtol=1e-6)
    (row,) = run.rows
    assert row.scales == pytest.approx({"weight": of_k, "activation": of_q}, rel=1e-6)
    beyond = sum(
        int((np.abs(np.rint(given[name] / scale)) > SCALE).sum()) for name, scale in (("q", of_q), ("k", of_k))
    )
    assert row.verification.saturated_inputs == beyond > 0
    assert "inputs saturated" in " ".join(run.warnings)


def test_a_wrong_output_of_a_head_is_found(monkeypatch):
    from eie_sim.units.nm import functional

    right = functional.product

    def wrong(matrix, inputs):
        made = right(matrix, inputs)
        made[-1, -1] += 1
        return made

    _, _, graph = attention()
    monkeypatch.setattr(functional, "product", wrong)
    run = es.run(graph, INT8)
    assert not run.verified
    assert [row.verification.wrong_outputs for row in run.rows] == [1, 6, 6]


def test_other_units_leave_them_to_the_host_and_say_so():
    proto, inputs, graph = attention()
    config = es.EieConfig(n_pe=4, weight_bits=8)
    run = es.run(graph, config)
    assert [row.name for row in run.rows] == ["MatMul_v"]
    assert [one.reason for one in run.record.not_simulated[:2]] == ["MatMul, both sides are activations"] * 2
    assert {share.reason for share in run.record.graph.macs} == {"", "both sides are activations"}
    assert run.coverage["share_of_macs_not_simulated"] > 0.5
    agree(proto, inputs, STYLES)


@pytest.mark.parametrize(
    ("op", "shapes", "dtype", "given", "reason"),
    [
        ("MatMul", [(2, 3), (3, 4)], np.int32, {}, "of whole numbers"),
        ("Einsum", [(2, 3), (2, 3)], np.float32, {"equation": "bi,bi->bi"}, "nothing is summed"),
        ("Einsum", [(2, 3), (2, 3)], np.float32, {"equation": "bi,bj->b"}, "not a linear map"),
        ("Conv", [(1, 2, 5), (3, 2, 3)], np.float32, {}, "both sides are activations"),
    ],
)
def test_what_is_no_product_of_floats_stays_on_the_host(op, shapes, dtype, given, reason):
    inputs = {"x": drawn(*shapes[0]).astype(dtype), "z": drawn(*shapes[1]).astype(dtype), "u": drawn(2, 3)}
    nodes = [node(op, "x z", "y", **given), node("MatMul", "u v", "h")]
    graph = agree(model(nodes, inputs, {"v": drawn(3, 3)}, outputs="y h"), inputs, [TAKEN])
    assert computed_on(graph) == ["MatMul"]
    assert reason in host_reason(graph, next(one for one in graph.nodes if one.name == f"{op}_y"), TAKEN)


def test_a_product_without_elements_stays_on_the_host():
    inputs = {"x": drawn(2, 3), "z": drawn(3, 4)}
    arrays = {"none": np.array([0]), "one": np.array([1])}
    nodes = [node("Slice", "z none none one", "e"), node("MatMul", "x e", "a"), node("MatMul", "x z", "b")]
    graph = agree(model([*nodes, node("Concat", "a b", "y", axis=1)], inputs, arrays), inputs, [TAKEN])
    assert [step.node.name for step in steps_of(graph, TAKEN)] == ["MatMul_b"]


def test_both_sides_may_be_the_same_value():
    inputs = {"x": drawn(4, 4)}
    graph = agree(model([node("MatMul", "x x", "y")], inputs), inputs, [TAKEN])
    for config in (FP16, INT8):
        run = es.run(graph, config)
        assert run.verified and run.distance < 0.02
    nodes = [node("Einsum", "x x", "y", equation="ik,jk->ij")]
    assert es.run(read(model(nodes, inputs), inputs), FP16).verified


@pytest.mark.parametrize("place", [0, 1])
def test_a_side_that_is_not_finite_is_refused_by_name(place):
    inputs = {"x": drawn(4, 4), "z": drawn(4, 4, seed=1)}
    nodes = [node("Log", "z", "n"), node("MatMul", ["n x", "x n"][place], "y")]
    with pytest.raises(es.InputError, match="node MatMul_y: input n is NaN or infinite first at"):
        es.run(read(model(nodes, inputs), inputs), FP16)


def test_a_side_that_overflows_float16_is_refused_by_name():
    inputs = {"x": drawn(4, 4), "z": drawn(4, 4, seed=1) * np.float32(1e6)}
    with pytest.raises(es.InputError, match=r"node MatMul_y.*overflows float16"):
        es.run(read(model([node("MatMul", "x z", "y")], inputs), inputs), FP16)


def test_a_side_that_depends_on_no_input_is_weights():
    inputs = {"x": drawn(2, 3, 4)}
    nodes = [node("Shape", "x", "s"), node("Cast", "s", "f", to=1), node("MatMul", "x o", "h")]
    nodes += [node("Reshape", "f r", "g"), node("MatMul", "g h", "y")]
    arrays = {"o": drawn(4, 5), "r": np.array([1, 3])}
    graph = agree(model(nodes, inputs, arrays), inputs, [TAKEN])
    assert [one.kind for one in graph.nodes if one.op == "MatMul"] == ["matmul", "matmul"]


def test_pruning_and_patterns_leave_activations_alone():
    _, _, graph = attention(d=8, keys=8)
    run = es.run(graph, FP16, pattern="2:4")
    assert [row.named["runs_as"] for row in run.rows] == ["2:4", "dense", "dense"]
    assert run.verified and run.rows[0].weight_density == 0.5
    pruned, result = prune_network(graph, Recipe(density=0.5), FP16)
    assert list(result.layers) == ["w"]
    assert np.array_equal(pruned.examples["k"], graph.examples["k"])


def test_a_graph_without_weights_runs_and_cannot_be_pruned():
    inputs = {"x": drawn(2, 3), "z": drawn(3, 4)}
    graph = read(model([node("MatMul", "x z", "y")], inputs), inputs)
    run = es.run(graph, FP16)
    assert (run.verified, run.record.total.n_weight, run.coverage["weights_simulated"]) == (True, 0, 0)
    assert json.loads(json.dumps(run.to_dict()))["layers"][0]["weight_density"] is None
    (row,) = es.sweep.run(graph, grid={"chip": "nm-64"}, workers=1, verify=True).rows
    assert (row["error"], row["cycles"], row["n_weight"]) == (None, run.cycles, 0)
    refused = (
        lambda: es.run(graph, FP16, density=0.5),
        lambda: es.run(graph, es.EieConfig()),
        lambda: es.footprint(graph, FP16),
    )
    for call in refused:
        with pytest.raises(es.InputError):
            call()


@pytest.fixture
def saved(tmp_path):
    proto, inputs, _ = attention()
    (tmp_path / "net.onnx").write_bytes(proto.SerializeToString())
    np.savez(tmp_path / "x.npz", **inputs)
    return ["net.onnx", "--inputs", "x.npz"]


@pytest.mark.parametrize(
    "words",
    [
        "run --unit nm-64",
        "run --unit nm-64 --json",
        "run --unit nm-64 --out folder",
        "run --unit rtx3090 --pattern 2:4",
        "run --unit nm-64 --engine reference",
        "describe --unit nm-64",
        "footprint --unit nm-64",
        "compare --on nm-64,eie --patterns 2:4 --densities 0.4",
        "sweep --chip nm-64,rtx3090 --verify",
        "run",
        "footprint",
    ],
)
def test_every_command_takes_them(saved, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command, *rest = words.split()
    code = main([command, *saved, *rest])
    out = capsys.readouterr()
    assert code == 0, out.err
    if command in ("run", "describe") and "nm" in words and "--json" not in rest:
        assert "two activations matmul" in out.out
    if "--out" in rest:
        assert main(["report", "folder"]) == 0
        assert "two activations matmul" in (tmp_path / "folder" / "report.html").read_text()


@pytest.mark.parametrize("layer", ["all", "MatMul_scores"])
@pytest.mark.parametrize("grid", [{}, {"pattern": "2:4"}, {"elem_bytes": 1}])
def test_a_sweep_counts_what_a_run_counts(grid, layer):
    _, _, graph = attention(d=8)
    (row,) = es.sweep.run(graph, grid={"chip": "nm-64", "layer": layer, **grid}, workers=1, verify=True).rows
    assert row["error"] is None and row["verified"]
    run = es.run(graph, replace(FP16, elem_bytes=grid.get("elem_bytes", 2)), pattern=grid.get("pattern"))
    own = run.record.total if layer == "all" else next(one for one in run.rows if one.name == layer)
    assert (row["cycles"], row["n_weight"], row["bytes"]) == (own.cycles, own.n_weight, own.storage.total_bits / 8)


@pytest.mark.parametrize("layer", ["all", "MatMul_y"])
def test_figures_of_many_are_those_of_a_whole_run(layer):
    subject = subject_of(attention()[2])
    grid = {"chip": "nm-64", "layer": layer}
    whole = looped(GraphStages(subject), *points_of(subject, read_axes(grid, None)))
    (row,) = es.sweep.run(attention()[2], grid=grid, workers=1).rows
    for name in ("n_vector", "cycles", "n_weight", "dense_macs", "energy_nj", "bytes", "weight_density"):
        assert row[name] == pytest.approx(whole[name], rel=1e-12), name


def test_a_unit_that_leaves_them_says_so_in_a_sweep():
    (row,) = es.sweep.run(attention()[2], grid={"n_pe": 4, "layer": "MatMul_y"}, workers=1).rows
    assert row["error"] == "layer=MatMul_y: is left to the host by EIE: both sides are activations"


@pytest.mark.parametrize("layer", [None, "MatMul_scores"])
def test_chips_are_compared_on_the_products_of_a_run(layer):
    graph = attention()[2]
    row, *_ = es.compare(graph, ["nm-64"], layer=layer, patterns=[(2, 4)], densities=[0.5]).rows
    run = es.run(graph, FP16)
    assert (row.name, row.covers, row.density) == ("dense", 1.0, 1.0)
    assert row.weight_bytes == (0 if layer else run.record.total.storage.total_bits / 8)
    assert row.distance == run.distance


def test_activations_are_no_footprint():
    _, _, graph = attention()
    (product,) = es.footprint(graph, FP16).products
    assert product.name == "MatMul_v"
