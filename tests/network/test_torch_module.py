"""Graphs back into torch modules: arrays, ties and stated sizes, held against modules that were made as small."""

import sys

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.network.floatrun import run

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
nn, prune = torch.nn, pytest.importorskip("torch.nn.utils.prune")


class Calls(nn.Module):
    """Parts by name, called as `forward` says."""

    def __init__(self, call, **parts):
        super().__init__()
        self.call = call
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *given):
        return self.call(self, *given)


def drawn(module):
    """The module in eval mode, no parameter or statistic left at 0 or 1."""
    for name, tensor in module.state_dict().items():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5) if "running_var" in name else tensor.normal_()
    return module.eval()


def outputs(module, x):
    with torch.no_grad():
        return module(x).numpy()


def require_equal(made, graph, x):
    (wanted,) = run(graph).values()
    assert np.abs(outputs(made, x) - wanted).max() <= 1e-5 * np.abs(wanted).max()
    for name, parameter in graph.parameters.items():
        if name in made.state_dict():
            assert np.array_equal(made.state_dict()[name].numpy(), parameter.array)


def mlp(h, k):
    return nn.Sequential(
        nn.Linear(6, h), nn.BatchNorm1d(h), nn.PReLU(h), nn.Linear(h, k), nn.LayerNorm(k), nn.Linear(k, 3)
    )


def convolutions(c, m):
    grouped = nn.Conv2d(c, m, 3, groups=2, padding=1)
    depthwise = nn.Sequential(nn.Conv2d(m, m, 3, groups=m), nn.GroupNorm(2, m), nn.InstanceNorm2d(m, affine=True))
    up = nn.ConvTranspose2d(m, c, 2, groups=2)
    head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * c, 3))
    return nn.Sequential(nn.Conv2d(3, c, 1, bias=False), nn.BatchNorm2d(c), grouped, nn.ReLU(), depthwise, up, head)


def residual(c, m):
    def call(self, x):
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(x + self.last(torch.relu(self.norm(self.first(x))))))

    parts = {"stem": nn.Conv2d(3, c, 3), "first": nn.Conv2d(c, m, 3, padding=1), "norm": nn.BatchNorm2d(m)}
    return Calls(call, **parts, last=nn.Conv2d(m, c, 3, padding=1), head=nn.Conv2d(c, 2, 1))


def recurrent(kind, **options):
    def make(h, f):
        width = h * (1 + options.get("bidirectional", False))
        cell = kind(f, h, batch_first=True, **options)
        return Calls(
            lambda self, x: self.head(self.cell(self.inner(x))[0]),
            inner=nn.Linear(6, f),
            cell=cell,
            head=nn.Linear(width, 2),
        )

    return make


def cells(h, f):
    def call(self, x):
        first = self.first(x)
        state = self.lstm(self.inner(x), (first, first))
        return self.head(self.gru(state[0], first) + self.rnn(state[1], first))

    parts = {"lstm": nn.LSTMCell(f, h), "gru": nn.GRUCell(h, h), "rnn": nn.RNNCell(h, h)}
    return Calls(call, inner=nn.Linear(6, f), first=nn.Linear(6, h), **parts, head=nn.Linear(h, 2))


def transformer(f, unused):
    layer = nn.TransformerEncoderLayer(8, 2, f, batch_first=True)
    return Calls(lambda self, x: self.head(self.layer(x)), layer=layer, head=nn.Linear(8, 3))


def attention(width, heads):
    def call(self, tokens):
        x = self.embed(tokens) + self.places
        return self.head(self.norm(x + self.attention(x, x, x, need_weights=False)[0]))

    parts = {"embed": nn.Embedding(11, width), "attention": nn.MultiheadAttention(width, heads, batch_first=True)}
    places = nn.Parameter(torch.zeros(5, width))
    return Calls(call, **parts, places=places, norm=nn.RMSNorm(width), head=nn.Linear(width, 11, bias=False))


def crossed(width, heads):
    def call(self, x):
        keys = self.keys(x)
        return self.head(self.attention(self.queries(x), keys, keys, need_weights=False)[0])

    parts = {"queries": nn.Linear(6, width), "keys": nn.Linear(6, width + 1), "head": nn.Linear(width, 2)}
    cross = nn.MultiheadAttention(width, heads, batch_first=True, kdim=width + 1, vdim=width + 1)
    return Calls(call, **parts, attention=cross)


