"""Convolutions in transformed weights, against im2col, the framework, and brute force."""

from itertools import product as every

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import drawn, model, node, read

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError
from eie_sim.network.floatrun import run
from eie_sim.network.lower import steps_of
from eie_sim.network.winograd import OP, convolved
from eie_sim.network.winograd_graph import with_winograd

DESIGNS = [es.EieConfig(n_pe=4), es.TensorCoreConfig.preset("nm-64")]


def conv_graph(batch=1, channels=3, out=4, size=(6, 6), *, bias=False, norm=False, **attributes):
    inputs = {"x": drawn(batch, channels, *size)}
    arrays = {"w": drawn(out, channels, 3, 3)} | ({"b": drawn(out)} if bias else {})
    made = "c" if norm else "y"
    nodes = [node("Conv", "x w" + (" b" if bias else ""), made, **attributes)]
    if norm:
        arrays |= {name: drawn(out) for name in ("scale", "shift", "mean")} | {"var": np.abs(drawn(out)) + 0.5}
        nodes.append(node("BatchNormalization", "c scale shift mean var", "y"))
    return read(model(nodes, inputs, arrays), inputs)


sides = st.integers(1, 9)


@st.composite
def conv_graphs(draw):
    auto = draw(st.sampled_from(["", "SAME_UPPER", "SAME_LOWER", "VALID"]))
    pads = [draw(st.integers(0, 2)) for _ in range(4)]
    size = [draw(sides) + 2, draw(sides) + 2]
    attributes = {"auto_pad": auto} if auto else {"pads": pads}
    norm = draw(st.booleans())
    counts = [draw(st.integers(1, most)) for most in (2, 5, 5)]
    return conv_graph(*counts, size, bias=draw(st.booleans()), norm=norm, **attributes)


