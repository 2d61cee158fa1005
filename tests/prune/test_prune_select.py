"""Several layers: each on its own, or by one threshold."""

import math

import numpy as np
import pytest

from eie_sim import EieConfig
from eie_sim.core.errors import InputError
from eie_sim.prune import globally, locally, pattern, score

LAYERS = {"small": np.array([[1.0, 2], [3, 4]]), "large": np.array([[10.0, 20, 30, 40], [50, 60, 70, 80]])}


def kept(selection):
    return {name: layer.mask.astype(int).tolist() for name, layer in selection.layers.items()}


def counts(selection):
    return [layer.kept for layer in selection.layers.values()]


def test_locally_every_layer_has_the_density():
    selection = locally(LAYERS, 0.5)
    assert kept(selection) == {"small": [[0, 0], [1, 1]], "large": [[0, 0, 0, 0], [1, 1, 1, 1]]}
    assert (selection.asked, selection.achieved, selection.kept, selection.total) == (0.5, 0.5, 6, 12)
    assert selection.warnings == ()
    assert selection.masks["small"] is selection.layers["small"].mask


def test_a_density_for_each_layer():
    selection = locally(LAYERS, {"small": 1.0, "large": 0.25})
    assert counts(selection) == [4, 2]
    assert selection.asked == 0.5
    assert [layer.asked for layer in selection.layers.values()] == [1.0, 0.25]


def test_a_pattern_for_each_layer():
    chosen = {"small": pattern.balanced(EieConfig(n_pe=2)), "large": pattern.nm(1, 4)}
    selection = locally(LAYERS, {"small": 0.5, "large": None}, pattern=chosen)
    assert kept(selection) == {"small": [[0, 1], [0, 1]], "large": [[0, 0, 0, 1], [0, 0, 0, 1]]}


def test_globally_one_threshold():
    """Of 12 weights 6 go: all of the small layer, and 10, 20."""
    selection = globally(LAYERS, 0.5)
    assert kept(selection) == {"small": [[0, 0], [0, 0]], "large": [[0, 0, 1, 1], [1, 1, 1, 1]]}
    assert (selection.asked, selection.kept) == (0.5, 6)
    assert selection.warnings == ("small: all 4 weights are pruned, nothing of the layer is left",)


def test_a_floor_keeps_a_layer_alive():
    """A quarter of the small layer is protected, so 30 goes in its place: still 6 in all."""
    selection = globally(LAYERS, 0.5, floor={"small": 0.25})
    assert kept(selection) == {"small": [[0, 0], [0, 1]], "large": [[0, 0, 0, 1], [1, 1, 1, 1]]}
    assert selection.warnings == ()
    # 0.26 of 4 is more than one
    assert counts(globally(LAYERS, 0.5, floor={"small": 0.26})) == [2, 4]


def test_floors_that_are_all_of_it():
    assert counts(globally(LAYERS, 0.5, floor=0.5)) == [2, 4]
    odd = {"a": np.ones((3, 1)), "b": np.ones((3, 1))}
    assert counts(globally(odd, 0.5, floor=0.5)) == [2, 2]  # 1.5 of 3 is 2: a floor is not undercut


def test_a_floor_lifts_a_layer_locally():
    selection = locally(LAYERS, 0.1, floor={"small": 0.3})
    assert counts(selection) == [2, 1]
    assert selection.warnings == ("small: density 0.1 raised to the floor, 0.3",)
    assert counts(locally(LAYERS, 0.1, floor=0.3, pattern=pattern.neuron())) == [2, 4]
    assert counts(locally(LAYERS, 0.1, floor=0.3, pattern=pattern.balanced(EieConfig(n_pe=2)))) == [2, 3]
    assert counts(locally(LAYERS, 0.1, floor=0.3, pattern=pattern.per_row(rule="wanda"))) == [2, 4]