def lines(c, m):
    return nn.Sequential(
        nn.Conv1d(3, c, 3),
        nn.Unflatten(2, (2, 2)),
        nn.Flatten(2),
        nn.Conv1d(c, m, 1, groups=2),
        nn.Flatten(),
        nn.Linear(4 * m, 2),
    )


def bilinear(h, k):
    return Calls(
        lambda self, x: self.both(self.a(x), self.b(x)), a=nn.Linear(6, h), b=nn.Linear(6, k), both=nn.Bilinear(h, k, 2)
    )


TOKENS = torch.arange(10).reshape(2, 5)
NETWORKS = [
    (mlp, (8, 7), (5, 4), (4, 6)),
    (convolutions, (8, 12), (4, 6), (2, 3, 6, 6)),
    (residual, (8, 8), (6, 5), (2, 3, 6, 6)),
    (recurrent(nn.LSTM, num_layers=2, bidirectional=True), (5, 4), (3, 2), (2, 4, 6)),
    (recurrent(nn.GRU), (5, 4), (3, 2), (2, 4, 6)),
    (recurrent(nn.RNN), (5, 4), (3, 2), (2, 4, 6)),
    (cells, (5, 4), (3, 2), (2, 6)),
    (transformer, (16, 0), (9, 0), (2, 4, 8)),
    (attention, (12, 3), (8, 2), None),
    (crossed, (12, 3), (8, 2), (2, 4, 6)),
    (lines, (8, 6), (6, 4), (2, 3, 6)),
    (bilinear, (5, 4), (3, 2), (2, 6)),
]
IDS = [f"{at}-{make.__qualname__.split('.')[0]}" for at, (make, *_) in enumerate(NETWORKS)]


def example(shape):
    return TOKENS if shape is None else torch.randn(shape)


@pytest.mark.parametrize(("make", "large", "small", "shape"), NETWORKS, ids=IDS)
def test_a_part_states_the_sizes_of_the_arrays_it_gets(make, large, small, shape):
    """The graph of a module that was made small stands for one from which units were removed."""
    torch.manual_seed(0)
    big, wanted, x = drawn(make(*large)), drawn(make(*small)), example(shape)
    before = {name: tensor.clone() for name, tensor in big.state_dict().items()}
    graph = es.from_torch(wanted, x)
    made = es.to_torch(big, graph)
    assert str(made) == str(wanted)
    for (name, part), (_, other) in zip(made.named_modules(), wanted.named_modules(), strict=True):
        numbers = [
            {key: one for key, one in vars(each).items() if isinstance(one, (int, tuple))} for each in (part, other)
        ]
        assert numbers[0] == numbers[1], name
    assert np.array_equal(outputs(made, x), outputs(wanted, x))
    require_equal(made, graph, x)
    assert all(torch.equal(tensor, before[name]) for name, tensor in big.state_dict().items())  # a copy
    made.train()(x).sum().backward()
    assert all(one.grad is not None and one.grad.shape == one.shape for one in made.parameters())
    again = es.to_torch(made, es.from_torch(big, x))  # larger, in training, without gradients that do not fit
    assert again.training and not any(one.training for one in big.modules())
    again(x).sum().backward()


@pytest.mark.parametrize(("make", "large", "small", "shape"), NETWORKS, ids=IDS)
def test_a_module_comes_back_bit_for_bit_and_with_masks(make, large, small, shape):
    torch.manual_seed(0)
    module, x = drawn(make(*large)), example(shape)
    graph = es.from_torch(module, x)
    made = es.to_torch(module, graph)
    assert made is not module and list(made.state_dict()) == list(module.state_dict())
    for name, tensor in made.state_dict().items():
        assert tensor.numpy().tobytes() == module.state_dict()[name].numpy().tobytes()
        assert name in graph.parameters or "num_batches" in name
    rng = np.random.default_rng(0)
    masked = {
        name: one.array * (rng.random(one.array.shape) < 0.8)
        for name, one in graph.parameters.items()
        if one.array.ndim > 1
    }
    pruned = graph.with_parameters(masked)
    require_equal(es.to_torch(module, pruned), pruned, x)


