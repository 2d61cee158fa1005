"""Huffman coding: optimal by other means, exact both ways, and no harm from a stream that was cut or edited."""

import math
import subprocess
import sys
from fractions import Fraction
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core import huffman, huffman_kernels
from eie_sim.core.errors import InputError

FIBONACCI = [1, 1]
while len(FIBONACCI) < 60:
    FIBONACCI.append(FIBONACCI[-1] + FIBONACCI[-2])

COUNTS = st.one_of(
    st.lists(st.integers(0, 1000), min_size=2, max_size=256),
    st.lists(st.sampled_from([0, 1, 2, 4, 10**6, 10**12]), min_size=2, max_size=64),
    st.integers(2, 60).map(lambda n: FIBONACCI[:n]),
)


@st.composite
def streams(draw):
    """Symbols of some alphabet, often skewed, and a code that has a word for each."""
    counts = draw(COUNTS)
    lengths = huffman.code_lengths(counts)
    symbols = draw(st.lists(st.sampled_from(np.flatnonzero(lengths).tolist()), max_size=300)) if any(counts) else []
    return symbols, lengths


@pytest.fixture(params=["compiled", "python"])
def kernels(request, monkeypatch):
    if request.param == "python":
        for name in ("encode", "decode"):
            compiled = getattr(huffman_kernels, name)
            monkeypatch.setattr(huffman_kernels, name, getattr(compiled, "py_func", compiled))


def cost(counts, lengths):
    return sum(int(count) * int(length) for count, length in zip(counts, lengths, strict=True))


def least_cost(counts, limit):
    """Shortest stream of any prefix code up to `limit` bits: at each depth some nodes are leaves, the rest fork."""
    ordered = sorted((count for count in counts if count), reverse=True)
    below = [sum(ordered[i:]) for i in range(len(ordered) + 1)]

    @cache
    def best(depth, placed, nodes):
        if placed == len(ordered):
            return 0
        if depth > limit:
            return math.inf
        leaves = range(min(nodes, len(ordered) - placed) + 1)
        rest = len(ordered) - placed
        return below[placed] + min(best(depth + 1, placed + k, min(2 * (nodes - k), rest - k)) for k in leaves)

    return best(1, 0, 2) if len(ordered) > 1 else sum(ordered)


def test_a_code_worked_by_hand():
    lengths = huffman.code_lengths([8, 4, 2, 1, 1])
    assert lengths.tolist() == [1, 2, 3, 4, 4] and lengths.dtype == np.uint8
    assert [f"{word:0{n}b}" for word, n in zip(huffman.codewords(lengths), lengths, strict=True)] == [
        "0",
        "10",
        "110",
        "1110",
        "1111",
    ]
    data, n_bits = huffman.encode([0, 1, 2, 3, 4], lengths)
    assert n_bits == 14 and data.tolist() == [0b01011011, 0b10111100]
    assert huffman.decode(data, n_bits, 5, lengths).tolist() == [0, 1, 2, 3, 4]
    assert huffman.coded_bits([8, 4, 2, 1, 1], lengths) == 8 + 8 + 6 + 4 + 4
    assert huffman.table_bits(lengths) == 5 * 5


def test_of_equal_counts_the_lower_symbol_has_the_shorter_codeword():
    assert huffman.code_lengths([1, 1, 1]).tolist() == [1, 2, 2]
    assert huffman.code_lengths([0, 3, 0, 3, 3, 3, 3]).tolist() == [0, 2, 0, 2, 2, 3, 3]


def test_the_largest_alphabet_of_equal_counts_has_bytes_for_codewords():
    lengths = huffman.code_lengths([7] * 256)
    assert set(lengths.tolist()) == {8}
    assert huffman.codewords(lengths).tolist() == list(range(256))


def test_nothing_to_code(kernels):
    lengths = huffman.code_lengths([0, 0])
    data, n_bits = huffman.encode([], lengths)
    assert (lengths.tolist(), data.tolist(), n_bits) == ([0, 0], [], 0)
    assert huffman.decode(data, n_bits, 0, lengths).tolist() == []


def test_one_distinct_symbol_takes_a_bit_each(kernels):
    stream = huffman.compress([3] * 10, 4)
    assert stream.lengths.tolist() == [0, 0, 0, 1] and stream.n_bits == 10
    assert huffman.decompress(stream).tolist() == [3] * 10
    with pytest.raises(InputError, match=r"^data: no codeword begins at bit 4, symbol 4 of 10$"):
        huffman.decompress(stream._replace(data=np.array([0b00001000, 0], dtype=np.uint8)))


