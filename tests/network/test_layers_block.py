"""The block of LLaMA-2-7B: shapes, labels, and that only what is asked for is drawn."""

import json
import subprocess
import sys

import numpy as np
import pytest

from eie_sim import InputError
from eie_sim.network import load, load_preset, preset_layers, presets, synthetic
from eie_sim.prune import magnitude

BLOCK = "llama-2-7b-block"
SHAPES = {
    "q_proj": (4096, 4096),
    "k_proj": (4096, 4096),
    "v_proj": (4096, 4096),
    "o_proj": (4096, 4096),
    "gate_proj": (11008, 4096),
    "up_proj": (11008, 4096),
    "down_proj": (4096, 11008),
}


@pytest.fixture(scope="module")
def q_proj():
    return load(BLOCK, layer="q_proj")


@pytest.fixture
def drawn(monkeypatch):
    """How many weights are drawn, by what for; they are all zero, and take no memory."""
    sizes = {}

    def counted(name, *, n_out, n_in, seed):
        sizes[name] = n_out * n_in
        return np.broadcast_to(np.float32(0), (n_out, n_in))

    monkeypatch.setattr(synthetic, "dense_weights", counted)
    return sizes


def test_a_layer_has_the_published_shape_and_says_what_it_is(q_proj):
    (layer,) = q_proj.layers
    assert q_proj.name == f"{BLOCK}/q_proj"
    assert layer.weights.shape == SHAPES["q_proj"]
    assert layer.weights.dtype == layer.activations.dtype == np.float32
    assert layer.bias is None
    assert layer.synthetic
    assert q_proj.synthetic
    assert not q_proj.chained
    assert q_proj.source.startswith("synthetic, shapes of one block of LLaMA-2-7B: Touvron et al. 2023")
    assert layer.weights_source == layer.activations_source == "synthetic, density 1, seed 0"


def test_weights_are_gaussian_and_inputs_positive(q_proj):
    (layer,) = q_proj.layers
    scaled = layer.weights[:512].astype(np.float64) * np.sqrt(4096)
    assert abs(scaled.mean()) < 5 / np.sqrt(scaled.size)
    assert abs(scaled.std() - 1) < 5 / np.sqrt(2 * scaled.size)
    assert abs(np.mean(np.abs(scaled) < 1) - 0.682689) < 5 * 0.4654 / np.sqrt(scaled.size)
    assert np.count_nonzero(layer.weights == 0) < 50
    assert layer.activations.shape == (1, 4096)
    assert layer.activations.min() >= synthetic.SMALLEST_ACTIVATION


def test_density_prunes_by_magnitude_exactly(q_proj):
    dense, pruned = q_proj.layers[0].weights, load(q_proj, density=0.1).layers[0]
    assert np.count_nonzero(pruned.weights) == round(4096 * 4096 * 0.1)
    np.testing.assert_array_equal(pruned.weights != 0, magnitude(dense, density=0.1).mask)
    assert pruned.weights_source == "synthetic, density 1, seed 0; pruned by magnitude to density 0.1"


def test_seed_and_layer_make_the_numbers(q_proj):
    def draw(name, seed):
        return synthetic.dense_weights(f"{BLOCK}/{name}", n_out=4096, n_in=4096, seed=seed)[:8]

    ours = q_proj.layers[0].weights[:8]
    np.testing.assert_array_equal(ours, draw("q_proj", 0))
    assert not np.array_equal(ours, draw("q_proj", 1))
    assert not np.array_equal(ours, draw("k_proj", 0))


def test_a_draw_does_not_depend_on_the_block_size(monkeypatch):
    whole = synthetic.dense_weights("a", n_out=70, n_in=90)
    monkeypatch.setattr(synthetic, "BLOCK", 61)
    np.testing.assert_array_equal(whole, synthetic.dense_weights("a", n_out=70, n_in=90))


