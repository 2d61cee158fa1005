"""Bits of every storage format: small cases by hand, and every count again by building the format in plain Python."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eie_sim.core.errors import InputError
from eie_sim.core.storage import Format
from eie_sim.formats import footprint
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix, encoded
from eie_sim.units.nm.config import TensorCoreConfig

MASKS = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40))

# Columns long enough for padding at every gap width, at densities where it happens.
SPARSE_MASKS = st.builds(
    lambda n_out, n_in, density, seed: np.random.default_rng(seed).random((n_out, n_in)) < density,
    st.integers(0, 90),
    st.integers(0, 9),
    st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    st.integers(0, 2**32 - 1),
)

EXAMPLE = np.array([0, 0, 1, 2, *[0] * 18, 3])
"""The example of Han et al. 2016, section III: codes 1, 2, 0, 3 and gaps 2, 0, 15, 2."""


def matrix_of(mask: np.ndarray, *, bias: np.ndarray | None = None, **widths: int) -> EieMatrix:
    codebook = np.arange(2 ** widths.pop("weight_bits", 4), dtype=np.float64)
    bias_codes = None if bias is None else bias.astype(np.uint8)
    return EieMatrix.from_codes(mask.astype(np.uint8), codebook, bias_codes=bias_codes, **widths)


# By hand


def test_eie_example_of_the_paper() -> None:
    eie = footprint(EieMatrix.from_codes(EXAMPLE[:, None], np.arange(16.0), n_pe=1))["eie"]
    assert eie.parts == {"weights": 3 * 4, "padding": 8, "index": 3 * 4, "pointers": 2 * 16, "codebook": 16 * 16}
    assert eie.total_bits == 320
    assert eie.ratio_to_dense == Fraction(320, 23 * 16)
    assert footprint(EXAMPLE[:, None] != 0, n_pe=1)["eie"] == eie


def test_eie_example_interleaved_over_two_pes() -> None:
    # Rows 2, 22 are local rows 1, 11 of PE 0 (one gap of 9), row 3 is local row 1 of PE 1.
    eie = footprint(EXAMPLE[:, None], n_pe=2, index_bits=2)["eie"]
    # Gaps 1 and 9 = 4 + 4 + 1 on PE 0, 1 on PE 1: two padding entries.
    assert eie.parts == {"weights": 12, "padding": 2 * 6, "index": 3 * 2, "pointers": 2 * 2 * 16, "codebook": 256}


MASK = np.array([[0, 3, 0, 0], [1, 0, 0, 2], [0, 0, 0, 0]])


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("dense", {"values": 12 * 16}),
        ("dense32", {"values": 12 * 32}),
        ("csr", {"values": 3 * 16, "index": 3 * 2, "pointers": 4 * 2}),  # columns 0..3, pointers 0..3
        ("csc", {"values": 3 * 16, "index": 3 * 2, "pointers": 5 * 2}),  # rows 0..2
        ("coo", {"values": 3 * 16, "row_index": 3 * 2, "column_index": 3 * 2}),
        ("bitmap", {"values": 3 * 16, "bitmap": 12}),
        ("run_length", {"values": 3 * 16, "padding": 0, "runs": 3 * 4}),
        ("nm", {"values": 3 * 2 * 16, "metadata": 3 * 2 * 2}),
    ],
)
@pytest.mark.parametrize("convert", [np.asarray, sp.csr_matrix, sp.coo_array, lambda mask: mask.tolist()])
def test_small_mask_by_hand(name: str, parts: dict[str, int], convert: object) -> None:
    record = footprint(convert(MASK))[name]
    assert record.parts == parts
    assert (record.valid, record.violations, record.dense_bits) == (True, 0, 192)


def test_run_length_fillers_by_hand() -> None:
    # Runs 1, 1 (across the row's end) and 2 zeros, with runs of up to 1: a third pair bridges two zeros.
    record = footprint(MASK, run_bits=1)["run_length"]
    assert np.flatnonzero(MASK).tolist() == [1, 4, 7]
    assert record.parts == {"values": 3 * 16, "padding": 2 * 17, "runs": 3}
    assert footprint(EXAMPLE[None, :])["run_length"].parts == {"values": 48, "padding": 20, "runs": 12}


def test_nm_says_what_breaks_it() -> None:
    mask = np.array([[1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 0, 0]])
    record = footprint(mask)["nm"]
    assert (record.valid, record.violations) == (False, 2)
    assert record.parts == {"values": 2 * 2 * 2 * 16, "metadata": 2 * 2 * 2 * 2}  # 6 inputs padded to 8
    assert "6 inputs padded to 8" in record.note
    assert "2 of 4 groups hold more than 2 non-zeros, 4:4 would hold them" in record.note
    assert footprint(mask, n_keep=4)["nm"].valid


def test_nm_position_takes_at_least_one_bit() -> None:
    assert footprint(MASK, n_keep=1, m_group=1)["nm"].parts == {"values": 192, "metadata": 12}
    assert footprint(MASK, n_keep=1, m_group=5)["nm"].parts == {"values": 3 * 16, "metadata": 3 * 3}


@pytest.mark.parametrize("n_in", [4, 8, 400])
def test_two_of_four_is_nine_sixteenths(n_in: int) -> None:
    record = footprint(np.tile([True, False, False, True], (5, n_in // 4)))["nm"]
    assert record.valid
    assert record.ratio_to_dense == Fraction(9, 16)
    assert "padded" not in record.note


def test_bias_is_a_column_of_eie_and_a_dense_vector_elsewhere() -> None:
    bias = np.array([1, 0, 2])
    plain, biased = footprint(matrix_of(MASK, n_pe=2)), footprint(matrix_of(MASK, bias=bias, n_pe=2))
    assert biased["eie"].parts["weights"] == plain["eie"].parts["weights"] + 2 * 4
    assert biased["eie"].parts["pointers"] == plain["eie"].parts["pointers"] + 2 * 16
    for name in set(plain) - {"eie"}:
        width = 32 if name == "dense32" else 16
        assert biased[name].parts == {**plain[name].parts, "bias": 3 * width}
        assert "bias" in biased[name].note
    assert {record.dense_bits for record in biased.values()} == {(12 + 3) * 16}


def test_pointers_that_do_not_reach_are_marked() -> None:
    mask = np.ones((5, 1), dtype=bool)  # 3 entries on PE 0, 2 on PE 1
    assert footprint(mask, n_pe=2, pointer_bits=2)["eie"].valid
    record = footprint(mask, n_pe=2, pointer_bits=1)["eie"]
    assert (record.valid, record.violations) == (False, 1)
    assert "1 PEs hold more than the 2 entries a pointer reaches, up to 3" in record.note


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (7, 0), (3, 5)])
@pytest.mark.parametrize("convert", [np.asarray, sp.csc_matrix, lambda mask: matrix_of(mask, n_pe=4)])
def test_nothing_stored(shape: tuple[int, int], convert: object) -> None:
    formats = footprint(convert(np.zeros(shape, dtype=bool)))
    assert all(record.valid for record in formats.values())
    assert formats["csr"].total_bits == formats["csc"].total_bits == formats["run_length"].total_bits == 0
    assert formats["dense"].ratio_to_dense == (1 if shape == (3, 5) else None)
    assert formats["bitmap"].total_bits == shape[0] * shape[1]


# A second formulation


def fewest_bits(values: list[int]) -> int:
    return max((value.bit_length() for value in values), default=0)


def runs_in_plain_python(positions: list[bool], run_bits: int) -> tuple[int, int]:
    """(non-zeros, fillers) of a zero-run code."""
    run = weights = fillers = 0
    pending = 0  # fillers belong to the code only once another value follows
    for kept in positions:
        if kept:
            weights, fillers = weights + 1, fillers + pending
            run = pending = 0
        elif run == 2**run_bits - 1:
            pending, run = pending + 1, 0
        else:
            run += 1
    return weights, fillers


@given(MASKS, st.integers(1, 40))
def test_csr_csc_coo_as_scipy_builds_them(mask: np.ndarray, value_bits: int) -> None:
    formats = footprint(mask, value_bits=value_bits)
    n_out, n_in = mask.shape
    for name, built, n_index in (("csr", sp.csr_array(mask), n_in), ("csc", sp.csc_array(mask), n_out)):
        parts = formats[name].parts
        assert parts["values"] == built.data.size * value_bits
        assert parts["index"] == built.indices.size * fewest_bits(list(range(n_index)))
        assert parts["pointers"] == built.indptr.size * fewest_bits(built.indptr.tolist())
    coo = sp.coo_array(mask)
    assert formats["coo"].parts["row_index"] == coo.row.size * fewest_bits(list(range(n_out)))
    assert formats["coo"].parts["column_index"] == coo.col.size * fewest_bits(list(range(n_in)))


@given(MASKS | SPARSE_MASKS, st.integers(1, 6))
def test_run_length_in_plain_python(mask: np.ndarray, run_bits: int) -> None:
    weights, fillers = runs_in_plain_python(mask.ravel().tolist(), run_bits)
    parts = footprint(mask, run_bits=run_bits, value_bits=9)["run_length"].parts
    assert parts == {"values": 9 * weights, "padding": (9 + run_bits) * fillers, "runs": run_bits * weights}


@given(MASKS | SPARSE_MASKS, st.integers(1, 10).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m))))
def test_nm_in_plain_python(mask: np.ndarray, pattern: tuple[int, int]) -> None:
    n_keep, m_group = pattern
    groups = [row[at : at + m_group] for row in mask.tolist() for at in range(0, len(row), m_group)]
    record = footprint(mask, n_keep=n_keep, m_group=m_group)["nm"]
    assert record.violations == sum(sum(group) > n_keep for group in groups)
    assert record.valid == (record.violations == 0)
    bits = max(1, fewest_bits([m_group - 1]))
    assert record.parts == {"values": len(groups) * n_keep * 16, "metadata": len(groups) * n_keep * bits}
    if not record.valid:
        assert f", {max(map(sum, groups))}:{m_group} would hold them" in record.note


WIDTHS = {"n_pe": st.integers(1, 9), "weight_bits": st.integers(1, 8), "index_bits": st.integers(1, 8)}


@given(MASKS | SPARSE_MASKS, st.fixed_dictionaries(WIDTHS), st.integers(1, 31))
def test_eie_in_plain_python(mask: np.ndarray, widths: dict[str, int], pointer_bits: int) -> None:
    n_pe, n_in = widths["n_pe"], mask.shape[1]
    entries = np.zeros((n_pe, 2), dtype=int)
    for pe in range(n_pe):
        for column in mask[pe::n_pe].T.tolist():
            entries[pe] += runs_in_plain_python(column, widths["index_bits"])
    n_weight, n_padding = entries.sum(axis=0).tolist()
    record = footprint(mask, **widths, pointer_bits=pointer_bits)["eie"]
    assert record.parts == {
        "weights": n_weight * widths["weight_bits"],
        "padding": n_padding * (widths["weight_bits"] + widths["index_bits"]),
        "index": n_weight * widths["index_bits"],
        "pointers": n_pe * (n_in + 1) * pointer_bits,
        "codebook": 2 ** widths["weight_bits"] * 16,
    }
    assert record.violations == sum(int(count) > 2**pointer_bits for count in entries.sum(axis=1))


def test_a_bias_is_in_the_size_of_every_format_and_in_what_it_is_compared_with() -> None:
    """Every weight kept, so that each format stores at least what dense storage does, less what is shared."""
    mask = np.ones((8, 4), dtype=np.bool_)
    plain, biased = (footprint(matrix_of(mask, bias=bias, n_pe=2)) for bias in (None, np.arange(1, 9)))
    assert biased["dense"].total_bits == biased["dense"].dense_bits == (8 * 4 + 8) * 16
    for name, one in biased.items():
        width = {"eie": 4, "dense32": 32}.get(name, 16)  # EIE's is a code, whose gap and pointers come on top
        assert one.total_bits - plain[name].total_bits >= 8 * width
        assert one.dense_bits - plain[name].dense_bits == 8 * 16


@given(MASKS | SPARSE_MASKS, st.fixed_dictionaries(WIDTHS), st.booleans())
def test_matrix_and_its_mask_agree(mask: np.ndarray, widths: dict[str, int], with_bias: bool) -> None:
    bias = (np.arange(mask.shape[0]) % 3 == 0) if with_bias else None
    of_matrix = footprint(matrix_of(mask, bias=bias, **widths))
    stored = mask if bias is None else np.column_stack([mask, bias])
    assert of_matrix["eie"].parts == footprint(stored, **widths)["eie"].parts
    of_mask = footprint(mask, **widths)
    for name in set(of_mask) - {"eie"}:
        parts = dict(of_matrix[name].parts)
        assert parts.pop("bias", 0) == (mask.shape[0] * (32 if name == "dense32" else 16) if with_bias else 0)
        assert parts == of_mask[name].parts
        assert of_matrix[name].violations == of_mask[name].violations


@given(MASKS)
def test_every_kind_of_array_gives_the_same(mask: np.ndarray) -> None:
    expected = footprint(mask)
    weights = np.where(mask, -0.5, -0.0)
    # Every entry twice, and a zero stored at every position.
    rows, columns = (np.concatenate([a, a, b]) for a, b in zip(np.nonzero(mask), np.nonzero(mask | True), strict=True))
    doubled = sp.coo_array(((np.arange(rows.size) < 2 * mask.sum()) * 0.25, (rows, columns)), shape=mask.shape)
    for same in (weights, np.asfortranarray(weights), sp.csr_array(mask), sp.csc_matrix(weights), doubled):
        assert footprint(same) == expected
    assert doubled.nnz == 2 * mask.sum() + mask.size  # the caller's matrix stays as it was


# What holds always


@given(MASKS | SPARSE_MASKS)
def test_exact_integers_ratios_and_json(mask: np.ndarray) -> None:
    formats = footprint(mask, n_pe=np.int64(3), value_bits=np.int64(16))
    for name, record in formats.items():
        assert record.name == name
        assert all(type(bits) is int and bits >= 0 for bits in record.parts.values())
        assert type(record.total_bits) is type(record.dense_bits) is type(record.violations) is int
        assert record.total_bits == sum(record.parts.values())
        if mask.size:
            assert record.ratio_to_dense == Fraction(record.total_bits, mask.size * 16)
        assert json.loads(json.dumps(record.to_dict()))["total_bits"] == record.total_bits


def compression(eie):
    """How much smaller EIE's encoding is than dense, and its parts as shares of it; exact."""
    n_value = Fraction(eie.dense_bits, 16)
    ratios = {f"ratio_vs_dense{width}": n_value * width / eie.total_bits for width in (32, 16)}
    return ratios | {f"{part}_share": Fraction(bits, eie.total_bits) for part, bits in eie.parts.items()}


