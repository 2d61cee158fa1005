"""Each pattern on arrays small enough to check by eye."""

import pickle

import numpy as np
import pytest

from eie_sim import EieConfig
from eie_sim.core.errors import InputError
from eie_sim.prune import check_nm, is_nm, magnitude, pattern, score


def kept(result):
    return result.mask.astype(int).tolist()


def pes(n_pe):
    return EieConfig(n_pe=n_pe)


def test_element():
    result = pattern.element().prune([[4, 1, 3], [0, 5, 2]], 0.5)
    assert kept(result) == [[1, 0, 1], [0, 1, 0]]
    assert (result.asked, result.achieved, result.kept, result.total) == (0.5, 0.5, 3, 6)


def test_the_lower_index_of_equals_goes_first():
    assert kept(pattern.element().prune([1, 1, 1, 1, 1], 0.4)) == [0, 0, 0, 1, 1]
    assert kept(pattern.element().prune([2, 1, 1, 1, 3], 0.6)) == [1, 0, 0, 1, 1]
    assert kept(pattern.neuron().prune(np.ones((4, 2)), 0.5)) == [[0, 0], [0, 0], [1, 1], [1, 1]]


def test_magnitude_is_element_by_l1():
    weights = np.array([[-4.0, 1, 3], [0, -5, 2]])
    assert kept(magnitude(weights, density=0.5)) == kept(pattern.element().prune(score.l1(weights), 0.5))


def test_element_takes_any_shape_and_order_in_memory():
    scores = np.arange(24.0).reshape(2, 3, 4)
    mask = pattern.element().prune(np.asfortranarray(scores), 0.25).mask
    assert np.array_equal(mask, scores >= 18)
    assert mask.flags.writeable


@pytest.mark.parametrize("kind", ["f2", "f4", ">f4", "f8", "longdouble", "i1", "i8", "u2", "?"])
def test_types_of_scores_make_no_difference(kind):
    """Rows that are long and mostly zero take a way of their own."""
    scores = np.random.default_rng(0).integers(-30, 3, (8, 300)).clip(0).astype(kind)
    for chosen in (pattern.element(), pattern.per_row(), pattern.neuron(), pattern.balanced(pes(2)), pattern.nm(1, 2)):
        density = None if chosen == pattern.nm(1, 2) else 0.03
        assert kept(chosen.prune(scores, density)) == kept(chosen.prune(scores.astype("f8"), density))


def test_block():
    """Sums of the 2 x 2 blocks are 10, 12; 9, 11: half of them, 12 and 11, stay."""
    scores = [[9, 1, 3, 3], [0, 0, 3, 3], [4, 4, 0, 0], [1, 0, 0, 11]]
    half = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert kept(pattern.block(2, 2).prune(scores, 0.5)) == half
    largest = [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 1]]
    assert kept(pattern.block(2, 2, reduce="max").prune(scores, 0.5)) == largest


@pytest.mark.parametrize(
    ("reduce", "expected"),
    [
        ("sum", [12, 9]),
        ("mean", [3, 2.25]),
        ("max", [8, 4]),
        ("first", [8, 1]),
        ("last", [1, 4]),
        ("l2", [70**0.5, 33**0.5]),
        ("prod", [16 ** (1 / 4), 0]),  # the geometric mean
    ],
)
def test_reductions(reduce, expected):
    members = np.array([[8, 2, 1, 1], [1, 4, 0, 4]], dtype=np.float32)
    assert pattern.neuron(reduce=reduce).rank(members) == pytest.approx(expected)
    blocks = pattern.block(2, 2, reduce=reduce).rank(members.reshape(4, 2))
    assert blocks.ravel() == pytest.approx(expected)


def test_products_of_many_do_not_underflow():
    small, smaller = np.full(1000, 1e-3), np.full(1000, 1e-4)
    assert kept(pattern.neuron(reduce="prod").prune([small, smaller], 0.5))[0] == [1] * 1000


CONV = np.zeros((2, 2, 1, 2))  # (out, in, kh, kw); sums of the kernels are 5, 4; 3, 7
CONV[0, 0, 0] = 1, 4
CONV[0, 1, 0] = 2, 2
CONV[1, 0, 0] = 3, 0
CONV[1, 1, 0] = 0, 7