def test_channels_that_are_cut_by_hand():
    torch.manual_seed(0)
    module, x = drawn(convolutions(8, 12)), torch.randn(2, 3, 6, 6)
    graph = es.from_torch(module, x)
    left = [1, 4, 5, 7, 8, 11]  # three of either group
    names = ["2.weight", "2.bias", *(f"4.{at}.{name}" for at in (0, 1, 2) for name in ("weight", "bias")), "5.weight"]
    (depthwise,) = (node.name for node in graph.nodes if "4.0.weight" in node.inputs)
    targets = [node.inputs[1] for node in graph.nodes if node.op == "Reshape" and node.inputs[1] in graph.constants]
    cut = graph.with_parameters(
        {name: graph.parameters[name].array[left] for name in names},
        attributes={depthwise: {"group": 6}},
        constants={name: np.where(graph.constants[name] == 12, 6, graph.constants[name]) for name in targets},
    )
    made = es.to_torch(module, cut)
    assert (made[2].out_channels, made[2].groups, made[4][0].groups, made[5].in_channels) == (6, 2, 6, 6)
    assert made[5].out_channels == 8
    require_equal(made, cut, x)


@pytest.mark.parametrize(("make", "large", "small", "shape"), [NETWORKS[at] for at in (0, 2, 4, 6)])
def test_half_of_all_units_leave(make, large, small, shape):
    torch.manual_seed(0)
    module, x = drawn(make(*large)), example(shape)
    graph = es.from_torch(module, x)
    units = {group.name: range(group.size // 2) for group in es.groups(graph) if group.pinned is None}
    cut = es.prune.remove(graph, units)
    made = es.to_torch(module, cut)
    sizes = [sum(one.numel() for one in each.parameters()) for each in (module, made)]
    assert sizes[0] - sizes[1] == es.prune.removal_count(graph, units) > 0
    require_equal(made, cut, x)


def tied():
    module = Calls(
        lambda self, t: self.head(torch.tanh(self.embed(t))), embed=nn.Embedding(11, 8), head=nn.Linear(8, 11)
    )
    module.head.weight = module.embed.weight
    module.spare = nn.Linear(2, 2)
    return drawn(module)


def test_tied_weights_stay_tied_and_what_is_not_called_stays(tmp_path):
    module = tied()
    graph = es.from_torch(module, TOKENS)
    (name,) = {"embed.weight", "head.weight"} & set(graph.parameters)
    narrow = graph.with_parameters({name: graph.parameters[name].array[:, :5]})
    made = es.to_torch(module, narrow)
    assert made.head.weight is made.embed.weight
    assert (made.head.in_features, made.embed.embedding_dim) == (5, 5)
    assert torch.equal(made.spare.weight, module.spare.weight)
    require_equal(made, narrow, TOKENS)
    es.save_state_dict(made, tmp_path / "small.safetensors")
    found = es.network.read_arrays(tmp_path / "small.safetensors")
    assert {key: array.shape for key, array in found.items()} == {
        key: tuple(tensor.shape) for key, tensor in made.state_dict().items()
    }
    again = es.to_torch(module, narrow)
    again.load_state_dict({key: torch.from_numpy(array) * 1 for key, array in found.items()})
    assert np.array_equal(outputs(again, TOKENS), outputs(made, TOKENS))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_a_module_of_other_floats_keeps_them(dtype):
    module = drawn(mlp(8, 7)).to(dtype)
    graph = es.from_torch(module, torch.randn(4, 6, dtype=dtype))
    made = es.to_torch(module, graph)
    assert all(torch.equal(one, made.state_dict()[name]) for name, one in module.state_dict().items())
    weight = graph.parameters["0.weight"].array * (np.arange(6) < 3)
    made = es.to_torch(module, graph.with_parameters({"0.weight": weight}))
    assert made[0].weight.dtype == dtype
    assert torch.equal(made[0].weight[:, :3], module[0].weight[:, :3]) and not made[0].weight[:, 3:].any()


def test_buffers_plain_tensors_and_numbers_are_written_too():
    module = Calls(lambda self, x: (x * self.gain + self.shift) * self.scale)
    module.gain, module.scale = torch.tensor([1.0, 2.0, 3.0]), nn.Parameter(torch.tensor(2.0))
    module.register_buffer("shift", torch.tensor([4.0, 5.0, 6.0]), persistent=False)
    x = torch.randn(2, 3)
    graph = es.from_torch(module.eval(), x)
    changed = graph.with_parameters({"gain": [0, 2, 0], "shift": [0, 0, 7]}, constants={"scale": 5.0})
    made = es.to_torch(module, changed)
    assert (made.gain.tolist(), made.shift.tolist(), made.scale.item()) == ([0, 2, 0], [0, 0, 7], 5)
    require_equal(made, changed, x)


class Heads(nn.Module):
    """States its width in Python."""

    def __init__(self):
        super().__init__()
        self.inner, self.width = nn.Linear(6, 8), 8

    def forward(self, x):
        return self.inner(x).view(len(x), 2, self.width // 2).sum(1)


def halved():
    module = drawn(nn.Sequential(nn.Identity(), Heads()))
    graph = es.from_torch(module, torch.randn(3, 6))
    names = ("1.inner.weight", "1.inner.bias")
    (reshape,) = (node for node in graph.nodes if node.op == "Reshape")
    arrays = {name: graph.parameters[name].array[[0, 1, 4, 5]] for name in names}
    return module, graph.with_parameters(arrays, constants={reshape.inputs[1]: [3, 2, 2]})


def test_a_forward_that_states_sizes_is_named_and_can_be_mended():
    module, graph = halved()
    with pytest.raises(
        InputError, match=r"module=1: cannot run .*\[3, 2, 4\].*: a forward that states sizes"
    ) as caught:
        es.to_torch(module, graph)
    assert "\n" not in str(caught.value)
    made = es.to_torch(module, graph, verify=False)
    assert made[1].inner.out_features == 4
    made[1].width = 4
    require_equal(made, graph, torch.from_numpy(graph.examples["input"]))


def test_a_module_that_computes_something_else_is_refused():
    module, graph = halved()
    with pytest.raises(
        InputError,
        match=r"module=Sequential: differs from the graph by .* of its largest output: a forward that states",
    ):
        es.to_torch(nn.Sequential(*module, nn.Tanh()), es.from_torch(module, torch.randn(3, 6)))
    with pytest.raises(InputError, match="gives 2 outputs, the graph 1"):
        es.to_torch(Calls(lambda self, x: (x, x)), graph)


def test_a_weight_that_is_computed_is_refused_once_it_changes():
    module = drawn(nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 5)), nn.ReLU(), nn.Linear(5, 2)))
    graph = es.from_torch(module, torch.randn(4, 6))
    (name,) = (name for name, one in graph.parameters.items() if one.derived)
    made = es.to_torch(module, graph)
    assert all(torch.equal(one, made.state_dict()[key]) for key, one in module.state_dict().items())
    masked = graph.with_parameters({name: graph.parameters[name].array * (np.arange(6) < 3)})
    with pytest.raises(InputError, match=rf"differs .*; the graph also has {name}, none of the module"):
        es.to_torch(module, masked)
    with pytest.raises(InputError, match=rf"parameter={name}: is none of the module's: verify=True tells"):
        es.to_torch(module, masked, verify=False)


