"""groups, and prune --structured, as a person types them."""

import json

import numpy as np
import pytest

import eie_sim as es
from eie_sim import load
from eie_sim.prune import parameter_count, removal_count, structured

pytest.importorskip("onnx", reason="onnx is not installed")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
DESIGN = ("--n-pe", "4", "--positions", "20")
HALF = ("prune", "digits-resnet", "--structured", "--ratio", "0.5", *DESIGN)


def test_groups_say_what_a_unit_takes_along_and_what_share_can_leave(ask, ask_json):
    net = load("digits-resnet")
    record = ask_json("groups", "digits-resnet")
    free = [one for one in record["groups"] if one["pinned"] is None]
    for one in free:
        assert one["unit_parameters"] == removal_count(net, {one["name"]: [one["size"] - 1]})
    assert (record["n_prunable"], record["parameters"]) == (len(free), parameter_count(net)) == (5, 38266)
    assert record["prunable_parameters"] == 38266 - 10  # all but the bias of the answers
    readers = [one["parameter"] for one in free[0]["members"] if one["reads"]]
    assert readers == ["block1.conv1.weight", "block2.conv1.weight", "block2.past.0.weight"]
    code, out, _ = ask("groups", "digits-resnet")
    assert code == 0
    assert out.splitlines()[-1] == ("5 of 20 groups are prunable; 38,256 of 38,266 parameters are in them, 99.97 %")
    assert "pinned and left: kernel (14), network output (1)" in out
    assert "fc.weight:0:0" not in out


def test_pinned_groups_say_tensor_axis_and_reason(ask, ask_json):
    out = ask("groups", "digits-gru", "--pinned")[1]
    assert "axis 2 of x: network input" in out and "axis 1 of scores: network output" in out
    pins = [one["pinned"] for one in ask_json("groups", "digits-gru")["groups"]]
    assert pins[1:] == [
        {"tensor": "x", "axis": 2, "reason": "network input"},
        {"tensor": "scores", "axis": 1, "reason": "network output"},
    ]


@pytest.mark.parametrize("words", [["groups", "digits-resnet", "--pinned"], HALF])
def test_tables_fit_a_terminal(ask, monkeypatch, words):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = ask(*words)
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80


def test_what_is_pruned_is_kept_runs_elsewhere_and_costs_less(ask, ask_json, tmp_path):
    file = tmp_path / "small.onnx"
    record = ask_json(*HALF, "--out", file, "--verify")
    net = load("digits-resnet")
    smaller, units = structured(net, 0.5)
    assert (
        record["parameters"]
        == {"before": 38266, "after": parameter_count(smaller)}
        == {
            "before": 38266,
            "after": 9794,
        }
    )
    removed = {one["name"]: one["removed"] for one in record["groups"] if one["asked"] is not None}
    assert removed == {name: one.tolist() for name, one in units.items()}
    assert record["macs"]["after"] < 0.26 * record["macs"]["before"]
    assert record["total"]["after"]["cycles"] < record["total"]["before"]["cycles"]
    shapes = {one["name"]: (one["before"]["shape"], one["after"]["shape"]) for one in record["layers"]}
    assert shapes["block3.conv2"] == ([32, 288], [16, 144])
    assert (record["asked"], record["achieved"], record["verified"]) == (0.5, 0.5, True)
    assert set(record["outputs_off"]) == {"scores"} and record["accuracy"]["after"] is not None
    again = load(file, inputs=dict(net.examples))
    session = ort.InferenceSession(file, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {name: np.asarray(one) for name, one in net.examples.items()})
    np.testing.assert_allclose(scores, es.network.floatrun.run(smaller)["scores"], rtol=1e-4, atol=1e-4)
    assert {group.name: group.size for group in es.groups(again) if group.pinned is None} == {
        name: len(one) for name, one in units.items()
    }
    assert ask("run", file, *DESIGN)[0] == 0


