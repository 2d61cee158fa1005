"""The N:M pattern that a product runs as: one choice for how it is padded, packed and timed."""

import json

import numpy as np
import pytest
from onnx_models import drawn, model, node, onnx, read

import eie_sim as es
from eie_sim.cli import main
from eie_sim.prune import prune_network
from eie_sim.prune.recipe import Recipe

NM64 = es.TensorCoreConfig.preset("nm-64")  # 2:4, 1:4, 1:2, 4:8, 2:8, 1:8 and 4:16
ONE_PATTERN = es.TensorCoreConfig.preset("rtx3090")  # 2:4


def conv(weights, side=5):
    x = drawn(1, weights.shape[1], side, side, seed=3)
    return read(model([node("Conv", "x w", "y")], {"x": x}, {"w": weights}), {"x": x})


def only_row(run):
    (row,) = run.rows
    assert run.verified
    return row


def ran(row):
    return row.n_in, row.named["runs_as"]


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_channels_are_padded_to_groups_of_a_given_pattern(channels):
    row = only_row(es.run(conv(drawn(6, channels, 3, 3)), ONE_PATTERN, pattern="2:4"))
    k = 9 * (4 if channels <= 4 else 8)
    assert ran(row) == (k, "2:4")
    assert row.cycles == es.simulate_gemm(6, k, 9, ONE_PATTERN).cycles


@pytest.mark.parametrize(
    ("channels", "pattern", "expected"),
    [
        (8, "2:4", (72, "2:4")),  # not 4:16, which all of them meet
        (8, "1:8", (72, "1:8")),
        (3, "1:8", (72, "1:8")),
        (8, "4:16", (144, "4:16")),
        (3, "2:3", (27, "dense")),  # nothing is sure, whatever the weights meet
        (3, "3:4", (27, "dense")),
        (12, "1:12", (108, "1:4")),  # each of its groups is three of 1:4
        (4, "1:1", (36, "dense")),
    ],
)
def test_a_given_pattern_runs_as_it_or_as_one_that_is_sure_to_be_met(channels, pattern, expected):
    run = es.run(conv(drawn(6, channels, 3, 3)), NM64, pattern=pattern)
    assert ran(only_row(run)) == expected
    assert run.layers[0].matrix.n_in == expected[0]


def test_sure_is_not_what_a_tighter_pattern_happens_to_hold():
    weights = np.zeros((6, 8, 1, 1), np.float32)
    weights[:, 0] = 1.0  # 1:8
    assert ran(only_row(es.run(conv(weights), NM64, pattern="2:4"))) == (8, "2:4")
    assert ran(only_row(es.run(conv(weights), NM64))) == (8, "1:8")


def kept_at(channels, *places):
    """Weights [4, channels, 3, 3], of which each tap keeps those channels."""
    weights = np.zeros((4, channels, 3, 3), np.float32)
    weights[:, list(places)] = drawn(4, len(places), 3, 3) + 3
    return weights


@pytest.mark.parametrize(
    ("channels", "places", "expected"),
    [
        (3, (2,), (36, "1:4")),  # 9 kept, as of 1:8, which takes 72 inputs
        (6, (5,), (72, "1:8")),  # 9 kept, 18 of 1:4
        (8, (0, 1), (72, "2:8")),
        (8, (0, 1, 2), (72, "4:8")),
        (2, (0,), (18, "1:2")),  # 9 kept; so are of 1:4, of 36 inputs
        (3, (0, 1, 2), (27, "dense")),
        (1, (0,), (9, "dense")),  # 9 kept, of any
    ],
)
def test_weights_of_no_given_pattern_run_as_the_one_of_which_they_keep_the_fewest(channels, places, expected):
    run = es.run(conv(kept_at(channels, *places)), NM64)
    row = only_row(run)
    assert ran(row) == expected
    pattern = (1, 1) if expected[1] == "dense" else tuple(map(int, expected[1].split(":")))
    assert run.layers[0].matrix.pattern == pattern
    assert row.cycles == es.simulate_gemm(4, expected[0], 9, NM64, n_keep=pattern[0], m_group=pattern[1]).cycles


def test_no_group_spans_two_taps():
    rng = np.random.default_rng(0)
    for _ in range(10):
        weights = np.where(rng.random((4, 3, 3, 3)) < 0.05, 1, 0).astype(np.float32)
        run = es.run(conv(weights), NM64)
        n_keep, m_group = run.layers[0].matrix.pattern
        taps = run.layers[0].layer.weights.reshape(4, 9, -1)
        assert taps.shape[2] % m_group == 0
        assert (np.count_nonzero(taps.reshape(4, -1, m_group), axis=2) <= n_keep).all()


def test_products_of_a_launch_run_as_one_pattern():
    weights = np.zeros((8, 4, 1, 1), np.float32)
    weights[:4, 0], weights[4:, :2] = 1, 1  # 1:4 and 2:4
    x = drawn(1, 8, 3, 3)
    graph = read(model([node("Conv", "x w", "y", group=2)], {"x": x}, {"w": weights}), {"x": x})
    run = es.run(graph, NM64)
    assert run.rows[0].named["runs_as"] == "2:4"
    assert {one.pattern for one in run.layers[0].matrix.matrices} == {(2, 4)}
    assert run.verified


