"""N:M patterns, N **kept** of each M neighbours along the inputs, written `2:4` wherever a person writes one.

Inputs that M does not divide are padded with zeros: the last group, of r < M real ones, keeps at most min(N, r).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from eie_sim.core.errors import refused, require, require_int

if TYPE_CHECKING:
    from numpy.typing import NDArray

Pattern = tuple[int, int]
"""(N, M)."""

DENSE: Pattern = (1, 1)
"""The pattern that keeps everything and has no metadata."""

FEW_ROWS = 16
"""Looked at first: of weights that do not meet a pattern these hardly ever do."""

MAX_GROUP = 256
"""Largest M: positions in a group are bytes."""

FORM = re.compile("([1-9][0-9]{0,2}):([1-9][0-9]{0,2})")
RULE = f"must be N:M, N kept of each M, as 2:4, with 1 <= N <= M <= {MAX_GROUP}"


def pattern_of(field: str, text: str) -> Pattern:
    """(2, 4) of `2:4`. Raises InputError that names the field, for any other text, and unless 1 <= N <= M <= 256."""
    found = FORM.fullmatch(text)
    if found is None:
        raise refused(field, text, RULE)
    n_keep, m_group = int(found[1]), int(found[2])
    require(n_keep <= m_group <= MAX_GROUP, field, text, RULE)
    return n_keep, m_group


def meant(text: str) -> bool:
    """True if this is meant as an N:M pattern, right or wrong; no other pattern has digits."""
    return text.lower() == "nm" or re.search("[0-9:]", text) is not None


def require_pattern(pattern: Pattern) -> None:
    """Raise InputError unless 1 <= N <= M <= 256."""
    n_keep, m_group = pattern
    require_int("m_group", m_group, 1, MAX_GROUP)
    require_int("n_keep", n_keep, 1)
    require(n_keep <= m_group, "n_keep", n_keep, f"must be at most m_group={m_group}; N of N:M is the number kept")


def said(pattern: Pattern) -> str:
    """A pattern as people write it."""
    return "dense" if pattern[0] == pattern[1] else f"{pattern[0]}:{pattern[1]}"


def position_bits(pattern: Pattern) -> int:
    """Bits of the position of a kept value, ceil(log2 M) and at least 1; none for dense."""
    n_keep, m_group = pattern
    return 0 if n_keep == m_group else max(1, (m_group - 1).bit_length())


def whole_groups(size: int, pattern: Pattern) -> int:
    """`size` inputs, padded to a multiple of M; dense is not padded."""
    n_keep, m_group = pattern
    return size if n_keep == m_group else -(-size // m_group) * m_group


def kept_of(size: int, pattern: Pattern) -> int:
    """Weights kept of `size` inputs; of a last group with r of them, min(N, r)."""
    n_keep, m_group = pattern
    return size // m_group * n_keep + min(size % m_group, n_keep)


def sparsest(
    patterns: Iterable[Pattern], sides: Callable[[Pattern], Sequence[int]], met: Callable[[Pattern], bool]
) -> Pattern:
    """Return the pattern that keeps the fewest of some matrices that meet it; dense where none keeps fewer than all.

    On a tie it is the one that pads inputs the least, then the first.

    sides : pattern -> inputs of each matrix, as they are stored for it
    met : pattern -> whether all matrices do
    """

    def size(pattern: Pattern) -> tuple[int, int]:
        n_keep, m_group = pattern
        n_in = sum(whole_groups(side, pattern) for side in sides(pattern))
        return n_in // m_group * n_keep, n_in

    of_all, _ = size(DENSE)
    fewer = sorted((one for one in patterns if size(one)[0] < of_all), key=size)
    return next(filter(met, fewer), DENSE)


def meets(weights: NDArray[Any], pattern: Pattern) -> bool:
    """True if weights [n_out, n_in] have at most as many non-zeros as the pattern keeps in every group along n_in."""
    import numpy as np

    kept, group = pattern

    def part_meets(part: NDArray[Any]) -> bool:
        filled = np.pad(part != 0, ((0, 0), (0, -part.shape[1] % group)))
        return bool((np.count_nonzero(filled.reshape(-1, group), axis=1) <= kept).all())

    return part_meets(weights[:FEW_ROWS]) and part_meets(weights[FEW_ROWS:])