@pytest.mark.parametrize(
    ("chosen", "kernels"),
    [
        (pattern.kernel(), [[1, 0], [0, 1]]),
        (pattern.filter(), [[0, 0], [1, 1]]),  # 9 and 10
        (pattern.channel(), [[0, 1], [0, 1]]),  # 8 and 11
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_convolutions(chosen, kernels):
    mask = chosen.prune(CONV, 0.5).mask
    assert mask.shape == CONV.shape
    assert mask.any(axis=(2, 3)).tolist() == mask.all(axis=(2, 3)).tolist() == np.array(kernels, dtype=bool).tolist()


def test_neuron_and_input():
    scores = [[1, 2, 3], [3, 3, 3]]
    assert kept(pattern.neuron().prune(scores, 0.5)) == [[0, 0, 0], [1, 1, 1]]
    assert kept(pattern.input().prune(scores, 0.34)) == [[0, 0, 1], [0, 0, 1]]


def test_scores_of_neurons_need_the_shape_of_the_weights():
    """As those of a BatchNorm: one for each row of (3, 2)."""
    result = pattern.neuron().prune(score.bn_scale([-0.5, 0.1, 0.3]), 0.66, shape=(3, 2))
    assert kept(result) == [[1, 1], [0, 0], [1, 1]]
    assert (result.kept, result.total) == (4, 6)
    result = pattern.filter().prune(score.bn_scale([0.1, 0.3]), 0.5, shape=CONV.shape)
    assert result.mask.sum(axis=(1, 2, 3)).tolist() == [0, 4]


def test_half_of_the_groups_is_rounded_half_to_even():
    """0.5 x 5 = 2.5 rows go: 2. 0.5 x 7 = 3.5: 4."""
    assert [pattern.neuron().prune(np.ones((n, 3)), 0.5).kept // 3 for n in (5, 7)] == [3, 3]


def test_nm_keeps_n():
    scores = [[4, 1, 3, 2, 0, 0, 5, 5]]
    assert kept(pattern.nm(2, 4).prune(scores)) == [[1, 0, 1, 0, 0, 0, 1, 1]]
    assert kept(pattern.nm(1, 4).prune(scores)) == [[1, 0, 0, 0, 0, 0, 0, 1]]
    assert kept(pattern.nm(3, 4).prune(scores)) == [[1, 0, 1, 1, 0, 1, 1, 1]]
    assert pattern.nm(1, 4).prune(scores).asked == 0.25
    assert pattern.nm(1, 4).prune(scores, 0.25).kept == 2


def test_nm_prunes_the_lower_of_equals():
    assert kept(pattern.nm(2, 4).prune(np.ones((1, 8)))) == [[0, 0, 1, 1, 0, 0, 1, 1]]
    assert kept(pattern.nm(2, 4).prune([[1, 2, 1, 1], [9, 1, 1, 5]])) == [[0, 1, 0, 1], [1, 0, 0, 1]]


def test_nm_of_a_convolution_groups_input_channels():
    scores = np.zeros((1, 4, 1, 2))
    scores[0, :, 0, 0] = 4, 1, 3, 2
    scores[0, :, 0, 1] = 1, 2, 3, 4
    mask = pattern.nm(2, 4).prune(scores).mask.astype(int)
    assert mask[0, :, 0, 0].tolist() == [1, 0, 1, 0]
    assert mask[0, :, 0, 1].tolist() == [0, 0, 1, 1]


def test_the_validator_names_the_first_group_that_breaks():
    mask = np.array([[1, 1, 0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 1, 1, 0, 1]])
    assert is_nm(mask[:1], 2, 4)
    assert not is_nm(mask, 2, 4)
    assert is_nm(mask, 3, 4)
    check_nm(mask[:1], 2, 4)
    with pytest.raises(InputError) as error:
        check_nm(mask, 2, 4)
    assert str(error.value) == "mask: row 1, group 1 has 3 non-zeros, 2:4 keeps at most 2"


def test_the_validator_takes_convolutions_and_weights():
    weights = np.zeros((1, 4, 1, 2))
    weights[0, :3, 0, 1] = -1
    assert is_nm(weights, 3, 4)
    with pytest.raises(InputError, match="row 1, group 0 has 3 non-zeros, 2:4"):
        check_nm(weights, 2, 4)


# rows 0 and 2 belong to PE 0, rows 1 and 3 to PE 1
FOUR_ROWS = [[8, 7], [1, 2], [6, 5], [3, 4]]


def test_balanced():
    assert kept(pattern.element().prune(FOUR_ROWS, 0.5)) == [[1, 1], [0, 0], [1, 1], [0, 0]]
    assert kept(pattern.balanced(pes(2)).prune(FOUR_ROWS, 0.5)) == [[1, 1], [0, 0], [0, 0], [1, 1]]


def test_the_largest_next_score_takes_what_is_left_over():
    """Of 3, each PE has 1 (8 and 4); the next are 7 and 3."""
    assert kept(pattern.balanced(pes(2)).prune(FOUR_ROWS, 3 / 8)) == [[1, 1], [0, 0], [0, 0], [0, 1]]
    # of equal next scores, that of the higher PE
    assert kept(pattern.balanced(pes(2)).prune(np.ones((2, 2)), 0.25)) == [[0, 0], [0, 1]]


def test_a_pe_with_too_few_rows_keeps_all_it_has():
    """5 of 6: PE 1 has but one row, of 2 weights, so PE 0 keeps 3."""
    assert kept(pattern.balanced(pes(2)).prune([[1, 2], [0, 0], [3, 4]], 5 / 6)) == [[0, 1], [1, 1], [1, 1]]


def test_pes_without_rows_ask_for_nothing():
    assert kept(pattern.balanced(pes(65536)).prune([[1, 2], [4, 3]], 0.5)) == [[0, 1], [1, 0]]


def test_balanced_in_windows():
    """Each of 2 PEs keeps 4 of 8, 2 of them in each window of 2 columns."""
    scores = np.array([[9, 8, 1, 2], [1, 2, 3, 4], [7, 6, 0, 3], [5, 6, 7, 8]])
    assert kept(pattern.balanced(pes(2)).prune(scores, 0.5)) == [
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 1],
    ]
    assert kept(pattern.balanced(pes(2), window=2).prune(scores, 0.5)) == [
        [1, 1, 0, 1],
        [0, 0, 0, 0],
        [0, 0, 0, 1],
        [1, 1, 1, 1],
    ]


def test_windows_of_a_pe_take_what_is_left_over_by_their_next_scores():
    """One PE keeps 3: 1 of each window (9 and 4), and the better of the next, 5 and 3."""
    assert kept(pattern.balanced(pes(1), window=2).prune([[9, 5, 4, 3]], 0.75)) == [[1, 1, 1, 0]]
    assert kept(pattern.balanced(pes(1), window=2).prune([[9, 2, 4, 3]], 0.75)) == [[1, 0, 1, 1]]


def test_a_narrower_last_window_has_a_share_by_its_width():
    """5 of 10 over windows of 4, 4 and 2 columns: 2, 2 and 1, whatever the scores."""
    mask = pattern.balanced(pes(1), window=4).prune([np.arange(10)], 0.5).mask[0]
    assert [int(mask[i : i + 4].sum()) for i in (0, 4, 8)] == [2, 2, 1]


def test_per_row():
    assert kept(pattern.per_row().prune([[3, 1, 2], [9, 8, 7]], 0.34)) == [[1, 0, 0], [1, 0, 0]]
    assert pattern.per_row().prune(CONV, 0.5).mask.sum(axis=(1, 2, 3)).tolist() == [2, 2]


@pytest.mark.parametrize(
    "chosen",
    [pattern.element(), pattern.block(2, 2), pattern.neuron(), pattern.nm(2, 4), pattern.balanced(pes(2), window=4)],
    ids=lambda chosen: chosen.name,
)
def test_patterns_are_values(chosen):
    """They compare, and go to other processes."""
    again = pickle.loads(pickle.dumps(chosen))
    scores = np.random.default_rng(0).random((4, 8))
    assert again == chosen
    assert hash(again) == hash(chosen)
    density = None if chosen == pattern.nm(2, 4) else 0.5
    assert kept(again.prune(scores, density)) == kept(chosen.prune(scores, density))
    assert pattern.block(2, 2) != pattern.block(2, 4)


def test_within_only_survivors_stay():
    scores = np.array([[4, 1, 3], [0, 5, 2]])
    before = np.array([[0, 1, 1], [1, 1, 1]], dtype=bool)
    assert kept(pattern.element().prune(scores, 0.5, within=before)) == [[0, 0, 1], [0, 1, 1]]


def test_density_is_of_the_original_size():
    """torch prunes amount 0.5 twice to a quarter; here density 0.5 twice leaves a half, and 0.25 a quarter."""
    scores = np.arange(8.0)
    half = pattern.element().prune(scores, 0.5).mask
    assert pattern.element().prune(scores, 0.5, within=half).kept == 4
    assert pattern.element().prune(scores, 0.25, within=half).kept == 2


def test_groups_within_an_element_mask():
    """Row 0 has lost its 9, and is the lesser; what had gone stays away."""
    scores, before = [[9, 1], [3, 3], [2, 2]], np.array([[0, 1], [1, 1], [0, 0]], dtype=bool)
    result = pattern.neuron().prune(scores, 1 / 3, within=before)
    assert kept(result) == [[0, 0], [1, 1], [0, 0]]
    both = pattern.neuron().prune(scores, 2 / 3, within=before)
    assert kept(both) == before.astype(int).tolist()
    assert both.achieved == 0.5


def test_quotas_within_a_mask():
    before = np.array([[1, 0, 0, 0, 1, 1, 1, 0]], dtype=bool)
    assert kept(pattern.nm(2, 4).prune([[1, 9, 9, 9, 3, 2, 1, 9]], within=before)) == [[1, 0, 0, 0, 1, 1, 0, 0]]
    # PE 0 has one survivor, so PE 1 keeps two of the three
    before = np.array([[1, 0], [1, 1], [0, 0], [0, 1]], dtype=bool)
    assert kept(pattern.balanced(pes(2)).prune(FOUR_ROWS, 3 / 8, within=before)) == [[1, 0], [0, 1], [0, 0], [0, 1]]


GOOD = np.ones((4, 8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pattern.element().prune(GOOD, 1.5), "density=1.5: must be in 0..1"),
        (lambda: pattern.element().prune(GOOD), "density=None: must be a number in 0..1"),
        (lambda: pattern.element().prune([[1, np.nan]], 0.5), "scores[0, 1]=nan: must be finite"),
        (lambda: pattern.element().prune([1, -2], 0.5), "scores[1]=-2.0: must be >= 0, as score.l1(weights)"),
        (
            lambda: pattern.element().prune(5.0, 0.5),
            "scores=shape (): must have at least one dimension and one element",
        ),
        (
            lambda: pattern.element().prune([], 0.5),
            "scores=shape (0,): must have at least one dimension and one element",
        ),
        (lambda: pattern.nm(5, 4), "n_keep=5: must be at most m_group=4; N of N:M is the number kept"),
        (lambda: pattern.nm(0, 4), "n_keep=0: must be an integer >= 1"),
        (lambda: pattern.nm(2, 0), "m_group=0: must be an integer >= 1"),
        (lambda: pattern.nm(2, 4).prune(GOOD, 0.3), "density=0.3: must be left out, 2:4 has 1/2"),
        (
            lambda: pattern.nm(2, 4).prune(np.ones(8)),
            "scores=shape (8,): must be (out, in) or (out, in, kh, kw) for pattern nm",
        ),
        (
            lambda: pattern.block(3, 4).prune(GOOD, 0.5),
            "scores=shape (4, 8): must be a multiple of the block, 3 x 4; pad 2 rows and 0 columns",
        ),
        (lambda: pattern.block(0, 4), "rows=0: must be an integer >= 1"),
        (
            lambda: pattern.block(2, 2).prune(CONV, 0.5),
            "scores=shape (2, 2, 1, 2): must be (out, in) for pattern block",
        ),
        (
            lambda: pattern.block(2, 2, reduce="median"),
            "reduce=median: must be sum, mean, max, prod, first, last or l2",
        ),
        (lambda: pattern.neuron().prune(CONV, 0.5), "scores=shape (2, 2, 1, 2): must be (out, in) for pattern neuron"),
        (
            lambda: pattern.filter().prune(GOOD, 0.5),
            "scores=shape (4, 8): must be (out, in, kh, kw) for pattern filter",
        ),
        (
            lambda: pattern.neuron().prune([1, 2], 0.5, shape=(4, 8)),
            "scores=shape (2,): must be the weights' shape (4, 8), or (4,), one for each group of neuron",
        ),
        (
            lambda: pattern.nm(2, 4).prune([1, 2], shape=(4, 8)),
            "scores=shape (2,): must be (4, 8), one for each weight",
        ),
        (
            lambda: pattern.per_row().prune([1, 2], 0.5),
            "scores=shape (2,): must be (out, in) or (out, in, kh, kw) for pattern per_row",
        ),
        (lambda: pattern.per_row(rule="sparsegpt"), "rule=sparsegpt: must be torch or wanda"),
        (lambda: pattern.balanced(64), "config=int: must have n_pe"),
        (lambda: pattern.balanced(pes(2), window=0), "window=0: must be an integer >= 1"),
        (
            lambda: pattern.balanced(pes(2)).prune(CONV, 0.5),
            "scores=shape (2, 2, 1, 2): must be (out, in) for pattern balanced",
        ),
        (lambda: pattern.element().prune(GOOD, 0.5, within=GOOD), "within=dtype float64: must be bool"),
        (
            lambda: pattern.element().prune(GOOD, 0.5, within=[True]),
            "within=shape (1,): must be the weights' shape, (4, 8)",
        ),
        (
            lambda: pattern.element().prune(GOOD, 0.5, within=np.zeros((4, 8), dtype=bool)),
            "density=0.5: must not be above 0, what the earlier mask keeps",
        ),
        (
            lambda: pattern.balanced(pes(2)).prune(GOOD, 0.5, within=np.eye(4, 8) > 0),
            "density=0.5: must not be above 0.125, what the earlier mask keeps",
        ),
        (lambda: is_nm(GOOD, 3, 2), "n_keep=3: must be at most m_group=2; N of N:M is the number kept"),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message
