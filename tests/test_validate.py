import json
import math
import re

import numpy as np
import pytest
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim import tables, validate
from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.core.published import Study
from eie_sim.deep_compression import published_record
from eie_sim.energy import EnergyTable
from eie_sim.units.eie import published
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.counts import counted
from eie_sim.units.eie.studies import SHOWN, spmat_energy_nj
from eie_sim.units.nm.published import products


@pytest.fixture(scope="module")
def alex_7():
    return published.simulate_layers(["Alex-7"], draw=validate.Draw())


@pytest.fixture(scope="module")
def all_layers():
    return published.simulate_layers(draw=validate.Draw())


def by_row(comparisons):
    return {comparison.row: comparison for comparison in comparisons}


def test_a_simulated_alex_7_draws_what_table_2_says(alex_7):
    rows = by_row(published.energy_table2(alex_7))
    assert list(rows) == ["act_queue", "ptr_read", "spmat_read", "arithm_unit", "act_rw", "total"]
    assert rows["total"].published == 9.157
    assert abs(rows["total"].error) < 0.02
    assert abs(rows["spmat_read"].error) < 0.05
    assert abs(rows["ptr_read"].error) < 0.05
    leakage_mw = rows["total"].simulated - sum(row.simulated for name, row in rows.items() if name != "total")
    assert leakage_mw == pytest.approx(0.04)


def test_rows_of_table_2_that_carry_a_chosen_energy_are_calibrated(alex_7):
    """The clock's energy is chosen for the total, and the modules it is split over carry it."""
    rows = by_row(published.energy_table2(alex_7))
    clocked = {module for module, energy in EnergyTable.for_config(EieConfig()).pe_cycle_pj.items() if energy}
    assert {name for name, row in rows.items() if row.kind == "calibrated"} == {"spmat_read", "total", *clocked}
    assert all(row.source == "Table II, at Alex-7" for row in rows.values())


def test_alex_7_takes_the_papers_time(alex_7):
    theoretical, actual = published.eie_times(alex_7)
    assert (theoretical.published, actual.published) == (11.7, 12.2)
    assert abs(theoretical.error) < 0.1
    assert abs(actual.error) < 0.1
    assert theoretical.simulated <= actual.simulated


def test_every_row_says_what_was_simulated_and_why_it_may_differ(alex_7):
    for row in published.energy_table2(alex_7) + published.eie_times(alex_7):
        assert "synthetic" in row.inputs and "seed 0" in row.inputs
        assert row.note
        assert row.error == pytest.approx(row.simulated / row.published - 1)
        assert json.loads(json.dumps(row.to_dict(), allow_nan=False)) == row.to_dict()


def percents_off(note):
    """The errors that a note quotes, as shares."""
    return [float(found) / 100 for found in re.findall(r"([+-][\d.]+) % off", note)]


def follow_from_the_rows_they_name(layers):
    times = {row.row: row for row in published.eie_times(layers) if row.quantity == "actual time"}
    for row in published.layer_energies(layers):
        time, power = percents_off(row.note)
        assert time == pytest.approx(times[row.row].error, abs=1e-3)
        assert (1 + time) * (1 + power) == pytest.approx(1 + row.error, abs=2e-3)
    for row in published.bars(layers):
        if row.quantity == "speedup":
            assert percents_off(row.note) == [pytest.approx(times[row.row].error, abs=1e-3)]


def test_speedups_and_energies_quote_the_errors_that_they_follow_from(alex_7):
    follow_from_the_rows_they_name(alex_7)
    compared = published.bars(alex_7) + published.layer_energies(alex_7)
    assert {row.group: row.follows for row in compared} == published.FOLLOWS
    assert not any(row.follows for row in published.eie_times(alex_7) + published.energy_table2(alex_7))


@pytest.mark.slow
def test_all_speedups_and_energies_quote_the_errors_that_they_follow_from(all_layers):
    follow_from_the_rows_they_name(all_layers)


@pytest.mark.slow
def test_worse_balance_is_a_reason_only_where_the_paper_has_worse_balance(all_layers):
    rows = published.eie_times(all_layers)
    for theoretical, actual in zip(rows[::2], rows[1::2], strict=True):
        assert "trained" not in theoretical.note
        waits_more = actual.published / theoretical.published > 1.01 * actual.simulated / theoretical.simulated
        assert ("trained weights" in actual.note) is waits_more
        assert percents_off(actual.note) == [pytest.approx(theoretical.error, abs=1e-3)]
    unexplained = [row.row for row in rows if "no reason is known for that much" in row.note]
    assert unexplained == ["VGG-6", "NT-LSTM"]
    larger = [row.row for row in rows if "larger than rounding leaves" in row.note]
    assert larger == ["Alex-8", "VGG-6", "NT-We"]
    assert ["the same time is printed for" in row.note for row in rows].count(True) == 1


