"""Files that are damaged, hostile, or not what their name says: one clear line each, and nothing else escapes."""

import io
import json
import os
import pickle
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_files import WRITERS, content, matrix, smtx_text, two_layers

from eie_sim import InputError
from eie_sim.workload import Network, load, load_activations

TEXT = (".mtx", ".smtx")


def refused(path, match=".", call=load):
    """The one line with which a file is refused."""
    with pytest.raises(InputError, match=match) as caught:
        call(path)
    said = str(caught.value)
    assert said.isprintable(), said
    assert len(said) < 400
    assert path.name in said
    return said


def loaded_or_refused(path):
    """True where a file loads. Any other exception than a one-line InputError fails the test."""
    try:
        network = load(path)
    except InputError as error:
        assert str(error).isprintable()
        return False
    assert isinstance(network, Network)
    return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("samples")


@pytest.mark.parametrize("name", WRITERS)
def test_cut_short_anywhere(name, folder, tmp_path):
    whole = content(name, folder)
    path = tmp_path / name
    # the last number of a text may be cut without a trace, every other cut leaves one
    end = len(whole.rstrip()) - len(whole.split()[-1]) if path.suffix in TEXT else len(whole)
    for length in [*range(0, end, 3), end - 1]:
        path.write_bytes(whole[:length])
        refused(path)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".mtx", ".smtx"])
def test_content_under_another_suffix(name, suffix, folder, tmp_path):
    whole = content(name, folder)
    if Path(name).suffix == suffix:
        return
    path = tmp_path / f"w{suffix}"
    path.write_bytes(whole)
    said = refused(path)
    if suffix != ".smtx":  # three lines of digits have no magic of their own
        assert f"though its name ends in {suffix}" in said
        assert "it looks like" in said


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=200)
@given(seed=st.integers(0, 2**32))
def test_flipped_bytes(name, seed, folder):
    rng = random.Random(seed)  # a plain generator: hypothesis would shrink towards whole files
    data = bytearray(content(name, folder))
    for _ in range(rng.choice([1, 1, 2, 4, 16])):
        data[rng.randrange(len(data))] = rng.choice([rng.randrange(256), 0, 255, *b"9-(['\n%, "])
    path = folder / f"flipped{Path(name).suffix}"
    path.write_bytes(data)
    loaded_or_refused(path)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=100)
@given(seed=st.integers(0, 2**32))
def test_pieces_cut_out_or_put_in(name, seed, folder):
    rng = random.Random(seed)
    data = bytearray(content(name, folder))
    at = rng.randrange(len(data))
    if rng.random() < 0.5:
        del data[at : at + rng.randrange(1, 20)]
    else:
        data[at:at] = rng.randbytes(rng.randrange(1, 20))
    path = folder / f"pieces{Path(name).suffix}"
    path.write_bytes(data)
    loaded_or_refused(path)


@settings(max_examples=100)
@given(data=st.binary(max_size=60), suffix=st.sampled_from([".npz", ".npy", ".safetensors", ".mtx", ".smtx"]))
def test_any_bytes_at_all(data, suffix, folder):
    heads = {".npz": b"PK\x03\x04", ".npy": b"\x93NUMPY", ".safetensors": b"", ".mtx": b"%%MatrixMarket", ".smtx": b"1"}
    path = folder / f"any{suffix}"
    for head in (b"", heads[suffix]):
        path.write_bytes(head + data)
        assert not loaded_or_refused(path)


# what is not there, or not a file


def test_missing_files(tmp_path):
    assert refused(tmp_path / "w.npz") == "w.npz: file=missing: must be an existing file"
    with pytest.raises(InputError, match="file=missing"):
        load("no/such/file")
    with pytest.raises(InputError, match="file=missing"):
        load("w.safetensors")


def test_a_folder(tmp_path):
    (tmp_path / "w.npz").mkdir()
    refused(tmp_path / "w.npz", "must be an existing file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.npz")
    refused(tmp_path / "w.npz", "must be an existing file")


