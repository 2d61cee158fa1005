"""Search: what it promises on small spaces, and the front it reaches on 2,000 designs that are also enumerated."""

import itertools
import json
import math
import subprocess
import sys
import time
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.energy import account, area
from eie_sim.engine import compress
from eie_sim.study.pareto import costs, hypervolume, undominated
from eie_sim.study.searching import START, optimize
from eie_sim.units.eie.config import EieConfig

optuna = pytest.importorskip("optuna")

BOTH = ["time_us", "energy_nj"]
SMALL = {"n_pe": [64, 8, 16, 32, 4], "rounding": ["floor", "nearest", "up"], "clock_mhz": [200.0, 400.0, 800.0, 1600.0]}


def price(design):
    """A made-up row: fast or frugal, the best rounding for each in the middle of the list."""
    n_pe, clock_mhz = design["n_pe"], design["clock_mhz"]
    penalty = 1.0 if design["rounding"] == "nearest" else 1.5
    return {**design, "time_us": penalty * 1e5 / n_pe / clock_mhz, "energy_nj": penalty * (n_pe + clock_mhz / 10)}


def prices(designs):
    return [price(design) for design in designs]


def design_of(row, space):
    return tuple(row[name] for name in space)


class Store:
    """Rows by design, as a store keeps them; stops the search before it computes more than `patience` of them."""

    def __init__(self, patience=math.inf):
        self.rows, self.computed, self.patience = {}, [], patience

    def __call__(self, designs):
        for design in designs:
            key = tuple(design.items())
            if key not in self.rows:
                if len(self.computed) >= self.patience:
                    raise KeyboardInterrupt
                self.rows[key] = price(design)
                self.computed.append(key)
        return [self.rows[tuple(design.items())] for design in designs]


def test_designs_are_of_the_space_distinct_and_as_many_as_asked_for():
    rows = optimize(SMALL, prices, BOTH, trials=45)
    designs = [design_of(row, SMALL) for row in rows]
    assert len(set(designs)) == len(designs) == 45
    assert set(designs) <= set(itertools.product(*SMALL.values()))
    assert list(rows[0])[:3] == list(SMALL)


def test_a_space_is_run_whole_where_it_has_fewer_designs_than_trials():
    rows = optimize(SMALL, prices, BOTH, trials=1000)
    assert sorted(design_of(row, SMALL) for row in rows) == sorted(itertools.product(*SMALL.values()))


