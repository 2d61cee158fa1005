"""Files and inputs that cannot be used are refused in one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx_models import TensorProto, drawn, helper, model, node, numpy_helper, onnx, read, read_onnx, run_products

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.network.lower import steps_of
from eie_sim.network.readers import onnx_file

X = {"x": drawn(2, 4)}


def small(**arrays):
    return model([node("MatMul", "x w", "y")], X, {"w": drawn(4, 3)} | arrays)


def refused(rule, call, *given, **more):
    with pytest.raises(InputError, match=rule) as caught:
        call(*given, **more)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 900
    return str(caught.value)


def put(folder, proto, name="model.onnx"):
    data = proto if isinstance(proto, bytes) else proto.SerializeToString()
    (folder / name).write_bytes(data)
    return folder / name


def test_a_file_is_named_in_every_refusal(tmp_path):
    path = put(tmp_path, small().SerializeToString()[:-7])
    said = refused("is no ONNX file, or cut off|damaged|must", read_onnx, path)
    assert said.startswith(f"file={path}: ") and said.count("file=") == 1
    refused("no such file", read_onnx, tmp_path / "none.onnx")
    refused("must be an ordinary file", read_onnx, tmp_path)
    refused("is no ONNX file", read_onnx, put(tmp_path, b"PK\3\4 and more"))
    refused("must have nodes", read_onnx, put(tmp_path, b""))


def test_a_file_that_is_cut_off_anywhere_is_refused_or_whole(tmp_path):
    data = small(b=drawn(300)).SerializeToString()
    for length in range(0, len(data), 7):
        refused("^file=", read_onnx, put(tmp_path, data[:length]))


EXPORTS = {
    "net.pt": "torch.onnx.export",
    "net.PTH": "torch.onnx.export",
    "net.jit": "torch.onnx.export",
    "net.h5": "format='onnx'",
    "net.keras": "format='onnx'",
    "net.pb": "tf2onnx.convert --saved-model FOLDER --output net.onnx",
    "net.tflite": "tf2onnx.convert --tflite 'net.tflite' --output net.onnx",
}
COMMANDS = ("run", "describe", "compare", "prune", "footprint", "compress", "sweep --n-pe 1,2", "trace --out t.json")


@pytest.mark.parametrize("name", EXPORTS)
def test_files_of_other_tools_are_not_opened_and_their_export_is_said(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(b"\x80\x02c")
    assert EXPORTS[name].replace("'net.tflite'", "PATH") in refused("never read|not read", read_onnx, name)
    assert EXPORTS[name] in refused("never read|not read", es.load, name)
    for command in COMMANDS:
        word, *options = command.split()
        assert main([word, name, *options]) == 2
        error = capsys.readouterr().err
        assert EXPORTS[name] in error and error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [tmp_path / name]


def test_a_file_may_be_too_large(tmp_path, monkeypatch):
    path = put(tmp_path, small())
    monkeypatch.setattr(onnx_file, "MAX_ONNX_BYTES", path.stat().st_size - 1)
    refused("bytes: must be at most", read_onnx, path)


def test_sizes_are_summed_before_anything_is_allocated():
    proto = small()
    for _ in range(3):
        proto.graph.initializer.append(TensorProto(name=f"big{_}", data_type=TensorProto.FLOAT, dims=[2**14, 2**14]))
    refused("3,221,225,520 bytes declared: must be at most 2,147,483,648", read, proto)
    proto = small()
    proto.graph.initializer[0].dims[0] = 2**40
    refused("bytes declared", read, proto)
    proto.graph.initializer[0].dims[0] = -4
    refused("must not be negative", read, proto)
    proto.graph.initializer[0].dims[0] = 5
    refused("is damaged", read, proto)
    proto.graph.initializer[0].dims[0] = 4
    proto.graph.initializer[0].data_type = 99
    refused("array w=type 99: is unknown", read, proto)


def external(folder, location, **more):
    proto = small()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=str(value))
    return put(folder, proto)


def test_external_data_lies_in_the_folder_of_the_model(tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    data = np.concatenate([np.zeros(2, np.float32), drawn(4, 3).ravel()]).tobytes()
    (inside / "weights.bin").write_bytes(data)
    (tmp_path / "outside.bin").write_bytes(data)
    (inside / "link.bin").symlink_to(tmp_path / "outside.bin")
    graph = read_onnx(external(inside, "weights.bin", offset=8, length=48))
    assert np.array_equal(graph.parameters["w"].array, drawn(4, 3))
    for location in ("../outside.bin", str(tmp_path / "outside.bin"), "link.bin", "none.bin", "."):
        refused("must be a file in the model's folder", read_onnx, external(inside, location))
    refused("must be within its file", read_onnx, external(inside, "weights.bin", offset=12))
    refused("must be within its file", read_onnx, external(inside, "weights.bin", length=44))
    refused("offset and length must be numbers", read_onnx, external(inside, "weights.bin", offset="-8"))
    refused("external data", read_onnx, external(inside, ""))


def test_bfloat16_is_computed_as_float32(tmp_path):
    nodes = [node("Cast", "x", "c", to=TensorProto.BFLOAT16), node("MatMul", "c w", "y")]
    proto = model(nodes, {"x": drawn(2, 4)})
    proto.graph.initializer.append(helper.make_tensor("w", TensorProto.BFLOAT16, [4, 3], drawn(4, 3).ravel().tolist()))
    graph = read(proto)
    wanted = numpy_helper.to_array(proto.graph.initializer[0]).astype(np.float32)
    assert np.array_equal(graph.parameters["w"].array, wanted) and graph.parameters["w"].array.dtype == np.float32
    assert "bfloat16 is computed as float32" in graph.notes
    words = (wanted.view(np.uint32) >> 16).astype("<u2")
    (tmp_path / "w.bin").write_bytes(words.tobytes())
    proto.graph.initializer[0].CopyFrom(TensorProto(name="w", data_type=TensorProto.BFLOAT16, dims=[4, 3]))
    proto.graph.initializer[0].data_location = TensorProto.EXTERNAL
    proto.graph.initializer[0].external_data.add(key="location", value="w.bin")
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    assert np.array_equal(read_onnx(tmp_path / "model.onnx").parameters["w"].array, wanted)


@pytest.mark.parametrize("opset", [6, 0, 10_000])
def test_an_opset_that_is_too_old_or_too_new(opset):
    proto = small()
    proto.opset_import[0].version = opset
    refused(f"opset={opset}: must be 7 to {onnx.defs.onnx_opset_version()}", read, proto)


@pytest.mark.parametrize(("domain", "op"), [("ai.onnx.ml", "Scaler"), ("com.microsoft", "Gelu")])
def test_an_opset_of_another_domain(domain, op):
    given = {"offset": [0.0], "scale": [2.0]} if op == "Scaler" else {}
    nodes = [node("MatMul", "x w", "h"), helper.make_node(op, ["h"], ["y"], domain=domain, **given)]
    proto = model(nodes, X, {"w": drawn(4, 3)}, domains=[domain])
    assert run_products(read(proto))["y"].shape == (2, 3)
    proto.opset_import[1].version = 99
    refused(f"opset {domain}=99: must be 1 to [15]", read, proto)


def test_operators_that_nobody_knows():
    nodes = [helper.make_node("Fancy", ["x"], ["h"], domain="org.own", name="odd"), node("MatMul", "h w", "y")]
    proto = model(nodes, X, {"w": drawn(4, 3)}, domains=["org.own"])
    refused("node odd: operator Fancy of domain org.own, version 1, is not known", read, proto)
    nodes[0].domain = ""
    said = "node odd: operator Fancy of domain ai.onnx, version 17, is not known: must be an operator of ai.onnx, "
    refused(said, read, model(nodes, X, {"w": drawn(4, 3)}))
    nodes[0].domain = "com.microsoft"
    refused("node odd.*Fancy", read, model(nodes, X, {"w": drawn(4, 3)}, domains=["com.microsoft"]))
    unused = helper.make_node("Fancy", ["x"], ["unused"], domain="org.own")
    read(model([unused, node("MatMul", "x w", "y")], X, {"w": drawn(4, 3)}, domains=["org.own"]))


def test_what_would_end_the_process_or_never_end_is_not_run():
    """onnxruntime crashes over an input that is left out and must be there, onnx goes round in some equations."""
    einsum = node("Einsum", "x w", "y", equation="bi,io->bo")
    einsum.input[1] = ""
    refused("node Einsum_y: Einsum=input 1 is left out: must be there", read, model([einsum], X))
    for equation in ("bi,io-", "bi,io....->bo", "bi,io->b-"):
        proto = model([node("Einsum", "x w", "y", equation=equation)], X, {"w": drawn(4, 3)})
        refused(f"node Einsum_y: equation={equation}: must be letters", read, proto)
    spaced = model([node("Einsum", "x w", "y", equation=" ...i , io -> ...o ")], X, {"w": drawn(4, 3)})
    assert len(steps_of(read(spaced))) == 1


def functions(*calls):
    """f0, f1, .., each of which calls what is said as often as it is said."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    made = []
    for number, called in enumerate(calls):
        names = ["a", *(f"h{step}" for step in range(len(called) - 1)), "b"]
        body = [
            helper.make_node(name, [x], [y], domain="own" if name.startswith("f") else "")
            for name, x, y in zip(called, names[:-1], names[1:], strict=True)
        ]
        made.append(helper.make_function("own", f"f{number}", ["a"], ["b"], body, imports))
    nodes = [helper.make_node("f0", ["x"], ["h"], domain="own"), node("MatMul", "h w", "y")]
    return model(nodes, X, {"w": drawn(4, 3)}, domains=["own"], functions=made)


