"""Hostile .npy and .npz files, and what scipy.sparse writes."""

import io
import platform
import struct
import zipfile

import numpy as np
import pytest
import scipy.sparse
from refusals import refused
from sample_files import matrix

from eie_sim import InputError
from eie_sim.network import load


def npy(header, data=b"", version=b"\x01\x00"):
    """A .npy file with a header of one's own."""
    text = header.encode() + b"\n"
    size = len(text).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + text + data


HEADERS = {
    "a petabyte": ("{'descr': '<f8', 'fortran_order': False, 'shape': (2**47,), }", "damaged array header"),
    "a petabyte in digits": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (140737488355328,), }",
        "needs 1125899906842624 bytes, found 0",
    ),
    "more than 64 bits": (
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967297), }",
        "needs 2\\*\\*64 or more bytes",
    ),
    "a product of thousands of digits": (
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'9' * 4300}, {'9' * 4300}), }}",
        "needs 2\\*\\*64 or more bytes",
    ),
    "nothing of too much": ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999), }", "shape="),
    "negative": ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }", "must be integers >= 0"),
    "true": ("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2), }", "must be integers >= 0"),
    "many sides": (f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'1,' * 70}), }}", "at most 32"),
    "odd type": ("{'descr': ('<f8',), 'fortran_order': False, 'shape': (2, 2), }", "damaged array header"),
    "no type": ("{'descr': 'banana', 'fortran_order': False, 'shape': (2, 2), }", "damaged array header"),
    "code": ("__import__('os').abort()", "damaged array header"),
    "brackets": ("(" * 5000, "damaged array header"),
    "long": ("{" + " " * 60000 + "}", "header length=60003: must be at most 10000 bytes"),
    "wrong keys": ("{'descr': '<f8'}", "damaged array header"),
    "unclosed": ("{'descr': '''", "damaged array header"),
    "odd indent": ("  {'descr':\n '<f8'", "damaged array header"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_array_headers(tmp_path, name):
    header, said = HEADERS[name]
    data = npy(header)
    (tmp_path / "w.npy").write_bytes(data)
    refused(tmp_path / "w.npy", said)
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", data)
    refused(tmp_path / "w.npz", f"array w: .*{said}")


@pytest.mark.parametrize("version", [b"\x00\x00", b"\x03\x00", b"\x09\x09"])
def test_unknown_header_versions(tmp_path, version):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }"
    (tmp_path / "w.npy").write_bytes(npy(header, bytes(8), version))
    refused(tmp_path / "w.npy", "format version")


def test_a_header_of_version_2_is_read(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }"
    (tmp_path / "w.npy").write_bytes(npy(header, np.float64(3).tobytes(), b"\x02\x00"))
    assert load(tmp_path / "w.npy").layers[0].weights[0, 0] == 3


@pytest.mark.parametrize("length", [10_001, 1_900_000_000, 2**32 - 1])
def test_a_header_that_claims_to_be_long_is_not_read(tmp_path, length):
    data = b"\x93NUMPY\x02\x00" + length.to_bytes(4, "little") + b"{" + bytes(100)
    (tmp_path / "w.npy").write_bytes(data)
    refused(tmp_path / "w.npy", f"header length={length}: must be at most 10000 bytes")
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", data)
    refused(tmp_path / "w.npz", f"header length={length}: must be at most 10000 bytes")


def test_a_header_of_python_2_is_read_quietly(tmp_path):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1L, 2L), }"
    (tmp_path / "w.npy").write_bytes(npy(header, np.array([3.0, 4.0]).tobytes()))
    assert load(tmp_path / "w.npy").layers[0].weights.tolist() == [[3, 4]]


