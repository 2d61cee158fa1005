"""Every command says what was reviewed: a change of any figure, name or shape of its JSON shows here."""

import json

import pytest
from commands import FILE, answers, digests

from eie_sim.cli import commands


@pytest.mark.compiled
def test_commands_say_what_was_reviewed():
    kept, found = json.loads(FILE.read_text()), digests(answers())
    changed = [words for words in kept.keys() | found.keys() if kept.get(words) != found.get(words)]
    assert sorted(changed) == [], "python tests/commands.py, and review the diff"


def test_every_command_is_reviewed():
    assert {words.split()[0] for words in json.loads(FILE.read_text())} == {
        name for name in commands() if not name.startswith("-")
    }
