"""Products on the N:M unit: the choice of a tile, `simulate_gemm`, `simulate`, and times measured on a GPU."""

import csv
import sys
import types
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
from tiny_chip import DENSE, TILE, TINY, timed

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.units.nm import fast, unit
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.words import NmPart, bound_of

# The choice of a tile


def test_the_tile_of_fewest_cycles_is_chosen_the_first_on_a_tie():
    config = replace(TINY, tiles=((2, 2), (4, 4), (2, 4)), n_core=4)
    every = {tile: fast.run([(16, 8, 16)], DENSE, tile, config).cycles for tile in config.tiles}
    timing, tile, pattern = timed(16, 8, 16, 1, 1, config)
    assert (timing.cycles, tile, pattern) == (min(every.values()), min(every, key=every.get), DENSE)
    assert timed(16, 8, 16, 1, 1, replace(config, tiles=((2, 2), (2, 2))))[1] == (2, 2)
    # square tiles mirrored, a square product: equal cycles
    mirrored = replace(TINY, tiles=((2, 4), (4, 2)))
    assert (
        fast.run([(8, 8, 8)], DENSE, (2, 4), mirrored).cycles == fast.run([(8, 8, 8)], DENSE, (4, 2), mirrored).cycles
    )
    assert timed(8, 8, 8, 1, 1, mirrored)[1] == (2, 4)


def test_a_pattern_that_is_not_listed_runs_as_a_listed_one():
    assert timed(8, 8, 8, 1, 4, TINY)[2] == (2, 4)
    assert timed(8, 8, 8, 1, 4, TINY)[0] == fast.run([(8, 8, 8)], (2, 4), TILE, TINY)
    assert timed(9, 9, 8, 3, 4, TINY)[2] == DENSE


# simulate_gemm


def test_simulate_gemm_says_what_it_found():
    config = TensorCoreConfig.preset("rtx3090")
    result = es.simulate_gemm(1024, 4096, 4096, config)
    timing, tile, _ = timed(1024, 4096, 4096, 2, 4, config)
    assert result.cycles == timing.cycles == result.cycles_per_vector.sum()
    assert result.output is None
    assert result.timeline is None
    assert result.counts.dtype == np.int64
    assert result.stats["events"]["tiles"] == 128
    assert result.stats["busy"]["tensor"] == timing.busy[NmPart.TENSOR]
    assert result.stats["classes"]["tensor"] + result.stats["classes"]["waiting"] == result.cycles
    named = {"tile": list(tile), "runs_as": "2:4", "n_keep": 2, "m_group": 4, "bound": "tensor"}
    assert result.named == named | {"held_against": "34 products measured elsewhere"}
    assert result.bound == bound_of(timing.cycles, timing.busy)
    assert result.dense_macs == 2 * result.effectual_macs == 1024 * 4096 * 4096
    assert result.to_dict()["tile"] == [256, 128]
    assert "1024 x 4096 x 4096" in result.summary()


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_a_launch_of_several_products(engine):
    """Two heads take the time of one on a chip with cores for both."""
    config = replace(TINY, n_core=4, dram_bytes_per_cycle=100)
    one = es.simulate_gemm(4, 8, 2, config, engine=engine)
    two = es.simulate_gemms([(4, 8, 2)] * 2, config, engine=engine)
    ragged = es.simulate_gemms(((4, 8, 2), (4, 8, 0), (2, 16, 1)), config, engine=engine)
    assert one.cycles == two.cycles < ragged.cycles == es.simulate_gemm(2, 16, 1, config, engine=engine).cycles
    for name in ("macs", "tiles", "dram_bytes", "l2_bytes"):
        assert two.stats["events"][name] == 2 * one.stats["events"][name]
    assert (two.dense_macs, two.effectual_macs, two.n_vector) == (2 * one.dense_macs, 2 * one.effectual_macs, 2)
    assert (ragged.stats["events"]["tiles"], ragged.dense_macs, ragged.n_vector) == (3, 4 * 8 * 2 + 2 * 16, 2)
    assert (one.inputs, ragged.inputs) == (
        "none, 4 x 8 x 2 timed by shape",
        "none, 4 x 8 x 2 and 2 more timed by shape",
    )


