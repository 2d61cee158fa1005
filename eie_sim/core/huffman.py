"""Canonical Huffman coding of a stream of small symbols, with an exact decoder.

A code is the length of each symbol's codeword and nothing else: codewords are given out by (length, symbol), so a
reader needs `LENGTH_BITS` bits for each symbol of the alphabet, used or not. Bits fill a byte from its highest down.

A stream of one distinct symbol takes 1 bit for each, not 0: the lengths alone then say which symbol it is, and no
stream holds more symbols than bits. It is the one code that is not full (Kraft's sum is 1/2).

Source: Huffman, Proc. IRE 40(9), 1952; lengths by package-merge, Larmore and Hirschberg, J. ACM 37(3), 1990.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eie_sim.core.errors import InputError, as_array, require, require_int, require_type

MAX_LENGTH = 31
"""Longest codeword. Only counts of a Fibonacci-like spread, millions of symbols in all, would use a longer one."""

LENGTH_BITS = 5
"""Bits of one stored length, 0 (unused) to 31."""

LOOK_BITS = 11
"""Bits the decoder looks up at once; longer codewords are rare by construction and are found length by length."""

MAX_ALPHABET = 256
MAX_TOTAL = 2**57
"""Most symbols that are counted; sums of counts over all lengths then stay below 2**63."""


class Stream(NamedTuple):
    """Coded symbols and all that is needed to read them.

    data : uint8[ceil(n_bits / 8)]; n_bits, n_symbol : how much of it counts; lengths : uint8[n], the code
    """

    data: NDArray[np.uint8]
    n_bits: int
    n_symbol: int
    lengths: NDArray[np.uint8]


def code_lengths(counts: ArrayLike) -> NDArray[np.uint8]:
    """Bits of each symbol's codeword in a shortest prefix code, uint8[n], 0 for a symbol that does not occur.

    counts : integers >= 0 [n], occurrences of each symbol, n in 2..256

    No prefix code of codewords up to `MAX_LENGTH` bits makes the stream shorter. Deterministic, and of symbols that
    occur equally often the lower never has the longer codeword. Raises InputError.
    """
    occurrences = _counts(counts)
    symbols = np.lexsort((-np.arange(len(occurrences)), occurrences))  # rarest first, of equals the highest first
    symbols = symbols[occurrences[symbols] > 0]
    lengths = np.zeros(len(occurrences), dtype=np.uint8)
    lengths[symbols] = 1 if len(symbols) == 1 else _package_merge(occurrences[symbols])
    return lengths


def codewords(lengths: ArrayLike) -> NDArray[np.int64]:
    """The codewords as numbers, int64[n], read with each symbol's length; 0 for an unused symbol.

    Raises InputError for lengths that are not those of a full prefix code.
    """
    checked = _lengths(lengths)
    code = _canonical(checked)
    words = np.zeros(len(checked), dtype=np.int64)
    ordered = checked[code.order]
    words[code.order] = code.first[ordered] + np.arange(len(ordered)) - code.offset[ordered]
    return words


def coded_bits(counts: ArrayLike, lengths: ArrayLike) -> int:
    """Bits of a stream with these counts of symbols, without making it. Raises InputError where one has no codeword."""
    occurrences, checked = _counts(counts), _lengths(lengths)
    require(
        len(occurrences) == len(checked), "counts", f"shape {occurrences.shape}", f"must have {len(checked)} counts"
    )
    _require_codewords(occurrences, checked)
    return int(occurrences @ checked)


def table_bits(lengths: ArrayLike) -> int:
    """Bits of the stored code: one length for each symbol of the alphabet. Raises InputError."""
    return len(_lengths(lengths)) * LENGTH_BITS


def encode(symbols: ArrayLike, lengths: ArrayLike) -> tuple[NDArray[np.uint8], int]:
    """Code a stream.

    symbols : integers [n_symbol], each one with a codeword; lengths : the code, as of `code_lengths`

    Returns (uint8[ceil(n_bits / 8)], n_bits); unused bits of the last byte are 0. Raises InputError.
    """
    from eie_sim.core import huffman_kernels

    checked = _lengths(lengths)
    stream = _symbols(symbols, len(checked))
    counts = np.bincount(stream, minlength=len(checked))
    _require_codewords(counts, checked)
    n_bits = int(counts @ checked)
    data = np.zeros((n_bits + 7) // 8, dtype=np.uint8)
    huffman_kernels.encode(stream, codewords(checked), checked, data)
    return data, n_bits


def decode(data: ArrayLike | bytes, n_bits: int, n_symbols: int, lengths: ArrayLike) -> NDArray[np.uint8]:
    """The symbols of a stream, uint8[n_symbols], exactly as they were coded.

    data : bytes or uint8[ceil(n_bits / 8)]; lengths : the code

    Raises InputError unless the stream is `n_symbols` codewords that end at `n_bits`, with zeros up to the byte's end.
    An edit that leaves it so goes unseen: a full code reads any bits as something.
    """
    from eie_sim.core import huffman_kernels

    checked = _lengths(lengths)
    stream = _data(data, n_bits)
    require_int("n_symbols", n_symbols, 0)
    require(n_symbols <= n_bits, "n_symbols", n_symbols, f"must be <= n_bits = {n_bits}, a codeword has a bit at least")
    symbols = np.zeros(int(n_symbols), dtype=np.uint8)
    code = _canonical(checked)
    n_found, used = huffman_kernels.decode(stream, int(n_bits), code, _look_up(checked, code), symbols)
    if n_found < n_symbols and used <= n_bits:
        raise InputError(f"data: no codeword begins at bit {used}, symbol {n_found} of {n_symbols}")
    require(n_found == n_symbols, "n_bits", n_bits, f"must hold {n_symbols} symbols, ends in symbol {n_found}")
    require(used == n_bits, "n_bits", n_bits, f"must be {used}, where the last of {n_symbols} symbols ends")
    return symbols


def compress(symbols: ArrayLike, n_alphabet: int) -> Stream:
    """Code symbols 0..n_alphabet - 1 with the shortest code of their own counts. Raises InputError."""
    require_int("n_alphabet", n_alphabet, 2, MAX_ALPHABET)
    stream = _symbols(symbols, int(n_alphabet))
    lengths = code_lengths(np.bincount(stream, minlength=n_alphabet))
    return Stream(*encode(stream, lengths), len(stream), lengths)


def decompress(stream: Stream) -> NDArray[np.uint8]:
    """The symbols of a stream, uint8[n_symbol]. Raises InputError as `decode` does."""
    require_type("stream", stream, Stream)
    return decode(stream.data, stream.n_bits, stream.n_symbol, stream.lengths)


class Canonical(NamedTuple):
    """A canonical code by length, as the kernels take it.

    first, n_word : int64[MAX_LENGTH + 1], the lowest codeword of each length, and how many there are
    offset : int64[MAX_LENGTH + 1], where a length's symbols begin in `order`
    order : int64[n_used], symbols by codeword
    """

    first: NDArray[np.int64]
    n_word: NDArray[np.int64]
    offset: NDArray[np.int64]
    order: NDArray[np.int64]


def _package_merge(weights: NDArray[np.int64]) -> NDArray[np.int64]:
    """Optimal lengths up to MAX_LENGTH for two or more ascending weights, int64[n], descending.

    Each round pairs neighbours into packages and merges them with the single weights. The cheapest 2n - 2 of the last
    round, taken apart again, contain a symbol as often as its codeword has bits.
    """
    row, is_single = weights, [np.ones(len(weights), dtype=np.bool_)]
    for _ in range(MAX_LENGTH - 1):
        pairs = row[: len(row) // 2 * 2].reshape(-1, 2).sum(axis=1)
        both = np.concatenate([weights, pairs])
        by_weight = np.argsort(both, kind="stable")  # of equals the single weight first
        is_single.append(by_weight < len(weights))
        row = both[by_weight]
    lengths = np.zeros(len(weights), dtype=np.int64)
    n_taken = 2 * len(weights) - 2
    for single in reversed(is_single):
        n_single = int(np.count_nonzero(single[:n_taken]))
        lengths[:n_single] += 1
        n_taken = 2 * (n_taken - n_single)
    return lengths


def _canonical(lengths: NDArray[np.int64]) -> Canonical:
    n_word = np.bincount(lengths, minlength=MAX_LENGTH + 1)
    n_word[0] = 0
    first = np.zeros(MAX_LENGTH + 1, dtype=np.int64)
    for length in range(1, MAX_LENGTH + 1):
        first[length] = (first[length - 1] + n_word[length - 1]) << 1
    used = np.flatnonzero(lengths)
    order = used[np.argsort(lengths[used], kind="stable")]
    return Canonical(first, n_word, np.cumsum(n_word) - n_word, order)


def _look_up(lengths: NDArray[np.int64], code: Canonical) -> NDArray[np.int64]:
    """By the next LOOK_BITS bits, symbol * 64 + length where a codeword is among them: int64[2**LOOK_BITS]."""
    short = code.order[lengths[code.order] <= LOOK_BITS]
    filled = np.repeat(short * 64 + lengths[short], 2 ** (LOOK_BITS - lengths[short]))
    return np.concatenate([filled, np.zeros(2**LOOK_BITS - len(filled), dtype=np.int64)])


def _counts(counts: ArrayLike) -> NDArray[np.int64]:
    array = as_array("counts", counts)
    _require_integers("counts", array)
    _require_alphabet("counts", array)
    low, total = int(array.min()), sum(int(count) for count in array)
    require(low >= 0, "counts", low, "must be >= 0")
    require(total <= MAX_TOTAL, "counts", f"{total} in all", f"must be at most {MAX_TOTAL} in all")
    return array.astype(np.int64)


def _lengths(lengths: ArrayLike) -> NDArray[np.int64]:
    array = as_array("lengths", lengths)
    _require_integers("lengths", array)
    _require_alphabet("lengths", array)
    low, high = int(array.min()), int(array.max())
    require(low >= 0 and high <= MAX_LENGTH, "lengths", low if low < 0 else high, f"must be in 0..{MAX_LENGTH} bits")
    checked = array.astype(np.int64)
    used = checked[checked > 0]
    if len(used) > 1 or high > 1:
        taken = int((1 << (MAX_LENGTH - used)).sum())  # Kraft's sum in units of 2**-MAX_LENGTH
        rule = "must be those of a full prefix code, for which Kraft's sum is 1"
        require(taken == 2**MAX_LENGTH, "lengths", f"Kraft sum {taken / 2**MAX_LENGTH}", rule)
    return checked


def _symbols(symbols: ArrayLike, n_alphabet: int) -> NDArray[np.uint8]:
    array = as_array("symbols", symbols)
    require(array.ndim == 1, "symbols", f"shape {array.shape}", "must have 1 dimension")
    if array.size == 0:
        return np.zeros(0, dtype=np.uint8)
    _require_integers("symbols", array)
    low, high = int(array.min()), int(array.max())
    require(low >= 0 and high < n_alphabet, "symbols", low if low < 0 else high, f"must be in 0..{n_alphabet - 1}")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _data(data: Any, n_bits: int) -> NDArray[np.uint8]:
    array = np.frombuffer(data, dtype=np.uint8) if isinstance(data, bytes) else as_array("data", data)
    require(array.size == 0 or array.dtype == np.uint8, "data", f"dtype {array.dtype}", "must be bytes or uint8")
    require_int("n_bits", n_bits, 0)
    n_byte = (int(n_bits) + 7) // 8
    require(array.shape == (n_byte,), "data", f"shape {array.shape}", f"must be ({n_byte},), as n_bits = {n_bits}")
    n_unused = 8 * n_byte - int(n_bits)
    require(n_unused == 0 or not array[-1] & (1 << n_unused) - 1, "data", f"byte {n_byte - 1}", "must end in 0 bits")
    return np.ascontiguousarray(array, dtype=np.uint8)


def _require_codewords(counts: NDArray[np.int64], lengths: NDArray[np.int64]) -> None:
    without = np.flatnonzero((counts > 0) & (lengths == 0))
    if len(without):
        raise InputError(f"symbols={without[0]}: must have a codeword, its length is 0")


def _require_integers(field: str, array: NDArray[Any]) -> None:
    require(array.dtype.kind in "iu", field, f"dtype {array.dtype}", "must be integers")


def _require_alphabet(field: str, array: NDArray[Any]) -> None:
    ok = array.ndim == 1 and 2 <= array.size <= MAX_ALPHABET
    require(ok, field, f"shape {array.shape}", f"must be one for each of 2 to {MAX_ALPHABET} symbols")
