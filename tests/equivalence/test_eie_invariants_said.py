"""What is said of each broken rule of an EIE run, whole, and the figures at the edge that still pass."""

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core.errors import InvariantError
from eie_sim.units.eie import fast, invariants
from eie_sim.units.eie.words import EieClass, EieEvent

MATRIX = es.EieMatrix.from_codes([[1, 0, 2], [0, 1, 1], [0, 0, 3]], [0.0, 1.0, 2.0, -1.0], n_pe=2).counts
CONFIG = es.EieConfig(n_pe=2, weight_bits=2, index_bits=4, spmat_width_bits=12)
RAW = np.array([[3, 0, 1], [0, 0, 0]], dtype=np.int16)
"""Columns 0 and 2 are broadcast, which hold 1 and 2 entries for PE 0 and 0 and 1 for PE 1, two in a row of the SRAM."""


def run():
    found = fast.totals(MATRIX, RAW, CONFIG)
    return {
        "cycles": found.cycles[0].copy(),
        "counts": fast.counts_of(found, 2, 3),
        "classes": fast.classes_of(found),
        "broadcast": fast.broadcast_of(found),
    }


def broken(name, at, change):
    """What is said of the run with one figure changed."""
    arrays = run()
    arrays[name][at] += change
    with pytest.raises(InvariantError) as error:
        invariants.check(MATRIX, RAW, CONFIG, **arrays)
    said = str(error.value)
    assert said.startswith("broken invariant: ")
    assert said.endswith("; please report this")
    return said.removeprefix("broken invariant: ").removesuffix("; please report this")


def test_the_run_itself_breaks_nothing():
    arrays = run()
    assert (arrays["cycles"].tolist(), arrays["broadcast"].tolist()) == ([12, 0], [2, 0, 1])
    invariants.check(MATRIX, RAW, CONFIG, **arrays)


ONE_PER_BROADCAST = "must be one per broadcast, 2"


@pytest.mark.parametrize(
    ("name", "at", "change", "said"),
    [
        ("classes", (0, EieClass.WAITING), -50, "classes=-47: must not be negative"),
        ("classes", (1, EieClass.EMPTY), 1, "classes[1]=13: must add to the cycles, 12"),
        ("cycles", 0, 1, "classes[0]=12: must add to the cycles, 13"),
        ("counts", (2, EieEvent.BROADCASTS), 1, "broadcasts=3: must be the 2 sent"),
        ("broadcast", 0, 1, "broadcasts=2: must be the 3 sent"),
        ("broadcast", 1, -9, "broadcast=[2, -9, 1]: must not be negative"),
        ("broadcast", 2, -9, "broadcast=[2, 0, -8]: must not be negative"),
        ("counts", (1, EieEvent.QUEUE_WRITES), 1, f"queue_writes[1]=3: {ONE_PER_BROADCAST}"),
        ("counts", (1, EieEvent.QUEUE_READS), 1, f"queue_reads[1]=3: {ONE_PER_BROADCAST}"),
        ("counts", (0, EieEvent.POINTER_READS), -1, f"pointer_reads[0]=1: {ONE_PER_BROADCAST}"),
        ("counts", (1, EieEvent.CODEBOOK_READS), 1, "codebook_reads[1]=2: must be MACs and padding entries, 1"),
        ("counts", (1, EieEvent.MACS), 1, "codebook_reads[1]=1: must be MACs and padding entries, 2"),
        ("counts", (0, EieEvent.PADDING_ENTRIES), 1, "codebook_reads[0]=3: must be MACs and padding entries, 4"),
        ("counts", (1, EieEvent.ACCUMULATOR_READS), 1, "accumulator_reads[1]=2: must be one per MAC, 1"),
        ("counts", (0, EieEvent.ACCUMULATOR_WRITES), -1, "accumulator_writes[0]=2: must be one per MAC, 3"),
        ("counts", (1, EieEvent.SPMAT_READS), 1, "spmat_reads=2: must be rows of 2 entries for the entries read"),
        ("counts", (0, EieEvent.SPMAT_READS), -1, "spmat_reads=1: must be rows of 2 entries for the entries read"),
    ],
)
def test_a_figure_that_contradicts_another_is_named(name, at, change, said):
    assert broken(name, at, change) == said


