"""Graphs on units: every product simulated on the outputs of those before, and what is said of the whole."""

import importlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from msgspec import UNSET, convert
from onnx_models import drawn, expected, model, node, onnx, read
from scipy.sparse import csc_array

import eie_sim as es
from eie_sim import graphs, product_run
from eie_sim.cli import main
from eie_sim.core.fixed import to_fixed
from eie_sim.core.record import Result
from eie_sim.network import products
from eie_sim.prune.recipe import Recipe
from eie_sim.study.graph_stages import again

WIDE = {"weight_bits": 8}


def layers(**weights):
    return {name: array.astype(np.float32) for name, array in weights.items()}


def small(batch=1):
    """A 3x3 convolution with BatchNorm, one of two groups and stride 2, a depthwise one, an addition, a classifier."""
    arrays = layers(
        stem=drawn(8, 3, 3, 3) / 5,
        gain=1 + drawn(8, seed=1) / 9,
        shift=drawn(8, seed=2) / 9,
        mean=drawn(8, seed=3) / 9,
        var=1 + drawn(8, seed=4) ** 2,
        grouped=drawn(8, 4, 3, 3) / 6,
        depthwise=drawn(8, 1, 3, 3) / 3,
        last=drawn(5, 8) / 3,
        bias=drawn(5, seed=5),
    )
    nodes = [
        node("Conv", "x stem", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a gain shift mean var", "b"),
        node("Relu", "b", "c"),
        node("Conv", "c grouped", "d", group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", "d", "e"),
        node("Conv", "e depthwise", "f", group=8, pads=[1, 1, 1, 1]),
        node("Add", "e f", "g"),
        node("Relu", "g", "h"),
        node("GlobalAveragePool", "h", "i"),
        node("Flatten", "i", "j"),
        node("Gemm", "j last bias", "y", transB=1),
    ]
    x = drawn(batch, 3, 9, 8)
    return read(model(nodes, {"x": x}, arrays), {"x": x})


def mlp():
    """The weights of a chain of two layers, inputs, and the same as ONNX."""
    arrays = layers(w1=drawn(24, 16), b1=drawn(24), w2=drawn(10, 24, seed=1), b2=drawn(10, seed=1))
    x = np.maximum(drawn(4, 16, seed=2), 0)
    nodes = [
        node("Gemm", "x w1 b1", "a", transB=1),
        node("Relu", "a", "b"),
        node("Gemm", "b w2 b2", "y", transB=1),
    ]
    proto = model(nodes, {"x": x}, arrays)
    chain = {"1.weight": arrays["w1"], "1.bias": arrays["b1"], "2.weight": arrays["w2"], "2.bias": arrays["b2"]}
    return chain, x, read(proto, {"x": x}), proto


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


def spread(shares):
    low, high = np.percentile(shares, [5, 95])
    return pytest.approx((low, high, np.mean(shares == 0)))


def spread_of(row):
    return row.positions.density_p5, row.positions.density_p95, row.positions.all_zero


def sparse_map():
    """A map half of which is empty, and a 3x3 convolution of two groups that reads it."""
    x = np.maximum(drawn(2, 4, 8, 6), 0)
    x[:, :, :4] = 0
    x[0, 0, 0, 0] = 1e-9  # a word of 0 on either unit
    return read(model([node("Conv", "x w", "y", group=2)], {"x": x}, layers(w=drawn(6, 2, 3, 3))), {"x": x}), x


@pytest.mark.parametrize("config", [es.EieConfig(n_pe=4), es.TensorCoreConfig.preset("nm-64", elem_bytes=1)])
def test_density_of_inputs_is_spread_over_positions(monkeypatch, config):
    graph, x = sparse_map()
    (row,) = es.run(graph, config).rows
    patches = np.stack([x[n, :, r : r + 3, c : c + 3] for n in range(2) for r in range(6) for c in range(4)])
    patches[np.abs(patches) < 1e-6] = 0
    parts = patches.reshape(-1, 2, 18) if "n_core" in config.to_dict() else patches.reshape(-1, 1, 36)
    assert spread_of(row) == spread(np.count_nonzero(parts, axis=2).ravel() / parts.shape[2])
    assert 0 < row.positions.all_zero < 1
    assert row.positions.density_p5 < row.activation_density < row.positions.density_p95
    whole = spread_of(row)
    monkeypatch.setattr(products, "CHUNK_BYTES", 600)
    assert spread_of(es.run(graph, config).rows[0]) == whole


def test_of_one_vector_nothing_is_spread():
    chain, x, *_ = mlp()
    batch, one = (es.run(es.load(chain, chain="1,2", activations=of), es.EieConfig(n_pe=2)) for of in (x, x[0]))
    words = batch.layers[0].matrix.scales.activation
    active = np.count_nonzero(to_fixed(x, words), axis=1) / 16
    assert spread_of(batch.rows[0]) == spread(active)
    assert [row.positions for row in one.rows] == [UNSET, UNSET]
    assert "positions" not in one.to_dict()["layers"][0]
    assert convert(batch.to_dict(), Result) == batch.record


def test_a_sample_is_spread_over_what_was_drawn():
    graph, _ = sparse_map()
    config = es.EieConfig(n_pe=4)
    row = es.run(graph, config, positions=10).rows[0]
    every = np.concatenate(list(es.lower(graph, config)[0].vectors(graph.examples["x"])))
    drawn_ones = every[product_run.stratified(10, 48, 0)]
    assert spread_of(row) == spread((drawn_ones > 1e-6).sum(axis=1) / 36)


def test_the_spread_is_shown(tmp_path, capsys):
    graph, x = sparse_map()
    arrays = {"w": graph.parameters["w"].array}
    onnx.save(model([node("Conv", "x w", "y", group=2)], {"x": x}, arrays), tmp_path / "m.onnx")
    np.savez(tmp_path / "m.npz", x=x)
    words = ["run", str(tmp_path / "m.onnx"), "--inputs", str(tmp_path / "m.npz"), "--out", str(tmp_path / "kept")]
    assert main([*words, "--n-pe", "4"]) == 0
    printed = capsys.readouterr().out
    row = json.loads((tmp_path / "kept" / "run.json").read_text())["layers"][0]
    low, high = (100 * row["positions"][name] for name in ("density_p5", "density_p95"))
    assert f" {100 * row['activation_density']:.1f} % ({low:.0f}-{high:.0f}) " in printed
    assert f" {100 * row['positions']['all_zero']:.1f} % " in printed
    assert "positions.all_zero" in (tmp_path / "kept" / "layers.csv").read_text().splitlines()[0]


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


def test_gathering_vectors_of_a_map_takes_energy_outside_of_the_array():
    """A number of 16 bits for each tap and channel of each position, of 256 bits that 1 MB reads at once."""
    run = es.run(small(2), es.EieConfig(n_pe=4))
    words = [144 * 27, 40 * 72, 40 * 72, 0]
    for row, count in zip(run.rows, words, strict=True):
        assert row.energy.by_event_pj["map_reads"] == pytest.approx(count * 207.75 * 16 / 256)
        assert row.energy.by_component_pj["map_buffer"] == row.energy.by_event_pj["map_reads"]
        assert row.energy.total_pj == pytest.approx(sum(row.energy.by_component_pj.values()))
    assert run.record.total.energy.by_component_pj["map_buffer"] == pytest.approx(sum(words) * 207.75 * 16 / 256)
    maps = [3 * 9 * 8, 8 * 9 * 8, 8 * 5 * 4]  # of one image
    assert [row.map_buffer_bits for row in run.rows] == [*(16 * size for size in maps), UNSET]
    assert {one.memory for one in run.rows[0].memories} == {one.memory for one in run.rows[3].memories}
    sampled = es.run(small(2), es.EieConfig(n_pe=4), positions=10)
    assert [row.energy.by_event_pj["map_reads"] for row in sampled.rows] == [
        row.energy.by_event_pj["map_reads"] for row in run.rows
    ]


def test_a_unit_that_counts_bytes_of_gathered_inputs_pays_for_no_buffer():
    run = es.run(small(), es.TensorCoreConfig.preset("nm-64"))
    assert "map_reads" not in run.rows[0].energy.by_event_pj
    assert {row.map_buffer_bits for row in run.rows} == {UNSET}


def test_phases_of_a_transposed_convolution_are_gathered_each():
    arrays, x = layers(w=drawn(4, 6, 3, 3)), drawn(1, 4, 5, 5)
    proto = model([node("ConvTranspose", "x w", "y", strides=[2, 2], pads=[1, 1, 1, 1])], {"x": x}, arrays)
    run = es.run(read(proto, {"x": x}), es.EieConfig(n_pe=2))
    words = sum(row.n_vector * row.n_in for row in run.rows)
    assert words == 25 * 4 + 2 * 20 * 8 + 16 * 16
    assert run.record.total.energy.by_event_pj["map_reads"] == pytest.approx(words * 207.75 * 16 / 256)
    assert {row.map_buffer_bits for row in run.rows} == {4 * 25 * 16}


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


def test_vectors_in_chunks_are_the_same_run(monkeypatch):
    whole = es.run(small(2), es.EieConfig(n_pe=4), density=0.5)
    monkeypatch.setattr(products, "CHUNK_BYTES", 2000)
    cut = es.run(small(2), es.EieConfig(n_pe=4), density=0.5)
    one, other = whole.to_dict(), cut.to_dict()
    for row, same in zip(one["layers"], other["layers"], strict=True):
        for name in ("relative_error", "stored_error", "rounding_error"):
            assert same["verification"].pop(name) == pytest.approx(row["verification"].pop(name))
    assert one == other
    np.testing.assert_array_equal(whole.output, cut.output)


def test_scales_are_chosen_without_all_vectors_at_once(monkeypatch):
    whole = es.run(small(2), es.EieConfig(n_pe=4))
    monkeypatch.setattr(products, "CHUNK_BYTES", 2000)
    monkeypatch.delattr(product_run, "vectors_of")
    cut = es.run(small(2), es.EieConfig(n_pe=4))
    assert [row.scales for row in cut.rows] == [row.scales for row in whole.rows]
    assert [one.result.config.active for one in cut.layers] == [one.result.config.active for one in whole.layers]
    assert [one.result.config.active for one in cut.layers] == ["nonzero", "positive", "positive", "positive"]


@pytest.mark.parametrize("config", [es.EieConfig(n_pe=4), es.TensorCoreConfig.preset("nm-64", elem_bytes=1)])
def test_scales_of_chunks_are_those_of_all_vectors(monkeypatch, config):
    graph = small(2)
    whole = es.run(graph, config)
    monkeypatch.setattr(products, "CHUNK_BYTES", 500)
    cut = es.run(graph, config)
    assert [row.scales for row in cut.rows] == [row.scales for row in whole.rows]
    np.testing.assert_array_equal(cut.output, whole.output)


def test_a_sample_stands_for_all_positions_and_says_so():
    graph, config = small(2), es.EieConfig(n_pe=4)
    whole, run = es.run(graph, config, density=0.5), es.run(graph, config, density=0.5, positions=30)
    np.testing.assert_array_equal(run.output, whole.output)  # outputs are of all positions
    samples = [None if row.sampled is UNSET else (row.sampled.positions, row.sampled.of) for row in run.rows]
    assert samples == [(30, 144), (30, 40), (30, 40), None]
    assert (run.record.total.sampled.positions, run.record.total.sampled.of) == (90, 224)
    for row, all_of in zip(run.rows, whole.rows, strict=True):
        assert (row.n_vector, row.dense_macs) == (all_of.n_vector, all_of.dense_macs)
        assert row.cycles == pytest.approx(all_of.cycles, rel=0.1)
        assert row.verification.vectors == min(30, row.n_vector)
        assert sum(row.stats["classes"].values()) == pytest.approx(4 * row.cycles, rel=1e-3)
    assert whole.record.total.sampled is UNSET


def test_an_interval_holds_the_cycles_of_all_positions_in_most_samples():
    graph, config = small(2), es.EieConfig(n_pe=4)
    cycles = es.run(graph, config).rows[0].cycles
    steps = graphs.steps_for(graph, config, graphs.style_of(config))
    (product,) = steps[0].products
    held = 0
    for seed in range(40):
        x = graph.examples["x"]
        ready = product_run.prepared(product, x, product.sums(x), config, layer=None, said="")
        how = product_run.How(engine="fast", table=es.energy.EnergyTable.for_config(config), positions=30, seed=seed)
        one = product_run.run_product(ready, x, "", how)
        held += abs(one.result.cycles - cycles) <= one.sampled.cycles_half_interval
    assert held >= 34  # 38 are expected; so few have a chance of 1 in 50


@pytest.mark.parametrize("n", [1, 7, 143, 144])
def test_a_sample_is_spread_evenly(n):
    taken = product_run.stratified(n, 144, 5)
    assert len(np.unique(taken)) == n
    stretches = [range(at * 144 // n, (at + 1) * 144 // n) for at in range(n)]
    assert all(one in stretch for one, stretch in zip(taken, stretches, strict=True))


def test_tensor_cores_are_not_sampled():
    run = es.run(small(), es.TensorCoreConfig.preset("nm-64"), positions=5)
    assert run.record.total.sampled is UNSET


def test_batch_norms_are_left_to_the_host_where_they_are_to_be():
    folded, apart = (es.run(small(), es.EieConfig(n_pe=4, **WIDE), fold=fold) for fold in (True, False))
    assert "BatchNormalization" not in str(folded.record.not_simulated)
    assert "BatchNormalization" in str(apart.record.not_simulated)
    assert not apart.rows[0].bias
    assert folded.rows[0].bias
    assert apart.distance < 0.05


def test_depthwise_convolutions_are_products_of_tensor_cores_where_they_are_to_be():
    run = es.run(small(), es.TensorCoreConfig.preset("nm-64"), depthwise_as_gemm=True)
    assert [row.kind for row in run.rows][2] == "depthwise conv2d"
    assert run.coverage["share_of_macs_not_simulated"] == 0
    assert run.verified


def test_scales_come_from_inputs_of_their_own():
    graph, config = small(), es.EieConfig(n_pe=4, **WIDE)
    loud = graph.with_calibration({"x": 256 * graph.examples["x"]})
    run, plain = es.run(loud, config), es.run(graph, config)
    assert run.rows[0].scales["activation"] == plain.rows[0].scales["activation"] - 8
    assert 2 * plain.distance < run.distance < 0.3
    for given, said in (
        ({"z": 1}, "calibration=z: unknown"),
        ({}, "calibration=x: must be given"),
        ({"x": np.ones((1, 3, 2, 2))}, "calibration x=shape (1, 3, 2, 2): must be (1, 3, 9, 8), as the input is"),
        ({"x": np.full((1, 3, 9, 8), np.nan)}, "calibration x=not finite"),
    ):
        with pytest.raises(es.InputError, match=re.escape(said)):
            graph.with_calibration(given)


def test_lower_lists_the_products_of_a_unit():
    graph = small()
    assert [one.name for one in es.lower(graph)] == ["Conv_a", "Conv_d", "Conv_f", "Gemm_y"]
    names = [one.name for one in es.lower(graph, es.TensorCoreConfig.preset("nm-64"))]
    assert names == ["Conv_a", "Conv_d.0", "Conv_d.1", "Gemm_y"]
    with pytest.raises(es.InputError, match=r"^network=str: must be "):
        es.lower("model.onnx")


@pytest.mark.parametrize("field", ["fold", "depthwise_as_gemm"])
def test_words_are_no_options_of_lowering(field):
    for asked in (es.lower, es.run):
        with pytest.raises(es.InputError, match=rf"^{field}=str: must be "):
            asked(small(), es.EieConfig(), **{field: "no"})


@pytest.fixture
def saved(tmp_path):
    path, _, (_, x, _, proto) = tmp_path / "model.onnx", None, mlp()
    onnx.save(proto, path)
    np.savez(tmp_path / "x.npz", x=x)
    return path


def test_the_command_prints_distances_first_and_keeps_a_run(saved, tmp_path, capsys):
    words = ["run", str(saved), "--inputs", str(tmp_path / "x.npz"), "--density", "0.5", "--n-pe", "4"]
    assert main([*words, "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr().out
    assert printed.index("end to end, y:") < printed.index("covers 100.0 % of MACs") < printed.index("Products")
    assert "synthetic" not in printed
    assert printed.rstrip().endswith("verified")
    assert main([*words, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert convert(record, Result).to_dict() == record
    assert json.loads((tmp_path / "run" / "run.json").read_text()) == record
    assert main(["report", str(tmp_path / "run")]) == 0
    assert "end to end, y:" in (tmp_path / "run" / "report.html").read_text()


def test_the_command_ranks_over_the_network(saved, tmp_path, capsys):
    chain, x, *_ = mlp()
    np.savez(tmp_path / "chain.npz", **chain)
    np.save(tmp_path / "x.npy", x)
    words = ["--density", "0.3", "--global", "--n-pe", "4", "--json"]
    assert main(["run", str(saved), "--inputs", str(tmp_path / "x.npz"), *words]) == 0
    graph = json.loads(capsys.readouterr().out)
    given = ["--chain", "1,2", "--activations", str(tmp_path / "x.npy")]
    assert main(["run", str(tmp_path / "chain.npz"), *given, *words]) == 0
    layers = json.loads(capsys.readouterr().out)
    assert [row["cycles"] for row in graph["layers"]] == [row["cycles"] for row in layers["layers"]]
    densities = [row["weight_density"] for row in graph["layers"]]
    assert densities == [row["weight_density"] for row in layers["layers"]]
    assert densities[0] != pytest.approx(densities[1], abs=0.01)
    assert "pruned: element, l1, global, density" in layers["layers"][0]["weights"]


def test_inputs_that_are_drawn_are_said(saved, capsys):
    assert main(["run", str(saved), "--shape", "x=4x16", "--n-pe", "4"]) == 0
    assert "synthetic inputs: x" in capsys.readouterr().out


def test_layers_are_described_as_well(capsys, tmp_path):
    assert main(["describe", "digits-mlp", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["operators"] == {"Gemm": 3, "Relu": 2}
    assert record["macs"] == [{"kind": "gemm", "reason": "", "nodes": 3, "macs": 360 * 50_432}]
    np.savez(tmp_path / "net.npz", **{"fc.weight": np.ones((3, 4), np.float32), "conv.weight": np.ones((2, 2, 3, 3))})
    assert main(["describe", str(tmp_path / "net.npz")]) == 0
    assert "conv.weight" in capsys.readouterr().out  # what is not simulated is said
    assert [one.name for one in es.lower(es.load("digits-mlp"))] == ["fc1", "fc2", "fc3"]


def test_describe_simulates_nothing(saved, capsys, monkeypatch):
    monkeypatch.setattr(product_run, "simulate", None)
    assert main(["describe", str(saved)]) == 0
    assert "covers 100.0 % of 2,496 MACs" in capsys.readouterr().out
    assert main(["describe", str(saved), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["operators"] == {"Gemm": 2, "Relu": 1}
    assert record["macs"] == [{"kind": "gemm", "reason": "", "nodes": 2, "macs": 2496}]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "{model}", "--layer", "fc1"], "layer=fc1: must be left out"),
        (["run", "{model}", "--shape", "z=4x16"], "shapes=z: unknown"),
        (["run", "{model}", "--shape", "x"], "shape=x: must be name=1x3x224x224"),
        (["run", "{model}", "--density", "2"], "density=2.0: must be in 0..1"),
        (["run", "{model}", "--pattern", "2:4", "--density", "0.5"], "density=0.5: must be left out"),
        (["run", "{model}", "--global"], "scope=global: must be local without a density"),
        (["run", "digits-mlp", "--global", "--pattern", "2:4"], "scope=global: must be local without a density"),
        (["run", "{model}", "--inputs", "{folder}/none.npz"], "none.npz: file=missing"),
        (["run", "digits-mlp", "--shape", "x=4x16"], "must be left out"),
        (["describe", "digits-mlp", "--shape", "x=4x16"], "must be left out: it is of an ONNX file"),
        (["compress", "{model}"], "compare and trace take"),
        (["sensitivity", "{model}"], "compare and trace take"),
        (["allocate", "{model}", "--budget", "9"], "compare and trace take"),
    ],
)
def test_bad_input_is_one_line(words, said, saved, capsys):
    places = {"model": saved, "folder": saved.parent}
    assert main([word.format(**places) for word in words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_torch_file_is_refused_with_the_line_that_exports(tmp_path):
    (tmp_path / "model.pt").write_bytes(b"\x80\x02")
    with pytest.raises(es.InputError, match=r"torch\.onnx\.export"):
        es.load(tmp_path / "model.pt")


def test_layers_take_no_graph(saved):
    graph = es.load(saved)
    assert es.load(graph) is graph
    with pytest.raises(es.InputError, match="run takes a graph"):
        es.network.load(graph)
    with pytest.raises(es.InputError, match="inputs"):
        es.load("digits-mlp", inputs=np.ones((1, 64)))


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
