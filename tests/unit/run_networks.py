"""Small networks to run, by hand and drawn."""

import numpy as np
import scipy.sparse
from hypothesis import strategies as st

from eie_sim.network import Layer, Network
from eie_sim.units.eie.config import EieConfig

SIZES = st.sampled_from([0.01, 1.0, 30.0])


def layer_of(weights, name="fc1", bias=None, activations=None):
    def floats(values):
        return values if values is None or scipy.sparse.issparse(values) else np.asarray(values, dtype=np.float64)

    return Layer(
        name=name,
        weights=floats(weights),
        bias=floats(bias),
        activations=floats(activations),
        weights_source="made up",
        synthetic=True,
    )


def network_of(*layers, chained=True, **parts):
    return Network(name="small", layers=layers, chained=chained, source="made up", **parts)


def random_layer(rng, name, n_out, n_in, *, n_vector=None, bias, sparse, size=1.0):
    weights = (rng.normal(size=(n_out, n_in)) * (rng.random((n_out, n_in)) < 0.4) * size).astype(np.float32)
    return Layer(
        name=name,
        weights=scipy.sparse.csc_array(weights) if sparse else weights,
        bias=(rng.normal(size=n_out) * size).astype(np.float32) if bias else None,
        activations=None if n_vector is None else rng.normal(size=(n_vector, n_in)) * size,
        weights_source="made up",
        synthetic=True,
    )


@st.composite
def networks(draw, *, chained=None):
    """A network of one to three small layers, chained or each with its own inputs, which may be negative."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    chained = draw(st.booleans()) if chained is None else chained
    n_layer = draw(st.integers(1, 3))
    sides = [draw(st.integers(1, 20)) for _ in range(2 * n_layer)]
    layers = []
    for at in range(n_layer):
        n_in, n_out = (sides[at], sides[at + 1]) if chained else (sides[2 * at], sides[2 * at + 1])
        n_vector = None if chained and at else draw(st.integers(1, 3))
        kind = {"bias": draw(st.booleans()), "sparse": draw(st.booleans()), "size": draw(SIZES)}
        layers.append(random_layer(rng, f"fc{at}", n_out, n_in, n_vector=n_vector, **kind))
    return network_of(*layers, chained=chained)


@st.composite
def designs(draw):
    return EieConfig(
        n_pe=draw(st.sampled_from([1, 2, 5, 8])),
        queue_depth=draw(st.integers(1, 3)),
        accumulator_bits=draw(st.sampled_from([16, 24, 32])),
        rounding=draw(st.sampled_from(["floor", "nearest"])),
        active=draw(st.sampled_from(["positive", "nonzero"])),
    )


def three_layers(n_vector=3, seed=5):
    """A chain of three layers with biases, the middle one sparse."""
    rng = np.random.default_rng(seed)
    first = random_layer(rng, "fc1", 12, 9, n_vector=n_vector, bias=True, sparse=False)
    second = random_layer(rng, "fc2", 7, 12, bias=True, sparse=True)
    return network_of(first, second, random_layer(rng, "fc3", 4, 7, bias=False, sparse=False))


SMALL = EieConfig(n_pe=4)