def test_functions_that_call_each_other():
    assert len(steps_of(read(functions(["f1", "f1"], ["Relu", "Relu"])))) == 1
    refused(
        "1,099,511,627,776 nodes: must become at most",
        read,
        functions(*([f"f{n + 1}"] * 2 for n in range(39)), ["Relu"] * 2),
    )
    refused("function=f0: must not call itself", read, functions(["f1"], ["f0"]))


def test_nothing_to_compute_lists_what_there_is():
    graph = read(model([node("Relu", "x", "h"), node("Exp", "h", "y")], X))
    refused("nothing to compute: no weights; its operators: Exp, Relu", steps_of, graph)


def test_the_commands_say_that_there_is_nothing_to_compute(tmp_path, capsys):
    file = str(put(tmp_path, model([node("Relu", "x", "h"), node("Exp", "h", "y")], X)))
    for command in ("run", "describe"):
        assert main([command, file]) == 2
        assert capsys.readouterr().err == f"error: {file}: nothing to compute: no weights; its operators: Exp, Relu\n"


def test_what_is_left_to_the_host_whole_is_described(tmp_path, capsys):
    proto = model([node("MatMul", "x x", "y")], {"x": drawn(4, 4)})
    assert main(["describe", str(put(tmp_path, proto))]) == 0
    assert "covers 0.0 % of 64 MACs" in capsys.readouterr().out
    arrays = {"w": drawn(3, 2, 2, 2), "o": drawn(1, 8, 3, 3)}
    proto = model([node("DeformConv", "x w o", "y")], {"x": drawn(1, 2, 4, 4)}, arrays, opset=19)
    assert main(["describe", str(put(tmp_path, proto))]) == 0
    assert "covers 0.0 % of 0 MACs" in capsys.readouterr().out


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_or_an_input_that_is_no_number(value):
    w = drawn(4, 3)
    w[2, 1] = value
    said = refused("must be finite", read, small(w=w))
    assert "node MatMul_y: weight w is NaN or infinite first at [2, 1]" in said
    nodes = [node("Log", "x", "h"), node("MatMul", "h w", "y")]
    graph = read(model(nodes, X, {"w": drawn(4, 3)}), {"x": np.array([[1, 1, 1, 1], [1, -1, 1, 0]], np.float32)})
    said = refused("must be finite", run_products, graph)
    assert "node MatMul_y: input h is NaN or infinite first at [1, 1]" in said