@given(st.lists(st.integers(0, 12), min_size=2, max_size=5))
def test_no_lengths_of_a_tiny_alphabet_are_better(counts):
    used = [count for count in counts if count]
    possible = [
        lengths
        for lengths in product(range(1, 5), repeat=len(used))
        if sum(Fraction(1, 2**length) for length in lengths) <= 1
    ]
    assert cost(counts, huffman.code_lengths(counts)) == min(cost(used, lengths) for lengths in possible)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 5, 50, 10**9]), min_size=2, max_size=24))
def test_no_prefix_code_is_better(counts):
    assert cost(counts, huffman.code_lengths(counts)) == least_cost(counts, huffman.MAX_LENGTH)


@pytest.mark.parametrize("n", [32, 33, 40, 60])
def test_counts_that_would_need_longer_codewords_get_the_best_within_the_limit(n):
    lengths = huffman.code_lengths(FIBONACCI[:n])
    assert lengths.max() == 31
    assert cost(FIBONACCI[:n], lengths) == least_cost(FIBONACCI[:n], 31)
    assert (cost(FIBONACCI[:n], lengths) > least_cost(FIBONACCI[:n], 60)) == (n > 32)


@given(COUNTS)
def test_lengths_are_full_and_within_a_bit_of_the_entropy(counts):
    lengths = huffman.code_lengths(counts)
    assert [bool(length) for length in lengths] == [count > 0 for count in counts]
    if np.count_nonzero(lengths) < 2:
        return
    assert sum(Fraction(1, 2 ** int(length)) for length in lengths if length) == 1
    total = sum(counts)
    entropy = sum(count / total * math.log2(total / count) for count in counts if count)
    assert entropy - 1e-9 <= cost(counts, lengths) / total < entropy + 1
    by_count = sorted(range(len(counts)), key=lambda s: (-counts[s], s))
    assert [lengths[s] for s in by_count if counts[s]] == sorted(length for length in lengths if length)


@given(COUNTS)
def test_codewords_begin_no_other_codeword(counts):
    lengths = huffman.code_lengths(counts)
    words = sorted(
        f"{word:0{n}b}" for word, n in zip(huffman.codewords(lengths), lengths.tolist(), strict=True) if n > 0
    )
    assert all(not later.startswith(word) for word, later in pairwise(words))


@given(streams())
def test_a_round_trip_is_exact(stream):
    symbols, lengths = stream
    data, n_bits = huffman.encode(symbols, lengths)
    assert data.dtype == np.uint8 and len(data) == math.ceil(n_bits / 8)
    counts = np.bincount(np.array(symbols, dtype=np.int64), minlength=len(lengths))
    assert n_bits == huffman.coded_bits(counts, lengths)
    for given_data in (data, data.tobytes()):
        decoded = huffman.decode(given_data, n_bits, len(symbols), lengths)
        assert decoded.dtype == np.uint8 and decoded.tolist() == symbols


def test_codewords_longer_than_one_look_up(kernels):
    lengths = huffman.code_lengths(FIBONACCI[:40])
    assert lengths.max() == 31 > huffman.LOOK_BITS
    symbols = np.random.default_rng(0).integers(0, 40, 500)
    data, n_bits = huffman.encode(symbols, lengths)
    assert huffman.decode(data, n_bits, 500, lengths).tolist() == symbols.tolist()


@given(streams(), st.data())
def test_a_cut_stream_is_refused(stream, data):
    symbols, lengths = stream
    coded, n_bits = huffman.encode(symbols, lengths)
    if not symbols:
        return
    n_left = data.draw(st.integers(0, n_bits - 1))
    cut = coded[: math.ceil(n_left / 8)].copy()
    if n_left % 8:
        cut[-1] &= 0xFF << (8 - n_left % 8) & 0xFF
    with pytest.raises(InputError):
        huffman.decode(cut, n_left, len(symbols), lengths)
    with pytest.raises(InputError):
        huffman.decode(coded[:-1], n_bits, len(symbols), lengths)
    with pytest.raises(InputError):
        huffman.decode(coded, n_bits, len(symbols) - 1, lengths)


