"""Columns of a row that all units fill as far as they have them; the others are in the words of each unit."""

from __future__ import annotations

FIGURES = {
    "n_vector": "input vectors run, one after the other or at once, as the unit does",
    "cycles": "cycles of all vectors and layers of the point",
    "time_us": "microseconds at the design's clock",
    "energy_nj": "nanojoules of all vectors and layers",
    "power_mw": "mean power, milliwatts",
    "area_mm2": "area of the design, mm2; null of a unit whose area is not known",
    "bytes": "compressed weights with all that belongs to them, and a bias that is stored",
    "accuracy": "share of the held-back inputs answered rightly by the compressed network; a labelled chain only",
    "n_weight": "weights stored, with those of a bias that is stored",
    "weight_density": "weights kept over all weights, the bias left out of both",
    "effectual_macs": "MACs that count: of kept weights, and where the unit skips zero inputs of the other inputs only",
    "dense_macs": "MACs of a dense unit, with the bias where effectual_macs have it",
    "utilisation": "cycles of useful work over all cycles of all PEs or cores",
    "load_balance": "mean busy over max busy PE; null of a unit without several",
    "effective_gops": "2 x effectual MACs over time, GOP/s",
    "fits": "whether every memory holds the layer in one pass",
    "passes": "passes the layer would take; cycles contain no cost for them",
    "misfit": "memories that do not hold it",
    "verified": "whether stored weights and outputs agree with the golden product; only where that was asked for",
}
"""Figures of every row, and what they mean."""
