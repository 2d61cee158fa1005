"""A graph of operators on designs of one size: positions are shared out, and what is not covered is said."""

import json

import numpy as np
import pytest
from onnx_models import drawn, onnx
from test_graph_sweep import graph, proto

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError

ALONE = {"patterns": [(2, 4)], "densities": [0.4]}


def row(found, name):
    """The row of a name, whatever it runs as: the classifier has so few inputs that dense weights are 4:16."""
    (one,) = (row for row in found.rows if row.name.partition(" as ")[0] == name)
    return one


def test_one_array_costs_what_a_run_does():
    found = es.compare(graph(), [es.EieConfig()], **ALONE)
    one, run = row(found, "EIE 40 %"), es.run(graph(), es.EieConfig(), density=0.4)
    total = run.record.total
    assert one.cycles == total.cycles
    assert one.energy_nj == pytest.approx(total.energy.total_pj / 1e3, rel=1e-12)
    assert one.weight_bytes == total.storage.total_bits / 8
    assert one.distance == run.distance
    assert (one.covers, one.accuracy, one.batch, one.scaled_from) == (1.0, None, 1, None)
    vectors = sum(layer.n_vector * (layer.layer.n_in + layer.layer.n_out) for layer in run.layers)
    assert one.dram_bytes == round(one.weight_bytes) + 2 * vectors


def test_arrays_share_out_positions_and_nodes_wait_for_those_before():
    found = es.compare(graph(), [es.EieConfig(n_pe=16), es.EieConfig(n_pe=48)], **ALONE)
    arrays = found.designs[0]
    assert arrays.number == 3
    run = es.run(graph(), arrays.design, density=0.4)
    longest = [max(int(one.result.cycles_per_vector[at::3].sum()) for at in range(3)) for one in run.layers]
    assert found.rows[0].cycles == sum(longest)
    assert found.rows[0].energy_nj > run.record.total.energy.total_pj / 1e3  # those that wait burn clock and leakage


def test_one_chip_is_timed_as_its_launches():
    found = es.compare(graph(), ["nm-64"], **ALONE)
    for name, pattern in (("dense", None), ("2:4", "2:4")):
        one, design = row(found, name), found.size.chip.far
        run = es.run(graph(), design, pattern=pattern)
        assert one.cycles_dram == run.record.total.cycles
        assert one.energy_nj_dram == pytest.approx(run.record.total.energy.total_pj / 1e3, rel=1e-12)
        assert one.dram_bytes == sum(layer.result.stats["events"]["dram_bytes"] for layer in run.layers)
        assert one.weight_bytes == run.record.total.storage.total_bits / 8
        assert one.distance == run.distance
        assert one.covers == 1 - run.coverage["share_of_macs_not_simulated"] < 1


def test_chips_share_out_positions():
    found = es.compare(graph(), ["rtx3090", "nm-64"], **ALONE)
    chips = found.designs[1]
    few, whole = row(found, f"{chips.number} x nm-64 dense"), row(es.compare(graph(), ["nm-64"], **ALONE), "dense")
    assert chips.number == 328
    assert few.cycles < whole.cycles
    one_position = 0
    for one in es.run(graph(), chips.design).layers:
        parts = [
            (each, chips.chip.timed(each, 1, chips.chip.near)) for each in getattr(one.matrix, "matrices", [one.matrix])
        ]
        one_position += (
            parts[0][1].cycles if len(parts) == 1 else chips.unit.launch(parts, chips.chip.near, engine="fast").cycles
        )
    assert few.cycles == one_position  # there are fewer positions than chips


def test_distances_are_of_the_network_pruned_alike_and_of_the_one_before():
    found = es.compare(graph(), [es.EieConfig(weight_bits=8)], patterns=[(2, 4)], densities=[1.0, 0.3])
    whole, pruned = found.rows
    assert (whole.density, whole.kept_l1) == (1.0, 1.0)
    assert whole.distance == whole.distance_unpruned
    assert pruned.distance < pruned.distance_unpruned
    outputs = [row.outputs[0] for row in [es.run(graph(), es.EieConfig(weight_bits=8), density=0.3).record.graph]]
    assert pruned.distance_unpruned == outputs[0].original_error


def test_one_node_is_compared_on_what_the_run_passes_on():
    found = es.compare(graph(), ["nm-64", "eie"], layer="Conv_e", **ALONE)
    (of_run,) = (one for one in es.run(graph(), found.designs[1].design, density=0.4).rows if one.name == "Conv_e")
    assert row(found, "EIE 40 %").cycles == of_run.cycles
    assert {one.covers for one in found.rows} == {1.0}
    assert row(found, "EIE 40 %").weight_bytes == of_run.storage.total_bits / 8


def test_what_one_of_them_leaves_to_the_host_is_not_compared_on_it():
    found = es.compare(graph(), ["nm-64", "eie"], layer="Conv_f", **ALONE)
    assert found.not_compared == ["nm-64: layer=Conv_f: is left to the host: depthwise"]
    assert [one.on for one in found.rows] == ["EIE"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"batches": [2]}, "batches=2: must be 1: a graph is for the batch of its inputs, load it with"),
        ({"batches": [1, 8]}, "batches=1,8: must be 1: a graph is for the batch of its inputs"),
        ({"layer": "Conv_q"}, "layer=Conv_q: unknown; did you mean Conv_"),
        ({"densities": [2.0]}, r"densities=2\.0: must be"),
    ],
)
def test_what_makes_no_sense_is_refused(more, said):
    with pytest.raises(InputError, match=said) as caught:
        es.compare(graph(), ["nm-64", "eie"], **more)
    assert "\n" not in str(caught.value)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(proto(), "net.onnx")
    np.savez("x.npz", x=drawn(2, 3, 6, 5))
    return ["compare", "net.onnx", "--inputs", "x.npz", "--patterns", "2:4", "--densities", "0.4"]


def test_the_command_says_that_shares_of_macs_differ(saved, capsys):
    assert main([*saved, "--on", "nm-64,eie"]) == 0
    out = capsys.readouterr().out
    assert "! cycles and energies are of unlike shares of the MACs" in out
    assert "covers of the MACs: nm-64 95.6 %, EIE 100.0 %; the host does the rest" in out
    assert "inputs of Conv_a: given: x" in out
    assert main([*saved, "--on", "eie"]) == 0
    assert "unlike shares" not in capsys.readouterr().out


def test_the_record_has_rows_and_coverage(saved, capsys):
    assert main([*saved, "--on", "nm-64,eie", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["covers"] == {row["on"]: row["covers"] for row in record["rows"]}
    assert [row["name"].partition(" as ")[0] for row in record["rows"]] == ["dense", "2:4", "EIE 40 %"]
    assert all({"distance", "distance_unpruned"} <= row.keys() for row in record["rows"])
    assert main(["compare", "digits-mlp", "--batches", "1", "--densities", "0.4", "--layer", "fc3", "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)
    assert not {"covers", "distance", "distance_unpruned"} & layers["rows"][0].keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["net.onnx", "--batches", "8"], "batches=8: must be 1"),
        (["net.onnx", "--activation-density", "0.5"], "activation_density=0.5: must be left out"),
        (["digits-mlp", "--shape", "x=1"], "must be left out: the network is no ONNX file"),
    ],
)
def test_the_command_refuses_in_one_line(saved, capsys, words, said):
    assert main(["compare", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
