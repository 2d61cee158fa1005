"""Hostile .safetensors, .mtx and .smtx files."""

import json
import math

import numpy as np
import pytest
import safetensors
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused

from eie_sim import InputError
from eie_sim.network import load
from eie_sim.network.readers.safetensors_file import DTYPES, tensors_of

# .safetensors


def tensors(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype="F32", shape=(1, 2), offsets=(0, 8)):
    return {"w": {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((2**63).to_bytes(8, "little") + b"{}", "header length=9223372036854775808: must be at most 16777216"),
        ((1000).to_bytes(8, "little") + b"{}", "must be at most the 2 bytes left"),
        (tensors(b"{not json}"), "damaged safetensors file"),
        (tensors(b"{" * 2000), "damaged safetensors file"),
        (tensors(entry(), bytes(7)), "damaged safetensors file"),
        (tensors(entry(), bytes(9)), "damaged safetensors file"),
        (tensors(entry(shape=(2**40, 2**40)), bytes(8)), "damaged safetensors file"),
        (tensors(entry(shape=(-1, 2)), bytes(8)), "damaged safetensors file"),
        (tensors(entry(offsets=(8, 0)), bytes(8)), "damaged safetensors file"),
        (tensors(entry(shape=(True, 2)), bytes(8)), "tensor w: must have dtype, shape and data_offsets"),
        (tensors(entry(shape=(1.0, 2)), bytes(8)), "tensor w: must have dtype, shape and data_offsets"),
        (tensors(entry(dtype=4), bytes(8)), "tensor w: must have dtype, shape and data_offsets"),
        (tensors({"w": 3}, bytes(8)), "tensor w: must have dtype, shape and data_offsets"),
        (tensors([entry()], bytes(8)), "not a safetensors file"),
        (tensors(entry() | {"v": entry()["w"]}, bytes(8)), "tensor v begins at byte 0, not 8|tensor w begins"),
        (tensors(entry(offsets=(4, 12)), bytes(12)), "tensor w begins at byte 4, not 0"),
        (tensors(entry(dtype="F8_E4M3", shape=(2,), offsets=(0, 9)), bytes(8)), "the tensors take 9 bytes of 8"),
        (tensors(b'{"w": 1, "w": 2}'), "name w=twice: names must differ"),
        (tensors(b'{"w": {"dtype": "F32", "dtype": "U8", "shape": [], "data_offsets": [0, 1]}}'), "name dtype=twice"),
        (tensors(json.dumps(entry()).encode("utf-16-le"), bytes(8)), "damaged safetensors file"),
        (tensors(entry(shape=(1, 0), offsets=(0, 0))), "empty, shape .1, 0."),
        (tensors(entry(), np.array([1, np.nan], "<f4").tobytes()), r"weights\[0, 1\]=nan"),
        (tensors({}), "arrays=0"),
    ],
)
def test_hostile_tensor_files(tmp_path, data, said):
    (tmp_path / "w.safetensors").write_bytes(data)
    refused(tmp_path / "w.safetensors", said)


