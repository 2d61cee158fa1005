"""From axes to points: what is combined, what is refused at the door, and what a key stands for."""

from itertools import pairwise

import numpy as np
import pytest

import eie_sim as es
from eie_sim.prune.recipe import Recipe
from eie_sim.study.points import Refused, bundles_of, points_of, read_axes
from eie_sim.study.subject import subject_of
from eie_sim.units.nm.config import TensorCoreConfig

DIGITS = subject_of("digits-mlp")
ALEX = subject_of("alex-7", activations=np.ones((3, 4096)))


def points(subject=DIGITS, singles=None, **grid):
    return points_of(subject, read_axes(grid, singles))


def test_a_grid_has_all_combinations_in_the_order_of_the_axes():
    found = points(n_pe=[1, 4], queue_depth="1..3")
    assert [(p.design.n_pe, p.design.queue_depth) for p in found] == [(1, 1), (1, 2), (1, 3), (4, 1), (4, 2), (4, 3)]
    assert {p.layer for p in found} == {p.vector for p in found} == {p.recipe for p in found} == {None}
    assert len({p.key for p in found}) == 6
    assert all(len(p.key) == 32 for p in found)


def test_single_points_come_after_the_grid_and_none_comes_twice():
    found = points(singles=[{"n_pe": 4}, {"n_pe": 8, "density": 0.1}], n_pe=[1, 4])
    assert [(p.design.n_pe, p.recipe) for p in found] == [(1, None), (4, None), (8, Recipe(density=0.1))]


def test_a_chain_is_run_as_a_whole_and_other_layers_one_by_one():
    assert [p.layer for p in points()] == [None]
    assert [p.layer for p in points(layer="each")] == ["fc1", "fc2", "fc3"]
    assert [p.layer for p in points(layer="fc3,all,fc3")] == ["fc3", None]
    assert [p.layer for p in points(ALEX)] == ["alex-7"]
    assert [p.layer for p in points(ALEX, layer="all")] == ["alex-7"]
    assert len(points(subject_of("eie-paper"), n_pe=[4, 8])) == 18


def test_vectors_are_frames_of_the_trace():
    assert [p.vector for p in points(ALEX, vector="each")] == [0, 1, 2]
    assert [p.vector for p in points(ALEX, vector="2,all")] == [2, None]
    with pytest.raises(es.InputError, match=r"vector=3: must be in 0..2, there are 3 vectors; or all, or each"):
        points(ALEX, vector=[3])


def test_a_pattern_n_of_m_takes_no_density():
    found = points(pattern="element,2:4,balanced", density=[0.1, 0.2])
    by_density = [Recipe(density=d, pattern=pattern) for d in (0.1, 0.2) for pattern in ("element", "balanced")]
    assert {p.recipe for p in found} == {Recipe(pattern="2:4"), *by_density}
    assert len(found) == 5


def test_units_are_those_of_the_axes():
    assert all(isinstance(p.design, TensorCoreConfig) for p in points(stages=[2, 3]))
    assert {type(p.design).__name__ for p in points(n_pe=[4], stages=[2])} == {"EieConfig", "TensorCoreConfig"}
    both = points(unit="eie,nm", clock_mhz=[400, 800], n_pe=[4, 8])
    assert len(both) == 4 + 2
    assert points(chip="a100-sxm")[0].design == TensorCoreConfig.preset("a100-sxm")
    with pytest.raises(es.InputError, match="n_pe=4,8: needs unit eie, which is not swept"):
        points(unit="nm", n_pe=[4, 8])


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        ({"n_pes": [4]}, "axis=n_pes: unknown; did you mean n_pe"),
        ({"n_pe": [0]}, "n_pe=0: must be an integer in 1..65536"),
        ({"n_pe": [4, 0]}, "n_pe=0: must be an integer in 1..65536"),
        ({"layer": "fc9"}, "layer=fc9: unknown; did you mean fc"),
        ({"pattern": "neuron"}, "density=none: must be given, a fraction of the weights to keep"),
        ({"density": [1.5]}, "density=1.5: must be in 0..1"),
        ({"queue_depth": "1..20", "n_pe": "1..65536", "index_bits": "1..8"}, "points=10,485,760: must be at most 2"),
    ],
)
def test_what_can_never_work_is_refused_at_the_door(grid, message):
    with pytest.raises(es.InputError) as error:
        points(**grid)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_value_that_works_with_others_only_is_a_refused_point():
    found = points(weight_bits=[4, 8], spmat_width_bits=[8, 64])
    refused = [p.design for p in found if isinstance(p.design, Refused)]
    assert [dict(each.values) for each in refused] == [{"weight_bits": 8, "spmat_width_bits": 8}]
    found = points(ALEX, pattern="element,neuron", criterion="l1,apoz", density=[0.5])
    refused = [p.design.message for p in found if isinstance(p.design, Refused)]
    assert refused == ["pattern=element: must be neuron where the criterion is apoz"]


