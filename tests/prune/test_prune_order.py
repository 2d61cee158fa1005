"""The largest of each row, beside a full sort: short rows, vast rows, equal scores, scores that mislead a sample."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.prune import order
from eie_sim.prune.order import SAMPLE_STEP, VAST, kth_largest, top


def by_sorting(rows, counts):
    """The mask of a stable sort: of equal scores the first go first."""
    places = np.argsort(rows, axis=1, kind="stable")
    mask = np.zeros(rows.shape, dtype=bool)
    for row, count in enumerate(np.broadcast_to(counts, len(rows))):
        mask[row, places[row, rows.shape[1] - count :]] = True
    return mask


@given(st.integers(1, 12), st.integers(1, 30), st.integers(0, 2), st.booleans(), st.integers(0, 2**32))
def test_short_rows(length, n_row, digits, same, seed):
    rng = np.random.default_rng(seed)
    rows = np.round(np.abs(rng.standard_normal((n_row, length))), digits)
    before = rows.copy()
    counts = int(rng.integers(0, length + 1)) if same else rng.integers(0, length + 1, n_row)
    np.testing.assert_array_equal(top(rows, counts), by_sorting(rows, counts))
    np.testing.assert_array_equal(rows, before)


def scores(kind):
    rng = np.random.default_rng(7)
    row = np.abs(rng.standard_normal(VAST + 12_345)).astype(np.float32)
    if kind == "few values":
        return np.round(row, 1)
    if kind == "mostly zero":
        return np.where(rng.random(row.size) < 0.9, np.float32(0), row)
    if kind == "ascending":
        return np.sort(row)
    if kind == "in step with the sample":
        row[::SAMPLE_STEP] += 9
    return row


@pytest.mark.parametrize("kind", ["plain", "few values", "mostly zero", "ascending", "in step with the sample"])
def test_vast_rows(kind):
    row = scores(kind)
    ordered = np.sort(row)[::-1]
    for count in (1, 2, row.size // 10, row.size // 2, row.size - 1, row.size):
        assert kth_largest(row[None], count)[0] == ordered[count - 1]
    count = row.size // 10
    np.testing.assert_array_equal(top(row[None], count), by_sorting(row[None], count))


def test_vast_rows_are_not_partitioned_whole(monkeypatch):
    monkeypatch.setattr(order, "_place", None)
    row = scores("plain")
    assert kth_largest(row[None], row.size // 10)[0] == np.sort(row)[-(row.size // 10)]
