"""Whatever is given: a result, or one line that names field, value and rule. Warnings are errors here."""

from dataclasses import replace

import numpy as np
import pytest

from eie_sim.core.errors import InputError
from eie_sim.prune import globally, locally, pattern, schedule, score
from eie_sim.prune.pruned_training import hidden_neurons, prune
from eie_sim.prune.removal import BatchNorm, LayerArrays, NetworkArrays, chain, dead, fold_norms, masked, remove
from eie_sim.prune.train import (
    Mlp,
    Samples,
    TrainConfig,
    accuracy,
    fit,
    forward,
    gradients,
    initial,
    loss,
    score_gradients,
)

W = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
S = score.l1(W)
NET = Mlp((W, W[:2] @ W.T), (np.zeros(4, np.float32), np.zeros(2, np.float32)))
SAMPLES = Samples(inputs=np.eye(3), labels=[0, 1, 0])
CONFIG = TrainConfig(epochs=1)
LAYER = LayerArrays(name="a", weight=W)
CHAIN = chain([LAYER])
MASKED = np.ma.masked_array([1.0, 2.0], [1, 0])


def but(odd, kind):
    """The odd thing, or another one where it is of a kind that is taken."""
    return object() if isinstance(odd, kind) else odd


@pytest.mark.parametrize(
    "odd", [None, "x", 1.5, [1, 2], MASKED, np.array(1.0), {"x": 1}], ids=lambda odd: repr(odd)[:9]
)
@pytest.mark.parametrize(
    "call",
    [
        lambda odd: fit(odd, SAMPLES, CONFIG),
        lambda odd: fit(NET, odd, CONFIG),
        lambda odd: fit(NET, SAMPLES, odd),
        lambda odd: fit(NET, SAMPLES, CONFIG, masks=but(odd, type(None))),
        lambda odd: fit(NET, SAMPLES, CONFIG, rng=but(odd, type(None))),
        lambda odd: fit(NET, SAMPLES, replace(CONFIG, distillation=0.5), teacher=odd),
        lambda odd: loss(odd, SAMPLES, CONFIG),
        lambda odd: loss(NET, odd, CONFIG),
        lambda odd: loss(NET, SAMPLES, odd),
        lambda odd: gradients(odd, SAMPLES, CONFIG),
        lambda odd: score_gradients(odd, SAMPLES),
        lambda odd: score_gradients(NET, odd),
        lambda odd: forward(odd, np.eye(3)),
        lambda odd: forward(NET, odd),
        lambda odd: accuracy(odd, SAMPLES),
        lambda odd: accuracy(NET, odd),
        lambda odd: Mlp(odd, (np.zeros(4),)),
        lambda odd: Mlp((W,), odd),
        lambda odd: initial(but(odd, list), np.random.default_rng(0)),
        lambda odd: initial((2, 3), odd),
        lambda odd: remove(odd, {}),
        lambda odd: remove(CHAIN, odd),
        lambda odd: remove(CHAIN, {}, keep_inputs=but(odd, type(None))),
        lambda odd: remove(CHAIN, {}, fold_constants=odd),
        lambda odd: remove(CHAIN, {}, activation=odd),
        lambda odd: masked(odd, {}),
        lambda odd: masked(CHAIN, odd),
        dead,
        fold_norms,
        chain,
        lambda odd: NetworkArrays(layers=odd, couplings=()),
        lambda odd: NetworkArrays(layers=(LAYER,), couplings=odd),
        lambda odd: LayerArrays(name="a", weight=W, norm=but(odd, type(None))),
        lambda odd: LayerArrays(name="a", weight=W, norm=BatchNorm(eps=but(odd, float))),
        lambda odd: score.random(but(odd, list), seed=0),
        lambda odd: pattern.element().prune(S, 0.5, shape=but(odd, type(None))),
        lambda odd: pattern.per_row().prune(S, 0.5, shape=but(odd, type(None))),
        lambda odd: locally({"a": S}, 0.5, shapes=but(odd, type(None))),
        lambda odd: locally({"a": S}, 0.5, within=but(odd, type(None))),
        lambda odd: globally({"a": S}, 0.5, shapes=but(odd, type(None))),
        lambda odd: globally({"a": S}, 0.5, within=but(odd, type(None))),
    ],
)
def test_another_type_is_one_line(call, odd):
    with pytest.raises(InputError) as caught:
        call(odd)
    assert "\n" not in str(caught.value)
    assert ": must " in str(caught.value) or ": unknown; " in str(caught.value)