def test_the_text_says_counts_reasons_and_where_it_is_from(ask):
    code, out, _ = ask(*HALF)
    assert code == 0
    assert "structured, l2, mean over members, normalised by mean; local; 64 of 128 units removed, 50.00 %" in out
    assert "parameters 38,266 => 9,794, 25.59 %" in out
    assert "MACs 82,873,600 => 20,956,800, 25.29 %" in out
    assert "pinned and left: kernel (14), network output (1)" in out
    assert "seed 0, config " in out and "accuracy on 100 labelled inputs: float 100.00 % => " in out
    assert out.splitlines()[-1] == "verified"


def test_options_choose_as_they_do_in_python(ask_json):
    words = ["--ratio", "0.3", "--scope", "global", "--score", "l1", "--aggregate", "max", "--normalise", "none"]
    words += ["--floor", "0.25", "--round-to", "2", "--schedule", "linear", "--steps", "3"]
    record = ask_json("prune", "digits-resnet", "--structured", *words, *DESIGN)

    def scored(graph, groups):
        return es.prune.importance(graph, groups, "l1", aggregate="max", normalise="none")

    _, units = structured(load("digits-resnet"), 0.3, steps=3, scored=scored, scope="global", floor=0.25, round_to=2)
    assert {one["name"]: one["removed"] for one in record["groups"] if one["asked"] is not None} == {
        name: one.tolist() for name, one in units.items()
    }
    assert record["recipe"]["steps"] == 3 and record["achieved"] == units.achieved


def test_groups_may_have_ratios_of_their_own(ask_json):
    one, other = "stem.weight:0:0", "block3.conv1.weight:0:0"
    record = ask_json("prune", "digits-resnet", "--structured", "--group-ratio", f"{one}=0.25", f"{other}=0.5", *DESIGN)
    kept = {row["name"]: row["kept"] for row in record["groups"] if row["asked"] is not None}
    assert kept == {one: 12, other: 16}  # without --ratio the others stay
    record = ask_json(*HALF, "--group-ratio", f"{one}=0.25")
    kept = {row["name"]: row["kept"] for row in record["groups"] if row["asked"] is not None}
    assert (kept[one], kept[other], len(kept)) == (12, 16, 5)


def test_lasso_says_what_it_cannot_cut_and_what_fitting_gains(ask, ask_json):
    record = ask_json(*HALF, "--select", "lasso")
    cut = {one["name"]: one["fit_errors"] for one in record["groups"] if one["fit_errors"]}
    assert list(cut) == [f"block{at}.conv1.weight:0:0" for at in (1, 2, 3)]
    assert all(after < before for before, after in cut.values())
    assert record["outputs_off"]["scores"] < ask_json(*HALF)["outputs_off"]["scores"]
    out = ask(*HALF, "--select", "lasso")[1]
    assert "not cut: stem.weight:0:0: is a residual stage" in out
    assert "structured, lasso; 40 of 80 units removed" in out


def test_channels_are_permuted_for_a_pattern(ask, ask_json):
    words = ["prune", "digits-gru", "--pattern", "2:4", *DESIGN]
    plain, record = ask_json(*words), ask_json(*words, "--permute")
    (row,) = record["permuted"]["groups"]
    assert row["after"] > row["before"] and record["permuted"]["left"] == {}
    assert record["kept"] == plain["kept"] and "permuted" not in plain
    out = ask(*words, "--permute")[1]
    assert "permuted: channels of groups in another order, 1 of them; 2:4 keeps " in out


