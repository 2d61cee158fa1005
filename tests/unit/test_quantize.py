import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from eie_sim.core import quantize
from eie_sim.core.errors import InputError
from eie_sim.core.quantize import Scales

weights = hnp.arrays(np.float64, st.integers(1, 60), elements=st.floats(-10, 10, width=32))


def lloyd(values, n_codes):
    """K-means as usually written: give each point to the nearest centroid (the lower on a tie), average, repeat."""
    centroids = np.linspace(values.min(), values.max(), n_codes)
    while True:
        owner = np.array([int(np.argmin([abs(v - c) for c in centroids])) for v in values])
        moved = [values[owner == c].mean() if (owner == c).any() else centroids[c] for c in range(n_codes)]
        if np.allclose(moved, centroids, rtol=0, atol=1e-12):
            return centroids
        centroids = np.array(moved)


def test_two_clear_clusters():
    centroids, thresholds = quantize.cluster(np.array([-3.0, -1.0, 5.0, 7.0]), 2)
    assert centroids.tolist() == [-2.0, 6.0]
    assert thresholds.tolist() == [2.0]


def test_a_cluster_without_weights_stays_where_it_is():
    centroids, _ = quantize.cluster(np.array([0.0, 0.0, 10.0]), 3)
    assert centroids.tolist() == [0.0, 5.0, 10.0]


def test_a_weight_on_a_threshold_goes_to_the_lower_centroid():
    assert quantize.assign(np.array([1.0, 2.0, 2.1]), np.array([2.0])).tolist() == [0, 0, 1]
    assert quantize.cluster(np.array([0.0, 1.0, 2.0]), 2)[0].tolist() == [0.5, 2.0]


@pytest.mark.parametrize("n_threshold", [1, 100])
@pytest.mark.parametrize(("value", "above"), [(0.1, True), (0.7, False)])
def test_float32_weights_are_compared_with_float64_thresholds(value, above, n_threshold):
    """0.1 in float32 is above 0.1 in float64; 0.7 in float32 is below 0.7."""
    owner = quantize.assign(np.array([value], dtype=np.float32), np.full(n_threshold, value))
    assert owner.tolist() == [n_threshold if above else 0]


FLOATS_32 = hnp.arrays(np.float32, st.integers(1, 30), elements=st.floats(-(2.0**100), 2.0**100, width=32))


@given(FLOATS_32, hnp.arrays(np.float64, st.integers(0, 80), elements=st.floats(-(2.0**100), 2.0**100)))
def test_float32_weights_belong_where_the_same_float64_weights_do(values, thresholds):
    near = np.concatenate([thresholds, values, np.nextafter(values.astype(np.float64), 1e38)])
    wide = (values.astype(np.float64)[:, None] > np.sort(near)).sum(axis=1)
    assert quantize.assign(values, np.sort(near)).tolist() == wide.tolist()


def test_thresholds_are_the_middles_in_float64():
    values = np.random.default_rng(2).random(100).astype(np.float32)
    centroids, thresholds = quantize.cluster(values, 2)
    assert centroids.dtype == thresholds.dtype == np.float64
    assert thresholds.tolist() == [float(centroids.mean())] != [float(np.float32(centroids.mean()))]


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-50, 50)))
@pytest.mark.parametrize("n_threshold", [1, 15, 64, 65, 100])
def test_a_cluster_is_the_number_of_thresholds_below(n_threshold, values):
    cuts = np.linspace(-49, 49, n_threshold)
    owner = quantize.assign(values, cuts)
    assert owner.dtype == np.uint8
    assert owner.tolist() == (values[..., None] > cuts).sum(axis=-1).tolist()


@pytest.mark.parametrize("value", [0.8158535541215322, 0.9976487615617867, 0.4473118996992299, 0.1])
@pytest.mark.parametrize("count", range(1, 12))
def test_equal_weights_are_their_own_mean_however_their_sum_rounds(value, count):
    centroids, _ = quantize.cluster(np.array([0.0] + [value] * count), 2)
    assert centroids.tolist() == [0.0, value]


def test_sums_of_float32_are_taken_in_float64():
    values = np.random.default_rng(1).random(10_000).astype(np.float32)
    assert quantize.cluster(values, 1)[0][0] == pytest.approx(math.fsum(values) / 10_000, rel=1e-14)


