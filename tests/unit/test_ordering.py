"""One ordering serves all densities: at each it keeps what pruning to that density by itself keeps."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.prune import magnitude
from eie_sim.prune.ordering import ordering


@st.composite
def cases(draw):
    """Weights with zeros and ties, in float32 or float64, and densities in any order, some of them twice."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    weights = rng.integers(-draw(st.sampled_from([1, 3, 1000])), 4, shape) / 4
    densities = draw(st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.25, 0.3, 0.5, 0.9, 1.0]), min_size=1, max_size=6))
    return weights.astype(draw(st.sampled_from([np.float32, np.float64]))), densities


@given(cases())
def test_every_density_is_that_of_pruning_by_itself(case):
    weights, densities = case
    for form in (weights, scipy.sparse.csc_array(weights)):
        found = ordering(form, densities)
        assert found.densities == tuple(sorted(set(densities)))
        for density in densities:
            starts, rows = found.at(density)
            kept = scipy.sparse.csc_array(weights * magnitude(weights, density=density).mask)
            kept.eliminate_zeros()
            assert (starts.tolist(), rows.tolist()) == (kept.indptr.tolist(), kept.indices.tolist())
            assert (starts.dtype, rows.dtype) == (np.int64, np.int32)


def test_weights_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match=r"^weights\[1\]=nan: must be finite"):
        ordering(np.array([[1.0, np.nan]]), [0.5])
