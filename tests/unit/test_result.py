"""What a result says, worked by hand from its counts; shares that add to exactly 100."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eie_sim.core.result import MemoryFit, SimResult, config_hash
from eie_sim.engine import simulate
from eie_sim.record import percentages
from eie_sim.units import unit_named, units
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.matrix import EieMatrix
from eie_sim.units.eie.words import EieClass, EieEvent

EVENTS = tuple(event.name.lower() for event in EieEvent)
CLASSES = tuple(kind.name.lower() for kind in EieClass)


def result_of(**changes):
    """Two PEs, 100 cycles over two vectors, at 400 MHz: 40 MACs and 8 padding entries, 30 and 18 busy cycles."""
    counts = np.zeros((3, len(EieEvent)), dtype=np.int64)
    counts[0, EieEvent.MACS], counts[1, EieEvent.MACS] = 25, 15
    counts[0, EieEvent.PADDING_ENTRIES], counts[1, EieEvent.PADDING_ENTRIES] = 5, 3
    counts[2, EieEvent.BROADCASTS] = 7
    values = {
        "unit": "eie",
        "engine": "fast",
        "config": EieConfig(n_pe=2, clock_mhz=400),
        "output": np.zeros((2, 3), dtype=np.int16),
        "scales": {"weight": 8, "activation": 9, "accumulator": 10},
        "cycles": 100,
        "cycles_per_vector": np.array([60, 40]),
        "n_vector": 2,
        "n_unit": 2,
        "event_names": EVENTS,
        "counts": counts,
        "class_names": CLASSES,
        "classes": np.array([[25, 5, 10, 54, 6], [15, 3, 20, 56, 6]]),
        "useful_class": "weight",
        "busy_classes": ("weight", "padding"),
        "effectual_macs": 40,
        "extra": {"broadcast": {"sent": 7, "blocked_cycles": 1, "lost_cycles": 2}},
        "dense_macs": 600,
        "memories": (MemoryFit("a", 8, 8, "bits", 1), MemoryFit("b", 9, 4, "entries", 3)),
        "inputs": "made up",
        "config_hash": "0123456789ab",
    }
    return SimResult(**{**values, **changes})


def test_figures_by_hand():
    result = result_of()
    assert result.time_us == 0.25
    assert result.effectual_macs == 40
    assert result.utilisation == 40 / 200
    assert result.load_balance == 24 / 30
    assert result.effective_gops == pytest.approx(2 * 40 / 250)  # operations in 250 ns
    assert result.dense_equivalent_gops == pytest.approx(2 * 600 / 250)


def test_stats_are_sums_over_pes_under_the_agreed_names():
    stats = result_of().stats
    assert list(stats) == ["events", "classes", "broadcast"]
    assert {name: count for name, count in stats["events"].items() if count} == {
        "broadcasts": 7,
        "macs": 40,
        "padding_entries": 8,
    }
    assert stats["classes"] == {"weight": 40, "padding": 8, "empty": 30, "waiting": 110, "drain": 12}
    assert stats["broadcast"] == {"sent": 7, "blocked_cycles": 1, "lost_cycles": 2}
    assert all(type(count) is int for part in stats.values() for count in part.values())


def test_every_event_and_class_has_a_meaning():
    assert unit_named("eie").words.totals["broadcast"].names() == ("sent", "blocked_cycles", "lost_cycles")
    for unit in units():
        own = unit.words
        assert all(word.meaning for kind in (own.events, own.classes, *own.totals.values()) for word in kind)
        assert {own.useful, *own.busy} <= set(own.classes)
        components = {part for parts in own.components.values() for part in parts} - {"leakage"}
        assert {*own.classes.names(), *components} == set(own.colours)


def test_a_layer_fits_when_every_memory_does_and_takes_the_most_passes_of_any():
    assert (result_of().fits, result_of().passes) == (False, 3)
    fitting = result_of(memories=(MemoryFit("a", 8, 8, "bits", 1),))
    assert (fitting.fits, fitting.passes) == (True, 1)
    assert (result_of(memories=()).fits, result_of(memories=()).passes) == (True, 1)


@pytest.mark.parametrize(("needed", "fits"), [(0, True), (7, True), (8, True), (9, False)])
def test_a_memory_fits_up_to_what_is_available(needed, fits):
    assert MemoryFit("a", needed, 8, "bits", 1).fits is fits


def test_nothing_done_takes_no_time_and_divides_by_nothing():
    idle = result_of(
        cycles=0,
        cycles_per_vector=np.array([], dtype=np.int64),
        counts=np.zeros((3, len(EieEvent)), dtype=np.int64),
        classes=np.zeros((2, len(EieClass)), dtype=np.int64),
        dense_macs=0,
    )
    assert (idle.time_us, idle.utilisation, idle.load_balance) == (0.0, 0.0, 1.0)
    assert (idle.effective_gops, idle.dense_equivalent_gops) == (0.0, 0.0)
    assert "0 cycles" in idle.summary()
    json.dumps(idle.to_dict(), allow_nan=False)


def test_summary_says_it_all_in_five_lines():
    assert result_of().summary().splitlines() == [
        "eie, fast engine: 100 cycles, 0.25 us at 400 MHz",
        "inputs: made up; does not fit: 3 passes; config 0123456789ab",
        "cycles by class: weight 20.0 %, padding 4.0 %, empty 15.0 %, waiting 55.0 %, drain 6.0 %",
        "utilisation 20.0 %, load balance 80.0 %",
        "effective 0.3 GOP/s (effectual MACs), dense-equivalent 4.8 GOP/s (dense MACs)",
    ]
    assert "; fits; " in result_of(memories=()).summary()


def test_to_dict_holds_everything_but_the_arrays_and_survives_json():
    result = result_of()
    figures = result.to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert figures["config"] == EieConfig(n_pe=2, clock_mhz=400).to_dict()
    assert figures["n_vector"] == 2
    assert figures["stats"] == result.stats
    assert figures["memories"][1] == {
        "memory": "b",
        "needed": 9,
        "available": 4,
        "unit": "entries",
        "passes": 3,
        "fits": False,
    }
    for name in ("unit", "engine", "config_hash", "inputs", "cycles", "scales", "dense_macs", "fits", "passes"):
        assert figures[name] == getattr(result, name)
    for name in ("time_us", "effectual_macs", "utilisation", "load_balance", "effective_gops", "dense_equivalent_gops"):
        assert figures[name] == getattr(result, name)
    assert not {"output", "counts", "timeline", "cycles_per_vector"} & set(figures)


def test_a_simulated_result_survives_json_even_where_the_design_was_given_in_numpy_numbers():
    config = EieConfig(n_pe=np.int64(3), queue_depth=np.uint8(2), clock_mhz=np.float32(500))
    matrix = EieMatrix.from_dense(np.eye(7), n_pe=3)
    result = simulate(matrix, np.ones((2, 7)), config)
    figures = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert figures["config"]["n_pe"] == 3
    assert figures["n_vector"] == 2
    assert figures["config_hash"] == config_hash("eie", EieConfig(n_pe=3, queue_depth=2, clock_mhz=500).to_dict())


def test_a_result_of_kernels_that_are_not_compiled_survives_json():
    program = """
