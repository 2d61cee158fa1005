"""N of N:M is the number kept. By hand, every pattern there and back, one-line errors; torch where it is there."""

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import NmMatrix, footprint
from eie_sim.core.errors import InputError
from eie_sim.units.nm import matrix as nm_matrix
from eie_sim.units.nm.vendor import from_vendor, to_vendor

NIBBLES = [
    ([0, 0, 0, 0], 0xE, [0, 0]),
    ([5, 0, 0, 0], 0x8, [5, 0]),
    ([0, 5, 0, 0], 0x9, [5, 0]),
    ([0, 0, 5, 0], 0xE, [5, 0]),
    ([0, 0, 0, 5], 0xE, [0, 5]),
    ([5, 6, 0, 0], 0x4, [5, 6]),
    ([5, 0, 6, 0], 0x8, [5, 6]),
    ([5, 0, 0, 6], 0xC, [5, 6]),
    ([0, 5, 6, 0], 0x9, [5, 6]),
    ([0, 5, 0, 6], 0xD, [5, 6]),
    ([0, 0, 5, 6], 0xE, [5, 6]),
]
"""Every way to have at most two of four, its nibble and its two values."""


def random_nm(rng, n_out, n_group, n_keep, m_group, dtype=np.float16):
    """Weights with 0 to n_keep non-zeros in each group; of a density that leaves many groups short."""
    groups = np.zeros((n_out, n_group, m_group), dtype=dtype)
    for group in groups.reshape(-1, m_group):
        places = rng.choice(m_group, size=rng.integers(0, n_keep + 1), replace=False)
        group[places] = rng.integers(1, 100, len(places)) * rng.choice([-1, 1], len(places))
    return groups.reshape(n_out, n_group * m_group)


@st.composite
def pruned(draw):
    m_group = draw(st.one_of(st.integers(1, 20), st.sampled_from([32, 100, 255, 256])))
    n_keep = draw(st.integers(1, m_group))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from([np.float16, np.int8]))
    return random_nm(rng, draw(st.integers(0, 6)), draw(st.integers(0, 5)), n_keep, m_group, dtype), n_keep, m_group


# By hand


@pytest.mark.parametrize(("group", "nibble", "values"), NIBBLES)
def test_a_group_of_four_is_a_nibble(group, nibble, values):
    matrix = NmMatrix.from_dense(np.array([group], dtype=np.float32))
    assert matrix.metadata().tolist() == [nibble]
    assert matrix.values.tolist() == [values]
    assert matrix.positions.tolist() == [[nibble & 3, nibble >> 2]]


def test_the_first_group_is_in_the_low_half_of_the_first_byte():
    rows = [NIBBLES[5][0] + NIBBLES[7][0] + NIBBLES[8][0], NIBBLES[9][0] + NIBBLES[0][0] + NIBBLES[1][0]]
    matrix = NmMatrix.from_dense(rows)
    assert matrix.metadata().tolist() == [0xC4, 0xD9, 0x8E]  # rows follow each other without a gap


def test_positions_of_three_bits_cross_bytes():
    """1:6, positions 5, 0 and 3: 101, 000 and 011, lowest bit first."""
    w = np.zeros((1, 18))
    w[0, [5, 6, 15]] = 1
    matrix = NmMatrix.from_dense(w, n_keep=1, m_group=6)
    assert matrix.positions.tolist() == [[5, 0, 3]]
    assert matrix.metadata().tolist() == [0b11_000_101, 0b0]


def test_a_group_is_completed_from_its_last_positions():
    """3:8, non-zero at 1 and 6: of the last three, 5, 6 and 7, the lowest free one is 5."""
    matrix = NmMatrix.from_dense([[0, 9, 0, 0, 0, 0, 8, 0]], n_keep=3, m_group=8)
    assert matrix.positions.tolist() == [[1, 5, 6]]
    assert matrix.values.tolist() == [[9, 0, 8]]


def test_one_of_two_needs_one_bit():
    matrix = NmMatrix.from_dense([[1, 0, 0, 2, 0, 0]], n_keep=1, m_group=2)
    assert matrix.positions.tolist() == [[0, 1, 1]]
    assert matrix.metadata().tolist() == [0b110]
    assert matrix.metadata_bits == 3


