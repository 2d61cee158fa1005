"""Files that are damaged, hostile, or not what their name says: one clear line each, and nothing else escapes."""

import os
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import refused
from sample_files import WRITERS, content, matrix, smtx_text, two_layers

from eie_sim import InputError
from eie_sim.core.arrays import Unread
from eie_sim.network import Network, load, load_activations, read_arrays
from eie_sim.network.readers.files import KINDS, suffix_of

TEXT = (".mtx", ".smtx")


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
@pytest.mark.parametrize("suffix", KINDS)
def test_content_under_another_suffix(name, suffix, folder, tmp_path):
    whole = content(name, folder)
    if name.endswith(suffix) or (name.endswith(".gz") and suffix.endswith(".gz")):
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
    path = folder / f"flipped{suffix_of(Path(name))}"
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
    path = folder / f"pieces{suffix_of(Path(name))}"
    path.write_bytes(data)
    loaded_or_refused(path)


@settings(max_examples=100)
@given(data=st.binary(max_size=60), suffix=st.sampled_from(sorted(KINDS)))
def test_any_bytes_at_all(data, suffix, folder):
    heads = {".npz": b"PK\x03\x04", ".npy": b"\x93NUMPY", ".safetensors": bytes(8) + b"{", ".mtx": b"%%MatrixMarket"}
    heads |= {".smtx": b"1", ".mtx.gz": b"\x1f\x8b\x08", ".smtx.gz": b"\x1f\x8b\x08", ".safetensors.index.json": b"{"}
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
    refused(tmp_path / "w.npz", r"folder=no weights: must hold \.safetensors files")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "w.npz")
    refused(tmp_path / "w.npz", "file=a pipe or device: must be an ordinary file")


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


@pytest.mark.parametrize("suffix", [".csv", "", ".gz", ".csv.gz", ".json"])
def test_other_suffixes(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(b"whatever")
    refused(path, r"must be one of \.npz, .*; pickles are never read")


@pytest.mark.parametrize("suffix", KINDS)
def test_empty_files(tmp_path, suffix):
    (tmp_path / f"w{suffix}").write_bytes(b"")
    refused(tmp_path / f"w{suffix}", "it is empty")


class Bomb:
    """Leaves a trace when a pickle of it is read."""

    def __reduce__(self):
        return (exec, ("import os; os.environ['EIE_SIM_TEST_BOMB'] = 'gone off'",))


@pytest.mark.parametrize("suffix", KINDS)
def test_a_pickle_is_never_read(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(pickle.dumps({"w": Bomb()}))
    said = refused(path)
    assert "it looks like a pickle" in said
    assert "EIE_SIM_TEST_BOMB" not in os.environ


def test_arrays_of_objects_are_never_read(tmp_path):
    objects = np.array([[Bomb(), 1.0]], dtype=object)
    np.save(tmp_path / "w.npy", objects, allow_pickle=True)
    assert read_arrays(tmp_path / "w.npy") == {"w": Unread("Python objects, never unpickled")}
    refused(tmp_path / "w.npy")
    np.savez(tmp_path / "w.npz", fc=matrix(), odd=objects)
    assert read_arrays(tmp_path / "w.npz")["odd"] == Unread("Python objects, never unpickled")
    assert [layer.name for layer in load(tmp_path / "w.npz").layers] == ["fc"]
    inside = np.array([(1.0, None)], dtype=[("a", "f4"), ("b", "O")])
    np.save(tmp_path / "v.npy", inside, allow_pickle=True)
    assert read_arrays(tmp_path / "v.npy") == {"v": Unread("Python objects, never unpickled")}
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
        (np.ones((2, 2), complex), "not a weight matrix, shape .2, 2., dtype complex128"),
        (np.ones((2, 2, 2)), r"no weight matrix, 2-D \(out, in\)"),
        (np.ones(3), "no weight matrix"),
        (np.float64(3), "no weight matrix"),
        (np.zeros((0, 3)), "empty, shape .0, 3."),
        (np.zeros((3, 0)), "empty, shape .3, 0."),
        (np.array([["a", "b"]]), "no weight matrix"),
        (np.zeros((2, 2), "datetime64[s]"), "no weight matrix"),
        (np.zeros((2, 2), [("a", "f4")]), "no weight matrix"),
        (np.zeros((2**20 + 1, 1), np.int8), "more than 1048576 rows or columns"),
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


def test_the_numbers_of_an_array_are_limited(tmp_path, monkeypatch):
    monkeypatch.setattr("eie_sim.core.arrays.MAX_NUMBERS", 50)
    np.save(tmp_path / "w.npy", matrix().astype(np.int8))
    refused(tmp_path / "w.npy", "array weight=54 numbers: must be at most 50")


# activations


def test_activation_files(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.ones(9), b=np.ones(9))
    refused(tmp_path / "x.npz", "arrays=a, b: must be one array .*, or one named activations", load_activations)
    np.savez(tmp_path / "y.npz", a=np.float64(1))
    refused(tmp_path / "y.npz", "arrays=a: must be one array", load_activations)
    np.save(tmp_path / "z.npy", np.ones((0, 9)))
    refused(tmp_path / "z.npy", "must be", load_activations)
    scipy.sparse.save_npz(tmp_path / "s.npz", scipy.sparse.csr_array(np.ones((2, 9))))
    refused(tmp_path / "s.npz", "arrays=s: must be one array", load_activations)
    (tmp_path / "x.mtx").write_text("%%MatrixMarket matrix coordinate real general\n1 1 0\n")
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


def test_an_array_of_arrays_is_not_read(tmp_path):
    header = b"{'descr': ('<f4', (2, 3)), 'fortran_order': False, 'shape': (1, 1), }\n"
    body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(24)
    (tmp_path / "sub.npy").write_bytes(body)
    assert read_arrays(tmp_path / "sub.npy") == {"sub": Unread("dtype ('<f4', (2, 3)), not numbers")}


def test_blocks_of_no_size_are_refused(tmp_path):
    parts = {"format": b"bsr", "shape": [2, 2], "data": np.zeros((0, 0, 0)), "indices": np.zeros(0, int)}
    np.savez(tmp_path / "blocks.npz", **parts, indptr=np.zeros(3, int))
    with pytest.raises(InputError) as error:
        load(tmp_path / "blocks.npz")
    assert "\n" not in str(error.value)


def test_a_name_of_five_thousand_digits_is_one_line(tmp_path):
    from safetensors.numpy import save_file

    save_file({"1" * 5000: np.ones((2, 2), np.float32)}, tmp_path / "digits.safetensors")
    ((name, member),) = read_arrays(tmp_path / "digits.safetensors").items()
    assert name == "1" * 80 + "..."
    assert member == Unread("name of 5000 characters")
