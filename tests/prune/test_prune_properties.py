"""What holds for any scores: counts, quotas, order, symmetry; and agreement with a slow and plain selection."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import EieConfig
from eie_sim.prune import globally, is_nm, keep_count, locally, pattern
from eie_sim.prune import order as ordering

GROUPED = [pattern.element(), pattern.block(2, 3), pattern.neuron(), pattern.input(), pattern.neuron(reduce="l2")]
PATTERNS = [*GROUPED, pattern.per_row(), pattern.balanced(EieConfig(n_pe=3)), pattern.balanced(EieConfig(n_pe=3), 2)]

seeds = st.integers(0, 2**32)
densities = st.decimals(0, 1, places=3).map(float)
sizes = st.integers(1, 5)


def by_name(chosen):
    return getattr(chosen, "name", "") + getattr(chosen, "reduce", "")


def tie_free(rng, shape):
    """Integers, so that sums are exact, without equal sums of groups (as good as surely)."""
    return rng.permutation(math.prod(shape)).reshape(shape) * 1000.0 + rng.integers(0, 1000, shape)


def plainly(row, count):
    """Mask of the `count` last in the order of (score, place)."""
    mask = np.zeros(len(row), dtype=bool)
    places = sorted(range(len(row)), key=lambda place: (row[place], place))
    mask[places[len(row) - count :]] = True
    return mask


@given(st.data(), seeds)
def test_top_is_the_plain_order(data, seed):
    """Few different values, so that there are ties everywhere; long rows of mostly one value too."""
    rng = np.random.default_rng(seed)
    length = data.draw(st.sampled_from([1, 2, 5, 40, 300]))
    rows = rng.integers(0, data.draw(st.sampled_from([1, 3, 1000])), (4, length)).astype(np.float32)
    rows[rng.random(rows.shape) < data.draw(st.sampled_from([0, 0.3, 0.95]))] = data.draw(
        st.sampled_from([0, -np.inf, -5, 2])
    )
    room = np.count_nonzero(rows > -np.inf, axis=1)
    counts = rng.integers(0, room + 1)
    mask = ordering.top(rows, counts)
    assert [row.tolist() for row in mask] == [
        plainly(row, count).tolist() for row, count in zip(rows, counts, strict=True)
    ]


def test_top_in_chunks(monkeypatch):
    rng = np.random.default_rng(0)
    rows, counts = rng.integers(0, 4, (50, 6)).astype(np.float64), rng.integers(0, 7, 50)
    whole = ordering.top(rows, counts)
    monkeypatch.setattr(ordering, "CHUNK", 20)
    assert np.array_equal(ordering.top(rows, counts), whole)


@pytest.mark.parametrize("chosen", PATTERNS, ids=by_name)
@given(seed=seeds, density=densities, high=sizes, wide=sizes)
def test_counts_are_exact(chosen, seed, density, high, wide):
    shape = (2 * high, 3 * wide)
    result = chosen.prune(np.random.default_rng(seed).integers(0, 4, shape), density)
    if chosen.name == "per_row":
        expected = shape[0] * keep_count(density, shape[1])
    else:
        grain = chosen.grain(shape)
        expected = keep_count(density, grain) * (math.prod(shape) // grain)
    assert result.kept == np.count_nonzero(result.mask) == expected
    assert result.total == math.prod(shape)
    assert result.asked == density


@pytest.mark.parametrize("chosen", GROUPED, ids=by_name)
@given(seed=seeds, density=densities, high=sizes, wide=sizes)
def test_groups_stay_whole_and_no_better_one_goes(chosen, seed, density, high, wide):
    scores = np.random.default_rng(seed).integers(0, 9, (2 * high, 3 * wide))
    groups = chosen.rank(scores)
    mask = chosen.prune(scores, density).mask
    kept = chosen.rank(mask) > 0
    assert np.array_equal(chosen.expand(kept, scores.shape), mask)
    assert groups[kept].min(initial=np.inf) >= groups[~kept].max(initial=0)


@pytest.mark.parametrize("chosen", [*GROUPED, pattern.per_row()], ids=by_name)
@given(seed=seeds, density=densities, high=sizes, wide=sizes)
def test_masks_move_with_the_weights(chosen, seed, density, high, wide):
    """Rows and columns of groups change places, and the mask with them; without ties the order is of scores alone."""
    rng = np.random.default_rng(seed)
    shape = (2 * high, 3 * wide)
    rows = (2 * rng.permutation(high)[:, None] + np.arange(2)).ravel()
    columns = (3 * rng.permutation(wide)[:, None] + np.arange(3)).ravel()
    scores = tie_free(rng, shape)
    moved = chosen.prune(scores[rows][:, columns], density).mask
    assert np.array_equal(moved, chosen.prune(scores, density).mask[rows][:, columns])


@given(seed=seeds, density=densities, n_pe=st.integers(1, 4), high=sizes, wide=sizes)
def test_balanced_masks_move_with_the_rows_of_a_pe(seed, density, n_pe, high, wide):
    rng = np.random.default_rng(seed)
    scores = tie_free(rng, (n_pe * high, wide))
    rows = np.arange(n_pe * high).reshape(high, n_pe)
    rows = np.stack([rng.permutation(rows[:, pe]) for pe in range(n_pe)], axis=1)[:, rng.permutation(n_pe)].ravel()
    chosen = pattern.balanced(EieConfig(n_pe=n_pe))
    assert np.array_equal(chosen.prune(scores[rows], density).mask, chosen.prune(scores, density).mask[rows])


@given(
    seed=seeds,
    density=densities,
    n_pe=st.integers(1, 6),
    shape=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    window=st.none() | st.integers(1, 13),
    alive=st.sampled_from([1.0, 0.6]),
)
def test_balanced_quotas_are_met(seed, density, n_pe, shape, window, alive):
    """Whatever is not full differs by at most one, over PEs and over a PE's windows of one width."""
    rng = np.random.default_rng(seed)
    before = rng.random(shape) < alive
    if keep_count(density, math.prod(shape)) > before.sum():
        density = 0.0
    scores = rng.integers(0, 5, shape)
    mask = pattern.balanced(EieConfig(n_pe=n_pe), window).prune(scores, density, within=before).mask
    assert mask.sum() == keep_count(density, math.prod(shape))
    assert not (mask & ~before).any()
    width = window or shape[1]
    of_pe = [(int(mask[pe::n_pe].sum()), int(before[pe::n_pe].sum())) for pe in range(n_pe)]
    assert_equal_as_far_as_possible(of_pe)
    for pe in range(n_pe):
        windows = [
            (int(mask[pe::n_pe, start : start + width].sum()), int(before[pe::n_pe, start : start + width].sum()))
            for start in range(0, shape[1] - shape[1] % width, width)
        ]
        assert_equal_as_far_as_possible(windows)