@pytest.mark.parametrize("name", ["a\0b", "a\nb", "x" * 5000, "", "a\nb.npz", "\x1b[31m"])
def test_strange_names(name):
    with pytest.raises(InputError) as caught:
        load(name)
    assert str(caught.value).isprintable()


def test_an_unprintable_file_name_stays_on_one_line(tmp_path):
    (tmp_path / "a\nb.npz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"'a\\nb\.npz': not a zip archive") as caught:
        load(tmp_path / "a\nb.npz")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("suffix", [".pkl", ".pt", ".pth", ".h5", ".onnx", ".csv", "", ".gz"])
def test_other_suffixes(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"whatever")
    refused(path, r"must be one of \.npz, .*; pickles are never read")


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".mtx", ".smtx"])
def test_empty_files(tmp_path, suffix):
    (tmp_path / f"w{suffix}").write_bytes(b"")
    refused(tmp_path / f"w{suffix}", "it is empty")


class Bomb:
    """Leaves a trace when a pickle of it is read."""

    def __reduce__(self):
        return (exec, ("import os; os.environ['EIE_SIM_TEST_BOMB'] = 'gone off'",))


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".safetensors", ".mtx", ".smtx"])
def test_a_pickle_is_never_read(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(pickle.dumps({"w": Bomb()}))
    said = refused(path)
    assert "it looks like a pickle" in said or suffix == ".safetensors"
    assert "EIE_SIM_TEST_BOMB" not in os.environ


def test_arrays_of_objects_are_never_read(tmp_path):
    objects = np.array([[Bomb(), 1.0]], dtype=object)
    np.save(tmp_path / "w.npy", objects, allow_pickle=True)
    refused(tmp_path / "w.npy", "dtype=object: must be numbers, pickled objects are never read")
    np.savez(tmp_path / "w.npz", fc=matrix(), odd=objects)
    refused(tmp_path / "w.npz", "array odd: dtype=object")
    inside = np.array([(1.0, None)], dtype=[("a", "f4"), ("b", "O")])
    np.save(tmp_path / "v.npy", inside, allow_pickle=True)
    refused(tmp_path / "v.npy", "dtype=object")
    assert "EIE_SIM_TEST_BOMB" not in os.environ


# numbers and shapes

FORMATS = {".npy": np.save, ".npz": lambda path, w: np.savez(path, w=w)}


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.array([[1, np.nan]]), r"weights\[0, 1\]=nan: must be finite"),
        (np.array([[1, 0], [-np.inf, 0]]), r"weights\[1, 0\]=-inf: must be finite"),
        (np.array([[np.longdouble("1e4000")]]), "=inf: must be finite"),
        (np.ones((2, 2), complex), "dtype complex128: must hold real numbers"),
        (np.ones((2, 2, 2)), r"no weight matrix, 2-D \(out, in\)"),
        (np.ones(3), "no weight matrix"),
        (np.float64(3), "no weight matrix"),
        (np.zeros((0, 3)), "must have at least one row and one column"),
        (np.zeros((3, 0)), "must have at least one row and one column"),
        (np.array([["a", "b"]]), "no weight matrix"),
        (np.zeros((2, 2), "datetime64[s]"), "no weight matrix"),
        (np.zeros((2, 2), [("a", "f4")]), "no weight matrix"),
        (np.zeros((2**20 + 1, 1), np.int8), "must have at most 1048576 rows and columns"),
    ],
)
def test_wrong_numbers_and_shapes(tmp_path, suffix, wrong, said):
    if wrong.dtype == np.longdouble and np.isinf(wrong[0, 0]):
        pytest.skip("long doubles are doubles here")
    path = tmp_path / f"x{suffix}"
    FORMATS[suffix](path, wrong)
    refused(path, said)


@pytest.mark.parametrize(
    "wrong", [np.ones((2, 2, 2)), np.ones(3), np.array([[1, np.nan]]), np.ones((0, 3)), np.ones((1, 1), complex)]
)
def test_the_same_in_memory(wrong):
    with pytest.raises(InputError) as caught:
        load(wrong)
    assert str(caught.value).isprintable()