@given(streams(), st.data())
def test_an_edited_stream_is_refused_or_read_as_other_symbols(stream, data):
    symbols, lengths = stream
    coded, n_bits = huffman.encode(symbols, lengths)
    edited = np.array([data.draw(st.integers(0, 255)) for _ in coded], dtype=np.uint8)
    try:
        decoded = huffman.decode(edited, n_bits, len(symbols), lengths)
    except InputError:
        return
    assert len(decoded) == len(symbols) and all(lengths[symbol] for symbol in decoded)
    again, again_bits = huffman.encode(decoded, lengths)
    assert (again.tolist(), again_bits) == (edited.tolist(), n_bits)


TWO = [1, 1]  # two codewords, 0 and 1
REFUSED = {
    "counts=shape (1,): must be one for each of 2 to 256 symbols": lambda: huffman.code_lengths([5]),
    "counts=shape (257,): must be one for each of 2 to 256 symbols": lambda: huffman.code_lengths([1] * 257),
    "counts=-1: must be >= 0": lambda: huffman.code_lengths([3, -1]),
    "counts=dtype float64: must be integers": lambda: huffman.code_lengths([0.5, 1.0]),
    f"counts={2**58} in all: must be at most {2**57} in all": lambda: huffman.code_lengths([2**57, 2**57]),
    "counts=shape (3,): must have 2 counts": lambda: huffman.coded_bits([1, 1, 1], TWO),
    "symbols=1: must have a codeword, its length is 0": lambda: huffman.coded_bits([1, 1], [1, 0]),
    "symbols=2: must have a codeword, its length is 0": lambda: huffman.encode([0, 2], [1, 1, 0]),
    "symbols=2: must be in 0..1": lambda: huffman.encode([0, 2], TWO),
    "symbols=-1: must be in 0..1": lambda: huffman.encode([-1], TWO),
    "symbols=dtype float64: must be integers": lambda: huffman.encode([0.0], TWO),
    "symbols=shape (1, 1): must have 1 dimension": lambda: huffman.encode([[0]], TWO),
    "lengths=32: must be in 0..31 bits": lambda: huffman.codewords([32, 1]),
    "lengths=-1: must be in 0..31 bits": lambda: huffman.codewords([-1, 1]),
    "lengths=Kraft sum 1.5: must be those of a full prefix code, for which Kraft's sum is 1": lambda: huffman.codewords(
        [1, 1, 1]
    ),
    "lengths=Kraft sum 0.25: must be those of a full prefix code, for which Kraft's sum is 1": lambda: (
        huffman.codewords([2, 0])
    ),
    "n_alphabet=257: must be an integer in 2..256": lambda: huffman.compress([0], 257),
    "data=shape (2,): must be (1,), as n_bits = 8": lambda: huffman.decode(b"ab", 8, 8, TWO),
    "data=dtype int64: must be bytes or uint8": lambda: huffman.decode([1], 8, 8, TWO),
    "data=byte 0: must end in 0 bits": lambda: huffman.decode(b"\x01", 7, 7, TWO),
    "n_bits=-1: must be an integer >= 0": lambda: huffman.decode(b"", -1, 0, TWO),
    "n_symbols=9: must be <= n_bits = 8, a codeword has a bit at least": lambda: huffman.decode(b"a", 8, 9, TWO),
    "n_bits=8: must be 7, where the last of 7 symbols ends": lambda: huffman.decode(b"\x00", 8, 7, TWO),
    "n_bits=8: must hold 5 symbols, ends in symbol 4": lambda: huffman.decode(b"\xff", 8, 5, [1, 2, 2]),
    "data: no codeword begins at bit 0, symbol 0 of 1": lambda: huffman.decode(b"\x00", 8, 1, [0, 0]),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_gets_one_line(message):
    with pytest.raises(InputError) as caught:
        REFUSED[message]()
    assert str(caught.value) == message


def test_sizes_need_no_compiler():
    program = "import sys; from eie_sim.core import huffman; huffman.codewords(huffman.code_lengths([3, 1, 1]))"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; print('numba' in sys.modules)"], capture_output=True, check=True
    )
    assert done.stdout.split() == [b"False"]


@pytest.mark.parametrize(
    "odd", [None, "x", (b"", 0, 0, [1, 1]), np.zeros(2, "M8[D]")], ids=["none", "str", "tuple", "dates"]
)
def test_only_a_stream_is_decompressed(odd):
    with pytest.raises(InputError, match=rf"^stream={type(odd).__name__}: must be Stream$"):
        huffman.decompress(odd)
