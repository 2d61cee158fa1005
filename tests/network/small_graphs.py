"""Small graphs that units run whole."""

import numpy as np
from onnx_models import drawn, model, node, read

WIDE = {"weight_bits": 8}


def layers(**weights):
    return {name: array.astype(np.float32) for name, array in weights.items()}


def small(batch=1):
    """A 3x3 convolution with BatchNorm, one of two groups and stride 2, a depthwise one, an addition, a classifier."""
    arrays = layers(
        stem=drawn(8, 3, 3, 3) / 5,
        gain=1 + drawn(8, seed=1) / 9,
        shift=drawn(8, seed=2) / 9,
        mean=drawn(8, seed=3) / 9,
        var=1 + drawn(8, seed=4) ** 2,
        grouped=drawn(8, 4, 3, 3) / 6,
        depthwise=drawn(8, 1, 3, 3) / 3,
        last=drawn(5, 8) / 3,
        bias=drawn(5, seed=5),
    )
    nodes = [
        node("Conv", "x stem", "a", pads=[1, 1, 1, 1]),
        node("BatchNormalization", "a gain shift mean var", "b"),
        node("Relu", "b", "c"),
        node("Conv", "c grouped", "d", group=2, strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Relu", "d", "e"),
        node("Conv", "e depthwise", "f", group=8, pads=[1, 1, 1, 1]),
        node("Add", "e f", "g"),
        node("Relu", "g", "h"),
        node("GlobalAveragePool", "h", "i"),
        node("Flatten", "i", "j"),
        node("Gemm", "j last bias", "y", transB=1),
    ]
    x = drawn(batch, 3, 9, 8)
    return read(model(nodes, {"x": x}, arrays), {"x": x})


def mlp():
    """The weights of a chain of two layers, inputs, and the same as ONNX."""
    arrays = layers(w1=drawn(24, 16), b1=drawn(24), w2=drawn(10, 24, seed=1), b2=drawn(10, seed=1))
    x = np.maximum(drawn(4, 16, seed=2), 0)
    nodes = [
        node("Gemm", "x w1 b1", "a", transB=1),
        node("Relu", "a", "b"),
        node("Gemm", "b w2 b2", "y", transB=1),
    ]
    proto = model(nodes, {"x": x}, arrays)
    chain = {"1.weight": arrays["w1"], "1.bias": arrays["b1"], "2.weight": arrays["w2"], "2.bias": arrays["b2"]}
    return chain, x, read(proto, {"x": x}), proto
