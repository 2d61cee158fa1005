"""Arrays by name, as people save them, and the layers that they are."""

import numpy as np

import eie_sim as es
from eie_sim.network import network_from_arrays

SMALL = es.EieConfig(n_pe=4)

ROWS = np.arange(1, 9, dtype=np.float32)


def rng(seed=0):
    return np.random.default_rng(seed)


def sparse(shape, seed=0, density=0.3):
    w = rng(seed).normal(size=shape).astype(np.float32)
    return w * (rng(seed + 100).random(shape) < density).astype(np.float32)


def one(arrays, **given):
    """The only layer of named arrays."""
    (layer,) = network_from_arrays(arrays, "net", **given).layers
    return layer


def reasons(arrays, **given):
    return dict(network_from_arrays(arrays, "net", **given).not_simulated)


FC = {"fc.weight": sparse((4, 6))}


def batch_norm(n, seed=0, name="bn1"):
    values = rng(seed).random((4, n)).astype("f4") + 0.5
    return dict(
        zip((f"{name}.{part}" for part in ("weight", "bias", "running_mean", "running_var")), values, strict=True)
    )