import json, numpy as np, eie_sim as es
rng = np.random.default_rng(0)
weights = rng.normal(size=(40, 9)) * (rng.random((40, 9)) < 0.4)
matrix = es.EieMatrix.from_dense(weights, n_pe=3, bias=rng.normal(size=40), index_bits=2)
vectors = rng.normal(size=(2, 9))
config = es.EieConfig(n_pe=3, queue_depth=2, index_bits=2)
print(json.dumps([es.simulate(matrix, vectors, config, engine=e).to_dict() for e in ("fast", "reference")]))
print(json.dumps(es.run_network(es.load(weights), config).verified))
"""
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    results, verified = map(json.loads, done.stdout.splitlines())
    fast, reference = ({**result, "engine": None} for result in results)
    assert fast == reference
    assert verified


def test_the_hash_tells_designs_apart_and_nothing_else():
    matrix = EieMatrix.from_dense(np.eye(4), n_pe=2)
    base = EieConfig(n_pe=2)
    hashes = [simulate(matrix, np.ones(4), config).config_hash for config in (base, replace(base, queue_depth=9))]
    assert len(set(hashes)) == 2
    assert simulate(matrix, np.zeros(4), base, engine="reference").config_hash == hashes[0]
    assert all(len(one) == 12 and int(one, 16) >= 0 for one in hashes)


@given(st.lists(st.integers(0, 10) | st.integers(0, 10**15), max_size=8), st.integers(0, 4))
def test_percentages_add_to_exactly_100_and_are_off_by_less_than_one_last_digit(values, decimals):
    counts = {f"part{at}": value for at, value in enumerate(values)}
    shares = percentages(counts, decimals)
    assert list(shares) == list(counts)
    total = sum(counts.values())
    shown = [Decimal(str(share)) for share in shares.values()]
    assert sum(shown) == (100 if total else 0)
    for count, share in zip(counts.values(), shown, strict=True):
        exact = Fraction(100 * count, total) if total else Fraction(0)
        assert abs(Fraction(share) - exact) < Fraction(1, 10**decimals)


def test_percentages_give_what_is_left_to_the_largest_remainders():
    assert percentages({"a": 1, "b": 1, "c": 1}) == {"a": 33.4, "b": 33.3, "c": 33.3}
    assert percentages({"a": 6665, "b": 3335}, 0) == {"a": 67.0, "b": 33.0}
    assert percentages({"a": 0, "b": 0}) == {"a": 0.0, "b": 0.0}
    assert percentages({"a": 3, "b": 0}) == {"a": 100.0, "b": 0.0}
