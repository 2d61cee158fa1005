"""The tables of the fast engine, and what a PE does after its last entry."""

import numpy as np
import pytest

import eie_sim as es
from eie_sim.units.eie import fast
from eie_sim.units.eie.counts import EieCounts
from eie_sim.units.eie.words import EieClass

BOOK = [0.0, 1.0, 2.0, 3.0]


def counts_of(entries):
    """Counts of a layer of one PE whose columns have so many entries."""
    pointers = np.concatenate([[0], np.cumsum(entries)]).astype(np.int32)[:, None]
    shape = max(entries, default=0), len(entries)
    padding = np.zeros((len(entries), 1), dtype=np.int32)
    return EieCounts(
        shape=shape,
        n_pe=1,
        weight_bits=4,
        index_bits=4,
        has_bias=False,
        n_weight=sum(entries),
        pointers=pointers,
        padding=padding,
    )


def test_what_columns_ask_for_by_hand():
    """Rows of 4 entries: entries 0 to 4 touch rows 0 and 1, none touch none, 5 to 7 row 1, entry 8 row 2."""
    asked = fast.service(counts_of([5, 0, 3, 1]), 4)
    assert asked.entries[:, 0].tolist() == [5, 0, 3, 1]
    assert asked.first_row[:, 0].tolist() == [0, fast.NO_ROW, 1, 2]
    assert asked.rows[:, 0].tolist() == [2, 0, 1, 1]
    assert asked.safe_items == 32767 // 5


@pytest.mark.parametrize(
    ("entries", "narrow"),
    [([255], True), ([256], False), ([1] * 32512, True), ([1] * 32513, False), ([0, 0], True), ([], True)],
    ids=["255", "256", "row-32511", "row-32512", "empty", "none"],
)
def test_tables_are_as_narrow_as_what_they_hold(entries, narrow):
    """255 is the largest byte; a row and the 255 after it must fit 16 bits: up to row 32,511."""
    asked = fast.service(counts_of(entries), 1)
    assert asked.entries.dtype == asked.padding.dtype == asked.rows.dtype == (np.uint8 if narrow else np.int32)
    assert asked.first_row.dtype == (np.int16 if narrow else np.int32)
    largest = np.iinfo(asked.first_row.dtype).max
    assert asked.safe_items == largest // max([*entries, 1])
    assert asked.entries[:, 0].tolist() == entries


def test_tables_are_made_once_for_each_width():
    counts = counts_of([3, 1])
    assert fast.service(counts, 2) is fast.service(counts, 2)
    assert fast.service(counts, 2) is not fast.service(counts, 4)
    assert fast.service(counts, 2).rows.tolist() != fast.service(counts, 4).rows.tolist()


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_items_without_entries_wait_for_the_entries_before_them(engine):
    """PE 0 issues 8 entries and PE 1 issues 9, in one cycle more, in which PE 0 takes one of three empty columns."""
    codes = np.zeros((18, 4), dtype=np.uint8)
    codes[:17, 0], codes[0, 0] = 1, 0
    matrix = es.EieMatrix.from_codes(codes, BOOK, n_pe=2, scales=es.Scales(weight=0, activation=0, accumulator=0))
    result = es.simulate(matrix, [1, 1, 1, 1], es.EieConfig(n_pe=2, weight_bits=2), engine=engine)
    issued = result.classes[:, EieClass.WEIGHT].tolist()
    assert (issued, result.classes[:, EieClass.EMPTY].tolist()) == ([8, 8], [0, 0])
    codes[17, 0] = 1
    matrix = es.EieMatrix.from_codes(codes, BOOK, n_pe=2, scales=es.Scales(weight=0, activation=0, accumulator=0))
    result = es.simulate(matrix, [1, 1, 1, 1], es.EieConfig(n_pe=2, weight_bits=2), engine=engine)
    issued = result.classes[:, EieClass.WEIGHT].tolist()
    assert (issued, result.classes[:, EieClass.EMPTY].tolist()) == ([8, 9], [1, 0])
    assert result.classes[:, EieClass.DRAIN].tolist() == [6, 6]