@pytest.mark.parametrize("n_in", [8, 20, 33])
@pytest.mark.parametrize("given", [{"pattern": "2:4"}, {"pattern": "1:8"}, {"pattern": "2:3"}, {"density": 0.1}, {}])
def test_layers_and_a_graph_of_them_are_the_same_run(n_in, given):
    arrays = {"w1": drawn(24, n_in), "b1": drawn(24), "w2": drawn(10, 24, seed=1), "b2": drawn(10, seed=1)}
    x = np.maximum(drawn(4, n_in, seed=2), 0)
    nodes = [
        node("Gemm", "x w1 b1", "a", transB=1),
        node("Relu", "a", "b"),
        node("Gemm", "b w2 b2", "y", transB=1),
    ]
    graph = read(model(nodes, {"x": x}, arrays), {"x": x})
    chain = {f"{at}.{part}": arrays[f"{part[0]}{at}"] for at in (1, 2) for part in ("weight", "bias")}
    layers = es.load(chain, chain="1,2", activations=x)
    ours, theirs = es.run(graph, NM64, **given), es.run(layers, NM64, **given)
    assert ours.output.tobytes() == theirs.output.astype(np.float32).tobytes()
    for one, other in zip(ours.rows, theirs.rows, strict=True):
        assert (one.cycles, ran(one)) == (other.cycles, ran(other))
        assert one.storage.bits == other.storage.bits
        assert one.stats == other.stats
    assert ours.verified and theirs.verified
    if given == {"pattern": "1:8"}:
        assert {row.named["runs_as"] for row in theirs.rows} == {"1:8"}


def grouped():
    """A convolution of three channels, and one of two groups of four."""
    x = drawn(1, 3, 6, 6)
    nodes = [node("Conv", "x w", "a"), node("Relu", "a", "b"), node("Conv", "b v", "y", group=2)]
    return read(model(nodes, {"x": x}, {"w": drawn(8, 3, 3, 3), "v": drawn(8, 4, 1, 1)}), {"x": x})


@pytest.mark.parametrize("pattern", ["2:4", "1:8", "2:3"])
def test_sweeps_and_comparisons_run_a_pattern_as_a_run_does(pattern):
    run = es.run(grouped(), NM64, pattern=pattern)
    total = run.record.total
    (row,) = es.sweep.run(grouped(), grid={"chip": "nm-64", "pattern": pattern}, workers=1).rows
    assert row["runs_as"] == "+".join(dict.fromkeys(one.named["runs_as"] for one in run.rows))
    assert (row["cycles"], row["bytes"]) == (total.cycles, total.storage.total_bits / 8)
    asked = tuple(map(int, pattern.split(":")))
    found = es.compare(grouped(), [NM64], patterns=[asked], densities=[0.5])
    name = pattern if pattern != "2:3" else "2:3 as dense"
    (one,) = (each for each in found.rows if each.name == name)
    assert one.weight_bytes == total.storage.total_bits / 8
    assert one.distance == run.distance


def test_a_footprint_is_of_what_runs():
    graph, _ = prune_network(grouped(), Recipe(density=0.05), NM64)
    assert es.footprint(graph, NM64).weights["nm"].total_bits == es.run(graph, NM64).record.total.storage.total_bits


def test_depthwise_transposed_convolutions_are_host_work_on_tensor_cores():
    x = drawn(1, 4, 3, 3)
    nodes = [node("ConvTranspose", "x w", "a", group=4, strides=[2, 2]), node("Conv", "a v", "y")]
    graph = read(model(nodes, {"x": x}, {"w": drawn(4, 1, 2, 2), "v": drawn(3, 4, 1, 1)}), {"x": x})
    run = es.run(graph, NM64)
    assert [row.name for row in run.rows] == ["Conv_y"]
    assert [(share.reason, share.macs) for share in run.record.graph.macs if share.reason] == [("depthwise", 4 * 4 * 9)]
    assert len(es.run(graph, NM64, depthwise_as_gemm=True).rows) == 2
    assert len(es.run(graph, es.EieConfig(n_pe=2)).rows) == 5


def test_the_command_runs_layers_as_the_pattern(capsys, tmp_path):
    x = drawn(1, 3, 6, 6)
    onnx.save(model([node("Conv", "x w", "y")], {"x": x}, {"w": drawn(8, 3, 3, 3)}), tmp_path / "net.onnx")
    for source, expected in (("digits-mlp", ["1:8"] * 3), (tmp_path / "net.onnx", ["1:8"])):
        assert main(["run", str(source), "--unit", "nm", "--pattern", "1:8", "--preset", "nm-64", "--json"]) == 0
        record = json.loads(capsys.readouterr().out)
        assert [layer["named"]["runs_as"] for layer in record["layers"]] == expected
        assert record["verified"]