@given(MASKS | SPARSE_MASKS, st.booleans())
def test_compression_shares_add_to_one(mask: np.ndarray, with_bias: bool) -> None:
    bias = np.ones(mask.shape[0]) if with_bias else None
    matrix = matrix_of(mask, bias=bias, n_pe=3, index_bits=2)
    summary, formats = compression(encoded(matrix)), footprint(matrix)
    shares = {key.removesuffix("_share"): value for key, value in summary.items() if key.endswith("_share")}
    assert list(shares) == ["weights", "padding", "index", "pointers", "codebook"]
    assert sum(shares.values()) == 1
    assert shares["padding"] * formats["eie"].total_bits == matrix.n_padding * (4 + 2)
    assert shares["index"] * formats["eie"].total_bits == matrix.n_weight * 2
    for width, name in ((32, "dense32"), (16, "dense")):
        assert summary[f"ratio_vs_dense{width}"] == Fraction(formats[name].total_bits, formats["eie"].total_bits)


def test_compression_by_hand() -> None:
    summary = compression(encoded(EieMatrix.from_codes(EXAMPLE[:, None], np.arange(16.0), n_pe=1), pointer_bits=8))
    assert summary == {
        "ratio_vs_dense32": Fraction(23 * 32, 304),
        "ratio_vs_dense16": Fraction(23 * 16, 304),
        "weights_share": Fraction(12, 304),
        "padding_share": Fraction(8, 304),
        "index_share": Fraction(12, 304),
        "pointers_share": Fraction(16, 304),
        "codebook_share": Fraction(256, 304),
    }


