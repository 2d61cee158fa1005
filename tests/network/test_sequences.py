"""Parts that exporters split off as a sequence are slices, where sizes and places are constant."""

import numpy as np
import pytest
from onnx_models import drawn, expected, helper, model, onnx, read, read_onnx, run_products

from eie_sim.core.errors import InputError
from eie_sim.network import floatrun

runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
make, FLOAT = onnx.helper.make_node, onnx.TensorProto.FLOAT
W = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32)
X = drawn(2, 7)


def split(sizes, places, **attributes):
    nodes = [helper.make_node("SplitToSequence", ["x", "sizes"], ["parts"], name="split", axis=1, **attributes)]
    arrays = {"sizes": np.array(sizes)}
    for at, place in enumerate(places):
        arrays[f"place{at}"] = np.array(place)
        nodes.append(helper.make_node("SequenceAt", ["parts", f"place{at}"], [f"y{at}"], name=f"at{at}"))
    return model(nodes, {"x": X}, arrays, outputs=" ".join(f"y{at}" for at in range(len(places))))


@pytest.mark.parametrize(("sizes", "places"), [(3, [0, 1, 2]), ([2, 4, 1], [2, 0]), ([7], [0])])
def test_parts_of_a_sequence_are_slices(sizes, places):
    proto = split(sizes, places)
    graph = read(proto, {"x": X})
    assert [node.op for node in graph.nodes] == ["Slice"] * len(places)
    found, wanted = floatrun.run(graph), expected(proto, {"x": X})
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_sequence_that_is_read_otherwise_is_refused_as_before():
    with pytest.raises(InputError, match="only arrays are supported"):
        read(split(3, [-1]), {"x": X})


def saved(tmp_path, split, places, as_constants=False, **attributes):
    """x [2, 3] times W, its pieces at places, beside each other."""
    arrays = {"w": W} | ({} if split is None else {"split": np.array(split)})
    arrays |= {f"at{i}": np.array(at) for i, at in enumerate(places)}
    nodes = [
        make("MatMul", ["x", "w"], ["y"]),
        make("SplitToSequence", ["y", "split"][: len(arrays) - len(places)], ["s"], **attributes),
    ]
    nodes += [make("SequenceAt", ["s", f"at{i}"], [f"p{i}"]) for i in range(len(places))]
    nodes.append(make("Concat", [f"p{i}" for i in range(len(places))], ["z"], axis=-1))
    tensors = {name: onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()}
    if as_constants:
        nodes = [make("Constant", [], [name], value=tensors.pop(name)) for name in [*tensors] if name != "w"] + nodes
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes, "g", [info("x", FLOAT, [2, 3])], [info("z", FLOAT, None)], [*tensors.values()]
    )
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8),
        tmp_path / "m.onnx",
    )
    return tmp_path / "m.onnx"


@pytest.mark.parametrize("as_constants", [False, True])
@pytest.mark.parametrize(
    ("split", "places", "attributes"),
    [([3, 4], [1, 0], {"axis": 1}), (3, [2, 0], {"axis": -1}), (None, [6, 1, 1], {"axis": 1}), ([1, 1], [1], {})],
)
def test_pieces_are_those_of_onnxruntime(tmp_path, split, places, attributes, as_constants):
    file = saved(tmp_path, split, places, as_constants, **attributes)
    x = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)
    graph = read_onnx(file, {"x": x})
    (wanted,) = runtime.InferenceSession(file).run(None, {"x": x})
    assert np.allclose(run_products(graph)["z"], wanted, atol=1e-6)
    assert {node.op for node in graph.nodes} == {"MatMul", "Slice", "Concat"}


@pytest.mark.parametrize(
    ("split", "places", "attributes"), [([3, 4], [-1], {"axis": 1}), (None, [1], {"axis": 1, "keepdims": 0})]
)
def test_a_list_that_stays_is_refused(tmp_path, split, places, attributes):
    with pytest.raises(InputError, match="value s: is a list: only arrays are supported"):
        read_onnx(saved(tmp_path, split, places, **attributes))
