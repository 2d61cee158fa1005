"""Sweeps of a graph of operators: rows are those of runs, made from one run of the outputs."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from onnx_models import drawn, model, node, onnx, read

import eie_sim as es
from eie_sim import passed_on
from eie_sim.core.errors import InputError
from eie_sim.study import graph_stages
from eie_sim.study.evaluator import looped
from eie_sim.study.points import points_of, read_axes
from eie_sim.study.subject import subject_of

SAME = ("n_vector", "cycles", "n_weight", "effectual_macs", "dense_macs", "fits", "passes", "misfit")
NEAR = ("time_us", "energy_nj", "power_mw", "area_mm2", "bytes", "weight_density", "utilisation", "effective_gops")


def proto():
    """A convolution whose weights another one shares, one of two groups, a depthwise one, phases, a classifier."""
    arrays = {
        "stem": drawn(8, 3, 3, 3) / 5,
        "same": drawn(8, 8, 1, 1) / 3,
        "grouped": drawn(8, 4, 3, 3) / 6,
        "depthwise": drawn(8, 1, 3, 3) / 3,
        "up": drawn(8, 4, 2, 2) / 5,
        "last": drawn(5, 4) / 3,
        "bias": drawn(5, seed=5),
    }
    nodes = [
        node("Conv", "x stem", "a", pads=[1, 1, 1, 1]),
        node("Relu", "a", "b"),
        node("Conv", "b same", "c"),
        node("Conv", "c same", "d"),
        node("Conv", "d grouped", "e", group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", "e depthwise", "f", group=8, pads=[1, 1, 1, 1]),
        node("Relu", "f", "g"),
        node("ConvTranspose", "g up", "h", strides=[2, 2]),
        node("GlobalAveragePool", "h", "i"),
        node("Flatten", "i", "j"),
        node("Gemm", "j last bias", "y", transB=1),
    ]
    return model(nodes, {"x": drawn(2, 3, 6, 5)}, arrays)


def graph():
    return read(proto(), {"x": drawn(2, 3, 6, 5)})


EIE = {"n_pe": [2, 4], "queue_depth": [1, 8], "weight_bits": [4, 8]}
CHIPS = {"chip": ["nm-64", "rtx3090"], "elem_bytes": [2, 1]}


def design_of(row):
    if row["unit"] == "eie":
        return es.EieConfig(**{name: row[name] for name in EIE})
    return es.TensorCoreConfig.preset(row["chip"], elem_bytes=row["elem_bytes"])


def run_of(net, row):
    by_density = row["pattern"] in (None, "element")
    pattern = None if by_density else row["pattern"]
    return es.run(net, design_of(row), density=row["density"] if by_density else None, pattern=pattern).record


@pytest.mark.parametrize("grid", [EIE, CHIPS], ids=["eie", "nm"])
@pytest.mark.parametrize("prune", [{}, {"density": 0.3}, {"pattern": "2:4"}], ids=str)
def test_rows_are_those_of_runs(grid, prune):
    net = graph()
    rows = es.sweep.run(net, grid={**grid, **prune}, workers=1).rows
    assert len(rows) == 2 ** len(grid)
    for row in rows:
        assert row["error"] is None
        total = run_of(net, row).total
        assert row["cycles"] == total.cycles
        assert row["energy_nj"] == pytest.approx(total.energy.total_pj / 1e3, rel=1e-12)
        assert row["bytes"] == total.storage.total_bits / 8
        assert (row["n_weight"], row["n_vector"]) == (total.n_weight, total.n_vector)


@pytest.mark.parametrize("grid", [{"n_pe": 4}, {"chip": "nm-64"}], ids=["eie", "nm"])
def test_one_node_is_that_row_of_a_run(grid):
    net, config = graph(), es.EieConfig(n_pe=4) if "n_pe" in grid else es.TensorCoreConfig.preset("nm-64")
    found = {row["layer"]: row for row in es.sweep.run(net, grid={**grid, "layer": "each", "density": 0.4}).rows}
    record, seen = es.run(net, config, density=0.4).record, 0
    for name, row in found.items():
        own = [each for each in record.layers if each.name == name or each.name.startswith(f"{name}.")]
        if not own:
            assert row["error"] == f"layer={name}: is left to the host by N:M: depthwise"
            continue
        seen += len(own)
        assert row["cycles"] == sum(each.cycles for each in own)
        assert row["bytes"] == sum(each.storage.total_bits for each in own) / 8
    assert seen == len(record.layers)
    assert "Conv_f" in found


@pytest.mark.parametrize("grid", [{"n_pe": 4, "density": 0.4}, {"chip": "nm-64", "pattern": "2:4"}], ids=["eie", "nm"])
@pytest.mark.parametrize("layer", ["all", "Conv_d", "ConvTranspose_h"])
def test_figures_of_many_are_those_of_a_whole_run(grid, layer):
    subject = subject_of(graph())
    (point,) = points_of(subject, read_axes({**grid, "layer": layer}, None))
    (row,) = es.sweep.run(graph(), grid={**grid, "layer": layer}).rows
    whole = looped(graph_stages.GraphStages(subject), point)
    for name in SAME:
        assert row[name] == whole[name], name
    for name in NEAR:
        assert row[name] == (None if whole[name] is None else pytest.approx(whole[name], rel=1e-12)), name


def test_one_run_of_the_outputs_serves_designs_that_differ_in_time(monkeypatch):
    made = []

    def counted(masked, config, **more):
        made.append(config)
        return passed_on.passed_on(masked, config, **more)

    monkeypatch.setattr(graph_stages, "passed_on", counted)
    grid = {"n_pe": [1, 2, 4], "queue_depth": [1, 2, 8], "clock_mhz": [400, 800], "layer": ["all", "Conv_c", "Conv_e"]}
    found = es.sweep.run(graph(), grid={**grid, "density": [0.2, 0.5]}, workers=1)
    assert found.failed == 0
    assert len(found.rows) == 108
    assert len(made) == 2  # one for each density


def test_tensor_cores_are_timed_by_shape_alone(monkeypatch):
    monkeypatch.setattr(graph_stages, "passed_on", None)
    assert es.sweep.run(graph(), grid={"chip": "nm-64", "density": [0.2, 0.5]}, workers=1).failed == 0


@pytest.mark.parametrize("grid", [{"n_pe": [2, 4]}, {"chip": "nm-64"}], ids=["eie", "nm"])
def test_verified_rows_differ_in_that_alone(grid):
    plain, checked = (es.sweep.run(graph(), grid={**grid, "density": 0.4}, verify=on).rows for on in (False, True))
    assert [row["verified"] for row in checked] == [True] * len(checked)
    for before, row in zip(plain, checked, strict=True):
        assert {**before, "key": 0, "verified": True} == {**row, "key": 0}


def test_rows_are_the_same_bytes_from_workers_and_from_the_store(tmp_path):
    grid = {"n_pe": [2, 4], "density": [0.2, 0.5], "layer": ["all", "Conv_e"]}
    here = es.sweep.run(graph(), grid=grid, workers=1, store=tmp_path / "a.jsonl")
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        there = es.sweep.run(graph(), grid=grid, executor=executor)
    assert there.lines == here.lines
    again = es.sweep.run(graph(), grid=grid, store=tmp_path / "a.jsonl")
    assert (again.reused, again.lines) == (8, here.lines)


def test_a_graph_travels_whole():
    net = pickle.loads(pickle.dumps(graph()))
    assert net.digest == graph().digest
    assert es.run(net, es.EieConfig(n_pe=4)).to_dict() == es.run(graph(), es.EieConfig(n_pe=4)).to_dict()


def test_the_digest_is_of_all_that_is_computed():
    net, x = graph(), drawn(2, 3, 6, 5)
    x[0, 0, 0, 0] += 1
    others = [
        read(proto(), {"x": x}),
        net.with_parameters({"same": net.parameters["same"].array + 1}),
        net.with_parameters({}, attributes={"Conv_f": {"dilations": [2, 2], "pads": [2, 2, 2, 2]}}),
    ]
    assert len({net.digest, *(other.digest for other in others)}) == 4


def test_a_file_is_swept_with_inputs(tmp_path):
    onnx.save(proto(), tmp_path / "net.onnx")
    np.savez(tmp_path / "x.npz", x=drawn(2, 3, 6, 5))
    of_file = es.sweep.run(tmp_path / "net.onnx", grid={"n_pe": 4}, inputs=tmp_path / "x.npz").rows
    assert of_file[0]["cycles"] == es.run(graph(), es.EieConfig(n_pe=4)).record.total.cycles
    drawn_inputs = es.sweep.run(str(tmp_path / "net.onnx"), grid={"n_pe": 4}, seed=3).rows
    assert drawn_inputs[0]["cycles"] != of_file[0]["cycles"]


def test_a_search_takes_a_graph():
    pytest.importorskip("optuna")
    grid = {"n_pe": [1, 2, 4], "queue_depth": [1, 8]}
    assert len(es.sweep.search(graph(), grid=grid, objectives=["cycles", "energy_nj"], trials=4).rows) == 4


@pytest.mark.parametrize(
    ("grid", "more", "said"),
    [
        ({"vector": 0}, {}, "vector=0: must be all for a graph of operators, each product has positions of its own"),
        ({"layer": "Conv_q"}, {}, "layer=Conv_q: unknown"),
        ({"n_pe": 4}, {"activations": np.ones(3)}, "activations="),
        ({"n_pe": 4}, {"inputs": {"x": drawn(2, 3, 6, 5)}}, "inputs=given: must be left out: the graph has its own"),
    ],
)
def test_what_makes_no_sense_is_refused(grid, more, said):
    with pytest.raises(InputError, match=said) as caught:
        es.sweep.run(graph(), grid=grid, **more)
    assert "\n" not in str(caught.value)


def test_layers_take_no_inputs_of_a_graph():
    with pytest.raises(InputError, match="inputs=dict: must be left out: the network is no ONNX file"):
        es.sweep.run("digits-mlp", grid={"n_pe": 4}, inputs={})


@pytest.mark.parametrize(
    ("grid", "error"),
    [
        ({"density": 0.5, "criterion": "taylor"}, "criterion=taylor: is of chains of layers, a graph has no labelled"),
        ({"density": 0.5, "epochs": 3}, "epochs=3: is of chains of layers, a graph has no labelled"),
    ],
)
def test_pruning_that_graphs_do_not_have_is_an_error_of_the_row(grid, error):
    (row,) = es.sweep.run(graph(), grid={"n_pe": 4, **grid}).rows
    assert row["error"].startswith(error)


@pytest.mark.parametrize("recipe", [{"scope": "global"}, {"criterion": "random"}, {"pattern": "balanced"}])
def test_graphs_are_pruned_by_recipes(recipe):
    rows = es.sweep.run(graph(), grid={"n_pe": [2, 4], "density": 0.5, **recipe}).rows
    for row, n_pe in zip(rows, (2, 4), strict=True):
        config = es.EieConfig(n_pe=n_pe)
        pruned, _ = es.prune.prune_network(graph(), es.prune.Recipe(density=0.5, **recipe), config)
        assert row["cycles"] == es.run(pruned, config).record.total.cycles


def test_scales_come_from_inputs_of_their_own():
    loud = {"x": 256 * drawn(2, 3, 6, 5)}
    (row,) = es.sweep.run(graph(), grid={"n_pe": 4}, calibration=loud).rows
    assert row["cycles"] == es.run(graph().with_calibration(loud), es.EieConfig(n_pe=4)).record.total.cycles
    assert row["cycles"] != es.run(graph(), es.EieConfig(n_pe=4)).record.total.cycles


@pytest.mark.parametrize(
    "arithmetic", [{"accumulator_bits": 32}, {"accumulator_bits": 24, "rounding": "floor"}], ids=str
)
def test_other_arithmetic_passes_other_values_on(arithmetic):
    (row,) = es.sweep.run(graph(), grid={"n_pe": 4, **arithmetic}).rows
    run = es.run(graph(), es.EieConfig(n_pe=4, **arithmetic))
    assert row["cycles"] == run.record.total.cycles
    found = passed_on.passed_on(graph(), es.EieConfig(n_pe=4, **arithmetic))
    for name, output in run.outputs.items():
        np.testing.assert_array_equal(found.outputs[name], output)
        assert found.outputs[name].dtype == output.dtype
