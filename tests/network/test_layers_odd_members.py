"""Members of a file that cannot be used: listed with the reason, beside what can be used."""

import gc
import io
import json
import math
import time
import zipfile

import numpy as np
import pytest
import scipy.sparse
from refusals import refused
from safetensors.numpy import save_file
from sample_files import matrix

from eie_sim.core.arrays import MAX_ARRAYS, Unread, fit_names
from eie_sim.network import read_arrays


def as_npy(array):
    packed = io.BytesIO()
    np.save(packed, array, allow_pickle=True)
    return packed.getvalue()


OBJECTS = np.array({"epoch": 3}, dtype=object)
RECORDS = np.zeros(2, dtype=[("a", "f4"), ("b", "i2")])


@pytest.mark.parametrize(
    ("member", "data", "packing", "reason"),
    [
        ("model/", b"", zipfile.ZIP_STORED, "not an array"),
        ("README.txt", b"hi", zipfile.ZIP_STORED, "not an array"),
        (".DS_Store", b"x", zipfile.ZIP_DEFLATED, "not an array"),
        ("data.pkl", b"\x80\x04.", zipfile.ZIP_STORED, "not an array"),
        ("__MACOSX/._fc.npy", b"\0\5\x16\7", zipfile.ZIP_STORED, "not an array"),
        ("meta.npy", as_npy(OBJECTS), zipfile.ZIP_STORED, "Python objects, never unpickled"),
        ("table.npy", as_npy(RECORDS), zipfile.ZIP_STORED, "dtype [('a', '<f4'), ('b', '<i2')], not numbers"),
        ("v.npy", as_npy(matrix()), zipfile.ZIP_BZIP2, "packed by bzip2, not read"),
        ("v.npy", as_npy(matrix()), zipfile.ZIP_LZMA, "packed by lzma, not read"),
        ("a\nb.npy", as_npy(matrix()), zipfile.ZIP_STORED, "name that does not print"),
        (".npy", as_npy(matrix()), zipfile.ZIP_STORED, "name of 0 characters"),
        ("x" * 201 + ".npy", as_npy(matrix()), zipfile.ZIP_STORED, "name of 201 characters"),
    ],
)
def test_a_member_that_is_no_array_is_listed(tmp_path, member, data, packing, reason):
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr(member, data, packing)
        archive.writestr("fc.weight.npy", as_npy(matrix()))
    odd, weight = read_arrays(tmp_path / "w.npz").items()
    assert odd[1] == Unread(reason)
    assert 0 < len(odd[0]) <= 200
    assert odd[0].isprintable()
    assert weight[0] == "fc.weight"
    np.testing.assert_array_equal(weight[1], matrix())


