"""Networks: a graph of operators, or layers with weights and inputs; readers, presets, and lowering to products."""

from eie_sim.network.folders import data_folder
from eie_sim.network.independent import independent, independent_by_column
from eie_sim.network.layer_loading import batch_for, load, load_activations, load_for_layer, pruned
from eie_sim.network.layers import BETWEEN, RELU, Layer, Left, Network
from eie_sim.network.matrices import network_from_arrays
from eie_sim.network.presets import LayerShape, Preset, drawn_preset, load_preset, preset_layers, preset_names, presets
from eie_sim.network.readers.files import read_arrays
from eie_sim.network.shared import SharedWeights
from eie_sim.network.synthetic import synthetic_activations

__all__ = [
    "BETWEEN",
    "RELU",
    "Layer",
    "LayerShape",
    "Left",
    "Network",
    "Preset",
    "SharedWeights",
    "batch_for",
    "data_folder",
    "drawn_preset",
    "independent",
    "independent_by_column",
    "load",
    "load_activations",
    "load_for_layer",
    "load_preset",
    "network_from_arrays",
    "preset_layers",
    "preset_names",
    "presets",
    "pruned",
    "read_arrays",
    "synthetic_activations",
]