def test_kept_values_are_counted_of_the_pattern_asked_for():
    result = es.simulate_gemm(8, 8, 8, TINY, n_keep=1, m_group=4)
    assert (result.effectual_macs, result.stats["events"]["macs"]) == (128, 256)
    assert (result.named["runs_as"], result.named["n_keep"]) == ("2:4", 1)
    dense = es.simulate_gemm(8, 7, 8, TINY, n_keep=4, m_group=4)
    assert (dense.named["runs_as"], dense.effectual_macs, dense.dense_macs) == ("dense", 448, 448)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_inputs_that_m_does_not_divide_are_padded_with_zeros(engine):
    ragged, whole = (es.simulate_gemm(8, k, 8, TINY, n_keep=1, engine=engine) for k in (11, 12))
    assert (ragged.cycles, ragged.stats["events"]) == (whole.cycles, whole.stats["events"])
    assert (ragged.dense_macs, ragged.effectual_macs) == (8 * 8 * 11, 8 * 8 * 3)
    assert ragged.inputs == "none, 8 x 11 x 8 timed by shape; k padded with zeros to 12"
    assert es.simulate_gemm(8, 9, 8, TINY, n_keep=2, engine=engine).effectual_macs == 8 * 8 * (2 * 2 + 1)
    dense = es.simulate_gemm(8, 11, 8, TINY, n_keep=1, m_group=1, engine=engine)
    assert "padded" not in dense.inputs


def test_numpy_integers_are_integers():
    large = np.int32(2**20)
    assert es.simulate_gemm(large, large, large, TINY).cycles == es.simulate_gemm(2**20, 2**20, 2**20, TINY).cycles


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: es.simulate_gemm(0, 8, 8, TINY), "m=0: must be an integer in 1..2147483648"),
        (lambda: es.simulate_gemm(8, 8, 2**31 + 1, TINY), "n=2147483649: must be an integer in 1..2147483648"),
        (lambda: es.simulate_gemm(8, 8.0, 8, TINY), "k=8.0: must be an integer in 1..2147483648"),
        (
            lambda: es.simulate_gemm(8, 8, 8, TINY, n_keep=5),
            "n_keep=5: must be at most m_group=4; N of N:M is the number kept",
        ),
        (lambda: es.simulate_gemm(8, 8, 8, TINY, m_group=0), "m_group=0: must be an integer in 1..256"),
        (lambda: es.simulate_gemm(8, 8, 8, None), "config=NoneType: must be TensorCoreConfig"),
        (lambda: es.simulate_gemm(8, 8, 8, TINY, engine="fats"), "engine=fats: unknown; did you mean fast?"),
        (
            lambda: es.simulate_gemm(2**31, 2**31, 2**31, TINY),
            "m x k x n=2147483648 x 2147483648 x 2147483648: must be smaller, its counts exceed 9223372036854775807",
        ),
        (
            lambda: es.simulate_gemms([(2**31, 2**31, 2**31), (8, 8, 8)], TINY),
            "m x k x n=2147483648 x 2147483648 x 2147483648 and 1 more: must be smaller, its counts exceed "
            "9223372036854775807",
        ),
        (lambda: es.simulate_gemm(8, 8, 0, TINY), "n=0: must be an integer in 1..2147483648"),
        (lambda: es.simulate_gemms([(8, 8, -1)], TINY), "n=-1: must be an integer in 0..2147483648"),
        (
            lambda: es.simulate_gemms([(8, 8, 8), (8, 8)], TINY),
            "shapes=[(8, 8, 8), (8, 8)]: must be a list of (m, k, n)",
        ),
        (lambda: es.simulate_gemms(8, TINY), "shapes=8: must be a list of (m, k, n)"),
        (lambda: es.simulate_gemms([], TINY), "shapes=[]: must be at least one product with columns"),
        (lambda: es.simulate_gemms([(8, 8, 0)], TINY), "shapes=[(8, 8, 0)]: must be at least one product with columns"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(call, said):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == said


# simulate and compress, with stand-ins for the matrix and its arithmetic


class Matrix(NamedTuple):
    n_out: int
    n_in: int
    n_keep: int
    m_group: int
    element: str
    dense: np.ndarray

    @classmethod
    def from_dense(cls, dense, *, n_keep, m_group, element):
        return cls(*dense.shape, n_keep, m_group, element, dense)


@pytest.fixture
def stand_ins(monkeypatch):
    def module(name, **members):
        made = types.ModuleType(f"eie_sim.units.nm.{name}")
        vars(made).update(members)
        monkeypatch.setitem(sys.modules, made.__name__, made)
        monkeypatch.setattr(sys.modules["eie_sim.units.nm"], name, made, raising=False)

    module("matrix", NmMatrix=Matrix, as_float16=lambda field, values: values, as_int8=None)
    module("functional", multiply=lambda matrix, b: matrix.dense @ b)


WEIGHTS = np.array([[1, 0, 0, 2], [0, 3, 0, 0]], dtype=np.float32)


@pytest.mark.usefixtures("stand_ins")
def test_a_batch_is_one_product_and_its_columns_are_the_vectors():
    matrix = unit.compress(WEIGHTS, TINY)
    assert (matrix.n_keep, matrix.m_group, matrix.element) == (2, 4, "float16")
    batch = np.arange(12, dtype=np.float32).reshape(3, 4)
    result = unit.simulate(matrix, batch, TINY)
    np.testing.assert_array_equal(result.output, batch @ WEIGHTS.T)
    assert result.cycles == es.simulate_gemm(2, 4, 3, TINY).cycles
    assert (result.inputs, unit.simulate(matrix, batch, TINY, inputs="said").inputs) == ("given, 3 vectors", "said")
    single = unit.simulate(matrix, batch[0])
    assert single.output.shape == (2,)
    assert single.config == TensorCoreConfig()


@pytest.mark.usefixtures("stand_ins")
def test_weights_are_packed_as_the_sparsest_listed_pattern_they_satisfy():
    def packed(weights, *listed):
        matrix = unit.compress(weights, replace(TINY, patterns=listed, elem_bytes=1))
        return matrix.n_keep, matrix.m_group, matrix.element

    assert packed(WEIGHTS, (1, 2), (2, 4), (1, 4)) == (1, 2, "int8")
    assert packed(WEIGHTS[1:], (1, 2), (2, 4), (1, 4)) == (1, 4, "int8")
    assert packed(np.ones((2, 4)), (1, 2), (2, 4)) == (1, 1, "int8")
    assert packed(np.zeros((2, 6)), (2, 4)) == (2, 4, "int8")
    with pytest.raises(InputError, match="bias=given: must be added to the outputs after the product"):
        unit.compress(WEIGHTS, TINY, bias=np.zeros(2))
    with pytest.raises(InputError, match="weights=shape \\(4,\\): must be \\(n_out, n_in\\)"):
        unit.compress(np.zeros(4), TINY)


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"activations": np.zeros(5)}, r"activations=shape \(5,\): must be \(4,\) or \(n_vector, 4\)"),
        ({"activations": np.zeros((0, 4))}, r"activations=shape \(0, 4\): must be"),
        ({"activations": 1.0}, r"activations=shape \(\): must be"),
        ({"config": replace(TINY, elem_bytes=1)}, "config.elem_bytes=1: is int8, but the matrix's element is float16"),
        ({"timeline": True}, "timeline=True: must be False"),
        ({"engine": "slow"}, "engine=slow: unknown"),
    ],
)
def test_what_does_not_fit_the_matrix_is_refused(changes, said):
    given = {"matrix": unit.compress(WEIGHTS, TINY), "activations": np.zeros(4), "config": TINY, **changes}
    with pytest.raises(InputError, match=said):
        unit.simulate(**given)


