"""What every command says with --json. `python tests/commands.py` writes traces/commands.json anew.

A few figures stand there as numbers, so that a diff says what changed, and all that a command says as the first digits
of a SHA-256. `python tests/commands.py FOLDER` also keeps what is digested in FOLDER, to be laid beside that of another
commit. Only networks that are stored, or made of whole numbers here, are run, because drawn ones depend on numpy's
generators.
"""

import contextlib
import hashlib
import io
import json
import sys
import tempfile
from itertools import islice
from pathlib import Path

import numpy as np

from eie_sim.cli import main

FILE = Path(__file__).parent.parent / "traces" / "commands.json"

ARCHIVE = "digits.eie.safetensors"
WORKLOADS = (
    "hand-8x8",
    "digits-mlp",
    "digits-mlp --layer fc2",
    "chain.npz --chain fc1,bn1,fc2",
    "sparse.mtx",
    ARCHIVE,
)
OF_EACH = (
    "run {} --n-pe 16",
    "run {} --unit nm --preset stc-1024",
    "footprint {} --n-pe 16",
    "compare {} --batches 1 64",
    "prune {} --n-pe 16 --density 0.2 --pattern balanced",
    "compress {} --n-pe 16",
    "sensitivity {} --n-pe 16 --densities 0.1 0.5",
    "accuracy {} --n-pe 16 --densities 0.5 --patterns element --schedules one-shot --epochs 1",
    "sweep {} --workers 1 --density 0.1,0.5 --n-pe 1,16",
    "sweep {} --workers 1 --unit nm --pattern 2:4,1:4 --store nm.sweep.jsonl",
    "trace {} --n-pe 16 --queue-depth 2 --out trace.json",
)
"""Run for each workload that they take; what a command refuses is not kept."""
ONCE = (  # describe wants an ONNX file, which only some installations read: that it refuses arrays is kept
    "presets",
    "energy --n-pe 16",
    "energy --unit nm --preset rtx3090",
    "run digits-mlp --unit nm --preset a100-sxm --pattern 2:4",
    "prune digits-mlp --unit nm --pattern 2:4",
    "compress digits-mlp --unit nm",
    "sensitivity digits-mlp --unit nm",
    "check-unit eie --examples 3",
    "validate nm",
    "allocate hand-8x8 --budget 10 --quantity weights",
    "allocate digits-mlp --budget 230",
    "allocate chain.npz --chain fc1,bn1,fc2 --budget 100",
    "allocate sparse.mtx --budget 150 --quantity weights",
    f"allocate {ARCHIVE} --budget 70000 --quantity bytes",
    "run hand-8x8 --out hand",
    "report hand",
    "report digits-mlp.sweep.jsonl",
    "describe chain.npz",
    "groups chain.npz",
)


SHOWN = (
    "verified",
    "total.cycles",
    "total.energy.total_pj",
    "total.storage.total_bits",
    "total.deep_compression.total_bits",
    "total.after.cycles_per_vector",
    "total.after.energy_nj_per_vector",
    "total.after.bits",
    "accuracy.compressed",
    "accuracy.after.compressed",
    "layers.0.formats.0.total_bits",
    "area.total_mm2",
    "rows.0.cycles",
    "rows.0.time_us",
    "rows.0.energy_nj",
    "rows.0.accuracy",
    "points.0.cost",
    "points.0.quality",
    "choices.0.cost",
    "choices.0.cycles_per_vector",
    "records.0.cost",
    "records.0.accuracy",
    "cycles",
    "written.slices",
)
"""Figures that are kept as numbers, by their way through what a command says, where it says them."""
LEFT_OUT = {"version", "versions", "key"}
"""Of the installation, and the keys of a sweep's rows, which the version is part of."""
NOT_EVERYWHERE = "lenet-300-100"
"""A preset that says of itself whether its images are installed."""
DIGITS = 12
FEW_DIGITS = 4
OF_FLOAT_PRODUCTS = {"end_to_end_error", "quality", "outputs_off"}
"""Figures of products in floats: the last digits of float32 are those of the machine's BLAS."""


