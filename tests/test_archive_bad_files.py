"""Archives cut short, edited, hostile or foreign: one line says so, and nothing else ever comes of them."""

import hashlib
import json

import numpy as np
import pytest
from archive_samples import assert_same, small
from safetensors.numpy import save as save_tensors

from eie_sim import InputError, archive


@pytest.fixture(scope="module")
def data():
    return archive.to_bytes(small())


def refused(call, given, match="."):
    with pytest.raises(InputError, match=match) as caught:
        call(given)
    said = str(caught.value)
    assert said.isprintable(), said
    assert len(said) < 400
    return said


def test_every_truncation_is_refused(data):
    for size in [*range(0, len(data), 64), len(data) - 1]:
        refused(archive.from_bytes, data[:size])
    refused(archive.from_bytes, data + b"\0")


@pytest.mark.parametrize("bit", [0, 3, 5, 7])
def test_a_flipped_bit_is_refused_or_changes_nothing(data, bit):
    whole = small()
    harmless = 0
    for at in range(len(data)):
        flipped = bytearray(data)
        flipped[at] ^= 1 << bit
        try:
            one = archive.from_bytes(bytes(flipped))
        except InputError as error:
            assert str(error).isprintable()
        else:
            assert_same(one, whole)
            harmless += 1
    assert harmless < 10


