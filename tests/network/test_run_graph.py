"""Graphs on units: every product simulated on the outputs of those before, and what is said of the whole."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from msgspec import UNSET, convert
from onnx_models import drawn, expected, model, node, onnx, read
from scipy.sparse import csc_array
from small_graphs import WIDE, layers, mlp, small

import eie_sim as es
from eie_sim import graphs, product_run
from eie_sim.cli import main
from eie_sim.core.fixed import to_fixed
from eie_sim.core.record import Result
from eie_sim.prune.recipe import Recipe
from eie_sim.study.graph_stages import again


@pytest.mark.parametrize("batch", [1, 2])
def test_a_small_network_runs_verified_near_its_floats(batch):
    run = es.run(small(batch), es.EieConfig(n_pe=4, **WIDE), density=0.5)
    assert run.verified
    assert [(row.kind, row.n_out, row.n_in, row.n_vector) for row in run.rows] == [
        ("kxk conv2d", 8, 27, 72 * batch),
        ("kxk conv2d, 2 groups", 8, 72, 20 * batch),
        ("depthwise conv2d", 8, 72, 20 * batch),
        ("gemm", 5, 8, batch),
    ]
    assert run.output.shape == (batch, 5)
    assert run.distance < 0.05
    assert run.coverage["share_of_macs_not_simulated"] == 0
    assert run.by_kind["gemm"]["layers"] == 1
    assert run.record.graph.lowered_error < 1e-5


@pytest.mark.parametrize("batch", [1, 2])
def test_a_small_network_runs_on_tensor_cores(batch):
    run = es.run(small(batch), es.TensorCoreConfig.preset("nm-64"), pattern="2:4")
    assert run.verified
    assert run.distance < 2e-3
    assert run.rows[0].n_in == 9 * 4  # 3 channels padded to a group
    assert {row.named["runs_as"] for row in run.rows[:1]} == {"2:4"}
    depthwise = [share for share in run.record.graph.macs if share.reason]
    assert [(share.reason, share.macs) for share in depthwise] == [("depthwise", 8 * 9 * 20 * batch)]
    total = sum(share.macs for share in run.record.graph.macs)
    assert run.coverage["share_of_macs_not_simulated"] == depthwise[0].macs / total
    assert [one.name for one in run.record.not_simulated if "depthwise" in one.reason] == ["Conv_f"]


def test_groups_are_one_launch_on_tensor_cores():
    config = es.TensorCoreConfig.preset("nm-64")
    for given in ({"pattern": "2:4"}, {"density": 0.4}):
        run = es.run(small(2), config, **given)
        assert [row.name for row in run.rows] == ["Conv_a", "Conv_d", "Gemm_y"]
        row = run.rows[1]
        assert (row.n_out, row.n_in, row.n_vector) == (8, 72, 40)
        pattern = (2, 4) if "pattern" in given else (1, 1)
        alone = es.simulate_gemms([(4, 36, 40)] * 2, config, n_keep=pattern[0], m_group=pattern[1])
        assert row.cycles == alone.cycles
        assert row.verification.outputs == 8 * 40
        assert row.verification.weights == 2 * 4 * 36
        assert row.weight_density == pytest.approx(0.5 if "pattern" in given else 0.4, abs=0.01)
        assert run.verified
        assert run.distance < 2e-3


def test_phases_of_a_transposed_convolution_are_one_launch():
    arrays, x = layers(w=drawn(4, 6, 3, 3)), drawn(1, 4, 5, 5)
    proto = model([node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1])], {"x": x}, arrays)
    graph = read(proto, {"x": x})
    tensor = es.run(graph, es.TensorCoreConfig.preset("nm-64"))
    assert [(row.kind, row.n_in) for row in tensor.rows] == [("transposed conv2d", 4 * 9)]
    assert tensor.verified
    assert tensor.distance < 2e-3
    other = es.run(graph, es.EieConfig(n_pe=2, **WIDE))
    assert sorted(row.n_in for row in other.rows) == [4, 8, 8, 16]
    assert other.verified
    assert other.distance < 0.05


def test_density_is_of_each_parameter_and_of_weights_alone():
    graph = small()
    run = es.run(graph, es.EieConfig(n_pe=4), density=0.25)
    assert run.rows[1].weight_density == pytest.approx(0.25)  # of blocks, half of the matrix
    masked, _ = es.prune.prune_network(graph, Recipe(density=0.25), es.EieConfig())
    for name in ("stem", "grouped", "depthwise", "last"):
        before, after = graph.parameters[name].array.ravel(), masked.parameters[name].array.ravel()
        kept = np.flatnonzero(after)
        assert len(kept) == round(0.25 * before.size)
        assert set(kept) == set(np.argsort(np.abs(before), kind="stable")[before.size - len(kept) :])
    for name in ("bias", "gain", "shift"):
        assert (masked.parameters[name].array == graph.parameters[name].array).all()


def test_a_pattern_is_of_channels_at_one_tap():
    masked = es.prune.prune_network(small(), Recipe(pattern="2:4"), es.EieConfig())[0].parameters
    grouped = masked["grouped"].array  # 4 channels a group
    assert (np.count_nonzero(grouped, axis=1) == 2).all()
    assert (np.count_nonzero(masked["stem"].array, axis=1) == 2).all()
    assert masked["depthwise"].array.all()


def test_one_mlp_as_arrays_and_as_onnx_gives_the_same():
    chain, x, graph, _ = mlp()
    for config in (es.EieConfig(n_pe=4), es.EieConfig(n_pe=4, weight_bits=8, accumulator_bits=24)):
        for density in (None, 0.5):
            mine = es.run(graph, config, density=density)
            theirs = es.run(es.load(chain, chain="1,2", activations=x), config, density=density)
            assert [row.cycles for row in mine.rows] == [row.cycles for row in theirs.rows]
            for one, other in zip(mine.layers, theirs.layers, strict=True):
                assert one.result.output.tobytes() == other.result.output.tobytes()
                assert one.result.scales == other.result.scales
            assert mine.output.tobytes() == theirs.output.astype(np.float32).tobytes()


@pytest.mark.parametrize("scope", ["local", "global"])
def test_layers_and_a_graph_keep_the_same_weights_where_a_density_falls_between_two_numbers(scope):
    arrays = layers(w1=drawn(5, 3), w2=drawn(1, 5, seed=1))
    x = np.maximum(drawn(4, 3, seed=2), 0)
    nodes = [node("Gemm", "x w1", "a", transB=1), node("Relu", "a", "b"), node("Gemm", "b w2", "y", transB=1)]
    graph = read(model(nodes, {"x": x}, arrays), {"x": x})
    chain = {"1.weight": arrays["w1"], "2.weight": arrays["w2"]}
    loaded = es.load(chain, chain="1,2", activations=x)
    config = es.EieConfig(n_pe=2)
    runs = [es.run(one, config, density=0.5, scope=scope) for one in (graph, loaded)]
    if scope == "local":
        runs.append(es.run(es.load(chain, chain="1,2", activations=x, density=0.5), config))
        sparse = {name: csc_array(array) for name, array in chain.items()}
        runs.append(es.run(es.load(sparse, chain="1,2", activations=x, density=0.5), config))
        assert [row.n_weight for row in runs[0].rows] == [8, 2]  # of 15 and of 5
    for run in runs:
        assert run.record.total.n_weight == 10
        for one, other in zip(run.layers, runs[0].layers, strict=True):
            assert one.result.output.tobytes() == other.result.output.tobytes()
            np.testing.assert_array_equal(one.matrix.decode(), other.matrix.decode())


def test_a_density_of_the_network_keeps_its_largest_weights():
    graph = small()
    run = es.run(graph, es.EieConfig(n_pe=4), density=0.3, scope="global")
    names = ("stem", "grouped", "depthwise", "last")
    values = np.concatenate([np.abs(graph.parameters[name].array).ravel() for name in names])
    cut = np.sort(values)[-round(0.3 * values.size)]
    assert run.record.total.n_weight == round(0.3 * values.size) + 8 + 5  # biases, of a BatchNorm too
    for row, name in zip(run.rows, names, strict=True):
        array = graph.parameters[name].array
        assert row.weight_density == pytest.approx((np.abs(array) >= cut).mean(), abs=0.02)
        assert row.weights.endswith("; pruned by magnitude to density 0.3, all parameters together")


def test_a_network_like_a_resnet_reads_simulated_outputs_on_both_sides_of_an_addition():
    graph, config = small(), es.EieConfig(n_pe=2)
    run = es.run(graph, config)
    inputs = {one.layer.name: one.result for one in run.layers}
    e = np.maximum(np.moveaxis(inputs["Conv_d"].real_output.reshape(1, 5, 4, 8), -1, 1), 0)
    f = np.moveaxis(inputs["Conv_f"].real_output.reshape(1, 5, 4, 8), -1, 1)
    pooled = np.maximum(e + f, 0).mean(axis=(2, 3))
    scales = inputs["Gemm_y"].scales
    weights = run.layers[-1].matrix.decode()
    assert inputs["Gemm_y"].active_inputs == np.count_nonzero(np.rint(pooled * 2.0 ** scales["activation"]))
    assert weights.shape[0] == 5


@pytest.fixture
def toy_unit(tmp_path, monkeypatch):
    """The unit of another package, installed for one test."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "units")
    registering = importlib.import_module("registering")
    registering.install(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    registering.forget()
    yield importlib.import_module("toy").UNIT
    monkeypatch.undo()
    registering.forget()


def test_the_toy_unit_runs_a_graph(toy_unit):
    run = es.run(small(), toy_unit.config(n_lane=2), density=0.5)
    assert run.verified
    assert run.distance < 1e-5
    assert run.coverage["share_of_macs_not_simulated"] == 0


def test_a_tampered_weight_is_not_verified(monkeypatch):
    config = es.EieConfig(n_pe=4)
    honest = product_run.compress

    def tampered(weights, config, *, bias=None, pattern=None):
        changed = weights.copy()
        changed.flat[np.abs(changed).argmax()] *= -1
        return honest(changed, config, bias=bias, pattern=pattern)

    monkeypatch.setattr(product_run, "compress", tampered)
    run = es.run(small(), config)
    assert not run.verified
    assert len(run.record.differs) == len(run.rows)


def test_negative_inputs_take_part_where_there_are_some():
    run = es.run(small(), es.EieConfig(n_pe=4))
    active = [one.result.config.active for one in run.layers]
    assert active == ["nonzero", "positive", "positive", "positive"]
    assert run.rows[0].inputs == "given: x; negative ones take part (active nonzero)"
    words = [row.inputs for row in run.rows[1:]]
    assert words == [
        "simulated: outputs of Conv_a after ReLU",
        "simulated: outputs of Conv_d after ReLU",
        "simulated: outputs of the nodes before",
    ]


def test_the_end_is_held_against_the_masked_network_and_the_original():
    graph = small(2)
    plain, run = es.run(graph, es.EieConfig(n_pe=4, **WIDE)), es.run(graph, es.EieConfig(n_pe=4, **WIDE), density=0.3)
    (error,) = run.record.graph.outputs
    assert plain.record.graph.outputs[0].original_error is None
    assert error.error == pytest.approx(run.distance)
    assert error.original_error > error.error
    assert 0 <= error.top1_agreement <= 1


def with_logarithm():
    """Two outputs: a product, and the logarithm of it, which is NaN where it is negative and infinite where it is 0."""
    arrays, x = layers(w=np.array([[1, 0], [0, 1], [-1, 0]])), np.array([[1, 0]], dtype=np.float32)
    nodes = [node("Gemm", "x w", "y", transB=1), node("Log", "y", "z")]
    return model(nodes, {"x": x}, arrays, outputs="y z"), x


@pytest.mark.parametrize("density", [None, 0.5])
def test_outputs_that_are_not_finite_have_no_distance_and_say_where(density):
    proto, x = with_logarithm()
    run = es.run(read(proto, {"x": x}), es.EieConfig(n_pe=2), density=density)
    plain, first = (convert(run.to_dict(), Result).graph.outputs, run.record.graph.outputs)[0]
    assert plain.first_not_finite is UNSET
    assert plain.error is not None
    assert first.first_not_finite == [0, 1]  # -inf; the NaN of -1 comes after it
    assert (first.error, first.original_error, first.largest_difference) == (None, None, None)
    assert run.distance is None
    assert run.verified


def test_the_commands_say_where_outputs_are_not_finite(tmp_path, capsys):
    proto, x = with_logarithm()
    onnx.save(proto, tmp_path / "log.onnx")
    np.savez(tmp_path / "x.npz", x=x)
    given = [str(tmp_path / "log.onnx"), "--inputs", str(tmp_path / "x.npz")]
    assert main(["run", *given, "--n-pe", "2", "--density", "0.5"]) == 0
    printed, said = capsys.readouterr()
    assert "end to end, z: NaN or infinite first at [0, 1], so that no distance is known\n" in printed
    assert "end to end, y: " in printed
    assert said == ""
    for words in (["prune", *given, "--density", "0.5"], ["compare", *given, "--densities", "0.5"]):
        assert main(words) == 0
        assert capsys.readouterr().err == ""


def most_bits(magnitude, low, high):
    """The most fractional bits with which a magnitude fits 16 bits, whatever the accumulators have."""
    return max(bits for bits in range(low, high + 1) if round(float(magnitude) * 2.0**bits) <= 32767)


@pytest.mark.parametrize("seed", range(12))
def test_scales_are_those_of_the_float_outputs_of_the_own_weights_over_all_positions(seed):
    """Codes of one bit: the codebook's values would give other outputs, and so other scales."""
    rng = np.random.default_rng(seed)
    bias = seed % 3 > 0
    arrays = layers(w=drawn(5, 4, 3, 3, seed=seed) * rng.choice([0.01, 1, 40]), b=drawn(5, seed=seed))
    x = drawn(2, 4, 6, 7, seed=seed) * rng.choice([0.1, 3, 100]).astype(np.float32)
    x[-1, :, -1] *= 9  # the largest are in the last row of the last image
    nodes = [node("Conv", "x w b" if bias else "x w", "y", pads=[1, 1, 1, 1])]
    proto = model(nodes, {"x": x}, arrays if bias else {"w": arrays["w"]})
    y = expected(proto, {"x": x})["y"]
    config = es.EieConfig(n_pe=4, weight_bits=1, accumulator_bits=(16, 24, 32)[seed // 2 % 3])
    (layer,) = es.run(read(proto, {"x": x}), config).layers
    weight = most_bits(np.abs(layer.matrix.codebook).max(), -15, 30)
    activation = most_bits(np.abs(x).max(), 0 if bias else -15, 14 if bias else 30)
    accumulator = most_bits(2 * np.abs(y).max(), -30, weight + activation)
    assert layer.result.scales == {"weight": weight, "activation": activation, "accumulator": accumulator}


@pytest.mark.parametrize("convolved", [False, True])
def test_sums_of_32_bits_are_passed_on_exactly(monkeypatch, convolved):
    """One shared value, 2 + 2**-13, in place of 3 + 2**-12 and 1, gives far more than the scales are chosen for."""
    x = np.array([[1, -3 - 2**-11]], dtype=np.float32)
    arrays = layers(w1=np.array([[3 + 2**-12, 1]]), w2=np.array([[0.5]]))
    op, more = ("Gemm", {"transB": 1}) if not convolved else ("Conv", {})
    if convolved:
        x, arrays = x[..., None], {name: array[..., None] for name, array in arrays.items()}
    nodes = [node(op, "x w1", "a", **more), node(op, "a w2", "b", **more), node("Relu", "a", "c")]
    graph = read(model(nodes, {"x": x}, arrays, outputs="a b c"), {"x": x})
    read_by_units, honest = [], product_run.simulate

    def spied(matrix, inputs, *args, **options):
        read_by_units.append(inputs)
        return honest(matrix, inputs, *args, **options)

    monkeypatch.setattr(product_run, "simulate", spied)
    run = es.run(graph, es.EieConfig(n_pe=1, weight_bits=1, accumulator_bits=32))
    exact = -(2 + 2**-13) * (2 + 2**-11)
    assert float(np.float32(exact)) != exact
    assert run.output["a"].ravel().tolist() == run.layers[0].real_output.ravel().tolist() == [exact]
    words = to_fixed(np.array([exact]), run.rows[1].scales["activation"])  # which a gemm before is written back to
    assert read_by_units[1].ravel().tolist() == ([exact] if convolved else words.tolist())
    assert run.output["c"].dtype == np.float32
    assert run.verified


@pytest.mark.parametrize("rows", [6, 3])
def test_outputs_that_are_read_transposed_are_no_vectors(rows):
    x = drawn(rows, 4)
    nodes = [node("Gemm", "x w1", "a", transB=1), node("Gemm", "a w2", "y", transA=1, transB=1)]
    graph = read(model(nodes, {"x": x}, layers(w1=drawn(3, 4, seed=1), w2=drawn(5, rows))), {"x": x})
    run = es.run(graph, es.EieConfig(n_pe=2, **WIDE))
    assert run.verified
    assert run.rows[1].verification.wrong_inputs == 0
    assert run.distance < 0.01


def test_layers_are_pruned_to_a_pattern_as_well():
    chain, x, *_ = mlp()
    run = es.run(es.load(chain, chain="1,2", activations=x), es.TensorCoreConfig.preset("nm-64"), pattern="2:4")
    assert run.verified
    assert [row.named["runs_as"] for row in run.rows] == ["2:4", "2:4"]


@pytest.mark.parametrize(
    "transposing",
    [node("MatMul", "w2 a", "y"), node("Gemm", "a w2", "y", transA=1, transB=1)],
    ids=lambda one: one.op_type,
)
@pytest.mark.parametrize("n_out", [4, 6])
def test_vectors_that_are_columns_of_what_comes_before_are_its_words_transposed(transposing, n_out):
    arrays, x = layers(w1=drawn(5, n_out), w2=drawn(4, 4)), drawn(4, 5)
    run = es.run(
        read(model([node("MatMul", "x w1", "a"), transposing], {"x": x}, arrays), {"x": x}), es.EieConfig(n_pe=2)
    )
    assert run.verified
    assert run.distance < 0.5


def test_weights_of_the_same_bytes_in_another_shape_are_stored_apart():
    arrays, x = layers(w1=np.ones((4, 8)), w2=np.ones((8, 4))), drawn(2, 4)
    graph = read(model([node("MatMul", "x w1", "a"), node("MatMul", "a w2", "y")], {"x": x}, arrays), {"x": x})
    run = es.run(graph, es.EieConfig(n_pe=2))
    assert run.record.total.storage.total_bits == sum(row.storage.total_bits for row in run.rows)
    assert not any(one.again for one in es.footprint(graph, es.EieConfig(n_pe=2)).products)
    assert not list(again(graphs.steps_for(graph, es.EieConfig(), graphs.style_of(es.EieConfig()))))


@pytest.mark.parametrize("config", [es.EieConfig(n_pe=4, **WIDE), es.TensorCoreConfig.preset("nm-64")])
def test_weights_of_two_nodes_are_stored_once(config):
    arrays = layers(w=drawn(8, 8), last=drawn(3, 8))
    nodes = [
        *(node("Gemm", "x w", "a", transB=1), node("Relu", "a", "b"), node("Gemm", "b w", "c", transB=1)),
        *(node("Relu", "c", "d"), node("Gemm", "d last", "y", transB=1)),
    ]
    x = np.maximum(drawn(4, 8), 0)
    run = es.run(read(model(nodes, {"x": x}, arrays), {"x": x}), config)
    first, second, last = run.rows
    assert run.record.total.storage.total_bits == first.storage.total_bits + last.storage.total_bits
    assert run.record.total.n_weight == first.n_weight + last.n_weight
    assert run.by_kind["gemm"]["stored_bits"] == run.record.total.storage.total_bits
    assert run.record.total.cycles == first.cycles + second.cycles + last.cycles
    plain = run.to_dict()
    assert [layer.get("again") for layer in plain["layers"]] == [None, True, None]
    assert convert(plain, Result) == run.record
