"""Runs a network of the shapes of ResNet-18 and prints where the time goes: `python resnet_run.py FOLDER` as JSON.

Its weights and its image are drawn, so what it computes means nothing. It has a process of its own, whose memory is
told too.
"""

import json
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

SIDE = 224
STAGES = (64, 128, 256, 512)


def resnet(seed=0):
    """The model as ONNX, and its MACs: 7x7 convolution, eight blocks of two 3x3 convolutions, a classifier."""
    rng = np.random.default_rng(seed)
    nodes, arrays = [], {}

    def add(op, inputs, output, **attributes):
        nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def convolved(x, name, c, m, kernel, stride, relu=True):
        arrays[f"{name}.weight"] = rng.standard_normal((m, c, kernel, kernel)) * (2 / (c * kernel**2)) ** 0.5
        pads, norms = [kernel // 2] * 4, [f"{name}.{part}" for part in ("gain", "shift", "mean", "var")]
        arrays.update(zip(norms, (*rng.standard_normal((3, m)) / 10, 1 + rng.random(m)), strict=True))
        arrays[norms[0]] += 1
        y = add("Conv", [x, f"{name}.weight"], name, strides=[stride] * 2, pads=pads)
        y = add("BatchNormalization", [y, *norms], f"{name}.norm")
        return add("Relu", [y], f"{name}.relu") if relu else y

    x = convolved("x", "stem", 3, 64, 7, 2)
    x = add("MaxPool", [x], "pooled", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    c = 64
    for stage, m in enumerate(STAGES):
        for block in range(2):
            name, stride = f"stage{stage}.{block}", 2 if stage and not block else 1
            y = convolved(x, f"{name}.a", c, m, 3, stride)
            y = convolved(y, f"{name}.b", m, m, 3, 1, relu=False)
            short = x if c == m else convolved(x, f"{name}.short", c, m, 1, stride, relu=False)
            x, c = add("Relu", [add("Add", [y, short], f"{name}.sum")], f"{name}.out"), m
    x = add("Flatten", [add("GlobalAveragePool", [x], "mean")], "flat")
    arrays |= {"fc.weight": rng.standard_normal((1000, c)) / c**0.5, "fc.bias": np.zeros(1000)}
    add("Gemm", [x, "fc.weight", "fc.bias"], "y", transB=1)
    tensors = [numpy_helper.from_array(array.astype(np.float32), name) for name, array in arrays.items()]
    infos = [
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)]
        for name, shape in (("x", (1, 3, SIDE, SIDE)), ("y", (1, 1000)))
    ]
    graph = helper.make_graph(nodes, "drawn weights in the shapes of ResNet-18", *infos, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


SECONDS = Counter()


def timed(name, function):
    """The function, whose seconds of this process are added up."""

    def measured(*given, **more):
        start = time.process_time()
        try:
            return function(*given, **more)
        finally:
            SECONDS[name] += time.process_time() - start

    return measured


def measured_run(path):
    """Return the run of a file; SECONDS has those of its parts.

    import : the file read, checked, and run once for its shapes
    float run : all nodes of the pruned and of the original network, and what is left to the host
    lowered : products in float, held against the float run
    prune, compress, scales, simulate, golden : as they are called
    all : with what lies between, such as vectors made of maps
    """
    import eie_sim as es
    from eie_sim import pipeline, product_run
    from eie_sim.network.products import Product
    from eie_sim.network.readers import onnx_runtime
    from eie_sim.units import unit_of

    es.run(es.load(np.ones((8, 8), np.float32)), es.EieConfig(n_pe=2))  # kernels are compiled, or read from their cache
    onnx_runtime.libraries()
    config, honest = es.EieConfig(n_pe=64), unit_of(es.EieConfig())
    unit = replace(honest, verify=timed("golden", honest.verify), opened=timed("scales", honest.opened))
    product_run.unit_of = lambda config: unit
    for module, name, word in (
        (product_run, "simulate", "simulate"),
        (product_run, "compress", "compress"),
        (pipeline, "prune_network", "prune"),
        (Product, "sums", "lowered"),
        (onnx_runtime, "run_nodes", "float run"),
    ):
        setattr(module, name, timed(word, getattr(module, name)))
    start = time.process_time()
    net = es.load(path)
    SECONDS.clear()
    SECONDS["import"] = time.process_time() - start
    run = es.run(net, config, density=0.3)
    SECONDS["all"] = time.process_time() - start
    return run


def main(folder):
    path = Path(folder) / "resnet.onnx"
    save(resnet(), path)
    run = measured_run(path)
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    positions = sum(row.n_vector for row in run.rows)
    macs = sum(share.macs for share in run.record.graph.macs)
    told = {"verified": run.verified, "positions": positions, "macs": macs, "peak_mb": int(peak.split()[1]) / 1e3}
    print(json.dumps(told | {"seconds": SECONDS}))


if __name__ == "__main__":
    main(sys.argv[1])