# .npy and .npz


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
        "needs 1475",
    ),
    "nothing of too much": ("{'descr': '<f8', 'fortran_order': False, 'shape': (0, 99999999999999999999), }", "shape="),
    "negative": ("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }", "must be integers >= 0"),
    "true": ("{'descr': '<f8', 'fortran_order': False, 'shape': (True, 2), }", "must be integers >= 0"),
    "many sides": (f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({'1,' * 70}), }}", "at most 32"),
    "no size": ("{'descr': '<U0', 'fortran_order': False, 'shape': (2, 2), }", "must have a size"),
    "odd type": ("{'descr': ('<f8',), 'fortran_order': False, 'shape': (2, 2), }", "damaged array header"),
    "no type": ("{'descr': 'banana', 'fortran_order': False, 'shape': (2, 2), }", "damaged array header"),
    "code": ("__import__('os').abort()", "damaged array header"),
    "brackets": ("(" * 5000, "damaged array header"),
    "long": ("{" + " " * 60000 + "}", "damaged array header"),
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


def test_declared_sizes_are_added_up(tmp_path, monkeypatch):
    monkeypatch.setattr("eie_sim.workload.npz.MAX_BYTES", 1000)
    np.savez(tmp_path / "w.npz", a=np.ones((8, 8)), b=np.ones((8, 8)))
    refused(tmp_path / "w.npz", "declared size=1280: must be at most 1000 bytes over all arrays")


def test_the_size_of_a_file_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("eie_sim.workload.files.MAX_BYTES", 100)
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
        (member("data.pkl", b"\x80\x04."), r"member=data\.pkl: must be an array, ending in \.npy"),
        (member("w.npy", b"not an array"), "damaged array header"),
        (member("w.npy", as_npy(matrix()), compression=zipfile.ZIP_BZIP2), "must be stored or deflated"),
        (member("w.npy", as_npy(matrix()), compression=zipfile.ZIP_LZMA), "must be stored or deflated"),
        (member("a\nb.npy", as_npy(matrix())), "must be 1 to 200 printable characters"),
        (member(".npy", as_npy(matrix())), "must be 1 to 200 printable characters"),
        (member("w.npy", as_npy(matrix())[:-1]), "the file is cut short"),
        (member("x", b"")[-22:].replace(b"\x01", b"\x00"), "."),
    ],
)
def test_odd_members_of_a_zip(tmp_path, data, said):
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
        (tensors(entry(dtype="F128"), bytes(8)), "damaged safetensors file"),
        (tensors(entry(dtype="C64", shape=(1, 1)), bytes(8)), "."),
        (tensors(entry(shape=(1,) * 70 + (2,)), bytes(8)), r"tensor w: shape="),
        (tensors(entry(shape=(1, 0), offsets=(0, 0))), "must have at least one row and one column"),
        (tensors(entry(), np.array([1, np.nan], "<f4").tobytes()), r"weights\[0, 1\]=nan"),
        (tensors({"a\nb": entry()["w"]}, bytes(8)), "printable"),
        (tensors({}), "arrays=0"),
    ],
)
def test_hostile_tensor_files(tmp_path, data, said):
    (tmp_path / "w.safetensors").write_bytes(data)
    refused(tmp_path / "w.safetensors", said)


def test_the_smallest_tensor_file_is_read(tmp_path):
    (tmp_path / "w.safetensors").write_bytes(tensors(entry(), bytes(8)))
    assert load(tmp_path / "w.safetensors").layers[0].weights.shape == (1, 2)


# .mtx

