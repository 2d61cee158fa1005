"""A store with some rows, opened as a run opens it."""

import pytest
from store_rows import row, text

from eie_sim import InputError
from eie_sim.study.store import Store

ROWS = [row(n) for n in range(4)]
WHOLE = text(ROWS)


def opened(path):
    """How many lines are left out of a store, and its rows, after an opening."""
    with Store(path) as opened:
        assert len(opened) == len(list(opened))
        assert all(key in opened for key in opened)
        return opened.damaged, [opened.line(key) for key in opened]


def refused(path, match, call=Store):
    """What is said, in one line, of a store that is refused."""
    with pytest.raises(InputError, match=match) as caught:
        call(path)
    said = str(caught.value)
    assert said.isprintable(), said
    assert said.startswith("store=")
    return said
