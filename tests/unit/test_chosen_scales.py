"""Fractional bits that a run chooses: those given stay, the others are the most that its activations leave room for."""

import numpy as np
import pytest

import eie_sim as es
from eie_sim.units.eie import matrix as matrix_module

W = np.array([[1.0, -0.5], [0.0, 0.25]])
NAMES = ("weight", "activation", "accumulator")


def chosen(activations, *, bias=None, active="positive", **given):
    scales = es.Scales(**given)
    matrix = es.EieMatrix.from_dense(W, n_pe=1, bias=bias, scales=scales)
    return matrix.with_scales_for(np.array(activations), active=active).scales


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        # 1.0 fits with 14 bits, as a weight and as an activation; 1.0 as output, doubled, with 13
        ({}, (14, 14, 13)),
        ({"weight": 3}, (3, 14, 13)),
        ({"activation": 2}, (14, 2, 13)),
        ({"accumulator": 5}, (14, 14, 5)),
        ({"weight": 3, "activation": 2}, (3, 2, 5)),  # no more than both together
        ({"weight": 3, "activation": 2, "accumulator": 1}, (3, 2, 1)),
    ],
)
def test_what_is_given_stays(given, expected):
    assert chosen([1.0, 0.0], **given) == es.Scales(**dict(zip(NAMES, expected, strict=True)))


def test_beside_a_bias_an_activation_leaves_room_for_1():
    assert chosen([0.25, 0.0]).activation == 16  # 0.25 x 2**16 is 16384
    assert chosen([0.25, 0.0], bias=[0.5, 0.0]).activation == 14
    assert chosen([1e5, 0.0]).activation == -2  # 1e5 / 4 is 25000
    assert chosen([1e5, 0.0], bias=[0.5, 0.0]).activation == 0


def test_the_accumulator_has_room_for_what_takes_part():
    """Of [1, -6] the product is 1 where only 1 is broadcast, and 1 + 3 where -6 is as well."""
    assert chosen([1.0, -6.0], active="positive").accumulator == 13
    assert chosen([1.0, -6.0], active="nonzero").accumulator == 11
    assert chosen([-6.0, -6.0], active="positive").accumulator == 0  # all outputs are 0


def test_raw_words_are_read_in_the_scale_that_is_given():
    """The words 64 and 0 with 6 fractional bits are 1.0 and 0.0."""
    assert chosen([64, 0], activation=6).accumulator == 13
    assert chosen([64, 0]) == es.Scales(weight=14, activation=0, accumulator=7)  # 64 as output, doubled, fits with 7


def test_the_largest_of_all_vectors_counts():
    assert chosen([[1.0, 0.0], [5.0, 0.0]]) == chosen([5.0, 0.0]) == es.Scales(weight=14, activation=12, accumulator=11)


@pytest.mark.parametrize(
    ("activations", "said"),
    [
        ([1.0], "activations=shape (1, 1): must have 2 inputs"),
        ([[[1.0, 2.0]]], "activations=shape (1, 1, 2): must have 2 inputs"),
        ([1.0, np.nan], "activations[0, 1]=nan: must be finite and of magnitude at most 2**100"),
        (["1", "2"], "activations=dtype <U1: must hold real numbers"),
    ],
)
def test_activations_that_cannot_be_are_refused(activations, said):
    with pytest.raises(es.InputError) as error:
        es.EieMatrix.from_dense(W).with_scales_for(activations)
    assert str(error.value) == said
    with pytest.raises(es.InputError, match=r"^activations: must be a rectangular array of numbers"):
        es.EieMatrix.from_dense(W).with_scales_for([[1.0], [1.0, 2.0]])


def test_outputs_are_limited(monkeypatch):
    monkeypatch.setattr(matrix_module, "MAX_OUTPUTS", 6)
    matrix = es.EieMatrix.from_dense(W, n_pe=1)
    assert matrix.multiply(np.zeros((3, 2))).shape == (3, 2)
    with pytest.raises(es.InputError) as error:
        matrix.multiply(np.zeros((4, 2)))
    assert str(error.value) == "activations=4 vectors: must give at most 6 outputs over all vectors, 2 each"
