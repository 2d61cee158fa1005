"""Input that a sweep refuses leaves no store behind; a point that fails is a row; figures of layers that differ."""

import numpy as np
import pytest

import eie_sim as es
from eie_sim.archive import archive_of
from eie_sim.core.errors import InputError
from eie_sim.engine import compress
from eie_sim.network import Layer, Network, load
from eie_sim.pipeline import run_network
from eie_sim.prune import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.study.export import require_table

DESIGN = es.EieConfig()
TWO = ["cycles", "energy_nj"]


def unchained(*n_vectors, size=8):
    rng = np.random.default_rng(1)
    layers = [
        Layer(
            name=f"l{at}",
            weights=rng.standard_normal((size, size)),
            activations=np.abs(rng.standard_normal((n_vector, size))),
            weights_source="drawn",
            activations_source="drawn",
            synthetic=True,
        )
        for at, n_vector in enumerate(n_vectors)
    ]
    return Network(name="net", layers=tuple(layers), chained=False, source="drawn")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"workers": 0}, "workers=0: must be an integer in 1..1024"),
        ({"workers": 10**6}, "workers=1000000: must be an integer in 1..1024"),
        ({"executor": 5}, "executor=int: must be Executor or None"),
        ({"verify": "no"}, "verify=str: must be bool"),
        ({"progress": None}, "progress=NoneType: must be a function"),
        ({"store": "\ud800"}, "store='.+ud800': must be a path"),
        ({"source": "alex-8", "activation_density": "x"}, "activation_density='x': must be a number in 0..1"),
        ({"grid": {"layer": "nope"}}, "layer=nope: unknown"),
        ({"grid": {"vector": 5}}, "vector=5: must be in 0..0"),
        ({"grid": {"n_pe": 0}}, "n_pe=0: must be an integer"),
        ({"grid": {"n_pe": 4, "unit": "nm"}}, "n_pe=4: needs unit eie"),
    ],
)
def test_what_is_refused_leaves_no_store(tmp_path, given, said):
    asked = {"source": unchained(1), "grid": {"queue_depth": [1, 2]}, "store": tmp_path / "s.jsonl", **given}
    with pytest.raises(InputError, match=said):
        es.sweep.run(**asked)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objectives": ["cycles"]}, "objectives=cycles: must be two or more"),
        ({"trials": 0}, "trials=0: must be an integer >= 1"),
        ({"workers": 0}, "workers=0: must be an integer in 1..1024"),
        ({"grid": {}}, "grid=none: must have at least one axis"),
        ({"seed": -1}, "seed=-1: must be an integer >= 0"),
        ({"grid": {"layer": "nope"}}, "layer=nope: unknown"),
        ({"grid": {"layer": "each"}}, "grid=2 points: must leave one point for each design"),
    ],
)
def test_a_search_that_is_refused_leaves_no_store(tmp_path, given, said):
    pytest.importorskip("optuna")
    asked = {"grid": {"queue_depth": [1, 2], "layer": "l0"}, "objectives": TWO, "trials": 2, **given}
    with pytest.raises(InputError, match=said):
        es.sweep.search(unchained(1, 1), **asked, store=tmp_path / "s.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [object(), {1, 2}, b"x", np.int64(1)])
@pytest.mark.parametrize("write", [es.sweep.to_pandas, lambda rows: es.sweep.write_csv(rows, "never.csv")])
def test_tables_of_what_no_row_holds(write, value):
    pytest.importorskip("pandas")
    with pytest.raises(InputError, match=f"a={type(value).__name__}: must be what JSON holds"):
        write([{"a": value}])


def test_a_design_that_a_search_cannot_make_is_a_row():
    pytest.importorskip("optuna")
    grid = {"index_bits": [1, 8], "weight_bits": [1, 8], "spmat_width_bits": [2, 16]}
    found = es.sweep.search(unchained(1), grid=grid, objectives=TWO, trials=8, workers=1)
    errors = {row["error"] for row in found.rows if row["spmat_width_bits"] == 2 and row["index_bits"] == 8}
    assert (len(found.rows), found.failed) == (8, 3)
    assert all("spmat_width_bits=2: must hold an entry" in error for error in errors)


@pytest.mark.parametrize(
    "grid",
    [
        {"wm": [16, 3], "tiles": "64x64,48x48", "mma": "16x8x16", "dram_bytes_per_cycle": "936000/1395"},
        {"density": [0.5], "pattern": "neuron,element", "criterion": "l1,apoz", "patterns": "2:4+1:4,dense"},
    ],
)
def test_what_is_no_design_of_the_nm_unit_is_a_row(grid):
    rows = es.sweep.run(unchained(1), grid={"unit": "nm", **grid}, workers=1).rows
    failed = [row for row in rows if row["error"]]
    assert 0 < len(failed) < len(rows)
    for row in failed:
        assert {name: row[name] for name in ("tiles", "mma") if name in grid}.keys() == set(grid) & {"tiles", "mma"}
        assert all(isinstance(value, (str, int, float, type(None))) for value in row.values())


def test_a_search_takes_every_kind_of_axis():
    pytest.importorskip("optuna")
    grid = {"unit": "nm", "tiles": "64x64,32x32+64x64", "mma": "16x8x16", "dram_bytes_per_cycle": "none,24,936000/1395"}
    found = es.sweep.search(unchained(1), grid=grid, objectives=TWO, trials=10, workers=1)
    assert (len(found.rows), found.failed) == (6, 0)


def test_a_search_takes_a_long_axis():
    pytest.importorskip("optuna")
    found = es.sweep.search(unchained(1), grid={"queue_depth": "1..300000"}, objectives=TWO, trials=2, workers=1)
    assert len(found.rows) == 2


@pytest.mark.parametrize("unit", ["eie", "nm"])
def test_layers_with_different_numbers_of_vectors_each_have_their_own(unit):
    net = unchained(5, 2, 1)
    each = es.sweep.run(net, grid={"unit": [unit], "layer": "each"}, workers=1).rows
    together = es.sweep.run(net, grid={"unit": [unit], "layer": "all"}, workers=1).rows[0]
    alone = [
        es.sweep.run(net.layer(name), grid={"unit": [unit]}, workers=1).rows[0]["cycles"] for name in ("l0", "l1", "l2")
    ]
    assert [row["n_vector"] for row in each] == [5, 2, 1]
    assert [row["dense_macs"] for row in each] == [320, 128, 64]
    assert [row["cycles"] for row in each] == alone
    assert (together["n_vector"], together["dense_macs"], together["cycles"]) == (5, 512, sum(alone))


@pytest.mark.parametrize("recipe", [{"density": 0.2, "criterion": "random"}, {"density": 0.2, "epochs": 1}])
def test_the_seed_of_a_sweep_is_that_of_its_recipes(recipe):
    grid = {name: [value] for name, value in recipe.items()}
    rows = [es.sweep.run("digits-mlp", grid=grid, seed=seed, workers=1).rows[0] for seed in (0, 5)]
    done = [
        run_network(prune_network(load("digits-mlp"), Recipe(**recipe, seed=seed), DESIGN)[0], DESIGN)
        for seed in (0, 5)
    ]
    assert [row["cycles"] for row in rows] == [each.cycles for each in done]
    assert rows[0]["cycles"] != rows[1]["cycles"]


def test_random_masks_of_layers_by_themselves_are_those_of_pruning_the_network():
    net, config = unchained(1, 1, 1, size=40), es.EieConfig(n_pe=3)
    grid = {"density": [0.3], "criterion": "random", "n_pe": [3], "layer": "each"}
    cycles = [row["cycles"] for row in es.sweep.run(net, grid=grid, workers=1).rows]
    done = run_network(prune_network(net, Recipe(density=0.3, criterion="random"), config)[0], config)
    assert cycles == [layer.result.cycles for layer in done.layers]
    assert len(set(cycles)) > 1  # three layers of one shape, three masks


@pytest.mark.parametrize("verify", [False, True])
def test_codes_of_an_archive_have_their_own_width(verify):
    net = unchained(2)
    stored = archive_of(net, [compress(net.layers[0].weights, es.EieConfig())], recipe={}).network
    found = es.sweep.run(stored, grid={"weight_bits": [3, 4]}, verify=verify, workers=1)
    narrow, own = (row["error"] for row in found.rows)
    assert narrow == "config.weight_bits=3: must be equal to the stored weight_bits=4 of layer l0"
    assert own is None
    again = es.sweep.run(stored, grid={"weight_bits": [3, 4], "density": 0.5}, verify=verify, workers=1)
    assert again.failed == 0  # pruned again, codes are made again


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x.txt", "must end in .csv or .parquet"),
        ("none/x.csv", "must be in a folder that exists"),
        ("folder.csv", "must be an ordinary file, or new"),
    ],
)
def test_a_table_that_cannot_be_written_is_refused_before_it_is_made(tmp_path, name, said):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match=said):
        require_table(tmp_path / name)
    require_table(tmp_path / "new.csv")
    assert [file.name for file in tmp_path.iterdir()] == ["folder.csv"]
