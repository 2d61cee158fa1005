"""The kernels that pick the kept values of an N:M matrix out of a dense one, and put them back.

N of N:M is the number **kept** in each group of M along the inputs.
"""

from __future__ import annotations

import numpy as np

from eie_sim.core.jit import kernel


# Before each position, the first `at` places of the group hold what is kept, in order, and `missing` counts the zeros
# still to be kept: one at any of the last n_keep positions is kept while some are missing. So n_keep places are filled.
@kernel
def _pack(dense, n_keep, m_group, tiny, values, positions):
    """See `pack`."""
    n_group = dense.shape[1] // m_group
    group_values = np.zeros(m_group + 1, dtype=values.dtype)
    group_positions = np.zeros(m_group + 1, dtype=np.uint8)
    zero = values.dtype.type(0)
    for row in range(dense.shape[0]):
        for group in range(n_group):
            start = group * m_group
            count = 0
            for position in range(m_group):
                count += not (-tiny <= dense[row, start + position] <= tiny)
            if count > n_keep:
                return row * n_group + group
            missing = n_keep - count
            at = 0
            for position in range(m_group):  # every one is written, those not kept are overwritten: no branch to guess
                value = dense[row, start + position]
                there = not (-tiny <= value <= tiny)
                completes = (not there) & (missing > 0) & (position >= m_group - n_keep)
                group_values[at] = value if there else zero
                group_positions[at] = position
                at += there | completes
                missing -= completes
            for at in range(n_keep):
                values[row, group * n_keep + at] = group_values[at]
                positions[row, group * n_keep + at] = group_positions[at]
    return -1


@kernel
def pack(dense, n_keep, m_group, tiny, values, positions):
    """Keep the non-zeros of every group in order of position; returns row * n_group + group of one too full, or -1.

    dense : [n_out, n_in], C order; values of magnitude up to `tiny` (of the same type) are zeros, NaN is not
    values, positions : [n_out, n_in // m_group * n_keep], written: type of `dense`, and uint8

    A group with fewer non-zeros is completed by zeros at the lowest free positions among its last n_keep. There are
    enough: of the last n_keep, only those with a non-zero are taken. For 2:4 these are the pairs the vendor's tools
    write: (2, 3) for no non-zero or a third or fourth only, (0, 2) for a first only, (1, 2) for a second only.
    """
    if n_keep == 2 and m_group == 4:  # with the sizes known the compiler unrolls groups, more than twice as fast
        return _pack(dense, 2, 4, tiny, values, positions)
    return _pack(dense, n_keep, m_group, tiny, values, positions)


@kernel
def unpack(values, positions, n_keep, m_group, dense):
    """Put the kept values of every group at their positions of `dense`, [n_out, n_in] of zeros."""
    for row in range(values.shape[0]):
        for group in range(values.shape[1] // n_keep):
            start = np.uint64(group * m_group)
            for at in range(group * n_keep, (group + 1) * n_keep):
                dense[row, start + positions[row, at]] = values[row, at]


@kernel
def round_to_half(values, words, halves):
    """The bits of float16 nearest to float32 values, ties to even; `words` are the bits of the values.

    values : float32[n]; words : uint32[n]; halves : uint16[n], written. What is too large becomes infinite.

    Below 2**-14 numbers of float16 are 2**-24 apart, as those of float32 are from 0.5 to 1. Above, a number is rounded
    where the 13 bits that float16 lacks are cut off, and its exponent is less by 127 - 15.
    """
    for at in range(len(values)):
        size = words[at] & np.uint32(0x7FFFFFFF)
        if size < np.uint32(0x38800000):
            steps = abs(values[at]) + np.float32(0.5) - np.float32(0.5)
            half = np.uint32(steps * np.float32(2**24))
        elif size < np.uint32(0x477FF000):
            odd = (size >> np.uint32(13)) & np.uint32(1)
            half = np.uint32(size - np.uint32(112 << 23) + np.uint32(0xFFF) + odd) >> np.uint32(13)
        else:
            half = np.uint32(0x7E00) if size > np.uint32(0x7F800000) else np.uint32(0x7C00)
        halves[at] = half | (words[at] >> np.uint32(16) & np.uint32(0x8000))
