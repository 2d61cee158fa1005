"""A sweep that goes on from a store whose rows somebody changed: it shows them, or says in one line which is wrong."""

import json
import os
from random import Random

import numpy as np
import pytest

import eie_sim as es
from eie_sim.cli import main
from eie_sim.core.errors import InputError

AXES = "--n-pe 1,4 --density 0.5 --weight-bits 4,8 --spmat-width-bits 8,64 --workers 1"
CHANGES = [None, True, -1, 0, 0.5, 1e300, 10**400, "", "x", "a\nb\x1b[31m", [], [1], {}, {"a": 1}, "gone"]


class Swept:
    """A network and the rows of its sweep, two of which are errors."""

    def __init__(self, folder):
        self.network, self.store = folder / "net.npz", folder / "s.jsonl"
        np.savez(self.network, **{"fc1.weight": np.random.default_rng(0).normal(size=(6, 8))})
        assert self.run() == 1
        self.rows = [json.loads(line) for line in self.store.read_bytes().splitlines()]

    def run(self, more=()):
        return main(["sweep", str(self.network), *AXES.split(), "--store", str(self.store), *more])

    def resumed(self, rows, more, capsys):
        """Exit code, output and what was said, of the same sweep over other rows."""
        self.store.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        capsys.readouterr()
        return self.run(more), *capsys.readouterr()


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return Swept(tmp_path_factory.mktemp("swept"))


@pytest.mark.parametrize("more", [(), ("--pareto", "cycles,energy_nj")])
def test_changed_rows_lead_to_no_traceback(swept, more, capsys, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    codes = set()
    for number in range(10):
        rng = Random(number)
        rows = json.loads(json.dumps(swept.rows))
        for row in rng.sample(rows, 2):
            name = rng.choice([name for name in row if name != "key"])
            row[name] = rng.choice(CHANGES)
            if row[name] == "gone":
                del row[name]
        code, out, said = swept.resumed(rows, more, capsys)
        codes.add(code)
        assert code in (1, 2)
        assert (said.count("\n"), bool(out)) == ((0, True) if code == 1 else (1, False)), said
    assert codes == {1, 2}


def test_the_row_that_is_wrong_is_named(swept, capsys):
    rows = [{**row, "cycles": "x"} if row["error"] is None else row for row in swept.rows]
    wrong = next(row["key"] for row in rows if row.get("cycles") == "x")
    rule = f"store={swept.store}: row {wrong} is none of a sweep's; take its line out to have it run again"
    assert swept.resumed(rows, (), capsys) == (2, "", f"error: {rule}\n")
    grid = {"n_pe": [1, 4], "density": [0.5], "weight_bits": [4, 8], "spmat_width_bits": [8, 64]}
    found = es.sweep.run(swept.network, grid=grid, store=swept.store, workers=1)
    with pytest.raises(InputError, match="take its line out"):
        assert found.rows