def test_heads_alone_cannot_leave_attention_of_torch():
    module = drawn(attention(12, 3))
    graph = es.from_torch(module, TOKENS)
    rows = [*range(8), *range(12, 20), *range(24, 32)]
    arrays = {
        f"attention.in_proj_{key}": graph.parameters[f"attention.in_proj_{key}"].array[rows]
        for key in ("weight", "bias")
    }
    arrays["attention.out_proj.weight"] = graph.parameters["attention.out_proj.weight"].array[:, :8]
    sizes = {name: np.where(one == 12, 8, np.where(one == 3, 2, one)) for name, one in graph.constants.items()}
    with pytest.raises(InputError, match=r"module=attention: weights \(24, 12\), \(12, 8\): must be of one width"):
        es.to_torch(module, unchecked(graph, arrays, sizes))


def unchecked(graph, arrays, constants=None):
    """With arrays that fit no node, as only shapes are asked for."""
    from dataclasses import replace

    parameters = {name: replace(one, array=arrays.get(name, one.array)) for name, one in graph.parameters.items()}
    return replace(graph, parameters=parameters, constants={**graph.constants, **(constants or {})})


def test_layers_of_unlike_hidden_sizes_are_refused():
    module = drawn(recurrent(nn.LSTM, num_layers=2)(5, 4))
    graph = es.from_torch(module, torch.randn(2, 4, 6))
    with pytest.raises(InputError, match=r"module=cell: would have \(.*\), \(.*\) as weight_hh: must be one"):
        es.to_torch(module, unchecked(graph, {"cell.weight_hh_l1": np.ones((12, 3), np.float32)}))


