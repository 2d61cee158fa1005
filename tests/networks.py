"""Small networks for tests: chains with labelled inputs, made to a seed."""

from itertools import pairwise

import numpy as np
import pytest

from eie_sim.network import Layer, Network, mnist

needs_mnist = pytest.mark.skipif(mnist.images_file() is None, reason=mnist.INSTALL)


def chain(widths=(8, 12, 6, 4), *, seed=0, labelled=True, n=40, bias=True):
    """A chain of random layers; its test inputs are labelled by the network itself, its training inputs too."""
    rng = np.random.default_rng(seed)
    layers = tuple(
        Layer(
            name=f"fc{at}",
            weights=rng.normal(size=(n_out, n_in)).astype(np.float32),
            bias=rng.normal(size=n_out).astype(np.float32) if bias else None,
            weights_source="random",
            synthetic=True,
        )
        for at, (n_in, n_out) in enumerate(pairwise(widths), 1)
    )
    inputs = np.maximum(rng.normal(size=(2 * n, widths[0])), 0).astype(np.float32)
    labels = outputs(layers, inputs).argmax(axis=1)
    given = {"test_inputs": inputs[:n], "calibration": inputs[n:]}
    if labelled:
        given |= {"test_labels": labels[:n], "train_inputs": inputs[n:], "train_labels": labels[n:]}
    return Network(name="random", layers=layers, chained=True, source="random", **given)


def outputs(layers, inputs):
    """What layers compute in floats, ReLU between them."""
    for at, layer in enumerate(layers):
        inputs = inputs if at == 0 else np.maximum(inputs, 0)
        inputs = inputs @ layer.weights.T + (0 if layer.bias is None else layer.bias)
    return inputs
