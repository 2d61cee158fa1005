"""Files that somebody made with intent: pickles that would make a file, and small files that claim to be large."""

import gzip
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
from rewriting import CENTRAL, LOCAL, archive_with, header, joined, npy

MARKER = "marker"
"""Name of the file that a payload makes where it is unpickled."""
LARGE = 1_900_000_000
"""Bytes; fewer than the most that a file may declare."""


class Payload:
    """What makes a file as soon as somebody unpickles it."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


def payloads(kind, folder):
    """Files of a kind with a pickle in them, which would make MARKER in the folder."""
    pickled = pickle.dumps(Payload(folder / MARKER))
    objects = [npy(header(descr, shape, False), pickled) for descr in ("|O", [("a", "|O")]) for shape in ((), (1,))]
    yield pickled
    if kind == "npy":
        yield from objects
        yield npy("__import__('pathlib').Path(" + repr(str(folder / MARKER)) + ").touch()", b"")
    elif kind in ("npz", "inputs"):
        for name, blob in [("w.pkl", pickled), ("w.npy", pickled), *(("w.npy", each) for each in objects)]:
            yield zipped({name: blob})
        yield zipped({f"{part}.npy": objects[0] for part in ("format", "shape", "data")})
    elif kind == "store":
        yield (
            b'{"key": "'
            + b"0" * 32
            + b'", "error": null, "x": '
            + json.dumps(pickled.decode("latin-1")).encode()
            + b"}\n"
        )


def large(kind, samples):
    """Files of a kind, of some KB at most, that say that they have gigabytes, in every way that they can say it."""
    if kind == "npy":
        for shape in ((LARGE,), (2**15, 2**15), (2**20, 1800), (2**40,), (0, 2**40)):
            yield npy(header("|u1", shape, False), bytes(100))
    elif kind in ("npz", "inputs"):
        yield from _large_npz()
    elif kind in ("safetensors", "shards"):
        yield from _large_safetensors()
    elif kind == "mtx":
        yield from _large_mtx()
    elif kind == "mtx.gz":
        yield from map(gzip.compress, _large_mtx())
        yield gzip.compress(b"%%MatrixMarket matrix coordinate real general\n3 3 1\n" + bytes(LARGE // 40))
    elif kind == "index":
        yield json.dumps({"weight_map": {f"w{n}": f"{n}.safetensors" for n in range(20_000)}}).encode()
    elif kind == "smtx":
        yield from (
            b"1048576, 1048576, 0\n0\n\n",
            b"1, 1048576, 900000000\n0 900000000\n0\n",
            b"1048576, 1, 0\n0 0\n\n",
        )
    elif kind == "study":
        for values in ('"1:1000000000:1000000000"', '"1..1e300"', '[1, 2, "...", 9000000000]', '"0:1:99999999"'):
            yield f'workload = "alex-7"\n[grid]\nn_pe = {values}\ndensity = {values}\n'.encode()
    elif kind == "archive":
        for n_out, n_in in ((512, 2**20), (2**20, 512), (2**29, 1), (2**20, 2**20)):
            yield archive_with(samples[0], lambda manifest, n=(n_out, n_in): _widen(manifest, *n))


def _widen(manifest, n_out, n_in):
    manifest["layers"][0] |= {"n_out": n_out, "n_in": n_in}


def _large_npz():
    array = npy(header("|u1", (LARGE,), False), bytes(100))
    size = LARGE + len(array) - 100
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        data = zipped({"w.npy": array}, packing)
        yield data
        yield sized(data, size, None)
        yield sized(data, size, size)
    sparse = {
        "shape": np.array([2**20, 2**20]),
        "data": np.ones(1),
        "indptr": np.array([0, 1]),
        "indices": np.array([0]),
    }
    for kind in ("csr", "csc", "bsr", "dia", "coo"):
        more = {"format": np.array(kind), "row": np.array([0]), "col": np.array([0]), "offsets": np.array([0])}
        for part in (np.ones(1), np.ones((1, 1)), np.ones((1, 1, 1)), np.ones((0, 2**20, 2**20)), np.ones((0, 2**20))):
            file = io.BytesIO()
            np.savez(file, **(sparse | more | {"data": part}))
            yield file.getvalue()


def _large_safetensors():
    for dtype, shape, offsets in (
        ("U8", [LARGE], [0, LARGE]),
        ("U8", [2**15, 2**15], [0, 100]),
        ("U8", [0, 2**40], [0, 0]),
        ("F64", [2**61], [0, 100]),
        ("F64", [2**32, 2**32], [0, 0]),
    ):
        yield joined({"w": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}, bytes(100))
    for length in (2**24, LARGE, 2**40, 2**63, 2**64 - 1):
        yield length.to_bytes(8, "little") + b"{}" + bytes(100)


def _large_mtx():
    for form, field, symmetry, sizes in (
        ("coordinate", "real", "general", "1048576 1048576 1\n1 1 1"),
        ("coordinate", "real", "general", "3 3 900000000\n1 1 1"),
        ("coordinate", "real", "symmetric", "1048576 1048576 1\n1 1 1"),
        ("coordinate", "pattern", "general", "1048576 1048576 1\n1 1"),
        ("array", "real", "general", "1048576 1048576\n1"),
        ("array", "real", "symmetric", "1048576 1048576\n1"),
        ("array", "real", "skew-symmetric", "30000 30000\n1"),
        ("array", "real", "skew-symmetric", "1 1\n"),
    ):
        yield f"%%MatrixMarket matrix {form} {field} {symmetry}\n{sizes}\n".encode()


def zipped(members, packing=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, blob in members.items():
            archive.writestr(name, blob)
    return file.getvalue()


def sized(data, size, packed_size):
    """A zip archive of one member that has another size, and, where one is given, another packed size."""
    at = data.index(b"PK\x01\x02")
    for layout, begin, field in ((LOCAL, 0, 7), (CENTRAL, at, 8)):
        fields = list(layout.unpack_from(data, begin))
        fields[field + 1] = size
        fields[field] = fields[field] if packed_size is None else packed_size
        data = data[:begin] + struct.pack(layout.format, *fields) + data[begin + layout.size :]
    return data
