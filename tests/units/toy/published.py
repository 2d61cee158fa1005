"""A figure that was published of the toy, beside the simulated one."""

from eie_sim.core.published import Comparison
from toy.config import ToyConfig
from toy.matrix import compress
from toy.simulate import simulate


def published(draw, *, progress):
    """The time of a layer. draw : name of a preset -> its weights and activations, drawn"""
    progress("toy: alex-8")
    layer = draw("alex-8")
    time_us = simulate(compress(layer.weights, ToyConfig()), layer.activations).time_us
    about = {"group": "toy times", "source": "a drawing board", "row": "alex-8", "quantity": "time", "unit": "us"}
    return [Comparison(**about, published=500.0, simulated=time_us, inputs=layer.inputs, note="made up")]