def rounds_of(values, n_codes, most):
    """Centroids after so many rounds, or those that a round leaves as they are; how many rounds moved them."""
    centroids = np.linspace(values.min(), values.max(), n_codes)
    for done in range(most):
        owner = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values, side="left")
        counts, sums = np.bincount(owner, minlength=n_codes), np.bincount(owner, values, minlength=n_codes)
        moved = np.where(counts > 0, sums / np.maximum(counts, 1), centroids)
        if np.abs(moved - centroids).max() < 1e-13:
            return centroids, done
        centroids = moved
    return centroids, most


def test_k_means_ends_after_300_rounds():
    values = np.linspace(0, 1, 20_000) ** 2
    end, needed = rounds_of(values, 31, 10_000)
    assert needed > 700
    found, _ = quantize.cluster(values, 31)
    np.testing.assert_allclose(found, rounds_of(values, 31, 300)[0], rtol=0, atol=1e-12)
    for other in (299, 301):
        assert np.abs(found - rounds_of(values, 31, other)[0]).max() > 1e-7
    assert np.abs(found - end).max() > 1e-4


def test_centroids_are_means_where_k_means_ends_before_they_repeat(monkeypatch):
    values, small = np.random.default_rng(1).normal(size=1000), np.arange(1, 101) * 1e-30
    for most in (1, 2, 3, 7):
        monkeypatch.setattr(quantize, "MAX_ROUNDS", most)
        np.testing.assert_allclose(quantize.cluster(values, 15)[0], rounds_of(values, 15, most)[0], rtol=0, atol=1e-12)
        near = quantize.cluster(np.concatenate([[-1e30] * 3, small, [1e30] * 4]), 3)[0]
        np.testing.assert_allclose(near, [-1e30, 50.5e-30, 1e30], rtol=1e-6)


@given(weights, st.integers(1, 15))
def test_converged_centroids_are_the_means_of_the_weights_nearest_to_them(values, n_codes):
    centroids, thresholds = quantize.cluster(values, n_codes)
    assert (np.diff(centroids) >= 0).all()
    owner = quantize.assign(values, thresholds)
    distance = np.abs(values[:, None] - centroids)
    np.testing.assert_allclose(distance[np.arange(len(values)), owner], distance.min(axis=1), atol=1e-12)
    for code in np.unique(owner):
        np.testing.assert_allclose(centroids[code], values[owner == code].mean(), atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_weights_beside_huge_ones_keep_their_mean(dtype):
    small = np.arange(1, 101) * 1e-30
    values = np.concatenate([[-1e30] * 3, small, [1e30] * 4]).astype(dtype)
    centroids, thresholds = quantize.cluster(values, 3)
    np.testing.assert_allclose(centroids, [-1e30, 50.5e-30, 1e30], rtol=1e-6)
    assert np.bincount(quantize.assign(values, thresholds)).tolist() == [3, 100, 4]


MAGNITUDES = st.integers(-30, 30).flatmap(lambda power: st.floats(-9, 9, width=32).map(lambda x: x * 10.0**power))


@given(hnp.arrays(np.float64, st.integers(1, 60), elements=MAGNITUDES), st.integers(1, 15))
def test_centroids_are_means_whatever_the_range(values, n_codes):
    centroids, thresholds = quantize.cluster(values, n_codes)
    assert (np.diff(centroids) >= 0).all()
    owner = quantize.assign(values, thresholds)
    for code in np.unique(owner):
        members = values[owner == code]
        tiny = 1e-14 * np.abs(members).sum() / len(members)  # of a sum in any order
        assert abs(centroids[code] - math.fsum(members) / len(members)) <= tiny


def test_agrees_with_lloyd_on_distinct_random_weights():
    values = np.random.default_rng(0).normal(size=300)
    np.testing.assert_allclose(quantize.cluster(values, 15)[0], lloyd(values, 15), atol=1e-9)


@given(weights)
def test_never_worse_than_the_initial_centroids(values):
    def cost(centroids):
        return (np.abs(values[:, None] - centroids).min(axis=1) ** 2).sum()

    centroids, _ = quantize.cluster(values, 7)
    assert cost(centroids) <= cost(np.linspace(values.min(), values.max(), 7)) + 1e-9


def test_no_weights_make_a_codebook_of_zeros():
    centroids, thresholds = quantize.cluster(np.array([]), 3)
    assert centroids.tolist() == [0.0, 0.0, 0.0]
    assert len(thresholds) == 2


@pytest.mark.parametrize(
    ("values", "magnitude"), [([], 0.0), ([1.0, -2.0], 2.0), ([-1.0, 2.0], 2.0), ([-3.0, -2.0], 3.0)]
)
def test_magnitude(values, magnitude):
    assert quantize.magnitude_of(values) == magnitude


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"weight": 15},
        {"weight": -15, "activation": 30},
        {"weight": 30, "activation": -15, "accumulator": 15},
        {"weight": -15, "activation": -15, "accumulator": -30},
        {"weight": 30, "activation": 30, "accumulator": 60},
        {"accumulator": -30},
        {"accumulator": 6},
        {"weight": 1, "accumulator": 6},
        {"activation": 1, "accumulator": 6},
        {"weight": 2, "activation": 3},
        {"weight": 2, "activation": 3, "accumulator": 5},
    ],
)
def test_scales_within_their_rules(given):
    scales = Scales(**given)
    assert scales.to_dict() == {"weight": None, "activation": None, "accumulator": None} | given
    assert scales.complete == (len(given) == 3)


