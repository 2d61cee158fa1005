"""GRU, LSTM and RNN as products, against onnxruntime."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_models import agree, drawn, model, node

from eie_sim.network.recurrent import ACTIVATIONS, DEFAULTS, GATES

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
