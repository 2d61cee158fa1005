"""Positions of products: how they differ, what reading them costs, chunks and samples of them."""

import json

import numpy as np
import pytest
from msgspec import UNSET, convert
from onnx_models import drawn, model, node, onnx, read
from small_graphs import layers, mlp, small

import eie_sim as es
from eie_sim import graphs, product_run
from eie_sim.cli import main
from eie_sim.core.fixed import to_fixed
from eie_sim.core.record import Result
from eie_sim.network import products


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
    shown = [one._repr_html_() for one in (whole, run)]
    assert [
        [one.count(f">{said}<") for said in ("verified", "checked 30 of 144", "checked 90 of 224")] for one in shown
    ] == [
        [4, 0, 0],
        [1, 1, 1],
    ]


def test_an_interval_holds_the_cycles_of_all_positions_in_most_samples():
    graph, config = small(2), es.EieConfig(n_pe=4)
    cycles = es.run(graph, config).rows[0].cycles
    steps = graphs.steps_for(graph, config, graphs.style_of(config))
    (product,) = steps[0].products
    held = 0
    for seed in range(40):
        x = graph.examples["x"]
        ready = product_run.prepared(product, x, product.sums(x), config, layer=None, said="")
        how = product_run.RunOptions(
            engine="fast", table=es.energy.EnergyTable.for_config(config), positions=30, seed=seed
        )
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
    assert run.record.graph.notes[-1] == "positions 5: none are sampled, N:M takes all of a product at once"