@pytest.mark.parametrize(
    ("normalise", "expected"),
    [
        ("none", [0, 6]),
        ("sum", [3, 3]),  # 0.1 ... 0.4; 0.028 ... 0.222: 0.028, 0.056, 0.083, 0.1, 0.111, 0.139 go
        ("mean", [2, 4]),  # 0.4 ... 1.6 of 2.5; 0.22 ... 1.78 of 45: 0.22, 0.4, 0.44, 0.67, 0.8, 0.89 go
        ("max", [2, 4]),  # 0.25 ... 1; 0.125 ... 1: 0.125, 0.25, 0.25, 0.375, 0.5, and of two 0.5 the first
        ("standarization", [2, 4]),  # 0, 1/3, 2/3, 1; 0, 1/7 ... 1: 0, 0, 1/7, 2/7, 1/3, 3/7 go
        ("gaussian", [2, 4]),  # -1.34, -0.45 ... 1.34; -1.53, -1.09, -0.65, -0.22 ... 1.53
        (lambda scores: scores / scores.mean(), [2, 4]),
    ],
)
def test_normalisers(normalise, expected):
    assert counts(globally(LAYERS, 0.5, normalise=normalise)) == expected


def test_lamp():
    """Squares 1, 4, 9 over what follows: 1/14, 4/13, 1; of the other layer 1/2, 1: of 5 the least 2 go."""
    layers = {"a": np.array([3.0, 1, 2]), "b": np.array([100.0, 100])}
    assert kept(globally({n: score.l2(w) for n, w in layers.items()}, 0.6, normalise="lamp")) == {
        "a": [1, 0, 0],
        "b": [1, 1],
    }
    # no layer is left without its last
    assert counts(globally({n: score.l2(w) for n, w in layers.items()}, 0.4, normalise="lamp")) == [1, 1]


def test_layers_without_any_score_do_not_divide_by_zero():
    layers = {"zero": np.zeros((2, 2)), "other": np.array([[1.0, 2], [3, 4]])}
    for normalise in ("none", "sum", "mean", "max", "standarization", "gaussian", "lamp"):
        assert globally(layers, 0.25, normalise=normalise).kept == 2


def test_groups_of_unequal_size_count_their_weights():
    """Rows of 2 and of 6 weights, 4 of each, 32 weights: 16 are to go. In the order of their means, 1 2 2.5 3 3.5, the
    rows have taken 2, 4, 10, 12 and 18 weights along: 18 is nearer than 12.
    """
    layers = {
        "narrow": np.repeat([[1.0], [2], [3], [4]], 2, axis=1),
        "wide": np.repeat([[2.5], [3.5], [9], [9]], 6, axis=1),
    }
    selection = globally(layers, 0.5, pattern=pattern.neuron(reduce="mean"))
    assert counts(selection) == [2, 12]
    assert selection.kept == 32 - 18


def test_of_two_counts_equally_near_the_even_number_of_groups_goes():
    """8 weights, 3 to go: rows of 2, 2, 2 and 2 go in twos; one row or two are equally near."""
    layers = {"a": np.ones((2, 2)), "b": np.ones((2, 2))}
    assert globally(layers, 1 - 3 / 8, pattern=pattern.neuron()).kept == 4
    # the same with groups of two sizes: 2 + 4 + ..., 4 to go
    layers = {"a": np.array([[1.0, 1]]), "b": np.array([[2.0, 2, 2, 2], [3, 3, 3, 3]])}
    assert globally(layers, 0.6, pattern=pattern.neuron(reduce="mean")).kept == 10 - 6


def test_nothing_and_everything():
    for chosen in (pattern.element(), pattern.neuron()):
        assert globally(LAYERS, 1.0, pattern=chosen).kept == 12
        assert globally(LAYERS, 0.0, pattern=chosen).kept == 0
    assert len(locally(LAYERS, 0).warnings) == 2


def test_equal_scores_are_counted_exactly():
    """15 equal neurons of 16: a quarter of them goes, not all that are not above the threshold."""
    layers = {"fc": np.ones((16, 1)), "tie": np.ones((4, 1))}
    layers["fc"][3] = 2
    selection = globally(layers, 0.75, pattern=pattern.neuron())
    assert counts(selection) == [11, 4]
    assert selection.masks["fc"].ravel().tolist() == [False, False, False, True, False, False] + [True] * 10


