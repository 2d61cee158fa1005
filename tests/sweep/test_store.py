"""The store keeps every row, puts right what is damaged, and refuses what is not its own."""

import errno
import json
import os
import pickle
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_rows import expected, key, row, text

from eie_sim import InputError
from eie_sim.sweep import lines, locking, store
from eie_sim.sweep.store import Store

ROWS = [row(n) for n in range(4)]
WHOLE = text(ROWS)
FOREIGN = "must be a store of an earlier sweep, or new"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep.jsonl"


@pytest.fixture
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def aside_of(path):
    return path.with_name(f"{path.name}.damaged")


def opened(path):
    """Damage, the file it is in, and the lines of a store after an opening."""
    with Store(path) as opened:
        assert len(opened) == len(list(opened))
        assert all(key in opened for key in opened)
        return opened.damaged, opened.aside, [opened.line(key) for key in opened]


def refused(path, match, call=Store):
    with pytest.raises(InputError, match=match) as caught:
        call(path)
    said = str(caught.value)
    assert said.isprintable(), said
    assert said.startswith("store=")
    return said


def test_rows_come_back_as_they_were(path):
    with Store(str(path)) as fresh:
        assert (fresh.path, fresh.damaged, fresh.aside, len(fresh)) == (path, 0, None, 0)
        fresh.append(ROWS[:2])
        fresh.append([])
        fresh.append(ROWS[2:])
        assert [fresh.line(key) for key in fresh] == [line for _, line in ROWS]
        assert key(3) in fresh
        assert key(4) not in fresh
        with pytest.raises(KeyError):
            fresh.line(key(4))
    assert path.read_bytes() == WHOLE
    assert opened(path) == (0, None, [line for _, line in ROWS])
    assert path.read_bytes() == WHOLE


def test_what_is_there_is_not_written_again(path):
    with Store(path) as first:
        first.append([ROWS[0], ROWS[1], ROWS[0], row(0, cycles=5)])
    with Store(path) as second:
        second.append([ROWS[1], row(0, cycles=5), ROWS[2]])
    assert path.read_bytes() == text(ROWS[:3])


def test_a_batch_is_one_write(path, monkeypatch):
    written = []
    monkeypatch.setattr(
        os, "write", lambda handle, data, write=os.write: written.append(write(handle, data)) or written[-1]
    )
    with Store(path) as fresh:
        fresh.append(ROWS)
        fresh.append(ROWS)
    assert written == [len(WHOLE)]


def test_short_writes_go_on(path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda handle, data, write=os.write: write(handle, data[:7]))
    with Store(path) as fresh:
        fresh.append(ROWS)
    assert path.read_bytes() == WHOLE


