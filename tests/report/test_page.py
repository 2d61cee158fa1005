"""What a report says, in the order it says it; that it loads nothing, and that no name in it becomes part of it."""

import hashlib
import json
import re
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reports import Read, column

import eie_sim
from eie_sim.report.figures.style import drawing
from eie_sim.report.network import limit, sections
from eie_sim.report.page.pictures import Picture
from eie_sim.report.page.run import run_page
from eie_sim.report.page.sweep import MOST_ROWS, sweep_page
from eie_sim.study import front, knee, read_store
from eie_sim.study.reading import Stored

HOSTILE = [
    *("<script>alert(1)</script>", "</style><b>", '"><img src=x onerror=alert(1)>', "x" * 500, "x" * 501),
    *("_a\n\0\u202e", "$\\frac{ $x$ ^_{}", "\u6f22\u5b57\ud800", ""),
]


@pytest.fixture(scope="module")
def report(made):
    with drawing():
        return run_page(json.loads(made))


@pytest.fixture(scope="module")
def sweep(swept):
    with drawing():
        return sweep_page(read_store(swept), swept.name)


def test_the_summary_comes_first_and_provenance_last(report, record):
    page = Read(report.html)
    order = ["Layers", "Where cycles and energy go", "Storage", "Provenance"]
    places = [page.text.index(f"\n{name}\n") for name in order]
    assert places == sorted(places)
    assert page.text.index("cycles per vector") < places[0]
    total = record["total"]
    expected = {
        "cycles per vector": total["cycles_per_vector"]["mean"],
        "time per vector": total["time_us_per_vector"],
        "energy per vector": total["energy"]["total_nj_per_vector"],
        "compressed weights": total["storage"]["total_bits"] / 8,
        "accuracy, simulated": record["accuracy"]["compressed"],
    }
    assert {name: page.facts[name].value for name in expected} == expected
    assert (page.facts["golden product"].text, page.facts["weights"].text) == ("verified", "synthetic")
    assert page.alarms == []
    (said,) = limit(record)
    assert page.text.index(said) < places[0]


def test_every_cell_has_what_the_json_has(report, record):
    page = Read(report.html)
    parts = {layer["name"]: layer for layer in record["layers"]} | {"network": record["total"]}
    compared = 0
    for table in sections(record).values():
        _, *rows = page.tables[table.title]
        for row in rows:
            part = parts[row[0].text]
            for cell, each in zip(row[1:], table.columns, strict=True):
                if cell.text:
                    value = each.value(part)
                    assert cell.text == each.cell(part)
                    assert cell.value == (None if isinstance(value, str) else value)
                    compared += 1
    assert compared > 90
    events = page.tables["Events, all vectors"]
    assert [cell.value for cell in events[1][1:]] == list(record["layers"][0]["stats"]["events"].values())
    assert [cell.value for cell in column(page.tables["Cycles per vector"], "cycles")] == [
        *(layer["cycles_per_vector"]["mean"] for layer in record["layers"]),
        record["total"]["cycles_per_vector"]["mean"],
    ]


def test_provenance_has_the_whole_design_versions_and_sources(report, record):
    page = Read(report.html)
    fields = {row[0].text: row[1] for row in page.tables["Design"][1:]}
    assert {name: cell.value or cell.text for name, cell in fields.items()} == record["config"]
    assert all(row[2].text for row in page.tables["Design"][1:])
    assert {row[0].text: row[1].text for row in page.tables["Versions"][1:]} == record["versions"]
    assert [row[1].text for row in page.tables["Weights and inputs"][1:]] == [
        each["weights"] for each in record["layers"]
    ]
    assert f"seed {record['seed']}; config {record['config_hash']}" in page.text
    told = ("network", "config_hash", "seed", "inputs", "not_simulated", "coverage")
    assert report.about == {name: record[name] for name in told}


