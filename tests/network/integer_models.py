"""Operators on integers as models of one node, and the arrays that they take."""

import numpy as np
from hypothesis import strategies as st
from onnx_models import model, node

from eie_sim.network.integers import INTEGERS


def whole(*shape, dtype=np.uint8, seed=0):
    bounds = np.iinfo(dtype)
    return np.random.default_rng([seed, *shape]).integers(bounds.min, bounds.max + 1, shape).astype(dtype)


def scales(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).uniform(0.002, 0.02, shape).astype(np.float32)


def one_of(op, given, outputs="y", inputs=("x",), **attributes):
    """A model of one node. given : arrays by name, in the order of the operator's inputs; None for one left out"""
    full = f"com.microsoft.{op}" in INTEGERS
    more = {"domain": "com.microsoft"} if full else {}
    one = node(op, "x", outputs.split()[0], **more, **attributes)
    del one.input[:], one.output[:]
    one.input.extend("" if array is None else name for name, array in given.items())
    one.output.extend("" if name == "-" else name for name in outputs.split())
    own = {name: array for name, array in given.items() if array is not None}
    fed = {name: own.pop(name) for name in inputs if name in own}
    outputs = " ".join(name for name in outputs.split() if name != "-")
    return model([one], fed, own, outputs=outputs, domains=["com.microsoft"] if full else []), fed


def zero(dtype, draw, shape=()):
    """A zero point; int8 weights of a row of columns have one for each."""
    bounds = np.iinfo(dtype)
    return np.array(draw(st.integers(bounds.min, bounds.max)), dtype) if shape == () else whole(*shape, dtype=dtype)
