"""The store leaves out what is damaged, and loses no row that is whole."""

import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opening import ROWS, WHOLE, opened, refused
from store_rows import expected, key, row, text

from eie_sim.study.store import MAX_LINE, Store


@pytest.fixture
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def test_cut_at_every_byte(path, no_sync):
    for length in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:length])
        whole, _, cut = WHOLE[:length].rpartition(b"\n")
        n_whole = len(whole.splitlines())
        with Store(path) as store:
            assert list(store) == [name for name, _ in ROWS[:n_whole]]
            assert store.damaged == (cut != b"")
            store.append(ROWS)
        assert path.read_bytes() == WHOLE
        assert opened(path)[0] == 0


def with_flips(data, at):
    changed = bytearray(data)
    for place, bit in at:
        changed[place % len(data)] ^= 1 << bit
    return bytes(changed)


PLACE = st.integers(0, 10**6)
LINE = st.sampled_from([line.removesuffix(b"\n") for _, line in [*ROWS, row(2, cycles=0)]])
GARBAGE = st.one_of(
    st.binary(max_size=50),
    st.just(b"\n"),
    st.integers(1, 600).map(lambda n: b"\0" * n),
    st.builds(lambda line: b"\n" + line + b"\n", LINE),
    st.builds(lambda line, n: line[: n % len(line)] + b"\n", LINE, PLACE),
)
HARM = st.one_of(
    st.builds(lambda at: lambda data: with_flips(data, at), st.lists(st.tuples(PLACE, st.integers(0, 7)), max_size=4)),
    st.builds(lambda at, new: lambda data: data[: at % len(data)] + new + data[at % len(data) :], PLACE, GARBAGE),
    st.builds(
        lambda at, n: lambda data: data[: at % len(data)] + data[at % len(data) + n :], PLACE, st.integers(0, 300)
    ),
    st.builds(lambda at, n: lambda data: data[: at % len(data)] + b"\0" * n, PLACE, st.integers(0, 300)),
    st.builds(lambda line: lambda data: data + line + b"\n", LINE),
    st.builds(lambda line: lambda data: line + b"\n" + data, LINE),
)


@given(st.lists(HARM, min_size=1, max_size=4))
def test_whatever_happens_to_it_no_row_that_is_whole_is_lost(tmp_path_factory, harms):
    path = tmp_path_factory.mktemp("harmed") / "sweep.jsonl"
    data = WHOLE
    for harm in harms:
        data = harm(data) or b"\n"
    path.write_bytes(data)
    rows, damaged, _ = expected(data)
    if not rows and damaged:
        return
    with Store(path) as store:
        assert list(store) == list(rows)
        assert store.damaged == len(damaged)
        assert [store.line(name) for name in store] == list(rows.values())
        store.append(ROWS)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    with Store(path) as again:
        assert again.damaged in (len(damaged), len(damaged) - 1), "a line that was cut off is dropped"
        assert set(again) == {*rows, *(name for name, _ in ROWS)}
    assert set(path.read_bytes().splitlines(keepends=True)) >= set(rows.values())


DAMAGE = {
    "an empty line": b"\n",
    "NULs": b"\0" * 4096,
    "NULs and a line feed": b"\0" * 4096 + b"\n",
    "a cut line of Windows": ROWS[1][1][:20] + b"\r\n",
    "half a row": ROWS[1][1][:40] + b"\n",
    "no UTF-8": ROWS[1][1].replace(b"PEs", b"\xff\xfe"),
    "a pickle": pickle.dumps({"key": 1}) + b"\n",
    "too long": row(1, design="x" * 2**16)[1],
    "far too long": b"x" * (3 * 2**20) + b"\n",
    "a row in a line too long": b"x" * MAX_LINE + ROWS[1][1],
    "other content": row(0, cycles=1)[1],
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("where", ["middle", "end"])
def test_one_damaged_line(damage, where, path):
    first, last = text(ROWS[:1]), text(ROWS[2:])
    if where == "middle" and not damage.endswith(b"\n"):
        damage += b"\n"
    path.write_bytes(first + damage + last if where == "middle" else first + last + damage)
    path.chmod(0o640)
    with Store(path) as store:
        assert store.damaged == 1
        assert list(store) == [key(0), key(2), key(3)]
        assert path.stat().st_mode & 0o777 == 0o640
        refused(path, "in use by another run")
        store.append(ROWS)
    dropped = not damage.strip(b"\0") and where == "end"
    assert opened(path) == (0 if dropped else 1, [ROWS[n][1] for n in (0, 2, 3, 1)])


def test_rows_of_two_stores_in_one_file_are_there_once(path):
    path.write_bytes(text(ROWS[:3]) + WHOLE)
    assert opened(path) == (0, [line for _, line in ROWS])