def test_the_key_is_of_everything_that_determines_the_result():
    rng = np.random.default_rng(0)
    weights, vectors = rng.standard_normal((20, 30)), rng.random((2, 30))

    def key(weights=weights, vectors=vectors, seed=0, verify=False, **grid):
        subject = subject_of(weights, activations=vectors, seed=seed, verify=verify)
        (point,) = points(subject, **grid)
        return point.key

    other = weights.copy()
    other[3, 4] += 1e-12
    keys = [
        key(),
        key(weights=other),
        key(weights=weights.astype(np.float32)),
        key(vectors=vectors[:1]),
        key(vectors=vectors * 2),
        key(seed=1),
        key(verify=True),
        key(vector=[0]),
        key(density=[0.5]),
        key(density=[0.5], criterion="l2"),
        key(n_pe=[4]),
        key(clock_mhz=[400]),
        key(unit="nm"),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == key(queue_depth=[8]) == key(weights=weights.copy()) == key(n_pe=[64], active="positive")
    assert key(weights=np.asfortranarray(weights)) == key()


def test_the_key_of_what_is_drawn_is_of_what_it_is_drawn_from():
    keys = [points(subject_of("alex-7", **more))[0].key for more in ({}, {"seed": 1}, {"activation_density": 0.2})]
    keys += [points(subject_of("alex-8"))[0].key, points(ALEX)[0].key]
    assert len(set(keys)) == len(keys)
    assert points(subject_of("ALEX-7"))[0].key == keys[0]


def test_neighbours_in_a_bundle_share_most():
    found = points(ALEX, queue_depth=[1, 8], n_pe=[4, 16], density=[0.1, 0.2], vector="each")
    (bundle,) = bundles_of(ALEX, found)
    assert sorted(p.key for p in bundle) == sorted(p.key for p in found)
    changes = [
        sum(getter(a) != getter(b) for a, b in pairwise(bundle))
        for getter in (lambda p: p.recipe, lambda p: p.design.n_pe, lambda p: p.vector)
    ]
    assert changes == [1, 3, 11]


def test_single_points_have_single_values():
    with pytest.raises(es.InputError, match=r"points\[1\]: n_pe=1..4: must be a single value"):
        read_axes(None, [{"n_pe": 4}, {"n_pe": "1..4"}])


def test_a_sweep_has_so_many_points_at_most(monkeypatch):
    monkeypatch.setattr("eie_sim.study.points.MAX_POINTS", 6)
    assert len(points(n_pe="1..3", queue_depth="1..2", singles=[{"n_pe": 3, "queue_depth": 2}])) == 6
    for singles in ({"n_pe": 4}, {"n_pe": 4, "layer": "each"}):
        with pytest.raises(es.InputError, match=r"points=[78]: must be at most 6"):
            points(n_pe="1..3", queue_depth="1..2", singles=[{"n_pe": 5}, singles])
    with pytest.raises(es.InputError, match="points=8: must be at most 6"):
        points(n_pe="1..4", queue_depth="1..2")