def smallest_net(scale, kind=np.float64):
    return Mlp((np.full((2, 3), scale, kind),), (np.zeros(2, kind),))


HUGE = Samples(inputs=np.full((2, 3), 1e300), labels=[0, 1])
LARGE = Samples(inputs=np.full((2, 3), 1e30), labels=[0, 1])
TOO_LARGE = "must be finite; inputs or weights are too large"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: Mlp((np.full((2, 3), 1e300),), (np.zeros(2, np.float32),)),
            "weights[0][0, 0]=1e+300: must be within float32",
        ),
        (lambda: Mlp((W[:0],), (np.zeros(0),)), "weights[0]=shape (0, 3): must be (out, in), both above 0"),
        (lambda: forward(NET, HUGE.inputs), "inputs[0, 0]=1e+300: must be within float32"),
        (lambda: fit(NET, HUGE, CONFIG), "inputs[0, 0]=1e+300: must be within float32"),
        (lambda: forward(NET, [["a", "b", "c"]]), "inputs=dtype <U1: must be real numbers"),
        (
            lambda: forward(smallest_net(1e300), HUGE.inputs),
            f"outputs of the network=NaN or infinity: {TOO_LARGE}",
        ),
        (lambda: loss(smallest_net(1e300), SAMPLES, TrainConfig(l2=1)), f"loss=inf: {TOO_LARGE}"),
        (
            lambda: gradients(smallest_net(1e300), SAMPLES, TrainConfig(l2=1e300)),
            f"gradients=NaN or infinity: {TOO_LARGE}",
        ),
        (
            lambda: score_gradients(smallest_net(1, np.float32), LARGE),
            f"gradients=NaN or infinity: {TOO_LARGE}",
        ),
        (
            lambda: loss(NET, SAMPLES, TrainConfig(distillation=1, temperature=1e-300), teacher=NET),
            "temperature=1e-300: must be larger for the outputs of the teacher",
        ),
        (
            lambda: Samples(inputs=np.eye(2), labels=np.full(2, 2**64 - 1, np.uint64)),
            "labels=18446744073709551615: must be below 2**63",
        ),
        (lambda: TrainConfig(epochs=10**6 + 1), "epochs=1000001: must be an integer in 0..1000000"),
        (lambda: TrainConfig(seed=2**128), f"seed={2**128}: must be below 2**128"),
        (lambda: TrainConfig(learning_rate=-1), "learning_rate=-1: must be a finite number above 0"),
        (lambda: TrainConfig(learning_rate="x"), "learning_rate='x': must be a finite number above 0"),
        (lambda: score.random((2,), seed=2**128), f"seed={2**128}: must be below 2**128"),
        (lambda: schedule.linear(0.5, steps=10**5 + 1), "steps=100001: must be an integer in 1..100000"),
        (
            lambda: pattern.is_nm(np.zeros((2, 4), [("a", float)])),
            "mask=dtype [('a', '<f8')]: must be bool or real numbers",
        ),
    ],
)
def test_messages(call, message):
    with pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


def test_numbers_of_numpy_are_numbers():
    assert TrainConfig(learning_rate=np.float32(0.5)).learning_rate == 0.5
    assert score.lp([2.0], np.float32(2)) == [4.0]


def test_every_hidden_layer_keeps_a_neuron_or_the_least_density_is_named():
    network = initial((5, 10, 3, 2), np.random.default_rng(0))  # of three neurons one is left at a fifth
    rule = hidden_neurons(lambda w, density: pattern.neuron().prune(score.l1(w), density).mask)
    least = 2 * 5 + 2 * 1 + 1 * 2
    with pytest.raises(
        InputError, match=rf"^density=0.1: must be at least {least / 86:.6g}, or a hidden layer keeps no"
    ):
        prune(network, density=0.1, rule=rule)
    assert prune(network, density=float(f"{least / 86:.6g}"), rule=rule)[1].kept == least
