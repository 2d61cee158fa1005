"""Designs of N:M tensor cores: what each field takes, what is said of anything else, which pattern runs as which."""

import json
from dataclasses import fields
from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from eie_sim.core.errors import InputError
from eie_sim.units.nm.config import TensorCoreConfig

ANY = {"mma": (1, 1, 1), "tiles": ((1, 1),), "patterns": ()}
"""Fits every size of warps and steps."""

INTEGERS = {
    **dict.fromkeys(("n_core", "tc_per_core", "macs_per_cycle", "bk", "wm", "wn", "stages"), (1, 2**20)),
    **dict.fromkeys(("l2_latency", "mma_latency", "launch", "l2_bytes"), (0, 2**40)),
    **dict.fromkeys(("smem_bytes", "node_nm"), (1, 2**40)),
    "elem_bytes": (1, 2),
    "out_bytes": (1, 8),
}
RATES = [field.name for field in fields(TensorCoreConfig) if field.name.endswith("_bytes_per_cycle")]


def refused(**settings):
    with pytest.raises(InputError) as caught:
        TensorCoreConfig(**settings)
    return str(caught.value)


@pytest.mark.parametrize(("name", "low", "high"), [(name, *bounds) for name, bounds in INTEGERS.items()])
def test_an_integer_may_be_the_first_and_the_last_of_its_range_and_no_other(name, low, high):
    for value in (low, high):
        assert getattr(TensorCoreConfig(**ANY, **{name: value}), name) == value
    for value in (low - 1, high + 1, float(low), True):
        assert refused(**{name: value}) == f"{name}={value}: must be an integer in {low}..{high}"


@pytest.mark.parametrize("name", RATES)
def test_a_rate_is_an_exact_rational_above_0(name):
    for value, rate in (
        (2**40, 2**40),
        (0.1, Fraction(1, 10)),
        ("1/3", Fraction(1, 3)),
        (Fraction(1, 2**64), Fraction(1, 2**64)),
        ("1e-12", Fraction(1, 10**12)),
        ("6e-20", Fraction(6, 10**20)),  # 2**-64 is 5.4e-20
        (np.int64(7), 7),
    ):
        found = getattr(TensorCoreConfig(**{name: value}), name)
        assert (found, type(found)) == (rate, Fraction)
    least = Fraction(1, 2**64 + 1)
    for value in (
        0,
        -1,
        2**40 + 1,
        Fraction(2**41 + 1, 2),
        least,
        "1/0",
        "fast",
        float("nan"),
        "1e-99999999",
        "1e99999999",
    ):
        assert refused(**{name: value}) == f"{name}={value}: must be a number of bytes per cycle, 2**-64 to 2**40"


def test_only_dram_may_have_no_rate():
    assert TensorCoreConfig(dram_bytes_per_cycle=None).dram_bytes_per_cycle is None
    assert refused(smem_bytes_per_cycle=None).startswith("smem_bytes_per_cycle=None: must be a number")


@pytest.mark.parametrize("value", [0.001, 999_999, Fraction(1, 2), np.float32(800)])
def test_a_clock_is_a_float(value):
    clock = TensorCoreConfig(clock_mhz=value).clock_mhz
    assert (clock, type(clock)) == (float(value), float)