def test_inputs_that_do_not_fit():
    refused("inputs=xx: unknown; did you mean x", read, small(), {"xx": drawn(2, 4)})
    refused("shapes=xx: unknown; did you mean x", read, small(), shapes={"xx": (2, 4)})
    refused(r"inputs x=shape \(2, 5\): must be \(2, 4\)", read, small(), {"x": drawn(2, 5)})
    refused(r"inputs x=shape \(4,\): must be \(2, 4\)", read, small(), {"x": drawn(4)})
    refused("inputs x=dtype int64: must be float32", read, small(), {"x": np.ones((2, 4), int)})
    refused(r"shape of x=\(2, 5\): must be \(2, 4\)", read, small(), shapes={"x": (2, 5)})
    refused("shape of x=.*must be whole numbers above 0", read, small(), shapes={"x": (2, -4)})
    refused("seed", read, small(), seed=-1)
    assert read(small(), drawn(2, 4).astype(np.float64)).examples["x"].dtype == np.float32
    two = model([node("MatMul", "x w", "h"), node("Add", "h z", "y")], X | {"z": drawn(2, 3)}, {"w": drawn(4, 3)})
    refused("must be arrays by name: x, z", read, two, drawn(2, 4))


def test_inputs_whose_type_cannot_hold_their_numbers():
    proto = model([node("Cast", "x", "f", to=1), node("MatMul", "f w", "y")], {"x": np.ones((2, 4), np.uint8)},
                  {"w": drawn(4, 3)})  # fmt: skip
    assert read(proto, {"x": np.full((2, 4), 255)}).examples["x"].dtype == np.uint8
    refused("inputs x=300: must be in the range of uint8", read, proto, {"x": np.full((2, 4), 300)})
    refused("inputs x=-1: must be in the range of uint8", read, proto, {"x": np.full((2, 4), -1)})
    refused("inputs x=1e[+]300: must be in the range of float32", read, small(), {"x": np.full((2, 4), 1e300)})
    refused("input x is NaN or infinite first at", run_products, read(small(), {"x": np.full((2, 4), np.inf)}))


