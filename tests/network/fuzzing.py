"""Reads damaged ONNX files: `python tests/network/fuzzing.py FIRST COUNT` prints a line for each that goes wrong.

A file is read, lowered and run. It may be refused in one line; anything else is a finding. It has a process of its own,
since onnxruntime may end it over a damaged model: the number of each file is printed before it is read.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx_models import TensorProto, drawn, helper, model, node, run_products
from test_reader import constant, graph_with, loop

from eie_sim.core.errors import InputError
from eie_sim.network.lower import coverage
from eie_sim.network.readers import onnx_runtime
from eie_sim.network.readers.onnx_reader import read_onnx

MOST_RESIDENT_BYTES = 600 * 2**20


def valid():
    """Models with every computed kind, a branch, a loop, a function, and weights in odd places."""
    x, image = {"x": drawn(2, 4)}, {"x": drawn(1, 4, 6, 6)}
    norms = {name: np.abs(drawn(6, seed=n)) + 0.1 for n, name in enumerate(["g", "b", "m", "v"])}
    yield model([node("Gemm", "x w c", "h", transB=1), node("Relu", "h", "r"), node("MatMul", "r u", "y")], x,
                {"w": drawn(3, 4), "c": drawn(3), "u": drawn(3, 2)})  # fmt: skip
    conv = [node("Conv", "x w", "h", group=2, pads=[1, 1, 1, 1]), node("BatchNormalization", "h g b m v", "y")]
    yield model(conv, image, {"w": drawn(6, 2, 3, 3)} | norms)
    yield model(
        [node("ConvTranspose", "x w", "y", strides=[2, 2], auto_pad="SAME_LOWER")], image, {"w": drawn(4, 3, 3, 3)}
    )
    moved = [node("Slice", "w a b", "s"), node("Transpose", "s", "t"), node("Einsum", "x t", "y", equation="bi,io->bo")]
    yield model(moved, x, {"w": drawn(5, 4), "a": np.array([1]), "b": np.array([4])})
    yield model(
        [node("MatMul", "x w", "h"), loop([node("Add", "a x", "b")])], x, {"w": drawn(4, 4), "trips": np.array(3)}
    )
    choice = helper.make_node("If", ["c"], ["y"])
    for name in ("then_branch", "else_branch"):
        choice.attribute.append(
            helper.make_attribute(name, graph_with([constant("w", drawn(4, 3)), node("MatMul", "x w", "o")], "o"))
        )
    yield model(
        [node("Shape", "x", "n"), node("ReduceProd", "n", "p", keepdims=0), node("Equal", "p e", "c"), choice],
        x,
        {"e": np.array(8)},
    )
    function = helper.make_function(
        "own", "layer", ["a", "w"], ["b"], [node("MatMul", "a w", "b")], [helper.make_opsetid("", 17)]
    )
    call = helper.make_node("layer", ["x", "w"], ["y"], domain="own")
    yield model([call], x, {"w": drawn(4, 3)}, domains=["own"], functions=[function])
    half = model(
        [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("MatMul", "h w", "y")],
        x,
        {"w": drawn(4, 3).astype(np.float16)},
    )
    yield half


def damaged(data, rng):
    """Bytes changed, cut out, put in or copied; small numbers more often, since lengths and sizes are such."""
    data = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at, n = int(rng.integers(len(data))), int(rng.integers(1, 9))
        way = rng.integers(6)
        if way == 0:
            data[at] = rng.integers(256)
        elif way == 1:
            data[at] ^= 1 << rng.integers(8)
        elif way == 2:
            data[at] = rng.choice([0, 1, 2, 3, 5, 7, 8, 11, 16, 127, 128, 255])
        elif way == 3:
            del data[at : at + n]
        elif way == 4:
            data[at:at] = rng.bytes(n)
        else:
            other = int(rng.integers(len(data)))
            data[at : at + n] = data[other : other + n]
        if not data:
            data = bytearray(1)
    return bytes(data)


def trial(path):
    """Return what is wrong with how a file was taken, "" if nothing is, and whether it was used."""
    try:
        graph = read_onnx(path)
        coverage(graph)
        run_products(graph)
        return "", True
    except InputError as error:
        said = str(error)
        return ("" if "\n" not in said and len(said) < 1500 else f"not a line: {said!r}"), False
    except Exception as error:
        return f"{type(error).__name__}: {error}", False


def most_resident_bytes():
    """The most memory of this process so far; getrusage would count that of its parent too. 0 where it is not told."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main(first, count):
    onnx_runtime.MOST_LOOP_SECONDS = 0.5
    models = [one.SerializeToString() for one in valid()]
    used = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for number in range(first, first + count):
            rng = np.random.default_rng(number)
            path.write_bytes(damaged(models[number % len(models)], rng))
            print(number, flush=True)
            wrong, ran = trial(path)
            used += ran
            resident = most_resident_bytes()
            if resident > MOST_RESIDENT_BYTES:
                wrong = wrong or f"memory: {resident:,} bytes"
            if wrong:
                print(f"WRONG {number}: {wrong}", flush=True)
                if resident > MOST_RESIDENT_BYTES:
                    return
    print(f"used {used} of {count}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
