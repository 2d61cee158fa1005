"""eie-sim trace: what it writes, prints and refuses. What is in its files is checked in tests/equivalence."""

import gzip
import json
import os
import re
import select
import subprocess
import sys

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core import golden

HAND = ["hand-8x8", "--n-pe", 4, "--queue-depth", 2]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def slices(path):
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    return [event for event in events if event["ph"] == "X"]


def test_without_a_file_it_goes_into_the_current_folder_and_is_named(ask, tmp_path):
    code, out, err = ask("trace", "digits-mlp", "--layer", "fc2")
    assert (code, err) == (0, "")
    (file,) = tmp_path.iterdir()
    assert file.name == "digits-mlp-fc2.trace.json.gz"
    assert f"wrote {file.name}: {len(slices(file)):,} slices; it opens in the Perfetto UI" in out
    assert out.endswith("\nverified\n")


def test_json_is_what_was_written(ask, tmp_path):
    code, out, err = ask("trace", *HAND, "--first", 3, "--last", 9, "--out", "a.json.gz", "--json")
    record = json.loads(out)
    assert (code, err) == (0, "")
    assert record["window"] == {"first": 3, "last": 9}
    assert (record["out"], record["written"]) == ("a.json.gz", {"slices": len(slices(tmp_path / "a.json.gz"))})
    assert (record["cycles"], record["seed"], record["verified"]) == (16, 0, True)
    result = es.run_network(es.load("hand-8x8"), es.EieConfig(n_pe=4, queue_depth=2)).layers[0].result
    assert record["config_hash"] == result.config_hash
    kept = json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))["otherData"]
    assert {name: record[name] for name in kept if name != "time"} == {n: kept[n] for n in kept if n != "time"}


def test_outputs_that_mean_little_are_warned_of_before_the_last_line(ask):
    coarse = ["trace", "digits-mlp", "--layer", "fc2", "--weight-bits", 1, "--out", "a.json.gz"]
    code, out, err = ask(*coarse)
    warning, last = out.splitlines()[-2:]
    assert (code, err, last) == (0, "", "verified, but 1 warning")
    assert re.match(r"warning: fc2: outputs are [\d.]+ % off those of the layer's own weights in floats", warning)
    assert json.loads(ask(*coarse, "--json")[1])["warnings"] == [warning.removeprefix("warning: ")]


def test_both_engines_write_the_same_slices(ask, tmp_path):
    for engine in ("fast", "reference"):
        assert ask("trace", *HAND, "--engine", engine, "--out", f"{engine}.json.gz")[0] == 0
    assert slices(tmp_path / "fast.json.gz") == slices(tmp_path / "reference.json.gz")


def test_text_is_the_layer_by_hand(ask, tmp_path):
    code, out, err = ask("trace", *HAND, "--text")
    assert (code, err, list(tmp_path.iterdir())) == (0, "", [])
    lines = out.splitlines()
    at = lines.index("cycle  7  blocked: column 6 waits, full queue of PE 0")
    assert lines[at + 1 : at + 5] == [
        "  PE 0  queue (2) 4  column 2  entry 1 of 2  code 12  y[0] +=  0.5000 x  0.2500 =  0.1250, now  0.1250",
        "  PE 1  queue (4)    column 4  entry 1 of 2  code 15  y[1] +=  1.0000 x  1.5000 =  1.5000, now  1.7500",
        "  PE 2  queue (4)    column 4  entry 1 of 1  code  6  y[6] += -0.2500 x  1.5000 = -0.3750, now -0.2500",
        "  PE 3  queue (4)    column 4  no entry",
    ]
    assert "cycle  5  lost: the scan goes on to the next row of inputs" in lines
    assert lines[-4:] == [
        "outputs, before ReLU",
        "  y[0] =  0.5000   y[1] =  1.9375   y[2] = -0.6250   y[3] =  0.1875",
        "  y[4] =  1.3750   y[5] = -0.5000   y[6] = -0.2500   y[7] =  0.7500",
        "verified",
    ]
    assert max(map(len, lines)) <= 120
    assert sum(line.startswith("cycle ") for line in lines) == 16


def test_text_of_small_weights_has_digits_for_them(ask, tmp_path):
    """1e-6 is 1074 of 2**-30, and the product with 1.0 is 8592 of 2**-33: both are 1.00024e-6."""
    np.savez(tmp_path / "small.npz", weights=[[1e-6]], activations=[1.0])
    code, out, err = ask("trace", "small.npz", "--n-pe", 1, "--text")
    assert (code, err) == (0, "")
    assert "y[0] +=  0.000001000 x  1.0000 =  0.0000010002, now  0.0000010002" in out


def test_a_window_of_the_text_has_the_sums_of_the_whole(ask):
    whole, part = (ask("trace", *HAND, "--text", *window)[1] for window in ([], ["--first", 7, "--last", 8]))
    block = whole[whole.index("cycle  7") : whole.index("cycle  9")]
    assert block.replace("cycle  ", "cycle ") in part
    assert "shown 7..8" in part


