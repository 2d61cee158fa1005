"""The engines agree with each other, and with a dense oracle and a cycle-stepped model written apart from both."""

from dataclasses import replace

import numpy as np
import pytest
from cycle_stepped import DRAIN, entries_of, scan, simulate
from hypothesis import given
from strategies import Case, busy_cases, cases

from eie_sim.core import golden
from eie_sim.core.quantize import Scales
from eie_sim.units.eie import fast, functional, reference
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.words import EieClass, EieEvent


def assert_same_timing(a, b):
    assert a.cycles == b.cycles
    np.testing.assert_array_equal(a.counts, b.counts)
    np.testing.assert_array_equal(a.classes, b.classes)
    np.testing.assert_array_equal(a.broadcast, b.broadcast)
    for ours, theirs in zip(a.timeline, b.timeline, strict=True):
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in [(a.counts, b.counts), (a.classes, b.classes), (a.broadcast, b.broadcast)]:
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype) == (ours.shape, np.int64)


def golden_of(case: Case):
    scales = case.matrix.scales.to_dict()
    config = case.config
    rules = golden.Arithmetic(
        **scales, accumulator_bits=config.accumulator_bits, rounding=config.rounding, active=config.active
    )
    codes = case.codes if case.bias_codes is None else np.column_stack([case.codes, case.bias_codes])
    return golden.matmul(golden.nonzeros(codes), case.matrix.codebook, case.activations, rules)


@given(cases())
def test_reference_and_fast_return_the_same(case):
    run = reference.run(case.matrix, case.activations, case.config)
    assert_same_timing(fast.run(case.matrix, case.activations, case.config, timeline=True), run.timing)
    np.testing.assert_array_equal(functional.accumulate(case.matrix, case.activations, case.config), run.output)


@pytest.mark.parametrize("accumulator_bits", [16, 24, 32])
def test_both_engines_round_as_the_design_says(accumulator_bits):
    """3 x 1, 3 x 3 and 3 x -1 units shifted by one: 1.5, 4.5 and -1.5 units become 1, 4, -2 or 2, 5, -1."""
    matrix = EieMatrix.from_codes(
        np.array([[1], [2], [3]]),
        np.array([0, 1, 3, -1], dtype=np.int16),
        n_pe=2,
        scales=Scales(weight=1, activation=0, accumulator=0),
    )
    for rounding, rounded in (("floor", [1, 4, -2]), ("nearest", [2, 5, -1])):
        config = EieConfig(n_pe=2, weight_bits=2, accumulator_bits=accumulator_bits, rounding=rounding)
        raw = np.array([3], dtype=np.int16)
        assert reference.run(matrix, raw, config).output.tolist() == rounded
        assert functional.accumulate(matrix, raw, config).tolist() == rounded


@given(cases())
def test_output_is_the_golden_product(case):
    oracle = golden_of(case)
    output = functional.accumulate(case.matrix, case.activations, case.config)
    np.testing.assert_array_equal(output, oracle.output[0])
    distance = np.abs(output / 2.0**case.matrix.scales.accumulator - oracle.real[0])
    assert (distance <= oracle.bound[0])[~oracle.saturated[0]].all()


@given(cases())
def test_time_is_that_of_the_cycle_stepped_model(case):
    config = case.config
    active = case.activations > 0 if config.active == "positive" else case.activations != 0
    table = entries_of(case.codes, case.bias_codes, config.n_pe, config.index_bits)
    steps = scan(active.tolist(), config.n_pe, case.bias_codes is not None)
    cycles, sent_at, taken_at, log = simulate(table, steps, config.n_pe, config.queue_depth)
    timing = fast.run(case.matrix, case.activations, config, timeline=True)
    assert timing.cycles == cycles
    assert timing.timeline[0].tolist() == sent_at
    assert timing.timeline[1].tolist() == taken_at
    for kind in (EieClass.WEIGHT, EieClass.PADDING, EieClass.EMPTY):
        spent = [sum(name == kind.name.lower() and at <= cycles - DRAIN for at, name in pe) for pe in log]
        assert timing.classes[:, kind].tolist() == spent


