"""Random small networks: units are alike in all their members and in no fewer, and silenced ones are gone."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from structured_models import Net

import eie_sim as es
from eie_sim.network.floatrun import run
from eie_sim.prune import verifying
from eie_sim.prune.groups import structure_of
from eie_sim.prune.removing import kept_units, parameter_count, removal_count, without

SIDE, LENGTH = 4, 3
KEY = re.compile(r"key.*bias")
"""What softmax does not feel: it is the same for all keys."""


class Images:
    """Steps on x [1, c, SIDE, SIDE]. All activations are smooth, so that no unit is dead."""

    def __init__(self, data):
        self.data, self.net, self.n = data, Net(data.draw(st.integers(0, 99))), 0

    def draw(self, *choices):
        return self.data.draw(st.sampled_from(choices))

    def conv(self, x, c, m=None, kernel=1, group=1):
        self.n += 1
        m = m or self.draw(4, 6, 8)
        return self.net.conv(x, f"conv{self.n}", c, m, kernel, group=group, bias=self.draw(False, True)), m

    def plain(self, x, c):
        return self.conv(x, c, kernel=self.draw(1, 3))

    def activation(self, x, c):
        return self.net.add(self.draw("Sigmoid", "Tanh"), x), c

    def norm(self, x, c):
        self.n += 1
        return self.net.batch_norm(x, f"norm{self.n}", c), c

    def grouped(self, x, c):
        group = self.draw(*[g for g in (2, 3, 4) if c % g == 0] or [1])
        return self.conv(x, c, group * self.draw(1, 2, 3), group=group)

    def depthwise(self, x, c):
        return self.conv(x, c, c * self.draw(1, 2), 3, group=c)

    def residual(self, x, c):
        y, m = self.conv(self.activation(x, c)[0], c)
        return self.net.add("Add", self.conv(self.activation(y, m)[0], m, c)[0], x), c

    def dense(self, x, c):
        y, m = self.conv(x, c)
        return self.net.add("Concat", *self.draw((x, y), (y, x)), axis=1), c + m

    def excited(self, x, c):
        mean = self.net.add("GlobalAveragePool", x)
        return self.net.add("Mul", x, self.net.add("Sigmoid", self.conv(mean, c, c)[0])), c

    def shuffled(self, x, c):
        groups = self.draw(*[g for g in (2, 3) if c % g == 0] or [1])
        y = self.net.reshape(x, 1, groups, c // groups, SIDE, SIDE)
        return self.net.reshape(self.net.add("Transpose", y, perm=[0, 2, 1, 3, 4]), 1, c, SIDE, SIDE), c

    def halves(self, x, c):
        first = self.data.draw(st.integers(1, c - 1))
        parts = self.net.add("Split", x, self.net.constant([first, c - first]), axis=1, n_out=2)
        y, m = self.conv(parts[1], c - first)
        return self.net.add("Concat", parts[0], y, axis=1), first + m

    def sliced(self, x, c):
        start = self.data.draw(st.integers(0, c - 2))
        cut = [self.net.constant([n]) for n in (start, self.draw(c, 2**62), 1)]
        y, m = self.conv(x, c)
        return self.net.add("Concat", y, self.net.add("Slice", x, *cut), axis=1), m + c - start

    STEPS = ("plain", "activation", "norm", "grouped", "depthwise", "residual", "dense", "excited", "shuffled")
    STEPS += ("halves", "sliced")

    def network(self):
        x, c = self.plain(self.net.input("x", 1, 2, SIDE, SIDE), 2)
        for step in self.data.draw(st.lists(st.sampled_from(self.STEPS), min_size=1, max_size=5)):
            if c < 40:
                x, c = getattr(self, step)(x, c)
        x, c = self.conv(*self.activation(x, c))
        x = self.net.add("Sigmoid", x)
        if self.draw(True, False):
            return self.net.graph(self.net.linear(self.net.add("Flatten", x), "out", c * SIDE * SIDE, 3))
        return self.net.graph(
            self.net.linear(self.net.reshape(self.net.add("GlobalAveragePool", x), 1, -1), "out", c, 3)
        )


class Tokens(Images):
    """Steps on x [1, LENGTH, c]."""

    def linear(self, x, c, m, name="linear"):
        self.n += 1
        return self.net.matmul(x, f"{name}{self.n}", c, m, bias=self.draw(False, True))

    def norm(self, x, c):
        self.n += 1
        if self.draw(True, False):
            return self.net.rms_norm(x, f"norm{self.n}", c), c
        return self.net.add("LayerNormalization", x, self.net.weight(f"norm{self.n}.weight", c, around=1)), c

    def gated(self, x, c):
        m = self.draw(4, 6)
        gate = self.net.add("Sigmoid", self.linear(x, c, m))
        return self.net.add("Add", x, self.linear(self.net.add("Mul", gate, self.linear(x, c, m)), m, c)), c

    def attention(self, x, c):
        kv, times, size = self.draw(1, 2), self.draw(1, 2), self.draw(2, 3)
        heads = kv * times

        def apart(y, n):
            return self.net.add("Transpose", self.net.reshape(y, 1, LENGTH, n, size), perm=[0, 2, 1, 3])

        if times == 1 and self.draw(True, False):
            qkv = self.linear(x, c, 3 * heads * size)
            parts = self.net.add("Split", qkv, self.net.constant([heads * size] * 3), axis=2, n_out=3)
            q, k, v = (apart(part, heads) for part in parts)
        else:
            q = apart(self.linear(x, c, heads * size), heads)
            k, v = (apart(self.linear(x, c, kv * size, name), kv) for name in ("key", "value"))
        if times > 1:
            k, v = (
                self.net.reshape(
                    self.net.add(
                        "Expand",
                        self.net.add("Unsqueeze", one, self.net.constant([2])),
                        self.net.constant([1, kv, times, LENGTH, size]),
                    ),
                    *(1, heads, LENGTH, size),
                )
                for one in (k, v)
            )
        scores = self.net.add("MatMul", q, self.net.add("Transpose", k, perm=[0, 1, 3, 2]))
        y = self.net.add("MatMul", self.net.add("Softmax", scores, axis=-1), v)
        y = self.net.reshape(self.net.add("Transpose", y, perm=[0, 2, 1, 3]), 1, LENGTH, heads * size)
        return self.net.add("Add", x, self.linear(y, heads * size, c)), c

    def network(self):
        x = self.net.add("Gather", self.net.weight("embed", 7, c := self.draw(4, 6), fan_in=1), "tokens")
        self.net.inputs["tokens"] = self.net.rng.permutation(7)[None, :LENGTH]
        for step in self.data.draw(st.lists(st.sampled_from(["norm", "gated", "attention"]), min_size=1, max_size=4)):
            x, c = getattr(self, step)(x, c)
        return self.net.graph(self.linear(self.net.add("Tanh", x), c, 3))


def off(one, other):
    (a,), (b,) = one.values(), other.values()
    return float(np.abs(a - b).max() / np.abs(a).max())


def but(structure, graph, group, member, pair):
    """The graph with two units of a group exchanged in all members but one."""
    whole = verifying.exchanged(structure, {group.name: pair})
    parameters = dict(whole.parameters)
    parameter = graph.parameters[member.parameter]
    array, (one, other) = parameters[member.parameter].array.copy(), member.positions[list(pair)]
    lines = np.moveaxis(array, member.axis, 0)
    lines[[*one, *other]] = lines[[*other, *one]]  # back again, along this axis
    parameters[member.parameter] = type(parameter)(name=parameter.name, array=array, axes=parameter.axes)
    return replace(graph, parameters=parameters)


def checked(graph):
    structure = structure_of(graph)
    free = [group for group in structure.groups if group.pinned is None]
    before = run(graph)
    for group in free:
        pair = (0, group.size - 1)
        assert off(before, run(verifying.exchanged(structure, {group.name: pair}))) <= 1e-5, group.name
        changes = {
            (member.parameter, member.axis): off(before, run(but(structure, graph, group, member, pair)))
            for member in group.members
            if len(group.members) > 1 and not KEY.match(member.parameter)
        }
        if any(changes.values()):  # nobody reads what a slice leaves out
            assert min(changes.values()) > 2e-7, (group.name, changes)
    units = {group.name: range(group.size // 2) for group in free}
    after = es.prune.remove(graph, units, verify=True)
    assert parameter_count(after) == parameter_count(graph) - removal_count(graph, units)
    for group in free:
        if verifying.can_be_silenced(graph, group):
            gone = {group.name: np.array([group.size - 1])}
            small = without(structure, kept_units(structure, gone))
            assert off(run(verifying.silenced(structure, gone)), run(small)) <= 1e-5, group.name
    return free


@pytest.mark.parametrize("kind", [Images, Tokens])
@settings(max_examples=25)
@given(data=st.data())
def test_units_are_alike_in_all_their_members_and_in_no_fewer(kind, data):
    checked(kind(data).network())