BAD_LINES = {
    "no JSON": "cycles 5",
    "no key": '{"error": null}',
    "another key": row(1)[1],
    "key not first": f'{{"error": null, "key": "{key(0)}"}}',
    "key in upper case": row(0)[1].replace(key(0), key(0).upper()),
    "not a number": row(0, energy=float("nan"))[1],
    "infinite": row(0, energy=float("-inf"))[1],
    "too large for a float": row(0)[1].replace("0.0,", "1e999,"),
    "digits beyond reading": row(0, cycles=1)[1].replace(": 1,", f": {'9' * 5000},"),
    "no error": row(0)[1].replace("error", "errors"),
    "error a number": row(0, error=5)[1],
    "error a flag": row(0, error=False)[1],
    "last error counts": row(0)[1].replace("}", ', "error": 0}'),
    "two lines": row(0)[1].replace(", ", ",\n"),
    "a line feed after": row(0)[1] + "\n",
    "a space after": row(0)[1] + " ",
    "two rows": row(0)[1] + row(0)[1],
    "too long": row(0, design="x" * lines.MAX_LINE)[1],
    "half a character": row(0)[1].replace("PEs", "\ud800"),
    "too deep": row(0)[1].replace("64,", "[" * 40000 + "]" * 20000),
    "a control character": row(0)[1].replace("PEs", "\x01"),
    "leading zero": row(0)[1].replace("64,", "064,"),
    "list with a hole": row(0)[1].replace("64,", "64,,"),
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_what_could_not_be_read_again_is_not_written(line, path):
    with Store(path) as fresh, pytest.raises(InputError, match=rf"^row={key(0)}: must be one line of JSON"):
        fresh.append([ROWS[1], (key(0), line)])
    assert path.read_bytes() == b""


@pytest.mark.parametrize(
    ("name", "line"), [(b"1", ROWS[0][1]), (5, ROWS[0][1]), (key(0), ROWS[0][1].encode()), (key(0), None)]
)
def test_keys_and_rows_are_text(name, line, path):
    with Store(path) as fresh, pytest.raises(InputError, match="must be str"):
        fresh.append([(name, line)])


GOOD_LINES = {
    "an error": row(0, error="out=5: must be 6")[1],
    "escapes": row(0, network='a "b" \\ \n \x01 \u00e9 \ud800')[1],
    "in UTF-8": row(0)[1].replace("PEs", "\u00e9\u4e2d\U0001f600"),
    "other spaces": row(0)[1].replace(", ", " ,\t").replace('"key": ', '"key": '),
    "nested": row(0, deep={"a": [{"b": []}, [], {}]})[1],
    "an error in a text": row(0, note=', "error": 5')[1],
    "an error below": row(0, deep={"a": 1, "error": 5})[1],
    "numbers": row(0, numbers=[0, -0.0, -1, 1e300, 5e-324, 1e16, 2**70, 1.7976931348623157e308])[1],
    "largest": row(0, design="x" * (lines.MAX_LINE - 1 - len(row(0, design="")[1])))[1],
}


@pytest.mark.parametrize("line", GOOD_LINES.values(), ids=GOOD_LINES)
def test_any_json_of_the_kind_is_a_row(line, path):
    with Store(path) as fresh:
        fresh.append([(key(0), line), ROWS[1]])
        assert fresh.line(key(0)) == line
    assert opened(path) == (0, None, [line, ROWS[1][1]])


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


FILES = {
    "a text": b"# eie-sim\n\nWhat does a pruned network cost?\n",
    "a text without line feed": b"hello",
    "one line feed": b"\n",
    "JSON": b'{\n  "key": "value"\n}\n',
    "JSON in one line": b'{"cycles": 5}',
    "JSON lines": b'{"cycles": 5}\n{"cycles": 6}\n',
    "JSON lines with keys": b'{"key": "a", "error": null}\n{"key": "b", "error": null}\n',
    "JSON lines with hashes": b"".join(b'{"key": "%032x"}\n' % n for n in range(3)),
    "a table": b"key,error\n00,\n",
    "a pickle": pickle.dumps(list(range(1000))),
    "numbers": bytes(range(256)) * 300,
    "NULs, then something": b"\0" * 100 + b"data",
}


@pytest.mark.parametrize("data", FILES.values(), ids=FILES)
def test_other_files_are_refused_and_stay(data, path):
    path.write_bytes(data)
    assert refused(path, FOREIGN) == f"store={path}: {FOREIGN}"
    assert path.read_bytes() == data
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_large_file_is_not_read_to_its_end(path):
    path.touch()
    os.truncate(path, 2**36)  # a file with a hole
    tracemalloc.start()
    refused(path, FOREIGN)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * lines.MAX_LINE
    assert path.stat().st_size == 2**36


@pytest.mark.parametrize("data", [*(text(ROWS[:1])[:n] for n in (1, 5, 9, 12, 41, 42, 60)), b"\0" * 5000], ids=len)
def test_what_a_first_write_leaves_is_put_right(data, path):
    path.write_bytes(data)
    assert opened(path) == (1, aside_of(path), [])
    assert (path.read_bytes(), aside_of(path).read_bytes()) == (b"", data + b"\n")


def test_paths_that_cannot_be_stores(tmp_path):
    refused(tmp_path / "missing" / "sweep.jsonl", "must be in a folder that exists")
    refused(tmp_path, "must be an ordinary file, or new")
    refused("", "must be a path")
    refused("a\0b", "must be a path")
    refused(None, "store=NoneType: must be a path")
    refused(b"sweep.jsonl", "must be a path")
    refused(5, "store=int: must be a path")
    refused(tmp_path / ("x" * 300), "cannot be opened: File name too long")
    refused(tmp_path / "line\nbreak" / "sweep.jsonl", r"line\\nbreak")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has none")
def test_pipes_and_devices_are_no_stores(path):
    os.mkfifo(path)
    for name in (path, "/dev/zero", "/dev/null", "/dev/full"):
        refused(name, "must be an ordinary file, or new")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="who may write everywhere")