@pytest.mark.parametrize("name", ["report", "sweep"])
def test_a_page_loads_nothing_and_runs_only_its_own_script(name, request):
    html = request.getfixturevalue(name).html
    page = Read(html)
    assert len(page.scripts) == 1
    digest = b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    policy = next(a["content"] for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith(f"default-src 'none'; script-src 'sha256-{digest}'; ")
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form", "img", "audio", "video")
        for attribute, value in attributes.items():
            if attribute in ("src", "href", "xlink:href"):
                assert value.startswith(("#", "data:image/png;base64,"))
            assert not attribute.startswith("on")
            assert "://" not in (value or "") or attribute.startswith("xmlns")
    assert set(re.findall(r"url\((.)", html)) <= {"#"}
    assert "@import" not in html


def test_a_page_is_the_same_bytes_again(report, record):
    with drawing():
        assert run_page(record).html == report.html


def test_a_page_of_a_sweep_is_the_same_bytes_again(sweep, swept, undrawn):
    again = sweep_page(read_store(swept), swept.name).html
    assert re.sub("<svg.*?</svg>", "<svg></svg>", sweep.html, flags=re.DOTALL) == again


def named(record, names):
    """A record with a layer for each name, and all other texts one of them."""
    given = json.loads(json.dumps(record))
    given["network"] = given["source"] = given["engine"] = given["config_hash"] = names[0]
    given["not_simulated"] = [{"name": name, "reason": name} for name in names]
    given["layers"] = [record["layers"][0] | {"name": name, "weights": name, "inputs": name} for name in names]
    return given


def test_names_stay_names(report, record, monkeypatch):
    """In figures too, which are drawn of layers with such names."""
    with drawing():
        hostile = run_page(named(record, HOSTILE)).html
    monkeypatch.setattr(Picture, "svg", lambda picture: "<svg></svg>")
    harmless = run_page(named(record, [f"fc{at}" for at in range(len(HOSTILE))])).html
    outside = re.compile("<svg.*?</svg>|<style>.*?</style>", re.DOTALL)
    tags = [[tag for tag, _ in Read(outside.sub("", page)).tags] for page in (harmless, hostile)]
    assert tags[0] == tags[1]
    assert {tag for tag, _ in Read(hostile).tags} <= {tag for tag, _ in Read(report.html).tags}
    hostile.encode()


def test_what_is_not_verified_is_red_in_every_table(record, undrawn):
    record["layers"][0]["verification"]["ok"] = record["verified"] = False
    record["differs"] = ["fc1: 3 outputs"]
    report = run_page(record)
    page = Read(report.html)
    assert report.verified is False
    assert page.alarms == ["NOT VERIFIED", "differs: fc1: 3 outputs"]
    assert page.facts["golden product"][::2] == ("NOT VERIFIED", "alarm")
    _marked(page, "fc1, NOT VERIFIED")


def test_a_verified_run_that_is_warned_of_is_alarming(record, undrawn):
    record["warnings"] = ["fc1: 3 of 4 outputs saturated"]
    report = run_page(record)
    page = Read(report.html)
    assert report.verified is True
    assert page.alarms == ["warning: fc1: 3 of 4 outputs saturated"]
    assert page.facts["golden product"][::2] == ("verified, but 1 warning", "alarm")


def test_what_does_not_fit_is_red_in_every_table(record, undrawn):
    layer = record["layers"][0]
    layer["fits"] = record["total"]["fits"] = layer["memories"][4]["fits"] = False
    layer["memories"][4] |= {"needed": 2048, "passes": 2}
    page = Read(run_page(record).html)
    assert page.alarms[0].startswith("fc1 does not fit: register_file needs 2,048 of 1,024 bits")
    assert page.facts["memories"][::2] == ("does not fit", "alarm")
    _marked(page, "fc1, does not fit")


def _marked(page, name):
    tables = [rows for rows in page.tables.values() if rows[0][0].text == "layer"]
    assert len(tables) == 10
    assert all(rows[1][0].text == name and rows[1][0].classes == "alarm" for rows in tables)


def test_one_layer_and_unequal_vectors(record, undrawn):
    record["layers"][1]["n_vector"] = 3
    page = Read(run_page(record).html)
    assert page.facts["cycles, all vectors"].value == record["total"]["cycles"]
    assert len(page.tables["Cycles per vector"]) == 3, "nothing to add up"
    record["layers"] = record["layers"][:1]
    page = Read(run_page(record).html)
    assert len(page.tables["Cycles per vector"]) == 2
    assert "cycles per vector" in page.facts


def test_a_sweep_has_its_front_with_the_knee_its_rows_and_failures(sweep, swept):
    page, rows = Read(sweep.html), read_store(swept).rows
    objectives = ["cycles", "energy_nj", "accuracy"]
    best = front(rows, objectives)
    table = page.tables[f"Not beaten in {', '.join(objectives)}: {len(best.rows)}"]
    assert [cell.value for cell in column(table, "cycles")] == [row["cycles"] for row in best.rows]
    at_knee = [row for row, mark in zip(best.rows, column(table, ""), strict=False) if mark.text == "knee"]
    assert at_knee == [knee(best.rows, objectives)]
    assert page.facts["points"].value == len(rows) == len(page.tables["All points"]) - 1
    assert page.facts["failed"][1:] == (12, "alarm")
    assert page.facts["do not fit memories"][1:] == (1, "alarm")
    assert page.facts["golden product"].text == "not asked for"
    assert page.tables["Failures"][1][1].value == 12
    assert {row[0].text: row[1].value for row in page.tables["Axes"][1:]}["queue_depth"] == 2
    assert [picture.name for picture in sweep.pictures] == ["pareto", "sparsity", "balance", "scaling"]
    assert sweep.about == {"workload": "random", "config_hash": None, "seed": 0}


def test_rows_of_a_sweep_are_in_the_order_of_their_axes(sweep, swept):
    page = Read(sweep.html)
    rows = [[column(page.tables["All points"], axis) for axis in ("density", "n_pe", "queue_depth")]]
    values = [[cell.value for cell in cells] for cells in rows[0]]
    there = [each for each in zip(*values, strict=True) if None not in each]
    assert there == sorted(there)


SCALARS = [None, True, -1, 0, 1, 0.5, 1e-300, 1e29, 1e31, 10**200, "", "x", "$\\x{", "_q", "<b>"]


@settings(max_examples=25)
@given(st.data())
def test_no_damage_of_a_store_leads_to_a_traceback(swept, tmp_path_factory, data):
    """Rows with one value changed count as damaged, or are shown."""
    rows = read_store(swept).rows[::6]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows))
        row[data.draw(st.sampled_from([name for name in row if name != "key"]))] = data.draw(st.sampled_from(SCALARS))
    path = tmp_path_factory.mktemp("store") / "x.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.MonkeyPatch.context() as patch, drawing():
        patch.setattr(Picture, "svg", lambda picture: "")
        assert sweep_page(read_store(path), "x.jsonl").html.endswith("</html>\n")


