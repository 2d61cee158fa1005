"""Every format, read back."""

import tracemalloc

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from safetensors.numpy import save_file
from sample_files import SHAPE, WRITERS, matrix, smtx_text, two_layers

from eie_sim.network import load, load_activations, read_arrays
from eie_sim.network.readers.matrix_market import BLOCK_BYTES


def dense(weights):
    return weights.toarray() if hasattr(weights, "toarray") else weights


@pytest.mark.parametrize("name", ["stored.npz", "deflated.npz", "tensors.safetensors"])
def test_named_arrays_come_back_exactly(tmp_path, name):
    WRITERS[name](tmp_path / name)
    arrays = read_arrays(tmp_path / name)
    expected = two_layers()
    assert arrays.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(arrays[key], array)
        assert arrays[key].dtype == array.dtype


@pytest.mark.parametrize("name", ["array.npy", "scipy.npz", "coordinates.mtx", "dense.mtx", "packed.mtx.gz"])
def test_one_matrix_comes_back_exactly(tmp_path, name):
    WRITERS[name](tmp_path / name)
    network = load(tmp_path / name)
    (layer,) = network.layers
    assert layer.name == name.partition(".")[0]
    assert not layer.synthetic
    assert layer.weights_source == "from file"
    assert network.source == f"file {name}"
    np.testing.assert_array_equal(dense(layer.weights).astype(np.float32), matrix())


@pytest.mark.parametrize("name", ["pattern.mtx", "pattern.smtx", "packed.smtx.gz"])
def test_a_pattern_gets_drawn_values_and_says_so(tmp_path, name):
    WRITERS[name](tmp_path / name)
    layer, again, other = (load(tmp_path / name, seed=seed).layers[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(layer.weights.toarray() != 0, matrix() != 0)
    assert layer.synthetic
    assert layer.weights_source == "pattern from file, values synthetic, seed 0"
    np.testing.assert_array_equal(layer.weights.data, again.weights.data)
    assert not np.array_equal(layer.weights.data, other.weights.data)


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "dia"])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_scipy_format(tmp_path, form, compressed):
    path = tmp_path / "w.npz"
    scipy.sparse.save_npz(path, getattr(scipy.sparse, f"{form}_array")(matrix()), compressed=compressed)
    (layer,) = load(path).layers
    assert layer.weights.format == "csc"
    assert layer.name == "w"
    np.testing.assert_array_equal(layer.weights.toarray(), matrix())


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", ">f4", ">i2", "g"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_number_types_and_orders_of_npy(tmp_path, dtype, order):
    w = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    np.save(tmp_path / "w.npy", w)
    weights = load(tmp_path / "w.npy").layers[0].weights
    assert weights.dtype in (np.float32, np.float64)
    assert weights.dtype.isnative
    np.testing.assert_array_equal(weights, np.arange(12).reshape(3, 4))


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1"])
def test_number_types_of_safetensors(tmp_path, dtype):
    w = np.arange(12).reshape(3, 4).astype(dtype)
    save_file({"a": w}, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(load(tmp_path / "w.safetensors").layers[0].weights, w)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    values = np.array([[1.0, -2.5, 0.0], [3e38, 1e-38, 0.15625]], dtype=np.float32)
    half = (values.view(np.uint32) >> 16).astype("<u2")
    expected = (half.astype(np.uint32) << 16).view(np.float32)
    path = tmp_path / "w.safetensors"
    header = f'{{"w":{{"dtype":"BF16","shape":[2,3],"data_offsets":[0,{half.nbytes}]}}}}'.encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + half.tobytes())
    weights = load(path).layers[0].weights
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, expected)


def test_safetensors_names_are_sorted_as_people_count(tmp_path):
    save_file({f"fc{n}.weight": np.ones((2, 2), np.float32) for n in (10, 2, 1)}, tmp_path / "w.safetensors")
    assert [layer.name for layer in load(tmp_path / "w.safetensors").layers] == ["fc1", "fc2", "fc10"]


@pytest.mark.parametrize("symmetry", ["symmetric", "skew-symmetric"])
@pytest.mark.parametrize("form", ["coordinate", "array"])
def test_symmetric_matrix_market_agrees_with_scipy(tmp_path, symmetry, form):
    half = np.tril(np.random.default_rng(0).integers(1, 9, (5, 5)), -1)
    whole = half + half.T + np.diag([1, 2, 0, 4, 5]) if symmetry == "symmetric" else half - half.T
    path = tmp_path / "w.mtx"
    scipy.io.mmwrite(path, scipy.sparse.coo_array(whole) if form == "coordinate" else whole, symmetry=symmetry)
    assert symmetry in path.read_text()
    np.testing.assert_array_equal(dense(load(path).layers[0].weights), whole)


def test_matrix_market_with_comments_blank_lines_and_repeated_entries(tmp_path):
    text = "%%MatrixMarket MATRIX Coordinate real General\n% one\n\n%two\n 3 4 3 \n1 1 2.5\n\n1 1 -1\n% odd\n3 4 1e2\n"
    (tmp_path / "w.mtx").write_text(text)
    expected = np.zeros((3, 4))
    expected[0, 0], expected[2, 3] = 1.5, 100
    np.testing.assert_array_equal(load(tmp_path / "w.mtx").layers[0].weights.toarray(), expected)


def test_matrix_market_without_entries_is_a_matrix_of_zeros(tmp_path):
    (tmp_path / "w.mtx").write_text("%%MatrixMarket matrix coordinate real general\n3 4 0\n")
    assert load(tmp_path / "w.mtx").layers[0].density == 0