HEAD = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("%%MatrixMarket", "first line="),
        ("%%MatrixMarket vector coordinate real general\n3 3 0\n", "first line="),
        ("%%MatrixMarket matrix coordinate complex general\n1 1 1\n1 1 1 0\n", "field=complex: must be one of real"),
        ("%%MatrixMarket matrix coordinate real hermitian\n1 1 1\n1 1 1\n", "symmetry=hermitian: must be one of"),
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
        (HEAD + "3 3 2\n1 1 1\n3 3 \n", "entries: "),
        (HEAD + "3 3 2\n1 1 1          \n", "entries=1 lines of 3 numbers: must be 2 lines of 3"),
        (HEAD + "3 3 1\n1 1 1\n2 2 2\n", "entries=more lines: must be 1 lines of 3"),
        (HEAD + "3 3 1\n1 1 1 1\n", "entries=1 lines of 4 numbers"),
        (HEAD + "3 3 0\n1 1 1\n", "entries=more lines: must be 0 lines"),
        (HEAD + "3 3 1\n4 1 1\n", r"row of entry 1=4: must be an integer in 1\.\.3"),
        (HEAD + "3 3 1\n1 0 1\n", r"column of entry 1=0: must be an integer in 1\.\.3"),
        (HEAD + "3 3 1\n1.5 1 1\n", "row of entry 1=1.5"),
        (HEAD + "3 3 1\nnan 1 1\n", "row of entry 1=nan"),
        (HEAD + "3 3 1\n1 1 nan\n", r"weights\[0, 0\]=nan: must be finite"),
        (HEAD + "3 3 1\n1 1 1e999\n", r"weights\[0, 0\]=inf: must be finite"),
        (HEAD + "3 3 1\n1 1 (1+2j)\n", "entries: "),
        (HEAD.replace("general", "symmetric") + "2 3 1\n1 1 1\n", "must be square to be symmetric"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n5\n", "entries=more lines"),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3    \n", "entries=3 lines of 1 numbers: must be 4"),
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
        ("0, 3, 0\n0\n\n", "must have at least one row"),
        (f"2, {2**30}, 2\n0 1 2\n0 1\n", "must have at most 1048576"),
        ("1000000, 3, 2\n0 1 2\n0 1\n", "offsets=1000001: must fit their line of 5 bytes"),
        ("2, 3, 99999999999\n0 1 2\n0 1\n", "column indices=99999999999: must fit their line"),
        ("2, 3, 2\n0 1     \n0 1\n", "offsets=2 numbers: must be 3 numbers"),
        ("2, 3, 2\n0 1 2\n0  \n", "column indices=1 numbers: must be 2 numbers"),
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


# activations


def test_activation_files(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(9), b=np.ones(9))
    refused(tmp_path / "x.npz", "arrays=a, b: must be one array of 1 or 2 dimensions", load_activations)
    np.savez(tmp_path / "y.npz", a=np.ones((2, 2, 2)))
    refused(tmp_path / "y.npz", "arrays=a: must be one array", load_activations)
    np.save(tmp_path / "z.npy", np.ones((0, 9)))
    refused(tmp_path / "z.npy", "must be", load_activations)
    scipy.sparse.save_npz(tmp_path / "s.npz", scipy.sparse.csr_array(np.ones((2, 9))))
    refused(tmp_path / "s.npz", "a sparse matrix: must be a numpy array", load_activations)
    (tmp_path / "x.mtx").write_text(HEAD + "1 1 0\n")
    refused(tmp_path / "x.mtx", r"suffix=\.mtx: must be one of \.npy, \.npz, \.safetensors", load_activations)
    refused(tmp_path / "no.npy", "file=missing", load_activations)


def test_activations_that_do_not_fit_name_their_file(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 8)))
    with pytest.raises(InputError, match=r"x\.npy: activations=shape \(2, 8\): must be \(n_vector, 9\)"):
        load(matrix(), activations=tmp_path / "x.npy")


def test_errors_name_the_file_once(tmp_path):
    arrays = two_layers() | {"fc2.bias": np.ones(3)}
    np.savez(tmp_path / "net.npz", **arrays)
    assert refused(tmp_path / "net.npz").count("net.npz") == 1


def test_smtx_text_round_trip_is_what_the_collection_writes():
    assert smtx_text(np.eye(2)) == "2, 2, 2\n0 1 2\n0 1\n"