def parts(data):
    """Header without manifest, manifest, tensors' bytes."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header, json.loads(header["__metadata__"]["eie_sim.manifest"]), data[8 + length :]


def joined(header, manifest, tensors):
    """A file with the right hash of whatever the manifest is."""
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    told = {"eie_sim.manifest": text, "eie_sim.sha256": hashlib.sha256(text.encode()).hexdigest()}
    head = json.dumps(header | {"__metadata__": told}).encode()
    return len(head).to_bytes(8, "little") + head + tensors


def at(record, path):
    *way, last = path
    for step in way:
        record = record[step]
    return record, last


EDITS = [
    (("version",), 2, "manifest: version=2: must be 1"),
    (("version",), 10**200, "manifest: version=1000.*must be 1"),
    (("version",), "1", "manifest: version='1': must be int"),
    (("version",), True, "manifest: version=True: must be int"),
    (("package",), "a\nb", "manifest: package="),
    (("name",), "", "network="),
    (("name",), None, "manifest: name=None: must be str"),
    (("source",), "x", "manifest: source='x': must be dict"),
    (("source", "sha256"), "xyz", "source_sha256=xyz"),
    (("source", "sha256"), None, "manifest: source: sha256=None"),
    (("source", "name"), "a\x1b[31m", "manifest: source="),
    (("source", "more"), 1, r"manifest: source=\['more'\]: must not be there"),
    (("recipe",), [], r"manifest: recipe='\[\]': must be dict|manifest: recipe=\[\]: must be dict"),
    (("seed",), -1, "manifest: seed=-1: must be an integer >= 0"),
    (("seed",), 0.5, "manifest: seed=0.5: must be int"),
    (("chained",), 1, "manifest: chained=1: must be bool"),
    (("not_simulated",), [["a"]], "must be \\[name, reason\\]"),
    (("not_simulated",), [["a", 3]], "manifest: not_simulated=3: must be printable text"),
    (("left",), 3, "manifest: left='?3'?: must be list or null"),
    (("left",), [1, 2], r"manifest: left=\[1, 2\]: must be 3 counts"),
    (("left",), [1, 2, -1], "manifest: left=-1: must be an integer >= 0"),
    (("left",), [1, 2, True], "manifest: left=True: must be an integer >= 0"),
    (("layers",), [], "layers=.*must be at least one|tensor="),
    (("layers",), {}, "manifest: layers={}: must be list"),
    (("layers", 0), 7, "manifest: layer 0=7: must be a JSON object"),
    (("layers", 0, "name"), "fc2", "tensor mask/fc2|tensor="),
    (("layers", 0, "name"), "a\nb", "manifest: layer 0: name="),
    (("layers", 0, "n_out"), 2**60, "must have at most 1048576 rows"),
    (("layers", 0, "n_out"), -5, "must have at least one row"),
    (("layers", 0, "n_out"), 6, r"tensor mask/fc1=shape \(5,\): must be \(6,\), 48 times 1 bits"),
    (("layers", 0, "n_in"), 2**20, "tensor mask/fc1=shape"),
    (("layers", 0, "n_in"), 7.0, "manifest: layer 0: n_in=7.0: must be int"),
    (("layers", 0, "bias"), False, "tensor mask/fc1="),
    (("layers", 0, "weight_bits"), 9, "manifest: layer 0: weight_bits=9: must be an integer in 1..8"),
    (("layers", 0, "weight_bits"), 5, "tensor codes/fc1=shape"),
    (("layers", 0, "scales", "weight"), None, "manifest: layer 0: scales: weight=None: must be int"),
    (("layers", 0, "scales", "weight"), 31, "scales.weight=31"),
    (("layers", 0, "scales", "activation"), 15, r"scales.activation=15: must be in 0\.\.14 beside a bias"),
    (("layers", 0, "scales", "accumulator"), -31, "scales.accumulator=-31"),
    (("layers", 0, "scales", "weight"), 2, "tensor codebook_raw/fc1=.*must be the codebook at 2 fractional bits"),
    (("layers", 0, "scales", "accumulator"), 1.5, "must be int or null"),
    (("layers", 0, "source"), "a\tb", "manifest: layer 0: source="),
    (("layers", 0, "synthetic"), None, "manifest: layer 0: synthetic=None: must be bool"),
    (("tensors",), {}, "tensor calibration=missing or foreign"),
    (("tensors", "mask/fc1"), "0" * 64, "tensor mask/fc1: its sha256 is another one"),
    (("tensors", "mask/fc1"), 7, "tensor mask/fc1: its sha256 is another one"),
    (("tensors", "more"), "0" * 64, "tensor more=missing or foreign"),
    (("extra",), 1, r"manifest=\['extra'\]: must not be there"),
]


@pytest.mark.parametrize(("path", "value", "said"), EDITS)
def test_edited_manifests(data, path, value, said):
    header, manifest, tensors = parts(data)
    record, last = at(manifest, path)
    record[last] = value
    refused(archive.from_bytes, joined(header, manifest, tensors), said)


@pytest.mark.parametrize(
    "field", ["version", "package", "name", "source", "recipe", "seed", "chained", "layers", "tensors"]
)
def test_missing_fields(data, field):
    header, manifest, tensors = parts(data)
    del manifest[field]
    refused(archive.from_bytes, joined(header, manifest, tensors), rf"manifest=\['{field}'\]: must not be missing")


def test_archives_of_before_say_not_how_much_is_left(data):
    header, manifest, tensors = parts(data)
    del manifest["left"]
    assert archive.from_bytes(joined(header, manifest, tensors)).network.left is None


def test_manifests_that_are_none(data):
    header, manifest, tensors = parts(data)
    for text in ("", "{", "null", "[]", "[" * 100_000, '{"version": NaN}', f'{{"seed": {"9" * 5000}}}'):
        refused(archive.from_bytes, joined(header, text, tensors), "^manifest")
    infinite = json.dumps(manifest | {"recipe": {"x": "here"}}).replace('"here"', "1e999")
    refused(archive.from_bytes, joined(header, infinite, tensors), "^recipe: must be a JSON object")


def test_an_edit_without_the_hash(data):
    edited = data.replace(b"magnitude", b"magnetude")
    assert edited != data
    refused(archive.from_bytes, edited, "manifest: its sha256 is another one; the file is damaged or was edited")
    header, manifest, tensors = parts(data)
    whole = joined(header, manifest, tensors)
    assert_same(archive.from_bytes(whole), small())
    refused(archive.from_bytes, whole.replace(b'"eie_sim.sha256"', b'"eie_sim.sha257"'), "manifest: its sha256")


def with_tensors(data, changes):
    """The file with other tensors, and every hash made right."""
    header, manifest, raw = parts(data)
    tensors = {}
    for name, told in header.items():
        if name != "__metadata__":
            begin, end = told["data_offsets"]
            dtype = {"F64": "<f8", "I16": "<i2", "U8": "u1"}[told["dtype"]]
            tensors[name] = np.frombuffer(raw[begin:end], dtype).reshape(told["shape"])
    tensors |= changes(tensors)
    manifest["tensors"] = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in tensors.items()}
    head, _, blob = parts(save_tensors(tensors, metadata={"eie_sim.manifest": "{}"}))
    return joined(head, manifest, blob)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (lambda t: {"more": np.zeros(3)}, r"tensor=\['more'\]: must belong to a layer"),
        (lambda t: {"mask/fc1": t["mask/fc1"][:-1]}, r"tensor mask/fc1=shape \(4,\): must be \(5,\), 40 times 1 bits"),
        (lambda t: {"mask/fc1": t["mask/fc1"].reshape(1, -1)}, r"tensor mask/fc1=shape \(1, 5\)"),
        (lambda t: {"mask/fc1": t["mask/fc1"].astype(np.int16)}, "tensor mask/fc1=dtype int16: must be uint8"),
        (lambda t: {"mask/fc1": ~t["mask/fc1"]}, "tensor codes/fc1=shape"),
        (lambda t: {"mask/fc2": t["mask/fc2"] | np.array([0, 128], np.uint8)}, "tensor mask/fc2=bits set after"),
        (lambda t: {"codes/fc1": np.zeros_like(t["codes/fc1"])}, "tensor codes/fc1=0: must be 1 or more"),
        (lambda t: {"codebook/fc1": np.arange(32.0)}, r"tensor codebook/fc1=\(32,\): must be \(16,\)"),
        (lambda t: {"codebook/fc1": np.arange(8.0)}, "must be below the codebook's 8 values|tensor codebook/fc1"),
        (lambda t: {"codebook/fc1": np.full(16, np.nan)}, r"codebook\[0\]=nan: must be finite"),
        (lambda t: {"codebook/fc1": t["codebook/fc1"] + 1}, r"codebook\[0\]=1.0: must be 0"),
        (lambda t: {"codebook/fc1": t["codebook/fc1"].astype(np.float32)}, "tensor codebook/fc1=dtype float32"),
        (lambda t: {"codebook_raw/fc1": t["codebook_raw/fc1"][::-1].copy()}, "tensor codebook_raw/fc1=.*must be the"),
        (lambda t: {"codebook_raw/fc1": t["codebook_raw/fc1"][:3]}, "tensor codebook_raw/fc1="),
        (lambda t: {"calibration": np.zeros((2, 6))}, r"calibration=shape \(2, 6\): must be \(n_vector, 7\)"),
        (lambda t: {"calibration": np.full((2, 7), np.inf)}, r"calibration\[0, 0\]=inf: must be finite"),
        (lambda t: {"calibration": np.zeros((2, 7), np.int16)}, "calibration=dtype int16"),
    ],
)
def test_tensors_that_do_not_fit(data, changes, said):
    assert_same(archive.from_bytes(with_tensors(data, lambda t: {})), small())
    refused(archive.from_bytes, with_tensors(data, changes), said)


def test_swapped_tensors(data):
    header, manifest, tensors = parts(data)
    header["codebook/fc1"], header["calibration"] = header["calibration"], header["codebook/fc1"]
    refused(archive.from_bytes, joined(header, manifest, tensors), "its sha256 is another one")


def test_a_manifest_larger_than_memory_is_refused_by_its_sizes(data):
    header, manifest, tensors = parts(data)
    manifest["layers"] = [manifest["layers"][0] | {"name": f"l{n}", "n_in": 2**20} for n in range(200)]
    refused(archive.from_bytes, joined(header, manifest, tensors), "manifest: layers=.* weights: must be at most")


def test_foreign_files(tmp_path):
    file = tmp_path / "net.safetensors"
    foreign = {
        save_tensors({"w": np.ones((2, 2))}): "no archive: a safetensors file without eie_sim.manifest",
        save_tensors({"w": np.ones(2)}, metadata={"format": "pt"}): "no archive",
        b"": "safetensors",
        b"PK\x03\x04" + bytes(100): "header length|safetensors",
        bytes(8): "damaged safetensors file",
        b"\xff" * 100: "header length=18446744073709551615: must be at most",
    }
    for content, said in foreign.items():
        file.write_bytes(content)
        assert refused(archive.load, file, said).startswith("net.safetensors: ")
    refused(
        archive.load, tmp_path / "missing.safetensors", "missing.safetensors: file=missing: must be an existing file"
    )
    refused(archive.load, tmp_path, "must be an existing file")


def test_a_damaged_archive_is_an_error_when_it_is_opened_too(tmp_path, data):
    file = tmp_path / "net.safetensors"
    file.write_bytes(data[:-1])
    refused(archive.opened, str(file), "net.safetensors: damaged safetensors file")
    file.write_bytes(data[:50])
    assert archive.opened(file) is file