# Measured times: mean of 100 runs on one GPU, fp16 with fp32 sums; rows of the VENOM artifact with M=1024, N=4096

MEASURED = """k,sparse_ms,dense_ms
768,0.09025,0.157503
1536,0.161153,0.293444
3072,0.303003,0.510385
6144,0.586218,1.00438
12288,1.15283,2.28813
"""


def test_the_rtx3090_is_near_measured_times():
    config = TensorCoreConfig.preset("rtx3090")
    for row in csv.DictReader(MEASURED.splitlines()):
        sparse, dense = (
            es.simulate_gemm(1024, int(row["k"]), 4096, config, n_keep=kept, m_group=group).time_us / 1e3
            for kept, group in ((2, 4), DENSE)
        )
        assert sparse == pytest.approx(float(row["sparse_ms"]), rel=0.046)
        assert dense == pytest.approx(float(row["dense_ms"]), rel=0.15)


def test_a_vector_takes_what_dram_allows():
    """4096 x 4096 weights of 2 bytes at 936 GB/s are 35.8 us; with tiles of 256 x 128 alone it took 387 us."""
    result = es.simulate_gemm(4096, 4096, 1, TensorCoreConfig.preset("rtx3090"), n_keep=1, m_group=1)
    assert result.time_us == pytest.approx(39.5, abs=0.1)
    assert (result.named["tile"], result.bound) == ([64, 16], "dram")
