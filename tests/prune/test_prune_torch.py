"""The masks of torch.nn.utils.prune on data without ties: worked out by hand, and against torch where it is there."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest

from eie_sim.prune import globally, keep_count, pattern, prune_count, score

W = np.array([[0.3, -0.1, 0.8, -0.5], [-0.9, 0.2, 0.4, -0.6]], dtype=np.float32)


def test_l1_unstructured():
    """amount 0.3 of 8: 2.4, so 2 go; the smallest are 0.1 and 0.2."""
    assert prune_count(0.3, 8) == 2
    mask = pattern.element().prune(score.l1(W), 0.7).mask
    assert mask.tolist() == [[True, False, True, True], [True, False, True, True]]


def test_l1_unstructured_by_a_count():
    """amount=3: as it is. 0.1, 0.2 and 0.3 go."""
    mask = pattern.element().prune(score.l1(W), Fraction(8 - prune_count(3, 8), 8)).mask
    assert mask.tolist() == [[False, False, True, True], [True, False, True, True]]


def test_ln_structured():
    """dim=1, n=2, amount 0.5: norms of the columns are 0.949, 0.224, 0.894, 0.781; the largest two stay."""
    mask = pattern.input(reduce="l2").prune(score.l1(W), 0.5).mask
    assert mask[0].tolist() == mask[1].tolist() == [True, False, True, False]
    assert np.array_equal(pattern.input().prune(score.l2(W), 0.5).mask, mask)


def test_global_unstructured():
    """Over W and V = (0.05, 0.15, 0.25): amount 0.4 of 11 is 4.4, so 4 go: 0.05, 0.1, 0.15 and 0.2."""
    selection = globally({"w": score.l1(W), "v": score.l1([0.05, -0.15, 0.25])}, 0.6)
    assert selection.masks["v"].tolist() == [False, False, True]
    assert np.array_equal(selection.masks["w"], np.abs(W) > np.float32(0.2))


def test_a_second_call():
    """There amount 0.5 is of the 4 survivors: 2 stay. Here densities are of the original size, so that is 0.25."""
    first = pattern.element().prune(score.l1(W), 0.5).mask
    second = pattern.element().prune(score.l1(W), 0.25, within=first).mask
    assert np.argwhere(second).tolist() == [[0, 2], [1, 0]]  # 0.8 and 0.9


@pytest.fixture(scope="module")
def torch_prune():
    return pytest.importorskip("torch.nn.utils.prune", reason="torch is no dependency")


SHAPES = [(7, 5), (25, 1), (10, 10), (6, 4, 3, 3)]
AMOUNTS = [0.0, 0.1, 0.25, 0.35, 0.5, 0.7, 0.9]


def signed(shape):
    """Magnitudes 1, 2, 3 and on in any order."""
    rng = np.random.default_rng(len(shape))
    size = int(np.prod(shape))
    return (rng.choice([-1, 1], size) * rng.permutation(np.arange(1, size + 1))).reshape(shape).astype("f4")


def module(weights):
    import torch

    made = torch.nn.Module()
    made.weight = torch.nn.Parameter(torch.tensor(weights))
    return made


def test_l1_unstructured_of_torch(torch_prune):
    for shape, amount in product(SHAPES, [*AMOUNTS, 1.0, 3]):
        weights = signed(shape)
        theirs = torch_prune.l1_unstructured(module(weights), "weight", amount).weight_mask.numpy() > 0
        assert prune_count(amount, weights.size) == (~theirs).sum()
        density = Fraction(weights.size - prune_count(amount, weights.size), weights.size)
        assert np.array_equal(pattern.element().prune(score.l1(weights), density).mask, theirs)


def test_ln_structured_of_torch(torch_prune):
    chosen = {(2, 0): pattern.neuron, (2, 1): pattern.input, (4, 0): pattern.filter, (4, 1): pattern.channel}
    for shape, amount, n, dim in product(SHAPES, AMOUNTS, [1, 2], [0, 1]):
        weights = signed(shape)
        theirs = torch_prune.ln_structured(module(weights), "weight", amount, n=n, dim=dim).weight_mask.numpy() > 0
        one = chosen[len(shape), dim](reduce={1: "sum", 2: "l2"}[n])
        assert np.array_equal(one.prune(score.l1(weights), round(1 - amount, 12)).mask, theirs)


def test_global_unstructured_of_torch(torch_prune):
    values = np.random.default_rng(0).permutation(np.arange(1, 48)).astype("f4")
    layers = {"a": values[:12].reshape(3, 4), "b": -values[12:].reshape(5, 7)}
    for amount in AMOUNTS:
        modules = {name: module(w) for name, w in layers.items()}
        parameters = [(made, "weight") for made in modules.values()]
        torch_prune.global_unstructured(parameters, pruning_method=torch_prune.L1Unstructured, amount=amount)
        selection = globally({name: score.l1(w) for name, w in layers.items()}, round(1 - amount, 12))
        for name, made in modules.items():
            assert np.array_equal(selection.masks[name], made.weight_mask.numpy() > 0)


def test_a_second_call_of_torch(torch_prune):
    for shape in SHAPES:
        weights = signed(shape)
        made = module(weights)
        torch_prune.l1_unstructured(made, "weight", 0.5)
        first = pattern.element().prune(score.l1(weights), 0.5)
        theirs = torch_prune.l1_unstructured(made, "weight", 0.5).weight_mask.numpy() > 0
        density = Fraction(keep_count(0.5, first.kept), weights.size)
        ours = pattern.element().prune(score.l1(weights), density, within=first.mask)
        assert np.array_equal(ours.mask, theirs)
