"""Text packed by gzip, and files of other tools, which are not read."""

import ast
import functools
import gzip

import numpy as np
import pytest
from refusals import refused
from sample_files import content, matrix

from eie_sim.network import read_arrays
from eie_sim.network.readers.files import EXPORTS

packed = functools.partial(gzip.compress, mtime=0)  # no time in it: every worker collects the same tests

HEAD = b"%%MatrixMarket matrix coordinate real general\n"


def test_names_lose_both_suffixes(tmp_path):
    (tmp_path / "W.MTX.gz").write_bytes(content("packed.mtx.gz", tmp_path))
    assert list(read_arrays(tmp_path / "W.MTX.gz")) == ["W"]


def test_several_packed_pieces_are_one_text(tmp_path):
    text = gzip.decompress(content("packed.mtx.gz", tmp_path))
    (tmp_path / "w.mtx.gz").write_bytes(gzip.compress(text[:70]) + gzip.compress(text[70:]))
    np.testing.assert_array_equal(read_arrays(tmp_path / "w.mtx.gz")["w"].toarray().astype(np.float32), matrix())


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\x1f\x8b", "damaged gzip file"),
        (packed(HEAD)[:-3], "damaged gzip file"),
        (packed(HEAD + b"1 1 1\n1 1 1\n")[:-9] + bytes(9), "damaged gzip file"),
        (packed(HEAD + b"1 1 1\n1 1 1\n") + b"more", "damaged gzip file"),
        (packed(b"\x93NUMPY"), "first line="),
        (packed(HEAD + b"3 3 90000000\n1 1 1\n"), "entries=90000000: must fit the"),
        (packed(HEAD + b"3 3 0\n" + b" " * 2**20), "must be shorter than 65536 bytes"),
    ],
)
def test_damaged_packed_text(tmp_path, data, said):
    (tmp_path / "w.mtx.gz").write_bytes(data)
    refused(tmp_path / "w.mtx.gz", said, read_arrays)


@pytest.mark.parametrize(("name", "head"), [("w.mtx.gz", HEAD + b"1 1 0\n"), ("w.smtx.gz", b"1, 1, 0\n0 0\n")])
def test_packed_text_is_unpacked_no_further_than_the_limit(tmp_path, monkeypatch, name, head):
    (tmp_path / name).write_bytes(gzip.compress(head + b"\n" * 10_000))
    monkeypatch.setattr("eie_sim.network.readers.unpacked.MAX_BYTES", 10_000)
    refused(tmp_path / name, "size=more: must be", read_arrays)
    monkeypatch.setattr("eie_sim.network.readers.unpacked.MAX_BYTES", 20_000)
    assert read_arrays(tmp_path / name)["w"].nnz == 0


@pytest.mark.parametrize("suffix", EXPORTS)
def test_files_of_other_tools_say_what_to_save_instead(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"whatever")
    said = refused(path, "numpy.savez|safetensors|tf2onnx.convert", read_arrays)
    if "import" in said:
        code = said[said.index("import") :]
        ast.parse(code)
        assert f"'net{suffix}'" in code
    if suffix in (".pt", ".pth", ".bin", ".ckpt"):
        assert "state_dict" in said
        assert "weights_only=True" in said