def test_the_smallest_tensor_file_is_read(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(tensors(entry(), bytes(8)))
    assert load(tmp_path / "w.safetensors").layers[0].weights.shape == (1, 2)


@given(data=st.data())
def test_what_the_library_of_the_format_reads_is_read_the_same(data):
    """The header is checked here in full; safetensors is the second opinion on every header that it accepts."""
    entries, end = {}, 0
    for name in data.draw(st.lists(st.sampled_from("abcdef"), unique=True)):
        dtype = data.draw(st.sampled_from(sorted(DTYPES)))
        shape = data.draw(st.lists(st.integers(0, 4), max_size=3))
        size = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    for entry in entries.values():
        if data.draw(st.integers(0, 9)) == 0:
            part = data.draw(st.sampled_from(sorted(entry)))
            entry[part] = data.draw(st.sampled_from(["U8", [], [0], [1, 2], [0, 1], [-1, 1], None, "F32", [0, end]]))
    blob = tensors(entries, np.random.default_rng(end).integers(0, 2, end, dtype=np.uint8).tobytes())
    try:
        expected = dict(safetensors.deserialize(blob))
    except safetensors.SafetensorError:
        with pytest.raises(InputError):
            tensors_of(blob)
        return
    found = tensors_of(blob)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert list(found[name].shape) == tensor["shape"]
        if tensor["dtype"] != "BF16":
            assert found[name].tobytes() == bytes(tensor["data"])


# .mtx

HEAD = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%%MatrixMarket", "first line="),
        ("%%MatrixMarket vector coordinate real general\n3 3 0\n", "first line="),
        (
            "%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 0\n",
            "field=complex: must be real, complex numbers are not",
        ),
        ("%%MatrixMarket matrix coordinate real upper\n1 1 1\n1 1 1\n", "symmetry=upper: must be one of"),
        ("%%%MatrixMarket matrix coordinate real general\n1 1 1\n1 1 1\n", "not a MatrixMarket file"),
        ("%MatrixMarketing matrix coordinate real general\n1 1 1\n1 1 1\n", "first line=%matrixmarketing"),
        ("%%MatrixMarket matrix tensor real general\n1 1 1\n1 1 1\n", "format=tensor: must be one of"),
        ("%%MatrixMarket matrix array pattern general\n1 1\n1\n", "field=pattern: must have values"),
        (HEAD, "size line: missing"),
        (HEAD + "% only\n% comments\n", "size line: missing"),
        (HEAD + "3 3\n", "size line=.*must have 3 counts"),
        (HEAD + "3 x 1\n1 1 1\n", "size line=3 x 1: must hold counts"),
        (HEAD + "-3 3 1\n1 1 1\n", "must hold counts"),
        (HEAD + f"{10**30} 3 1\n1 1 1\n", "must hold counts"),
        (HEAD + "0 3 0\n", "must have at least one row and one column"),
        (HEAD + f"3 {2**40} 1\n1 1 1\n", "must have at most 1048576 rows and columns"),
        (HEAD + "3 3 9000000000000\n1 1 1\n", "entries=9000000000000: must fit the 6 bytes left"),
        (HEAD + "3 3 2\n1 1 1\n3 3 \n", "line 4=3 3: must hold 3 numbers and nothing else"),
        (HEAD + "3 3 2\n1 1 1          \n", "entries=1 lines: must be 2, by the size line"),
        (HEAD + "3 3 1\n1 1 1\n2 2 2\n", "entries=more lines: must be 1 lines"),
        (HEAD + "3 3 1\n1 1 1 1\n", "line 3=1 1 1 1: must hold 3 numbers and nothing else"),
        (HEAD + "3 3 1\n1 1 1 one\n", "line 3=1 1 1 one: must hold 3 numbers"),
        (HEAD + "3 3 1\n1 1 1 % one\n", "line 3=1 1 1 % one: must hold 3 numbers"),
        (HEAD + "3 3 1\n% one\n\n# two\n1 1 1\n", "line 5=# two: must hold 3 numbers"),
        (HEAD + "3 3 1\n1 1 1_0\n", "line 3=1 1 1_0: must hold 3 numbers"),
        (HEAD + "3 3 1\n1 1 0x1\n", "line 3=1 1 0x1: must hold 3 numbers"),
        (HEAD + "3 3 2\n1 1 1\r2 2 2\n", "line 3=.*must hold 3 numbers"),
        (HEAD + "3 3 1\n1\r1 1\n", "entries"),
        (HEAD + "3 3 1\n" + " " * 2**21 + "1 1 1", "must be shorter than 65536 bytes"),
        (HEAD + "3 3 0\n1 1 1\n", "entries=more lines: must be 0 lines"),
        (HEAD + "3 3 1\n4 1 1\n", r"row of entry 1=4: must be an integer in 1\.\.3"),
        (HEAD + "3 3 1\n1 0 1\n", r"column of entry 1=0: must be an integer in 1\.\.3"),
        (HEAD + "3 3 1\n1.5 1 1\n", "row of entry 1=1.5"),
        (HEAD + "3 3 1\nnan 1 1\n", "row of entry 1=nan"),
        (HEAD + "3 3 1\n1 1 nan\n", r"weights\[0, 0\]=nan: must be finite"),
        (HEAD + "3 3 1\n1 1 1e999\n", r"weights\[0, 0\]=inf: must be finite"),
        (HEAD + "3 3 1\n1 1 (1+2j)\n", r"line 3=1 1 \(1\+2j\): must hold 3 numbers"),
        (HEAD.replace("general", "symmetric") + "2 3 1\n1 1 1\n", "must be square to be symmetric"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n5\n", "entries=more lines"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3    \n", "entries=3 lines: must be 4"),
        (HEAD + "3 3 0\n" + "\n" * 9 + "1 1 1", "entries=more lines"),
        (
            "%%MatrixMarket matrix array real general\n1000000 1000000\n1\n",
            "entries=1000000000000: must fit the 2 bytes",
        ),
        (HEAD + "%" * 100_000, "must be shorter than 65536 bytes"),
    ],
)
def test_hostile_matrix_market(tmp_path, text, said):
    (tmp_path / "w.mtx").write_text(text)
    refused(tmp_path / "w.mtx", said)


