"""Bad input to eie-sim: one line, exit code 2, and nothing written."""

import os
from pathlib import Path

import numpy as np
import pytest
from asking import contents, start, weights

BAD_INPUT = [
    ("run", "Command"),
    ("rnu digits-mlp", 'Did you mean "run"?'),
    ("run digit-mlp", "workload=digit-mlp: unknown; did you mean digits-mlp"),
    ("run nothing-like-it", "workload=nothing-like-it: unknown; must be one of"),
    ("run digits-mlp extra", "Unused Tokens: ['extra']"),
    ("run missing.npz", "missing.npz: file=missing: must be an existing file"),
    ("run .", ".: folder=no weights: must hold .safetensors files, with or without a .safetensors.index.json"),
    ("run empty.npz", "empty.npz: not a zip archive"),
    ("run text.npz", "text.npz: not a zip archive"),
    ("run text.npy", "text.npy: not a numpy array file"),
    ("run text.txt", "text.txt: suffix=.txt: must be one of .npz"),
    ("run nan.npy", "must be finite"),
    ("run digits-mlp --layer fc9", "layer=fc9: unknown; did you mean fc"),
    ("run digits-mlp --queue-dept 3", "Did you mean --queue-depth?"),
    ("run digits-mlp --preset rtx3090", "Unknown option: --preset. It is one of --unit nm."),
    ("run digits-mlp --unit nm --n-pe 4", "Unknown option: --n-pe. It is one of --unit eie."),
    ("validate --n-pe 4", "Unknown option: --n-pe."),
    ("run digits-mlp --queue-depth", "--queue-depth"),
    ("run digits-mlp --queue-depth 0", "queue_depth=0: must be an integer in 1..1048576"),
    ("run digits-mlp --n-pe 0", "n_pe=0: must be an integer in 1..65536"),
    ("run digits-mlp --n-pe -4", "n_pe=-4: must be an integer in 1..65536"),
    ("run digits-mlp --n-pe 1.5", "n_pe=1.5: must be an integer"),
    ("run digits-mlp --n-pe many", "n_pe=many: must be an integer"),
    ("run digits-mlp --n-pe 4 --n-pe 8", "--n-pe specified multiple times"),
    ("run digits-mlp --weight-bits 9", "weight_bits=9: must be an integer in 1..8"),
    ("run digits-mlp --index-bits 0", "index_bits=0: must be an integer in 1..8"),
    ("run digits-mlp --accumulator-bits 17", "accumulator_bits=17: must be 16, 24 or 32"),
    ("run digits-mlp --rounding up", "rounding=up: must be floor or nearest"),
    ("run digits-mlp --active some", "active=some: must be positive or nonzero"),
    ("run digits-mlp --spmat-width-bits 4", "spmat_width_bits=4: must hold an entry of weight_bits + index_bits = 8"),
    ("run digits-mlp --pointer-bits 40", "pointer_bits=40: must be an integer in 1..31"),
    ("run digits-mlp --clock-mhz nan", "clock_mhz=nan: must be a number >= 0.001"),
    ("run digits-mlp --clock-mhz 1e-310 --json", "clock_mhz=1e-310: must be a number >= 0.001 and below 1e6"),
    ("run digits-mlp --clock-mhz fast", "clock_mhz=fast: must be a number"),
    ("run digits-mlp --node-nm 3", "node_nm=3: no scaling factors; must be one of 7"),
    ("run digits-mlp --engine quick", "engine=quick: must be fast or reference"),
    ("run digits-mlp --seed -1", "seed=-1: must be an integer >= 0"),
    ("run digits-mlp --seed 0.5", "seed=0.5: must be an integer"),
    ("run digits-mlp --density 1.5", "density=1.5: must be in 0..1"),
    ("run digits-mlp --density nan", "density=nan: must be in 0..1"),
    ("run digits-mlp --activation-density -0.5", "activation_density=-0.5: must be in 0..1"),
    ("run digits-mlp --activation-density 0.5 --activations x.npy", "must be left out, activations are given"),
    ("run digits-mlp --activations missing.npy", "missing.npy: file=missing: must be an existing file"),
    (
        "run digits-mlp --activations nan.npy",
        "nan.npy: activations=shape (1, 2): must be (n_vector, 64), (64,)",
    ),
    ("run digits-mlp --energy-table missing.csv", "energy_table=missing.csv: no such file"),
    ("run digits-mlp --energy-table .", "energy_table=.: must be an ordinary file"),
    ("run digits-mlp --energy-table text.txt", "energy_table=text.txt: line 1=not numbers: must be event"),
    ("run digits-mlp --energy-table fifo", "energy_table=fifo: must be an ordinary file"),
    ("run digits-mlp --energy-table /dev/zero", "energy_table=/dev/zero: must be an ordinary file"),
    ("run digits-mlp --energy-table long.csv", "energy_table=long.csv: must be at most 1,048,576 bytes"),
    ("run digits-mlp --energy-table binary.npy", "energy_table=binary.npy: must be UTF-8 text"),
    ("run digits-mlp --json=3", "json=3: must be true or false"),
    ("run good.npy --out text.txt", "out=text.txt: must be a folder"),
    ("run good.npy --out text.txt/inside", "out=text.txt/inside: cannot be written: Not a directory"),
    (
        "run good.npy --out foreign",
        "out=foreign: must be new, or an empty folder, or an earlier run (with run.json",
    ),
    ("run good.npy --out ", "out=: must be a path, not empty"),
    ("run good.npy --out=", "out=: must be a path, not empty"),
    ("run digits-mlp --energy-table ", "energy_table=: must be a path, not empty"),
    ("run good.npy --activations ", "activations=: must be a path, not empty"),
    ("run good.npy --out odd", "out=odd/run.json: must be an ordinary file of yours with no other name, or new"),
    (f"run good.npy --out {'long' * 80}", "cannot be written: File name too long"),
    ("compare digits-mlp --batches 1 x", "batches=x: must be an integer"),
    ("compare digits-mlp --batches 1,x", "batches=x: must be an integer"),
    ("compare digits-mlp --batches 1,,8", "batches=1,,8: must have a value on either side of every comma"),
    ("compare digits-mlp --batches 1,2.5", "batches=2.5: must be an integer"),
    ("sweep digits-mlp --n-pe 1 2", "Unused Tokens: ['2']. Values of a list have commas between them: 1,64"),
    ("prune digits-mlp --layer-density fc1=0.3,fc2", "layer_density=fc1=0.3,fc2: must be as fc1=0.3"),
    ("run digits-mlp --labels good.npy", "labels=good.npy: must be left out: the network is no ONNX file"),
    ("report ", "run=: must be a path, not empty"),
    ("validate mnist", "paper=mnist: must be all, eie, nm or deep-compression"),
    ("presets extra", "Unused Tokens: ['extra']"),
    ("footprint", "Command"),
    ("footprint alexnet-7", "workload=alexnet-7: unknown; did you mean alex-7"),
    ("footprint digits-mlp --pattern 5:4", "pattern=5:4: must be N:M, N kept of each M, as 2:4"),
    ("footprint digits-mlp --pattern a:b", "pattern=a:b: must be N:M, N kept of each M, as 2:4"),
    ("footprint digits-mlp --value-bits 0", "value_bits=0: must be an integer in 1..64"),
    ("footprint digits-mlp --layer fc7", "layer=fc7: unknown; did you mean fc"),
    ("energy --node-nm 3", "node_nm=3: no scaling factors"),
    ("energy --table x", "Unknown option: --table"),
    ("validate --seed -1", "seed=-1: must be an integer >= 0"),
    ("validate nm --seed 1", "seed=1: must be left out for nm"),
]


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A working folder with files that are not what they seem, and a folder of somebody else's."""
    monkeypatch.chdir(tmp_path)
    for name in ("text.npz", "text.npy", "text.txt"):
        Path(name).write_text("not numbers\n")
    Path("empty.npz").touch()
    np.save("good.npy", weights(3, 2))
    np.save("nan.npy", np.array([[1.0, np.nan]]))
    Path("long.csv").write_bytes(bytes(2**20 + 1))
    os.mkfifo("fifo")
    Path("binary.npy").write_bytes(b"\x93NUMPY\xff\xfe")
    Path("foreign").mkdir()
    Path("odd/run.json").mkdir(parents=True)
    Path("foreign/thesis.txt").write_text("mine")
    return tmp_path


@pytest.mark.parametrize(("line", "message"), BAD_INPUT, ids=[line[:60] for line, _ in BAD_INPUT])
def test_bad_input_is_one_line_exit_code_2_and_nothing_else(ask, files, line, message):
    before = contents(files)
    code, out, err = ask(*line.split(" "))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.endswith("\n")
    assert len(err.splitlines()) == 1
    assert message in err
    assert contents(files) == before


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31mred", "a\rb", ""])
def test_odd_names_are_answered_in_one_line_too(ask, name):
    code, out, err = ask("run", name)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.strip().isprintable()


@pytest.mark.parametrize("words", [["run", "digits-mlp", "--x\x1b[31m"], ["\x1b[2J"], ["run", "a", "b\x9b31m\u202e"]])
def test_a_terminal_never_obeys_what_an_error_repeats(ask, words):
    code, out, err = ask(*words)
    assert (code, out) == (2, "")
    assert err.removesuffix("\n").isprintable()
    assert r"\x" in err


def test_bad_input_in_a_process_of_its_own():
    done = start("run", "digits-mlp", "--n-pe", "0", capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: n_pe=0: must be an integer in 1..65536\n"