@pytest.mark.parametrize("kind", [EieClass.WEIGHT, EieClass.PADDING])
def test_cycles_of_a_class_that_are_none_of_its_entries(kind):
    arrays = run()
    arrays["classes"][0, [kind, EieClass.WAITING]] += [1, -1]
    with pytest.raises(InvariantError) as error:
        invariants.check(MATRIX, RAW, CONFIG, **arrays)
    found, entries = (4, 3) if kind == EieClass.WEIGHT else (1, 0)
    name = kind.name.lower()
    assert f"{name} cycles[0]={found}: must be one per entry, {entries};" in str(error.value)


@pytest.mark.parametrize(("cycles", "most_entries"), [([[10, 0]], 2), ([[11, 0]], 3), ([[12, 0], [12, 0]], 3)])
def test_cycles_that_are_just_enough(cycles, most_entries):
    """Two broadcasts from cycle 2 on, an issue in the next, and six cycles until the pipeline is empty."""
    invariants.bound(MATRIX, RAW, CONFIG, np.array(cycles), most_entries=most_entries)


@pytest.mark.parametrize(
    ("cycles", "most_entries", "said"),
    [
        ([[9, 0]], 2, "cycles[0, 0]=9: must hold the broadcasts up to the last issue, 10"),
        ([[12, 1]], 2, "cycles[0, 1]=1: must be 0 where no entry is issued, 0"),
        ([[10, 0]], 3, "cycles[0]=10: must hold the entries of the busiest PE, 11"),
        ([[12, 0], [13, 0]], 3, "cycles[0, 0]=13: must not grow with the queue depth, 12"),
        ([[14, 0], [12, 0], [13, 0]], 3, "cycles[1, 0]=13: must not grow with the queue depth, 12"),
    ],
)
def test_cycles_that_no_design_could_reach(cycles, most_entries, said):
    with pytest.raises(InvariantError) as error:
        invariants.bound(MATRIX, RAW, CONFIG, np.array(cycles), most_entries=most_entries)
    assert str(error.value) == f"broken invariant: {said}; please report this"


def test_depths_are_checked_as_each_of_them_is():
    found = fast.totals(MATRIX, RAW, CONFIG, np.array([1, 8]))
    given = {
        "cycles": found.cycles,
        "counts": fast.counts_of(found, 2, 3),
        "classes": fast.class_totals(found),
        "sent": found.items,
    }
    invariants.check_depths(MATRIX, RAW, CONFIG, **given)
    for name, at, change, said in [
        ("classes", (1, EieClass.WAITING), -50, "classes=-43: must not be negative"),
        ("classes", (1, EieClass.EMPTY), 1, "classes[1]=25: must add to the cycles, 24"),
        ("classes", (1, [EieClass.WEIGHT, EieClass.WAITING]), [1, -1], "weight cycles[1]=5: must be one per entry, 4"),
        ("counts", (1, EieEvent.QUEUE_READS), 1, "queue_reads[1]=3: must be one per broadcast, 2"),
        ("cycles", (1, 0), 1, "classes[1]=24: must add to the cycles, 26"),
    ]:
        wrong = {key: value.copy() for key, value in given.items() if key != "sent"}
        wrong[name][at] += change
        with pytest.raises(InvariantError) as error:
            invariants.check_depths(MATRIX, RAW, CONFIG, **wrong, sent=2)
        assert str(error.value) == f"broken invariant: {said}; please report this"
    with pytest.raises(InvariantError, match=r"broadcasts=2: must be the 3 sent"):
        invariants.check_depths(MATRIX, RAW, CONFIG, **given | {"sent": 3})


