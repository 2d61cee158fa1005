"""GRU, LSTM and RNN as products, against onnxruntime."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import agree, drawn, helper, model, node, numpy_helper, read

import eie_sim as es
from eie_sim import tracing
from eie_sim.core.errors import InputError
from eie_sim.core.steps import Steps
from eie_sim.network.floatrun import run
from eie_sim.network.lower import coverage, steps_of
from eie_sim.network.memory import floats_of
from eie_sim.network.recurrent import ACTIVATIONS, DEFAULTS, GATES
from eie_sim.passed_on import passed_on

ops = st.sampled_from(sorted(GATES))
ways = st.sampled_from(["forward", "reverse", "bidirectional"])
n_direction = {"forward": 1, "reverse": 1, "bidirectional": 2}
names = ["Affine", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "ScaledTanh", "Sigmoid", "Softplus", "Softsign", "Tanh",
         "ThresholdedRelu"]  # fmt: skip


def network(op, way="forward", sizes=(3, 2, 4, 5), *, own=(), lengths=None, outputs="y h c", **given):
    """A node with everything that `own` names: B, h0, c0, P. sizes : steps, batch, inputs, hidden"""
    n_step, batch, n_in, hidden = sizes
    n, rows = n_direction[way], GATES[op] * hidden
    arrays = {"w": drawn(n, rows, n_in), "r": drawn(n, rows, hidden, seed=1) / 2}
    arrays |= {"b": drawn(n, 2 * rows)} if "B" in own else {}
    inputs = {"x": drawn(n_step, batch, n_in)}
    for name in [one for one in ("h0", "c0") if one in own]:
        inputs[name] = drawn(n, batch, hidden, seed=len(inputs))
    if lengths is not None:
        inputs["n"] = np.array(lengths, np.int32)
    if "P" in own:
        arrays["p"] = drawn(n, 3 * hidden)
    there = {*arrays, *inputs}
    places = ["x", "w", "r", "b", "n", "h0", *(("c0", "p") if op == "LSTM" else ())]
    made = outputs.split()[: 3 if op == "LSTM" else 2]
    one = node(op, "x w r", "y", hidden_size=hidden, direction=way, **given)
    del one.input[:], one.output[:]
    one.input.extend(name if name in there else "" for name in places)
    one.output.extend("" if name == "-" else name for name in made)
    one.name = f"{op}_y"
    return model([one], inputs, arrays, outputs=" ".join(name for name in made if name != "-")), inputs


@st.composite
def nodes(draw):
    op, way = draw(ops), draw(ways)
    sizes = tuple(draw(st.integers(1, 4)) for _ in range(4))
    given = {}
    if op == "GRU":
        given["linear_before_reset"] = draw(st.integers(0, 1))
    if op == "LSTM":
        given["input_forget"] = draw(st.integers(0, 1))
    if draw(st.booleans()):
        given["clip"] = draw(st.sampled_from([0.3, 1.0, 5.0]))
    own = {"B", "h0", *(("c0", "P") if op == "LSTM" else ())}
    own = draw(st.sets(st.sampled_from(sorted(own))))
    lengths = draw(st.none() | st.lists(st.integers(0, sizes[0]), min_size=sizes[1], max_size=sizes[1]).filter(any))
    if draw(st.booleans()):
        chosen = [draw(st.sampled_from(names)) for _ in range(len(DEFAULTS[op]) * n_direction[way])]
        given["activations"] = [
            draw(st.sampled_from([name, *([name.upper()] if op != "RNN" else ())])) for name in chosen
        ]
        taking = [{one.lower(): it for one, it in ACTIVATIONS.items()}[name.lower()] for name in chosen]
        for at, which in enumerate(("alpha", "beta"), 1):
            n = sum(one[at] is not None for one in taking)
            if n and draw(st.booleans()):
                given[f"activation_{which}"] = [draw(st.sampled_from([0.125, 0.5, 0.75])) for _ in range(n)]
    places = ["y", "h", "c"][: 3 if op == "LSTM" else 2]
    left = draw(st.sets(st.sampled_from(places), max_size=len(places) - 1))
    outputs = " ".join("-" if name in left else name for name in places)
    return network(op, way, sizes, own=own, lengths=lengths, outputs=outputs, **given)


@settings(max_examples=150)
@given(nodes())
def test_any_node_is_its_products(made):
    agree(*made, styles=agree.__defaults__[0][:2])


def graph_of(*given, **more):
    proto, inputs = network(*given, **more)
    return read(proto, inputs)


def names_of(graph):
    return [product.name for product in es.lower(graph)]


def test_products_of_a_node():
    assert names_of(graph_of("LSTM")) == ["LSTM_y.W", "LSTM_y.R"]
    assert names_of(graph_of("GRU", linear_before_reset=1)) == ["GRU_y.W", "GRU_y.R"]
    assert names_of(graph_of("GRU")) == ["GRU_y.W", "GRU_y.Rzr", "GRU_y.Rh"]
    assert names_of(graph_of("RNN", "reverse")) == ["RNN_y.W", "RNN_y.R"]
    both = ["RNN_y.forward.W", "RNN_y.forward.R", "RNN_y.reverse.W", "RNN_y.reverse.R"]
    assert names_of(graph_of("RNN", "bidirectional")) == both


def test_products_have_rows_of_their_parameters_and_biases():
    graph = graph_of("GRU", "bidirectional", own=["B"])
    w, r, b = (graph.parameters[name] for name in "wrb")
    assert (w.axes, r.axes) == (("group", "gate_out", "in"), ("group", "gate_out", "hidden"))
    for at in (0, 1):
        x, z_r, h = es.lower(graph)[3 * at :][:3]
        for product, array, bias in (
            (x, w.array[at], b.array[at, :15]),
            (z_r, r.array[at, :10], b.array[at, 15:25]),
            (h, r.array[at, 10:], b.array[at, 25:]),
        ):
            np.testing.assert_array_equal(product.weight, array)
            np.testing.assert_array_equal(product.bias, bias)
            (name,) = product.parameters
            inside, places = graph.owned(product.elements, name)
            assert inside.all()
            np.testing.assert_array_equal(graph.parameters[name].array.reshape(-1)[places], array.reshape(-1))
        assert (x.depends_on, z_r.depends_on, h.depends_on) == ((), (x.name,), (x.name, z_r.name))
        assert (x.steps, z_r.steps, h.steps) == (None, Steps((2, 2, 2), rows=15), Steps((2, 2, 2), rows=15))
        assert len({x.launch, z_r.launch, h.launch}) == 3


def test_steps_beyond_a_sequence_are_not_multiplied():
    graph = graph_of("LSTM", sizes=(4, 3, 2, 5), lengths=[1, 4, 0])
    w, r = es.lower(graph)
    assert (w.positions, r.positions, r.steps) == (5, 5, Steps((2, 1, 1, 1), rows=20))
    (share,) = coverage(graph)
    assert (share.kind, share.reason, share.macs) == ("LSTM", "", 5 * 20 * 7) == ("LSTM", "", w.macs + r.macs)


def test_weights_that_are_moved_keep_their_elements():
    inputs = {"x": drawn(3, 1, 4)}
    arrays = {"v": drawn(10, 4), "u": drawn(10, 5), "at": np.array([0])}
    nodes = [node("Unsqueeze", "v at", "w"), node("Unsqueeze", "u at", "r")]
    nodes += [node("Slice", "w a b c", "w5"), node("Slice", "r a b c", "r5")]
    arrays |= {"a": np.array([5]), "b": np.array([10]), "c": np.array([1])}
    graph = agree(model([*nodes, node("RNN", "x w5 r5", "y", hidden_size=5)], inputs, arrays), inputs)
    w, r = es.lower(graph)
    assert (w.parameters, r.parameters) == (("v",), ("u",))
    np.testing.assert_array_equal(graph.owned(r.elements, "u")[1], np.arange(25, 50))


def replayed(graph, config, runs):
    """Outputs of a GRU whose reset comes first, forward, as a loop over the unit's own functions has them."""
    unit_output = es.units.unit_of(config).output_of
    of = {one.layer.name.rpartition(".")[2]: one for one in runs}
    words = es.units.unit_of(config).words_of

    def times(name, rows):
        one = of[name]
        outside = 0 if es.units.unit_of(config).takes_bias else one.layer.bias
        return (unit_output(one.matrix, words(one.matrix, rows), one.result.config) + outside).astype(np.float32)

    x, h = graph.examples["x"], graph.examples["h0"][0]
    n, states = h.shape[1], []
    for now in x:
        gates = times("W", now)
        z_r = 1 / (1 + np.exp(-(gates[:, : 2 * n] + times("Rzr", h))))
        z, r = z_r[:, :n], z_r[:, n:]
        h = ((1 - z) * np.tanh(gates[:, 2 * n :] + times("Rh", r * h)) + z * h).astype(np.float32)
        states.append(h)
    return np.stack(states)[:, None]


