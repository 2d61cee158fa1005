"""Random layers and designs, from empty to saturating."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from eie_sim.core.quantize import Scales
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix

DENSITIES = st.sampled_from([0.0, 0.02, 0.1, 0.4, 1.0])


@dataclass(frozen=True)
class Case:
    codes: np.ndarray
    bias_codes: np.ndarray | None
    matrix: EieMatrix
    activations: np.ndarray
    config: EieConfig


@st.composite
def designs(draw):
    """Any format and queue; memories stay at their defaults, they change no cycle."""
    weight_bits, index_bits = draw(st.integers(1, 8)), draw(st.integers(1, 8))
    return EieConfig(
        n_pe=draw(st.sampled_from([1, 2, 3, 4, 7, 8, 16, 64, 256]) | st.integers(1, 256)),
        queue_depth=draw(st.integers(1, 4) | st.integers(1, 64)),
        weight_bits=weight_bits,
        index_bits=index_bits,
        accumulator_bits=draw(st.sampled_from([16, 24, 32])),
        rounding=draw(st.sampled_from(["floor", "nearest"])),
        active=draw(st.sampled_from(["positive", "nonzero"])),
        spmat_width_bits=draw(st.sampled_from([weight_bits + index_bits, 16, 48, 64, 100, 256])),
    )


@st.composite
def scales(draw, has_bias=False):
    """Any that are allowed, and more often those with which products leave something."""
    weight, activation = draw(st.integers(-15, 30)), draw(st.integers(*((0, 14) if has_bias else (-15, 30))))
    most = weight + activation
    shift = draw(st.integers(0, min(20, most + 30)) | st.integers(0, most + 30))
    return Scales(weight=weight, activation=activation, accumulator=most - shift)


@st.composite
def cases(draw):
    """A layer in codes, raw activations, and a design that agrees with them."""
    config = draw(designs())
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_out, n_in = draw(st.integers(0, 3) | st.integers(0, 90)), draw(st.integers(0, 3) | st.integers(0, 60))
    n_code = 2**config.weight_bits
    codes = _codes(rng, (n_out, n_in), n_code, draw(DENSITIES))
    codes[:, rng.random(n_in) < draw(DENSITIES)] = 0
    bias_codes = _codes(rng, (n_out,), n_code, draw(DENSITIES)) if draw(st.booleans()) else None
    magnitude = draw(st.sampled_from([2, 300, 32767]))
    codebook = rng.integers(-magnitude, magnitude, n_code, dtype=np.int16)
    codebook[0] = 0
    matrix = EieMatrix.from_codes(
        codes,
        codebook,
        n_pe=config.n_pe,
        bias_codes=bias_codes,
        index_bits=config.index_bits,
        scales=draw(scales(bias_codes is not None)),
    )
    active = rng.random(n_in) < draw(DENSITIES)
    activations = np.where(active, rng.integers(-magnitude // 4 - 1, magnitude, n_in), 0).astype(np.int16)
    return Case(codes, bias_codes, matrix, activations, config)


@st.composite
def busy_cases(draw):
    """A layer with work to do on a few PEs: gaps to fill, queues that are full, often a bias."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n_out, n_in = rng.integers(1, 60), rng.integers(1, 25)
    index_bits, density = draw(st.integers(1, 4)), draw(st.sampled_from([0.05, 0.2, 0.5]))
    config = EieConfig(
        n_pe=draw(st.integers(1, 6)),
        queue_depth=draw(st.sampled_from([1, 2, 3, 7])),
        weight_bits=3,
        index_bits=index_bits,
        active=draw(st.sampled_from(["positive", "nonzero"])),
        clock_mhz=draw(st.sampled_from([800.0, 333.3, 0.7])),
    )
    codes = (rng.integers(1, 8, (n_out, n_in)) * (rng.random((n_out, n_in)) < density)).astype(np.uint8)
    bias_codes = draw(st.sampled_from([None, codes[:, 0], np.zeros(n_out, dtype=np.uint8)]))
    codebook = np.concatenate([[0], rng.integers(-900, 900, 7)]).astype(np.int16)
    given_scales = Scales(weight=10, activation=8, accumulator=12)
    matrix = EieMatrix.from_codes(
        codes, codebook, n_pe=config.n_pe, bias_codes=bias_codes, index_bits=index_bits, scales=given_scales
    )
    activations = rng.integers(-60, 400, n_in) * (rng.random(n_in) < draw(st.sampled_from([0.3, 0.9])))
    return Case(codes, bias_codes, matrix, activations.astype(np.int16), config)


def _codes(rng, shape, n_code, density):
    return np.where(rng.random(shape) < density, rng.integers(0, n_code, shape), 0).astype(np.uint8)
