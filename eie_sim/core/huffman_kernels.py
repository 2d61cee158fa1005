"""The two loops of Huffman coding, where each symbol starts at the bit the one before it ended at.

`huffman` checks what they are given, and loads them where a stream is coded: a size alone needs no compiler.
"""

from __future__ import annotations

import numpy as np

from eie_sim.core.huffman import LOOK_BITS
from eie_sim.core.jit import kernel


# Before each symbol all bits are written but the last n_held, fewer than 8, which `held` has: they fill no byte yet.
# With a codeword of at most 31 bits they fit 64.
@kernel
def encode(symbols, words, lengths, stream):
    """Write the codewords, highest bit first, into `stream`; unused bits of its last byte stay 0.

    symbols : uint8[n_symbol], each with a codeword; words, lengths : int64[n], codeword of each symbol and its bits
    stream : uint8, exactly as many bytes as the codewords need
    """
    held = np.int64(0)
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


# Before symbol i, the symbols before it took `used` bits, and `held` has the n_held bits that follow, once it is filled
# as many as the longest codeword. Codewords of one length are consecutive numbers from first[length] on, and the prefix
# of a longer codeword is a larger number than all of them: the least length whose codewords hold it is the right one.
@kernel
def decode(stream, n_bits, code, look_up, symbols):
    """Fill `symbols` from the stream; returns (symbols decoded, bits they took).

    Ends early where no codeword fits, which takes no bits, and after a codeword that goes beyond `n_bits`.
    stream : uint8; beyond its end bits read as 0
    code : `huffman.Canonical`
    look_up : int64[2**LOOK_BITS], by the next bits: symbol * 64 + length, 0 where no codeword is that short
    """
    first, n_word, offset, order = code
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
        entry = look_up[held >> (n_held - LOOK_BITS)]
        length = entry & 63
        symbol = entry >> 6
        if length == 0:
            length = LOOK_BITS + 1
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