def one_row(swept, **more):
    return next(row for row in read_store(swept).rows if row["error"] is None and row["fits"]) | more


def test_large_sweeps_and_sweeps_of_one_point(swept, undrawn):
    row = one_row(swept)
    many = [{**row, "key": f"{at:032x}", "queue_depth": at + 1, "cycles": 10_000 - at} for at in range(MOST_ROWS + 1)]
    page = Read(sweep_page(Stored(many, 3), "x.jsonl").html)
    assert len(page.tables["All points"]) == MOST_ROWS + 1
    assert "the first 2,000 of 2,001 rows" in page.text
    assert page.alarms == ["3 lines of the store left out: damaged, or not written to the end"]
    page = Read(sweep_page(Stored([row], 0), "x.jsonl").html)
    assert "Axes" not in page.tables
    assert len(page.tables["All points"]) == 2


def test_sweeps_in_which_nothing_ran_or_fits(swept, undrawn):
    failed = {"key": "0" * 32, "workload": "<b>", "unit": "eie", "error": "n_pe=0: no"}
    page = Read(sweep_page(Stored([failed], 0), "x.jsonl").html)
    assert page.facts["failed"].value == 1
    page = Read(sweep_page(Stored([one_row(swept, fits=False, misfit="spmat_sram")], 0), "x.jsonl").html)
    assert "1 point left out of the front: does not fit the memories" in page.text
    assert page.tables["All points"][1][-1].text == "does not fit: spmat_sram"


@pytest.mark.parametrize(
    "more, verified, said",
    [
        ({"verified": True}, True, "verified"),
        ({"verified": False}, False, "NOT VERIFIED"),
        ({"error": "outputs: differ from the golden product: fc: 3"}, False, "NOT VERIFIED"),
        ({"error": "layer fc: outputs=3: differ from the dense product"}, False, "NOT VERIFIED"),
        ({"error": "n_pe=0: no"}, None, "not asked for"),
    ],
)
def test_whether_a_sweep_is_verified(swept, undrawn, more, verified, said):
    report = sweep_page(Stored([one_row(swept, **more)], 0), "x.jsonl")
    assert report.verified is verified
    assert Read(report.html).facts["golden product"].text == said


def test_workloads_are_not_compared_with_each_other(swept, undrawn):
    rows = [one_row(swept, key=f"{at:032x}", workload=name) for at, name in enumerate(("alex-6", "alex-7"))]
    report = sweep_page(Stored(rows, 0), "x.jsonl")
    page = Read(report.html)
    assert page.text.count("Not beaten in cycles, energy_nj: 1") == 2
    assert [cell.text for cell in column(page.tables["All points"], "workload")] == ["alex-6", "alex-7"]
    assert page.facts["weights"].text == "synthetic"
    assert report.about["workload"] == ["alex-6", "alex-7"]


def test_a_page_says_what_made_it(report):
    assert f'<meta name="generator" content="eie-sim {eie_sim.__version__}">' in report.html
