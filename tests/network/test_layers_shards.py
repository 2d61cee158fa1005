"""Several .safetensors files that are one network: by their index, or by their folder."""

import json
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusals import refused
from safetensors.numpy import save_file
from sample_files import two_layers

from eie_sim.core.arrays import Unread
from eie_sim.network import read_arrays

INDEX = "model.safetensors.index.json"


def shards(folder, parts, weight_map=None, index=INDEX):
    """Write the arrays of each part into a shard, and an index unless there is none; return the shards' names."""
    names = [f"model-{at + 1}-of-{len(parts)}.safetensors" for at in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        save_file(part, folder / name)
    if weight_map is None:
        weight_map = {each: name for name, part in zip(names, parts, strict=True) for each in part}
    if index:
        (folder / index).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))
    return names


def halves():
    items = list(two_layers().items())
    return [dict(items[::2]), dict(items[1::2])]


@pytest.mark.parametrize("index", [INDEX, ""])
def test_shards_are_read_as_one_file_would_be(tmp_path, index):
    shards(tmp_path, halves(), index=index)
    save_file({"w": np.ones(3)}, tmp_path / ".hidden.safetensors")
    (tmp_path / "config.json").write_text("{}")
    whole = tmp_path / "whole"
    whole.mkdir()
    save_file(two_layers(), whole / "model.safetensors")
    expected = read_arrays(whole / "model.safetensors")
    for path in [tmp_path, whole, *([tmp_path / index] if index else [])]:
        arrays = read_arrays(path)
        assert list(arrays) == list(expected)
        for name, array in expected.items():
            np.testing.assert_array_equal(arrays[name], array)


@given(st.data())
def test_how_tensors_are_spread_makes_no_difference(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("spread")
    n = data.draw(st.integers(1, 12))
    parts = [{} for _ in range(n)]
    for at in range(15):
        data.draw(st.sampled_from(parts))[f"fc{at}.weight"] = np.full((1, 1), at, np.float32)
    shards(folder, parts, index=data.draw(st.sampled_from([INDEX, ""])))
    assert [(name, float(w[0, 0])) for name, w in read_arrays(folder).items()] == [
        (f"fc{at}.weight", at) for at in range(15)
    ]


def test_the_index_wins_over_other_files_of_the_folder(tmp_path):
    shards(tmp_path, halves())
    save_file({"fc1.weight": np.ones((9, 9))}, tmp_path / "consolidated.safetensors")
    assert read_arrays(tmp_path)["fc1.weight"].shape == (6, 9)


def test_a_tensor_that_the_index_does_not_name_is_listed(tmp_path):
    first, second = shards(tmp_path, halves())
    shards(tmp_path, halves(), dict.fromkeys(halves()[0], first) | {"fc1.bias": second})
    assert read_arrays(tmp_path)["fc2.bias"] == Unread(f"in {second}, not in the index")


def test_a_tensor_in_two_shards(tmp_path):
    first, second = shards(tmp_path, [two_layers(), {"fc1.bias": np.ones(6)}], index="")
    refused(tmp_path, f"tensor fc1.bias=in {first} and {second}: must be in one", read_arrays)


def test_a_missing_shard_or_tensor(tmp_path):
    first, second = shards(tmp_path, halves())
    (tmp_path / second).rename(tmp_path / "other.safetensors")
    refused(tmp_path / INDEX, f"file {second}=missing: must be an ordinary file", read_arrays)
    shards(tmp_path, halves(), {"fc1.weight": first, "fc9.weight": second})
    refused(tmp_path / INDEX, f"tensor fc9.weight=missing: must be in {second}", read_arrays)
    shards(tmp_path, halves(), {"fc1.weight": second, "fc1.bias": first})
    refused(tmp_path / INDEX, "tensor fc1.weight=missing: must be in", read_arrays)


@pytest.mark.parametrize(
    "shard", ["../x.safetensors", "/x.safetensors", "a/b.safetensors", "a\\b.safetensors", "", "..", "x.bin"]
)
def test_an_index_names_files_of_its_folder_only(tmp_path, shard):
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": {"w": shard}}))
    refused(
        tmp_path / INDEX, r"weight_map=.*: must be the name of a \.safetensors file in the same folder", read_arrays
    )


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs links")
def test_shards_may_be_links_as_caches_have_them(tmp_path):
    (tmp_path / "model").mkdir()
    _, second = shards(tmp_path / "model", halves())
    (tmp_path / "model" / second).rename(tmp_path / "blob")
    (tmp_path / "model" / second).symlink_to("../blob")
    assert len(read_arrays(tmp_path / "model")) == 5
    (tmp_path / "blob").unlink()
    refused(tmp_path / "model", f"file {second}=missing: must be an ordinary file in the same folder", read_arrays)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "damaged index"),
        ("{" * 5000, "damaged index"),
        ("{}", "weight_map: must be a table"),
        ('{"weight_map": []}', "weight_map: must be a table"),
        ('{"weight_map": {"w": 3}}', "weight_map: must be a table"),
        ('{"weight_map": {"w": "a.safetensors", "w": "b.safetensors"}}', "name w=twice: names must differ"),
        ("\ufeff{}", "not an index"),
    ],
)
def test_a_damaged_index(tmp_path, text, said):
    (tmp_path / INDEX).write_text(text, encoding="utf-8")
    refused(tmp_path / INDEX, said, read_arrays)


def test_a_damaged_shard_is_named(tmp_path):
    _, second = shards(tmp_path, halves())
    (tmp_path / second).write_bytes((tmp_path / second).read_bytes()[:-1])
    refused(tmp_path / INDEX, f"{second}: damaged safetensors file", read_arrays)


def test_two_indices_or_no_weights(tmp_path):
    refused(tmp_path, "folder=no weights", read_arrays)
    shards(tmp_path, halves())
    shards(tmp_path, halves(), index="other.safetensors.index.json")
    refused(tmp_path, "indices=model.*, other.*: must be at most one", read_arrays)


def test_sizes_and_tensors_are_added_up_before_any_is_read(tmp_path, monkeypatch):
    def read(*_):
        raise AssertionError("read before it was counted")

    shards(tmp_path, halves())
    monkeypatch.setattr("eie_sim.network.readers.safetensors_file._array", read)
    monkeypatch.setattr("eie_sim.network.readers.shards.MAX_BYTES", 500)
    refused(tmp_path, "size=.*: must be at most 500 bytes over all 2 files", read_arrays)
    monkeypatch.undo()
    monkeypatch.setattr("eie_sim.network.readers.safetensors_file._array", read)
    monkeypatch.setattr("eie_sim.network.readers.safetensors_file.MAX_ARRAYS", 4)
    refused(tmp_path, "tensors=5: must be at most 4", read_arrays)
