"""Every run is checked: a count that is off by one contradicts another, and the run stops with what differs."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nm_strategies import NmCase, nm_cases
from strategies import cases

import eie_sim as es
from eie_sim.core.errors import InvariantError
from eie_sim.units.eie import fast, invariants
from eie_sim.units.eie.words import EieEvent
from eie_sim.units.nm import fast as nm_fast
from eie_sim.units.nm import invariants as nm_invariants
from eie_sim.units.nm.words import NmEvent, NmPart

FREE = {EieEvent.OUTPUT_WRITES}
"""Events that nothing else counts."""


def run_of(seed, n_pe=3, queue_depth=2):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 40, 2))
    weights = np.where(rng.random(shape) < rng.random(), rng.normal(size=shape), 0.0)
    matrix = es.EieMatrix.from_dense(weights, n_pe=n_pe, index_bits=2)
    raw = (rng.integers(-3, 9, (int(rng.integers(1, 4)), shape[1])) // 2).astype(np.int16)
    config = es.EieConfig(n_pe=n_pe, queue_depth=queue_depth, index_bits=2, spmat_width_bits=16)
    found = fast.totals(matrix.counts, raw, config)
    arrays = {
        "cycles": found.cycles[0].copy(),
        "counts": fast.counts_of(found, n_pe, shape[0]),
        "classes": fast.classes_of(found),
        "broadcast": fast.broadcast_of(found),
    }
    return matrix.counts, raw, config, arrays


@given(cases())
def test_real_runs_break_nothing(case):
    es.simulate(case.matrix, case.activations, case.config)
    es.simulate(case.matrix, case.activations[None].repeat(2, axis=0), case.config)


@given(st.integers(0, 10**6), st.data())
def test_a_count_that_is_off_by_one_is_found(seed, data):
    matrix, raw, config, arrays = run_of(seed)
    name = data.draw(st.sampled_from(["cycles", "counts", "classes"]))
    array = arrays[name]
    at = tuple(data.draw(st.integers(0, size - 1)) for size in array.shape)
    if name == "counts":
        of_pe, event = at[0] < config.n_pe, EieEvent(at[1])
        if event in FREE or event == EieEvent.SPMAT_READS or of_pe == (event == EieEvent.BROADCASTS):
            return
        if not of_pe and event != EieEvent.BROADCASTS:
            return
    array[at] += data.draw(st.sampled_from([-1, 1]))
    with pytest.raises(InvariantError, match=r"^broken invariant: "):
        invariants.check(matrix, raw, config, **arrays)


@given(st.integers(0, 10**6))
def test_rows_that_cannot_hold_the_entries_are_found(seed):
    matrix, raw, config, arrays = run_of(seed)
    entries, reads = (arrays["counts"][:-1, event] for event in (EieEvent.CODEBOOK_READS, EieEvent.SPMAT_READS))
    if not entries.any():
        return
    pe = int(entries.argmax())
    for wrong in (entries[pe] + 1, (entries[pe] - 1) // config.entries_per_row):
        reads[pe] = wrong
        with pytest.raises(InvariantError, match=rf"^broken invariant: spmat_reads={wrong}: must be rows of 2 entries"):
            invariants.check(matrix, raw, config, **arrays)


@given(st.integers(0, 10**6))
def test_cycles_below_a_bound_are_found_even_where_everything_adds_up(seed):
    matrix, raw, config, arrays = run_of(seed)
    needed = invariants.broadcasts_to_last_issue(matrix, raw, config)
    for at in np.flatnonzero(needed):
        cycles = arrays["cycles"].copy()
        cycles[at] = needed[at] + 7
        with pytest.raises(InvariantError, match="must hold the"):
            invariants.bound(matrix, raw, config, cycles[None], most_entries=0)
    for at in np.flatnonzero(needed == 0):
        cycles = arrays["cycles"].copy()
        cycles[at] = 9
        with pytest.raises(InvariantError, match="must be 0 where no entry is issued"):
            invariants.bound(matrix, raw, config, cycles[None], most_entries=0)


def test_a_deeper_queue_that_is_slower_is_found():
    matrix, raw, config, arrays = run_of(1)
    cycles = np.stack([arrays["cycles"], arrays["cycles"] + 1])
    with pytest.raises(InvariantError, match="must not grow with the queue depth"):
        invariants.bound(matrix, raw, config, cycles, most_entries=0)


@pytest.mark.compiled
def test_a_sweep_stops_where_its_counts_contradict_each_other(monkeypatch):
    totals = fast.totals

    def faster(*arguments):
        found = totals(*arguments)
        return found._replace(cycles=found.cycles // 2)

    monkeypatch.setattr("eie_sim.units.eie.many.fast.totals", faster)
    with pytest.raises(InvariantError, match=r"^broken invariant: classes=-\d+: must not be negative"):
        es.sweep.run("alex-7", grid={"queue_depth": [1, 8]}, workers=1)


def test_the_broadcasts_that_count_end_with_the_last_one_that_has_entries():
    weights = np.array([[1.0, 0, 2.0, 0, 0]])
    matrix = es.EieMatrix.from_dense(weights, n_pe=1)
    raw = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 1, 1], [0, 1, 0, 1, 0], [0, 0, 3, 0, 0]], dtype=np.int16)
    found = invariants.broadcasts_to_last_issue(matrix.counts, raw, es.EieConfig(n_pe=1))
    assert found.tolist() == [3, 1, 0, 1]


@pytest.mark.compiled
def test_a_fault_stops_the_command_with_one_line_and_exit_code_1(monkeypatch, capsys):
    from eie_sim.cli import main
    from eie_sim.units.eie import unit

    monkeypatch.setattr(unit.fast, "classes_of", lambda found: fast.class_totals(found)[:1].repeat(64, axis=0))
    assert main(["run", "digits-mlp"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("error: broken invariant: classes")


HALF_A_BYTE = NmCase([(1, 8, 1)], (2, 4), (1, 1), es.TensorCoreConfig(tiles=((1, 1),), bk=4))
"""Positions of each of its two steps: two whole bytes are copied, and one is read."""


@given(nm_cases())
@example(HALF_A_BYTE)
def test_real_products_break_nothing(case):
    nm_invariants.check(*case.arguments, nm_fast.run(*case.arguments))


FREE_OF_PRODUCTS = NmEvent.DRAM_BYTES, NmEvent.DRAM_METADATA_BYTES
"""At the edges tiles are clipped, so that these are bounded only."""


@given(nm_cases(), st.sampled_from([event for event in NmEvent if event not in FREE_OF_PRODUCTS]))
def test_a_count_of_a_product_that_is_off_by_one_is_found(case, event):
    timing = nm_fast.run(*case.arguments)
    for step in (-1, 1):
        counts = tuple(count + step * (at == event) for at, count in enumerate(timing.counts))
        with pytest.raises(InvariantError, match=r"^broken invariant: "):
            nm_invariants.check(*case.arguments, timing._replace(counts=counts))


@given(nm_cases(), st.sampled_from(list(NmPart)))
def test_a_part_that_is_busy_for_longer_than_the_product_takes_is_found(case, part):
    timing = nm_fast.run(*case.arguments)
    busy = tuple(timing.cycles + 1 if at == part else cycles for at, cycles in enumerate(timing.busy))
    with pytest.raises(InvariantError, match=f"^broken invariant: busy {part.name.lower()}"):
        nm_invariants.check(*case.arguments, timing._replace(busy=busy))


@given(nm_cases())
def test_more_macs_than_the_cores_can_do_and_fewer_bytes_than_there_are_are_found(case):
    timing = nm_fast.run(*case.arguments)
    with pytest.raises(InvariantError):
        nm_invariants.check(*case.arguments, timing._replace(cycles=0, busy=(0,) * len(NmPart)))
    counts = list(timing.counts)
    counts[NmEvent.DRAM_METADATA_BYTES] = counts[NmEvent.DRAM_BYTES] = 0
    with pytest.raises(InvariantError, match="dram_bytes"):
        nm_invariants.check(*case.arguments, timing._replace(counts=tuple(counts)))