def test_bytes_after_an_array(tmp_path):
    np.save(tmp_path / "w.npy", matrix())
    with (tmp_path / "w.npy").open("ab") as stream:
        stream.write(b"more")
    refused(tmp_path / "w.npy", "more bytes follow the array")


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        header = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1048576, 4096), }")
        with archive.open("w.npy", "w", force_zip64=True) as member:
            member.write(header)
            zeros = bytes(2**24)
            for _ in range(4):
                member.write(zeros)
    whole = (tmp_path / "w.npz").read_bytes()
    assert len(whole) < 2**18
    refused(tmp_path / "w.npz", "needs 4294967296 bytes, found 67108864")


@pytest.mark.parametrize("packing", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_larger_than_its_packed_bytes_can_hold_is_refused_by_its_size(tmp_path, packing):
    size = 1_900_000_000
    data = npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({size},), }}", bytes(100))
    whole = bytearray(member("w.npy", data, compression=packing))
    for magic, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        begin = whole.index(magic) + at
        whole[begin : begin + 4] = (size + len(data) - 100).to_bytes(4, "little")
    (tmp_path / "w.npz").write_bytes(whole)
    refused(
        tmp_path / "w.npz", r"array w: size=1900000\d*: must be at most \d+ bytes, its \d+ packed ones hold no more"
    )


def test_members_that_overlap(tmp_path):
    """Many of one and the same bytes would be unpacked to many times what the file holds."""
    data = member("w.npy", as_npy(matrix()))
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[at:end].replace(b"w.npy", b"v.npy")
    fields = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 9, 9, (end - at) * 9, at, 0)
    (tmp_path / "w.npz").write_bytes(data[:end] + entry * 8 + fields)
    refused(tmp_path / "w.npz", "packed size=3096: must be at most")


@pytest.mark.skipif(
    platform.machine() != "x86_64" or np.dtype(np.longdouble).itemsize != 16,
    reason="has bits that are no number on x86",
)
def test_a_long_double_that_is_no_number_is_refused_without_a_warning(tmp_path):
    (tmp_path / "w.npy").write_bytes(npy("{'descr': '<f16', 'fortran_order': False, 'shape': (1, 1), }", b"\x01" * 16))
    refused(tmp_path / "w.npy", r"weights\[0, 0\]=nan: must be finite")


def test_declared_sizes_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr("eie_sim.network.readers.npz.MAX_BYTES", 1000)
    np.savez(tmp_path / "w.npz", a=np.ones((8, 8)), b=np.ones((8, 8)))
    refused(tmp_path / "w.npz", "declared size=1280: must be at most 1000 bytes over all arrays")


def test_numbers_are_added_up_before_they_are_widened(tmp_path, monkeypatch):
    monkeypatch.setattr("eie_sim.network.matrices.MAX_NUMBERS", 100)
    small = np.ones((8, 8), np.int8)
    np.savez(tmp_path / "w.npz", w1=small, w2=small)
    refused(tmp_path / "w.npz", "arrays=128 numbers: must be at most 100 over all arrays")
    np.savez(tmp_path / "w.npz", a=small, image=np.ones((3, 8, 8, 8), np.int8))
    assert len(load(tmp_path / "w.npz").layers) == 1


def test_the_size_of_a_file_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("eie_sim.network.readers.files.MAX_BYTES", 100)
    np.save(tmp_path / "w.npy", matrix())
    refused(tmp_path / "w.npy", "size=344: must be at most 100 bytes")


def member(name, data, **kwargs):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", **kwargs) as archive:
        archive.writestr(name, data)
    return packed.getvalue()


def as_npy(array):
    packed = io.BytesIO()
    np.save(packed, array)
    return packed.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (member("w.npy", b"not an array"), "damaged array header"),
        (member("w.npy", as_npy(matrix())[:-1]), "the file is cut short"),
        (member("x", b"")[-22:].replace(b"\x01", b"\x00"), "."),
    ],
)
def test_damaged_members_of_a_zip(tmp_path, data, said):
    (tmp_path / "w.npz").write_bytes(data)
    refused(tmp_path / "w.npz", said)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_in_a_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("w.npy", as_npy(matrix()))
        archive.writestr("w.npy", as_npy(matrix(1)))
    refused(tmp_path / "w.npz", "array w=twice: names must differ")


