"""Vectors that wait for each other."""

from __future__ import annotations

from typing import NamedTuple


class Steps(NamedTuple):
    """Order of a product's vectors that are made of outputs of earlier ones, as the states of a sequence are.

    sizes : vectors of each step, in order; those of one step are there at once
    rows : of all weights that a step reads, those of products beside this one included
    persistent : True where one launch runs all steps
    """

    sizes: tuple[int, ...]
    rows: int
    persistent: bool = False
