"""Stores that are read and left alone: what another run writes, what is damaged, what is none."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_rows import expected, key, text

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.study import read_store, reading
from eie_sim.study.store import Store
from eie_sim.units import unit_named

FIGURES = {
    **{"version": 2, "workload": "fc", "unit": "eie", "config_hash": "c"},
    **{"n_pe": 4, "queue_depth": 8, "clock_mhz": 800.0},
    **{"cycles": 17, "time_us": 0.5, "energy_nj": 0.5, "weight_density": 0.5, "load_balance": 1.0},
    **{"effectual_macs": 9, "fits": True, "verified": None},
    **dict.fromkeys(unit_named("eie").words.columns, 1),
}


def row(n, **more):
    fields = {"key": key(n), **FIGURES, "error": None, **more}
    return fields["key"], f"{json.dumps(fields)}\n".encode()


def refused(path):
    with pytest.raises(InputError) as error:
        read_store(path)
    line = str(error.value)
    assert line.startswith(f"store={path}: ")
    assert "\n" not in line
    return line


def test_a_sweep_is_read_back(tmp_path):
    path = tmp_path / "fc.sweep.jsonl"
    grid = {"n_pe": [2, 4], "weight_bits": [8, 4], "spmat_width_bits": [8, 64], "layer": "fc1"}
    found = es.sweep.run("digits-mlp", grid=grid, store=path, workers=1)
    assert found.failed == 2
    rows, damaged = read_store(path)
    assert damaged == 0
    assert sorted(rows, key=lambda row: row["key"]) == sorted(found.rows, key=lambda row: row["key"])


def test_a_store_in_use_is_read_and_stays_as_it_is(tmp_path):
    path = tmp_path / "x.jsonl"
    with Store(path) as store:
        store.append([row(0), row(1)])
        with path.open("ab") as file:
            file.write(row(2)[1][:40])  # a row on its way
        before = path.read_bytes()
        found = read_store(path)
        assert [each["key"] for each in found.rows] == [key(0), key(1)]
        assert found.damaged == 1
        assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["x.jsonl"]


@given(
    st.lists(
        st.sampled_from([row(0)[1], row(1)[1], row(2, error="no")[1], b"{}\n", b"\n", b"x\0\n", row(0, cycles=1)[1]])
    )
)
def test_damaged_lines_are_counted(tmp_path_factory, lines):
    path = tmp_path_factory.mktemp("store") / "x.jsonl"
    data = b"".join(lines)
    path.write_bytes(data)
    rows, damaged, _ = expected(data)
    if rows:
        assert read_store(path) == ([json.loads(line) for line in rows.values()], len(damaged))
    else:
        refused(path)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"cycles": value} for value in ("17", None, True, [17], 10**400, 17.0, -1)),
        *({"workload": 3}, {"n_pe": "4"}, {"n_pe": 0}, {"mma": 3}, {"bound": 3}, {"tile": [4, 4]}),
        *({"fits": None}, {"fits": 1}, {"verified": 0}, {"unit": "x"}, {"unit": ["eie"]}, {"waiting_cycles": None}),
        {"unit": "nm", "runs_as": None},
        *({"error": "no", "workload": None}, {"error": "no", "misfit": {}}),
    ],
    ids=str,
)
def test_rows_that_nobody_could_show_are_damaged(tmp_path, wrong):
    path = tmp_path / "x.jsonl"
    path.write_bytes(text([row(0), row(1, **wrong)]))
    found = read_store(path)
    assert len(found.rows) == found.damaged == 1


def test_what_is_no_store_is_refused_in_one_line(tmp_path, monkeypatch):
    assert "no such file" in refused(tmp_path / "none.jsonl")
    assert "ordinary file" in refused(tmp_path)
    (tmp_path / "empty.jsonl").touch()
    assert "holds no rows" in refused(tmp_path / "empty.jsonl")
    (tmp_path / "run.json").write_text('{\n  "network": "x"\n}\n')
    assert "must be the store of a sweep" in refused(tmp_path / "run.json")
    (tmp_path / "large.jsonl").write_bytes(text([row(0), row(1)]))
    monkeypatch.setattr(reading, "MAX_POINTS", 1)
    assert "must have at most 1 rows" in refused(tmp_path / "large.jsonl")
    (tmp_path / "foreign.jsonl").write_bytes(b"x\n" * 1000 + text([row(0)]))
    monkeypatch.setattr(reading, "MAX_FOREIGN", 100)
    assert "must be the store of a sweep" in refused(tmp_path / "foreign.jsonl")
    with pytest.raises(InputError, match="must be a path"):
        read_store("")


@pytest.mark.parametrize("version", ["", '"version":1,', '"version":3,'])
def test_a_store_of_another_version_is_refused_and_stays_as_it_is(version, path):
    es.sweep.run("hand-8x8", grid={"n_pe": [1, 2]}, workers=1, store=path)
    old = path.read_bytes().replace(b'"version":2,', version.encode())
    path.write_bytes(old)
    said = f"store={path}: made by an eie-sim of record version {version[-2:-1] or 1}, this one has 2: "
    for ask in (
        lambda: es.sweep.read_store(path),
        lambda: es.sweep.run("hand-8x8", grid={"n_pe": [1, 2]}, workers=1, store=path),
    ):
        with pytest.raises(InputError) as refused:
            ask()
        assert str(refused.value) == f"{said}run the sweep again with another --store"
    assert path.read_bytes() == old
