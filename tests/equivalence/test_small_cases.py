"""Small cases worked by hand from the rules of broadcast, queue and processing element, on both engines."""

import numpy as np
import pytest

from eie_sim.core.quantize import Scales
from eie_sim.engine import simulate
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix

BOOK = np.array([0, 1, 2, 3], dtype=np.int16)
INTEGERS = Scales(weight=0, activation=0, accumulator=0)


@pytest.fixture(params=["fast", "reference"])
def run(request):
    def run(codes, activations, *, n_pe, bias_codes=None, **design):
        matrix = EieMatrix.from_codes(np.array(codes), BOOK, n_pe=n_pe, bias_codes=bias_codes, scales=INTEGERS)
        config = EieConfig(n_pe=n_pe, weight_bits=2, **design)
        return simulate(matrix, np.array(activations, dtype=np.int16), config, engine=request.param, timeline=True)

    return run


def times(result):
    return [part.tolist() for part in result.timeline]


def test_one_entry(run):
    result = run([[3]], [5], n_pe=1)
    # Broadcast in cycle 2, visible and issued in 3, drained 6 later.
    assert times(result) == [[2], [[3]]]
    assert result.cycles == 9
    assert result.output.tolist() == [15]
    assert result.stats["classes"] == {"weight": 1, "padding": 0, "empty": 0, "waiting": 2, "drain": 6}


def test_every_lane_active_loses_no_cycle_before_the_bias(run):
    result = run([[1, 1], [1, 1]], [1, 1], n_pe=2, bias_codes=[1, 1])
    assert times(result)[0] == [2, 3, 4]
    assert result.stats["broadcast"] == {"sent": 3, "blocked_cycles": 0, "lost_cycles": 0}


def test_a_short_last_lane_row_loses_one_cycle_before_the_bias(run):
    # Three inputs on two lanes: the second row has one input, in lane 0, and it is active.
    result = run([[1, 1, 1]], [1, 1, 1], n_pe=2, bias_codes=[1])
    assert times(result)[0] == [2, 3, 4, 6]
    assert result.stats["broadcast"]["lost_cycles"] == 1


def test_a_lane_row_without_active_inputs_costs_one_cycle(run):
    result = run([[1] * 6], [0, 0, 0, 0, 0, 1], n_pe=2)
    assert times(result)[0] == [4]
    assert result.stats["broadcast"]["lost_cycles"] == 2


def test_cycles_lost_after_the_last_broadcast_do_not_count(run):
    result = run([[1] * 6], [1, 0, 0, 0, 0, 0], n_pe=2)
    assert times(result)[0] == [2]
    assert result.stats["broadcast"]["lost_cycles"] == 0


def test_a_bias_without_entries_is_broadcast_and_ends_nothing(run):
    result = run([[1]], [1], n_pe=1, bias_codes=[0])
    assert times(result) == [[2, 3], [[3], [4]]]
    assert result.cycles == 9
    assert result.stats["events"]["broadcasts"] == 2
    assert result.stats["events"]["macs"] == 1
    # The bias is taken in cycle 4, after the last issue: it is counted as an event, and in no class.
    assert result.stats["classes"] == {"weight": 1, "padding": 0, "empty": 0, "waiting": 2, "drain": 6}


def test_trailing_empty_columns_add_nothing(run):
    short = run([[1]], [1], n_pe=1)
    long = run([[1, 0, 0, 0]], [1, 1, 1, 1], n_pe=1)
    assert long.cycles == short.cycles
    assert long.stats["classes"] == short.stats["classes"]
    assert long.stats["events"]["pointer_reads"] == 4


def test_no_entry_at_all_takes_no_cycles_but_counts_events(run):
    result = run([[0, 0]], [1, 1], n_pe=1)
    assert result.cycles == 0
    assert set(result.stats["classes"].values()) == {0}
    assert result.stats["events"]["queue_reads"] == 2
    assert result.stats["events"]["output_writes"] == 1


def test_a_queue_of_one_holds_the_broadcast_until_the_cycle_after_the_take(run):
    # Four rows on one PE: each item occupies it for 4 cycles.
    result = run([[1, 1, 1]] * 4, [1, 1, 1], n_pe=1, queue_depth=1)
    # Item 0 is taken in 3, its slot is free in 4; item 1 is taken when item 0 is done, in 7; item 2 goes out in 8.
    assert times(result) == [[2, 4, 8], [[3], [7], [11]]]
    assert result.stats["broadcast"]["blocked_cycles"] == 4
    assert result.cycles == 14 + 6


