"""Networks from torch: groups of modules, and the counts of another pruner of dependency graphs."""

import pytest

import eie_sim as es

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
nn = torch.nn


class Block(nn.Module):
    def __init__(self, c, m, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(c, m, 3, stride, 1, bias=False), nn.BatchNorm2d(m)
        self.conv2, self.bn2 = nn.Conv2d(m, m, 3, 1, 1, bias=False), nn.BatchNorm2d(m)
        self.down = nn.Conv2d(c, m, 1, stride, bias=False) if c != m else nn.Identity()

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + self.down(x))


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, 1, 1), nn.BatchNorm2d(8)
        self.blocks = nn.Sequential(Block(8, 8, 1), Block(8, 16, 2), Block(16, 16, 1), Block(16, 32, 2))
        self.head = nn.Linear(32, 10)

    def forward(self, x):
        x = self.blocks(torch.relu(self.bn(self.stem(x))))
        return self.head(torch.flatten(nn.functional.adaptive_avg_pool2d(x, 1), 1))


class Dense(nn.Module):
    """Concatenated, with a depthwise convolution and a flatten of more than one place."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.grown = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(), nn.Conv2d(8 + 4 * i, 4, 3, padding=1)) for i in range(3)
        )
        self.narrow = nn.Conv2d(20, 12, 1)
        self.apart = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.head = nn.Linear(12 * 16, 5)

    def forward(self, x):
        x = self.stem(x)
        for layer in self.grown:
            x = torch.cat([x, layer(x)], 1)
        return self.head(torch.flatten(nn.functional.avg_pool2d(self.apart(self.narrow(x)), 2), 1))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.place = nn.Embedding(20, 16), nn.Parameter(torch.randn(1, 5, 16))
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.head = nn.Linear(16, 20)

    def forward(self, tokens):
        return self.head(self.layer(self.embed(tokens) + self.place))


class Recurrent(nn.Module):
    def __init__(self, **more):
        super().__init__()
        self.cell = nn.LSTM(3, 4, batch_first=True, **more)
        self.head = nn.Linear(4 * (1 + self.cell.bidirectional), 2)

    def forward(self, x):
        return self.head(self.cell(x)[0][:, -1])


def drawn(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        parameter.data.normal_(std=0.3)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(), part.running_var.uniform_(0.5, 2)
    return module.eval()


def free(graph):
    return {group.name: group for group in es.groups(graph) if group.pinned is None}


def test_names_of_groups_are_those_of_the_state_dict():
    graph = es.from_torch(drawn(Residual()), torch.randn(1, 3, 16, 16))
    assert list(free(graph)) == [
        "stem.weight:0:0",
        "blocks.0.conv1.weight:0:0",
        "blocks.1.conv1.weight:0:0",
        "blocks.1.conv2.weight:0:0",
        "blocks.2.conv1.weight:0:0",
        "blocks.3.conv1.weight:0:0",
        "blocks.3.conv2.weight:0:0",
    ]
    es.prune.remove(graph, {name: range(group.size // 2) for name, group in free(graph).items()}, verify=True)


def test_an_encoder_layer_has_heads_of_one_fused_projection():
    graph = es.from_torch(drawn(Attention()), torch.randint(0, 20, (2, 5)))
    found = free(graph)
    assert {name: group.size for name, group in found.items()} == {
        "embed.weight:1:0": 16,
        "layer.self_attn.in_proj_weight:0:1": 2,
        "layer.self_attn.in_proj_weight:0:2": 8,
        "layer.linear1.weight:0:0": 32,
    }
    heads = found["layer.self_attn.in_proj_weight:0:1"]
    assert heads.members[0].positions[1].tolist() == [at for start in (8, 24, 40) for at in range(start, start + 8)]
    es.prune.remove(graph, {name: range(group.size // 2) for name, group in found.items()}, verify=True)


@pytest.mark.parametrize(("more", "left"), [({}, 104), ({"bidirectional": True}, None), ({"num_layers": 2}, None)])
def test_gates_in_torchs_order_are_one_hidden_unit(more, left):
    graph = es.from_torch(drawn(Recurrent(**more)), torch.randn(2, 5, 3))
    found = free(graph)
    assert [group.size for group in found.values()] == [4] * more.get("num_layers", 1)
    (name, *_) = found
    after = es.prune.remove(graph, {name: [0]}, verify=True)
    assert left is None or es.prune.parameter_count(after) == left


@pytest.mark.parametrize("kind", [Residual, Dense])
@pytest.mark.parametrize("ratio", [0.25, 0.5])
def test_torch_pruning_leaves_as_many_parameters(kind, ratio):
    other = pytest.importorskip("torch_pruning", reason="torch_pruning is not installed")
    example = torch.randn(1, 3, 8 if kind is Dense else 16, 8 if kind is Dense else 16)
    module = drawn(kind())
    graph = es.from_torch(module, example)
    units = {name: range(int(group.size * ratio)) for name, group in free(graph).items()}
    after = es.prune.remove(graph, units, verify=True)
    pruner = other.pruner.MagnitudePruner(
        module,
        example,
        importance=other.importance.MagnitudeImportance(p=2),
        pruning_ratio=ratio,
        ignored_layers=[module.head],
    )
    pruner.step()
    assert es.prune.parameter_count(after) == sum(parameter.numel() for parameter in module.parameters())