DESIGNS = [es.EieConfig(n_pe=4), es.TensorCoreConfig.preset("nm-64")]


@pytest.mark.parametrize("config", DESIGNS, ids=["eie", "nm"])
def test_a_step_reads_the_simulated_state_of_the_one_before(config):
    graph = graph_of("GRU", sizes=(9, 2, 4, 8), own=["B", "h0"])
    ran = es.run(graph, config)
    assert ran.verified
    np.testing.assert_allclose(ran.outputs["y"], replayed(graph, config, ran.layers), atol=2e-6)
    floats = run(graph)["y"]
    assert np.abs(ran.outputs["y"] - floats).max() > 1e-4 or config is DESIGNS[1]
    assert [row.n_vector for row in ran.rows] == [18, 18, 18]
    assert "states of GRU_y" in ran.rows[1].inputs and "synthetic" not in ran.rows[1].inputs


@pytest.mark.parametrize("name", ["x", "h0"])
def test_scales_are_of_all_steps_and_of_the_first_state(name):
    proto, inputs = network("GRU", sizes=(6, 2, 4, 8), own=["h0"])
    small = {one: np.tanh(array) for one, array in inputs.items()}
    large = dict(small)
    large[name] = small[name].copy()
    large[name].reshape(-1, large[name].shape[-1])[-1] = 100.0
    bits = {row.name: row.scales["activation"] for row in es.run(read(proto, small), es.EieConfig(n_pe=4)).rows}
    wide = {row.name: row.scales["activation"] for row in es.run(read(proto, large), es.EieConfig(n_pe=4)).rows}
    changed = {one for one in bits if wide[one] < bits[one]}
    assert changed == ({"GRU_y.W"} if name == "x" else {"GRU_y.Rzr", "GRU_y.Rh"})


