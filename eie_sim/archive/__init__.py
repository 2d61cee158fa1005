"""Pruned and compressed networks on disk: one file, whole or not there, readable without this package.

The file is a safetensors file: 8 bytes, the length of the header, little-endian; the header, JSON; then the tensors'
bytes, row-major and little-endian. In the header, under `__metadata__`:

    eie_sim.manifest    JSON, as text: what the tensors mean
    eie_sim.sha256      of the manifest's UTF-8 bytes, in hex

The manifest has exactly these fields:

    version        1
    package        what wrote the file, as "eie_sim 0.1.0"
    name           of the network
    source         {"name": where the weights came from, in words, "sha256": of the arrays before pruning, see below}
    recipe         any JSON object: criterion, pattern, schedule, ratios...
    seed           of whatever was drawn on the way
    chained        true where each layer's outputs, after ReLU, are the next one's inputs
    not_simulated  what the source had beside the layers, each [name, reason]
    left           how much that is: [weights, numbers looked up, arrays whose weights cannot be counted], or null
    layers         in order, each {"name", "n_out", "n_in", "bias": true or false, "weight_bits",
                   "scales": {"weight", "activation", "accumulator"} in fractional bits, null where left to a run:
                   -15..30, -15..30 (0..14 beside a bias), -30..60 and at most the other two together,
                   "source": what the weights were, in words, "synthetic": true where they were drawn, not trained}
    tensors        sha256 of the bytes of every tensor, by name

Each layer L has four tensors. Its weights are a matrix of n_out rows and n_in columns, and one more column, the last,
where it has a bias. Streams of bits fill each byte from its least significant bit on; what is left of the last is 0.

    mask/L          U8    one bit a weight, row by row: 1 where it was kept
    codes/L         U8    weight_bits bits for every 1 of the mask, in the same order: its code, 1 or more
    codebook/L      F64   2**weight_bits values; a kept weight is worth codebook[code], any other 0 = codebook[0]
    codebook_raw/L  I16   the same in fixed point: round(value * 2**scales.weight), half to even, saturated

`calibration`, F32 or F64 [n, n_in of the first layer], may follow: inputs to choose open scales from. Nothing depends
on the number of processing elements. The hash of the source takes, for weights and bias of each layer in order, a line
of ASCII with dtype and shape, as "<f4 256,64" and a line feed, then the bytes of the dense array, row-major and
little-endian.
"""

from eie_sim.archive.content import Archive, archive_of, hash_of, matrices_of, matrix_of, network_of
from eie_sim.archive.file import archive_at, from_bytes, load, opened, require_archive_path, save, to_bytes

__all__ = [
    "Archive",
    "archive_at",
    "archive_of",
    "from_bytes",
    "hash_of",
    "load",
    "matrices_of",
    "matrix_of",
    "network_of",
    "opened",
    "require_archive_path",
    "save",
    "to_bytes",
]