def test_an_encrypted_member_is_listed(tmp_path):
    np.savez(tmp_path / "w.npz", a=matrix(), b=matrix())
    data = bytearray((tmp_path / "w.npz").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    data[data.index(b"PK\x03\x04") + 6] |= 1
    (tmp_path / "w.npz").write_bytes(data)
    arrays = read_arrays(tmp_path / "w.npz")
    assert arrays["a"] == Unread("encrypted")
    np.testing.assert_array_equal(arrays["b"], matrix())


def test_what_stands_beside_a_sparse_matrix_is_kept(tmp_path):
    scipy.sparse.save_npz(tmp_path / "w.npz", scipy.sparse.csr_array(matrix()))
    with zipfile.ZipFile(tmp_path / "w.npz", "a") as archive:
        archive.writestr("bias.npy", as_npy(np.ones(6)))
        archive.writestr("README.txt", b"hi")
    arrays = read_arrays(tmp_path / "w.npz")
    assert list(arrays) == ["w", "bias", "README.txt"]
    np.testing.assert_array_equal(arrays["w"].toarray(), matrix())
    assert arrays["README.txt"] == Unread("not an array")


@pytest.mark.parametrize("part", ["format", "shape", "data", "indices", "indptr"])
def test_an_unread_part_of_a_sparse_matrix_is_named(tmp_path, part):
    scipy.sparse.save_npz(tmp_path / "w.npz", scipy.sparse.csr_array(matrix()))
    with np.load(tmp_path / "w.npz") as parts:
        np.savez(tmp_path / "v.npz", **{**parts, part: OBJECTS})
    refused(tmp_path / "v.npz", f"sparse matrix: array {part}: Python objects, never unpickled", read_arrays)


def tensors(entries, data):
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize(
    ("name", "dtype", "shape", "size", "reason"),
    [
        ("s", "F8_E4M3", [2, 2], 4, "dtype F8_E4M3, shape (2, 2), not read"),
        ("s", "F8_E8M0", [1], 1, "dtype F8_E8M0, shape (1,), not read"),
        ("s", "F4", [4], 2, "dtype F4, shape (4,), not read"),
        ("s", "C64", [1], 8, "dtype C64, shape (1,), not read"),
        ("s", "a\nb", [], 3, r"dtype 'a\nb', shape (), not read"),
        ("s", "U8", [1] * 33, 1, f"dtype U8, shape ({'1, ' * 26}1..., not read"),
        ("s", "F64", [0, 2**62], 0, f"dtype F64, shape (0, {2**62}), not read"),
        ("a\nb", "F32", [1], 4, "name that does not print"),
        ("x" * 201, "F32", [1], 4, "name of 201 characters"),
    ],
)
def test_a_tensor_of_an_odd_type_or_name_is_listed(tmp_path, name, dtype, shape, size, reason):
    weight = np.ones((2, 2), np.float32)
    head = {
        "fc.weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
        name: {"dtype": dtype, "shape": shape, "data_offsets": [16, 16 + size]},
    }
    (tmp_path / "w.safetensors").write_bytes(tensors(head, weight.tobytes() + bytes(size)))
    arrays = read_arrays(tmp_path / "w.safetensors")
    np.testing.assert_array_equal(arrays.pop("fc.weight"), weight)
    ((shown, member),) = arrays.items()
    assert member == Unread(reason)
    assert 0 < len(shown) <= 200
    assert shown.isprintable()


def test_an_empty_array_stays_one(tmp_path):
    save_file({"e": np.zeros((0, 3), np.float32)}, tmp_path / "w.safetensors")
    np.savez(tmp_path / "w.npz", e=np.zeros((0, 3)))
    assert read_arrays(tmp_path / "w.safetensors")["e"].shape == (0, 3)
    assert read_arrays(tmp_path / "w.npz")["e"].shape == (0, 3)


def test_names_that_would_be_shown_the_same_are_numbered():
    long = ["x" * 200 + str(n) for n in range(3)]
    shown = "x" * 80 + "..."
    fitting = fit_names({long[0]: 1, shown: 2, long[1]: 3, long[2]: 4})
    assert list(fitting) == [f"{shown} (2)", shown, f"{shown} (3)", f"{shown} (4)"]
    assert fitting[shown] == 2


def many(folder, suffix, count):
    arrays = {f"fc{n}.weight": np.ones((1, 1), np.float32) for n in range(count)}
    path = folder / f"many{suffix}"
    save_file(arrays, path) if suffix == ".safetensors" else np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("suffix", "field"), [(".safetensors", "tensors"), (".npz", "members")])
def test_the_arrays_of_a_file_are_counted_before_one_is_read(tmp_path, monkeypatch, suffix, field):
    def read(*_):
        raise AssertionError("read before it was counted")

    path = many(tmp_path, suffix, MAX_ARRAYS + 1)
    monkeypatch.setattr("eie_sim.network.readers.npz._read_array", read)
    monkeypatch.setattr("eie_sim.network.readers.safetensors_file._array", read)
    refused(path, f"{field}=10001: must be at most 10000", read_arrays)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_the_time_grows_as_the_arrays_do(tmp_path, suffix, request):
    """Four times as many arrays would take sixteen times as long where each looked at all others."""
    request.addfinalizer(gc.enable)
    gc.disable()  # it goes through all that other tests left in the process, the more often the more arrays there are
    paths = [
        many(tmp_path, suffix, count).rename(tmp_path / f"{count}{suffix}") for count in (MAX_ARRAYS // 4, MAX_ARRAYS)
    ]
    taken = [math.inf, math.inf]
    for _ in range(6):  # in turns, for what else the machine does comes and goes
        for at, path in enumerate(paths):
            begin = time.process_time()
            read_arrays(path)
            taken[at] = min(taken[at], time.process_time() - begin)
    assert taken[1] < 8 * taken[0]