def of_steps(shape, sizes, config, *, held, persistent):
    """Cycles and DRAM bytes of A [m, k] times so many vectors in each step, by launches one by one."""
    m, k = shape
    of = {n: es.simulate_gemm(m, k, n, config, n_keep=1, m_group=1) for n in set(sizes)}
    stays = m * k * config.elem_bytes if held else 0
    moved = sum(of[n].stats["events"]["dram_bytes"] for n in sizes) - (len(sizes) - 1) * stays
    # what DRAM moves is never the longest here
    return sum(of[n].cycles for n in sizes) - persistent * (len(sizes) - 1) * config.launch, moved


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("l2", [128 * 32 * 2 - 1, 128 * 32 * 2])
def test_tensor_cores_launch_each_step_and_read_weights_that_l2_cannot_hold(l2, persistent):
    config = dataclasses.replace(es.TensorCoreConfig.preset("rtx3090"), l2_bytes=l2)
    proto, inputs = network("LSTM", "bidirectional", sizes=(5, 3, 16, 32), lengths=[5, 2, 5])
    ran = es.run(read(proto, inputs), config, persistent=persistent)
    held = l2 == 128 * 32 * 2
    for row in ran.rows:
        sizes = (12,) if row.name.endswith("W") else (3, 3, 2, 2, 2)
        expected = of_steps((row.n_out, row.n_in), sizes, config, held=held, persistent=persistent)
        assert (row.cycles, row.stats["events"]["dram_bytes"]) == expected, row.name
        if len(sizes) > 1:
            launches = "one launch" if persistent else "5 launches"
            read_from = "once, they stay in L2" if held else "in each, L2 cannot hold them"
            assert row.steps == f"5 steps in {launches}; weights are read {read_from}"
    (row,) = es.sweep.run(read(proto, inputs), grid={"chip": ["rtx3090"], "l2_bytes": [l2]}, workers=1).rows
    assert persistent or row["cycles"] == ran.cycles
    assert row["dram_bytes"] == sum(one.stats["events"]["dram_bytes"] for one in ran.rows)


def test_weights_of_a_step_must_fit_together():
    """`.Rzr` and `.Rh` are read in turn."""
    graph = graph_of("GRU", sizes=(5, 1, 16, 32))
    for l2, held in ((96 * 32 * 2, True), (96 * 32 * 2 - 1, False)):
        ran = es.run(graph, dataclasses.replace(es.TensorCoreConfig.preset("rtx3090"), l2_bytes=l2))
        assert ["stay" in (row.steps or "") for row in ran.rows] == [False, held, held]


def test_a_unit_without_launches_has_none_to_persist():
    with pytest.raises(InputError, match="persistent=True: must be left out, EIE has no launches"):
        es.run(graph_of("RNN", sizes=(2, 1, 3, 3)), es.EieConfig(n_pe=4), persistent=True)


