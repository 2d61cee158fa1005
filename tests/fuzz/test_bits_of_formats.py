"""What a format is said to take is what it takes: written out bit by bit, and read back from those bits alone."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import EieMatrix, NmMatrix, footprint
from eie_sim.units.eie.config import EieConfig

PRIMES = st.sampled_from([1, 2, 3, 5, 7, 11, 31, 61, 97, 127])


def written(values, width):
    """Numbers as text of zeros and ones; fails where one needs more than its width."""
    bits = "".join(f"{value:0{width}b}" for value in values)
    assert len(bits) == len(values) * width
    return bits


def read(bits, width):
    return [int(bits[at : at + width], 2) for at in range(0, len(bits), width)]


@st.composite
def encoded(draw):
    """Codes of any width over any number of PEs, also more than there are rows."""
    weight_bits, index_bits = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    shape = draw(st.integers(1, 90)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kept = rng.random(shape) < draw(st.sampled_from([0, 0.02, 0.3, 1]))
    codes = np.where(kept, rng.integers(1, 2**weight_bits, shape), 0)
    codebook = np.concatenate([[0.0], rng.normal(size=2**weight_bits - 1)])
    matrix = EieMatrix.from_codes(codes, codebook, n_pe=draw(PRIMES), index_bits=index_bits)
    return codes, matrix


@given(encoded())
def test_codes_come_back_from_the_bits_of_the_format(case):
    codes, matrix = case
    pointer_bits = EieConfig().pointer_bits
    parts = footprint(matrix, pointer_bits=pointer_bits)["eie"].parts
    entries = written(matrix.codes, matrix.weight_bits), written(matrix.gaps, matrix.index_bits)
    pointers = written(matrix.col_ptr.ravel(), pointer_bits)
    book = written(matrix.codebook_raw.view(np.uint16), 16)
    assert len("".join(entries)) == parts["weights"] + parts["index"] + parts["padding"]
    assert (len(pointers), len(book)) == (parts["pointers"], parts["codebook"])
    assert decoded(matrix, *entries, np.reshape(read(pointers, pointer_bits), (matrix.n_pe, -1))) == codes.tolist()


def decoded(matrix, codes, gaps, pointers):
    """Rows of codes from streams of bits, entry by entry."""
    dense = [[0] * matrix.n_in for _ in range(matrix.n_out)]
    entries = iter(zip(read(codes, matrix.weight_bits), read(gaps, matrix.index_bits), strict=True))
    for pe, starts in enumerate(pointers.tolist()):
        for column, (start, end) in enumerate(pairwise(starts)):
            local = -1
            for _ in range(end - start):
                code, gap = next(entries)
                local += gap + 1
                if code:
                    dense[pe + local * matrix.n_pe][column] = code
                else:
                    assert gap == 2**matrix.index_bits - 1, "padding bridges as much as it can"
    assert next(entries, None) is None
    return dense


@st.composite
def kept(draw):
    """int8 weights of a pattern N:M, M any number up to 37."""
    m_group = draw(st.integers(1, 37))
    n_keep = draw(st.integers(1, m_group))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    groups = rng.integers(-128, 128, (draw(st.integers(1, 5)), draw(st.integers(1, 4)), m_group))
    order = rng.permuted(np.broadcast_to(np.arange(m_group), groups.shape), axis=2)
    w = np.where(order < n_keep, groups, 0).astype(np.int8).reshape(len(groups), -1)
    return w, NmMatrix.from_dense(w, n_keep=n_keep, m_group=m_group)


@given(kept())
def test_nm_weights_come_back_from_the_bits_of_the_format(case):
    w, matrix = case
    parts = footprint(matrix)["nm"].parts
    width = (matrix.m_group - 1).bit_length() or 1
    bits = "".join(f"{byte:08b}"[::-1] for byte in matrix.metadata())[: parts["metadata"]]
    assert len(bits) == matrix.positions.size * width * (matrix.n_keep < matrix.m_group)
    assert 8 * matrix.values.nbytes == parts["values"]
    places = read(bits, width) if bits else list(range(matrix.m_group)) * (matrix.values.size // matrix.m_group)
    if bits:
        places = [int(f"{place:0{width}b}"[::-1], 2) for place in places]  # least significant bit first
    dense = np.zeros_like(w)
    for at, (value, place) in enumerate(zip(matrix.values.ravel().tolist(), places, strict=True)):
        row, slot = divmod(at, matrix.values.shape[1])
        dense[row, slot // matrix.n_keep * matrix.m_group + place] += value
    np.testing.assert_array_equal(dense, w)
