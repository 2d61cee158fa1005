"""What a value of an axis is refused with, and numbers to try."""

import re

import pytest
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.study.axes import values_of

WHOLE = st.integers(-(10**6), 10**6)
DECIMALS = st.decimals(-1000, 1000, allow_nan=False, allow_infinity=False, places=3).map(str)
ONE_LINE = re.compile(r"[a-z0-9_]+=[^\n]*: [^\n]+")


def refused(axis, given):
    """The one line that a value is refused with, which begins with the axis."""
    with pytest.raises(InputError) as caught:
        values_of(axis, given)
    said = str(caught.value)
    assert ONE_LINE.fullmatch(said) and said.startswith(f"{axis}=") and said.isprintable()
    return said