@pytest.mark.parametrize("side", [1, 3])
def test_dense_has_no_metadata(side):
    w = np.arange(1, 13).reshape(2, 6)
    matrix = NmMatrix.from_dense(w, n_keep=side, m_group=side)
    assert matrix.metadata().tolist() == []
    assert (matrix.metadata_bits, matrix.total_bits) == (0, 12 * 16)
    assert matrix.decode().tolist() == w.tolist()
    assert NmMatrix.from_metadata(matrix.values, b"", n_keep=side, m_group=side).decode().tolist() == w.tolist()


def test_sizes_and_density():
    matrix = NmMatrix.from_dense([[1, 2, 0, 0, 0, 3, 0, 0]])
    assert (matrix.shape, matrix.pattern, matrix.n_group, matrix.n_kept) == ((1, 8), (2, 4), 2, 4)
    assert (matrix.values_bits, matrix.metadata_bits, matrix.total_bits) == (64, 8, 72)
    assert (matrix.n_nonzero, matrix.density) == (3, 3 / 8)
    assert NmMatrix.from_dense(np.zeros((0, 4))).density == 0


# Elements


def test_floats_are_rounded_to_float16():
    matrix = NmMatrix.from_dense(np.array([[0.1, 2049.0, 0, 0]]))
    assert matrix.element == "float16"
    assert matrix.decode().dtype == np.float16
    assert matrix.decode().tolist() == [[float(np.float16(0.1)), 2048, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_rounds_to_zero_is_a_zero(dtype):
    tiny, small = 2.0**-25, np.nextafter(dtype(2.0**-25), dtype(1))
    w = np.array([[tiny, -1e-30, 1, 2, small, 0, 0, 0]], dtype=dtype)
    matrix = NmMatrix.from_dense(w)
    again = NmMatrix.from_dense(w.astype(np.float16))
    assert matrix.metadata().tolist() == again.metadata().tolist() == [0x8E]
    assert matrix.decode().tolist() == again.decode().tolist() == [[0, 0, 1, 2, 2.0**-24, 0, 0, 0]]


def test_int8_stays_and_other_integers_become_float16():
    w = np.array([[-128, 127, 0, 0]])
    assert NmMatrix.from_dense(w.astype(np.int8)).decode().dtype == np.int8
    assert NmMatrix.from_dense(w).element == "float16"
    stated = NmMatrix.from_dense(w, element="int8")
    assert (stated.element, stated.value_bits, stated.decode().tolist()) == ("int8", 8, w.tolist())
    assert NmMatrix.from_dense(w.astype(np.int8), element="float16").decode().tolist() == w.tolist()
    assert NmMatrix.from_dense(w != 0).decode().tolist() == [[1, 1, 0, 0]]


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil"])
def test_scipy_sparse_is_the_same(kind):
    w = random_nm(np.random.default_rng(0), 5, 3, 2, 4, np.float32)
    dense, sparse = NmMatrix.from_dense(w), NmMatrix.from_dense(scipy.sparse.csr_array(w).asformat(kind))
    assert dense.values.tobytes() == sparse.values.tobytes()
    assert dense.positions.tobytes() == sparse.positions.tobytes()
    eight = NmMatrix.from_dense(scipy.sparse.csr_array(w.astype(np.int8)).asformat(kind))
    assert eight.element == "int8"
    assert eight.decode().tolist() == w.tolist()


def test_any_memory_order_and_nothing_is_shared():
    w = np.asfortranarray(random_nm(np.random.default_rng(1), 5, 3, 2, 4, np.float32))
    matrix = NmMatrix.from_dense(w)
    before = w.copy()
    w[:] = 7
    assert matrix.decode().tolist() == before.tolist()
    assert NmMatrix.from_dense(before[:, ::-1]).decode().tolist() == before[:, ::-1].tolist()


# There and back


@given(pruned())
def test_round_trips(case):
    w, n_keep, m_group = case
    matrix = NmMatrix.from_dense(w, n_keep=n_keep, m_group=m_group)
    assert matrix.decode().dtype == w.dtype
    assert matrix.decode().tolist() == w.tolist()
    assert len(matrix.metadata()) == -(-matrix.metadata_bits // 8)
    back = NmMatrix.from_metadata(matrix.values, matrix.metadata(), n_keep=n_keep, m_group=m_group)
    assert (back.shape, back.pattern, back.element) == (matrix.shape, matrix.pattern, matrix.element)
    assert back.values.tobytes() == matrix.values.tobytes()
    assert back.positions.tobytes() == matrix.positions.tobytes()
    assert (
        NmMatrix.from_metadata(matrix.values, bytes(matrix.metadata()), n_keep=n_keep, m_group=m_group).shape == w.shape
    )


@given(pruned(), st.data())
def test_a_last_group_that_is_not_whole_is_filled_up_with_zeros(case, data):
    w, n_keep, m_group = case
    n_in = data.draw(st.integers(max(0, w.shape[1] - m_group + 1), w.shape[1]))
    whole = w.copy()
    whole[:, n_in:] = 0
    matrix, filled = (NmMatrix.from_dense(each, n_keep=n_keep, m_group=m_group) for each in (w[:, :n_in], whole))
    assert matrix.shape == (len(w), n_in)
    assert matrix.decode().tolist() == w[:, :n_in].tolist()
    assert matrix.values.tobytes() == filled.values.tobytes()
    assert matrix.positions.tobytes() == filled.positions.tobytes()
    assert matrix.total_bits == filled.total_bits
    given = {"n_keep": n_keep, "m_group": m_group, "n_in": n_in}
    assert NmMatrix.from_metadata(matrix.values, matrix.metadata(), **given).decode().tolist() == w[:, :n_in].tolist()
    assert footprint(matrix)["nm"].parts == footprint(filled)["nm"].parts


def test_nothing_stands_beyond_the_inputs():
    matrix = NmMatrix.from_dense(np.array([[0, 0, 0, 0, 0, 1, 0, 2]], np.int8))
    with pytest.raises(InputError, match="values=1 beyond input 7: must be 0"):
        NmMatrix.from_metadata(matrix.values, matrix.metadata(), n_in=7)


@given(pruned())
def test_positions_ascend_and_complete_from_the_last(case):
    w, n_keep, m_group = case
    matrix = NmMatrix.from_dense(w, n_keep=n_keep, m_group=m_group)
    dense, kept = w.reshape(-1, m_group), matrix.positions.reshape(-1, n_keep)
    for group, positions in zip(dense.tolist(), kept.tolist(), strict=True):
        full = [at for at, value in enumerate(group) if value]
        free = [at for at in range(m_group - n_keep, m_group) if at not in full]
        assert positions == sorted(full + free[: n_keep - len(full)])


def test_every_legal_pair_of_positions_is_kept_as_it_is():
    """Completing zeros at other places than ours: they are legal, and come back."""
    for pair in combinations(range(4), 2):
        nibble = np.array([pair[0] | pair[1] << 2], dtype=np.uint8)
        matrix = NmMatrix.from_metadata(np.zeros((1, 2), dtype=np.int8), nibble)
        assert matrix.positions.tolist() == [list(pair)]
        assert matrix.metadata().tolist() == nibble.tolist()


# Footprint


def test_footprint_of_two_of_four():
    w = random_nm(np.random.default_rng(2), 8, 4, 2, 4)
    for dtype, share in ((np.float16, Fraction(9, 16)), (np.int8, Fraction(5, 8))):
        matrix = NmMatrix.from_dense(w.astype(dtype))
        formats = footprint(matrix)
        assert formats["nm"].parts == {"values": matrix.values_bits, "metadata": matrix.metadata_bits}
        assert formats["nm"].ratio_to_dense == share == Fraction(matrix.total_bits, formats["dense"].total_bits)
        assert formats["dense"].total_bits == 8 * 16 * matrix.value_bits
        assert formats["nm"].valid
        assert formats == footprint(w, value_bits=matrix.value_bits)


@given(pruned())
def test_footprint_counts_what_the_matrix_counts(case):
    w, n_keep, m_group = case
    matrix = NmMatrix.from_dense(w, n_keep=n_keep, m_group=m_group)
    formats = footprint(matrix)
    assert formats["nm"].total_bits == matrix.total_bits
    assert formats["bitmap"] == footprint(w, value_bits=matrix.value_bits)["bitmap"]


def test_footprint_says_what_disagrees_with_the_matrix():
    matrix = NmMatrix.from_dense([[1, 0, 0, 0]])
    assert footprint(matrix, n_keep=2, m_group=4, value_bits=16) == footprint(matrix)
    for option, said in (
        ({"n_keep": 1}, "n_keep=1"),
        ({"m_group": 8}, "m_group=8"),
        ({"value_bits": 8}, "value_bits=8"),
    ):
        with pytest.raises(InputError, match=f"{said}: must agree with the matrix, whose"):
            footprint(matrix, **option)


# Wrong inputs


FULL = np.zeros((3, 8), dtype=np.float32)
FULL[1, 4:7] = 1


@pytest.mark.parametrize(
    ("w", "options", "message"),
    [
        (FULL, {}, "weights: row 1, group 1 has 3 non-zeros, 2:4 keeps at most 2"),
        (FULL.astype(np.int8), {}, "weights: row 1, group 1 has 3 non-zeros, 2:4 keeps at most 2"),
        (FULL, {"n_keep": 2, "m_group": 8}, "weights: row 1, group 0 has 3 non-zeros, 2:8 keeps at most 2"),
        (np.zeros((2, 8)), {"m_group": 300}, "m_group=300: must be an integer in 1..256"),
        (np.zeros((2, 8)), {"n_keep": 5}, "n_keep=5: must be at most m_group=4; N of N:M is the number kept"),
        (np.zeros((2, 8)), {"n_keep": 0}, "n_keep=0: must be an integer >= 1"),
        (np.zeros((2, 8)), {"n_keep": 2.0}, "n_keep=2.0: must be an integer >= 1"),
        (np.zeros((2, 8)), {"element": "bfloat16"}, "element=bfloat16: must be float16 or int8"),
        (np.zeros(8), {}, "weights=shape (8,): must have 2 dimensions, (out, in)"),
        (np.zeros((1, 4), dtype=complex), {}, "weights=dtype complex128: must hold real numbers"),
        ([[0, 0, 1e6, 0]], {}, "weights[0, 2]=1000000.0: overflows float16, whose largest value is 65504"),
        ([[0, 0, 0, -65520.0]], {}, "weights[0, 3]=-65520.0: overflows float16, whose largest value is 65504"),
        ([[0, np.nan, 0, 0]], {}, "weights[0, 1]=nan: must be finite"),
        ([[0, -np.inf, 0, 0]], {}, "weights[0, 1]=-inf: must be finite"),
        (np.zeros((1, 4)), {"element": "int8"}, "weights=dtype float64: must be integers in -128..127 for int8"),
        ([[128, 0, 0, 0]], {"element": "int8"}, "weights=128: must be in -128..127 for int8"),
        ([["a"]], {}, "weights=dtype <U1: must hold real numbers"),
    ],
)
def test_one_line_for_bad_weights(w, options, message):
    with pytest.raises(InputError) as caught:
        NmMatrix.from_dense(w, **options)
    assert str(caught.value) == message


def test_one_line_for_a_sparse_matrix_too_large_to_be_dense():
    with pytest.raises(InputError, match=r"weights=shape \(100000, 100000\): must have at most 2147483648 positions"):
        NmMatrix.from_dense(scipy.sparse.csr_array((100_000, 100_000)))


KEPT = np.zeros((1, 4), dtype=np.float16)


@pytest.mark.parametrize(
    ("values", "metadata", "options", "message"),
    [
        (KEPT, b"", {}, "metadata=0 bytes: must be 1, 2 bits a position"),
        (KEPT, bytes(2), {}, "metadata=2 bytes: must be 1, 2 bits a position"),
        (KEPT, b"\xe1", {}, "metadata: row 0, group 0 has positions [1, 0], which must ascend and be below m_group=4"),
        (KEPT, b"\x5e", {}, "metadata: row 0, group 1 has positions [1, 1], which must ascend and be below m_group=4"),
        (
            KEPT,
            b"\x38\x00",
            {"n_keep": 1, "m_group": 7},
            "metadata: row 0, group 1 has positions [7], which must ascend and be below m_group=7",
        ),
        (KEPT[:, :2], b"\x1e", {}, "metadata=the last byte: must be 0 after the last position"),
        (KEPT[:, :3], b"\xee", {}, "values=shape (1, 3): must have 2 a group in each row"),
        (KEPT[0], b"\xee", {}, "values=shape (4,): must have 2 dimensions, (out, in)"),
        (KEPT.astype(np.float32), b"\xee", {}, "values=dtype float32: must be float16 or int8"),
        (KEPT + np.float16(np.inf), b"\xee", {}, "values[0, 0]=inf: must be finite"),
        (KEPT, np.array([0xEE]), {}, "metadata=int64 (1,): must be bytes"),
        (KEPT, b"\xee", {"n_keep": 9}, "n_keep=9: must be at most m_group=4; N of N:M is the number kept"),
    ],
)
def test_one_line_for_bad_metadata(values, metadata, options, message):
    with pytest.raises(InputError) as caught:
        NmMatrix.from_metadata(values, metadata, **options)
    assert str(caught.value) == message


# The vendor's layout


SIZES = [(np.float16, np.int16, 32, 16), (np.int8, np.int32, 16, 32)]
"""Values, words, rows of a block, inputs of a word."""


@pytest.mark.parametrize(("dtype", "kind", "block", "inputs"), SIZES)
@pytest.mark.parametrize(
    ("word", "place"),
    [
        ((0, 0), 0),  # stays
        ((1, 0), 8),  # row 1 of 32 goes to row 4, the first word of which follows two of each of four rows
        ((0, 1), 2),  # off the diagonal of its block: row 1, column 0
        ((8, 0), 1),  # row 8 goes to row 1, and from there off the diagonal to row 0, column 1
        ((8, 1), 3),
        ((0, 2), "pair"),  # the next pair of columns begins after two words of every row
    ],
)
def test_words_by_hand(dtype, kind, block, inputs, word, place):
    """A 2:4 matrix of pairs (2, 3) with one pair (0, 1), and where its word is."""
    n_out, apart = 2 * block, block // 8
    w = np.tile(np.array([0, 0, 1, 1], dtype=dtype), (n_out, inputs))
    w[word[0], word[1] * inputs : word[1] * inputs + 4] = 1, 1, 0, 0
    values, metadata = to_vendor(NmMatrix.from_dense(w))
    assert metadata.dtype == kind
    assert metadata.shape == (n_out, 4)
    assert (values == 1).all()
    expected = {"pair": 2 * n_out, 8: 2 * apart}.get(place, place)
    (found,) = np.flatnonzero(metadata.reshape(-1) & 15 == 4)
    assert found == expected


@given(st.sampled_from(SIZES), st.integers(0, 3), st.integers(0, 3), st.integers(0, 2**32))
def test_the_vendor_layout_is_undone(size, n_block, n_pair, seed):
    dtype, _, block, inputs = size
    w = random_nm(np.random.default_rng(seed), n_block * block, n_pair * inputs // 2, 2, 4, dtype)
    matrix = NmMatrix.from_dense(w)
    values, metadata = to_vendor(matrix)
    assert sorted(metadata.tobytes()) == sorted(matrix.metadata().tobytes())
    back = from_vendor(values, metadata)
    assert back.decode().tolist() == w.tolist()
    assert back.positions.tobytes() == matrix.positions.tobytes()


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (NmMatrix.from_dense(np.zeros((32, 32)), n_keep=1), "pattern=1:4: must be 2:4"),
        (NmMatrix.from_dense(np.zeros((16, 32))), "n_out=16: must be a multiple of 32"),
        (NmMatrix.from_dense(np.zeros((32, 48))), "n_in=48: must be a multiple of 32"),
        (NmMatrix.from_dense(np.zeros((16, 32), dtype=np.int8)), "n_in=32: must be a multiple of 64"),
        (np.zeros((32, 32)), "matrix=ndarray: must be NmMatrix"),
    ],
)
def test_one_line_for_what_the_vendor_layout_does_not_hold(matrix, message):
    with pytest.raises(InputError, match=message):
        to_vendor(matrix)


def test_one_line_for_bad_parts_of_the_vendor_layout():
    values, metadata = to_vendor(NmMatrix.from_dense(np.zeros((32, 32))))
    for bad, message in (
        ((values.astype(np.float32), metadata), "values=dtype float32: must be float16 or int8"),
        ((values[0], metadata), r"values=shape \(16,\): must have 2 dimensions"),
        ((values, metadata.astype(np.int32)), r"metadata=int32 \(32, 2\): must be int16 \(32, 2\)"),
        ((values, metadata[:, :1]), r"metadata=int16 \(32, 1\): must be int16 \(32, 2\)"),
        ((values, np.zeros_like(metadata)), r"metadata: row 0, group 0 has positions \[0, 0\]"),
    ):
        with pytest.raises(InputError, match=message):
            from_vendor(*bad)


@pytest.mark.parametrize(("dtype", "kind", "block", "inputs"), SIZES)
def test_the_vendor_layout_is_torchs(dtype, kind, block, inputs):
    torch = pytest.importorskip("torch")
    conversions = pytest.importorskip("torch.sparse._semi_structured_conversions")
    for n_block, n_pair in ((1, 1), (2, 3), (5, 2), (12, 8)):
        shape = n_block * block, n_pair * inputs // 2
        w = random_nm(np.random.default_rng(n_block), *shape, 2, 4, dtype)
        values, metadata = conversions.sparse_semi_structured_from_dense_cutlass(torch.from_numpy(w))
        ours = to_vendor(NmMatrix.from_dense(w))
        assert np.array_equal(ours[0], values.numpy())
        assert np.array_equal(ours[1], metadata.numpy())
        back = conversions.sparse_semi_structured_to_dense_cutlass(*(torch.from_numpy(part) for part in ours))
        assert np.array_equal(back.numpy(), w)
        assert np.array_equal(from_vendor(values.numpy(), metadata.numpy()).decode(), w)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"positions": np.full((2, 4), 200, np.uint8)}, "positions=200: must be below m_group=4"),
        ({"positions": np.zeros((2, 3), np.uint8)}, r"positions=\(2, 3\): must be uint8 \(2, 4\)"),
        ({"values": np.zeros((2, 4))}, r"values=\(2, 4\): must be float16 \(2, 4\)"),
        ({"values": None}, "values=NoneType: must be float16"),
        ({"n_in": 9}, r"values=\(2, 4\): must be float16 \(2, 6\)"),
        ({"element": "int4"}, "element=int4: must be float16 or int8"),
    ],
)
def test_a_matrix_built_by_hand_cannot_point_beyond_itself(changes, message):
    good = NmMatrix.from_dense(np.zeros((2, 8), np.float32))
    fields = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(InputError, match=message):
        NmMatrix(**{**fields, **changes})


@pytest.mark.compiled
def test_float32_is_rounded_to_float16_as_numpy_does():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16).astype(np.float32)
    ordered = np.sort(every[np.isfinite(every)]).astype(np.float64)
    middles = ((ordered[1:] + ordered[:-1]) / 2).astype(np.float32)
    around = [np.nextafter(middles, np.float32(side)) for side in (-np.inf, np.inf)]
    any_bits = np.random.default_rng(0).integers(0, 2**32, 10**6, dtype=np.uint32).view(np.float32)
    given = np.concatenate([every, middles, *around, any_bits])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        expected = given.astype(np.float16)
    got = nm_matrix._to_float16(given)
    nan = np.isnan(given)
    np.testing.assert_array_equal(got.view(np.uint16)[~nan], expected.view(np.uint16)[~nan])
    assert np.isnan(got[nan]).all()
