"""The store puts right what is damaged, and loses no row that is whole."""

import json
import os
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opening import ROWS, WHOLE, aside_of, opened, refused
from store_rows import expected, key, row, text

from eie_sim.study import lines
from eie_sim.study.store import Store


@pytest.fixture
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def test_cut_at_every_byte(path, no_sync):
    for length in range(len(WHOLE) + 1):
        path.write_bytes(WHOLE[:length])
        aside_of(path).unlink(missing_ok=True)
        whole, _, cut = WHOLE[:length].rpartition(b"\n")
        n_whole = len(whole.splitlines())
        with Store(path) as repaired:
            assert list(repaired) == [name for name, _ in ROWS[:n_whole]]
            assert repaired.damaged == (cut != b"")
            assert repaired.aside == (aside_of(path) if cut else None)
            repaired.append(ROWS)
        assert not cut or aside_of(path).read_bytes() == cut + b"\n"
        assert path.read_bytes() == WHOLE
        assert opened(path)[:2] == (0, None)


def with_flips(data, at):
    changed = bytearray(data)
    for place, bit in at:
        changed[place % len(data)] ^= 1 << bit
    return bytes(changed)


PLACE = st.integers(0, 10**6)
LINE = st.sampled_from([line.encode() for _, line in [*ROWS, row(2, cycles=0)]])
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
    with Store(path) as repaired:
        assert list(repaired) == list(rows)
        assert repaired.damaged == len(damaged)
        assert path.read_bytes() == b"".join(rows.values())
        kept = aside_of(path).read_bytes() if damaged else b""
        assert kept.removesuffix(b"\n") == b"".join(damaged).removesuffix(b"\n")
        assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name] + [aside_of(path).name] * bool(
            damaged
        )
    with Store(path) as clean:
        assert (clean.damaged, clean.aside, len(clean)) == (0, None, len(rows))
        clean.append(ROWS)
        assert all(clean.line(name) for name, _ in ROWS)
    assert opened(path)[0] == 0
    assert set(path.read_bytes().splitlines(keepends=True)) >= set(rows.values())


TEXT = st.text('ab ,:"\\1-.{[\u00e9', max_size=6)
NUMBER = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False))
VALUE = st.one_of(st.none(), st.booleans(), NUMBER, TEXT, st.lists(NUMBER, max_size=3))
FIELDS = st.dictionaries(st.one_of(st.sampled_from(["error", "cycles"]), TEXT), VALUE, max_size=3)
TYPO = st.sampled_from([b"", b"0", b".", b"e", b'"', b", ", b"-", b"[", b"9e99"])


@given(FIELDS, st.booleans(), st.lists(st.tuples(PLACE, st.integers(0, 7)), max_size=2), TYPO, PLACE)
def test_the_short_way_to_know_a_row_says_what_the_long_one_says(fields, with_error, flips, typo, at):
    line = f"{json.dumps({'key': key(1), **fields} | ({'error': None} if with_error else {}))}\n".encode()
    at %= len(line)
    line = with_flips(line[:at] + typo + line[at:], flips)
    assert lines.key_of(line) == lines.parsed_key_of(line)


@pytest.mark.parametrize(
    "number", ["9" * 18 + "e+99", "9" * 18 + "e+299", "9" * 18, "9" * 400, "1e-999", "01", "-", "1.", ".5", "1e5", "-0"]
)
def test_the_short_way_knows_numbers(number):
    line = row(1, cycles=77)[1].replace("77", number).encode() + b"\n"
    assert lines.key_of(line) == lines.parsed_key_of(line)


def test_rows_as_they_are_written_go_the_short_way():
    assert all(lines.PLAIN.fullmatch(line) for line in WHOLE.splitlines(keepends=True))


@pytest.mark.parametrize("character", ["\\q", "\\", '\\"', "\\n", '"', "\x7f", "\x1f", "\t", "\xe9", "'", ", "])
def test_the_short_way_knows_texts(character):
    line = row(1)[1].replace("PEs", f"PEs{character}").encode() + b"\n"
    assert lines.key_of(line) == lines.parsed_key_of(line)


DAMAGE = {
    "an empty line": b"\n",
    "NULs": b"\0" * 4096,
    "NULs and a line feed": b"\0" * 4096 + b"\n",
    "a line of Windows": ROWS[1][1].encode() + b"\r\n",
    "half a row": ROWS[1][1][:40].encode() + b"\n",
    "no UTF-8": ROWS[1][1].encode().replace(b"PEs", b"\xff\xfe") + b"\n",
    "a pickle": pickle.dumps({"key": 1}) + b"\n",
    "too long": row(1, design="x" * 2**16)[1].encode() + b"\n",
    "far too long": b"x" * (3 * 2**20) + b"\n",
    "a row in a line too long": b"x" * lines.MAX_LINE + ROWS[1][1].encode() + b"\n",
    "other content": row(0, cycles=1)[1].encode() + b"\n",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("where", ["middle", "end"])
def test_one_damaged_line(damage, where, path):
    first, last = text(ROWS[:1]), text(ROWS[2:])
    if where == "middle" and not damage.endswith(b"\n"):
        damage += b"\n"
    path.write_bytes(first + damage + last if where == "middle" else first + last + damage)
    path.chmod(0o640)
    with Store(path) as repaired:
        assert repaired.damaged == 1
        assert repaired.aside == aside_of(path)
        assert list(repaired) == [key(0), key(2), key(3)]
        assert path.read_bytes() == first + last
        assert aside_of(path).read_bytes() == damage.removesuffix(b"\n") + b"\n"
        assert path.stat().st_mode & 0o777 == 0o640
        refused(path, "in use by another run")
        repaired.append(ROWS)
    assert opened(path) == (0, None, [ROWS[n][1] for n in (0, 2, 3, 1)])


def test_damaged_lines_are_added_to_those_of_earlier_openings(path):
    for n in range(3):
        with path.open("ab") as file:
            file.write(text(ROWS[n : n + 1]) + f"cut {n}".encode())
        assert opened(path)[0] == 1
    assert aside_of(path).read_bytes() == b"cut 0\ncut 1\ncut 2\n"


def test_rows_of_two_stores_in_one_file_are_there_once(path):
    path.write_bytes(text(ROWS[:3]) + WHOLE)
    assert opened(path) == (0, None, [line for _, line in ROWS])
    assert path.read_bytes() == WHOLE
    assert not aside_of(path).exists()