def test_within_over_layers():
    before = globally(LAYERS, 0.5, normalise="max")
    for normalise in ("none", "max", "gaussian", "lamp"):
        after = globally(LAYERS, 0.25, normalise=normalise, within=before.masks)
        assert after.kept == 3
        assert all((after.masks[name] <= before.masks[name]).all() for name in LAYERS)
    with pytest.raises(InputError, match=r"^density=0.6: must not be above 0.5, what the earlier mask keeps$"):
        globally(LAYERS, 0.6, within=before.masks)
    gone = {"small": np.zeros((2, 2), dtype=bool)}
    assert counts(globally(LAYERS, 0.5, normalise="max", within=gone)) == [0, 6]


def test_scores_of_neurons_over_layers():
    """Shares 1 and 1/2 of neurons with 3 weights; 1/2, 0 and 1/2 with 2. After one, two and three neurons 2, 5 and 7 of
    12 weights are gone. 6 should be: of 5 and 7, both as near, the even number of neurons.
    """
    scores = {"a": score.apoz([[1, 0], [1, 1]]), "b": score.apoz([[1, 0, 0], [0, 0, 1]])}
    shapes = {"a": (2, 3), "b": (3, 2)}
    selection = globally(scores, 0.5, pattern=pattern.neuron(), shapes=shapes)
    assert {name: mask.all(axis=1).tolist() for name, mask in selection.masks.items()} == {
        "a": [True, False],
        "b": [True, False, True],
    }
    assert counts(locally(scores, 0.5, pattern=pattern.neuron(), shapes=shapes)) == [3, 2]


def test_types_may_differ():
    layers = {"half": np.array([1, 4], dtype=np.float16), "int": np.array([2, 3]), "double": np.array([0.5, 5])}
    assert kept(globally(layers, 0.5)) == {"half": [0, 1], "int": [0, 1], "double": [0, 1]}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: locally({}, 0.5), "scores=dict: must name a layer or more"),
        (lambda: globally([1, 2], 0.5), "scores=list: must name a layer or more"),
        (lambda: globally(LAYERS, 2), "density=2: must be in 0..1"),
        (lambda: locally(LAYERS, 2), "small: density=2: must be in 0..1"),
        (lambda: locally(LAYERS), "small: density=None: must be a number in 0..1"),
        (lambda: locally(LAYERS, {"small": 0.5}), "large: density=['small']: must have one for every layer"),
        (lambda: locally(LAYERS, {"smal": 0.5}), "small: density=smal: unknown; did you mean small?"),
        (lambda: locally(LAYERS, 0.5, floor=1.5), "small: floor=1.5: must be in 0..1"),
        (
            lambda: locally(LAYERS, 0.5, pattern=pattern.element),
            "small: pattern=function: must be one, as pattern.element()",
        ),
        (
            lambda: locally(LAYERS, pattern=pattern.nm(1, 2), floor=0.6),
            "small: floor=0.6: must not be above 1/2, all that 1:2 keeps",
        ),
        (
            lambda: globally(LAYERS, 0.5, pattern=pattern.nm(1, 2)),
            "small: pattern=1:2: has quotas in every layer; prune it locally",
        ),
        (
            lambda: globally(LAYERS, 0.5, floor={"large": 0.9}),
            "density=0.5: must not be below 0.6, what the floors of the layers keep",
        ),
        (
            lambda: globally(LAYERS, 0.5, normalise="median"),
            "small: normalise=median: must be none, sum, mean, max, standarization, gaussian or lamp",
        ),
        (
            lambda: globally(LAYERS, 0.5, normalise=lambda scores: scores[:1]),
            "small: normalise=(1,): must return 4 finite floating-point numbers, one for each",
        ),
        (
            lambda: globally(LAYERS, 0.5, normalise=lambda scores: scores * np.nan),
            "small: normalise=(4,): must return 4 finite floating-point numbers, one for each",
        ),
        (lambda: globally({"a": [[1, math.nan]]}, 0.5), "a: scores[0, 1]=nan: must be finite"),
        (
            lambda: globally(LAYERS, 0.5, within={"small": np.eye(2, dtype=bool)}, floor={"small": 0.75}),
            "small: floor=0.75: must not be above 0.5, what the earlier mask keeps",
        ),
    ],
)
def test_errors(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message
