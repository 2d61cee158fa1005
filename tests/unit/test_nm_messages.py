"""What the N:M unit says: of input that it refuses, in whole lines, and of a matrix in a notebook."""

from html.parser import HTMLParser

import numpy as np
import pytest
import scipy.sparse

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.units.nm import functional, matrix, unit
from eie_sim.units.nm.functional import error_bound, multiply, wrong_outputs
from eie_sim.units.nm.vendor import from_vendor, to_vendor

RAGGED = [[1.0, 2.0], [1.0]]
CONFIG = es.TensorCoreConfig()
HALF, EIGHT = es.NmMatrix.from_dense(np.zeros((2, 8))), es.NmMatrix.from_dense(np.zeros((2, 8), np.int8))
B = np.zeros((8, 3))
KEPT = np.zeros((1, 3), np.float16)


def at(row, column, value):
    """Zeros [8, 3] with one value."""
    found = B.copy()
    found[row, column] = value
    return found


def half(*shape):
    return es.NmMatrix.from_dense(np.zeros(shape))


def by_hand(**changes):
    """A row of 3:4 from its parts."""
    parts = {"n_out": 1, "n_in": 4, "n_keep": 3, "m_group": 4, "values": KEPT, "element": "float16"}
    return es.NmMatrix(**{**parts, "positions": np.array([[0, 1, 3]], np.uint8), **changes})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        # nested lists without a shape, wherever an array is taken
        (lambda: es.NmMatrix.from_dense(RAGGED), "weights: must be a rectangular array of numbers"),
        (lambda: es.NmMatrix.from_metadata(RAGGED, b""), "values: must be a rectangular array of numbers"),
        (lambda: es.NmMatrix.from_metadata(KEPT[:, :2], RAGGED), "metadata: must be a rectangular array of numbers"),
        (lambda: from_vendor(RAGGED, B), "values: must be a rectangular array of numbers"),
        (lambda: from_vendor(B, RAGGED), "metadata: must be a rectangular array of numbers"),
        (lambda: unit.compress(RAGGED, CONFIG), "weights: must be a rectangular array of numbers"),
        (lambda: unit.simulate(HALF, RAGGED, CONFIG), "activations: must be a rectangular array of numbers"),
        (lambda: multiply(HALF, RAGGED), "b: must be a rectangular array of numbers"),
        (lambda: error_bound(HALF, RAGGED), "b: must be a rectangular array of numbers"),
        (lambda: error_bound(HALF, B, RAGGED), "weights: must be a rectangular array of numbers"),
        (lambda: wrong_outputs(HALF, RAGGED), "b: must be a rectangular array of numbers"),
        (lambda: wrong_outputs(HALF, B, RAGGED), "output: must be a rectangular array of numbers"),
        # a matrix, and what it multiplies
        (
            lambda: unit.compress(B, CONFIG, bias=B[0]),
            "bias=given: must be added to the outputs after the product; the N:M unit keeps weights",
        ),
        (lambda: unit.compress(B[0], CONFIG), "weights=shape (3,): must be (n_out, n_in)"),
        (
            lambda: unit.simulate(HALF, B, CONFIG),
            "activations=shape (8, 3): must be (8,) or (n_vector, 8) for a matrix of 8 inputs",
        ),
        (
            lambda: unit.simulate(HALF, np.zeros((0, 8)), CONFIG),
            "activations=shape (0, 8): must be (8,) or (n_vector, 8) for a matrix of 8 inputs",
        ),
        (
            lambda: unit.simulate(HALF, B.T, CONFIG, timeline=True),
            "timeline=True: must be False: the N:M unit broadcasts nothing, it has no timeline",
        ),
        (
            lambda: unit.simulate(EIGHT, B.T, CONFIG),
            "config.elem_bytes=2: is float16, but the matrix's element is int8",
        ),
        (lambda: unit.simulate(HALF, B.T, CONFIG, engine="fats"), "engine=fats: unknown; did you mean fast?"),
        # bounds and checks of products
        (lambda: error_bound(B, B), "matrix=ndarray: must be NmMatrix"),
        (lambda: error_bound(EIGHT, B.astype(int)), "matrix=int8: must be float16; the product of int8 is exact"),
        (lambda: error_bound(HALF, B, B), "weights=shape (8, 3): must be (2, 8)"),
        (lambda: error_bound(HALF, B, np.full((2, 8), np.inf)), "weights[0, 0]=inf: must be finite"),
        (lambda: error_bound(HALF, B, B[0]), "weights=shape (3,): must have 2 dimensions, (out, in)"),
        (lambda: wrong_outputs(HALF, B, B), "output=shape (8, 3): must be (2, 3)"),
        (lambda: wrong_outputs(HALF, B.T), "b=shape (3, 8): must be (n_in, n_vector) with n_in=8"),
        # the place of a value that is none, and the value as it was given
        (lambda: multiply(HALF, at(1, 2, np.nan)), "b[1, 2]=nan: must be finite"),
        (lambda: unit.simulate(HALF, at(1, 2, np.nan).T, CONFIG), "activations[2, 1]=nan: must be finite"),
        (
            lambda: multiply(HALF, at(7, 0, -7e4)),
            "b[7, 0]=-70000.0: overflows float16, whose largest value is 65504",
        ),
        (lambda: multiply(EIGHT, at(2, 1, -129).astype(int)), "b=-129: must be in -128..127 for int8"),
        (lambda: multiply(EIGHT, at(2, 1, 128).astype(int)), "b=128: must be in -128..127 for int8"),
        (
            lambda: es.NmMatrix.from_dense(at(2, 1, 7e4).T),
            "weights[1, 2]=70000.0: overflows float16, whose largest value is 65504",
        ),
        (
            lambda: es.NmMatrix.from_dense(at(6, 1, 2**24 + 1).T.astype(int)),
            "weights[1, 6]=16777217.0: overflows float16, whose largest value is 65504",
        ),
        (
            lambda: es.NmMatrix.from_dense([[0, 0, 0, 0, 0, 0, 7e4, 0]]),
            "weights[0, 6]=70000.0: overflows float16, whose largest value is 65504",
        ),
        (
            lambda: es.NmMatrix.from_dense([[1, 1, 1, 0]]),
            "weights: row 0, group 0 has 3 non-zeros, 2:4 keeps at most 2",
        ),
        (
            lambda: es.NmMatrix.from_dense(scipy.sparse.csr_array([[1j, 0, 0, 0]])),
            "weights=dtype complex128: must hold real numbers",
        ),
        # metadata
        (
            lambda: es.NmMatrix.from_metadata(KEPT, b"\x18", n_keep=3),
            "metadata: row 0, group 0 has positions [0, 2, 1], which must ascend and be below m_group=4",
        ),
        # the vendor's layout
        (
            lambda: to_vendor(es.NmMatrix.from_dense(np.zeros((32, 32)), n_keep=1)),
            "pattern=1:4: must be 2:4, 2 kept of 4, for the vendor's layout",
        ),
        (lambda: to_vendor(half(16, 32)), "n_out=16: must be a multiple of 32 in the vendor's layout"),
        (lambda: to_vendor(half(32, 48)), "n_in=48: must be a multiple of 32 in the vendor's layout"),
        (lambda: from_vendor(B, B), "values=dtype float64: must be float16 or int8"),
        (lambda: from_vendor(KEPT[0], B), "values=shape (3,): must have 2 dimensions, (n_out, n_in / 2)"),
        (
            lambda: from_vendor(np.zeros((32, 16), np.float16), B.astype(np.int8)),
            "metadata=int8 (8, 3): must be int16 (32, 2)",
        ),
        # a matrix whose fields do not fit each other
        (lambda: by_hand(n_in=9), "values=(1, 3): must be float16 (1, 9)"),
        (lambda: by_hand(n_out=2**31), "matrix=shape (2147483648, 4): must have fewer than 2**31 rows and columns"),
        (lambda: by_hand(element="half"), "element=half: must be float16 or int8"),
        (lambda: by_hand(n_keep=2), "values=(1, 3): must be float16 (1, 2)"),
        (lambda: by_hand(values=KEPT.astype(np.int8)), "values=(1, 3): must be float16 (1, 3)"),
        (lambda: by_hand(positions=[0, 1, 2]), "positions=list: must be uint8 (1, 3)"),
        (lambda: by_hand(positions=np.array([[0, 1, 4]], np.uint8)), "positions=4: must be below m_group=4"),
    ],
)
def test_a_refusal_is_one_line(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


def test_a_product_may_be_of_the_largest_size_and_no_larger(monkeypatch):
    monkeypatch.setattr(functional, "MAX_OUTPUTS", 6)
    assert multiply(HALF, B).shape == (2, 3)
    with pytest.raises(InputError) as caught:
        multiply(HALF, np.zeros((8, 4)))
    assert str(caught.value) == "b=4 vectors: must give at most 6 outputs"


def test_a_matrix_may_have_the_most_positions_and_no_more(monkeypatch):
    monkeypatch.setattr(matrix, "MAX_POSITIONS", 16)
    assert half(2, 8).shape == (2, 8)
    with pytest.raises(InputError) as caught:
        half(5, 4)
    assert str(caught.value) == "weights=shape (5, 4): must have at most 16 positions"


LARGE = es.NmMatrix(
    n_out=1000,
    n_in=4000,
    n_keep=2,
    m_group=4,
    values=np.zeros((1000, 2000), np.float16),
    positions=np.zeros((1000, 2000), np.uint8),
    element="float16",
)


class Card(HTMLParser):
    """Headings, cells with their exact values, and the title."""

    def __init__(self, text):
        super().__init__()
        self.tag, self.value, self.title, self.headings, self.cells = "", None, "", [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag == "br":
            self.headings[-1] += " "
            return
        self.tag, self.value = tag, dict(attributes).get("data-value")
        if tag == "th":
            self.headings.append("")

    def handle_data(self, text):
        if self.tag == "th":
            self.headings[-1] += text.strip()
        elif self.tag == "td" and text.strip():
            self.cells.append((text, self.value))
        elif self.tag == "strong":
            self.title += text.strip()


@pytest.mark.parametrize(
    ("shown", "title", "cells"),
    [
        (
            LARGE,
            "N:M matrix, float16",
            [
                ("1000x4000", "[1000, 4000]"),
                ("2:4", None),
                ("2,000,000", "2000000"),
                ("16", "16"),
                ("4,000.0", "4000.0"),
                ("500.0", "500.0"),
            ],
        ),
        (
            es.NmMatrix.from_dense(np.zeros((2, 3), np.int8), n_keep=3, m_group=3),
            "N:M matrix, int8",
            [("2x3", "[2, 3]"), ("dense", None), ("6", "6"), ("8", "8"), ("0.006", "0.006"), ("0.0", "0.0")],
        ),
    ],
)
def test_the_card_of_a_matrix(shown, title, cells):
    card = Card(shown._repr_html_())
    assert card.title == title
    assert card.headings == ["out x in", "kept", "values stored", "value bits", "values kB", "metadata kB"]
    assert card.cells == cells
