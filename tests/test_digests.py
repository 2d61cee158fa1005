"""Results are those that were reviewed: a change of any count, cycle, output or format shows here."""

import json

from digests import FILE, digests


def test_results_are_those_that_were_reviewed():
    kept, found = json.loads(FILE.read_text()), digests()
    changed = [name for name in kept.keys() | found.keys() if kept.get(name) != found.get(name)]
    assert sorted(changed) == [], "python tests/digests.py, and review the diff"