def test_a_large_sparse_shape_needs_no_dense_mask() -> None:
    side = 2**31 - 1
    corner = sp.coo_array(([1.0, 1.0], ([0, side - 1], [0, side - 1])), shape=(side, side))
    formats = footprint(corner, n_pe=65536, index_bits=8)
    assert formats["dense"].total_bits == side * side * 16
    assert formats["run_length"].parts["padding"] == (side * side - 2) // 16 * 20
    local = (side - 1) // 65536
    assert formats["eie"].parts["padding"] == local // 256 * 12


def test_formats_from_eie_only_with_pes() -> None:
    assert list(footprint(MASK)) == ["dense", "dense32", "csr", "csc", "coo", "bitmap", "run_length", "nm"]
    assert list(footprint(MASK, n_pe=2)) == ["eie", *footprint(MASK)]
    assert list(footprint(matrix_of(MASK, n_pe=2), n_pe=2, index_bits=4)) == ["eie", *footprint(MASK)]
    assert footprint(MASK, EieConfig(n_pe=2, pointer_bits=8)) == footprint(MASK, n_pe=2, pointer_bits=8)
    assert footprint(MASK, TensorCoreConfig()) == footprint(MASK)


def test_a_mask_needs_no_compiler() -> None:
    code = "import sys, numpy, eie_sim.formats as f; f.footprint(numpy.eye(3), n_pe=2)"
    code += "; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_format_is_frozen() -> None:
    record = Format(name="x", parts={"a": 1, "b": 2}, dense_bits=6, note="")
    assert (record.total_bits, record.ratio_to_dense) == (3, Fraction(1, 2))
    with pytest.raises(AttributeError):
        record.name = "y"


