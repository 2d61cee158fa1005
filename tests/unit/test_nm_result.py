"""Every field of a result of the N:M unit, which engine makes it, and how large a product may be."""

import hashlib
import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from tiny_chip import TINY

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.units.nm import fast, reference, unit
from eie_sim.units.nm.words import NmEvent

CONFIG = replace(TINY, n_core=2)
WEIGHTS = np.array([[1, 0, 0, 2], [0, 3, 0, 0], [0, 0, 0, 4], [5, 6, 0, 0], [0, 0, 7, 8]], dtype=np.float16)

# Three tiles of 2 x 2 on two cores are two waves, the last with one idle core. A tile has one step. Its copy of 8 bytes
# of values, 1 of metadata and 16 of activations takes 7 cycles; then 3 of latency, 4 to read the same bytes (its one
# instruction takes 2), 1 until sums are complete, and 4 to store 8 bytes: 19.
TILE_CYCLES = 7 + 3 + 4 + 1 + 4
FIELDS = {
    "unit": "nm",
    "engine": "fast",
    "config": CONFIG,
    "cycles": 10 + 2 * TILE_CYCLES,
    "cycles_per_vector": np.array([10 + 2 * TILE_CYCLES], np.int64),
    "n_vector": 2,
    "n_unit": 1,
    "event_names": tuple(event.name.lower() for event in NmEvent),
    # DRAM: 2 values, 4 bits and 2 outputs a row, in whole bytes at the end; activations stay for the second wave
    "counts": np.array([[3 * 8, 3 * 8, 3 * 25, 3, 3 * 25, 3, 5 * 4 + 3 + 16 + 5 * 4, 3, 3 * 8, 3, 2, 1]], np.int64),
    "class_names": ("tensor", "waiting"),
    "classes": np.array([[2 * 2, 10 + 2 * TILE_CYCLES - 2 * 2]], np.int64),
    "useful_class": "tensor",
    "busy_classes": ("tensor",),
    "effectual_macs": 5 * 4 * 2 // 2,
    "dense_macs": 5 * 4 * 2,
    "inputs": "given, 2 vectors",
    "config_hash": hashlib.sha256(json.dumps(["nm", CONFIG.to_dict()], sort_keys=True).encode()).hexdigest()[:12],
    "scales": {},
    "output_scale": 1.0,
    "active_inputs": 6,
    "active_per_vector": np.array([4, 2]),
    "memories": (),
    "extra": {"busy": {"tensor": 2 * 2, "smem": 2 * 4, "l2": 2 * 7, "store": 2 * 4, "dram": 0}},
    "named": {
        "tile": [2, 2],
        "runs_as": "2:4",
        "n_keep": 2,
        "m_group": 4,
        "bound": "latency",
        "held_against": "not measured",
    },
    "timeline": None,
}


def plain(value):
    """A field with its types: of arrays their dtype, of numbers whether they are integers."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.tolist()
    return json.dumps(value, default=lambda config: config.to_dict())


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_every_field_of_a_product(engine):
    batch = np.array([[1, 2, 3, 4], [0, -1, 1, 0]], dtype=np.float16)
    result = es.simulate(unit.compress(WEIGHTS, CONFIG), batch, CONFIG, engine=engine)
    found = vars(result)
    np.testing.assert_array_equal(found.pop("output"), batch.astype(np.float32) @ WEIGHTS.T.astype(np.float32))
    expected = {**FIELDS, "engine": engine}
    assert {name: plain(value) for name, value in found.items()} == {
        name: plain(value) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("activations", "inputs", "said", "shape"),
    [
        ([1, 0, 0, 0], None, "given, 1 vector", (5,)),
        ([[1, 0, 0, 0]], None, "given, 1 vector", (1, 5)),
        ([[1, 0, 0, 0]] * 2, None, "given, 2 vectors", (2, 5)),
        ([1, 0, 0, 0], "images 3", "images 3", (5,)),
    ],
)
def test_inputs_are_said_and_outputs_have_their_shape(activations, inputs, said, shape):
    result = unit.simulate(unit.compress(WEIGHTS, CONFIG), activations, CONFIG, inputs=inputs)
    assert (result.inputs, result.output.shape) == (said, shape)


def test_a_product_timed_by_shape_says_so_and_has_no_output():
    result = es.simulate_gemm(5, 4, 2, CONFIG)
    assert (result.inputs, result.output, result.n_vector) == ("none, 5 x 4 x 2 timed by shape", None, 2)
    assert result.counts.tolist() == FIELDS["counts"].tolist()


@pytest.mark.parametrize(("elem_bytes", "element"), [(1, "int8"), (2, "float16")])
def test_without_a_design_it_is_the_default_with_elements_of_the_matrix(elem_bytes, element):
    matrix = es.NmMatrix.from_dense(WEIGHTS.astype(int), element=element)
    assert unit.simulate(matrix, [1, 0, 0, 0]).config == es.TensorCoreConfig(elem_bytes=elem_bytes)


@pytest.mark.parametrize(("name", "module"), [("fast", fast), ("reference", reference)])
def test_the_engine_that_is_named_is_the_one_that_runs(name, module, monkeypatch):
    ran = []

    def run(*arguments):
        ran.append(arguments)
        return own(*arguments)

    own = module.run
    monkeypatch.setattr(module, "run", run)
    es.simulate_gemm(5, 4, 2, CONFIG, engine=name)
    assert ran == [([(5, 4, 2)], (2, 4), (2, 2), CONFIG, False)]


# How large: int64 holds what is less than 2**63


def store_time(cycles):
    """A design whose one tile of 8 bytes of outputs takes so many cycles to store."""
    return es.TensorCoreConfig(tiles=((2, 2),), wm=2, wn=2, store_bytes_per_cycle=Fraction(8, cycles))


def test_cycles_fit_63_bits():
    others = es.simulate_gemm(2, 4, 2, store_time(1)).cycles - 1
    longest = 2**63 - 1 - others
    result = es.simulate_gemm(2, 4, 2, store_time(longest))
    assert (result.cycles, result.cycles_per_vector.tolist()) == (2**63 - 1, [2**63 - 1])
    with pytest.raises(InputError) as caught:
        es.simulate_gemm(2, 4, 2, store_time(longest + 1))
    said = "m x k x n=2 x 4 x 2: must be smaller, its counts exceed 9223372036854775807"
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("m", "k", "n", "pattern"),
    [
        (1, 2**31, 2**31, (1, 1)),  # the full tiles of 16 x 16 are 2**66 MACs in 2**60 cycles
        (2**21, 2**21, 2**21, (1, 8)),  # 2**60 MACs are executed, but a dense unit would need 2**63
    ],
)
def test_counts_and_dense_macs_fit_63_bits(m, k, n, pattern):
    config = es.TensorCoreConfig(tiles=((16, 16),), patterns=((1, 8),))
    with pytest.raises(InputError) as caught:
        es.simulate_gemm(m, k, n, config, n_keep=pattern[0], m_group=pattern[1])
    assert str(caught.value) == f"m x k x n={m} x {k} x {n}: must be smaller, its counts exceed {2**63 - 1}"
    half = es.simulate_gemm(m, k // 2**4, n, config, n_keep=pattern[0], m_group=pattern[1])
    assert half.dense_macs == m * n * k // 2**4
