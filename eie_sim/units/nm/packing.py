"""The kernels that pick the kept values of an N:M matrix out of a dense one, and put them back.

N of N:M is the number **kept** in each group of M along the inputs.
"""

from __future__ import annotations

from eie_sim.jit import kernel


@kernel
def pack(dense, n_keep, m_group, tiny, values, positions):
    """Keep the non-zeros of every group in order of position; returns row * n_group + group of one too full, or -1.

    dense : [n_out, n_in], C order; values of magnitude up to `tiny` (of the same type) are zeros, NaN is not
    values, positions : [n_out, n_in // m_group * n_keep], written: type of `dense`, and uint8

    A group with fewer non-zeros is completed by zeros at the lowest free positions among its last n_keep. There are
    enough: of the last n_keep, only those with a non-zero are taken. For 2:4 these are the pairs the vendor's tools
    write: (2, 3) for no non-zero or a third or fourth only, (0, 2) for a first only, (1, 2) for a second only.
    """
    n_group = dense.shape[1] // m_group
    for row in range(dense.shape[0]):
        for group in range(n_group):
            start = group * m_group
            count = 0
            for position in range(m_group):
                count += not (-tiny <= dense[row, start + position] <= tiny)
            if count > n_keep:
                return row * n_group + group
            missing = n_keep - count
            at = group * n_keep
            for position in range(m_group):
                value = dense[row, start + position]
                if not (-tiny <= value <= tiny):
                    values[row, at] = value
                    positions[row, at] = position
                    at += 1
                elif missing > 0 and position >= m_group - n_keep:
                    values[row, at] = 0
                    positions[row, at] = position
                    at += 1
                    missing -= 1
    return -1


@kernel
def unpack(values, positions, n_keep, m_group, dense):
    """Put the kept values of every group at their positions of `dense`, [n_out, n_in] of zeros."""
    for row in range(values.shape[0]):
        for at in range(values.shape[1]):
            dense[row, at // n_keep * m_group + positions[row, at]] = values[row, at]