@pytest.mark.parametrize(
    ("which", "change", "said"),
    [
        ("taken_at", 1, "times=13: must end with the run, 12"),
        ("taken_at", -1, "times=11: must end with the run, 12"),
        ("broadcast_at", 1, "times=5: must be after the broadcast of what is taken"),
    ],
)
def test_times_that_do_not_fit_the_run(which, change, said):
    """The last item is sent in cycle 4, taken in 5, issues in 5 and 6, and the pipeline is empty six cycles later."""
    times = dict(
        zip(("broadcast_at", "taken_at"), fast.run(MATRIX, RAW[0], CONFIG, timeline=True).timeline, strict=True)
    )
    entries = np.array([[1, 0], [2, 1]])
    invariants.check_times(**times, entries=entries, cycles=12)
    times[which][1] += change
    with pytest.raises(InvariantError) as error:
        invariants.check_times(**times, entries=entries, cycles=12)
    assert str(error.value) == f"broken invariant: {said}; please report this"


def test_a_run_that_broadcasts_nothing_has_no_times():
    nothing = np.zeros((0, 2), dtype=np.int64)
    invariants.check_times(nothing[:, 0], nothing, nothing, 0)


def test_one_broadcast_takes_nine_cycles():
    raw = np.array([[3, 0, 0]], dtype=np.int16)
    invariants.bound(MATRIX, raw, CONFIG, np.array([[9]]), most_entries=1)
    with pytest.raises(InvariantError, match=r"cycles\[0, 0\]=8: must hold the broadcasts up to the last issue, 9;"):
        invariants.bound(MATRIX, raw, CONFIG, np.array([[8]]), most_entries=0)


def test_the_busiest_pe_may_be_any():
    """One entry on PE 0 and three on PE 1, which need 11 cycles."""
    arrays = run()
    arrays["cycles"][0] = 10
    for pe, entries in enumerate((1, 3)):
        arrays["classes"][pe] = 0
        arrays["classes"][pe, [EieClass.WEIGHT, EieClass.WAITING, EieClass.DRAIN]] = entries, 4 - entries, 6
        of_entry = [EieEvent.MACS, EieEvent.CODEBOOK_READS, EieEvent.ACCUMULATOR_READS, EieEvent.ACCUMULATOR_WRITES]
        arrays["counts"][pe, of_entry] = entries
        arrays["counts"][pe, EieEvent.SPMAT_READS] = entries
    said = r"cycles\[0\]=10: must hold the entries of the busiest PE, 11;"
    with pytest.raises(InvariantError, match=said):
        invariants.check(MATRIX, RAW, CONFIG, **arrays)
    of_depth = {
        "cycles": arrays["cycles"][None],
        "counts": arrays["counts"],
        "classes": arrays["classes"].sum(axis=0)[None],
    }
    with pytest.raises(InvariantError, match=said):
        invariants.check_depths(MATRIX, RAW, CONFIG, **of_depth, sent=2)


@pytest.mark.parametrize("active", ["positive", "nonzero"])
@pytest.mark.parametrize("bias", [None, [0, 0, 1], [0, 0, 0]])
def test_broadcasts_up_to_the_last_that_has_entries(bias, active):
    """Of columns 0 and 2, and of the bias after all four where it has entries."""
    matrix = es.EieMatrix.from_codes([[1, 0, 2, 0]] * 3, [0.0, 1.0, 2.0, 3.0], bias_codes=bias, n_pe=2).counts
    raw = np.array([[2, -1, -1, 0], [-1, 0, 0, 0], [1, -2, 1, 1]], dtype=np.int16)
    needed = {"positive": [1, 0, 2], "nonzero": [3, 1, 3]}[active]
    every = {"positive": [1, 0, 3], "nonzero": [3, 1, 4]}[active]
    wanted = [sent + 1 for sent in every] if bias == [0, 0, 1] else needed
    config = es.EieConfig(n_pe=2, weight_bits=2, active=active)
    assert invariants.broadcasts_to_last_issue(matrix, raw, config).tolist() == wanted