def test_a_sample_leaves_steps_as_they_are():
    graph = graph_of("LSTM", sizes=(12, 2, 4, 8))
    whole, some = (es.run(graph, es.EieConfig(n_pe=4), positions=n) for n in (None, 5))
    assert some.rows[0].sampled.positions == 5
    assert some.rows[1] == whole.rows[1]
    np.testing.assert_array_equal(some.outputs["y"], whole.outputs["y"])


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_engines_agree(engine):
    graph = graph_of("GRU", "bidirectional", sizes=(3, 2, 4, 4), own=["B"], lengths=[3, 2])
    for config in DESIGNS:
        ran, fast = es.run(graph, config, engine=engine), es.run(graph, config)
        assert ran.verified and ran.cycles == fast.cycles


@pytest.mark.parametrize("grid", [{"n_pe": [2, 4]}, {"chip": ["nm-64", "rtx3090"]}])
def test_sweeps_have_the_rows_of_runs(grid):
    graph = graph_of("GRU", "bidirectional", sizes=(5, 2, 16, 16), own=["B"], lengths=[5, 3])
    for row in es.sweep.run(graph, grid={**grid, "density": 0.5}, workers=1).rows:
        config = es.EieConfig(n_pe=row["n_pe"]) if "n_pe" in grid else es.TensorCoreConfig.preset(row["chip"])
        ran = es.run(graph, config, density=0.5)
        assert row["cycles"] == ran.cycles
        assert row["energy_nj"] == pytest.approx(ran.record.total.energy.total_pj / 1e3, rel=1e-12)
        assert row["bytes"] == ran.record.total.storage.total_bits / 8
    found = passed_on(graph, es.EieConfig(n_pe=4))
    np.testing.assert_array_equal(found.outputs["y"], es.run(graph, es.EieConfig(n_pe=4)).outputs["y"])


def test_comparisons_wait_for_each_step():
    graph = graph_of("LSTM", sizes=(5, 4, 16, 16))
    found = es.compare(graph, [es.EieConfig(n_pe=16), es.EieConfig(n_pe=48)], patterns=[(2, 4)], densities=[0.4])
    ran = es.run(graph, found.designs[0].design, density=0.4)
    w, r = (one.result.cycles_per_vector for one in ran.layers)
    shares = [w, *r.reshape(5, 4)]  # two arrays of three have one vector of a step, one has two
    assert found.designs[0].number == 3
    assert found.rows[0].cycles == sum(max(int(one[at::3].sum()) for at in range(3)) for one in shares)
    found = es.compare(graph, ["nm-64"], patterns=[(2, 4)], densities=[0.4])
    ran = es.run(graph, found.size.chip.far, pattern="2:4")
    assert next(row for row in found.rows if row.name == "2:4").cycles_dram == ran.cycles


def test_a_step_is_traced():
    graph, config = graph_of("GRU", sizes=(5, 2, 6, 6)), es.EieConfig(n_pe=4)
    one = es.run(graph, config).layers[1]
    traced = tracing.trace(graph, config, layer="GRU_y.Rzr", vector=7)
    assert traced.result.cycles == one.result.cycles_per_vector[7]
    np.testing.assert_array_equal(traced.result.output, one.result.output[7])
    assert (traced.inputs, traced.n_vector) == (one.inputs, 10)


def test_what_a_node_keeps():
    graph = graph_of("LSTM", "bidirectional", sizes=(3, 2, 4, 5), own=["B", "P"])
    assert floats_of(graph, steps_of(graph))["other parameters"] == 2 * 15 * 4
    found = es.footprint(graph, es.TensorCoreConfig())
    assert [one.name for one in found.products] == names_of(graph)
    assert found.state == {"LSTM_y": 2 * 2 * 2 * 5 * 16}


@pytest.mark.parametrize("recipe", [{"density": 0.25}, {"pattern": "2:4"}, {"density": 0.5, "pattern": "block"}])
def test_w_and_r_are_pruned_apart(recipe):
    graph = graph_of("GRU", "bidirectional", sizes=(3, 2, 8, 8), own=["B"])
    pruned, masks = es.prune.prune_network(graph, es.prune.Recipe(**recipe), es.EieConfig())
    for name in "wr":
        mask, array = masks.masks[name], graph.parameters[name].array
        assert mask.mean() == recipe.get("density", 0.5)
        np.testing.assert_array_equal(pruned.parameters[name].array, np.where(mask, array, 0))
        if recipe.get("pattern") == "2:4":
            assert (mask.reshape(*mask.shape[:2], -1, 4).sum(axis=-1) == 2).all()
    np.testing.assert_array_equal(pruned.parameters["b"].array, graph.parameters["b"].array)