def whole_numbers(seed):
    """Endless whole numbers below 2**16, by a linear congruence: the same on every machine."""
    while True:
        seed = (1103515245 * seed + 12345) % 2**31
        yield seed >> 15


def drawn(seed, *shape, density=1.0):
    """float32 in eighths from -1 to 1, about a share `density` of them drawn and the others zero."""
    size = int(np.prod(shape))
    values = np.array(list(islice(whole_numbers(seed), 2 * size))).reshape(2, *shape)
    return np.where(values[1] < density * 2**16, values[0] % 17 - 8, 0).astype(np.float32) / 8


def write_workloads():
    """Put the workloads that are files into the current folder: a labelled chain with BatchNorm, a sparse matrix."""
    inputs, labels = drawn(1, 40, 12), np.arange(40) % 6
    np.savez(
        "chain.npz",
        **{
            "fc1.weight": drawn(2, 24, 12),
            "fc1.bias": drawn(3, 24),
            "bn1.weight": 1 + drawn(4, 24) / 2,
            "bn1.bias": drawn(5, 24),
            "bn1.running_mean": drawn(6, 24),
            "bn1.running_var": 2 + drawn(7, 24),
            "fc2.weight": drawn(8, 6, 24),
            "fc2.bias": drawn(9, 6),
        },
        train_inputs=inputs[:30],
        train_labels=labels[:30],
        test_inputs=inputs[30:],
        test_labels=labels[30:],
    )
    sparse = drawn(10, 48, 64, density=0.1)
    entries = [f"{row + 1} {column + 1} {sparse[row, column]}" for row, column in np.argwhere(sparse)]
    lines = ["%%MatrixMarket matrix coordinate real general", f"48 64 {len(entries)}", *entries]
    Path("sparse.mtx").write_text("\n".join(lines) + "\n")


def said(command):
    """What a command says with --json; None where it refuses."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*command.split(), "--json"])
    assert code in (0, 2), (command, err.getvalue())
    return None if code else canonical(json.loads(out.getvalue()))


def canonical(answer, name=None):
    """The answer without what is of the machine, floats rounded."""
    if isinstance(answer, dict):
        if "front" in answer:  # keys of rows, which depend on the version: their places among the rows
            keys = [row["key"] for row in answer["rows"]]
            answer = answer | {"front": [keys.index(key) for key in answer["front"]]}
        of_floats = name if name in OF_FLOAT_PRODUCTS else None
        return {key: canonical(value, of_floats or key) for key, value in sorted(answer.items()) if key not in LEFT_OUT}
    if isinstance(answer, list):
        kept = [item for item in answer if not isinstance(item, dict) or item.get("name") != NOT_EVERYWHERE]
        return [canonical(item, name) for item in kept]
    if isinstance(answer, float):
        return float(f"{answer:.{FEW_DIGITS if name in OF_FLOAT_PRODUCTS else DIGITS}g}")
    return answer


def answers():
    """What every command says, by its words."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        write_workloads()
        said(f"compress digits-mlp --out {ARCHIVE}")
        of_each = {words: said(words) for each in OF_EACH for words in map(each.format, WORKLOADS)}
        return {words: answer for words, answer in of_each.items() if answer} | {words: said(words) for words in ONCE}


def shown(answer):
    """The figures of SHOWN that are in an answer, and the first 16 hex digits of a SHA-256 over all of it."""
    figures = {}
    for way in SHOWN:
        with contextlib.suppress(KeyError, IndexError, TypeError, ValueError):
            value = answer
            for step in way.split("."):
                value = value[int(step) if isinstance(value, list) else step]
            figures[way] = value
    return figures | {"all": hashlib.sha256(json.dumps(answer).encode()).hexdigest()[:16]}


def digests(found):
    """What stands in traces/commands.json for the answers that were found."""
    return {words: shown(answer) for words, answer in found.items()}


if __name__ == "__main__":
    found = answers()
    FILE.write_text(json.dumps(digests(found), indent=1) + "\n")
    for folder in map(Path, sys.argv[1:]):
        folder.mkdir(parents=True, exist_ok=True)
        for words, answer in found.items():
            (folder / f"{words}.json").write_text(json.dumps(answer, indent=1) + "\n")
