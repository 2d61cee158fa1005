import json

import numpy as np
import pytest

from eie_sim.network import data_folder, load
from eie_sim.prune import pruned_training, score
from eie_sim.prune.accuracy_table import REGULARISERS, TABLE_SCHEDULES, accuracy_table
from eie_sim.prune.pattern import balanced, element, neuron, nm
from eie_sim.prune.pruned_training import each_layer, hidden_neurons, prune
from eie_sim.prune.train import Mlp, Samples, TrainConfig, count_correct, fit, initial
from eie_sim.units.eie.config import EieConfig


def keeps(pattern):
    """The mask of a pattern by magnitude, as a function of weights and density."""
    return lambda weights, density: pattern.prune(score.l1(weights), density).mask


def of_sixteen(weights, density):
    return nm(round(16 * density), 16).prune(score.l1(weights)).mask


PATTERNS = {
    "element": each_layer(keeps(element())),
    "N:16": each_layer(of_sixteen),
    "neuron": hidden_neurons(keeps(neuron())),
    "balanced": each_layer(keeps(balanced(EieConfig(n_pe=8)))),
}


def stripes(n, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    points = rng.normal(size=(n, 16)) * 0.5
    points[np.arange(n), labels] += 2
    return Samples(inputs=points.astype(np.float32), labels=labels)


TRAINING, HELD_BACK = stripes(200, 0), stripes(100, 1)
DENSE = fit(initial((16, 16, 4), np.random.default_rng(0)), TRAINING, TrainConfig(epochs=10, learning_rate=0.01))
QUICK = {"L1": TrainConfig(epochs=6, l1=1e-4), "L2": TrainConfig(epochs=6, l2=1e-4)}


def test_every_combination_once_in_order():
    said = []
    records = accuracy_table(
        DENSE, TRAINING, HELD_BACK, patterns=PATTERNS, densities=(0.5, 0.125), regularisers=QUICK, progress=said.append
    )
    names = [(r.pattern, r.asked, r.schedule, r.regulariser) for r in records]
    assert names == [
        (pattern, density, schedule, regulariser)
        for pattern in PATTERNS
        for density in (0.5, 0.125)
        for schedule in ("one-shot", "iterative")
        for regulariser in ("L1", "L2")
    ]
    assert len(said) == len(records) == 32
    assert said[0] == "1 of 32: element, density 0.5, one-shot, L1"
    assert said[-1] == "32 of 32: balanced, density 0.125, iterative, L2"


def test_a_record_counts_what_is_there():
    (record,) = accuracy_table(
        DENSE,
        TRAINING,
        HELD_BACK,
        patterns={"element": each_layer(keeps(element()))},
        densities=[0.25],
        schedules=["one-shot"],
        regularisers={"none": TrainConfig(epochs=0)},
    )
    cut, _ = prune(DENSE, density=0.25, rule=each_layer(keeps(element())))
    assert (record.kept, record.total) == ((64, 16), (256, 64))
    assert record.correct == record.correct_untrained == count_correct(cut, HELD_BACK)  # no epoch, no training
    assert record.density == 0.25
    as_json = json.loads(json.dumps(record.to_dict()))
    assert as_json["kept"] == 80
    assert as_json["layers"] == [{"kept": 64, "total": 256}, {"kept": 16, "total": 64}]
    assert as_json["accuracy"] == as_json["correct"] / 100 == record.accuracy


def test_schedules_share_the_same_training(monkeypatch):
    seen = []

    def watched(network, samples, config, **others):
        seen.append(config.epochs)
        return network

    monkeypatch.setattr(pruned_training, "fit", watched)
    table = {"patterns": {"e": each_layer(keeps(element()))}, "densities": [0.5]}
    accuracy_table(DENSE, TRAINING, HELD_BACK, **table, regularisers={"x": TrainConfig(epochs=20)})
    assert seen == [20, 4, 4, 4, 4, 4]
    seen.clear()
    accuracy_table(DENSE, TRAINING, HELD_BACK, **table, regularisers={"x": TrainConfig(epochs=3)})
    assert seen == [3, 1, 1, 1, 1, 1]


def test_the_table_is_the_same_each_time():
    table = {"patterns": PATTERNS, "densities": [0.25], "regularisers": QUICK}
    assert accuracy_table(DENSE, TRAINING, HELD_BACK, **table) == accuracy_table(DENSE, TRAINING, HELD_BACK, **table)


@pytest.mark.slow
def test_accuracy_against_density_of_the_digits_network():
    network = load("digits-mlp")
    dense = Mlp(
        tuple(layer.weights for layer in network.dense_layers), tuple(layer.bias for layer in network.dense_layers)
    )
    with np.load(data_folder("models") / "digits-mlp" / "digits.npz") as data:
        held, images, labels = data["held_back"], data["images"] / np.float32(16), data["labels"].astype(int)
    training = Samples(inputs=images[~held], labels=labels[~held])
    held_back = Samples(inputs=network.test_inputs, labels=network.test_labels)
    records = accuracy_table(dense, training, held_back, patterns=PATTERNS, densities=(0.5, 0.25, 0.125))
    assert len(records) == len(PATTERNS) * 3 * len(TABLE_SCHEDULES) * len(REGULARISERS)
    for record in records:
        assert record.accuracy >= {0.5: 0.97, 0.25: 0.97, 0.125: 0.95}[record.asked], record
        assert record.density <= record.asked + 0.001
        assert record.correct >= record.correct_untrained - 4