def test_text_and_a_file_may_both_be_asked_for(ask, tmp_path):
    code, out, _ = ask("trace", *HAND, "--text", "--out", "a.json.gz")
    assert code == 0
    assert "cycle 16" in out
    assert slices(tmp_path / "a.json.gz")


def test_a_layer_that_issues_nothing_is_a_file_without_slices(ask, tmp_path):
    np.savez(tmp_path / "zero.npz", w=np.zeros((4, 4)))
    for options in (["--n-pe", 2, "--text"], ["--out", "a.json.gz"]):
        code, out, err = ask("trace", "zero.npz", *options)
        assert (code, err) == (0, "")
        assert "0 cycles" in out
    assert slices(tmp_path / "a.json.gz") == []


def test_an_output_that_differs_from_the_golden_product_ends_with_1(ask, monkeypatch):
    real = golden.matmul

    def off_by_one(*given):
        found = real(*given)
        found.output[0, 0] += 1
        return found

    monkeypatch.setattr(golden, "matmul", off_by_one)
    for options in ([], ["--text"], ["--json"]):
        code, out, _ = ask("trace", *HAND, *options)
        assert code == 1
        assert "1 of 8 outputs differ from the golden product" in out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--first", 0], "first=0: must be an integer in 1..16"),
        (["--last", 17], "last=17: must be an integer in 1..16"),
        (["--first", -3], "first=-3: must be an integer in 1..16"),
        (["--first", 9, "--last", 8], "first=9: must be at most last=8"),
        (["--vector", 1], "vector=1: must be an integer in 0..0"),
        (["--layer", "f"], "layer=f: unknown; did you mean fc?"),
        (["--out", "a.png"], "out=a.png: must end in .json.gz, .json or .vcd"),
        (["--out", "none/a.json"], "out=none/a.json: must be in a folder that exists"),
        (["--out", "folder.json"], "out=folder.json: must be an ordinary file, or new"),
        (["--step"], "step=True: needs --text"),
        (["--text", "--json"], "text=True: must be left out with --json"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(ask, tmp_path, options, said):
    (tmp_path / "folder.json").mkdir()
    code, out, err = ask("trace", *HAND, *options)
    assert (code, out, err) == (2, "", f"error: {said}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.json"]


def test_more_than_anybody_reads_is_refused(ask, tmp_path):
    np.savez(tmp_path / "dense.npz", w=np.ones((110, 110)))
    code, out, err = ask("trace", "dense.npz", "--n-pe", 1, "--text")
    assert (code, out) == (2, "")
    assert err == "error: last=12108: must be at most 10000 cycles from first=1 on to be read as text\n"
    code, out, err = ask("trace", "dense.npz", "--n-pe", 1, "--text", "--first", 12_000)
    assert (code, err) == (0, "")
    assert "  and 46 more\n" in out
    code, out, err = ask("trace", "dense.npz", "--n-pe", 17, "--text")
    assert (code, out) == (2, "")
    assert err == "error: n_pe=17: must be at most 16 to be read as text, as --n-pe 4\n"


def test_a_window_of_a_run_without_cycles_is_refused(ask, tmp_path):
    np.savez(tmp_path / "zero.npz", w=np.zeros((4, 4)))
    code, _, err = ask("trace", "zero.npz", "--first", 1)
    assert (code, err) == (2, "error: first=1: must be left out, the run has no cycle: no entry is issued\n")


def test_without_pyvcd_a_waveform_says_what_to_install(ask, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "vcd", None)
    code, out, err = ask("trace", *HAND, "--out", "a.vcd")
    assert (code, out) == (2, "")
    assert err == "error: out: a .vcd needs pyvcd, which is not installed: pip install 'eie-sim[vcd]'\n"
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_finished_leaves_the_old_one(ask, monkeypatch, tmp_path):
    from eie_sim.units.eie import tracks

    (tmp_path / "a.json").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")
        yield

    monkeypatch.setattr(tracks, "_queue", full)
    code, out, err = ask("trace", *HAND, "--out", "a.json")
    assert (code, out) == (2, "")
    assert err == "error: out=a.json: cannot be written: No space left on device\n"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "old")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal of Unix")
def test_steps_wait_for_enter_on_a_terminal_and_q_leaves():
    ours, theirs = os.openpty()
    program = "import sys; from eie_sim.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "trace", *map(str, HAND), "--text", "--step"]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:

        def until(word):
            seen = ""
            while word not in seen:
                assert select.select([process.stdout], [], [], 60)[0], f"waited for {word} after {seen}"
                seen += os.read(process.stdout.fileno(), 65536).decode()
            return seen

        assert "cycle  2" not in until("cycle  1")
        os.write(ours, b"\n")
        assert "cycle  3" not in until("cycle  2")
        os.write(ours, b"q\n")
        seen = until("verified")
        assert "cycle" not in seen.replace("cycles", "")
        assert "outputs" not in seen
        assert process.wait(60) == 0
        assert process.stderr.read() == "Enter: the next cycle; q: leave\n"
    os.close(ours)
    os.close(theirs)


def test_steps_do_not_wait_where_input_is_no_terminal(ask):
    assert ask("trace", *HAND, "--text", "--step") == ask("trace", *HAND, "--text")
