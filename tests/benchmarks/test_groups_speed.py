"""Run with: pytest tests/benchmarks -m slow --benchmark-enable

Groups and removal alone: what the framework runs is not timed.
"""

import time

import pytest
from structured_models import Net, resnet18

import eie_sim as es

pytestmark = pytest.mark.slow


def residual(n_block):
    """Two convolutions in each block, a norm after each."""
    net = Net()
    x = net.conv(net.input("x", 1, 3, 4, 4), "stem", 3, 32)
    for block in range(n_block):
        y = x
        for part in "ab":
            name = f"{block}.{part}"
            y = net.add("Relu", net.batch_norm(net.conv(y, name, 32, 32), f"{name}.norm", 32))
        x = net.add("Add", x, y)
    return net.graph(net.linear(net.reshape(net.add("GlobalAveragePool", x), 1, 32), "fc", 32, 10))


def halved(graph):
    units = {group.name: range(group.size // 2) for group in es.groups(graph) if group.pinned is None}
    return es.prune.remove(graph, units)


def seconds(call, *given):
    times = []
    for _ in range(3):
        start = time.perf_counter()
        call(*given)
        times.append(time.perf_counter() - start)
    return min(times)


def test_resnet18_takes_less_than_a_second(benchmark):
    graph = resnet18(False)
    benchmark(halved, graph)
    assert seconds(halved, graph) < 1


def test_a_hundred_layers_take_less_than_five_seconds(benchmark):
    graph = residual(50)
    benchmark(halved, graph)
    assert seconds(halved, graph) < 5


def test_time_grows_as_the_operators_do():
    few, many = residual(25), residual(200)
    growth = len(many.nodes) / len(few.nodes)
    assert seconds(halved, many) < 2 * growth * seconds(halved, few)