def test_layers_are_the_papers():
    with pytest.raises(InputError, match=r"^layer=Alex-9: unknown; did you mean Alex-"):
        published.simulate_layers(["Alex-9"], draw=validate.Draw())
    with pytest.raises(InputError, match=r"must include Alex-7$"):
        published.energy_table2({})


@pytest.mark.slow
def test_nine_layers_beside_table_4(all_layers):
    rows = published.eie_times(all_layers)
    assert len(rows) == 18
    actual = [row for row in rows if row.quantity == "actual time"]
    follows = [row for row in actual if row.row not in ("VGG-6", "Alex-8")]  # whose theoretical times do not
    assert all(abs(row.error) < 0.12 for row in follows)
    assert sum(row.error < 0 for row in actual) > 4  # independent weights balance better than trained ones
    geometric_mean = math.exp(sum(math.log(row.simulated / row.published) for row in actual) / len(actual))
    assert 0.85 < geometric_mean < 1.0


@pytest.mark.slow
def test_layers_that_do_not_fit_are_marked(all_layers):
    rows = published.eie_times(all_layers) + published.energy_table2(all_layers)
    assert {row.row for row in rows if not row.fits} == {"VGG-6", "NT-Wd"}
    assert all(("does not fit" in row.note) is not row.fits for row in rows)


@pytest.mark.slow
def test_the_other_layers_power_is_shown_beside_the_one_published(all_layers):
    rows = by_row(published.energy_table2(all_layers))
    assert len(rows) == 6 + 8
    others_names = [name for name in published.LAYERS if name != "Alex-7"]
    others = [rows[name] for name in others_names]
    assert all(row.published == 9.157 and 4 < row.simulated < 15 for row in others)
    assert abs(rows["Alex-6"].error) < 0.02  # the densities of Alex-7
    assert rows["NT-We"].error > 0.2  # one item a cycle: pointer reads dominate
    assert all(rows[name].source == "Table II, one power for all layers" for name in others_names)
    assert [name for name in others_names if "could hardly miss" in rows[name].note] == ["Alex-6"]
    assert "ptr_read draws" in rows["NT-We"].note and "ptr_read draws" not in rows["Alex-6"].note


def row(published, simulated, kind="validated", group="a", name="x"):
    return validate.Comparison(
        group=group, source="Table I", row=name, quantity="time", unit="us", published=published, simulated=simulated,
        inputs="none", note="none", kind=kind,
    )  # fmt: skip


def test_what_could_have_missed_agrees_within_a_tenth_or_misses():
    assert [row(100, value).verdict for value in (100, 109.9, 90.1, 110.1, 89.9)] == ["agrees"] * 3 + ["misses"] * 2
    assert row(100, 300, kind="derived").verdict == "derived"
    assert row(100, 100, kind="calibrated").verdict == "calibrated"


def test_groups_have_mean_and_worst_error_and_keep_kinds_apart():
    rows = [row(10, 10.9, name="up"), row(10, 5, name="down"), row(10, 10, kind="derived"), row(4, 5, group="b")]
    first, derived, second = validate.by_group(rows)
    assert (first.group, first.kind, first.n_row, first.n_agree) == ("a", "validated", 2, 1)
    assert first.mean_error == pytest.approx(0.295)
    assert (first.worst_error, first.worst_row) == (0.5, "down")
    assert (derived.kind, derived.worst_error) == ("derived", 0)
    assert (second.group, second.n_agree) == ("b", 0)


def test_bars_are_the_cpus_time_over_the_simulated_one(alex_7):
    speedup, efficiency = published.bars(alex_7)
    time_us = alex_7["Alex-7"].result.time_us
    assert (speedup.published, efficiency.published) == (507, 61533)
    assert speedup.simulated == pytest.approx(6187.1 / time_us)
    assert efficiency.error == pytest.approx(speedup.error)
    assert (speedup.kind, efficiency.kind) == ("validated", "derived")


def test_the_energy_of_a_layer_is_beside_time_times_power(alex_7):
    (row,) = published.layer_energies(alex_7)
    assert row.published == pytest.approx(12.2 * 64 * 9.157 / 1e3)
    assert abs(row.error) < 0.1


def test_arithmetic_is_labelled_so_and_comes_close(alex_7):
    rows = by_row(published.derived(alex_7))
    assert {row.verdict for row in rows.values()} == {"derived"}
    assert rows["area of 64 PEs"].simulated == pytest.approx(64 * 0.638024, rel=1e-3)
    assert rows["peak throughput"].simulated == pytest.approx(102.4)
    assert all(abs(row.error) < 0.05 for row in rows.values())
    of_design = {name for name, row in rows.items() if row.inputs == "the design alone: 64 PEs at 800 MHz"}
    assert of_design == {"area of 64 PEs", "peak throughput"}


