"""Reads damaged ONNX files: `python tests/network/fuzzing.py FIRST COUNT` prints a line for each that goes wrong.

A file is read, lowered and run. It may be refused in one line; anything else is a finding. It has a process of its own,
since onnxruntime may end it over a damaged model: the number of each file is printed before it is read. Bytes are
damaged in every third file, fields in the others: these are still models, and come further.
"""

import contextlib
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from onnx_models import TensorProto, drawn, helper, model, node, read_onnx, run_products
from test_reader import constant, graph_with, loop

from eie_sim.core.errors import InputError
from eie_sim.network.lower import coverage
from eie_sim.network.readers import onnx_reader, onnx_runtime

MOST_GROWTH_BYTES = 200_000_000
"""What damaged files may need beside what a valid one has needed; inputs and values are held to a share of it."""
MOST_SECONDS = 5.0
NUMBERS = [*range(-3, 8), 16, 255, 2**15, 2**20, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**31), -(2**63)]
FLOATS = [0.0, -1.0, np.nan, np.inf, 1e30]
TEXTS = [b"VALID", b"SAME_UPPER", b"SAME_LOWER", b"ij,jk->ik", b"bi,bi->b", b"bi,io-", b"...", b"", b"\xff"]
OPERATORS = [
    "",
    "Concat",
    "Conv",
    "Gather",
    "Gemm",
    "If",
    "Loop",
    "MatMul",
    "Pad",
    "Reshape",
    "Resize",
    "Split",
    "Tile",
]


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
    host = [
        node("Pad", "x pads", "p"),
        node("MaxPool", "p", "m", kernel_shape=[2, 2]),
        node("Resize", "m   sizes", "s"),
    ]
    host[-1].input[:] = ["m", "", "", "sizes"]
    host += [node("Conv", "s w", "c"), node("Split", "c", "a b", axis=1), node("Concat", "a b", "d", axis=0)]
    host += [node("Gather", "d at", "e", axis=2), node("Expand", "e wide", "f"), node("Reshape", "f flat", "y")]
    numbers = {"pads": [0, 0, 1, 1, 0, 0, 1, 1], "sizes": [1, 4, 5, 5], "at": [0, 2], "wide": [1], "flat": [2, -1]}
    yield model(host, image, {"w": drawn(6, 4, 3, 3)} | {name: np.array(one) for name, one in numbers.items()})
    steps = [node("GRU", "x w r", "h last", hidden_size=3), node("Softmax", "h", "s"), node("MatMul", "s u", "y")]
    yield model(steps, {"x": drawn(3, 1, 4)}, {"w": drawn(1, 9, 4), "r": drawn(1, 9, 3), "u": drawn(3, 2)})


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


def fields_of(message):
    """Every field that is set in a message and in those within it: (message, field, True for a list)."""
    for field, value in message.ListFields():
        several = not isinstance(value, (int, float, str, bytes)) and hasattr(value, "__len__")
        yield message, field, several
        if field.message_type is not None:
            for one in value if several else [value]:
                yield from fields_of(one)


def other_value(field, value, names, rng):
    """Something else of the type of a field. names : all texts of the model"""
    if field.type == field.TYPE_STRING:
        return str(rng.choice([*names, *OPERATORS]))
    if field.type == field.TYPE_BYTES:
        return damaged(value or b"\0", rng) if rng.integers(2) else TEXTS[rng.integers(len(TEXTS))]
    return rng.choice(FLOATS) if field.type == field.TYPE_FLOAT else NUMBERS[rng.integers(len(NUMBERS))]


def changed(proto, rng):
    """A model in which one to three fields are left out, doubled, exchanged or given another value."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    for _ in range(rng.integers(1, 4)):
        every = list(fields_of(copy))
        names = [one for m, field, several in every if field.type == field.TYPE_STRING
                 for one in (getattr(m, field.name) if several else [getattr(m, field.name)])]  # fmt: skip
        message, field, several = every[rng.integers(len(every))]
        value, leave_out = getattr(message, field.name), rng.integers(5) == 0
        if not several:
            if leave_out or field.message_type is not None:
                message.ClearField(field.name)
            else:
                _set(setattr, message, field.name, other_value(field, value, names, rng))
            continue
        items = list(value)
        at, other = rng.integers(len(items), size=2)
        way = rng.integers(4)
        if leave_out:
            del items[at]
        elif way == 0:
            items.insert(other, items[at])
        elif way == 1 or field.message_type is not None:
            items[at], items[other] = items[other], items[at]
        else:
            items[at] = other_value(field, items[at], names, rng)
        if field.message_type is not None:
            items = [type(one).FromString(one.SerializePartialToString()) for one in items]
        message.ClearField(field.name)
        _set(getattr(message, field.name).extend, items)
    return copy


def _set(call, *given):
    """Leave what a field cannot hold, such as 2 ** 40 in 32 bits."""
    with contextlib.suppress(ValueError, TypeError):
        call(*given)


def data_of(number, models):
    """The file of a number."""
    rng = np.random.default_rng(number)
    proto = models[number // 3 % len(models)]
    return changed(proto, rng).SerializeToString() if number % 3 else damaged(proto.SerializeToString(), rng)


def trial(path):
    """Return what is wrong with how a file was taken, "" if nothing is, and whether it was used."""
    try:
        graph = read_onnx(path)
        coverage(graph)
        run_products(graph)
        return "", True
    except InputError as error:
        said = str(error)
        return ("" if said.isprintable() and len(said) < 1500 else f"not a line: {said!r}"), False
    except Exception as error:
        return f"{type(error).__name__}: {error}", False


def most_resident_bytes():
    """The most memory of this process so far; getrusage would count that of its parent too. 0 where it is not told."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def main(first, count):
    onnx_runtime.MOST_LOOP_SECONDS = 0.5
    onnx_runtime.MOST_VALUE_BYTES = 2**24
    onnx_reader.MOST_DRAWN = 2**20
    models = list(valid())
    used = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        for proto in models:
            path.write_bytes(proto.SerializeToString())
            assert trial(path) == ("", True)
        before = most_resident_bytes()
        for number in range(first, first + count):
            path.write_bytes(data_of(number, models))
            print(number, flush=True)
            begin = time.monotonic()
            wrong, ran = trial(path)
            used += ran
            grown = most_resident_bytes() - before
            if time.monotonic() - begin > MOST_SECONDS:
                wrong = wrong or f"took {time.monotonic() - begin:.0f} s"
            if grown > MOST_GROWTH_BYTES:
                wrong = wrong or f"memory: grown by {grown:,} bytes"
            if wrong:
                print(f"WRONG {number}: {wrong}", flush=True)
                if grown > MOST_GROWTH_BYTES:
                    return
    print(f"used {used} of {count}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
