"""Rows by column are the rows that were given, to the byte of their JSON, and answer as the dicts would."""

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.errors import InputError
from eie_sim.study import table
from eie_sim.study.table import Rows

VALUE = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.integers(-2, 2), st.sampled_from([0.0, -0.0, 1.0, 0.1, 1e300])),
    *(st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=3), st.sampled_from("abc")),
    st.lists(st.sampled_from([0, 0.0, True, "x"]), max_size=2),
)
SOME_ROWS = st.lists(st.lists(st.tuples(st.sampled_from("abcd"), VALUE), max_size=4).map(dict), max_size=12)
ALIKE = st.lists(st.fixed_dictionaries({"a": st.sampled_from([1, 2, 1.5]), "b": st.integers(0, 3)}), max_size=12)


@pytest.fixture(autouse=True, params=[(2, 1), (8192, 256)], ids=["small chunks", "chunks"])
def chunks(request, monkeypatch):
    monkeypatch.setattr(table, "CHUNK", request.param[0])
    monkeypatch.setattr(table, "FEW", request.param[1])


@given(rows=SOME_ROWS | ALIKE, as_lines=st.booleans())
def test_rows_come_back_as_they_were_given(rows, as_lines):
    found = Rows.of(json.dumps(row).encode() for row in rows) if as_lines else Rows.of(rows)
    assert json.dumps(list(found)) == json.dumps(rows)
    assert found == rows
    assert rows == found
    assert [found[at] for at in range(len(rows))] == rows
    assert found[1:-1:2] == rows[1:-1:2]
    assert list(reversed(found)) == rows[::-1]
    for at in (len(rows), -len(rows) - 1):
        with pytest.raises(IndexError):
            found[at]
    assert found != [*rows, {"a": 1}]


@given(rows=SOME_ROWS | ALIKE, data=st.data())
def test_rows_are_taken_in_any_order(rows, data):
    places = data.draw(st.lists(st.integers(0, len(rows) - 1), unique=True)) if rows else []
    taken = Rows.of(rows).take(np.array(places, dtype=np.intp))
    assert json.dumps(list(taken)) == json.dumps([rows[at] for at in places])


@given(rows=SOME_ROWS | ALIKE)
def test_columns_answer_as_the_rows_do(rows):
    found = Rows.of(rows)
    assert list(found.names()) == list(dict.fromkeys(name for row in rows for name in row))
    for name in "abcd":
        values, codes = found.distinct(name)
        assert [repr(values[code]) if code >= 0 else "none" for code in codes] == [
            repr(row[name]) if name in row else "none" for row in rows
        ]
        assert len({(type(value), repr(value)) for value in values}) == len(values)
        assert {repr(value) for value in found.values(name)} == {repr(row[name]) for row in rows if name in row}
        assert found.having(name).tolist() == [name in row for row in rows]
        missing = [row.get(name) is None for row in rows]
        assert found.where(name, lambda value: value is None).tolist() == missing


@given(rows=ALIKE)
def test_numbers_are_floats_and_rules_hold_row_by_row(rows):
    found = Rows.of([*rows, {"a": None}, {}])
    numbers = found.numbers("a")
    assert numbers[:-2].tolist() == [row["a"] for row in rows]
    assert all(map(math.isnan, numbers[-2:]))
    assert found.where("b", lambda value: value is not None and value < 2).tolist() == [
        *(row["b"] < 2 for row in rows),
        False,
        False,
    ]


@given(rows=ALIKE)
def test_groups_agree_in_all_names(rows):
    expected = {}
    for at, row in enumerate([*rows, {"b": None}, {"c": 1}]):
        expected.setdefault((row.get("a"), row.get("b")), []).append(at)
    found = Rows.of([*rows, {"b": None}, {"c": 1}]).groups(("a", "b"))
    assert [group.tolist() for group in found] == list(expected.values())


def test_what_is_no_number_is_named():
    for value in ("3", True, math.nan, 10**400):
        with pytest.raises(InputError, match=r"^cycles=.*: must be a finite number$"):
            Rows.of([{"cycles": 1}, {"cycles": value}]).numbers("cycles")


def test_many_rows_take_little_memory_and_time(monkeypatch):
    monkeypatch.undo()
    line = json.dumps({f"axis {at}": "word" for at in range(40)} | {"n": 12345, "x": 0.5}).encode()
    begin = time.process_time()
    rows = Rows.of(line.replace(b"12345", b"%d" % at) for at in range(50_000))
    assert time.process_time() - begin < 5
    (columns, _), *others = rows.alike()
    assert others == []
    held = sum(
        column.values.nbytes if column.codes is None else column.codes.base.nbytes for column in columns.values()
    )
    assert held < 10 * len(rows)


def test_rows_that_are_left_out_leave_no_value_behind():
    rows = Rows.of([{"n_pe": 2}, {"n_pe": "x"}, {"n_pe": 4}]).take(np.array([0, 2]))
    assert rows.numbers("n_pe").tolist() == [2.0, 4.0]
    assert rows.values("n_pe") == [2, 4]
