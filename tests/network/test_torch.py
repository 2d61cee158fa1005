"""torch modules as graphs: names of the state_dict stay, BatchNorm stays, outputs agree."""

import numpy as np
import pytest
from onnx_models import run_products

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.network import load
from eie_sim.network.layered import graph_of
from eie_sim.network.lower import steps_of
from eie_sim.network.readers.torch_reader import from_torch

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("onnxscript", reason="onnxscript is not installed")
nn = torch.nn


class Block(nn.Module):
    def __init__(self, c, m, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(c, m, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(m)
        self.conv2 = nn.Conv2d(m, m, 3, 1, 1, groups=2)
        self.down = nn.Conv2d(c, m, 1, stride)

    def forward(self, x):
        return torch.relu(self.conv2(torch.relu(self.bn1(self.conv1(x)))) + self.down(x))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
        self.gru = nn.GRU(16, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 20, bias=False)

    def forward(self, tokens):
        return self.head(self.gru(self.layer(self.embed(tokens)))[0])


def residual():
    torch.manual_seed(0)
    module = nn.Sequential(Block(3, 8, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
    norm = module[0].bn1
    norm.running_mean.normal_(), norm.running_var.uniform_(0.5, 2.0), norm.weight.data.normal_()
    return module.eval()


def agrees(module, example):
    graph = from_torch(module, example)
    (found,) = run_products(graph).values()
    with torch.no_grad():
        wanted = module(example).numpy()
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    return graph


def test_a_residual_network_keeps_names_and_batchnorm():
    module = residual()
    graph = agrees(module, torch.randn(2, 3, 10, 10))
    names = {name for name in module.state_dict() if "num_batches" not in name}
    assert set(graph.parameters) == names
    for name in names:
        assert np.array_equal(graph.parameters[name].array, module.state_dict()[name].numpy())
    assert graph.parameters["0.conv1.weight"].axes == ("out", "in", "kernel0", "kernel1")
    steps = steps_of(graph)
    assert [[node.op for node in step.nodes] for step in steps][:1] == [["Conv", "BatchNormalization"]]
    assert not graph.drawn


def test_attention_and_recurrence():
    torch.manual_seed(0)
    module = Attention().eval()
    graph = agrees(module, torch.randint(0, 20, (2, 5)))
    assert set(graph.parameters) == set(module.state_dict())
    assert graph.parameters["layer.self_attn.in_proj_weight"].axes == ("out", "in")
    assert graph.parameters["gru.weight_hh_l0"].axes == ("gate_out", "hidden")


def test_one_mlp_as_a_module_and_as_layers_gives_the_same_bytes():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3, bias=False)).eval()
    x = torch.randn(4, 6)
    state = {name: array.numpy() for name, array in module.state_dict().items()}
    chain = graph_of(load(state, chain="0,2", activations=x.numpy()))
    graph = from_torch(module, x)
    for mine, theirs in zip(es.lower(graph), es.lower(chain), strict=True):
        assert mine.weight.tobytes() == theirs.weight.tobytes()
        assert (mine.bias is None) == (theirs.bias is None)
    (mine,), (theirs,) = run_products(graph).values(), run_products(chain).values()
    assert mine.tobytes() == theirs.tobytes()


def test_training_mode_is_refused_by_name():
    module = residual()
    module[0].bn1.train()
    with pytest.raises(InputError, match=r"module=0\.bn1: is in training mode"):
        from_torch(module, torch.randn(1, 3, 8, 8))


class Odd(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "rule"), [(3, "must be a torch.nn.Module"), (Odd().eval(), "torch cannot export it")]
)
def test_what_is_no_module_or_cannot_be_exported(module, rule):
    with pytest.raises(InputError, match=rule) as caught:
        from_torch(module, torch.randn(2, 2))
    assert "\n" not in str(caught.value)


def test_a_torch_module_runs_on_a_unit():
    run = es.run(es.from_torch(residual(), torch.rand(2, 3, 8, 8)), es.EieConfig(n_pe=4, weight_bits=8), density=0.5)
    assert run.verified
    assert run.distance < 0.05
    assert {row.weights.partition(";")[0] for row in run.rows} >= {"0.conv1.weight", "0.down.weight", "3.weight"}


def halves(module, x):
    left, right = module(x).chunk(2, -1)
    return left * torch.tanh(right)


def thirds(module, x):
    q, k, v = module(x).split(4, -1)
    return q @ k.transpose(-1, -2) @ v


def uneven(module, x):
    first, _, last = module(x).split([3, 4, 5], -1)
    return torch.cat([last, first], -1)


@pytest.mark.parametrize("call", [halves, thirds, uneven])
def test_pieces_of_a_split_are_slices(call):
    class Pieces(nn.Linear):
        def forward(self, x):
            return call(super().forward, x)

    torch.manual_seed(0)
    graph = agrees(Pieces(6, 12).eval(), torch.randn(3, 2, 6))
    assert set(graph.parameters) == {"weight", "bias"}
    assert {node.op for node in graph.nodes} & {"Slice", "SplitToSequence", "SequenceAt"} == {"Slice"}


def test_gains_of_a_group_norm_are_parameters():
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), nn.GroupNorm(2, 8)).eval()
    module[1].weight.data.normal_()
    graph = agrees(module, torch.randn(2, 3, 6, 6))
    assert {"1.weight", "1.bias"} <= set(graph.parameters)
