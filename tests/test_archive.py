"""Archives: what is saved is what is loaded, what runs is what was saved, and any program can read it."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from archive_samples import RECIPE, archives, assert_equal, assert_same, layer, matrix, read_alone, small
from hypothesis import given
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

import eie_sim
from eie_sim import EieConfig, InputError, archive, simulate
from eie_sim.network import Layer, Network, SharedWeights, load, load_preset, pruned, shared
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.matrix import NmMatrix

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def digits():
    """The digits network, its compressed matrices with all scales chosen, and their archive."""
    network, matrices = load_preset("digits-mlp"), []
    inputs = network.calibration
    for one in network.layers:
        dense = EieMatrix.from_dense(one.weights, n_pe=16, bias=one.bias, activations=inputs)
        matrices.append(dense)
        inputs = np.maximum(dense.multiply(inputs), 0)
    return network, matrices, archive.archive_of(network, matrices, recipe=RECIPE)


@given(archives())
def test_a_round_trip_is_exact(one):
    data = archive.to_bytes(one)
    again = archive.from_bytes(data)
    assert_same(one, again)
    assert archive.to_bytes(again) == data


@given(archives())
def test_matrices_are_those_that_were_saved(one):
    loaded = archive.from_bytes(archive.to_bytes(one))
    for stored, from_file in zip(one.network.layers, loaded.network.layers, strict=True):
        config = EieConfig(n_pe=3, index_bits=2, weight_bits=stored.stored.weight_bits)
        before, after = archive.matrix_of(stored, config), archive.matrix_of(from_file, config)
        np.testing.assert_array_equal(before.decode(), stored.stored.columns)
        for part in ("codes", "gaps", "pointers", "codebook", "codebook_raw"):
            assert_equal(getattr(before, part), getattr(after, part))
        assert (before.scales, before.shape, before.has_bias) == (after.scales, after.shape, after.has_bias)


@given(archives())
def test_another_program_reads_the_same_weights(one):
    read = read_alone(archive.to_bytes(one))
    assert list(read) == [each.name for each in one.network.layers]
    for each in one.network.layers:
        columns = each.weights if each.bias is None else np.column_stack([each.weights, each.bias])
        np.testing.assert_array_equal(np.array(read[each.name]), columns)


def test_a_run_of_the_archive_is_the_run_of_the_matrices(tmp_path, digits):
    network, matrices, one = digits
    path = tmp_path / "digits.eie.safetensors"
    archive.save(path, one)
    config = EieConfig(n_pe=16)
    for given_layer, before, after in zip(
        network.layers, matrices, archive.matrices_of(archive.load(path), config), strict=True
    ):
        first, second = (simulate(each, given_layer.activations[:4], config) for each in (before, after))
        assert first.stats == second.stats
        np.testing.assert_array_equal(first.output, second.output)


def test_the_network_of_an_archive_answers_like_the_compressed_one(digits):
    network, matrices, one = digits
    x = network.test_inputs
    for each, stored in zip(matrices, archive.network_of(one).layers, strict=True):
        np.testing.assert_allclose(x @ stored.weights.T + stored.bias, each.multiply(x), rtol=1e-12, atol=1e-12)
        x = np.maximum(each.multiply(x), 0)
    assert np.mean(x.argmax(axis=1) == network.test_labels) > 0.95
    assert [each.density for each in one.network.layers] == [each.density for each in network.layers]


def test_the_source_is_the_network_before_pruning(digits):
    network, _, one = digits
    digest = hashlib.sha256()
    for each in network.dense_layers:
        for array in (each.weights, each.bias):
            digest.update(f"<f4 {','.join(map(str, array.shape))}\n".encode() + array.tobytes())
    assert one.source_sha256 == digest.hexdigest()


def test_a_sparse_source_has_the_hash_of_the_dense_one():
    dense = layer("fc1", (600, 9), np.random.default_rng(0))
    sparse = replace(dense, weights=scipy.sparse.csc_array(dense.weights))
    assert archive.hash_of([dense]) == archive.hash_of([sparse])
    assert archive.hash_of([dense]) != archive.hash_of([replace(dense, bias=None)])
    assert archive.hash_of([dense]) != archive.hash_of([replace(dense, weights=dense.weights.reshape(600, 9) * 2)])


def test_large_layers_are_decoded_to_sparse_matrices(monkeypatch):
    dense = small()
    monkeypatch.setattr(shared, "MAX_DENSE", 20)
    sparse = archive.from_bytes(archive.to_bytes(dense))
    first, second = sparse.network.layers
    assert scipy.sparse.issparse(first.weights)
    assert isinstance(second.weights, np.ndarray)
    np.testing.assert_array_equal(first.weights.toarray(), dense.network.layers[0].weights)


def test_equal_content_is_equal_bytes():
    data = archive.to_bytes(small())
    assert archive.to_bytes(small()) == data
    turned = replace(small(), recipe=dict(reversed(RECIPE.items())))
    assert archive.to_bytes(turned) == data
    assert archive.to_bytes(small(seed=1)) != data
    program = "from eie_sim.archive import *; from sys import *; "
    program += "stdout.buffer.write(to_bytes(from_bytes(stdin.buffer.read())))"
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "PYTHONHASHSEED": "1"}
    again = subprocess.run(
        [sys.executable, "-c", program], input=data, capture_output=True, check=True, env=environment
    )
    assert again.stdout == data


def test_the_safetensors_library_reads_it_and_may_write_it_again():
    one = small()
    data = archive.to_bytes(one)
    tensors = load_tensors(data)
    np.testing.assert_array_equal(tensors["codebook/fc1"], one.stored["fc1"].codebook)
    np.testing.assert_array_equal(tensors["codebook_raw/fc1"], one.stored["fc1"].codebook_raw)
    np.testing.assert_array_equal(tensors["calibration"], one.network.calibration)
    length = int.from_bytes(data[:8], "little")
    assert length % 8 == 0
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    assert_same(archive.from_bytes(save_tensors(tensors, metadata=metadata)), one)


def test_calibration_inputs_stay_behind_once_every_scale_is_chosen(digits):
    assert digits[2].network.calibration is None
    assert small().network.calibration is not None


def test_a_kept_weight_stays_kept_where_its_shared_value_is_zero():
    weights = np.array([[-1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])
    one = Layer(name="fc", weights=weights, weights_source="test", synthetic=True)
    archived = archive.archive_of(
        Network(name="n", layers=(one,), chained=False, source="test"), [EieMatrix.from_dense(weights, weight_bits=1)]
    )
    again = archive.from_bytes(archive.to_bytes(archived)).stored["fc"]
    assert again.codebook.tolist() == [0, 0]
    assert again.mask.tolist() == [[True, True, False]] * 2


def test_a_design_with_other_bits_is_refused_by_both_numbers():
    rule = "config.weight_bits=4: must be equal to the stored weight_bits=2 of layer fc2"
    with pytest.raises(InputError, match=rule):
        archive.matrices_of(small(), EieConfig(n_pe=2))
    with pytest.raises(InputError, match="layer fc1: stored=None: must be there"):
        archive.matrix_of(layer("fc1", (2, 2), np.random.default_rng(0)), EieConfig())


def test_opened_takes_archives_and_leaves_the_rest(tmp_path):
    path = tmp_path / "net.eie.safetensors"
    archive.save(path, small())
    network = load(archive.opened(str(path)), activation_density=0.5, seed=3)
    assert (network.source, network.seed) == ("archive net.eie.safetensors of a test", 3)
    assert network.layers[0].stored is not None
    assert network.layers[0].activations_source == "synthetic, density 0.5, seed 3"
    assert load(archive.opened(path), layer="fc2").layers[0].stored.weight_bits == 2
    for other in ("digits-mlp", tmp_path / "missing.safetensors", tmp_path, {"w": 1}, "a\0.safetensors"):
        assert archive.opened(other) is other
    with pytest.raises(InputError, match=r"net.eie.safetensors: an archive of compressed weights: open it with"):
        load(path)


def test_weights_that_change_are_no_longer_what_is_stored(tmp_path):
    network = archive.network_of(small())
    again = pruned(network, 0.02)
    assert all(each.stored is None for each in again.layers)
    assert again.dense_layers[0].stored is network.layers[0].stored
    assert pruned(network, 0.99).layers[0].stored is network.layers[0].stored
    with pytest.raises(
        InputError, match="layer fc1: stored=other weights: must be left out where weights or bias change"
    ):
        replace(network.layers[0], weights=network.layers[0].weights * 2)


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_write_cut_off_leaves_the_older_file(tmp_path, monkeypatch, where):
    path = tmp_path / "net.safetensors"
    archive.save(path, small())
    before = path.read_bytes()

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(*((os, "fsync") if where == "fsync" else (Path, "replace")), stop)
    with pytest.raises(KeyboardInterrupt):
        archive.save(path, small(seed=1))
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["net.safetensors"]


def test_saving_over_an_older_file(tmp_path):
    path = tmp_path / "net.safetensors"
    archive.save(path, small())
    path.chmod(0o600)
    archive.save(str(path), small(seed=1))
    assert_same(archive.load(path), small(seed=1))
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [save_tensors({"fc.weight": np.ones((2, 2), np.float32)}), b"", b"a thesis"])
def test_a_file_that_is_no_archive_is_never_overwritten(tmp_path, content):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(content)
    for call in (archive.require_archive_path, lambda path: archive.save(path, small())):
        with pytest.raises(InputError, match="must be new, or an archive; something else is there and stays as it is"):
            call(path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine.safetensors"]
    assert path.read_bytes() == content


def test_where_an_archive_may_be_written(tmp_path, monkeypatch):
    path = tmp_path / "net.safetensors"
    assert archive.require_archive_path(str(path)) == path
    archive.save(path, small())
    assert archive.require_archive_path(path) == path
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="must be in a folder that can be written to"):
        archive.require_archive_path(path)


ODD = [None, 3, 10**5000, "x", b"x", [], {}, [None], object(), np.eye(2), EieConfig, "", "a\0b", Path]


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda odd: archive.archive_of(odd, []), "network"),
        (lambda odd: archive.archive_of(small().network, odd), "matri"),
        (lambda odd: archive.archive_of(small().network, [odd]), "matrix"),
        (lambda odd: archive.Archive(network=odd, source_sha256="0" * 64), "network"),
        (lambda odd: archive.Archive(network=small().network, source_sha256=odd), "source_sha256"),
        (lambda odd: archive.save(odd, small()), "archive"),
        (lambda odd: archive.save("there.safetensors", odd), "archive"),
        (archive.require_archive_path, "archive"),
        (archive.load, "path|x: file"),
        (archive.to_bytes, "archive"),
        (archive.from_bytes, "data|header length"),
        (lambda odd: archive.hash_of([odd]), "layer"),
        (archive.network_of, "archive"),
        (lambda odd: archive.matrices_of(odd, EieConfig()), "archive"),
        (lambda odd: archive.matrix_of(odd, EieConfig()), "layer"),
        (lambda odd: archive.matrix_of(small().network.layers[0], odd), "config"),
    ],
)
def test_another_type_is_one_line_that_names_the_argument(call, field, odd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=f"^({field})\\w*[=:]") as caught:
        call(odd)
    assert len(str(caught.value)) < 400
    assert str(caught.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"archive=net.npz: must end in .safetensors"):
        archive.save(tmp_path / "net.npz", small())
    with pytest.raises(InputError, match=r"must be in a folder that exists"):
        archive.save(tmp_path / "missing" / "net.safetensors", small())
    with pytest.raises(InputError, match=r"^archive=.*: cannot be written: File name too long$"):
        archive.save(tmp_path / f"{'long' * 80}.safetensors", small())
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(InputError, match=r"must be an ordinary file, or new"):
        archive.save(tmp_path / "folder.safetensors", small())
    with pytest.raises(InputError, match="manifest: source='a\\\\nb': must be printable text"):
        archive.to_bytes(replace(small(), network=replace(small().network, source="a\nb")))


def test_what_cannot_be_archived():
    one = small()
    network, rng = one.network, np.random.default_rng(0)
    first, second = matrix(network.layers[0]), matrix(network.layers[1])
    without = NmMatrix.from_dense(np.eye(4))
    with pytest.raises(InputError, match=r"^matrix=NmMatrix: must have a codebook to be archived, N:M has none$"):
        archive.archive_of(network, [without, second])
    with pytest.raises(InputError, match=r"^config=TensorCoreConfig: must be of a unit with codebooks, N:M has none$"):
        archive.matrices_of(one, TensorCoreConfig())
    with pytest.raises(InputError, match="matrices=1: must be one for each of the 2 layers"):
        archive.archive_of(network, [first])
    with pytest.raises(InputError, match=r"matrix of layer fc1=shape \(3, 5\): must be \(5, 7\)"):
        archive.archive_of(network, [second, first])
    without = EieMatrix.from_dense(network.layers[0].weights)
    with pytest.raises(
        InputError, match="matrix of layer fc1=has_bias False: must have a bias where the layer has one"
    ):
        archive.archive_of(network, [without, second])
    plain = Network(name="n", layers=(layer("fc", (2, 2), rng),), chained=False, source="test")
    with pytest.raises(InputError, match="layer fc: stored=None: must be there in an archive"):
        replace(one, network=plain)
    with pytest.raises(InputError, match="source_sha256=abc: must be 64"):
        replace(one, source_sha256="abc")
    loop = []
    loop.append(loop)
    for recipe in ({"x": np.ones(2)}, {"x": float("nan")}, {"x": {1, 2}}, {"x": loop}, {("a",): 1}, 3, np.eye(2), []):
        with pytest.raises(InputError, match="recipe: must be a JSON object"):
            replace(one, recipe=recipe)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"codebook": np.zeros(3)}, r"codebook=float64 \(3,\): must be float64 \(2\*\*weight_bits,\)"),
        ({"codebook": np.zeros(4, np.float32)}, "codebook=float32"),
        ({"codebook": np.zeros(512)}, "weight_bits 1 to 8"),
        ({"codebook": np.array([1.0, 2.0])}, r"codebook\[0\]=1.0: must be 0"),
        ({"codebook": np.array([0, np.inf])}, r"codebook\[1\]=inf: must be finite"),
        ({"scales": eie_sim.Scales()}, "scales.weight=None: must be chosen"),
        ({"codes": np.full((2, 2), 2, np.uint8)}, "codes=2: must be below the codebook's 2 values"),
        ({"codes": np.ones((2, 2))}, "codes=dtype float64: must be uint8"),
        ({"codes": np.ones(2, np.uint8)}, r"codes=shape \(2,\)"),
        ({"bias_codes": np.ones(3, np.uint8)}, r"bias_codes=shape \(3,\): must be \(2,\)"),
    ],
)
def test_shared_weights_that_are_none(changes, said):
    fine = {"codes": np.ones((2, 2), np.uint8), "codebook": np.array([0.0, 1]), "scales": eie_sim.Scales(weight=3)}
    assert SharedWeights(**fine).weight_bits == 1
    with pytest.raises(InputError, match=said):
        SharedWeights(**(fine | changes))


@pytest.mark.parametrize("odd", [np.array(1.0), np.eye(2)], ids=["0-d", "2-d"])
def test_an_array_is_no_list_of_layers(odd):
    with pytest.raises(InputError, match=r"^layers=ndarray: must be of type Iterable$"):
        archive.hash_of(odd)
    with pytest.raises(InputError, match=r"^matrices=ndarray: must be of type Iterable$"):
        archive.archive_of(small().network, odd)
