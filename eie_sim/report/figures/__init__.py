"""Figures of results: each function takes an Axes, or makes one, and returns it.

import eie_sim as es

axes = es.figures.sparsity(es.sweep.run("alex-7", grid={"density": "0.02:1:12"}))
es.figures.save(axes, "sparsity.svg")
"""

from eie_sim.report.figures.bars import classes, energy, footprint, storage
from eie_sim.report.figures.comparison import batches
from eie_sim.report.figures.curves import accuracy, balance, scaling, sensitivity, sparsity
from eie_sim.report.figures.fronts import pareto, roofline
from eie_sim.report.figures.matrices import spy, weights
from eie_sim.report.figures.style import COLOURS, save, svg
from eie_sim.report.figures.timelines import occupancy, queues
from eie_sim.report.figures.validated import parity, widths

__all__ = [
    "COLOURS",
    "accuracy",
    "balance",
    "batches",
    "classes",
    "energy",
    "footprint",
    "occupancy",
    "pareto",
    "parity",
    "queues",
    "roofline",
    "save",
    "scaling",
    "sensitivity",
    "sparsity",
    "spy",
    "storage",
    "svg",
    "weights",
    "widths",
]
