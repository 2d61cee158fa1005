"""A unit of another package is swept without an edit, and without columns for many designs at once."""

import json
import os
import subprocess
import sys
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tiny_unit import UNIT, TinyConfig, TinyMatrix, simulate

import eie_sim as es
from eie_sim import units
from eie_sim.energy import account, total_of
from eie_sim.prune.measure import before_pruning
from eie_sim.report.comparison import comparison_lines, comparison_record, comparison_table
from eie_sim.study.axes import known_axes
from eie_sim.study.showing import FIGURES

HERE = Path(__file__).parent


@pytest.fixture
def tiny(monkeypatch):
    def forget():
        for cached in (units._offers, units._of_type, units.units, units.unit_named):
            cached.cache_clear()

    def with_ours(**asked):
        point = EntryPoint("tiny", "tiny_unit:UNIT", units.GROUP)
        return [point] if asked.get("group") == units.GROUP else entry_points(**asked)

    monkeypatch.setattr("importlib.metadata.entry_points", with_ours)
    forget()
    yield UNIT
    monkeypatch.undo()
    forget()


@pytest.fixture
def package(tmp_path):
    """The environment of a process in which the unit's package is installed."""
    folder = tmp_path / "tiny-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[eie_sim.units]\ntiny = tiny_unit:UNIT\n")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE), str(tmp_path)])}


def run_of(layer, inputs, config):
    matrix = UNIT.compress(layer.weights, config)
    return simulate(matrix, inputs, config, engine="fast", timeline=False, inputs=None)


def test_fields_of_its_designs_are_axes(tiny):
    axes = known_axes()
    assert axes["n_lane"].units == ("tiny",)
    assert axes["n_lane"].help == "Lanes, a MAC in a cycle each."
    assert axes["order"].kind.choices == ("rows", "columns")
    assert axes["node_nm"].units == ("eie", "nm", "tiny")