def test_shift_is_what_a_product_has_too_many():
    assert Scales(weight=7, activation=8, accumulator=5).shift == 10
    assert Scales(weight=30, activation=30, accumulator=-30).shift == 90
    assert Scales(weight=-15, activation=-15, accumulator=-30).shift == 0


def test_scales_of_numpy_become_plain():
    bits = Scales(weight=np.int8(9)).weight
    assert (bits, type(bits)) == (9, int)


def test_scales_are_the_largest_that_fit():
    assert quantize.weight_scale(np.array([0.0, -0.9])) == 15
    assert quantize.weight_scale(np.array([0.0, 1.0])) == 14
    assert quantize.activation_scale(np.array([0.5]), has_bias=False) == 15
    assert quantize.activation_scale(np.array([0.5]), has_bias=True) == 14
    assert quantize.accumulator_scale(np.array([0.9]), weight=9, activation=9) == 14
    assert quantize.accumulator_scale(np.array([0.4]), weight=3, activation=4) == 7
    assert quantize.accumulator_scale(np.array([1e9]), weight=3, activation=4) == -16  # 2e9 / 2**16 is 30,518


def test_scales_end_where_their_ranges_do():
    """1e-6 x 2**30 is 1074, which has room for more; 1e10 / 2**15 is 305,176, which saturates."""
    for value, bits in ((1e-6, 30), (1e6, -5), (1e9, -15), (1e10, -15), (0.0, 0)):
        assert quantize.weight_scale(np.array([0.0, -value])) == bits
        assert quantize.activation_scale(np.array([value]), has_bias=False) == bits
        assert quantize.activation_scale(np.array([value]), has_bias=True) == min(max(bits, 0), 14)
    assert quantize.accumulator_scale(np.array([1e-15]), weight=30, activation=30) == 60
    assert quantize.accumulator_scale(np.array([1e15]), weight=30, activation=30) == -30


def test_all_zero_data_take_0_or_the_sum_where_that_is_less():
    nothing = np.zeros((0, 3))
    assert quantize.weight_scale(np.zeros(16)) == 0
    assert [quantize.activation_scale(nothing, has_bias=bias) for bias in (False, True)] == [0, 0]
    assert quantize.accumulator_scale(np.zeros(2), weight=3, activation=4) == 0
    assert quantize.accumulator_scale(nothing, weight=-3, activation=1) == -2


@pytest.mark.parametrize(
    ("scales", "message"),
    [
        ({"weight": 31}, "scales.weight=31: must be an integer in -15..30"),
        ({"activation": -16}, "scales.activation=-16: must be an integer in -15..30"),
        ({"accumulator": 1.0}, "scales.accumulator=1.0: must be an integer in -30..60"),
        ({"accumulator": 61}, "scales.accumulator=61: must be an integer in -30..60"),
        ({"accumulator": -31}, "scales.accumulator=-31: must be an integer in -30..60"),
        (
            {"weight": -9, "activation": 2, "accumulator": 0},
            "scales.accumulator=0: must be <= weight + activation = -7",
        ),
        ({"weight": 2, "activation": 3, "accumulator": 6}, "scales.accumulator=6: must be <= weight + activation = 5"),
    ],
)
def test_scales_out_of_range(scales, message):
    with pytest.raises(InputError) as error:
        Scales(**scales)
    assert str(error.value) == message
