"""The limit of a run on a chip of N:M tensor cores, by its busiest part, and other patterns and batches, by shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from eie_sim.core.nm_pattern import DENSE, Pattern, said
from eie_sim.core.result import SimResult
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.energy import counts
from eie_sim.units.nm.unit import simulate_gemms, simulate_steps
from eie_sim.units.unit import Sample, Timed, Try, spare_us

TRY_US, RUN_US, WEIGHT_US, MAC_US = 500.0, 1000.0, 0.03, 1e-4
"""Time of a product by shape; and of one that runs, of each of its weights, and of each of its MACs, on one core."""

FEW_VECTORS = 64
"""Vectors at once below which most of what a chip reads are weights."""

SAID = {
    "tensor": "tensor cores limit {what}",
    "smem": "shared memory limits {what}",
    "l2": "L2 ports limit {what}",
    "store": "stores of outputs limit {what}",
    "dram": "DRAM limits {what}",
    "latency": "latencies limit {what}, no part of the chip is busy for half of the time",
}
"""Sentence about the bound of most cycles."""


def limit(
    config: TensorCoreConfig, results: Sequence[SimResult], layers: Sequence[Sequence[Sample]]
) -> tuple[str, tuple[Try, ...]]:
    """Return the part that bounds most cycles, and a pattern or batch to try where they take a tenth of the time."""
    cycles: Counter[str] = Counter()
    for result in results:
        cycles[str(result.bound)] += result.cycles
    (bound, most), total = cycles.most_common(1)[0], max(1, cycles.total())
    tries = []
    kept = [Fraction(*config.runs_as(*_pattern(sample))) for samples in layers for sample in samples if sample.matrix]
    sparser = [one for one in config.patterns if kept and Fraction(*one) < min(kept)]
    if sparser:
        tries.append(Try(f"--pattern {said(sparser[0])}", config, pattern=sparser[0]))
    few = all(sample.n_vector < FEW_VECTORS and sample.steps is None for samples in layers for sample in samples)
    if bound in ("dram", "latency", "l2") and few:
        tries.append(Try("8 x the vectors at once", config, times=8))
    n_product = sum(map(len, layers))
    macs = sum(result.dense_macs for result in results)
    weights = sum(shape[0] * shape[1] for samples in layers for _, shape, *_ in samples)
    run_us = RUN_US * n_product + WEIGHT_US * weights + MAC_US * macs
    if (len(tries) + 1) * TRY_US * n_product > spare_us(run_us):
        tries = []
    what = "the run" if most == total else f"products that take {100 * most / total:.0f} % of the cycles"
    return SAID[bound].format(what=what), tuple(tries)


def timed(samples: Sequence[Sample], one: Try, config: TensorCoreConfig) -> Timed:
    """Cycles and counts of the products of a launch, by shape. config : that of their run"""
    first, pattern = samples[0], _pattern(samples[0])
    if first.matrix is not None and one.pattern is not None:
        pattern = one.pattern
    if first.steps is not None:
        result = simulate_steps(*first.shape, first.steps, one.config, pattern)
    else:
        shapes = [(*sample.shape, sample.n_vector * one.times) for sample in samples]
        result = simulate_gemms(shapes, one.config, n_keep=pattern[0], m_group=pattern[1])
    return Timed(cycles=result.cycles, counts=counts(result))


def _pattern(sample: Sample) -> Pattern:
    """Return the pattern of the weights; activations are dense."""
    return DENSE if sample.matrix is None else (sample.matrix.n_keep, sample.matrix.m_group)