def test_an_empty_npz(tmp_path):
    np.savez(tmp_path / "w.npz")
    refused(tmp_path / "w.npz", "arrays=0: must be 1 to")


def test_a_changed_byte_of_the_data_is_noticed(tmp_path):
    np.savez(tmp_path / "w.npz", w=matrix())
    data = bytearray((tmp_path / "w.npz").read_bytes())
    at = data.index(b"\x93NUMPY") + 200
    data[at] ^= 1
    (tmp_path / "w.npz").write_bytes(data)
    refused(tmp_path / "w.npz", "Bad CRC-32")


# scipy.sparse.save_npz

GOOD = {
    "format": np.array("csr"),
    "shape": np.array([2, 3]),
    "data": np.ones(3),
    "indices": np.array([0, 2, 1], np.int32),
    "indptr": np.array([0, 2, 3], np.int32),
}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": np.array("lil")}, "format=lil: must be csc, csr, bsr, coo or dia"),
        ({"format": np.array(b"\xff\n")}, "format="),
        ({"format": np.ones(3)}, "format="),
        ({"shape": np.array([2, 3, 4])}, "must have 2 dimensions"),
        ({"shape": np.array([2.0, 3.0])}, "must be integers"),
        ({"shape": np.array([[2, 3]])}, "must be integers"),
        ({"shape": np.array([2, 2**40])}, "must have at most 1048576"),
        ({"shape": np.array([2, -3])}, "must have at least one"),
        ({"shape": np.array([3, 3])}, "not a valid sparse matrix"),
        ({"indices": np.array([0, 3, 1], np.int32)}, "not a valid sparse matrix"),
        ({"indices": np.array([0, -1, 1], np.int32)}, "not a valid sparse matrix"),
        ({"indices": np.array([0.0, 2.0, 1.0])}, "must hold integers"),
        ({"indptr": np.array([0, 3, 2], np.int32)}, "not a valid sparse matrix"),
        ({"indptr": np.array([0, 2, 99], np.int32)}, "not a valid sparse matrix"),
        ({"indptr": np.array([-5, 2, 3], np.int32)}, "not a valid sparse matrix"),
        ({"indptr": np.array([0, 2**40, 3])}, "not a valid sparse matrix"),
        ({"data": np.ones(2)}, "not a valid sparse matrix"),
        ({"data": np.ones((3, 1))}, "not a valid sparse matrix"),
        ({"data": np.ones(3, complex)}, "must hold real numbers"),
        ({"data": np.array([1, np.nan, 1])}, r"weights\[0, 2\]=nan: must be finite"),
        ({"format": np.array("coo")}, "must have the array row and col"),
        (
            {"format": np.array("coo"), "row": np.array([0, 9, 0]), "col": np.array([0, 1, 2])},
            "not a valid sparse matrix",
        ),
        (
            {"format": np.array("coo"), "row": np.array([0, -1, 0]), "col": np.array([0, 1, 2])},
            "not a valid sparse matrix",
        ),
        ({"format": np.array("dia"), "offsets": np.array([[0]])}, "not a valid sparse matrix"),
        ({"format": np.array("bsr")}, "not a valid sparse matrix"),
        ({"format": np.array("bsr"), "data": np.ones((3, 9, 9))}, "not a valid sparse matrix"),
    ],
)
def test_hostile_sparse_matrices(tmp_path, changes, said):
    np.savez(tmp_path / "w.npz", **(GOOD | changes))
    refused(tmp_path / "w.npz", said)


def test_the_unchanged_one_is_read(tmp_path):
    np.savez(tmp_path / "w.npz", **GOOD)
    np.testing.assert_array_equal(load(tmp_path / "w.npz").layers[0].weights.toarray(), [[1, 0, 1], [0, 1, 0]])


def test_a_corrupt_matrix_in_memory():
    broken = scipy.sparse.csr_array(matrix())
    broken.indices[0] = 10**6
    with pytest.raises(InputError, match="not a valid sparse matrix"):
        load(broken)
