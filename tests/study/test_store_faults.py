"""Disks that are full, syncs that fail, interrupts: the store says so, and the next opening puts it right."""

import errno
import os
import sys

import pytest
from opening import ROWS, WHOLE, opened, refused
from store_rows import row, text

from eie_sim.study import store
from eie_sim.study.store import Store


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
    assert opened(path) == (0, [line for _, line in ROWS])


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


def test_a_cut_that_cannot_be_dropped_changes_nothing(path, monkeypatch):
    path.write_bytes(WHOLE + WHOLE[:30])
    monkeypatch.setattr(os, "ftruncate", fails(errno.EACCES))
    refused(path, "cannot be repaired: Permission denied")
    monkeypatch.undo()
    assert path.read_bytes() == WHOLE + WHOLE[:30]
    assert opened(path)[0] == 1
    assert path.read_bytes() == WHOLE


@pytest.mark.skipif(sys.platform == "win32", reason="another lock there")
def test_where_nothing_can_be_locked_nothing_is_opened(path, monkeypatch):
    import fcntl

    monkeypatch.setattr(fcntl, "flock", fails(errno.ENOLCK))
    refused(path, "cannot be opened: No locks available")
