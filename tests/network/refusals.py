"""How the tests of this folder look at a refusal."""

import pytest

from eie_sim import InputError
from eie_sim.network import load


def refused(path, match=".", call=load):
    """The one line with which a file is refused."""
    with pytest.raises(InputError, match=match) as caught:
        call(path)
    said = str(caught.value)
    assert said.isprintable(), said
    assert len(said) < 400
    assert path.name in said
    return said