def test_the_same_seed_chooses_the_same_and_another_seed_others():
    first, again, other = (optimize(SMALL, prices, BOTH, trials=40, seed=seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_a_fresh_process_chooses_the_same(hash_seed):
    program = (
        "import json, sys\n"
        "from eie_sim.study.searching import optimize\n"
        "seen = []\n"
        "def run(designs):\n"
        "    seen.extend([d['n_pe'], d['rounding'], d['clock_mhz']] for d in designs)\n"
        "    return [{'time_us': 1e5 / d['n_pe'] / d['clock_mhz'], 'energy_nj': d['n_pe'] + len(d['rounding'])}"
        " for d in designs]\n"
        f"optimize({SMALL!r}, run, {BOTH!r}, trials=40, seed=3)\n"
        "print(json.dumps(seen))"
    )
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    here = []

    def run(designs):
        here.extend([d["n_pe"], d["rounding"], d["clock_mhz"]] for d in designs)
        return [
            {"time_us": 1e5 / d["n_pe"] / d["clock_mhz"], "energy_nj": d["n_pe"] + len(d["rounding"])} for d in designs
        ]

    optimize(SMALL, run, BOTH, trials=40, seed=3)
    assert json.loads(done.stdout) == here
    assert done.stderr == ""


@pytest.mark.parametrize("fewer", [1, 7, START, 29, 40])
def test_more_trials_only_add(fewer):
    assert optimize(SMALL, prices, BOTH, trials=55)[:fewer] == optimize(SMALL, prices, BOTH, trials=fewer)


@pytest.mark.parametrize("patience", [0, 5, 27, 43])
def test_stopped_and_started_again_it_ends_with_the_same_rows(patience):
    store = Store(patience)
    with pytest.raises(KeyboardInterrupt):
        optimize(SMALL, store, BOTH, trials=50)
    store.patience = math.inf
    rows = optimize(SMALL, store, BOTH, trials=50)
    assert rows == optimize(SMALL, prices, BOTH, trials=50)
    assert len(store.computed) == len(set(store.computed)) == 50


@pytest.mark.parametrize("batch", [1, 3, 16, 1000])
def test_a_batch_is_asked_for_at_once(batch):
    asked = []

    def run(designs):
        asked.append(len(designs))
        return prices(designs)

    rows = optimize(SMALL, run, BOTH, trials=50, batch=batch)
    assert len({design_of(row, SMALL) for row in rows}) == 50
    assert asked == [min(batch, 50 - done) for done in range(0, 50, batch)]


axes = st.one_of(
    st.lists(st.integers(-5, 5), min_size=1, max_size=5, unique=True),
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True),
    st.lists(st.sampled_from([True, "x", 7, 0.5]), min_size=1, max_size=4, unique=True),
)


@settings(max_examples=12)
@given(st.lists(axes, min_size=1, max_size=3), st.integers(1, 40), st.integers(0, 2**128 - 1), st.randoms())
def test_any_space_and_any_rows_will_do(values, trials, seed, random):
    space = {f"axis {at}": some for at, some in enumerate(values)}

    def run(designs):
        kinds = [{"error": "no"}, {"fits": False, "time_us": 1, "energy_nj": 1}, {"time_us": 1}]
        kinds += [{"time_us": random.randint(0, 2), "energy_nj": random.random(), "fits": True} for _ in range(3)]
        return [{**design, **random.choice(kinds)} for design in designs]

    rows = optimize(space, run, BOTH, trials=trials, seed=seed)
    designs = {json.dumps([row[name] for name in space]) for row in rows}
    assert len(designs) == len(rows) == min(trials, math.prod(map(len, values)))
    assert designs <= {json.dumps(design) for design in itertools.product(*values)}


def test_where_nothing_is_feasible_the_trials_still_end():
    rows = optimize(SMALL, lambda designs: [{**design, "error": "no"} for design in designs], BOTH, trials=60)
    assert len({design_of(row, SMALL) for row in rows}) == 60


def test_designs_that_do_not_fit_draw_the_search_nowhere():
    def run(designs):
        return [
            {**row, "fits": False, "time_us": 0, "energy_nj": 0} if row["n_pe"] == 4 else row for row in prices(designs)
        ]

    rows = optimize({**SMALL, "queue_depth": list(range(40))}, run, BOTH, trials=200)
    assert sum(row["n_pe"] == 4 for row in rows[START:]) < len(rows[START:]) / 5


def test_objectives_are_made_large_where_they_should_be():
    space = {"a": list(range(100)), "b": list(range(100))}

    def run(designs):
        return [{**d, "accuracy": d["a"] / 99, "utilisation": d["b"] / 99} for d in designs]

    rows = optimize(space, run, ["accuracy", "utilisation"], trials=200)
    assert max(row["a"] + row["b"] for row in rows) >= 190


def test_values_are_handed_on_as_they_are_and_numbers_in_any_order_are_neighbours():
    space = {"n_pe": [512, 1, 2, 256, 4, 128, 8, 64, 16, 32], "rounding": ["floor"]}
    rows = optimize(
        space,
        lambda designs: [{**d, "time_us": 1 / d["n_pe"], "energy_nj": d["n_pe"]} for d in designs],
        BOTH,
        trials=9,
    )
    assert {type(row["n_pe"]) for row in rows} == {int}
    assert {row["rounding"] for row in rows} == {"floor"}


def test_optuna_says_nothing_and_is_left_as_it_was(capfd, caplog):
    optuna.logging.set_verbosity(optuna.logging.INFO)
    state = np.random.get_state()[1].tolist()  # noqa: NPY002  the global one, which must be left alone
    optimize(SMALL, prices, BOTH, trials=30)
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002  as above


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objectives": ["time_us", "energy"]}, "objectives=energy: unknown; did you mean energy_nj"),
        ({"objectives": ["time_us"]}, "objectives=time_us: must be two or more"),
        ({"trials": 0}, "trials=0: must be an integer >= 1"),
        ({"trials": 2.0}, "trials=2.0: must be an integer >= 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(changed, message):
    given = {"space": SMALL, "evaluate": prices, "objectives": BOTH, "trials": 10} | changed
    with pytest.raises(InputError, match=f"^{message}[^\n]*$"):
        optimize(**given)


# 2,000 designs, all simulated: how much of the true front's hypervolume do 200 trials find?

SPACE = {
    "n_pe": [2, 4, 8, 16, 32, 64, 128, 256],
    "queue_depth": [1, 2, 4, 8, 16],
    "index_bits": [2, 3, 4, 5, 8],
    "spmat_width_bits": [16, 32, 64, 128, 256],
    "accumulator_bits": [16, 32],
}
SETS = (("time_us", "energy_nj"), ("energy_nj", "area_mm2"), ("time_us", "energy_nj", "area_mm2"))


@cache
def enumerated():
    """Rows of all designs of SPACE, on the first recorded input of fc1 of digits-mlp; with 2 PEs it does not fit."""
    layer = es.load("digits-mlp").layers[0]
    matrices, rows = {}, {}
    for values in itertools.product(*SPACE.values()):
        config = EieConfig(**dict(zip(SPACE, values, strict=True)))
        if (key := (config.n_pe, config.index_bits)) not in matrices:
            matrices[key] = compress(layer.weights, config, bias=layer.bias)
        result = es.simulate(matrices[key], layer.activations[0], config)
        rows[values] = {
            **dict(zip(SPACE, values, strict=True)),
            "time_us": result.time_us,
            "energy_nj": account(result).total_pj / 1e3,
            "area_mm2": area(config).total_mm2,
            "fits": result.fits,
        }
    return rows


def logs(rows, objectives):
    return np.log(costs([row for row in rows if row["fits"]], objectives))


def shares_found(rows, objectives):
    """Hypervolume of rows over that of the true front, up to two references; objectives in logarithms.

    The first reference is the worst of all designs that fit, the second, harder one, lies 10 % of the front's own span
    beyond the front's own worst.
    """
    every = logs(enumerated().values(), objectives)
    true = every[undominated(every)]
    references = every.max(axis=0), true.max(axis=0) + 0.1 * np.ptp(true, axis=0)
    return [hypervolume(logs(rows, objectives), at) / hypervolume(true, at) for at in references]


def searched(objectives, seed):
    return optimize(
        SPACE, lambda asked: [enumerated()[tuple(one.values())] for one in asked], objectives, trials=200, seed=seed
    )


@pytest.mark.parametrize("objectives", SETS, ids=" ".join)
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 10))])
def test_200_trials_of_2000_designs_reach_the_front(objectives, seed):
    assert len(enumerated()) == 2000
    assert sum(row["fits"] for row in enumerated().values()) == 1750
    rows = searched(objectives, seed)
    assert len({design_of(row, SPACE) for row in rows}) == 200
    assert min(shares_found(rows, objectives)) >= 0.9


@pytest.mark.slow
@pytest.mark.parametrize("objectives", SETS, ids=" ".join)
def test_search_finds_more_than_as_many_random_designs(objectives):
    every = list(enumerated().values())
    for seed in range(5):
        at_random = [every[at] for at in np.random.default_rng(seed).permutation(len(every))[:200]]
        both = zip(
            shares_found(searched(objectives, seed), objectives), shares_found(at_random, objectives), strict=True
        )
        assert all(found > drawn for found, drawn in both)


@pytest.mark.slow
def test_a_trial_costs_milliseconds_beside_its_simulation():
    space = {f"axis {at}": list(range(10)) for at in range(6)}

    def run(designs):
        return [{"time_us": sum(d.values()), "energy_nj": sum((9 - v) ** 2 for v in d.values())} for d in designs]

    begin = time.process_time()
    optimize(space, run, BOTH, trials=400)
    assert (time.process_time() - begin) / 400 < 0.020
