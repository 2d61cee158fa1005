"""Digests of results that must not change unnoticed. `python tests/digests.py` writes traces/digests.json anew.

Figures stand there as numbers, so that a diff says what changed, and arrays as the first digits of a SHA-256 over type,
shape and bytes: outputs, counts and classes of every PE, timelines. Only networks that are stored are run, because
drawn ones depend on numpy's generators.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

import eie_sim as es

FILE = Path(__file__).parent.parent / "traces" / "digests.json"

EIE_DESIGNS = {
    "default": {},
    "shallow": {"n_pe": 16, "queue_depth": 1},
    "odd": {"n_pe": 7, "queue_depth": 3, "weight_bits": 3, "index_bits": 2, "spmat_width_bits": 48},
    "narrow": {"n_pe": 4, "accumulator_bits": 16, "rounding": "floor", "index_bits": 1},
    "wide": {"n_pe": 64, "accumulator_bits": 32, "active": "nonzero", "index_bits": 8, "spmat_width_bits": 256},
}
SHAPES = ((64, 64, 1), (300, 770 * 4, 20), (1024, 768, 4096), (4096, 4096, 16))
PATTERNS = ((1, 1), (2, 4))
CHIPS = ("nm-64", "rtx3090", "a100-sxm", "h100-sxm")
VECTORS = 8
"""Vectors of each layer that are run, the first ones."""


def digest(*arrays):
    """First 16 hex digits of a SHA-256 over types, shapes and bytes."""
    found = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        found.update(f"{little.dtype.str}{little.shape}".encode())
        found.update(little.tobytes())
    return found.hexdigest()[:16]


def eie_layer(layer, design):
    """One layer on one design: figures as numbers, arrays as digests."""
    config = es.EieConfig(**design)
    fixed = {name: getattr(config, name) for name in ("n_pe", "weight_bits", "index_bits")}
    matrix = es.EieMatrix.from_dense(layer.weights, bias=layer.bias, **fixed)
    result = es.simulate(matrix, layer.activations[:VECTORS], config, timeline=True)
    return {
        "cycles": result.cycles,
        "events": result.stats["events"],
        "classes": result.stats["classes"],
        "broadcast": result.stats["broadcast"],
        "energy_pj": round(es.energy.account(result).total_pj, 6),
        "bits": es.footprint(matrix, pointer_bits=config.pointer_bits)["eie"].total_bits,
        "format": digest(matrix.codes, matrix.gaps, matrix.pointers, matrix.codebook),
        "output": digest(result.output),
        "counts": digest(result.counts, result.classes),
        "timelines": digest(*(array for timeline in result.timeline for array in timeline)),
    }


def product(chip, shape, pattern):
    """One product on one chip."""
    m, k, n = shape
    result = es.simulate_gemm(m, k, n, es.TensorCoreConfig.preset(chip), n_keep=pattern[0], m_group=pattern[1])
    return {
        "cycles": result.cycles,
        "events": result.stats["events"],
        "busy": result.stats["busy"],
        "tile": "x".join(map(str, result.named["tile"])),
        "energy_pj": round(es.energy.account(result).total_pj, 6),
    }


def digests():
    """Everything, by what was run."""
    layers = [layer for name in ("hand-8x8", "digits-mlp") for layer in es.load(name).layers]
    found = {
        f"eie, {layer.name}, {name}": eie_layer(layer, design)
        for layer in layers
        for name, design in EIE_DESIGNS.items()
    }
    for chip in CHIPS:
        for shape in SHAPES:
            for pattern in PATTERNS:
                name = f"nm, {chip}, {'x'.join(map(str, shape))}, {pattern[0]}:{pattern[1]}"
                found[name] = product(chip, shape, pattern)
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(digests(), indent=1) + "\n")