def test_one_full_queue_stops_the_broadcast_to_all(run):
    # PE 0 has four entries in each column, PE 1 none: it waits although it has room.
    result = run([[1] * 3, [0] * 3] * 4, [1, 1, 1], n_pe=2, queue_depth=1)
    assert times(result) == [[2, 4, 8], [[3, 3], [7, 5], [11, 9]]]
    assert result.stats["classes"]["empty"] == 3


def test_padding_costs_a_cycle_and_writes_nothing(run):
    codes = np.zeros((20, 1), dtype=int)
    codes[17] = 2
    result = run(codes, [3], n_pe=1)
    assert result.stats["events"]["padding_entries"] == 1
    assert result.stats["events"]["accumulator_writes"] == 1
    assert result.output.tolist() == [0] * 17 + [6, 0, 0]
    assert result.cycles == 4 + 6


def test_the_spmat_row_stays_latched_across_columns(run):
    # Rows of two 6-bit entries; one entry per column: entries 0 and 1 share a row, 2 opens the next.
    result = run([[1, 1, 1]], [1, 1, 1], n_pe=1, spmat_width_bits=12)
    assert result.stats["events"]["spmat_reads"] == 2
    skipping = run([[1, 1, 1]], [1, 0, 1], n_pe=1, spmat_width_bits=12)
    assert skipping.stats["events"]["spmat_reads"] == 2


def test_negative_inputs_take_part_only_when_asked(run):
    assert run([[1, 1]], [-4, 3], n_pe=1).output.tolist() == [3]
    assert run([[1, 1]], [-4, 3], n_pe=1, active="nonzero").output.tolist() == [-1]


def test_products_are_floored_or_rounded_where_they_are_shifted():
    matrix = EieMatrix.from_codes(
        [[1], [2]],
        np.array([0, 3, -3, 0], dtype=np.int16),
        n_pe=1,
        scales=Scales(weight=1, activation=1, accumulator=0),
    )
    for rounding, expected in {"floor": [0, -1], "nearest": [1, -1]}.items():
        config = EieConfig(n_pe=1, weight_bits=2, rounding=rounding)
        assert simulate(matrix, np.array([1], dtype=np.int16), config).output.tolist() == expected


def test_accumulators_saturate_at_every_entry_in_broadcast_order():
    book = np.array([0, 20000, -20000, 0], dtype=np.int16)
    matrix = EieMatrix.from_codes([[1, 1, 2]], book, n_pe=1, scales=INTEGERS)
    x = np.array([1, 1, 1], dtype=np.int16)
    for engine in ("fast", "reference"):
        narrow = simulate(matrix, x, EieConfig(n_pe=1, weight_bits=2), engine=engine)
        assert narrow.output.tolist() == [12767]
        assert narrow.output.dtype == np.int16
        wide = simulate(matrix, x, EieConfig(n_pe=1, weight_bits=2, accumulator_bits=24), engine=engine)
        assert wide.output.tolist() == [20000]
        assert wide.output.dtype == np.int32


def test_a_batch_is_its_vectors_one_after_the_other():
    rng = np.random.default_rng(0)
    matrix = EieMatrix.from_codes(rng.integers(0, 4, (20, 9)), BOOK, n_pe=4, scales=INTEGERS)
    config = EieConfig(n_pe=4, weight_bits=2)
    batch = rng.integers(0, 3, (5, 9)).astype(np.int16)
    together = simulate(matrix, batch, config, timeline=True)
    apart = [simulate(matrix, vector, config, timeline=True) for vector in batch]
    assert together.cycles == sum(one.cycles for one in apart)
    assert together.cycles_per_vector.tolist() == [one.cycles for one in apart]
    np.testing.assert_array_equal(together.output, [one.output for one in apart])
    np.testing.assert_array_equal(together.counts, sum(one.counts for one in apart))
    np.testing.assert_array_equal(together.classes, sum(one.classes for one in apart))
    for pair, one in zip(together.timeline, apart, strict=True):
        np.testing.assert_array_equal(pair[1], one.timeline[1])


def test_an_empty_batch_is_nothing():
    matrix = EieMatrix.from_codes([[1]], BOOK, n_pe=1, scales=INTEGERS)
    result = simulate(matrix, np.zeros((0, 1), dtype=np.int16))
    assert result.cycles == 0
    assert result.output.shape == (0, 1)
