"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import numpy as np
import pytest
from structured_models import Net, resnet18

from eie_sim.prune import importance, permute, remove, select
from eie_sim.prune.groups import groups

pytestmark = pytest.mark.slow


def plain(n_layer):
    """Convolutions with BatchNorm and ReLU, every second pair around a residual add."""
    net = Net()
    x = net.conv(net.input("x", 1, 3, 8, 8), "stem", 3, 16)
    for at in range(n_layer // 2):
        y = net.add("Relu", net.batch_norm(net.conv(x, f"{at}.a", 16, 16), f"{at}.bn1", 16))
        y = net.batch_norm(net.conv(y, f"{at}.b", 16, 16), f"{at}.bn2", 16)
        x = net.add("Relu", net.add("Add", x, y) if at % 2 else y)
    return net.graph(net.linear(net.add("Flatten", net.add("GlobalAveragePool", x)), "fc", 16, 10))


def halved(graph):
    return remove(graph, select(importance(graph, groups(graph)), 0.5))


@pytest.mark.parametrize(
    ("name", "make", "most"), [("ResNet-18", lambda: resnet18(False), 1), ("100 layers", lambda: plain(100), 5)]
)
def test_groups_and_removal(benchmark, note, name, make, most):
    graph = make()
    benchmark.pedantic(halved, args=[graph], rounds=3, warmup_rounds=1)
    if benchmark.stats is not None:
        note(f"groups, importance and removal of {name}: {benchmark.stats.stats.max:.2f} s")
        assert benchmark.stats.stats.max < most


def test_time_grows_with_the_operators(ratio):
    small, large = plain(50), plain(200)
    ratio(
        "groups and removal, 200 layers / 50 layers",
        lambda: halved(large),
        lambda: halved(small),
        at_most=6,
        aim=4,
        rounds=5,
    )


def test_permutation(benchmark, note):
    weights = np.random.default_rng(1).random((128, 64))
    benchmark.pedantic(permute, args=[weights], rounds=3, warmup_rounds=1)
    if benchmark.stats is not None:
        note(f"permutation of 128 x 64: {benchmark.stats.stats.max:.3f} s")
        assert benchmark.stats.stats.max < 0.5
