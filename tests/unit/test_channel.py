"""The channel, to the cycle: source, channel, sink, against the rule solved by hand."""

import itertools

import pytest
import simpy

from eie_sim.units.channel import Channel

SETTINGS = list(itertools.product([1, 2, 3], [1, 2, 3], [1, 2, 3]))


def expected(n_item, depth, latency, credit, *, pause, work):
    """Item k leaves when the source is ready and item k - depth was taken `credit` ago; it is taken once visible."""
    sent, taken = [], []
    for k in range(n_item):
        ready = sent[-1] + pause if sent else 0
        free = taken[k - depth] + credit if k >= depth else 0
        sent.append(max(ready, free))
        taken.append(max(sent[k] + latency, taken[-1] + work if taken else 0))
    return sent, taken


@pytest.mark.parametrize(("depth", "latency", "credit"), SETTINGS)
@pytest.mark.parametrize("sink_first", [False, True])
@pytest.mark.parametrize(("pause", "work"), [(1, 1), (1, 3), (3, 1), (0, 2)])
def test_items_move_when_they_may(depth, latency, credit, sink_first, pause, work):
    env = simpy.Environment()
    channel = Channel(env, depth=depth, latency_cycles=latency, credit_cycles=credit)
    sent, taken, items = [], [], []

    def source():
        for item in range(9):
            yield from channel.reserve()
            sent.append(env.now)
            channel.send(item)
            yield env.timeout(pause)

    def sink():
        for _ in range(9):
            items.append((yield from channel.take()))
            taken.append(env.now)
            yield env.timeout(work)

    for process in (sink, source) if sink_first else (source, sink):
        env.process(process())
    env.run()
    assert items == list(range(9))
    assert (sent, taken) == expected(9, depth, latency, credit, pause=pause, work=work)


def expected_in_place(n_item, depth, latency, credit, *, pause, work):
    """As above, but an item keeps its slot while it is worked on."""
    sent, received = [], []
    for k in range(n_item):
        ready = sent[-1] + pause if sent else 0
        free = received[k - depth] + work + credit if k >= depth else 0
        sent.append(max(ready, free))
        received.append(max(sent[k] + latency, received[-1] + work if received else 0))
    return sent, received


@pytest.mark.parametrize(("depth", "latency", "credit"), list(itertools.product([1, 2, 3], [0, 1, 5], [0, 1, 3])))
@pytest.mark.parametrize("sink_first", [False, True])
@pytest.mark.parametrize(("pause", "work"), [(1, 1), (1, 3), (3, 1), (2, 2)])
def test_an_item_worked_on_in_place_keeps_its_slot(depth, latency, credit, sink_first, pause, work):
    env = simpy.Environment()
    channel = Channel(env, depth=depth, latency_cycles=latency, credit_cycles=credit)
    sent, received = [], []

    def source():
        for item in range(9):
            yield from channel.reserve()
            sent.append(env.now)
            channel.send(item)
            yield env.timeout(pause)

    def sink():
        for item in range(9):
            assert (yield from channel.receive()) == item
            received.append(env.now)
            yield env.timeout(work)
            channel.release()

    for process in (sink, source) if sink_first else (source, sink):
        env.process(process())
    env.run()
    assert (sent, received) == expected_in_place(9, depth, latency, credit, pause=pause, work=work)