def test_a_store_that_may_not_be_written(path):
    path.write_bytes(WHOLE)
    path.chmod(0o444)
    refused(path, "cannot be opened: Permission denied")


def test_links_lead_to_the_store(path, tmp_path):
    (tmp_path / "far").mkdir()
    real = tmp_path / "far" / "real.jsonl"
    path.symlink_to(real)
    with Store(path) as fresh:
        fresh.append(ROWS)
        refused(real, "in use by another run")
    real.write_bytes(b"damage\n" + WHOLE)
    assert opened(path)[:2] == (1, aside_of(real))
    assert path.is_symlink()
    assert real.read_bytes() == WHOLE
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    refused(loop, "must be an ordinary file, or new")


def test_one_run_at_a_time(path):
    first = Store(path)
    said = refused(path, "in use")
    assert said == f"store={path}: is in use by another run; wait for it, or give another store"
    first.append(ROWS)
    first.close()
    first.close()
    assert opened(path)[2] == [line for _, line in ROWS]


@pytest.mark.parametrize("removed", [True, False])
def test_a_file_that_is_replaced_before_it_is_locked_is_not_the_store(removed, path, monkeypatch):
    path.write_bytes(text(ROWS[:1]))
    newer = path.with_name("newer")
    newer.write_bytes(WHOLE)

    def late(handle, lock=locking._lock):
        monkeypatch.undo()
        lock(handle)
        path.unlink()
        if not removed:
            newer.rename(path)

    monkeypatch.setattr(locking, "_lock", late)
    assert len(opened(path)[2]) == (0 if removed else 4)


def test_a_file_that_is_always_replaced_is_in_use(path, monkeypatch):
    monkeypatch.setattr(locking, "is_at", lambda path, handle: False)
    refused(path, "in use by another run")


def test_a_refused_store_is_free_again(path):
    path.write_bytes(b"hello")
    refused(path, FOREIGN)
    path.write_bytes(WHOLE)
    assert len(opened(path)[2]) == 4


def test_a_closed_store_says_so(path):
    with Store(path) as closed:
        closed.append(ROWS)
    for call in (lambda: closed.append([row(9)]), lambda: closed.line(key(0))):
        refused(path, "is closed", lambda _, call=call: call())
    closed.sync()
    assert key(0) in closed
    assert path.read_bytes() == WHOLE


@pytest.mark.parametrize("change", ["cut", "added", "removed", "replaced", "emptied"])
def test_a_store_that_others_change_takes_no_more_rows(change, path):
    with Store(path) as changed:
        changed.append(ROWS[:3])
        if change in ("cut", "emptied"):
            os.truncate(path, 0 if change == "emptied" else path.stat().st_size - 5)
        elif change == "added":
            with path.open("ab") as file:
                file.write(b"hello\n")
        else:
            path.unlink()
            if change == "replaced":
                path.write_bytes(text(ROWS[:3]))
        refused(path, "was changed, moved or removed while in use", lambda _: changed.append(ROWS[3:]))
        if change in ("cut", "emptied"):
            refused(path, "was changed, moved or removed while in use", lambda _: changed.line(key(2)))


def test_syncs(path, monkeypatch):
    now, synced = [100.0], []
    monkeypatch.setattr(store.time, "monotonic", lambda: now[0])
    with Store(path) as fresh:
        monkeypatch.setattr(os, "fsync", lambda handle: synced.append(now[0]))
        for n, seconds in enumerate([0, 1, 4, 0.5, 2, 3.5, 20]):
            now[0] += seconds
            fresh.append([row(n)])
        assert synced == [100, 105.5, 111, 131]
        fresh.sync()  # nothing new
        fresh.append([row(8)])
        fresh.sync()
        assert synced[4:] == [131]
        fresh.append([row(9)])
    assert synced[5:] == [131]