BODY = "3 3 3\n1 1 1.5D+01\n2 1 -2\n3 2 1d-1\n"


@pytest.mark.parametrize(
    ("banner", "other"),
    [
        (" \t%%MatrixMarket matrix coordinate real general", 0),
        ("\n\n%%matrixmarket MATRIX COORDINATE REAL GENERAL", 0),
        ("%MatrixMarket matrix coordinate double symmetric", 1),
        ("%%MatrixMarket matrix coordinate Real Hermitian", 1),
    ],
)
def test_banners_and_exponents_as_they_are_found(tmp_path, banner, other):
    """scipy/scipy#9426 and #18123: what scipy reads too; of Fortran's exponents it sees no more than 1.5."""
    (tmp_path / "w.mtx").write_text(f"{banner}\n{BODY}")
    half = np.array([[15, 0, 0], [-2, 0, 0], [0, 0.1, 0]])
    expected = half + other * np.tril(half, -1).T
    np.testing.assert_array_equal(read_arrays(tmp_path / "w.mtx")["w"].toarray(), expected)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("block", [1, 7, 64])
def test_matrix_market_is_the_same_in_blocks_of_any_size(tmp_path, monkeypatch, end, block):
    monkeypatch.setattr("eie_sim.network.readers.matrix_market.BLOCK_BYTES", block)
    for name, w in (("a", scipy.sparse.coo_array(matrix())), ("b", matrix())):
        scipy.io.mmwrite(tmp_path / f"{name}.mtx", w, comment="one\ntwo", precision=9)
        text = (tmp_path / f"{name}.mtx").read_text().replace("\n", f"{end}%odd{end} {end}")
        (tmp_path / f"{name}.mtx").write_bytes(text.encode())
        np.testing.assert_array_equal(dense(read_arrays(tmp_path / f"{name}.mtx")[name]).astype(np.float32), matrix())


@pytest.mark.parametrize("kind", ["coordinate real general", "coordinate pattern general", "array real general"])
def test_matrix_market_takes_at_most_four_bytes_a_byte_beside_the_matrix(tmp_path, kind):
    n = 400_000 if kind.startswith("coordinate") else 4_000_000
    at = np.arange(n) % 1_000_000 + 1  # entries of one row after the other, as short as such lines are
    line = {"coordinate real general": "%d 1 1\n", "coordinate pattern general": "%d 1\n", "array real general": "1\n"}
    body = "".join(line[kind] % k for k in at) if kind.startswith("coordinate") else line[kind] * n
    sizes = f"1000000 1 {n}" if kind.startswith("coordinate") else f"{n // 4} 4"
    path = tmp_path / "w.mtx"
    path.write_text(f"%%MatrixMarket matrix {kind}\n{sizes}\n{body}")
    del at, body
    read_arrays(path)  # what is imported and compiled first is not of the file
    tracemalloc.start()
    w = read_arrays(path)["w"]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    size = w.nbytes if isinstance(w, np.ndarray) else w.data.nbytes + w.indices.nbytes + w.indptr.nbytes
    assert peak - size < 4 * path.stat().st_size + 20 * BLOCK_BYTES, (peak, size, path.stat().st_size)


def test_smtx_with_an_empty_pattern_and_windows_line_ends(tmp_path):
    (tmp_path / "a.smtx").write_text(smtx_text(np.zeros((2, 3))))
    assert load(tmp_path / "a.smtx").layers[0].density == 0
    (tmp_path / "b.smtx").write_bytes(smtx_text(matrix()).replace("\n", "\r\n").encode())
    assert load(tmp_path / "b.smtx").layers[0].density == np.count_nonzero(matrix()) / matrix().size


def test_smtx_with_comments_and_blank_lines(tmp_path):
    first, *others = smtx_text(matrix()).splitlines()
    (tmp_path / "w.smtx").write_text("\n".join(["% DLMC", "", first, "# offsets", " ", *others, "", "%", ""]))
    np.testing.assert_array_equal(read_arrays(tmp_path / "w.smtx")["w"].toarray(), matrix() != 0)


def test_suffix_in_capitals(tmp_path):
    np.save(tmp_path / "w.npy", matrix())
    (tmp_path / "w.npy").rename(tmp_path / "W.NPY")
    assert load(tmp_path / "W.NPY").layers[0].weights.shape == SHAPE


@pytest.mark.parametrize("shape", [(9,), (1, 9), (5, 9)])
def test_activations_from_a_file(tmp_path, shape):
    given = np.random.default_rng(0).random(shape)
    np.save(tmp_path / "x.npy", given)
    np.savez(tmp_path / "x.npz", anything=given)
    np.savez(tmp_path / "y.npz", other=matrix(), activations=given)
    save_file({"x": given}, tmp_path / "x.safetensors")
    for name in ("x.npy", "x.npz", "y.npz", "x.safetensors"):
        np.testing.assert_array_equal(load_activations(tmp_path / name), np.atleast_2d(given))
        network = load(matrix(), activations=tmp_path / name)
        np.testing.assert_array_equal(network.layers[0].activations, np.atleast_2d(given))
        assert network.layers[0].activations_source == f"from file {name}"


def test_a_big_sparse_matrix_in_a_small_file_stays_small(tmp_path):
    big = scipy.sparse.coo_array(([1.0], ([2**20 - 1], [2**20 - 1])), shape=(2**20, 2**20))
    scipy.sparse.save_npz(tmp_path / "w.npz", big)
    assert load(tmp_path / "w.npz").layers[0].weights.nnz == 1