def test_an_input_of_any_shape():
    proto = small()
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    refused("input x: the file does not say its shape: give shapes or inputs", read, proto)
    assert read(proto, {"x": drawn(5, 4)}).values["y"].shape == (5, 3)
    assert read(proto, shapes={"x": (5, 4)}).drawn == ("x",)
    said = model([node("Reshape", "x n", "h"), node("MatMul", "h w", "y")], {"x": np.float32(2)},
                 {"w": drawn(1, 3), "n": np.array([1, 1])})  # fmt: skip
    refused(r"inputs x=shape \(2, 4\): must be \(\)", read, said, {"x": drawn(2, 4)})


def test_drawn_inputs_are_those_of_one_draw():
    wide = model(
        [node("MatMul", "x w", "y")], {"x": np.zeros((3, 2**19), np.float32)}, {"w": np.ones((2**19, 1), np.float32)}
    )
    wanted = np.random.default_rng(0).standard_normal((3, 2**19)).astype(np.float32)
    assert np.array_equal(read(wide).examples["x"], wanted)


def test_inputs_of_other_kinds():
    proto = small()
    proto.graph.input.append(helper.make_tensor_value_info("text", TensorProto.STRING, [1]))
    refused("input text=texts: must be numbers", read, proto)
    proto = small()
    proto.graph.input.append(helper.make_tensor_sequence_value_info("list", TensorProto.FLOAT, None))
    refused("input list=sequence_type: must be an array", read, proto)
    proto = small()
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2**40
    refused("too many to draw", read, proto)


def test_a_free_side_where_one_fails_is_named():
    proto = model([node("Conv", "x w", "y")], {"x": drawn(1, 3, 8, 8)}, {"w": drawn(4, 3, 3, 3)})
    for axis, name in ((2, "height"), (3, "width")):
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    said = refused("onnxruntime cannot run it", read, proto)
    assert said.endswith("x: side height is 1, x: side width is 1: give shapes or inputs")
    assert read(proto, shapes={"x": (1, 3, 9, 9)}).values["y"].shape == (1, 4, 7, 7)


def test_damaged_graphs():
    refused(
        "reads h, which is made by no node before it", read, model([node("MatMul", "h w", "y")], X, {"w": drawn(4, 3)})
    )
    refused(
        "output=y: is made by no node", read, model([node("MatMul", "x w", "z")], X, {"w": drawn(4, 3)}, outputs="y")
    )
    proto = small()
    proto.graph.initializer.append(numpy_helper.from_array(drawn(4, 3), "w"))
    refused("must not be there twice", read, proto)
    cycle = [node("Add", "x b", "a"), node("Relu", "a", "b"), node("MatMul", "b w", "y")]
    refused("made by no node before it", read, model(cycle, X, {"w": drawn(4, 3)}))
    refused("onnxruntime cannot run it", read, small(w=drawn(5, 3)))


def test_a_value_that_would_fill_the_memory_is_refused():
    nodes = [
        node("ConstantOfShape", "n", "big"),
        node("ReduceSum", "big", "s"),
        node("MatMul", "x w", "h"),
        node("Add", "h s", "y"),
    ]
    arrays = {"w": drawn(4, 3), "n": np.array([2**20, 2**20])}
    refused("too many to run", read, model(nodes, X, arrays))


GROWTH = """
import sys
from fuzzing import most_resident_bytes
from onnx_models import read_onnx
read_onnx(sys.argv[1])
before = most_resident_bytes()
read_onnx(sys.argv[2])
print(most_resident_bytes() - before)
"""


def test_a_file_is_read_in_memory_of_its_own_size(tmp_path):
    """At most twice the file and 200 MB, beside libraries that a small file has loaded."""
    sides = 4096
    wide = model([node("MatMul", "x w", "y")], {"x": drawn(1, sides)}, {"w": np.ones((sides, sides), np.float32)})
    files = put(tmp_path, small(), "small.onnx"), put(tmp_path, wide, "wide.onnx")
    run = subprocess.run(
        [sys.executable, "-c", GROWTH, *files], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    assert 0 <= int(run.stdout) <= 2 * files[1].stat().st_size + 200e6


def test_what_is_missing_is_said_with_how_to_install_it(monkeypatch):
    from eie_sim.network.readers import onnx_runtime

    monkeypatch.setattr(onnx_runtime, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    onnx_runtime.libraries.cache_clear()
    refused('pip install "eie-sim\\[onnx\\]"', read_onnx, "model.onnx")
    onnx_runtime.libraries.cache_clear()


def test_a_network_that_cannot_be_written(tmp_path):
    graph = read(small(), X)
    refused("must be in a folder that exists", graph.save, tmp_path / "none" / "net.onnx")
    refused("must be an ordinary file", graph.save, tmp_path)
