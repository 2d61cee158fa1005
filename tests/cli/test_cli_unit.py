"""`--unit NAME`: the same commands on another unit, with its own options, and errors of a line for what is none."""

import json

import pytest

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.report.reading import read_run

NM = ("--unit", "nm")


def test_a_network_runs_on_the_unit_that_is_named(ask, ask_json):
    given = ("run", "digits-mlp", *NM, "--preset", "rtx3090", "--pattern", "2:4")
    record = ask_json(*given)
    config = es.TensorCoreConfig.preset("rtx3090")
    assert (record["unit"], record["version"], record["verified"]) == ("nm", 2, True)
    assert record["config"] == json.loads(json.dumps(config.to_dict()))
    assert [layer["named"]["runs_as"] for layer in record["layers"]] == ["2:4"] * 3
    assert record["layers"][0]["cycles"] == es.simulate_gemm(256, 64, 360, config).cycles
    out = ask(*given)[1]
    assert "design: rtx3090: 82 cores of 256 MACs a cycle at 1395 MHz, float16, patterns 2:4, DRAM gddr6x, 7 nm" in out
    assert "What the unit chose and found" in out
    assert "On chip: needed" not in out
    assert out.splitlines()[-2] == "verified"


def test_dense_weights_are_told_of_patterns(ask):
    lines = ask("run", "digits-mlp", *NM)[1].splitlines()
    assert "weights of fc1, fc2 fit no pattern of the chip and run dense: --pattern 2:4 prunes them to one" in lines


def test_options_are_the_fields_of_the_units_design(ask, ask_json):
    tiles = ("--tiles", "32x32+16x16", "--dram-bytes-per-cycle", "208000/310", "--patterns", "1:4")
    config = ask_json("run", "digits-mlp", *NM, "--layer", "fc3", *tiles, "--elem-bytes", "1")["config"]
    assert (config["tiles"], config["dram_bytes_per_cycle"]) == ([[32, 32], [16, 16]], "20800/31")
    assert (config["patterns"], config["elem_bytes"]) == ([[1, 4]], 1)
    assert ask_json("run", "digits-mlp", "--unit=nm", "--layer", "fc3")["unit"] == "nm"
    assert ask_json("run", "digits-mlp", "--unit", "eie", "--layer", "fc3", "--n-pe", "4")["config"]["n_pe"] == 4
    assert ask_json("run", "digits-mlp", "--layer", "fc3")["unit"] == "eie", (
        "the next command has its own options again"
    )


def test_help_shows_the_units_options(ask):
    ours, theirs = ask("run", "--help", "--full")[1], ask("run", "--unit", "nm", "--help", "--full")[1]
    assert "--spmat-bytes" in ours
    assert "--spmat-bytes" not in theirs
    assert "--macs-per-cycle" in theirs
    assert "rtx3090, a100-sxm" in " ".join(theirs.split())


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (("--unit", "nn"), "unit=nn: unknown; did you mean nm?"),
        (
            ("--unit", "nm64"),
            "unit=nm64: unknown; did you mean nm-64 or nm? units and presets: eie, nm, rtx3090, a100-sxm, h100-sxm",
        ),
        (("--unit", "tpu"), "unit=tpu: unknown; must be one of a100-sxm, eie, h100-sxm, nm, nm-64, rtx3090"),
        (("--unit", "rtx309"), "unit=rtx309: unknown; did you mean rtx3090"),
        (("--unit", "rtx3090", "--preset", "nm-64"), "Unknown option: --preset"),
        ((*NM, "--preset", "rtx309"), "preset=rtx309: unknown; did you mean rtx3090"),
        ((*NM, "--n-core", "x"), "n_core=x: must be a whole number"),
        ((*NM, "--n-core", "1,2"), "n_core=1,2: must be one value"),
        ((*NM, "--n-core", "0"), "n_core=0: must be an integer in 1.."),
        ((*NM, "--clock-mhz", "nan"), "clock_mhz="),
        ((*NM, "--n-pe", "4"), "Unknown option: --n-pe"),
        (("--preset", "rtx3090"), "Unknown option: --preset"),
        (("--unit",), 'Command "run" parameter --unit requires an argument'),
        ((*NM, "--unit", "eie"), "Parameter --unit specified multiple times"),
    ],
)
def test_what_is_wrong_is_one_line(ask, given, line):
    code, out, err = ask("run", "digits-mlp", *given)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {line}"), err
    assert len(err.splitlines()) == 1


def test_a_run_folder_of_another_unit_is_read_and_reported(ask, tmp_path):
    folder = tmp_path / "run"
    assert ask("run", "digits-mlp", *NM, "--preset", "stc-1024", "--out", str(folder))[0] == 0
    assert read_run(folder)["unit"] == "nm"
    code, out, _ = ask("report", str(folder))
    assert (code, "verified" in out) == (0, True)
    html = (folder / "report.html").read_text()
    assert "What the unit chose and found" in html
    assert "macs_per_cycle" in html
    record = json.loads((folder / "run.json").read_text())
    record["layers"][1]["named"].pop("bound")
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"layers\[1\]\.named=other names: must be those of the first layer$"):
        read_run(folder)
    record["config"]["n_core"] = 0
    (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match=r"config\.n_core=0: must be an integer"):
        read_run(folder)


@pytest.mark.parametrize(
    "given",
    [
        ("compress",),
        ("prune", "--pattern", "2:4"),
        ("sensitivity",),
        ("allocate", "--budget", "900"),
        ("energy", "--preset", "h100-sxm"),
    ],
)
def test_other_commands_take_it_too(ask_json, given):
    command, *more = given
    source = () if command == "energy" else ("digits-mlp",)
    record = ask_json(command, *source, *NM, *more)
    if command == "energy":
        assert {row["component"] for row in record["energy"]} >= {"macs", "dram"}
        assert record["area"] is None
    else:
        assert record["unit"] == "nm"
        assert record.get("verified", True)


def test_what_the_unit_does_not_do_is_said(ask):
    for given, line in (
        (("trace", "digits-mlp", *NM), "unit=nm: must be another, N:M keeps no timeline"),
        (
            ("compress", "digits-mlp", *NM, "--codebook-epochs", "2"),
            "codebook_epochs=2: must be 0 for unit nm, which stores no codes",
        ),
        (("sensitivity", "digits-mlp", *NM, "--densities", "0.3"), "density=0.3: must be one of 0."),
    ):
        code, out, err = ask(*given)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {line}"), err


def test_a_preset_names_its_unit(ask):
    by_preset = ask("run", "hand-8x8", "--unit", "rtx3090", "--n-core", "4", "--json")
    assert by_preset == ask("run", "hand-8x8", "--unit", "nm", "--preset", "rtx3090", "--n-core", "4", "--json")
    assert by_preset[0] == 0