WATTS = "must be a number of watts >= 0.001 and below 1e6, or None"
CLOCK = "must be a number >= 0.001 and below 1e6"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clock_mhz": 0.0009}, f"clock_mhz=0.0009: {CLOCK}"),
        ({"clock_mhz": 1e6}, f"clock_mhz=1000000.0: {CLOCK}"),
        ({"clock_mhz": float("nan")}, f"clock_mhz=nan: {CLOCK}"),
        ({"clock_mhz": True}, f"clock_mhz=True: {CLOCK}"),
        ({"clock_mhz": "800"}, f"clock_mhz=800: {CLOCK}"),
        ({"board_watts": 0}, f"board_watts=0: {WATTS}"),
        ({"board_watts": float("inf")}, f"board_watts=inf: {WATTS}"),
        ({"board_watts": "400"}, f"board_watts=400: {WATTS}"),
        ({"dram": "ddr5"}, "dram=ddr5: must be none, lpddr4, gddr6x, hbm2 or hbm3"),
        ({"mma": (4, 4)}, "mma=(4, 4): must be 3 integers"),
        ({"mma": 4}, "mma=4: must be 3 integers"),
        ({"mma": (4, 4, 0)}, "mma=0: must be an integer in 1..1048576"),
        ({"mma": (4, 4, 2**20 + 1)}, "mma=1048577: must be an integer in 1..1048576"),
        ({"patterns": "2:4"}, "patterns=2:4: must be a list"),
        ({"patterns": (2, 4)}, "patterns=2: must be 2 integers"),
        ({"patterns": ((2, 4, 1),)}, "patterns=(2, 4, 1): must be 2 integers"),
        ({"patterns": ((0, 4),)}, "patterns=0: must be an integer in 1..1048576"),
        ({"patterns": ((4, 2),)}, "n_keep=4: must be at most m_group=2; N of N:M is the number kept"),
        ({"patterns": ((1, 257),)}, "m_group=257: must be an integer in 1..256"),
        ({"patterns": ((2, 4), (2, 6))}, "bk=16: must be a multiple of the group of pattern 2:6"),
        ({"tiles": None}, "tiles=None: must be a list"),
        ({"tiles": ()}, "tiles=(): must be at least one"),
        ({"tiles": ((16,),)}, "tiles=(16,): must be 2 integers"),
        ({"tiles": ((16, 1.0),)}, "tiles=1.0: must be an integer in 1..1048576"),
        ({"tiles": ((16, 16), (24, 16))}, "tiles: bm of 24x16=24: must be a multiple of the warp's 16"),
        ({"tiles": ((16, 24),)}, "tiles: bn of 16x24=24: must be a multiple of the warp's 16"),
        ({"tiles": ((6, 4),)}, "tiles: bm of 6x4=6: must be a multiple of the instruction's 4, or below it"),
        ({"tiles": ((4, 6),)}, "tiles: bn of 4x6=6: must be a multiple of the instruction's 4, or below it"),
    ],
)
def test_one_line_for_what_is_no_design(settings, message):
    assert refused(**settings) == message


@pytest.mark.parametrize("value", [10**5000, "a\nb", "1" * 300], ids=["huge", "lines", "long"])
def test_an_odd_rate_is_one_short_line(value):
    message = refused(l2_bytes_per_cycle=value)
    assert message.isprintable()
    assert len(message) < 300


def test_the_largest_tile_and_instruction():
    most = 2**20
    config = TensorCoreConfig(mma=(most, most, most), tiles=((most, most),), wm=most, wn=most)
    assert (config.mma, config.tiles) == ((most,) * 3, ((most, most),))


@pytest.mark.parametrize("side", [1, 2, 3, 4, 8, 32])
def test_a_side_may_be_below_a_warp_and_an_instruction_or_whole_ones(side):
    for tile in ((side, 16), (16, side)):
        assert TensorCoreConfig(tiles=(tile,)).tiles == (tile,)


# Presets, and designs as JSON


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("rtx3091", {}, "preset=rtx3091: unknown; did you mean rtx3090?"),
        (
            "",
            {},
            "preset=: unknown; must be one of a100-sxm, h100-sxm, nm-64, rtx3090, stc-1024, stc-1024-flexible",
        ),
        (["nm-64"], {}, "preset=['nm-64']: unknown; did you mean nm-64?"),
        ("nm-64", {"nodes_nm": 2}, "field=nodes_nm: unknown; did you mean node_nm?"),
        ("nm-64", {"stages": 0}, "stages=0: must be an integer in 1..1048576"),
    ],
)
def test_one_line_for_what_is_no_preset_or_field_of_one(name, changes, message):
    with pytest.raises(InputError) as caught:
        TensorCoreConfig.preset(name, **changes)
    assert str(caught.value) == message