def fails(number):
    def call(*arguments):
        raise OSError(number, os.strerror(number))

    return call


def test_a_sync_that_fails_says_so_and_lets_go(path, monkeypatch):
    failing = Store(path)
    monkeypatch.setattr(os, "fsync", fails(errno.EIO))
    refused(path, "cannot be written: Input/output error", lambda _: failing.append(ROWS))
    refused(path, "cannot be written: Input/output error", lambda _: failing.close())
    monkeypatch.undo()
    assert opened(path) == (0, None, [line for _, line in ROWS])


@pytest.mark.parametrize("n_byte", [0, 10, len(text(ROWS[:1])), len(text(ROWS[:1])) + 10, len(WHOLE) - 1])
def test_a_full_disk_keeps_the_rows_that_are_whole(n_byte, path, monkeypatch):
    def until_full(handle, data, write=os.write):
        room = n_byte - os.fstat(handle).st_size
        return write(handle, data[:room]) if room else fails(errno.ENOSPC)()

    n_whole = WHOLE[:n_byte].count(b"\n")
    with Store(path) as full:
        monkeypatch.setattr(os, "write", until_full)
        refused(path, "cannot be written: No space left on device", lambda _: full.append(ROWS))
        monkeypatch.undo()
        assert list(full) == [name for name, _ in ROWS[:n_whole]]
        assert path.read_bytes() == text(ROWS[:n_whole])
        full.append(ROWS)
    assert path.read_bytes() == WHOLE


def test_an_interrupt_between_writes_loses_count_of_nothing(path, monkeypatch):
    def interrupted(handle, data, write=os.write):
        write(handle, data[: len(WHOLE) // 2])
        raise KeyboardInterrupt

    with Store(path) as stopped:
        monkeypatch.setattr(os, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stopped.append(ROWS)
        monkeypatch.undo()
        assert len(stopped) == 2
        stopped.append(ROWS)
    assert path.read_bytes() == WHOLE


def test_half_a_row_that_cannot_be_cut_off_is_put_right_by_the_next_opening(path, monkeypatch):
    broken = Store(path)
    monkeypatch.setattr(
        os, "write", lambda handle, data, write=os.write: write(handle, data[:30]) and fails(errno.EIO)()
    )
    monkeypatch.setattr(os, "ftruncate", fails(errno.EIO))
    refused(path, "cannot be written", lambda _: broken.append(ROWS))
    monkeypatch.undo()
    refused(path, "was changed", lambda _: broken.append(ROWS))
    broken.close()
    assert opened(path)[0] == 1


def test_damage_that_cannot_be_kept_aside_stays_where_it_is(path, monkeypatch):
    path.write_bytes(WHOLE + b"cut")
    aside_of(path).mkdir()
    refused(path, "sweep.jsonl.damaged: must be an ordinary file, or new")
    aside_of(path).rmdir()
    monkeypatch.setattr(os, "fsync", fails(errno.ENOSPC))
    refused(path, "damaged lines cannot be kept in sweep.jsonl.damaged: No space left on device")
    assert path.read_bytes() == WHOLE + b"cut"


def test_a_repair_that_fails_changes_nothing(path, monkeypatch):
    path.write_bytes(b"cut\n" + WHOLE)
    monkeypatch.setattr(os, "replace", fails(errno.EACCES))
    refused(path, "cannot be repaired: Permission denied")
    monkeypatch.undo()
    assert path.read_bytes() == b"cut\n" + WHOLE
    assert sorted(entry.name for entry in path.parent.iterdir()) == [path.name, aside_of(path).name]
    path.with_name(f".{path.name}.repair").write_bytes(b"of a repair that was killed")
    assert opened(path)[0] == 1
    assert path.read_bytes() == WHOLE


@pytest.mark.skipif(sys.platform == "win32", reason="another lock there")
def test_where_nothing_can_be_locked_nothing_is_opened(path, monkeypatch):
    import fcntl

    monkeypatch.setattr(fcntl, "flock", fails(errno.ENOLCK))
    refused(path, "cannot be opened: No locks available")
