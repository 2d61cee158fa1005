"""compare, as a person types it."""

import json
from itertools import product

import pytest

import eie_sim as es

QUICK = ["--layer", "fc3", "--patterns", "2:4", "--densities", "0.25", "--batches", "1", "8"]


def test_the_table_answers_which_is_fastest_when(ask, tmp_path):
    code, out, err = ask("compare", "digits-mlp", *QUICK, "--figure", tmp_path / "a.svg")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[:3] for line in lines[2:4]] == [["1", "dense", "fp16"], ["2:4", "fp16", "50.0"]]
    assert sum(line.startswith("batch ") and "fastest" in line for line in lines) == 2
    assert "nm-64, and EIE of 1 x 64 PEs: 64 MACs a cycle each" in out
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_joules_of_a_board_never_stand_alone(ask, ask_json):
    code, out, _ = ask("compare", "digits-mlp", *QUICK, "--preset", "a100-sxm")
    assert code == 0
    record = ask_json("compare", "digits-mlp", *QUICK, "--preset", "a100-sxm")
    for row in record["rows"]:
        if row["unit"] == "eie":
            assert row["board_nj"] is row["board_nj_dram"] is None
            continue
        for parts, board in ((row["energy_nj"], row["board_nj"]), (row["energy_nj_dram"], row["board_nj_dram"])):
            assert parts < board
            assert f"{parts / row['batch']:,.1f} to {board / row['batch']:,.0f}" in out
        assert row["board_nj"] == pytest.approx(400e3 * row["time_us"])
    assert "to the whole board's 400 W for that time" in out
    assert "a100-sxm: 2 products measured elsewhere; EIE: its paper at 64 PEs and 800 MHz alone" in out


def test_a_design_that_is_no_board_has_no_bound(ask):
    _, out, _ = ask("compare", "digits-mlp", *QUICK)
    assert "board's" not in out and " to " not in out.split("\n\n", maxsplit=1)[0]
    assert "held against nm-64: ours, held against nothing; EIE: the nine layers of its paper. They are not" in out


def test_a_list_of_units_and_presets(ask, ask_json, tmp_path):
    given = "compare", "digits-mlp", *QUICK, "--on", "rtx3090, eie,nm-64"
    record = ask_json(*given)
    told = [(one["title"], one["unit"], one["preset"], one["arrays"], one["macs_per_cycle"]) for one in record["on"]]
    assert told == [
        ("rtx3090", "nm", "rtx3090", 1, 20992),
        ("EIE", "eie", None, 82, 20992),
        ("nm-64", "nm", "nm-64", 328, 20992),
    ]
    assert all({"config", "config_hash"} <= one.keys() for one in record["on"])
    names = ["rtx3090 dense", "rtx3090 2:4", "82 x EIE 25 %", "328 x nm-64 dense", "328 x nm-64 2:4"]
    assert [row["name"] for row in record["rows"]] == 2 * names
    assert [row["on"] for row in record["rows"][:5]] == ["rtx3090", "rtx3090", "EIE", "nm-64", "nm-64"]
    chip = ask_json("compare", "digits-mlp", *QUICK, "--preset", "rtx3090")
    assert record["rows"][0] == chip["rows"][0] | {"name": "rtx3090 dense", "on": "rtx3090"}
    assert record.keys() - {"on"} == chip.keys() - {"eie_pes", "eie_arrays", "config_eie"}
    code, out, err = ask(*given, "--figure", tmp_path / "a.svg")
    assert (code, err) == (0, "")
    assert "\n328 x nm-64: 20,992 MACs a cycle, 800 MHz, 45 nm\n" in out
    assert "\none DRAM for all: 671 bytes in a cycle of rtx3090; each of several chips reads weights of its own" in out
    assert "nJ of EIE and nm-64: modelled parts alone" in out


def test_energies_of_a_list_are_those_of_the_largest(ask_json, tmp_path):
    (tmp_path / "t.csv").write_text("event,energy_pj,source\ndram_bytes,100,mine\ndram_metadata_bytes,100,mine\n")
    given = "compare", "digits-mlp", *QUICK, "--on", "nm-64,stc-1024,eie"
    plain, own = ask_json(*given), ask_json(*given, "--energy-table", tmp_path / "t.csv")
    assert own["preset"] == "stc-1024"
    for before, after in zip(plain["rows"], own["rows"], strict=True):
        dearer = (100 - 64) * after["dram_bytes"] / 1e3
        assert after["energy_nj_dram"] - before["energy_nj_dram"] == pytest.approx(dearer)
        assert after["energy_nj"] == pytest.approx(before["energy_nj"], rel=1e-12), "to the rounding"