@pytest.mark.parametrize("name", SHAPES)
def test_only_the_layer_asked_for_is_drawn(drawn, name):
    network = load(BLOCK.upper(), layer=name, seed=3)
    n_out, n_in = SHAPES[name]
    assert drawn == {f"{BLOCK}/{name}": n_out * n_in}
    assert [layer.name for layer in network.layers] == [name]
    assert network.layers[0].weights.shape == (n_out, n_in)
    assert network.seed == 3


def test_without_a_layer_all_are_drawn(drawn):
    network = load_preset(BLOCK)
    assert {layer.name: layer.weights.shape for layer in network.layers} == SHAPES
    assert network.name == BLOCK
    assert sum(drawn.values()) == 202_375_168


def test_lists_draw_nothing(monkeypatch):
    for function in ("weights", "dense_weights", "activations"):
        monkeypatch.delattr(synthetic, function)
    record = presets()[-1]
    assert (record.name, record.kind) == (BLOCK, "synthetic")
    assert dict(zip(record.layers, record.shapes, strict=True)) == SHAPES
    assert record.weight_density == record.activation_density == (1.0,) * 7
    assert "synthetic" in record.source
    assert "Touvron" in record.source
    assert {layer.name: (layer.n_out, layer.n_in) for layer in preset_layers(BLOCK)} == SHAPES
    assert preset_layers("alex-7") == (("alex-7", 4096, 4096),)


def test_layers_of_a_real_preset():
    assert preset_layers("Digits-MLP") == (("fc1", 256, 64), ("fc2", 128, 256), ("fc3", 10, 128))


def test_a_misspelt_layer_is_refused_before_anything_is_drawn(drawn):
    with pytest.raises(InputError, match="layer=q_prj: unknown; did you mean q_proj"):
        load(BLOCK, layer="q_prj")
    with pytest.raises(InputError, match="layer=int: must be str"):
        load(BLOCK, layer=3)
    assert drawn == {}


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: preset_layers("llama-2-7b"), "workload=llama-2-7b: unknown; did you mean llama-2-7b-block"),
        (lambda: preset_layers(7), "workload=int: must be str"),
    ],
)
def test_bad_input_is_one_line(call, said):
    with pytest.raises(InputError, match=said):
        call()


WHOLE = """
import json, sys, time
from eie_sim import EieConfig
from eie_sim.engine import simulate
from eie_sim.prune import pattern, score
from eie_sim.pipeline import run
from eie_sim.units.nm.functional import wrong_outputs
from eie_sim.units.nm.matrix import NmMatrix
from eie_sim.network import load, preset_layers, pruned

start, config, weights, wrong = time.perf_counter(), EieConfig(), 0, 0
for name, *_ in preset_layers("llama-2-7b-block"):
    network = load("llama-2-7b-block", layer=name)
    (dense,) = network.layers
    (done,) = run(pruned(network, 0.1), config).layers
    weights, wrong = weights + done.verification.weights, wrong + (not done.verification.ok)
    del done
    nm = NmMatrix.from_dense(dense.weights * pattern.nm(2, 4).prune(score.l1(dense.weights)).mask)
    wrong += wrong_outputs(nm, dense.activations.T, simulate(nm, dense.activations).output.T)
    del network, dense, nm
status = open("/proc/self/status").read().split()  # ru_maxrss would start from the parent's
peak_kb = int(status[status.index("VmHWM:") + 1])
print(json.dumps([weights, int(wrong), time.perf_counter() - start, peak_kb]))
"""


@pytest.mark.slow
def test_the_whole_block_on_both_units_layer_by_layer():
    done = subprocess.run([sys.executable, "-c", WHOLE], capture_output=True, text=True, check=True)
    weights, wrong, seconds, peak_kb = json.loads(done.stdout)
    assert weights == 202_375_168
    assert wrong == 0
    assert seconds < 60
    assert peak_kb < 1.5e6  # far below the 4 GB it may take, so that two can share the work
