"""What a notebook shows of a compressed layer, word by word."""

import re

import numpy as np

from eie_sim import Scales
from eie_sim.units.eie.matrix import EieMatrix

CODES = np.eye(3, 4, dtype=np.uint8)
BOOK = [0.0, 1.0, 2.0, 3.0]


def words(matrix):
    """Title, headings, cells and lines of the card, without styles and tags."""
    shown = re.sub(r"<style>.*?</style>", "", matrix._repr_html_(), flags=re.DOTALL)
    assert "None" not in shown
    return [text for text in re.split(r"\n|<(?!br)[^>]*>", shown) if text]


def test_a_layer_with_a_bias_and_scales():
    scales = Scales(weight=13, activation=2, accumulator=1)
    matrix = EieMatrix.from_codes(CODES, BOOK, n_pe=2000, bias_codes=[1, 0, 0], index_bits=3, scales=scales)
    assert words(matrix) == [
        "EIE matrix",
        *(
            "out x in",
            "PEs",
            "weights<br>non-zero",
            "weights<br>stored",
            "padding<br>entries",
            "code<br>bits",
            "gap<br>bits",
        ),
        *("3x4", "2,000", "25.0 %", "4", "0", "2", "3"),
        "with a bias column; fractional bits: weight 13, activation 2, accumulator 1",
    ]


def test_scales_that_are_still_open():
    assert words(EieMatrix.from_codes(CODES, BOOK, n_pe=1))[-1] == (
        "fractional bits: weight 13, activation open, accumulator open"
    )
