"""What the text or object of an axis cannot mean: one line, and no more values than there may be."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refusing import ONE_LINE, refused

from eie_sim.core.errors import InputError
from eie_sim.study import values
from eie_sim.study.axes import AXES, values_of


@pytest.mark.parametrize(
    ("axis", "text", "said"),
    [
        ("n_pe", "", "at least one value"),
        ("n_pe", " ", "at least one value"),
        ("n_pe", ",", "either side of every comma"),
        ("n_pe", "1,,2", "either side of every comma"),
        ("n_pe", "1,2,", "either side of every comma"),
        ("n_pe", "1..", "1..256"),
        ("n_pe", "..4", "1..256"),
        ("n_pe", "1..2..3", "1..256"),
        ("n_pe", "1...5", "1..256"),
        ("density", "0.5..2", "1..256"),
        ("n_pe", "...", "two or three values before"),
        ("n_pe", "1,...", "two or three values before"),
        ("n_pe", "1,...,4", "two or three values before"),
        ("n_pe", "1,...,", "either side of every comma"),
        ("n_pe", "1,2,...", "the last value after it"),
        ("n_pe", "1,2,...,...,8", "the last value after it"),
        ("n_pe", "1,2,...,4..8", "the last value after it"),
        ("n_pe", "1,2,4,...,250", "must reach the value after ... exactly by the ratio 2"),
        ("n_pe", "1,3,5,...,8", "must reach the value after ... exactly by the difference 2"),
        ("n_pe", "64,32,...,3", "by the difference -32 or the ratio 0.5"),
        ("n_pe", "1,2,4,...,4", "by the ratio 2"),
        ("n_pe", "1,2,5,...,9", "one difference or one ratio"),
        ("n_pe", "3,3,...,3", "one difference or one ratio"),
        ("density", "-1.7e308,1.7e308,...,1", "must reach"),
        ("density", "none,1,...,3", "or none"),
        ("vector", "all,1,...,3", "index of a frame"),
        ("n_pe", "1:8", "0.02:0.5:20"),
        ("n_pe", "1:8:2:lin", "0.02:0.5:20"),
        ("n_pe", "1:8:2:log:2", "0.02:0.5:20"),
        ("n_pe", "1:8:1", "2 values or more"),
        ("n_pe", "1:8:-2", "0.02:0.5:20"),
        ("n_pe", "1:8.5:2", "whole number"),
        ("density", "0:1:3:log", "above 0"),
        ("n_pe", "1.5", "whole number"),
        ("n_pe", "1e3", "whole number"),
        ("n_pe", "64k", "whole number"),
        ("n_pe", "1_000", "whole number"),
        ("n_pe", "0x10", "whole number"),
        ("n_pe", "٣", "whole number"),
        ("n_pe", "²", "whole number"),
        ("n_pe", "9" * 31, "whole number"),
        ("n_pe", ["9" * 5000], "whole number"),
        ("n_pe", "--density", "whole number"),
        ("density", "nan", "finite"),
        ("density", "-inf", "finite"),
        ("density", "1e400", "finite"),
        ("density", "1e-400", "finite"),
        ("density", "1e-999999999", "finite"),
        ("density", ["0." + "1" * 5000], "finite"),
        ("density", "1/2", "finite"),
        ("l2_bytes_per_cycle", "1/0", "bytes per cycle"),
        ("l2_bytes_per_cycle", "inf", "bytes per cycle"),
        ("l2_bytes_per_cycle", "1/2/3", "bytes per cycle"),
        ("vector", "-1", "index of a frame"),
        ("vector", "-1..2", "index of a frame"),
        ("vector", "every", "index of a frame"),
        ("remove", "1", "yes or no"),
        ("tiles", "64", "64x64"),
        ("tiles", "64x0", "64x64"),
        ("tiles", "64x64+", "64x64"),
        ("tiles", "64x64x64", "64x64"),
        ("mma", "16x8", "16x8x16"),
        ("patterns", "2x4", "patterns=2x4: must be N:M, N kept of each M, as 2:4"),
        ("patterns", "2:4+4:2", "patterns=4:2: must be N:M, N kept of each M, as 2:4"),
        ("criterion", "l3", "did you mean l2 or l1"),
        ("chip", "h100", "did you mean h100-sxm"),
        ("unit", "eie..nm", "unknown"),
    ],
)
def test_what_text_cannot_mean(axis, text, said):
    assert said in refused(axis, text)


@pytest.mark.parametrize(
    ("axis", "given"),
    [
        ("n_pe", 1.0),
        ("n_pe", True),
        ("n_pe", None),
        ("n_pe", []),
        ("n_pe", [[1, 2]]),
        ("n_pe", np.ones((2, 2), int)),
        ("n_pe", np.linspace(1, 4, 4)),
        ("n_pe", b"12"),
        ("n_pe", bytearray(b"12")),
        ("n_pe", {1, 2}),
        ("n_pe", {1: 2}),
        ("n_pe", {1: 2}.keys()),
        ("n_pe", object()),
        ("n_pe", 10**30),
        ("n_pe", [10**9999]),
        ("n_pe", [1, ...]),
        ("n_pe", [None, 1, ..., 2]),
        ("density", float("nan")),
        ("density", [0.1, np.float32("inf")]),
        ("density", [10**400]),
        ("density", 1j),
        ("density", "1\n2"),
        ("l2_bytes_per_cycle", float("nan")),
        ("l2_bytes_per_cycle", False),
        ("remove", 1),
        ("layer", 3),
        ("layer", [""]),
        ("unit", 3),
        ("tiles", (64, 64)),
        ("tiles", ((64, 64), (32, 32))),
        ("tiles", [()]),
        ("tiles", [((64, 64.0),)]),
        ("mma", (16, 8, 16)),
        ("mma", [(16, 8, True)]),
        ("patterns", [(2, 4)]),
    ],
)
def test_what_objects_cannot_mean(axis, given):
    refused(axis, given)


@given(
    st.sampled_from(list(AXES)),
    st.text("0123456789.,:-+/eEx n", max_size=30)
    | st.text(max_size=30)
    | st.lists(st.sampled_from(["1", "2", "4", "8", "...", "..", ":", ",", "log", "none", "1.5", "-", "x"])).map(
        "".join
    ),
)
def test_any_text_is_values_or_one_line(axis, text):
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(values, "MAX_VALUES", 1000)
            found = values_of(axis, text)
    except InputError as error:
        assert ONE_LINE.fullmatch(str(error)) and str(error).startswith(f"{axis}=")
    else:
        assert 0 < len(found) == len(set(found)) <= 1000
        assert not any(isinstance(value, float) and not math.isfinite(value) for value in found)


@pytest.mark.parametrize(
    ("axis", "given"),
    [
        ("n_pe", "1..1000000000000"),
        ("n_pe", f"-{'9' * 30}..{'9' * 30}"),
        ("n_pe", "0:1000000000000:1000000000001"),
        ("density", f"0:1:{'9' * 30}"),
        ("density", f"0.5:1:{'9' * 30}:log"),
        ("n_pe", "0,1,...,1000000000000"),
        ("density", "0,1e-300,...,1"),
        ("vector", "0..1000000"),
        ("n_pe", "1..1000000,1"),
        ("n_pe", range(10**30)),
        ("n_pe", ["1," * 1_000_000 + "1"]),
    ],
)
def test_too_many_values_are_refused_before_they_are_made(axis, given):
    assert "must be at most 1000000 values" in refused(axis, given)


@pytest.mark.parametrize(
    ("most", "more"),
    [
        ("1..10", "1..11"),
        ("1:10:10", "1:11:11"),
        ("1,2,...,10", "1,2,...,11"),
        ("1..4,1..6", "1..4,1..7"),
        (range(10), range(11)),
        (["1,2"] * 5, ["1,2"] * 6),
        ("1,1,1,1,1,1,1,1,1,1", "1,1,1,1,1,1,1,1,1,1,1"),
    ],
)
def test_as_many_as_there_may_be(monkeypatch, most, more):
    monkeypatch.setattr(values, "MAX_VALUES", 10)
    assert values_of("n_pe", most)
    assert "values" in refused("n_pe", more)


def test_a_million_values_are_made():
    assert values_of("n_pe", "1..1000000") == tuple(range(1, 1_000_001))