# .smtx


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2, 3\n0 1 2\n0 1\n", "first line=2, 3: must be rows, cols, nnz"),
        ("2, 3, -2\n0 1 2\n0 1\n", "first line="),
        ("2, 3, 2", "lines=1: must be 3"),
        ("2, 3, 2\n0 1 2", "lines=2: must be 3"),
        ("2, 3, 2\n0 1 2\n0 1\n7\n", "lines=4 or more: must be 3"),
        ("% only\n", "lines=0: must be 3"),
        ("2, 3, 0\n0 0 0\n0\n", "lines=3 or more: must be 2"),
        ("0, 3, 0\n0\n", "must have at least one row"),
        (f"2, {2**30}, 2\n0 1 2\n0 1\n", "must have at most 1048576"),
        ("1000000, 3, 2\n0 1 2\n0 1\n", "offsets=1000001: must fit their line of 5 bytes"),
        ("2, 3, 99999999999\n0 1 2\n0 1\n", "column indices=99999999999: must fit their line"),
        ("2, 3, 2\n0     1\n0 1\n", "offsets=2 numbers: must be 3 numbers"),
        ("2, 3, 2\n0 1 2\n012\n", "column indices=1 numbers: must be 2 numbers"),
        ("2, 3, 2\n0 1 2\n0 1 2\n", "column indices=3 numbers"),
        ("2, 3, 2\n1 1 2\n0 1\n", r"offsets\[0\]=1: must be 0"),
        ("2, 3, 2\n0 1 1\n0 1\n", r"offsets\[2\]=1: must be nnz, 2"),
        ("3, 3, 2\n0 2 1 2\n0 1\n", r"offsets\[2\]=1: must be at least the one before, 2"),
        ("2, 3, 2\n0 1 2\n0 3\n", r"column indices\[1\]=3: must be below 3 columns"),
        ("2, 3, 2\n0 2 2\n1 1\n", r"column indices\[1\]=1: stands twice in row 0"),
        ("2, 3, 2\n0 1 2\n0 -1\n", "column indices=-: must be digits and spaces"),
        ("2, 3, 2\n0 1 2\n0 1.5\n", r"column indices=\.: must be digits and spaces"),
        (f"2, 3, 2\n0 1 2\n0 {10**25}\n", "must have at most 18 digits"),
    ],
)
def test_hostile_patterns(tmp_path, text, said):
    (tmp_path / "w.smtx").write_text(text)
    refused(tmp_path / "w.smtx", said)


def test_a_column_may_repeat_in_another_row(tmp_path):
    (tmp_path / "w.smtx").write_text("2, 3, 4\n0 2 4\n2 1 1 2")
    assert load(tmp_path / "w.smtx").layers[0].weights.nnz == 4
