"""The store keeps every row, is one run's at a time, and refuses what is not its own."""

import os
import pickle
import tracemalloc

import pytest
from opening import ROWS, WHOLE, opened, refused
from store_rows import key, row, text

from eie_sim.core import files
from eie_sim.study.store import MAX_LINE, Store, row_of

FOREIGN = "must be a store of an earlier sweep, or new"


def test_rows_come_back_as_they_were(path):
    with Store(str(path)) as fresh:
        assert (fresh.path, fresh.damaged, len(fresh)) == (path, 0, 0)
        fresh.append(ROWS[:2])
        fresh.append([])
        fresh.append(ROWS[2:])
        assert [fresh.line(key) for key in fresh] == [line for _, line in ROWS]
        assert key(3) in fresh
        assert key(4) not in fresh
        with pytest.raises(KeyError):
            fresh.line(key(4))
    assert path.read_bytes() == WHOLE
    assert opened(path) == (0, [line for _, line in ROWS])
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


def changed(old, new):
    return row(0)[1].replace(old, new)


BAD_LINES = {
    "no JSON": b"cycles 5\n",
    "no key": b'{"error": null}\n',
    "key in upper case": changed(key(0).encode(), key(0).upper().encode()),
    "a key too long": changed(key(0).encode(), key(0).encode() + b"0"),
    "not a number": row(0, energy=float("nan"))[1],
    "infinite": row(0, energy=float("-inf"))[1],
    "too large for a float": changed(b"0.0,", b"1e999,"),
    "digits beyond reading": row(0, cycles=1)[1].replace(b": 1,", b": " + b"9" * 5000 + b","),
    "no error": changed(b"error", b"errors"),
    "error a number": row(0, error=5)[1],
    "error a flag": row(0, error=False)[1],
    "last error counts": changed(b"}", b', "error": 0}'),
    "two rows": row(0)[1][:-1] + row(0)[1],
    "too long": row(0, design="x" * MAX_LINE)[1],
    "half a character": changed(b"PEs", b"\xed\xa0\x80"),
    "too deep": changed(b"64,", b"[" * 20000 + b"]" * 20000),
    "a control character": changed(b"PEs", b"\x01"),
    "leading zero": changed(b"64,", b"064,"),
    "list with a hole": changed(b"64,", b"64,,"),
    "a list": b"[5]\n",
    "no line feed": row(0)[1][:-1],
}


@pytest.mark.parametrize("line", BAD_LINES.values(), ids=BAD_LINES)
def test_lines_that_are_no_rows(line, path):
    assert row_of(line) is None
    path.write_bytes(WHOLE + line)
    assert opened(path) == (1, [line for _, line in ROWS])


GOOD_LINES = {
    "an error": row(0, error="out=5: must be 6")[1],
    "escapes": row(0, network='a "b" \\ \n \x01 \u00e9')[1],
    "in UTF-8": changed(b"PEs", "\u00e9\u4e2d\U0001f600".encode()),
    "other spaces": changed(b", ", b" ,\t"),
    "key not first": b'{"error": null, "key": "%s"}\n' % key(0).encode(),
    "Windows": row(0)[1].replace(b"\n", b"\r\n"),
    "nested": row(0, deep={"a": [{"b": []}, [], {}]})[1],
    "an error in a text": row(0, note=', "error": 5')[1],
    "an error below": row(0, deep={"a": 1, "error": 5})[1],
    "numbers": row(0, numbers=[0, -0.0, -1, 1e300, 5e-324, 1e16, 1.7976931348623157e308])[1],
    "largest": row(0, design="x" * (MAX_LINE - len(row(0, design="")[1])))[1],
}


@pytest.mark.parametrize("line", GOOD_LINES.values(), ids=GOOD_LINES)
def test_any_json_of_the_kind_is_a_row(line, path):
    with Store(path) as fresh:
        fresh.append([(key(0), line), ROWS[1]])
        assert fresh.line(key(0)) == line
    assert opened(path) == (0, [line, ROWS[1][1]])


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
    assert peak < 8 * MAX_LINE
    assert path.stat().st_size == 2**36


@pytest.mark.parametrize("data", [*(text(ROWS[:1])[:n] for n in (1, 5, 9, 12, 41, 42, 60)), b"\0" * 5000], ids=len)
def test_what_a_first_write_leaves_is_put_right(data, path):
    path.write_bytes(data)
    assert opened(path) == (1, [])
    assert path.read_bytes() == b""


def test_paths_that_cannot_be_stores(tmp_path):
    refused(tmp_path / "missing" / "sweep.jsonl", "must be in a folder that exists")
    refused(tmp_path, "must be an ordinary file, or new")
    refused("", "must be a path")
    refused("a\0b", "must be a path")
    refused(None, "store=NoneType: must be a path")
    refused(b"sweep.jsonl", "must be a path")
    refused(5, "store=int: must be a path")
    refused(tmp_path / ("x" * 300), "cannot be written: File name too long")
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
    assert opened(path) == (1, [line for _, line in ROWS])
    assert path.is_symlink()
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
    assert opened(path)[1] == [line for _, line in ROWS]


@pytest.mark.parametrize("removed", [True, False])
def test_a_file_that_is_replaced_before_it_is_locked_is_not_the_store(removed, path, monkeypatch):
    path.write_bytes(text(ROWS[:1]))
    newer = path.with_name("newer")
    newer.write_bytes(WHOLE)

    def late(handle, lock=files._lock):
        monkeypatch.undo()
        lock(handle)
        path.unlink()
        if not removed:
            newer.rename(path)

    monkeypatch.setattr(files, "_lock", late)
    assert len(opened(path)[1]) == (0 if removed else 4)


def test_a_file_that_is_always_replaced_is_in_use(path, monkeypatch):
    monkeypatch.setattr(files, "is_at", lambda path, handle: False)
    refused(path, "in use by another run")


def test_a_refused_store_is_free_again(path):
    path.write_bytes(b"hello")
    refused(path, FOREIGN)
    path.write_bytes(WHOLE)
    assert len(opened(path)[1]) == 4


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