def test_printed_bars_follow_from_table_4_but_for_the_rows_that_say_so():
    """Fig. 6 is Table IV's CPU time over EIE's; two of its bars are not, and their notes say so."""
    times = {row["layer"]: float(row["actual_us"]) for row in tables.rows("eie_table4")}
    off = {
        bar["layer"]
        for bar in tables.rows("eie_bars")
        if abs(float(bar["cpu_dense_us"]) / times[bar["layer"]] / float(bar["speedup"]) - 1) > 0.02
    }
    assert off == {"NT-We", "NT-LSTM"}


def test_every_measured_product_and_every_published_size_is_a_row():
    timed = products()
    assert len(timed) == 68
    kinds = {"N:M products, 2:4": "calibrated", "N:M products, dense": "validated"}
    assert {(row.group, row.kind) for row in timed} == set(kinds.items())
    assert all("were chosen with the 2:4 times" in row.note for row in timed)
    assert all(("library changes tiles" in row.note) is (row.kind == "validated") for row in timed)
    assert all(row.source.startswith("VENOM artifact, fig") for row in timed)
    sizes = validate.sizes()
    assert len(sizes) == len(tables.rows("deep_compression_layers"))
    assert all(0 < row.published < 100 for row in sizes)


def test_sizes_that_are_a_closed_formula_or_a_sum_are_derived():
    records = {f"{one.network} {one.layer}": one for one in published_record()}
    for row in validate.sizes():
        record = records[row.row]
        by_formula = record.n_filler < 0.01 * (record.n_kept + record.n_filler)
        assert row.kind == ("derived" if by_formula or record.layer == "total" else "validated")
        assert ("the sum of" in row.note) is (record.layer == "total")
        assert "before Huffman coding" in row.note
        assert (f"{record.formula_pct:.2f} % of dense without fillers" in row.note) is (row.verdict == "misses")


@pytest.mark.slow
def test_the_studies_say_what_was_found_from_their_own_rows():
    found = {study.figure: study for study in validate.studies_of(validate.publications())}
    assert list(found) == ["8", "9", "11", "12", "13"]
    assert all(len({row["layer"] for row in study.rows}) == 9 for study in found.values())
    assert found["11"].holds and found["12"].holds and found["13"].holds
    depth_1 = [row for row in found["8"].rows if row["queue_depth"] == 1]
    idle = [row["waiting_cycles"] / (64 * row["cycles"] - row["drain_cycles"]) for row in depth_1]
    assert f"idle {100 * sum(idle) / 9:.0f} % at 1" in found["8"].found
    shares = {}
    for row in sorted(found["13"].rows, key=lambda row: row["n_pe"]):
        waiting = row["waiting_cycles"] / (row["n_pe"] * row["cycles"] - row["drain_cycles"])
        shares.setdefault(row["layer"], []).append(1 - waiting)
    rising = {name for name, own in shares.items() if np.diff(own).max() > 0}
    assert {name for name in shares if name in found["13"].found} == rising
    assert all(bool(study.why) is not study.holds for study in found.values())
    energy = EnergyTable.for_config(EieConfig(spmat_width_bits=512)).energy_pj["spmat_reads"]
    dearer = energy / EnergyTable.for_config(EieConfig()).energy_pj["spmat_reads"]
    assert f"takes {dearer:.1f} times the energy" in found["9"].why
    for study in found.values():
        assert json.loads(json.dumps(study.to_dict(), allow_nan=False)) == study.to_dict()
        assert all(study.varies in row and len(row) == 9 for row in study.to_dict()["rows"])


def idle_share(entries, depth, *, slot_kept):
    """Share of PE-cycles without work, drain left out. entries : int[item, PE]; slot_kept : until the item is done."""
    busy = np.maximum(entries, 1)
    taken, done = np.zeros_like(busy), np.zeros_like(busy)
    sent, ready = -1, np.zeros(entries.shape[1], dtype=int)
    for item in range(len(busy)):
        freed = done[item - depth] if slot_kept else taken[item - depth]
        sent = sent + 1 if item < depth else max(sent + 1, 1 + freed.max())
        taken[item] = np.maximum(sent + 1, ready)
        ready = taken[item] + busy[item]
        done[item] = ready - 1
    return 1 - busy.sum() / (ready.max() * busy.shape[1])


@pytest.fixture(scope="module")
def all_pointers():
    """Of the active columns of the paper's layers: where they start and end in each PE's entries, int[item, PE]."""
    found = []
    for name in published.LAYERS:
        layer = es.load(name.lower()).layers[0]
        column, row = np.nonzero(layer.weights.T)
        counts = counted(
            np.searchsorted(column, np.arange(layer.n_in + 1)), row.astype(np.int32), layer.weights.shape,
            n_pe=64, weight_bits=4, index_bits=4, has_bias=False,
        )  # fmt: skip
        active = np.flatnonzero(layer.activations)
        found.append((counts.pointers[active], counts.pointers[active + 1]))
    return found


