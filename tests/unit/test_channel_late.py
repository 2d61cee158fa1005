"""The channel where nobody waits yet: items lie in their slots, and by default an item and a slot take a cycle."""

import simpy

from eie_sim.units.channel import Channel


def run(n_item, depth, *, sink_starts):
    """When each item was sent and taken, by a source and a sink that are always ready once they have started."""
    env = simpy.Environment()
    channel = Channel(env, depth=depth)
    sent, taken = [], []

    def source():
        for item in range(n_item):
            yield from channel.reserve()
            sent.append(env.now)
            channel.send(item)

    def sink():
        yield env.timeout(sink_starts)
        for item in range(n_item):
            assert (yield from channel.take()) == item
            taken.append(env.now)

    env.process(source())
    env.process(sink())
    env.run()
    return sent, taken


def test_an_item_is_there_in_the_next_cycle_and_its_slot_is_free_in_the_one_after_it_is_taken():
    assert run(3, 1, sink_starts=0) == ([0, 2, 4], [1, 3, 5])


def test_items_that_nobody_waited_for_are_taken_at_once_and_in_order():
    # Two are in their slots when the sink comes at 9; the others follow through slots that are free again at 10.
    assert run(4, 2, sink_starts=9) == ([0, 0, 10, 10], [9, 9, 11, 11])
