"""Writes a small convolutional network with drawn weights, and images for it: small.onnx and images.npz."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

rng = np.random.default_rng(0)
shapes = {
    "stem.weight": (16, 3, 3, 3),
    "depth.weight": (16, 1, 3, 3),
    "point.weight": (32, 16, 1, 1),
    "fc.weight": (10, 32),
}
arrays = {name: rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5 for name, shape in shapes.items()}
arrays |= {"norm.weight": 1 + rng.random(16), "norm.bias": rng.standard_normal(16) / 9, "fc.bias": np.zeros(10)}
arrays |= {"norm.mean": rng.standard_normal(16) / 9, "norm.var": 1 + rng.random(16)}
norm = ["norm.weight", "norm.bias", "norm.mean", "norm.var"]
nodes = [
    helper.make_node("Conv", ["x", "stem.weight"], ["a"], name="stem", pads=[1, 1, 1, 1]),
    helper.make_node("BatchNormalization", ["a", *norm], ["b"], name="norm"),
    helper.make_node("Relu", ["b"], ["c"]),
    helper.make_node("Conv", ["c", "depth.weight"], ["d"], name="depth", pads=[1, 1, 1, 1], group=16),
    helper.make_node("Relu", ["d"], ["e"]),
    helper.make_node("Conv", ["e", "point.weight"], ["f"], name="point"),
    helper.make_node("Relu", ["f"], ["g"]),
    helper.make_node("GlobalAveragePool", ["g"], ["h"]),
    helper.make_node("Flatten", ["h"], ["i"]),
    helper.make_node("Gemm", ["i", "fc.weight", "fc.bias"], ["y"], name="fc", transB=1),
]
inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])]
outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 10])]
tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
graph = helper.make_graph(nodes, "small", inputs, outputs, tensors)
save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), "small.onnx")
np.savez("images.npz", x=rng.random((8, 3, 16, 16), dtype=np.float32))
