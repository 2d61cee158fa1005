"""The limit of a run on EIE, by its PE-cycles, and other designs that are timed on counts of their entries alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from eie_sim.core.result import SimResult
from eie_sim.units.eie import fast
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.eie.counts import EieCounts, counted
from eie_sim.units.eie.memories import memories
from eie_sim.units.eie.words import EieClass, EieEvent
from eie_sim.units.unit import Sample, Timed, Try, spare_us

SAID = {
    EieClass.WEIGHT: "{share} of PE-cycles multiply weights",
    EieClass.PADDING: "{share} of PE-cycles skip padding entries",
    EieClass.EMPTY: "{share} of PE-cycles take inputs that have no weights on the PE",
    EieClass.WAITING: "{share} of PE-cycles wait for inputs or for the busiest PE",
    EieClass.DRAIN: "{share} of PE-cycles drain the pipeline, as vectors are short",
}
"""Sentence about the class that most PE-cycles are in."""


def limit(
    config: EieConfig, results: Sequence[SimResult], layers: Sequence[Sequence[Sample]]
) -> tuple[str, tuple[Try, ...]]:
    """Return what most PE-cycles go into, and designs with less of it: as many as take a tenth of the run's time."""
    classes = np.sum([one.classes.sum(axis=0) for one in results], axis=0)
    most = list(EieClass)[int(classes.argmax())]
    said = SAID[most].format(share=f"{100 * classes[most] / max(1, classes.sum()):.0f} %")
    more = most is EieClass.WEIGHT
    pes = [4 * config.n_pe, 2 * config.n_pe] if more else [config.n_pe // 4, config.n_pe // 16]
    tries = [Try(f"--n-pe {n_pe}", replace(config, n_pe=n_pe)) for n_pe in pes if 0 < n_pe <= 2**14]
    if most is EieClass.WAITING:
        depth = min(4 * config.queue_depth, 2**20)
        tries.insert(0, Try(f"--queue-depth {depth}", replace(config, queue_depth=depth)))
    bits = min(config.index_bits + 2, 8, config.spmat_width_bits - config.weight_bits)
    if most is EieClass.PADDING and bits > config.index_bits:
        tries.insert(0, Try(f"--index-bits {bits}", replace(config, index_bits=bits)))
    left = spare_us(_run_us(results, layers))
    afforded = []
    for one in tries:
        left -= (cost := _try_us(one.config, layers))
        if left > 0:
            afforded.append(one)
        elif more:  # fewer of them may do
            left += cost
    return said, tuple(afforded[:1] if more else afforded)


def timed(samples: Sequence[Sample], one: Try, config: EieConfig) -> Timed:
    """Cycles and events of a product's sample of vectors on another design. config : that of its run"""
    (sample,) = samples
    assert sample.words is not None
    design = replace(one.config, active=config.active)
    counts = _counts(sample, design)
    words = np.ascontiguousarray(np.atleast_2d(sample.words))
    found = fast.totals(counts, words, design)
    events = fast.counts_of(found, counts.n_pe, counts.n_out).sum(axis=0).tolist()
    return Timed(
        cycles=int(found.cycles.sum()),
        counts=dict(zip(EieEvent.names(), events, strict=True)),
        fits=all(memory.fits for memory in memories(counts, design)),
    )


def _counts(sample: Sample, design: EieConfig) -> EieCounts:
    matrix = sample.matrix
    if (design.n_pe, design.index_bits) == (matrix.n_pe, matrix.index_bits):
        own: EieCounts = matrix.counts
        return own
    return counted(
        matrix.weights.starts,
        matrix.weights.rows,
        sample.shape,
        n_pe=design.n_pe,
        weight_bits=design.weight_bits,
        index_bits=design.index_bits,
        has_bias=matrix.has_bias,
    )


def _run_us(results: Sequence[SimResult], layers: Sequence[Sequence[Sample]]) -> float:
    """Time of the run, by what was measured of one core: weights read and clustered, vectors run and checked."""
    total = 0.0
    for result, (sample,) in zip(results, layers, strict=True):
        n_out, n_in = sample.shape
        kept, steps = sample.matrix.n_weight, (result.active_inputs or 0) * result.n_unit
        total += 8000 + 0.005 * n_out * n_in + 0.06 * kept + 10 * sample.n_vector + 0.0005 * steps
    return total


def _try_us(config: EieConfig, layers: Sequence[Sequence[Sample]]) -> float:
    """Time of one design, likewise: weights counted by column and PE, and a sample of vectors run."""
    return math.fsum(
        150 + 0.004 * sample.matrix.n_weight + (0.015 + 0.0005 * len(sample.words)) * sample.shape[1] * config.n_pe
        for (sample,) in layers
        if sample.words is not None
    )
