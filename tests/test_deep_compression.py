"""Deep Compression of a layer: the paper's example by hand, the streams again in plain Python, every part's size."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eie_sim.core.errors import InputError
from eie_sim.deep_compression import DeepCompression, compress_codes, compress_layer, compress_positions
from eie_sim.deep_compression.record import random_positions

FIGURE_2 = np.zeros(16, dtype=np.float32)
FIGURE_2[[1, 4, 15]] = 3.4, 0.9, 1.7

LAYERS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=9),
    elements=st.one_of(st.just(0.0), st.just(0.0), st.floats(-8, 8, width=32)),
)


def entries_of(layer, index_bits):
    """(position of the weight or None, gap) of each entry, by walking the flattened layer."""
    found, zeros = [], 0
    for position, weight in enumerate(layer.ravel().tolist()):
        if weight != 0:
            found.append((position, zeros))
            zeros = 0
        elif zeros == 2**index_bits - 1:
            found.append((None, zeros))
            zeros = 0
        else:
            zeros += 1
    while found and found[-1][0] is None:
        found.pop()
    return found


def test_figure_2_of_the_paper():
    layer = compress_layer(FIGURE_2, weight_bits=2, index_bits=3)
    assert layer.gaps.tolist() == [1, 2, 7, 2]
    assert layer.codes.tolist() == [3, 1, 0, 2]
    assert layer.codebook.tolist() == [0, *np.float32([0.9, 1.7, 3.4]).tolist()]
    reached = np.cumsum(layer.gaps + 1) - 1
    assert reached.tolist() == [1, 4, 12, 15]
    assert np.diff(reached, prepend=0).tolist() == [1, 3, 8, 3], "the figure's distances, the first from position 0"
    assert layer.positions().tolist() == [1, 4, 15]
    assert layer.decode().tolist() == FIGURE_2.tolist()


def test_the_sizes_of_figure_2_by_hand():
    sizes = compress_layer(FIGURE_2, weight_bits=2, index_bits=3).sizes()
    assert (sizes.n_position, sizes.n_weight, sizes.n_filler) == (16, 3, 1)
    assert (sizes.codes_bits, sizes.indices_bits, sizes.filler_bits) == (4 * 2, 4 * 3, 2 + 3)
    assert (sizes.codebook_bits, sizes.dense32_bits) == (4 * 32, 16 * 32)
    assert sizes.total_bits == 8 + 12 + 128
    # four codes once each: 2 bits; gap 2 twice: 1 bit, gaps 1 and 7 once: 2 bits; the filler's code and gap: 2 and 2
    assert (sizes.huffman_codes_bits, sizes.huffman_indices_bits, sizes.huffman_filler_bits) == (8, 6, 4)
    assert sizes.huffman_tables_bits == (4 + 8) * 5
    assert sizes.huffman_total_bits == 8 + 6 + 60 + 128
    assert sizes.filler_share == Fraction(1, 4)
    assert sizes.ratio_vs_dense32 == Fraction(512, 148)
    assert sizes.huffman_ratio_vs_dense32 == Fraction(512, 202)
    assert sizes.to_dict()["huffman_total_bits"] == 202 and sizes.to_dict()["filler_share"] == 0.25


@pytest.mark.parametrize("zeros, gaps", [(7, [7]), (8, [7, 0]), (15, [7, 7]), (16, [7, 7, 0]), (20, [7, 7, 4])])
def test_a_filler_reaches_over_eight_weights_of_three_bit_gaps(zeros, gaps):
    layer = compress_positions([zeros], shape=(40,), weight_bits=1, index_bits=3)
    assert layer.gaps.tolist() == gaps
    assert layer.codes.tolist() == [0] * (len(gaps) - 1) + [1]
    assert layer.positions().tolist() == [zeros]


def test_gaps_run_on_across_rows_and_zeros_at_the_end_need_nothing():
    mask = np.array([[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    assert compress_layer(mask, weight_bits=4, index_bits=4).gaps.tolist() == [1, 4]


@given(LAYERS, st.integers(1, 8), st.integers(1, 8))
def test_the_streams_are_those_of_a_walk_and_decode_exactly(weights, weight_bits, index_bits):
    layer = compress_layer(weights, weight_bits=weight_bits, index_bits=index_bits)
    expected = entries_of(weights, index_bits)
    assert list(zip((code > 0 for code in layer.codes), layer.gaps.tolist(), strict=True)) == [
        (position is not None, gap) for position, gap in expected
    ]
    assert layer.positions().tolist() == [position for position, _ in expected if position is not None]
    assert (layer.dense_codes() != 0).tolist() == (weights != 0).tolist()
    decoded = layer.decode()
    assert decoded.dtype == np.float32 and decoded.shape == weights.shape
    assert decoded.tolist() == layer.codebook[layer.dense_codes()].tolist()
    again = DeepCompression.from_huffman(*layer.huffman_streams(), shape=weights.shape, codebook=layer.codebook)
    assert (again.weight_bits, again.index_bits) == (weight_bits, index_bits)
    assert again.codes.tolist() == layer.codes.tolist() and again.gaps.tolist() == layer.gaps.tolist()


@given(LAYERS, st.integers(1, 8), st.integers(1, 8))
def test_sizes_are_those_of_the_streams(weights, weight_bits, index_bits):
    layer = compress_layer(weights, weight_bits=weight_bits, index_bits=index_bits)
    sizes, (codes, gaps) = layer.sizes(), layer.huffman_streams()
    assert (sizes.huffman_codes_bits, sizes.huffman_indices_bits) == (codes.n_bits, gaps.n_bits)
    assert (sizes.n_weight, sizes.n_filler) == (np.count_nonzero(weights), layer.n_filler)
    entry_bits = weight_bits + index_bits
    assert sizes.total_bits == layer.n_entry * entry_bits + 32 * 2**weight_bits
    assert sizes.filler_bits == layer.n_filler * entry_bits
    assert all(isinstance(value, int) for name, value in sizes.to_dict().items() if name.endswith("_bits"))


@given(LAYERS, st.integers(1, 8))
def test_a_decoded_layer_compresses_to_itself(weights, weight_bits):
    layer = compress_layer(weights, weight_bits=weight_bits, index_bits=4)
    if (layer.codebook[layer.codes[layer.codes > 0]] == 0).any():  # weights whose mean is 0
        return
    again = compress_layer(layer.decode(), weight_bits=weight_bits, index_bits=4)
    assert again.decode().tolist() == layer.decode().tolist()
    assert again.gaps.tolist() == layer.gaps.tolist()


def test_every_weight_gets_the_nearest_shared_value():
    weights = np.random.default_rng(0).standard_normal((40, 50))
    layer = compress_layer(weights, weight_bits=4, index_bits=4)
    nearest = np.abs(weights[..., None] - layer.codebook[1:]).min(axis=-1)
    assert np.abs(weights - layer.decode()) == pytest.approx(nearest, abs=1e-6)
    assert layer.n_filler == 0 and set(layer.codes.tolist()) == set(range(1, 16))


@pytest.mark.parametrize("form", [sp.csr_array, sp.csc_array, sp.coo_array, sp.csr_matrix])
def test_sparse_dense_and_positions_are_the_same_layer(form):
    weights = np.random.default_rng(1).standard_normal((30, 40)) * (np.random.default_rng(2).random((30, 40)) < 0.05)
    widths = {"weight_bits": 3, "index_bits": 4}
    positions = np.flatnonzero(weights)
    dense = compress_layer(weights, **widths)
    others = [
        compress_layer(form(weights), **widths),
        compress_layer(np.asfortranarray(weights), **widths),
        compress_positions(positions, shape=(30, 40), values=weights.ravel()[positions], **widths),
    ]
    for other in others:
        assert other.shape == (30, 40) and other.decode().tolist() == dense.decode().tolist()
        assert other.sizes() == dense.sizes()


def test_codes_that_are_there_already():
    codes = np.array([[0, 2, 0], [3, 0, 2]])
    layer = compress_codes(codes, [0, 9, -0.5, 1.5], index_bits=2)
    assert (layer.weight_bits, layer.codes.tolist(), layer.gaps.tolist()) == (2, [2, 3, 2], [1, 1, 1])
    assert layer.decode().tolist() == [[0, -0.5, 0], [1.5, 0, -0.5]]


def test_a_mask_has_positions_and_no_values():
    layer = compress_layer(FIGURE_2 != 0, weight_bits=5, index_bits=3)
    assert layer.codebook is None and layer.positions().tolist() == [1, 4, 15]
    sizes, valued = layer.sizes(), compress_layer(FIGURE_2, weight_bits=5, index_bits=3).sizes()
    assert sizes.total_bits == valued.total_bits and sizes.huffman_indices_bits == valued.huffman_indices_bits
    assert (sizes.huffman_codes_bits, sizes.huffman_total_bits, sizes.huffman_ratio_vs_dense32) == (None, None, None)
    with pytest.raises(InputError, match=r"^codebook=None: must be there"):
        layer.decode()


@pytest.mark.parametrize("shape", [(0,), (0, 5), (7,), (3, 2, 2)])
def test_a_layer_without_weights(shape):
    layer = compress_layer(np.zeros(shape), weight_bits=2, index_bits=2)
    assert layer.n_entry == 0 and layer.decode().shape == shape
    assert layer.sizes().total_bits == layer.sizes().codebook_bits == 128
    assert layer.sizes().filler_share == 0


WIDTHS = {"weight_bits": 2, "index_bits": 3}
GOOD = compress_layer(FIGURE_2, **WIDTHS)


def bytes_of(*values):
    return np.array(values, dtype=np.uint8)


REFUSED = {
    "weight_bits=9: must be an integer in 1..8": lambda: compress_layer([1.0], weight_bits=9, index_bits=4),
    "index_bits=0: must be an integer in 1..8": lambda: compress_layer([1.0], weight_bits=4, index_bits=0),
    "weights=dtype complex128: must hold booleans or real numbers": lambda: compress_layer([1j], **WIDTHS),
    "weights=a single number: must have 1 dimension or more": lambda: compress_layer(1.0, **WIDTHS),
    "values[1]=nan: must be finite, not 0, of magnitude at most 2**100; it is at position 2": lambda: compress_layer(
        [1.0, 0.0, math.nan], **WIDTHS
    ),
    "values[0]=0.0: must be finite, not 0, of magnitude at most 2**100; it is at position 5": lambda: (
        compress_positions([5], shape=(9,), values=[0.0], **WIDTHS)
    ),
    "values=shape (2,): must be (1,), one per position": lambda: compress_positions(
        [5], shape=(9,), values=[1.0, 2.0], **WIDTHS
    ),
    "positions[2]=3: must be above the one before, 3": lambda: compress_positions([1, 3, 3], shape=(9,), **WIDTHS),
    "positions[0]=-1: must be >= 0": lambda: compress_positions([-1], shape=(9,), **WIDTHS),
    "positions[-1]=9: must be below the layer's 9": lambda: compress_positions([2, 9], shape=(9,), **WIDTHS),
    "positions=dtype float64: must be integers": lambda: compress_positions([0.5], shape=(9,), **WIDTHS),
    "shape=(1048576, 2097152): must have at most 1099511627776 weights": lambda: compress_positions(
        [0], shape=(2**20, 2**21), **WIDTHS
    ),
    "index_bits=3: must give at most 1073741824 entries, not 137438953472": lambda: compress_positions(
        [2**40 - 1], shape=(2**40,), **WIDTHS
    ),
    "codes=4: must be in 0..3": lambda: compress_codes([0, 4], [0, 1, 2, 3], index_bits=4),
    "codebook=shape (3,): must be 1-D with 2**weight_bits values, 2 to 256": lambda: compress_codes(
        [0, 1], [0, 1, 2], index_bits=4
    ),
    "codebook[0]=1.0: must be 0, code 0 stands for the value 0": lambda: compress_codes([0, 1], [1, 2], index_bits=4),
    "codebook=NaN or infinity: must be finite": lambda: compress_codes([0, 1], [0, 1e300], index_bits=4),
    "gaps[2]=6: must be the longest gap, its code 0 makes it a filler": lambda: replace(
        GOOD, gaps=bytes_of(1, 2, 6, 2)
    ),
    "gaps=8: must be below 8, it has 3 bits": lambda: replace(GOOD, gaps=bytes_of(1, 2, 7, 8)),
    "gaps=3 entries: must be 4": lambda: replace(GOOD, gaps=bytes_of(1, 2, 7)),
    "gaps=17 weights reached: must be at most 16": lambda: replace(GOOD, gaps=bytes_of(1, 2, 7, 3)),
    "codes=4: must be below 4, it has 2 bits": lambda: replace(GOOD, codes=bytes_of(3, 1, 0, 4)),
    "codes=dtype int64: must be uint8": lambda: replace(GOOD, codes=np.array([3, 1, 0, 2])),
    "codes=3: must be 0 or 1 without a codebook": lambda: replace(GOOD, codebook=None),
    "codebook=shape (2,): must be (4,)": lambda: replace(GOOD, codebook=GOOD.codebook[:2]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_gets_one_line(message):
    with pytest.raises(InputError) as caught:
        REFUSED[message]()
    assert str(caught.value) == message


def test_a_cut_stream_of_a_layer_is_refused():
    codes, gaps = GOOD.huffman_streams()
    with pytest.raises(InputError, match=r"^data=shape \(0,\): must be \(1,\)"):
        DeepCompression.from_huffman(codes._replace(data=codes.data[:-1]), gaps, shape=(16,), codebook=GOOD.codebook)
    with pytest.raises(InputError, match=r"^gaps\.lengths=7 symbols: must be a power of two"):
        DeepCompression.from_huffman(
            codes, gaps._replace(lengths=gaps.lengths[:7]), shape=(16,), codebook=GOOD.codebook
        )


@pytest.mark.slow
def test_a_layer_of_a_hundred_million_weights_from_its_positions():
    rng = np.random.default_rng(0)
    positions = random_positions(rng, 4096 * 25088, 4_110_418)
    values = rng.uniform(0.5, 4.0, len(positions)) * rng.choice([-1, 1], len(positions))
    layer = compress_positions(positions, shape=(4096, 25088), values=values, weight_bits=5, index_bits=5)
    assert (layer.positions() == positions).all()
    again = DeepCompression.from_huffman(*layer.huffman_streams(), shape=layer.shape, codebook=layer.codebook)
    assert (again.codes == layer.codes).all() and (again.gaps == layer.gaps).all()
    codes = layer.codes[layer.codes > 0]
    assert np.abs(layer.codebook[codes] - values).max() < 0.3