def assert_equal_as_far_as_possible(parts):
    """Pairs of (kept, room): those with room left are within one of each other and of no fewer than the full."""
    open_parts = [kept for kept, room in parts if kept < room]
    if open_parts:
        assert max(open_parts) - min(open_parts) <= 1
        assert all(kept <= min(open_parts) + 1 for kept, room in parts if kept == room)


@given(seed=seeds, density=densities, n_pe=st.integers(1, 5), high=st.integers(1, 12), wide=st.integers(1, 12))
def test_balanced_keeps_the_best_of_every_pe(seed, density, n_pe, high, wide):
    scores = np.random.default_rng(seed).integers(0, 6, (high, wide)).astype(float)
    mask = pattern.balanced(EieConfig(n_pe=n_pe)).prune(scores, density).mask
    for pe in range(n_pe):
        of_pe = mask[pe::n_pe].ravel()
        assert np.array_equal(of_pe, plainly(scores[pe::n_pe].ravel(), int(of_pe.sum())))


@given(seed=seeds, m_group=st.integers(1, 17), data=st.data(), high=sizes, wide=sizes)
def test_nm_masks_are_nm_and_keep_the_best(seed, m_group, data, high, wide):
    n_keep = data.draw(st.integers(1, m_group))
    rest = data.draw(st.integers(0, m_group - 1), label="inputs of a last group that is not whole")
    scores = np.random.default_rng(seed).integers(0, 4, (high, wide * m_group + rest))
    result = pattern.nm(n_keep, m_group).prune(scores)
    assert result.mask.shape == scores.shape
    assert is_nm(result.mask, n_keep, m_group)
    assert n_keep == 1 or not is_nm(result.mask, n_keep - 1, m_group)
    assert result.kept == high * (wide * n_keep + min(n_keep, rest))
    assert result.asked == pytest.approx(float(Fraction(n_keep, m_group)))
    for first in range(0, scores.shape[1], m_group):
        group = slice(first, first + m_group)
        for row, kept in zip(scores[:, group], result.mask[:, group], strict=True):
            assert np.array_equal(plainly(row, min(n_keep, len(row))), kept)


@pytest.mark.parametrize("normalise", ["none", "sum", "mean", "max", "standarization", "gaussian", "lamp"])
@given(data=st.data(), seed=seeds, density=densities, high=sizes, wide=sizes)
def test_over_one_layer_global_is_local(data, normalise, seed, density, high, wide):
    chosen, floor = data.draw(st.sampled_from(GROUPED)), data.draw(st.sampled_from([0.0, 0.2]))
    layers = {"fc": np.random.default_rng(seed).integers(0, 6, (2 * high, 3 * wide))}
    floor = min(floor, density)
    one = globally(layers, density, pattern=chosen, normalise=normalise, floor=floor)
    other = locally(layers, density, pattern=chosen, floor=floor)
    assert np.array_equal(one.masks["fc"], other.masks["fc"])


@given(seed=seeds, density=densities, floors=st.tuples(densities, densities))
def test_global_counts_are_exact_and_floors_hold(seed, density, floors):
    rng = np.random.default_rng(seed)
    layers = {"a": rng.integers(0, 9, (3, 4)), "b": rng.integers(0, 90, (5, 7))}
    floor = dict(zip(layers, (Fraction(str(min(each, density))) for each in floors), strict=True))
    selection = globally(layers, density, floor=floor)
    assert all(selection.layers[name].kept >= floor[name] * layers[name].size for name in layers)
    least = sum(math.ceil(floor[name] * layers[name].size) for name in layers)
    assert selection.kept == max(least, keep_count(density, 12 + 35))


@given(seed=seeds, density=densities, sizes=st.lists(st.tuples(sizes, sizes), min_size=1, max_size=3))
def test_global_groups_go_in_order_until_nearest(seed, density, sizes):
    rng = np.random.default_rng(seed)
    layers = {str(at): rng.integers(0, 5, shape).astype(float) for at, shape in enumerate(sizes)}
    selection = globally(layers, density, pattern=pattern.neuron())
    rows = sorted(
        (row.sum(), at, place, row.size) for at, w in enumerate(layers.values()) for place, row in enumerate(w)
    )
    gone = [0, *np.cumsum([size for *_, size in rows]).tolist()]
    target = (1 - Fraction(str(density))) * gone[-1]
    n_gone = min(range(len(gone)), key=lambda n: (abs(gone[n] - target), n % 2))
    for _, at, place, _ in rows[:n_gone]:
        assert not selection.masks[str(at)][place].any()
    assert selection.kept == gone[-1] - gone[n_gone]
