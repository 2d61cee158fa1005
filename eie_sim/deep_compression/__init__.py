"""Deep Compression of a layer: shared weights, relative indices in one stream, Huffman coding; the published record.

Source: Han, Mao, Dally, "Deep Compression", ICLR 2016 (arXiv 1510.00149).
"""

from eie_sim.deep_compression.encode import compress_codes, compress_layer, compress_positions
from eie_sim.deep_compression.layer import DeepCompression
from eie_sim.deep_compression.record import CompressionRecord, published_record
from eie_sim.deep_compression.sizes import Sizes

__all__ = [
    "CompressionRecord",
    "DeepCompression",
    "Sizes",
    "compress_codes",
    "compress_layer",
    "compress_positions",
    "published_record",
]