# Bad input


@pytest.mark.parametrize(
    ("argument", "options", "message"),
    [
        (MASK, {"value_bits": 0}, r"value_bits=0: must be an integer in 1\.\.64"),
        (MASK, {"value_bits": 16.0}, r"value_bits=16\.0: must be an integer"),
        (MASK, {"run_bits": True}, "run_bits=True: must be an integer"),
        (MASK, {"n_keep": 5}, r"n_keep=5: must be an integer in 1\.\.4"),
        (MASK, {"m_group": 0}, "m_group=0: must be"),
        (MASK, {"pointer_bits": 32}, "pointer_bits=32: must be"),
        (MASK, {"n_pe": 0}, "n_pe=0: must be"),
        (MASK, {"n_pe": 2, "index_bits": 9}, "index_bits=9: must be"),
        (MASK, {"n_pe": 2, "weight_bits": 0}, "weight_bits=0: must be"),
        (MASK, {"lanes": 4}, "design=lanes: must be fields of the design of one unit"),
        (MASK, {"config": EieConfig(), "n_pe": 4}, "config=EieConfig: must be left out where n_pe is given"),
        (MASK, {"config": 4}, "config=int: must be EieConfig or"),
        (matrix_of(MASK, n_pe=2), {"config": EieConfig(n_pe=4)}, "n_pe=4: must agree with the matrix"),
        (matrix_of(MASK, n_pe=2), {"config": TensorCoreConfig()}, "config=TensorCoreConfig: must be EieConfig"),
        (matrix_of(MASK, n_pe=2), {"pointer_bit": 4}, "option=pointer_bit: unknown; did you mean pointer_bits"),
        (np.ones(3), {}, r"mask=shape \(3,\): must have 2 dimensions"),
        (np.ones((2, 2, 2)), {}, r"mask=shape \(2, 2, 2\): must have 2 dimensions"),
        (sp.coo_array(np.ones(3)), {}, r"mask=shape \(3,\): must have 2 dimensions"),
        (np.ones((2, 2), dtype=complex), {}, "mask=dtype complex128: must hold"),
        (sp.csr_array(np.ones((2, 2), dtype=complex)), {}, "mask=dtype complex128: must hold"),
        ("weights", {}, "mask=dtype <U7: must hold"),
        (None, {}, "mask=dtype object: must hold"),
        ([[1, 2], [3]], {}, "mask: must be a rectangular array"),
        (np.array([[0, 1], [2, np.nan]]), {}, r"mask\[1, 1\]=nan: must be finite"),
        (sp.csc_array(np.array([[0, 1], [np.inf, 0]])), {}, r"mask\[1, 0\]=inf: must be finite"),
        (sp.coo_array(([1], ([0], [0])), shape=(1, 2**31)), {}, r"mask=shape .*: must have fewer than 2\*\*31"),
        (matrix_of(MASK, n_pe=2), {"n_pe": 4}, "n_pe=4: must agree with the matrix, whose n_pe is 2"),
        (matrix_of(MASK, n_pe=2), {"index_bits": 5}, "index_bits=5: must agree"),
    ],
)
def test_bad_input_is_one_line(argument: object, options: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as caught:
        footprint(argument, **options)
    assert "\n" not in str(caught.value)


def test_encoded_takes_only_a_matrix() -> None:
    with pytest.raises(InputError, match=r"^matrix=ndarray: must be an EieMatrix"):
        encoded(MASK)


def test_pairs_of_widths_grow_as_the_logarithm() -> None:
    """Widths step exactly at powers of two."""
    widths = [footprint(np.eye(1, n))["csr"].parts["index"] for n in range(1, 20)]
    assert widths == [0, 1, 2, 2, 3, 3, 3, 3, *[4] * 8, 5, 5, 5]
    assert all(a <= b for a, b in pairwise(widths))
