"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import json

import pytest

from eie_sim.study.store import Store

pytestmark = pytest.mark.slow
N_ROW = 20_000


def test_opening_a_store_is_quicker_than_reading_its_json(ratio, tmp_path):
    path = tmp_path / "sweep.jsonl"
    metrics = {f"metric_{n}": n / 7 for n in range(14)} | {f"count_{n}": 12345 * n for n in range(12)}
    rows = [{"key": f"{n:032x}", "network": "digits-mlp", **metrics, "error": None} for n in range(N_ROW)]
    with Store(path) as store:
        store.append([(row["key"], f"{json.dumps(row)}\n".encode()) for row in rows])

    def ours():
        with Store(path) as store:
            assert len(store) == N_ROW

    def theirs():
        with path.open("rb") as file:
            assert all(json.loads(line)["key"] for line in file)

    ratio("open a store / json.loads of its lines", ours, theirs, at_most=0.8, rounds=7)