def test_wanda_weighs_the_states_of_all_steps():
    graph = graph_of("RNN", sizes=(4, 2, 3, 5), own=["h0"])
    _, found = es.prune.prune_network(
        graph, es.prune.Recipe(density=0.4, criterion="wanda", pattern="per_row"), es.EieConfig()
    )
    states = np.concatenate([graph.examples["h0"][0], run(graph)["y"][:-1, 0].reshape(-1, 5)])
    scores = np.abs(graph.parameters["r"].array[0]) * np.linalg.norm(states, axis=0)
    np.testing.assert_array_equal(found.masks["r"][0], scores >= np.sort(scores, axis=1)[:, -2:-1])


def test_rows_of_gates_are_no_neurons():
    proto, inputs = network("RNN", sizes=(3, 2, 4, 5))
    proto.graph.node.append(node("MatMul", "y v", "a"))
    proto.graph.node.append(node("MatMul", "a u", "b"))
    proto.graph.output[0].name = "b"
    for name, array in (("v", drawn(5, 6)), ("u", drawn(6, 2))):
        proto.graph.initializer.append(numpy_helper.from_array(array, name))
    graph = read(proto, inputs)
    _, found = es.prune.prune_network(graph, es.prune.Recipe(density=0.5, pattern="neuron"), es.EieConfig())
    assert found.masks["w"].all() and found.masks["r"].all() and not found.masks["v"].all()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layout": 1}, "file=test: node LSTM_y: layout=1: must be 0: time before batch"),
        ({"activations": ["Sigmod", "Tanh", "Tanh"]}, "activations=Sigmod: unknown; did you mean Sigmoid"),
        ({"activations": ["Sigmoid", "Tanh"]}, "activations=Sigmoid, Tanh: must be 3"),
        ({"direction": "both"}, "direction=both: unknown; must be one of bidirectional, forward, reverse"),
    ],
)
def test_attributes_that_nobody_runs_are_refused_by_name(given, said):
    proto, inputs = network("LSTM")
    changed = proto.graph.node[0]
    for name, value in given.items():
        for place, one in enumerate(changed.attribute):
            if one.name == name:
                del changed.attribute[place]
                break
        changed.attribute.append(helper.make_attribute(name, value))
    with pytest.raises(InputError, match=r"^file=test: node LSTM_y: ") as error:
        read(proto, inputs)
    assert said in str(error.value)


@pytest.mark.parametrize(("name", "said"), [("r", "weights"), ("b", "biases"), ("n", "sequence_lens")])
def test_what_is_computed_from_data_leaves_a_node_to_the_host(name, said):
    proto, inputs = network("GRU", own=["B"], lengths=[3, 2])
    nodes = [node("Exp", "z", "e"), node("MatMul", "x v", "other")]
    arrays = {one.name: numpy_helper.to_array(one) for one in proto.graph.initializer} | {"v": drawn(4, 2)}
    given = (arrays | inputs)[name]
    if name == "n":
        nodes[0] = node("Abs", "z", "e")
    proto.graph.node[0].input[list(proto.graph.node[0].input).index(name)] = "e"
    inputs = {one: array for one, array in inputs.items() if one != name} | {"z": given}
    arrays.pop(name, None)
    graph = agree(model([*nodes, *proto.graph.node], inputs, arrays, outputs="y other"), inputs)
    share = next(share for share in coverage(graph) if share.kind == "GRU")
    assert share.reason == f"its {said} are computed"
    assert names_of(graph) == ["MatMul_other"]


def test_a_state_that_is_not_finite_is_refused():
    proto, inputs = network("LSTM", own=["c0"])
    inputs["c0"][0, 1, 2] = np.nan
    graph = read(proto, inputs)
    with pytest.raises(InputError, match=r"^node LSTM_y: input c0 is NaN or infinite first at \[0, 1, 2\]"):
        es.run(graph, es.EieConfig(n_pe=4))


@pytest.mark.parametrize("lengths", [[4, 1], [-1, 3]])
def test_lengths_that_do_not_fit_are_refused(lengths):
    proto, inputs = network("GRU", lengths=[3, 2])
    with pytest.raises(InputError, match=r"^file=test: node GRU_y: GRU: onnxruntime cannot run it"):
        read(proto, inputs | {"n": np.array(lengths, np.int32)})
