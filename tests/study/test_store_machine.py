"""Appends, kills, damage and openings of a store in any order, beside a plain list of the lines that must be there."""

import os

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from store_rows import expected, row

from eie_sim.core.errors import InputError
from eie_sim.study.reading import read_store
from eie_sim.study.store import Store

NUMBERS = st.lists(st.integers(0, 9), max_size=4)
PLACES = st.integers(0, 2**20)


class StoreMachine(RuleBasedStateMachine):
    """`lines` is what the file must hold while nobody has harmed it."""

    folder = None

    @initialize()
    def begin(self):
        self.path = self.folder() / "x.jsonl"
        self.store = Store(self.path)
        self.lines = []

    def teardown(self):
        if getattr(self, "store", None) is not None:
            self.store.close()

    @precondition(lambda self: self.store is not None)
    @rule(numbers=NUMBERS)
    def append(self, numbers):
        self.store.append([row(number) for number in numbers])
        for number in dict.fromkeys(numbers):
            line = row(number)[1]
            self.lines += [line] if line not in self.lines else []

    @precondition(lambda self: self.store is not None)
    @rule()
    def another_run_waits_its_turn(self):
        with pytest.raises(InputError, match="is in use by another run"):
            Store(self.path)

    @precondition(lambda self: self.store is not None)
    @rule()
    def close(self):
        self.store.close()
        self.store = None

    @precondition(lambda self: self.store is None)
    @rule(at=PLACES)
    def cut_in_the_middle_of_a_write(self, at):
        data = self.path.read_bytes()
        self.harm(data[: len(data) - at % 300] if len(data) > 300 else data)

    @precondition(lambda self: self.store is None)
    @rule(at=PLACES, junk=st.sampled_from([b"\0", b"\n", b'"', b"x" * 70_000, b"damage\n", b"\xff\xfe"]))
    def damage(self, at, junk):
        data = self.path.read_bytes()
        at %= len(data) + 1
        self.harm(data[:at] + junk + data[at:])

    @precondition(lambda self: self.store is None)
    @rule(at=PLACES, n=st.integers(1, 400))
    def zeros_instead_of_bytes(self, at, n):
        data = bytearray(self.path.read_bytes())
        at %= len(data) + 1
        data[at : at + n] = bytes(len(data[at : at + n]))
        self.harm(bytes(data))

    @precondition(lambda self: self.store is None)
    @rule()
    def a_copy_of_it_behind_it(self):
        data = self.path.read_bytes()
        self.harm(data + data)

    def harm(self, data):
        """A file that keeps a row, or nothing: any other is none of a store's, and refused."""
        rows, damaged, _ = expected(data)
        if rows or not damaged:
            self.path.write_bytes(data)
            self.lines = list(rows.values())

    @precondition(lambda self: self.store is None)
    @rule()
    def read_beside(self):
        before = self.path.read_bytes()
        try:
            found = read_store(self.path)
        except InputError as error:
            assert str(error).isprintable()
        else:
            assert len(found.rows) + found.damaged >= len(self.lines)
        assert self.path.read_bytes() == before

    @precondition(lambda self: self.store is None)
    @rule()
    def open(self):
        damaged = len(expected(self.path.read_bytes())[1])
        self.store = Store(self.path)
        assert self.store.damaged == damaged

    @invariant()
    def the_file_has_its_lines(self):
        assert list(expected(self.path.read_bytes())[0].values()) == self.lines

    @invariant()
    def every_row_is_found(self):
        if self.store is not None:
            assert [self.store.line(key) for key in self.store] == self.lines


def test_whatever_happens_in_whatever_order(tmp_path_factory, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    monkeypatch.setattr(StoreMachine, "folder", staticmethod(lambda: tmp_path_factory.mktemp("store")))
    StoreMachine.TestCase.settings = settings(stateful_step_count=25, deadline=None)
    test = StoreMachine.TestCase("runTest")
    test.runTest()