def test_arrays_of_another_rank_and_ties_that_break_are_refused():
    module = tied()
    graph = es.from_torch(module, TOKENS)
    with pytest.raises(InputError, match=r"parameter head\.bias=shape \(11, 1\): must be of 1 axes, as in the module"):
        es.to_torch(module, unchecked(graph, {"head.bias": np.ones((11, 1), np.float32)}))
    (name,) = {"embed.weight", "head.weight"} & set(graph.parameters)
    other = ({"embed.weight", "head.weight"} - {name}).pop()
    broken = unchecked(graph, {}, {other: np.ones((11, 8), np.float32)})
    with pytest.raises(InputError, match=r"parameters=.*: are one in the module: must be equal in the graph"):
        es.to_torch(module, broken)


def test_an_example_says_what_else_a_module_is_called_with():
    module = drawn(Calls(lambda self, x, twice, k: self.a(x) * (2 if twice else 1) + k, a=nn.Linear(6, 2)))
    given = (torch.randn(4, 6, dtype=torch.float64).float(), True, torch.tensor(3))
    graph = es.from_torch(module, given)
    assert es.to_torch(module, graph, example=given) is not module
    with pytest.raises(InputError, match=r"missing 2 required .*; example says what it is called with"):
        es.to_torch(module, graph)
    with pytest.raises(InputError, match=r"example=shapes \[\(3, 6\)\]: must be of \[\(4, 6\)\], as"):
        es.to_torch(module, graph, example=(torch.randn(3, 6), True, torch.tensor(3)))


def test_what_is_no_module_no_graph_or_cannot_be_copied():
    graph = es.from_torch(nn.Linear(6, 2).eval(), torch.randn(1, 6))
    with pytest.raises(InputError, match=r"module=str: must be a torch\.nn\.Module"):
        es.to_torch("net.pt", graph)
    with pytest.raises(InputError, match="graph=dict: must be Graph"):
        es.to_torch(nn.Linear(6, 2), {})
    masked = prune.l1_unstructured(nn.Linear(6, 2), "weight", 0.5)
    with pytest.raises(InputError, match="module=Linear: cannot be copied: ") as caught:
        es.to_torch(masked, graph)
    assert "\n" not in str(caught.value)


def test_a_state_is_written_as_safetensors_only(tmp_path):
    with pytest.raises(InputError, match=r"file=net\.pt: must end in \.safetensors"):
        es.save_state_dict(nn.Linear(2, 2), tmp_path / "net.pt")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_file_of_torch_is_never_opened(suffix, tmp_path):
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / f"net{suffix}")
    with pytest.raises(InputError, match=r"never read; .*st\.save_file\(.*'weights\.safetensors'\)"):
        es.load(tmp_path / f"net{suffix}")


def test_missing_torch_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for call in (es.to_torch, es.from_torch, es.save_state_dict):
        with pytest.raises(InputError, match=r'not installed: pip install "eie-sim\[torch\]"'):
            call(None, None)


def test_an_operator_that_torch_cannot_export_is_named():
    module = Calls(lambda self, x: torch.special.bessel_j0(x)).eval()
    with pytest.raises(InputError, match=r"module=Calls: torch cannot export it: .*bessel_j0") as caught:
        es.from_torch(module, torch.randn(2, 2))
    assert "\n" not in str(caught.value)
