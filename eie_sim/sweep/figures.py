"""Columns of a row that all units fill as far as they have them; the others are in the words of each unit."""

from __future__ import annotations

FIGURES = {
    "n_vector": "input vectors run; by EIE one after the other, by the N:M unit at once",
    "cycles": "cycles of all vectors and layers of the point",
    "time_us": "microseconds at the design's clock",
    "energy_nj": "nanojoules of all vectors and layers",
    "power_mw": "mean power, milliwatts",
    "area_mm2": "area of the PEs, mm2; none is known of the N:M unit",
    "bytes": "compressed weights with all that belongs to them, of EIE the bias too",
    "accuracy": "share of the held-back inputs answered rightly by the compressed network; a labelled chain only",
    "n_weight": "weights stored, by EIE with the bias",
    "weight_density": "weights kept over all weights, the bias left out of both",
    "effectual_macs": "MACs that count: of EIE both operands non-zero, of the N:M unit kept weights of the real shape",
    "dense_macs": "MACs of a dense unit; as in effectual_macs, EIE's have the bias and the N:M unit's have not",
    "utilisation": "useful cycles over all: of PEs issuing weights, of tensor cores issuing",
    "load_balance": "mean busy over max busy PE",
    "effective_gops": "2 x effectual MACs over time, GOP/s",
    "fits": "whether every memory holds the layer in one pass",
    "passes": "passes the layer would take; cycles contain no cost for them",
    "misfit": "memories that do not hold it",
    "verified": "whether stored weights and outputs agree with the golden product; only where that was asked for",
}
"""Figures of every row, and what they mean."""
