"""What is shown of runs and sweeps of graphs: rows, kinds, coverage, host work, distances; all, or the largest."""

import csv
import json
import re

import numpy as np
import pytest
from onnx_models import drawn, model, node, onnx
from test_graph_sweep import proto

from eie_sim.cli import main
from eie_sim.report.page.pictures import run_pictures


def chain(n):
    """So many 1x1 convolutions, the last ones wider."""
    arrays = {f"w{at}": drawn(8 + at, 8 + max(at - 1, 0), 1, 1, seed=at) / 4 for at in range(n)}
    names = ["x", *(f"v{at}" for at in range(n - 1)), "y"]
    nodes = [node("Conv", f"{names[at]} w{at}", names[at + 1]) for at in range(n)]
    return model(nodes, {"x": drawn(1, 8, 2, 2)}, arrays)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    onnx.save(proto(), "net.onnx")
    np.savez("x.npz", x=drawn(2, 3, 6, 5))
    return tmp_path


def rows_of(printed):
    return re.findall(r"^(Conv_\S+)", printed, re.M)


def test_the_largest_of_many_products_are_printed_and_all_where_they_are_asked_for(folder, capsys):
    onnx.save(chain(43), "many.onnx")
    words = ["run", "many.onnx", "--n-pe", "4"]
    assert main([*words, "--out", "run"]) == 0
    printed = capsys.readouterr().out
    assert "\nthe 20 largest, and 23 more (--all)\n" in printed
    shown = rows_of(printed)
    assert len(shown) == 20
    record = json.loads((folder / "run" / "run.json").read_text())
    cycles = {layer["name"]: layer["cycles"] for layer in record["layers"]}
    assert len(cycles) == 43
    assert min(cycles[name] for name in shown) >= max(cycles[name] for name in cycles.keys() - {*shown})
    assert shown == [name for name in cycles if name in shown]  # in order
    with (folder / "run" / "layers.csv").open(newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == list(cycles)
    assert main([*words, "--all"]) == 0
    printed = capsys.readouterr().out
    assert rows_of(printed) == list(cycles)
    assert "--all" not in printed


def test_few_products_are_all_printed(folder, capsys):
    onnx.save(chain(40), "many.onnx")
    assert main(["run", "many.onnx", "--n-pe", "4"]) == 0
    printed = capsys.readouterr().out
    assert len(rows_of(printed)) == 40
    assert "more (--all)" not in printed


def test_the_page_of_a_run_has_rows_kinds_coverage_host_work_and_distances(folder, capsys):
    words = ["run", "net.onnx", "--inputs", "x.npz", "--unit", "nm", "--pattern", "2:4"]
    assert main([*words, "--out", "run"]) == 0
    assert main(["report", "run"]) == 0
    page = (folder / "run" / "report.html").read_text()
    text = re.sub(r"<[^>]+>", "|", re.sub(r"<script.*?</script>", "", page, flags=re.S))
    text = re.sub(r"\s*\|[|\s]*", "|", text)
    for said in (
        "|MACs covered|95.6 %|",
        "|off the floats|&lt;0.01 %|",
        "|golden product|verified|",
        "Products, all vectors together, one after the other, covers 95.6 % of MACs|",
        "|Conv_e|kxk conv2d, 2 groups|8x72|18|",
        "|network|",
        "|By kind, shares of the whole|",
        "|depthwise conv2d (host: depthwise)|1|4.4 %|",
        "|On the host, without cycles or energy|what|why|Conv_f|Conv, depthwise|Relu|host, 2 nodes that make 624 ",
        "end to end, y: &lt;0.01 % off those of the float network",
        "lowered: products differ from the framework by at most",
    ):
        assert said in text, said
    assert "all layers" not in text


def test_what_is_made_of_a_sample_says_so_in_rows_facts_and_figures(folder, capsys):
    assert main(["run", "net.onnx", "--inputs", "x.npz", "--positions", "7", "--n-pe", "4", "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["report", "run"]) == 0
    assert capsys.readouterr().out.endswith("\nchecked 63 of 288 positions\n")
    record = json.loads((folder / "run" / "run.json").read_text())
    page = (folder / "run" / "report.html").read_text()
    for one in (*record["layers"], {**record["total"], "name": "network"}):
        taken = one.get("sampled")
        said = one["name"] if taken is None else f"{one['name']}, sampled {taken['positions']} of {taken['of']}"
        assert page.count(f">{said}<") >= 2
        assert taken is None or f">{one['name']}<" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.S)
    assert "cycles, all vectors, sampled" in page
    assert ">Conv_a, sampled 7 of 60: " in page  # a point of the roofline
    pictures = run_pictures(record)
    for figure, said in (("classes", ", sampled 7 of 60"), ("energy", ", sampled 7 of 60"), ("storage", "")):
        assert f"Conv_a{said}" in [label.get_text() for label in pictures[figure].axes.get_yticklabels()]


def test_the_page_of_a_sweep_of_a_graph(folder, capsys):
    words = ["sweep", "net.onnx", "--inputs", "x.npz", "--unit", "eie,nm", "--density", "0.3"]
    assert main([*words, "--store", "s.jsonl"]) == 0
    printed = capsys.readouterr().out
    assert "covers 100.0 % of MACs on eie, 95.6 % of MACs on nm; the host does the rest, without cycles" in printed
    assert "inputs of Conv_a: given: x; negative ones take part\n" in printed
    assert main(["report", "s.jsonl"]) == 0
    assert (folder / "s.html").exists()
    assert main([*words, "--store", "s.jsonl", "--json"]) == 0
    capsys.readouterr()
    assert main([*words, "--store", "s.jsonl", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["covers"] == {"eie": 1.0, "nm": pytest.approx(0.956, abs=1e-3)}
    assert record["reused"] == record["points"] == 2