@given(conv_graphs(), st.booleans())
@settings(max_examples=60)
def test_both_lowerings_are_equal_in_floats(graph, fold):
    other = with_winograd(graph)
    wanted = run(graph)["y"]
    np.testing.assert_allclose(run(other)["y"], wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
    products = run(other, steps_of(other, es.network.products.Style(fold=fold)), lambda s, v: s.compute(v, multiply))
    np.testing.assert_allclose(products["y"], wanted, atol=1e-5 * max(1, np.abs(wanted).max()))


def multiply(product, x):
    return product.multiply(x)


def transformed(kernel):
    """U of a kernel [3, 3], element by element."""
    g = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    return [
        [sum(g[i][p] * kernel[p, q] * g[j][q] for p in range(3) for q in range(3)) for j in range(4)] for i in range(4)
    ]


def test_weights_are_transformed_and_kept_by_element():
    graph = conv_graph(channels=2, out=3)
    (u,) = [one for name, one in with_winograd(graph).parameters.items() if name.endswith(".winograd")]
    weights = graph.parameters["w"].array.astype(np.float64)
    for o, c in every(range(3), range(2)):
        np.testing.assert_allclose(u.array[:, :, o, c], transformed(weights[o, c]), rtol=1e-6, atol=1e-7)
    assert u.axes == ("kernel0", "kernel1", "out", "in")
    assert "w" not in with_winograd(graph).parameters
    products = es.lower(with_winograd(graph))
    assert [one.name.rpartition(".")[2] for one in products] == [f"{i}{j}" for i in range(4) for j in range(4)]
    for one, (i, j) in zip(products, every(range(4), range(4)), strict=True):
        np.testing.assert_array_equal(one.weight, u.array[i, j])
    assert len({one.launch for one in products}) == 1


@pytest.mark.parametrize("density", [0.3, 0.55])
def test_pruning_is_of_transformed_weights(density):
    graph = conv_graph(channels=3, out=5, norm=True)
    u = next(one.array for name, one in with_winograd(graph).parameters.items() if name.endswith(".winograd"))
    ran = es.run(graph, es.EieConfig(n_pe=4, weight_bits=8), density=density, conv="winograd")
    kept = round(density * u.size)
    least = np.sort(np.abs(u).ravel())[-kept]
    stored = np.stack([one.layer.weights for one in ran.layers]).reshape(4, 4, 5, 3)
    np.testing.assert_array_equal(stored != 0, np.abs(u) >= least)
    assert ran.verified


def test_a_kernel_that_is_gone_is_gone_in_transformed_weights():
    graph = conv_graph(channels=2, out=2)
    array = graph.parameters["w"].array.copy()
    array[1, 0] = 0
    u = with_winograd(graph.with_parameters({"w": array})).parameters["w.winograd"].array
    assert not u[:, :, 1, 0].any() and (u[:, :, 1, 1] != 0).all()


def test_cycles_are_those_of_16_products():
    graph = conv_graph(batch=2, channels=8, out=16, size=(7, 5), pads=[1, 1, 1, 1])
    ran = es.run(graph, DESIGNS[0], conv="winograd")
    assert len(ran.layers) == 16 and ran.verified
    for one, product in zip(ran.layers, es.lower(with_winograd(graph)), strict=True):
        other = with_winograd(graph)
        (x,) = product.vectors(convolved(other.nodes[0], graph.examples))
        assert x.shape == (2 * 4 * 3, 8)  # patches of outputs 7 x 5, the last ones not whole
        alone = es.simulate(one.matrix, x, one.result.config)
        assert one.result.cycles == alone.cycles
    chip = DESIGNS[1]
    (row,) = es.run(graph, chip, conv="winograd").rows
    from eie_sim.units.nm.unit import simulate_gemms

    assert row.cycles == simulate_gemms([(16, 8, 24)] * 16, chip, n_keep=1, m_group=1).cycles


@pytest.mark.parametrize("config", DESIGNS, ids=["eie", "nm"])
def test_a_run_has_both_lowerings_beside_each_other(config):
    graph = conv_graph(channels=4, out=8, size=(8, 8), bias=True, norm=True)
    ran, im2col = es.run(graph, config, density=0.5, conv="winograd"), es.run(graph, config, density=0.5)
    (one,) = ran.graph.lowerings
    assert (one.im2col_cycles, one.winograd_cycles) == (im2col.cycles, ran.cycles)
    assert one.im2col_pj == im2col.record.total.energy.total_pj
    assert one.winograd_pj == pytest.approx(ran.record.total.energy.total_pj, rel=1e-12)
    assert (ran.covered.share_of_macs_not_simulated, ran.graph.macs[0].macs) == (0, im2col.graph.macs[0].macs)
    host = dict(ran.record.not_simulated and [(each.name, each.reason) for each in ran.record.not_simulated])
    assert "576 numbers" in host["WinogradPatches"]  # 16 x 9 patches x 4 channels
    assert f"{8 * 6 * 6:,} numbers" in host["Winograd output transform"]
    assert (ran.graph.lowered_error < 1e-5) and any("Winograd: 1 of 1" in note for note in ran.graph.notes)


def test_convolutions_of_other_kinds_stay_as_they_are():
    inputs = {"x": drawn(1, 4, 8, 8)}
    arrays = {"a": drawn(4, 4, 3, 3), "b": drawn(4, 4, 3, 3), "c": drawn(4, 1, 3, 3), "d": drawn(4, 4, 1, 1)}
    nodes = [
        node("Conv", "x a", "p", strides=[2, 2], pads=[1, 1, 1, 1]),
        node("Conv", "p c", "q", group=4, pads=[1, 1, 1, 1]),
        node("Conv", "q d", "r"),
        node("Conv", "r b", "s", dilations=[2, 2], pads=[2, 2, 2, 2]),
        node("Conv", "s b", "y", pads=[1, 1, 1, 1]),
    ]
    graph = read(model(nodes, inputs, arrays), inputs)
    other = with_winograd(graph)
    assert [one.op == OP for one in other.nodes if one.kind == "conv"] == [False] * 4 + [True]
    assert "b" in other.parameters and "b.winograd" in other.parameters  # the dilated one reads it still
    assert "Winograd: 1 of 5" in other.notes[-1]


def test_what_has_no_such_convolution_is_refused(tmp_path):
    inputs = {"x": drawn(2, 4)}
    graph = read(model([node("MatMul", "x w", "y")], inputs, {"w": drawn(4, 3)}), inputs)
    with pytest.raises(InputError, match="conv=winograd: the network has no 3x3 convolution"):
        es.run(graph, DESIGNS[0], conv="winograd")
    with pytest.raises(InputError, match="conv=winogard: must be im2col or winograd"):
        es.run(graph, DESIGNS[0], conv="winogard")
    with pytest.raises(InputError, match="conv=winograd: must be left out: layers are no convolutions"):
        es.run(es.network.load("hand-8x8"), DESIGNS[0], conv="winograd")
    with pytest.raises(InputError, match="cannot hold transformed weights"):
        with_winograd(conv_graph()).save(tmp_path / "w.onnx")
    assert not list(tmp_path.iterdir())


def test_the_command_shows_both(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    conv_graph(channels=8, out=8, size=(10, 10)).save(tmp_path / "net.onnx")
    assert main(["run", str(tmp_path / "net.onnx"), "--conv", "winograd", "--n-pe", "4"]) == 0
    out = capsys.readouterr().out
    assert "3x3 convolutions in two lowerings" in out and "all of them" in out
    assert "faster here: Winograd takes" in " ".join(out.split())
    assert max(map(len, out.splitlines())) <= 80