def test_as_json(ask):
    code, out, _ = ask("compare", "digits-mlp", *QUICK, "--json")
    assert code == 0
    record = json.loads(out)
    assert {"seed", "config_hash", "rows", "fastest"} <= record.keys()
    assert [row["name"] for row in record["rows"]] == 2 * ["dense", "2:4", "EIE 25 %"]
    assert [row["precision"] for row in record["rows"]] == 2 * ["fp16", "fp16", "4-bit codes, 16-bit words"]


def test_a_chip_of_8_bits_says_so(ask_json):
    record = ask_json("compare", "digits-mlp", *QUICK, "--preset", "stc-1024")
    assert record["config"]["elem_bytes"] == 1
    assert {row["precision"] for row in record["rows"] if row["unit"] != "eie"} == {"int8"}


def test_elements_of_another_size_are_the_presets_chip_with_them(ask_json):
    preset, int8 = (ask_json("compare", "digits-mlp", *QUICK, *more) for more in ([], ["--elem-bytes", "1"]))
    assert int8["config"] == {**preset["config"], "elem_bytes": 1}
    assert [row["precision"] for row in int8["rows"]] == 2 * ["int8", "int8", "4-bit codes, 16-bit words"]
    for row, other in zip(int8["rows"][:2], preset["rows"][:2], strict=True):
        assert row["weight_bytes"] < other["weight_bytes"]
    assert int8["rows"][0]["accuracy_of"] == "360 held-back inputs, fc3 in int8, the other layers in floats"
    assert int8["config_hash"] != preset["config_hash"]


def test_its_chips_give_its_cycles(ask_json):
    record = ask_json("compare", "digits-mlp", *QUICK)
    n_out, n_in = es.load("digits-mlp").layer("fc3").layers[0].weights.shape
    patterns = {"dense": (1, 1), "2:4": (2, 4)}
    on_tensor_cores = [row for row in record["rows"] if row["unit"] != "eie"]
    assert len(on_tensor_cores) == 4
    for row, (chip, cycles) in product(on_tensor_cores, [("config_sram", "cycles"), ("config_dram", "cycles_dram")]):
        n_keep, m_group = patterns[row["name"]]
        config = es.TensorCoreConfig(**record[chip])
        timed = es.simulate_gemm(n_out, n_in, row["batch"], config, n_keep=n_keep, m_group=m_group)
        assert timed.cycles == row[cycles]
    assert es.EieConfig(**record["config_eie"]).n_pe == record["eie_pes"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "rtx3091"], "preset=rtx3091: unknown; did you mean rtx3090?"),
        (["--on", "rtx3091,eie"], "on=rtx3091: unknown; did you mean rtx3090?"),
        (["--on", "eie,"], "on=: unknown; must be one of"),
        (["--on", "eie,eie"], "on=EIE: must not be there twice"),
        (["--on", "eie", "--preset", "nm-64"], "preset=nm-64: must be left out with --on"),
        (["--on", "eie", "--elem-bytes", "1"], "elem_bytes=1: must be left out with --on"),
        (["--elem-bytes", "3"], "elem_bytes=3: must be"),
        (["--patterns", "2/4"], "patterns=2/4: must be N:M, N kept of each M, as 2:4"),
        (["--patterns", "5:4"], "patterns=5:4: must be N:M, N kept of each M, as 2:4"),
        (["--patterns", "0:4"], "patterns=0:4: must be N:M, N kept of each M, as 2:4"),
        (["--batches", "1.5"], "batches=1.5: must be an integer"),
        (["--batches", "0"], "batches=0: must be an integer"),
        (["--densities", "2"], "must be in 0..1"),
        (["--layer", "fc9"], "layer=fc9: unknown"),
        (["--figure", "x.txt"], "figure=x.txt: must end in .png, .svg, .pdf"),
        (["--figure", "/nowhere/x.png"], "must be in a folder that exists"),
    ],
)
def test_bad_input_is_one_line_and_code_2(ask, words, message):
    code, out, err = ask("compare", "digits-mlp", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
