"""Run with: pytest tests/benchmarks -m slow --benchmark-enable"""

import time
from timeit import repeat

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core.steps import Steps
from eie_sim.units import unit_of

pytestmark = pytest.mark.slow
SIDE, N_STEP = 400, 4000
DESIGNS = [es.EieConfig(), es.TensorCoreConfig.preset("rtx3090")]


@pytest.mark.parametrize("density", [0.1, 0.3])
@pytest.mark.parametrize("config", DESIGNS, ids=["eie", "rtx3090"])
def test_steps_of_a_sequence(note, config, density):
    """Each step alone, as the next one needs its outputs, then the timing of all: states of tanh, none of them 0."""
    unit, rng = unit_of(config), np.random.default_rng(0)
    weights = rng.standard_normal((SIDE, SIDE), dtype=np.float32) * (rng.random((SIDE, SIDE)) < density)
    states = np.tanh(rng.standard_normal((N_STEP, SIDE), dtype=np.float32))
    design = unit.for_inputs(config, states)
    matrix = unit.opened(unit.compress(weights, design), states, design)

    def run():
        outputs = [unit.output_of(matrix, unit.words_of(matrix, state), design) for state in states[:, None]]
        steps = Steps((1,) * N_STEP, rows=SIDE)
        return unit.simulate(matrix, states, design, outputs=np.concatenate(outputs), steps=steps)

    seconds = min(repeat(run, timer=time.process_time, number=1, repeat=5))
    rate = N_STEP / seconds
    note(f"{unit.title}, {SIDE} x {SIDE}, density {density:g}: {rate:,.0f} steps a second, aim 20,000")
    assert rate > 15_000
