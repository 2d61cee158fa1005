"""Workloads: layers and networks with their weights and activations, from presets, files and arrays."""

from eie_sim.workload.files import read_arrays
from eie_sim.workload.folders import data_folder
from eie_sim.workload.independent import independent, independent_by_column
from eie_sim.workload.loading import batch_for, load, load_activations, load_for_layer, pruned
from eie_sim.workload.matrices import network_from_arrays
from eie_sim.workload.network import BETWEEN, RELU, Layer, Left, Network
from eie_sim.workload.presets import LayerShape, Preset, drawn_preset, load_preset, preset_layers, preset_names, presets
from eie_sim.workload.shared import SharedWeights
from eie_sim.workload.synthetic import synthetic_activations

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