@pytest.mark.parametrize(("n_out", "n_in"), [(300, 130), (200, 400), (700, 60)])
@pytest.mark.compiled
def test_tall_columns_on_one_pe(n_out, n_in):
    """More entries in a column than a byte counts, and more items than the narrow sums hold at once."""
    rng = np.random.default_rng(n_out)
    codes = np.where(rng.random((n_out, n_in)) < 0.97, rng.integers(1, 16, (n_out, n_in)), 0).astype(np.uint8)
    scales = Scales(weight=6, activation=6, accumulator=4)
    matrix = EieMatrix.from_codes(
        codes, rng.integers(-50, 50, 16, dtype=np.int16) * (np.arange(16) > 0), n_pe=1, scales=scales
    )
    config = EieConfig(n_pe=1, queue_depth=3)
    activations = rng.integers(1, 100, n_in).astype(np.int16)
    timing = fast.run(matrix, activations, config, timeline=True)
    assert_same_timing(timing, reference.run(matrix, activations, config).timing)
    table = entries_of(codes, None, 1, 4)
    cycles, sent_at, taken_at, _ = simulate(table, scan([True] * n_in, 1, False), 1, 3)
    assert (timing.cycles, timing.timeline[0].tolist(), timing.timeline[1].tolist()) == (cycles, sent_at, taken_at)
    assert timing.counts[0, EieEvent.CODEBOOK_READS] == matrix.n_entry
    assert timing.counts[0, EieEvent.SPMAT_READS] == -(-matrix.n_entry // 8)


@given(cases())
def test_conservation(case):
    timing = fast.run(case.matrix, case.activations, case.config, timeline=True)
    events = dict(zip([e.name for e in EieEvent], timing.counts.sum(axis=0).tolist(), strict=True))
    assert timing.classes.sum() == timing.cycles * case.config.n_pe
    assert (timing.classes >= 0).all()
    assert events["QUEUE_WRITES"] == events["QUEUE_READS"] == events["BROADCASTS"] * case.config.n_pe
    assert events["MACS"] + events["PADDING_ENTRIES"] == events["CODEBOOK_READS"]
    assert events["OUTPUT_WRITES"] == case.matrix.n_out
    busiest = int((timing.classes[:, EieClass.WEIGHT] + timing.classes[:, EieClass.PADDING]).max())
    assert timing.cycles >= (busiest + DRAIN if busiest else 0)
    broadcast_at, taken_at = timing.timeline
    assert (np.diff(broadcast_at) >= 1).all()
    assert (np.diff(taken_at, axis=0) >= 1).all()
    assert (taken_at > broadcast_at[:, None]).all()


@given(busy_cases())
def test_totals_at_several_depths_are_those_of_each(case):
    depths = [1, 2, 9]
    own = case.activations
    same = np.sign(own) * 7  # other values, the same items; turned in sign, they are others where signs matter
    batch = np.stack([own, same, -same, np.zeros_like(own), np.zeros_like(own), own[::-1]])
    found = fast.totals(case.matrix.counts, batch, case.config, np.array(depths))
    assert type(found.items) is type(found.lost) is int
    for at, depth in enumerate(depths):
        each = [fast.run(case.matrix.counts, raw, replace(case.config, queue_depth=depth)) for raw in batch]
        assert found.cycles[at].tolist() == [timing.cycles for timing in each]
        classes = sum(timing.classes for timing in each)
        assert fast.classes_of(found, at).tolist() == classes.tolist()
        assert fast.class_totals(found)[at].tolist() == classes.sum(axis=0).tolist()
        assert fast.broadcast_of(found, at).tolist() == sum(timing.broadcast for timing in each).tolist()
        assert (
            fast.counts_of(found, case.config.n_pe, case.matrix.n_out).tolist() == sum(t.counts for t in each).tolist()
        )
    assert fast.class_totals(found).dtype == np.int64


@given(cases())
def test_deeper_queues_never_cost_cycles(case):
    deeper = replace(case.config, queue_depth=case.config.queue_depth + 3)
    now = fast.run(case.matrix, case.activations, case.config)
    assert fast.run(case.matrix, case.activations, deeper).cycles <= now.cycles


@pytest.mark.slow
def test_engines_agree_on_a_large_layer():
    from eie_sim.engine import simulate as run
    from eie_sim.network import load
    from eie_sim.units.eie.matrix import EieMatrix

    layer = load("alex-7").layers[0]
    matrix = EieMatrix.from_dense(layer.weights, activations=layer.activations)
    fast_result, slow_result = (run(matrix, layer.activations, engine=name) for name in ("fast", "reference"))
    np.testing.assert_array_equal(fast_result.output, slow_result.output)
    np.testing.assert_array_equal(fast_result.counts, slow_result.counts)
    np.testing.assert_array_equal(fast_result.classes, slow_result.classes)
