"""Every kind of file that the package reads: valid ones, how it is read, and a command that is given one."""

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rewriting
from mutations import BYTES, TEXT
from study_sample import EXAMPLE

import eie_sim as es
from eie_sim.core.sparse import is_sparse


class Loader(NamedTuple):
    """One kind of file.

    file : its name in its folder
    made : valid files of the kind, as bytes; may write into the folder that it is given
    read : what reads it, and looks at all that it gave
    command : words of an `eie-sim` command that is given such a file
    own : mutations that know the format
    beside : makes what stands in the same folder and stays whole, by name
    """

    file: str
    made: Callable[[Path], list[bytes]]
    read: Callable[[Path], Any]
    command: Callable[[str], list[str]]
    own: tuple[Any, ...]
    beside: Callable[[], dict[str, bytes]] = dict

    def put(self, path, data):
        """The file in its folder, alone or with what belongs beside it."""
        for left in path.parent.iterdir():
            left.unlink()
        for name, other in (self.beside() | {path.name: data}).items():
            (path.parent / name).write_bytes(other)


def weights(shape, seed=0):
    """float32, half of them zero."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * (rng.random(shape) < 0.5)).astype(np.float32)


def arrays():
    """A network of two layers, with a bias, recorded inputs and labelled ones."""
    return {
        "fc1.weight": weights((6, 9)),
        "fc1.bias": np.arange(6, dtype=np.float16),
        "fc1.input": np.ones((3, 9), dtype=np.int8),
        "fc2.weight": weights((4, 6), 1).astype(np.float64),
        "test_inputs": np.ones((2, 9), dtype=np.float32),
        "test_labels": np.array([0, 3]),
    }


def to_bytes(write, *given, **options):
    file = io.BytesIO()
    write(file, *given, **options)
    return file.getvalue()


def npz(folder):
    from scipy import sparse

    matrix = sparse.csr_array(weights((6, 9)))
    kinds = [matrix, matrix.tocsc(), matrix.tocoo(), matrix.todia(), sparse.bsr_array(matrix, blocksize=(2, 3))]
    packed = [to_bytes(write, **arrays()) for write in (np.savez, np.savez_compressed)]
    return packed + [to_bytes(sparse.save_npz, one, compressed=False) for one in kinds]


def npy(folder):
    return [to_bytes(np.save, one) for one in (weights((6, 9)), weights((6, 9)).T, np.arange(54).reshape(6, 9) > 30)]


def safetensors(folder):
    from safetensors.numpy import save

    return [save(arrays()), save({"w": weights((6, 9))}, metadata={"format": "pt"})]


SHARDS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def shards():
    """The network of `arrays` in two files."""
    from safetensors.numpy import save

    items = list(arrays().items())
    return {name: save(dict(part)) for name, part in zip(SHARDS, (items[:3], items[3:]), strict=True)}


def index(folder):
    first, second = SHARDS
    names = list(arrays())
    weight_map = dict.fromkeys(names[:3], first) | dict.fromkeys(names[3:], second)
    return [json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}).encode()]


def mtx(folder):
    from scipy import io as scipy_io
    from scipy import sparse

    matrix = weights((6, 9))
    square = sparse.coo_array(matrix[:, :6] + matrix[:, :6].T)
    given = [(sparse.coo_array(matrix), {}), (matrix, {}), (sparse.coo_array(matrix), {"field": "pattern"})]
    given += [(square, {"symmetry": "symmetric"}), (square.toarray(), {"symmetry": "symmetric"})]
    return [to_bytes(scipy_io.mmwrite, one, precision=5, comment="a comment", **options) for one, options in given]


def packed_mtx(folder):
    return [gzip.compress(each, mtime=0) for each in mtx(folder)]


def smtx(folder):
    from scipy import sparse

    rows = sparse.csr_array(weights((6, 9)))
    offsets, columns = (" ".join(map(str, part)) for part in (rows.indptr, rows.indices))
    return [f"6, 9, {rows.nnz}\n{offsets}\n{columns}\n".encode()]


def inputs(folder):
    given = np.ones((3, 64), dtype=np.float32)
    return [to_bytes(np.savez_compressed, activations=given), to_bytes(np.savez, given[0])]


def read_inputs(path):
    found = es.network.load_activations(path)
    assert found.ndim == 2
    return found


def study(folder):
    return [EXAMPLE.encode(), b'workload = "net.npz"\nactivation_density = 0.5\n[grid]\nn_pe = "4..64"\n']


def archived(folder):
    from networks import chain

    from eie_sim.archive import archive_of, to_bytes
    from eie_sim.product_run import matrix_for

    config = es.EieConfig(n_pe=4)
    networks = [chain((7, 5, 3)), chain((6, 2), bias=False, labelled=False)]
    made = [archive_of(one, [matrix_for(layer, config) for layer in one.layers], recipe={"n": [1]}) for one in networks]
    return [to_bytes(one) for one in made]


def read_archive(path):
    """What can be read can be written, and is the same then."""
    archive = es.archive.load(path)
    again = es.archive.to_bytes(archive)
    assert es.archive.to_bytes(es.archive.from_bytes(again)) == again
    return archive


def store(folder):
    from networks import chain

    path = folder / "made.jsonl"
    es.sweep.run(
        chain((8, 6)),
        grid={"n_pe": [1, 4], "density": [0.5], "weight_bits": [4, 8], "spmat_width_bits": [8, 64]},
        points=[{"unit": "nm"}],
        store=path,
        workers=1,
    )
    lines = path.read_bytes().splitlines(keepends=True)
    return [b"".join(lines), *lines[:3]]  # of a single row too, which leaves no store where it is damaged


def read_store(path):
    """Read it as it is, then as the next run does, which keeps the rows."""
    from eie_sim.study.store import Store

    found = es.sweep.read_store(path)
    with Store(path) as taken:
        rows = [taken.line(key) for key in taken]
    assert len(rows) >= len(found.rows)
    return found


def record(folder):
    from networks import chain

    from eie_sim.pipeline import run_network

    return [json.dumps(run_network(chain((8, 6, 4)), es.EieConfig(n_pe=4)).to_dict()).encode()]


def read_record(path):
    from eie_sim.report.reading import read_run

    return read_run(path.parent)


def table(folder):
    from eie_sim.energy import EnergyTable

    return [EnergyTable.for_config(es.EieConfig(n_pe=4)).to_csv().encode()]


def read_table(path):
    from eie_sim.cli.shell import MAX_TEXT
    from eie_sim.core.files import read_text
    from eie_sim.energy import EnergyTable

    text = read_text("energy_table", path, MAX_TEXT)
    return EnergyTable.from_csv(text, es.EieConfig(), where=f"energy_table={path}")


def network(path):
    """A network, its numbers finite and its names fit for a terminal."""
    found = es.network.load(path)
    for layer in found.layers:
        assert layer.name.isprintable()
        values = layer.weights.data if is_sparse(layer.weights) else layer.weights
        assert np.isfinite(values).all()
        assert np.isfinite(layer.activations).all() if layer.activations is not None else found.chained
    return found


def running(path):
    return ["run", path, "--json"]


LOADERS = {
    "npz": Loader("w.npz", npz, network, running, (rewriting.npz_changed, rewriting.directory_changed)),
    "inputs": Loader(
        "inputs.npz",
        inputs,
        read_inputs,
        lambda path: ["run", "digits-mlp", "--activations", path],
        (rewriting.npz_changed, rewriting.directory_changed),
    ),
    "npy": Loader("w.npy", npy, network, running, (rewriting.npy_changed,)),
    "safetensors": Loader("w.safetensors", safetensors, network, running, (rewriting.safetensors_changed,)),
    "index": Loader("model.safetensors.index.json", index, network, running, (rewriting.index_changed, *TEXT), shards),
    "shards": Loader(
        SHARDS[1],
        lambda folder: [shards()[SHARDS[1]]],
        lambda path: network(path.parent),
        lambda path: ["run", str(Path(path).parent), "--json"],
        (rewriting.safetensors_changed,),
        lambda: {SHARDS[0]: shards()[SHARDS[0]]},
    ),
    "mtx": Loader("w.mtx", mtx, network, running, TEXT),
    "mtx.gz": Loader(
        "w.mtx.gz", packed_mtx, network, running, (*map(rewriting.unpacked, TEXT), *map(rewriting.unpacked, BYTES))
    ),
    "smtx": Loader("w.smtx", smtx, network, running, TEXT),
    "study": Loader(
        "study.toml",
        study,
        es.sweep.read_study,
        lambda path: ["sweep", path],
        (*TEXT, rewriting.toml_changed, rewriting.toml_changed, rewriting.toml_changed),
    ),
    "archive": Loader(
        "net.safetensors",
        archived,
        read_archive,
        running,
        (rewriting.archive_changed, rewriting.archive_changed, rewriting.safetensors_changed),
    ),
    "store": Loader("x.sweep.jsonl", store, read_store, lambda path: ["report", path], (rewriting.rows_changed, *TEXT)),
    "run": Loader("run.json", record, read_record, lambda path: ["report", path], (rewriting.json_changed, *TEXT)),
    "table": Loader("table.csv", table, read_table, lambda path: ["run", "digits-mlp", "--energy-table", path], TEXT),
}