@pytest.mark.slow
def test_a_slot_kept_until_its_item_is_done_idles_about_half_the_cycles_at_one_entry(all_pointers):
    """What the reason of Fig. 8 says, on the paper's layers."""
    mean = {
        (depth, kept): np.mean([idle_share(end - start, depth, slot_kept=kept) for start, end in all_pointers])
        for depth in (1, 8)
        for kept in (False, True)
    }
    assert 0.2 < mean[1, False] < 0.4 < mean[1, True] < 0.6
    assert abs(mean[8, True] - mean[8, False]) < 0.01


@pytest.mark.slow
def test_rows_read_anew_for_every_item_take_more_energy_beyond_64_bits(all_pointers):
    """What the reason of Fig. 9 says: reads of a width are the rows that each item's entries lie in."""
    energy = {}
    for width in (32, 64, 128, 256, 512):
        one_nj = spmat_energy_nj({"spmat_width_bits": width, "spmat_reads": 1})
        held = width // 8
        rows = [np.where(end > start, (end - 1) // held - start // held + 1, 0).sum() for start, end in all_pointers]
        energy[width] = one_nj * np.mean(rows)
    assert energy[32] < energy[64] < energy[128] < energy[256] < energy[512]


@pytest.fixture
def quick(monkeypatch, alex_7):
    """The command on one layer, and on one study of it."""
    rows = [*published.energy_table2(alex_7), *published.eie_times(alex_7), *published.bars(alex_7), *products()]
    swept = es.sweep.run("alex-7", grid={"queue_depth": [1, 8]}, workers=1).rows
    studies = [
        Study(
            "8", "queue_depth", "little is gained", "this is found", False, swept, SHOWN, "balance", "for this reason"
        )
    ]
    monkeypatch.setattr(validate, "rows_of", lambda named, seed, progress: rows)
    monkeypatch.setattr(validate, "studies_of", lambda named, seed, progress: studies)
    return rows


def test_the_command_prints_every_row_with_error_and_verdict(quick, capsys):
    assert main(["validate"]) == 0
    out = capsys.readouterr().out
    for row in quick:
        own = out.split(f"{row.group}: {row.quantity}, {row.source}\n")[1].split("\n\n")[0]
        lines = [line for line in own.splitlines() if line.startswith(f"{row.row} ")]
        assert any(f"{100 * row.error:+.1f} %" in line and row.verdict in line for line in lines)
    headings = {line for line in out.splitlines() if line.startswith("row ")}
    assert len(headings) == 1, "all tables line up"
    assert "Fig. 8" in out and "differs" in out and "this is found" in out
    assert "Fig. 8 differs: for this reason" in out
    unwrapped = " ".join(out.split())
    assert all(f"] {note}" in unwrapped for note in {row.note for row in quick})


def test_a_summary_has_the_groups_and_no_rows(quick, capsys):
    assert main(["validate", "--summary"]) == 0
    out = capsys.readouterr().out
    assert all(group.group in out for group in validate.by_group(quick))
    assert "Table IV" not in out
    assert "[1]" not in out


def test_as_json_and_as_a_figure(quick, capsys, tmp_path):
    assert main(["validate", "--json", "--figure", str(tmp_path / "v.png")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert len(record["rows"]) == len(quick)
    assert {"seed", "config_hash", "versions", "groups", "studies"} <= record.keys()
    (study,) = record["studies"]
    assert study["holds"] is False
    assert [(row["layer"], row["queue_depth"]) for row in study["rows"]] == [("alex-7", 1), ("alex-7", 8)]
    assert (tmp_path / "v.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nm", "--summary"], "paper=nm: must be all or eie with --summary or --figure"),
        (["deep-compression", "--figure", "a.png"], "paper=deep-compression: must be all or eie with --summary"),
        (["--figure", "a.gif"], "figure=a.gif: must end in .png, .svg"),
        (["--seed", "-1"], "seed=-1: must be an integer >= 0"),
    ],
)
def test_bad_words_are_one_line_and_code_2(words, said, capsys):
    assert main(["validate", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert said in err


def test_every_row_is_a_point_of_the_parity_figure(quick):
    axes = es.figures.parity(quick, Figure().subplots())
    points = np.concatenate([one.get_offsets() for one in axes.collections if len(one.get_offsets())])
    ratios = points[:, 0]
    assert sorted(np.round(ratios, 9)) == sorted(np.round([100 * (1 + row.error) for row in quick], 9))
    empty = es.figures.parity([], Figure().subplots())
    assert [text.get_text() for text in empty.texts] == ["no rows"]
