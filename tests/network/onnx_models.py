"""Small ONNX models, and what onnxruntime makes of them by itself."""

import numpy as np
import pytest

from eie_sim.network.floatrun import framework_values, require_lowered, run
from eie_sim.network.lower import steps_of
from eie_sim.network.products import Product, Style
from eie_sim.network.readers.onnx_file import contents_of, read_contents
from eie_sim.network.readers.onnx_reader import graph_of

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
helper, numpy_helper, TensorProto = onnx.helper, onnx.numpy_helper, onnx.TensorProto

STYLES = (Style(), Style(batched=True), Style(fold=False), Style(batched=True, pattern=(2, 4)), Style(pattern=(1, 2)))


def read_onnx(path, inputs=None, **given):
    """The graph of a file, whatever its name is. given : as `graph_of` takes it"""
    return graph_of(read_contents(path), inputs, **given)


def drawn(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def node(op, inputs, outputs, **attributes):
    return helper.make_node(op, inputs.split(), outputs.split(), name=f"{op}_{outputs.split()[0]}", **attributes)


TAILS = ("", "Add", "BatchNormalization", "Add BatchNormalization", "BatchNormalization Add")


def with_tail(tail, nodes, arrays, n_out, rank):
    """The nodes, the last of which makes h, and those after it that may go into its weights; they end in y."""
    nodes, last = list(nodes), "h"
    for op in tail.split():
        name = f"after_{op}"
        if op == "Add":
            arrays["extra"] = drawn(n_out, *(1 for _ in range(rank - 2)), seed=9)
            nodes.append(node(op, f"extra {last}", name))
        else:
            arrays |= {part: drawn(n_out, seed=at) for at, part in enumerate(("gain", "shift", "mean"))}
            arrays["var"] = np.abs(drawn(n_out, seed=4)) + 0.1
            nodes.append(node(op, f"{last} gain shift mean var", name))
        last = name
    return [*nodes, node("Identity", last, "y")]


def model(nodes, inputs, arrays=None, outputs="y", opset=17, domains=(), functions=()):
    """inputs, arrays : by name"""
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in inputs.items()
    ]
    made = [helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in outputs.split()]
    for one in made:
        one.ClearField("type")
    tensors = [numpy_helper.from_array(array, name) for name, array in (arrays or {}).items()]
    imports = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    graph = helper.make_graph(nodes, "net", infos, made, tensors)
    return helper.make_model(graph, opset_imports=imports, ir_version=10, functions=functions)


def expected(proto, inputs):
    """Outputs by name, from onnxruntime, which runs the whole model."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1  # DynamicQuantizeLSTM rounds by thread
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = [output.name for output in session.get_outputs()]
    return dict(zip(wanted, session.run(wanted, inputs), strict=True))


def read(proto, inputs=None, **more):
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    return graph_of(contents_of(copy, "test"), inputs, **more)


def lower(graph, style=STYLES[0]):
    """All products of a graph in order."""
    return [product for step in steps_of(graph, style) for product in step.products]


def run_products(graph, style=STYLES[0], inputs=None):
    """Outputs of a graph whose computed nodes are products all the way; each is held against onnxruntime's node."""

    def compute(step, values):
        made = step.compute(values, Product.multiply)
        require_lowered(step, values, made, framework_values(graph, step, values))
        return made

    return run(graph, steps_of(graph, style), compute, inputs)


def agree(proto, inputs, styles=STYLES, tolerance=1e-5):
    """Products in every style against onnxruntime; return the graph."""
    graph = read(proto, inputs)
    wanted = expected(proto, inputs)
    for style in styles:
        found = run_products(graph, style)
        assert found.keys() == wanted.keys()
        for name, array in wanted.items():
            assert found[name].shape == array.shape
            assert np.abs(found[name] - array).max() <= tolerance * max(np.abs(array).max(), 1e-30), style
    return graph
