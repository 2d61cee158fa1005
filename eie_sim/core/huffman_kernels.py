"""The two loops of Huffman coding, where each symbol starts at the bit the one before it ended at.

`huffman` checks what they are given, and loads them where a stream is coded: a size alone needs no compiler.
"""

from __future__ import annotations

import numpy as np

from eie_sim.core.jit import kernel


@kernel
def encode(symbols, words, lengths, stream):
    """Write the codewords, highest bit first, into `stream`; unused bits of its last byte stay 0.

    symbols : uint8[n_symbol], each with a codeword; words, lengths : int64[n], codeword of each symbol and its bits
    stream : uint8, exactly as many bytes as the codewords need
    """
    held = np.int64(0)  # bits that do not fill a byte yet, at most 7 between symbols
    n_held = np.int64(0)
    at = 0
    for i in range(len(symbols)):
        symbol = symbols[i]
        n_held += lengths[symbol]
        held = held << lengths[symbol] | words[symbol]
        while n_held >= 8:
            n_held -= 8
            stream[at] = held >> n_held & 255
            at += 1
        held &= (np.int64(1) << n_held) - 1
    if n_held > 0:
        stream[at] = held << (8 - n_held) & 255


@kernel
def decode(stream, n_bits, look_bits, table, first, n_word, offset, order, symbols):
    """Fill `symbols` from the stream; returns (symbols decoded, bits they took).

    Ends early where no codeword fits, which takes no bits, and after a codeword that goes beyond `n_bits`.
    stream : uint8; beyond its end bits read as 0
    table : int64[2**look_bits], by the next bits: symbol * 64 + length, 0 where no codeword is that short
    first, n_word : int64[max_length + 1], by length: the lowest codeword, and how many there are
    offset : int64[max_length + 1], where a length's symbols begin in order : int64, symbols by codeword
    """
    max_length = len(first) - 1
    held = np.int64(0)
    n_held = np.int64(0)
    at = 0
    used = np.int64(0)
    for i in range(len(symbols)):
        while n_held < max_length:
            byte = np.int64(stream[at]) if at < len(stream) else np.int64(0)
            held = held << 8 | byte
            at += 1
            n_held += 8
        entry = table[held >> (n_held - look_bits)]
        length = entry & 63
        symbol = entry >> 6
        if length == 0:
            length = look_bits + 1
            while length <= max_length and (held >> (n_held - length)) - first[length] >= n_word[length]:
                length += 1
            if length > max_length:
                return i, used
            symbol = order[offset[length] + (held >> (n_held - length)) - first[length]]
        used += length
        if used > n_bits:
            return i, used
        n_held -= length
        held &= (np.int64(1) << n_held) - 1
        symbols[i] = symbol
    return len(symbols), used