def test_rows_of_layers_by_themselves_are_what_simulate_gives(tiny, tmp_path):
    rng = np.random.default_rng(0)
    weights, inputs = rng.standard_normal((6, 8)), rng.standard_normal((3, 8))
    grid = {"n_lane": [1, 5, 9], "order": "columns", "density": [0.5, 1.0]}
    found = es.sweep.run(weights, grid=grid, activations=inputs, workers=1, store=tmp_path / "s.jsonl")
    assert found.failed == 0 and len(found.rows) == 6
    for row in found.rows:
        config = TinyConfig(n_lane=row["n_lane"], order="columns")
        mask = es.prune.magnitude(weights, density=row["density"]).mask
        result = run_of(type("Layer", (), {"weights": weights * mask}), inputs, config)
        energy, kept = account(result), np.count_nonzero(mask)
        expected = {
            "unit": "tiny",
            "n_vector": 3,
            "cycles": result.cycles,
            "time_us": result.time_us,
            "energy_nj": energy.total_pj / 1e3,
            "power_mw": energy.power_mw,
            "area_mm2": None,
            "bytes": 6 * 8 * 4,
            "accuracy": None,
            "n_weight": kept,
            "weight_density": kept / 48,
            "effectual_macs": 3 * kept,
            "dense_macs": 3 * 48,
            "utilisation": result.utilisation,
            "load_balance": result.load_balance,
            "effective_gops": result.effective_gops,
            "fits": True,
            "passes": 1,
            "misfit": "",
            "verified": True,
            "macs": 3 * kept,
            "idle_cycles": result.cycles * config.n_lane - 3 * kept,
            "kind": "columns",
            "config_hash": result.config_hash,
            "error": None,
        }
        for name, value in expected.items():
            assert row[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name
        assert FIGURES.keys() <= row.keys()
    read = es.sweep.read_store(tmp_path / "s.jsonl")
    assert (read.rows, read.damaged) == (found.rows, 0)


def test_a_chain_passes_outputs_on_and_is_judged_by_the_last(tiny):
    net, config = es.load("digits-mlp"), TinyConfig(n_lane=7)
    row = es.sweep.run("digits-mlp", grid={"n_lane": [7]}, workers=1).rows[0]
    read, results = net.test_inputs, []
    for layer in net.layers:
        results.append(run_of(layer, read, config))
        read = np.maximum(results[-1].output + layer.bias, 0)
    right = (results[-1].output + net.layers[-1].bias).argmax(axis=1) == net.test_labels
    assert row["accuracy"] == right.mean() > 0.9
    assert row["cycles"] == sum(result.cycles for result in results)
    assert row["energy_nj"] == total_of([account(result) for result in results]).total_pj / 1e3
    one = es.sweep.run("digits-mlp", grid={"n_lane": [7], "layer": "fc2", "vector": [3]}, workers=1).rows[0]
    assert (one["cycles"], one["n_vector"], one["accuracy"]) == (results[1].cycles / 360, 1, None)


def test_units_are_swept_side_by_side_and_rules_are_rows(tiny):
    found = es.sweep.run("hand-8x8", points=[{"unit": "tiny"}, {"n_pe": 2}, {"unit": "nm"}], workers=1)
    assert [row["unit"] for row in found.rows] == ["tiny", "eie", "nm"]
    assert found.failed == 0
    refused = es.sweep.run("hand-8x8", grid={"n_lane": [4, 200], "order": ["rows", "columns"]}, workers=1)
    assert [row["error"] for row in refused.rows] == [None, None, None, "n_lane=200: must be an integer in 1..100"]


def test_verified_rows_are_those_of_layers_that_were_compared(tiny, monkeypatch):
    row = es.sweep.run("hand-8x8", grid={"n_lane": [2]}, workers=1).rows[0]
    assert (row["verified"], row["error"]) == (True, None)
    monkeypatch.setattr(TinyMatrix, "decode", lambda matrix: matrix.weights + 1.0)
    row = es.sweep.run("hand-8x8", grid={"n_lane": [2]}, workers=1).rows[0]
    said = "fc: 64 of 64 weights stored wrongly; 8 of 8 outputs differ from the golden product"
    assert row["error"] == f"outputs: differ from the golden product: {said}"


def test_one_that_can_be_as_large_as_a_chip_is_compared(tiny):
    net, chip = es.load("digits-mlp"), es.TensorCoreConfig.preset("nm-64")
    found = es.compare(net, chip, patterns=[(2, 4)], densities=[0.5], batches=[4])
    assert [row.name for row in found.rows] == ["dense", "2:4", "EIE 50 %", "Tiny 50 %"]
    row, n_weight = found.rows[-1], sum(layer.weights.size for layer in net.layers)
    kept = [round(0.5 * layer.weights.size) for layer in net.layers]
    assert row.cycles == 4 * sum(-(-each // 64) for each in kept)
    assert (row.weight_bytes, row.precision) == (4 * n_weight, "float64")
    read = net.test_inputs
    for layer in before_pruning(net):
        mask = es.prune.magnitude(layer.weights, density=0.5).mask
        outputs = read @ (layer.weights * mask).T + layer.bias
        read = np.maximum(outputs, 0)
    assert row.accuracy == (outputs.argmax(axis=1) == net.test_labels).mean()
    record = comparison_record(found)
    json.dumps(record, allow_nan=False)
    assert (record["tiny_pes"], record["tiny_arrays"]) == (64, 1)
    assert record["config_tiny"] == TinyConfig(n_lane=64, clock_mhz=800.0).to_dict()
    assert record["held_against"]["Tiny"] == "nothing"
    sizes = "nm-64, and EIE of 1 x 64 PEs, and Tiny of 1 x 64 PEs: 64 MACs a cycle each"
    assert any(line.startswith(sizes) for line in comparison_lines(record, found))
    assert len(comparison_table(record).cells) == 4


def test_an_installed_package_is_swept_from_the_command_and_by_workers(package, tmp_path):
    words = [
        "sweep",
        "digits-mlp",
        "--unit",
        "tiny",
        "--n-lane",
        "1..9",
        "--density",
        "0.5",
        "--json",
        "--workers",
        "2",
    ]
    program = f"import sys\nfrom eie_sim.cli import main\nsys.exit(main({words}))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=package, capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = json.loads(done.stdout)["rows"]
    assert [row["n_lane"] for row in rows] == list(range(1, 10))
    assert {row["unit"] for row in rows} == {"tiny"}


def test_one_that_knows_no_steps_takes_each_by_itself(tiny):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    graph = es.load("digits-gru", batch=2)
    ran = es.run(graph, TinyConfig())
    assert ran.verified
    w, r, fc = ran.rows
    assert [(row.name, row.n_vector) for row in (w, r, fc)] == [("gru.W", 16), ("gru.R", 16), ("fc", 2)]
    assert r.steps is msgspec.UNSET