def test_a_preset_with_another_value_of_a_field_is_else_the_preset():
    changed = TensorCoreConfig.preset("stc-1024", stages=3).to_dict()
    assert changed == {**TensorCoreConfig.preset("stc-1024").to_dict(), "stages": 3}


def test_a_design_as_a_dictionary_is_plain_and_complete():
    config = TensorCoreConfig.preset("nm-64", dram_bytes_per_cycle="208000/310", l2_bytes_per_cycle=0.5)
    expected = {
        "n_core": 1,
        "tc_per_core": 1,
        "macs_per_cycle": 64,
        "mma": [4, 4, 4],
        "tiles": [[16, 16], [64, 4], [64, 1]],
        "bk": 16,
        "wm": 16,
        "wn": 16,
        "stages": 2,
        "smem_bytes_per_cycle": 64,
        "l2_bytes_per_cycle": "1/2",
        "l2_latency": 4,
        "store_bytes_per_cycle": 8,
        "dram_bytes_per_cycle": "20800/31",
        "mma_latency": 4,
        "launch": 0,
        "elem_bytes": 2,
        "out_bytes": 2,
        "patterns": [[2, 4], [1, 4], [1, 2], [4, 8], [2, 8], [1, 8], [4, 16]],
        "clock_mhz": 800.0,
        "node_nm": 45,
        "dram": "none",
        "board_watts": None,
        "smem_bytes": 65536,
        "l2_bytes": 65536,
    }
    assert config.to_dict() == expected
    assert json.dumps(config.to_dict()) == json.dumps(expected), "1 is no 1.0"
    again = TensorCoreConfig(**json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert hash(again) == hash(config)


def test_numpy_numbers_make_the_same_design_as_pythons():
    numbers = {"n_core": 3, "mma": (4, 4, 8), "smem_bytes_per_cycle": 48, "launch": 7, "clock_mhz": 500, "l2_bytes": 9}
    ours = TensorCoreConfig(**numbers)
    theirs = TensorCoreConfig(
        **{name: tuple(np.int16(value)) if name == "mma" else np.int64(value) for name, value in numbers.items()}
    )
    assert json.dumps(theirs.to_dict()) == json.dumps(ours.to_dict())


# Which pattern runs as which


def surely(given, listed):
    """Whether every row that is n:m is a:b too, by trying every row of so many inputs as the longer group has."""
    (n, m), (a, b) = given, listed
    length = max(m, b)

    def keeps(row, most, group):
        return all(sum(row[start : start + group]) <= most for start in range(0, length, group))

    return all(keeps(row, a, b) for row in product((0, 1), repeat=length) if keeps(row, n, m))


def running(*patterns):
    return TensorCoreConfig(patterns=patterns, bk=240).runs_as


GROUPS = [2, 3, 4, 6, 8]


@pytest.mark.parametrize(("m", "b"), [(m, b) for m, b in product(GROUPS, GROUPS) if m % b == 0 or b % m == 0])
def test_a_matrix_runs_as_a_listed_pattern_that_all_of_its_kind_satisfy(m, b):
    for n, a in product(range(1, m), range(1, b)):
        assert running((a, b))(n, m) == ((a, b) if surely((n, m), (a, b)) else (1, 1)), f"{n}:{m} as {a}:{b}"


@pytest.mark.parametrize(
    ("listed", "given", "found"),
    [
        ([(2, 4)], (1, 6), (1, 1)),  # groups that do not fit into each other are not looked into
        ([(1, 2), (2, 8)], (1, 8), (2, 8)),  # of 1/2 and 1/4 the smaller
        ([(2, 4), (1, 2)], (1, 4), (2, 4)),  # of equals the first
        ([(1, 2), (2, 4)], (1, 4), (1, 2)),
        ([(2, 8), (2, 4)], (2, 4), (2, 4)),  # itself, whatever else is listed
        ([(4, 4)], (3, 4), (1, 1)),  # dense has one name
        ([(2, 4)], (4, 4), (1, 1)),
        ([], (2, 4), (1, 1)),
    ],
)
def test_of_several_the_one_of_fewest_kept_runs_and_dense_where_there_is_none(listed, given, found):
    assert running(*listed)(*given) == found