def test_products_that_vanish_have_no_costs_after(ask, tmp_path):
    from eie_sim.report.pruned_graph import changes, changes_table, costs

    row = ask("run", "digits-resnet", *DESIGN, "--json")[1]
    old = json.loads(row)
    new = {**old, "layers": old["layers"][1:]}
    record = changes(old, new, {})
    assert record["layers"][0]["after"] is None and record["layers"][0]["before"] == costs(old["layers"][0])
    (table,) = changes_table({**record, "coverage": old["coverage"]})
    assert [cell.endswith("=> -") for cell in table.cells[0][3:]] == [True] * 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--structured", "ratio=none: must be given with --structured"),
        ("--structured --ratio 1.5", "ratio=1.5: must be in 0..1"),
        ("--structured --ratio nan", "ratio=nan: must be in 0..1"),
        ("--structured --ratio 0.99", "ratio=0.99: must be at most 0.96875, the largest that floors let reach"),
        ("--structured --ratio 0.8 --floor 0.5", "ratio=0.8: must be at most 0.5, the largest"),
        ("--ratio 0.5", "ratio=0.5: must be given with --structured"),
        ("--verify --density 0.5", "verify=True: must be given with --structured"),
        ("--structured --ratio 0.5 --density 0.3", "density=0.3: must be left out with --structured: --ratio says"),
        ("--structured --ratio 0.5 --criterion l2", "criterion=l2: must be left out with --structured: --score says"),
        ("--structured --ratio 0.5 --pattern 2:4", "pattern=2:4: must be left out with --structured"),
        ("--structured --ratio 0.5 --epochs 5", "epochs=5: must be left out with --structured"),
        ("--structured --ratio 0.5 --layer-density a=1", "layer_density=a=1: must be left out with --structured"),
        ("--structured --ratio 0.5 --permute", "permute=True: must be left out with --structured"),
        ("--structured --ratio 0.5 --schedule cubic", "schedule=cubic: must be one-shot or linear"),
        ("--structured --ratio 0.5 --steps 3", "steps=3: must be given with --schedule linear"),
        ("--structured --ratio 0.5 --scope all", "scope=all: must be local, global or isomorphic"),
        ("--structured --ratio 0.5 --score l3", "score=l3: unknown; did you mean l2 or l1?"),
        ("--structured --ratio 0.5 --aggregate men", "aggregate=men: unknown; did you mean mean?"),
        ("--structured --ratio 0.5 --normalise men", "normalise=men: unknown; did you mean mean?"),
        ("--structured --ratio 0.5 --round-to 0", "round_to=0: must be an integer >= 1"),
        ("--structured --ratio 0.5 --select lass", "select=lass: must be importance or lasso"),
        ("--structured --ratio 0.5 --out small.npz", "out=small.npz: must end in .onnx"),
        ("--structured --group-ratio stem.weigh:0:0=0.5", "group_ratio=stem.weigh:0:0: unknown; did you mean stem.wei"),
        ("--structured --group-ratio stem=x", "group_ratio=stem=x: must be as fc1=0.3"),
        ("--structured --group-ratio stem.weight:0:0=3", "ratio of stem.weight:0:0=3.0: must be in 0..1"),
        (
            "--structured --group-ratio fc.weight:0:0=0.5",
            "group_ratio=fc.weight:0:0: is pinned: axis 1 of scores: network output",
        ),
        ("--density 0.5 --group-ratio a=0.1", "group_ratio=a=0.1: must be given with --structured"),
        (
            "--structured --ratio 0.5 --select lasso --scope global",
            "scope=global: must be left out with --select lasso",
        ),
        ("--structured --ratio 0.5 --select lasso --score l1", "score=l1: must be left out with --select lasso"),
        ("--structured --select lasso --group-ratio stem.weight:0:0=0.5", "group=stem.weight:0:0: is a residual stage"),
        ("--density 0.5 --scope isomorphic", "scope=isomorphic: must be local or global"),
        ("--density 0.5 --permute", "pattern=element: must be as 2:4, of groups of 2 to 4, with --permute"),
        ("--pattern 4:8 --permute", "pattern=4:8: must be as 2:4"),
    ],
)
def test_bad_options_are_refused_in_one_line(ask, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    code, out, err = ask("prune", "digits-resnet", *words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("groups digits-mlp", "source=digits-mlp: must be an ONNX file or a preset that is a graph"),
        ("groups weights.npz", "source=weights.npz: must be an ONNX file or a preset that is a graph"),
        ("groups none.onnx", "file=none.onnx: no such file"),
        ("prune digits-mlp --structured --ratio 0.5", "source=digits-mlp: must be an ONNX file or a preset that is a"),
        ("prune digits-mlp --pattern 2:4 --permute", "permute=True: must be left out: the network is no ONNX file"),
    ],
)
def test_arrays_have_no_groups(ask, words, message):
    code, out, err = ask(*words.split())
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and len(err.splitlines()) == 1
