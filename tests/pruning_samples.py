"""A network and a design to prune it for."""

import numpy as np
from networks import outputs

from eie_sim import EieConfig
from eie_sim.network import load

DESIGN = EieConfig(n_pe=4)
DIGITS = load("digits-mlp")


def accuracy_of(network):
    return np.mean(outputs(network.layers, network.test_inputs).argmax(axis=1) == network.test_labels)
