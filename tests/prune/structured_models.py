"""Networks to take apart, as ONNX models with drawn weights of the usual sizes."""

import numpy as np
import pytest

from eie_sim.network.readers.onnx_file import contents_of
from eie_sim.network.readers.onnx_reader import graph_of

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


class Net:
    """A model on its way: methods add nodes and return the name of what they make."""

    def __init__(self, seed=0):
        self.rng, self.nodes, self.arrays, self.inputs = np.random.default_rng(seed), [], {}, {}

    def input(self, name, *shape, below=None):
        """below : whole numbers below it"""
        drawn = self.rng.standard_normal(shape).astype(np.float32)
        self.inputs[name] = drawn if below is None else self.rng.integers(0, below, shape)
        return name

    def weight(self, name, *shape, around=0.0, fan_in=None):
        spread = (fan_in or (int(np.prod(shape[1:])) if len(shape) > 1 else 4)) ** -0.5
        self.arrays[name] = (around + spread * self.rng.standard_normal(shape)).astype(np.float32)
        return name

    def constant(self, values, dtype=np.int64):
        """An array without a name of its own, as exporters write shapes and tables."""
        name = f"constant{len(self.nodes)}"
        array = numpy_helper.from_array(np.array(values, dtype))
        self.nodes.append(helper.make_node("Constant", [], [name], value=array))
        return name

    def add(self, op, *reads, makes=None, n_out=1, **attributes):
        names = [f"{op}{len(self.nodes)}{'abcdefgh'[at] if n_out > 1 else ''}" for at in range(n_out)]
        names = [makes] if makes else names
        self.nodes.append(helper.make_node(op, list(reads), names, name=names[0], **attributes))
        return names[0] if n_out == 1 else names

    def conv(self, x, name, c, m, kernel=3, stride=1, group=1, bias=False, **more):
        reads = [x, self.weight(f"{name}.weight", m, c // group, kernel, kernel)]
        reads += [self.weight(f"{name}.bias", m)] if bias else []
        pads = [kernel // 2] * 4
        return self.add("Conv", *reads, strides=[stride] * 2, pads=pads, group=group, makes=name, **more)

    def batch_norm(self, x, name, c):
        parts = [self.weight(f"{name}.{part}", c, around=around) for part, around in (("weight", 1), ("bias", 0))]
        parts.append(self.weight(f"{name}.running_mean", c))
        self.arrays[f"{name}.running_var"] = (0.5 + self.rng.random(c)).astype(np.float32)
        return self.add("BatchNormalization", x, *parts, f"{name}.running_var", makes=name)

    def linear(self, x, name, n_in, n_out, bias=True):
        reads = [x, self.weight(f"{name}.weight", n_out, n_in)] + ([self.weight(f"{name}.bias", n_out)] if bias else [])
        return self.add("Gemm", *reads, transB=1, makes=name)

    def matmul(self, x, name, n_in, n_out, bias=False):
        """A linear layer of any rank: its weight (out, in) is turned first."""
        turned = self.add("Transpose", self.weight(f"{name}.weight", n_out, n_in), perm=[1, 0])
        y = self.add("MatMul", x, turned)
        return self.add("Add", y, self.weight(f"{name}.bias", n_out)) if bias else y

    def reshape(self, x, *shape):
        return self.add("Reshape", x, self.constant(shape))

    def rms_norm(self, x, name, n):
        """Spelled out, as exporters do."""
        mean = self.add("ReduceMean", self.add("Pow", x, self.constant(2.0, np.float32)), axes=[-1], keepdims=1)
        root = self.add("Sqrt", self.add("Add", mean, self.constant(1e-5, np.float32)))
        return self.add("Mul", self.add("Div", x, root), self.weight(f"{name}.weight", n, around=1))

    def model(self, *outputs, opset=17):
        infos = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self.inputs.items()
        ]
        made = [helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in outputs]
        for one in made:
            one.ClearField("type")
        tensors = [numpy_helper.from_array(array, name) for name, array in self.arrays.items()]
        graph = helper.make_graph(self.nodes, "net", infos, made, tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

    def graph(self, *outputs, opset=17):
        return graph_of(contents_of(self.model(*outputs, opset=opset), "test"), self.inputs)


def resnet18(small):
    """small : of images of 32 x 32 and 10 classes, else of 1,000 classes and a stem of 7 x 7"""
    net = Net()
    x = net.input("x", 1, 3, 32, 32)

    def convolved(x, name, c, m, kernel, stride=1, relu=True):
        y = net.batch_norm(net.conv(x, name, c, m, kernel, stride), f"{name}.bn", m)
        return net.add("Relu", y) if relu else y

    x = convolved(x, "conv1", 3, 64, 3 if small else 7, 1 if small else 2)
    x = x if small else net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    c = 64
    for stage, m in enumerate((64, 128, 256, 512), 1):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and not block else 1
            y = convolved(convolved(x, f"{name}.conv1", c, m, 3, stride), f"{name}.conv2", m, m, 3, relu=False)
            short = x if c == m else convolved(x, f"{name}.downsample", c, m, 1, stride, relu=False)
            x, c = net.add("Relu", net.add("Add", y, short)), m
    x = net.add("Flatten", net.add("GlobalAveragePool", x))
    return net.graph(net.linear(x, "fc", c, 10 if small else 1000))


def llama(tied=False, opset=17):
    """Vocabulary 20, hidden 32, 8 q and 2 kv heads of 4, FFN 48, 2 blocks."""
    hidden, n_q, n_kv, size, ffn, length = 32, 8, 2, 4, 48, 5
    net = Net()
    x = net.add("Gather", net.weight("embed.weight", 20, hidden, fan_in=1), net.input("tokens", 1, length, below=20))
    angles = np.arange(length)[:, None] / 100.0 ** (np.arange(size // 2) / (size // 2))
    tables = [net.constant(np.tile(part(angles), (1, 2)), np.float32) for part in (np.cos, np.sin)]

    def turned(x):
        halves = [
            net.add("Slice", x, *map(net.constant, ([start], [end], [3])))
            for start, end in ((0, size // 2), (size // 2, 2**62))
        ]
        crossed = net.add("Concat", net.add("Neg", halves[1]), halves[0], axis=-1)
        return net.add("Add", net.add("Mul", x, tables[0]), net.add("Mul", crossed, tables[1]))

    def heads(x, name, n):
        y = net.reshape(net.matmul(x, name, hidden, n * size), 1, length, n, size)
        return net.add("Transpose", y, perm=[0, 2, 1, 3])

    def repeated(x):
        y = net.add("Unsqueeze", x, net.constant([2]))
        y = net.add("Expand", y, net.constant([1, n_kv, n_q // n_kv, length, size]))
        return net.reshape(y, 1, n_q, length, size)

    for block in range(2):
        name = f"block{block}"
        y = net.rms_norm(x, f"{name}.norm1", hidden)
        q, k = turned(heads(y, f"{name}.q", n_q)), turned(heads(y, f"{name}.k", n_kv))
        k, v = repeated(k), repeated(heads(y, f"{name}.v", n_kv))
        scores = net.add("MatMul", q, net.add("Transpose", k, perm=[0, 1, 3, 2]))
        scores = net.add("Mul", scores, net.constant(size**-0.5, np.float32))
        mask = net.constant(np.triu(np.full((length, length), -1e9), 1), np.float32)
        context = net.add("MatMul", net.add("Softmax", net.add("Add", scores, mask), axis=-1), v)
        context = net.reshape(net.add("Transpose", context, perm=[0, 2, 1, 3]), 1, length, -1)
        x = net.add("Add", x, net.matmul(context, f"{name}.o", n_q * size, hidden))
        y = net.rms_norm(x, f"{name}.norm2", hidden)
        gate = net.matmul(y, f"{name}.gate", hidden, ffn)
        gate = net.add("Mul", gate, net.add("Sigmoid", gate))
        y = net.add("Mul", gate, net.matmul(y, f"{name}.up", hidden, ffn))
        x = net.add("Add", x, net.matmul(y, f"{name}.down", ffn, hidden))
    x = net.rms_norm(x, "norm", hidden)
    if tied:
        return net.graph(net.add("MatMul", x, net.add("Transpose", "embed.weight", perm=[1, 0])), opset=opset)
    return net.graph(net.matmul(x, "head", hidden, 20), opset=opset)
