"""eie-sim help, version, presets, footprint, energy and validate."""

import pytest

import eie_sim
from eie_sim.network import preset_names


def without(tree, *names):
    """Nested dicts without some keys."""
    if isinstance(tree, dict):
        return {key: without(value, *names) for key, value in tree.items() if key not in names}
    return [without(value, *names) for value in tree] if isinstance(tree, list) else tree


def test_version(ask):
    assert ask("--version") == (0, f"{eie_sim.__version__}\n", "")


def test_presets_lists_every_preset(ask, ask_json):
    records = ask_json("presets")
    assert [record["name"] for record in records] == list(preset_names())
    assert [record["name"] for record in records if record["kind"] == "real"] == list(preset_names())[:4]
    assert {record["kind"] for record in records} == {"real", "synthetic"}
    code, out, err = ask("presets")
    assert (code, err) == (0, "")
    for record in records:
        row = next(line for line in out.splitlines() if line.startswith(record["name"]))
        n_out, n_in = record["shapes"][0]
        assert f"{n_out}x{n_in}" in row
        assert record["kind"] in row


def test_presets_say_which_inputs_their_densities_are_of(ask, ask_json):
    by_name = {record["name"]: record for record in ask_json("presets")}
    assert by_name["digits-mlp"]["inputs"] == "recorded, 64 held-back images"
    assert by_name["alex-6"]["inputs"] == ""
    assert "digits-mlp: recorded, 64 held-back images" in " ".join(ask("presets")[1].split())


def test_footprint_counts_every_format_of_every_layer(ask, ask_json, chain):
    records = ask_json("footprint", chain, "--n-pe", 8)["layers"]
    assert [record["name"] for record in records] == ["fc1", "fc2"]
    run = ask_json("run", chain, "--n-pe", 8)
    out = ask("footprint", chain, "--n-pe", 8)[1]
    for record, layer in zip(records, run["layers"], strict=True):
        formats = {one["name"]: one for one in record["formats"]}
        assert {"eie", "dense", "dense32", "csr", "csc", "coo", "bitmap", "run_length", "nm"} == set(formats)
        assert formats["eie"]["total_bits"] == layer["storage"]["total_bits"]
        assert formats["dense"]["parts"]["values"] == 16 * layer["n_out"] * layer["n_in"]
        for one in formats.values():
            assert sum(one["parts"].values()) == one["total_bits"]
            assert f"{one['total_bits']:,}" in out


def test_footprint_of_one_layer_pruned_to_fit_another_pattern(ask_json):
    options = ["--layer", "fc2", "--density", 0.05, "--pattern", "4:4", "--value-bits", 8]
    (record,) = ask_json("footprint", "digits-mlp", *options)["layers"]
    formats = {one["name"]: one for one in record["formats"]}
    assert record["name"] == "fc2"
    assert formats["dense"]["parts"]["values"] == 8 * 128 * 256
    assert formats["csr"]["parts"]["values"] == pytest.approx(8 * 0.05 * 128 * 256, rel=0.01)
    assert formats["nm"]["valid"] is True
    assert formats["nm"]["parts"] == {"values": 8 * 128 * 256, "metadata": 2 * 128 * 256, "bias": 8 * 128}


def test_energy_shows_every_constant_with_its_source_and_the_area(ask, ask_json):
    shown = ask_json("energy")
    assert all(row["source"] and row["energy_pj"] >= 0 for row in shown["energy"])
    out = ask("energy")[1]
    for row in shown["energy"]:
        line = next(line for line in out.splitlines() if line.startswith(f"{row['event']} "))
        assert f"{row['energy_pj']:.4f}" in line
        assert (" chosen " in line) == row["chosen"]
    assert [row["event"] for row in shown["energy"] if row["chosen"]] == ["spmat_reads", "map_reads", "pe_cycle"]
    assert f"{shown['area']['total_mm2']:.3f}" in out.splitlines()[-1]
    assert "64 PEs" in out.splitlines()[-1]


def test_energies_can_be_printed_edited_and_given_back(ask, ask_json, chain, tmp_path):
    table = tmp_path / "table.csv"
    code, text, err = ask("energy", "--csv", "--n-pe", 4)
    assert (code, err) == (0, "")
    table.write_text(text)
    default = ask_json("run", chain, "--n-pe", 4)
    same = ask_json("run", chain, "--n-pe", 4, "--energy-table", table)
    assert {layer["energy"]["table"] for layer in same["layers"]} == {"given"}
    trace = "energy_table", "config_hash", "table", "table_sha256"
    assert without(same, *trace) == without(default, *trace)
    assert same["energy_table"]["changed"] == []

    row = next(line for line in text.splitlines() if line.startswith("macs,"))
    table.write_text(text.replace(row, "macs,1000,guessed"))
    edited = ask_json("run", chain, "--n-pe", 4, "--energy-table", table)
    for layer in edited["layers"]:
        assert layer["energy"]["by_event_pj"]["macs"] == 1000 * layer["stats"]["events"]["macs"]
    assert without(edited, "energy", "limit", *trace) == without(default, "energy", "limit", *trace), (
        "energy changes no cycle"
    )


def test_a_smaller_node_takes_less_energy_and_area(ask_json):
    at_45, at_28 = ask_json("energy"), ask_json("energy", "--node-nm", 28)
    assert at_28["area"]["total_mm2"] < at_45["area"]["total_mm2"]
    for now, then in zip(at_28["energy"], at_45["energy"], strict=True):
        assert now["energy_pj"] < then["energy_pj"] or then["energy_pj"] == 0


def test_validate_nm_prints_each_product_the_errors_and_the_choices(ask, ask_json):
    record = ask_json("validate", "nm")
    assert len(record["rows"]) == 68
    for row in record["rows"]:
        assert row["error"] == pytest.approx(row["simulated_ms"] / row["measured_ms"] - 1)
    code, out, err = ask("validate", "nm")
    assert (code, err) == (0, "")
    table, rest = out.split("\n\n", 1)
    assert len({len(line.rstrip()) for line in table.splitlines()[2:]}) == 1  # figures line up
    assert all(f"{100 * row['error']:+.2f} %" in table for row in record["rows"])
    for summary in record["summary"]:
        errors = [abs(row["error"]) for row in record["rows"] if row["pattern"] == summary["pattern"]]
        assert summary["mean_error"] == pytest.approx(sum(errors) / len(errors))
        assert f"{summary['pattern']}: error {100 * summary['mean_error']:.2f} % mean" in rest
        assert f"{100 * max(errors):.2f} % worst" in rest
    assert all(note in rest for note in record["notes"])
    assert all(choice["reason"] in rest for choice in record["choices"])
    chips = record["chips"]
    assert all(f"{100 * row['error']:+.1f} %" in rest for row in chips["rows"])
    assert all(f"{preset}: {held}" in rest for preset, held in chips["held_against"].items())
    assert all(f"{100 * one['worst_error']:.1f} %" in rest for one in (*chips["groups"], *chips["groups_before"]))
    assert chips["left_out"] in rest
