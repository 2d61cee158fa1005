"""Deep Compression's published rates beside the closed formula, and beside the encoder run on random masks.

All rates are compressed bits over the bits of the dense layer at 32 bits a weight, in percent, as the paper prints
them; differences are computed minus published, in percentage points. What the original weights would be needed for is
taken from the paper and said in each record.

Source: Han, Mao, Dally, ICLR 2016, tables of section 5 (`tables/deep_compression_layers.csv`).
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eie_sim import tables
from eie_sim.core.errors import require_seed, unknown
from eie_sim.deep_compression.encode import compress_positions
from eie_sim.deep_compression.sizes import CODEBOOK_VALUE_BITS, Sizes

Progress = Callable[[str], None]

TABLE = "deep_compression_layers"
TOTAL = "total"

LABELS: Mapping[str, str] = {
    "published": "as printed; density in whole percent, rates and average bits to two or three digits",
    "formula": "computed: kept weights x (weight bits + index bits) + codebook; no fillers",
    "formula_huffman": "computed with the printed average bits of coded weights and indices; no fillers, no tables",
    "encoder": "computed: the encoder on a random mask with as many weights kept, fillers included",
    "encoder_huffman": "computed on the same mask, tables included; only coded weights at the printed average bits",
    "huffman_tables": "part of encoder_huffman; the printed rates of small layers leave no room for them",
    "low, high": "computed: expected rates half a percent of density below and above the printed one",
    "unknown": "without the trained weights: fillers and index bits of their masks, which are not random, and any "
    "property of their codes, so the coded weights' bits are never computed",
}
"""Meanings of the figures, and of what cannot be computed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressionRecord:
    """One layer, or one network's total, published and computed.

    network, layer : as published; layer is `TOTAL` for the sum over a network's layers
    n_position, n_kept : weights of the dense layer, and kept: the printed density of them, rounded half to even
    weight_bits, index_bits : fixed widths; None for a total
    n_filler, filler_share : fillers of the random mask; their share of its entries
    published_pct, formula_pct, encoder_pct : rates with codes and indices of fixed width
    formula_low_pct, formula_high_pct, encoder_low_pct, encoder_high_pct : what the printed density's rounding leaves
        open: expected rates of densities half a percent lower and higher
    published_huffman_pct, formula_huffman_pct, encoder_huffman_pct : rates with both streams coded
    huffman_tables_pct : what both codes' tables add to encoder_huffman_pct
    published_huffman_weight_bits, published_huffman_index_bits : printed averages
    encoder_huffman_index_bits : average of the random mask, over its entries
    mask : what the encoder ran on, with its seed
    """

    network: str
    layer: str
    n_position: int
    n_kept: int
    weight_bits: int | None
    index_bits: int | None
    n_filler: int
    filler_share: float
    published_pct: float
    formula_pct: float
    encoder_pct: float
    formula_low_pct: float
    formula_high_pct: float
    encoder_low_pct: float
    encoder_high_pct: float
    published_huffman_pct: float
    formula_huffman_pct: float
    encoder_huffman_pct: float
    huffman_tables_pct: float
    published_huffman_weight_bits: float
    published_huffman_index_bits: float
    encoder_huffman_index_bits: float
    mask: str

    @property
    def differences(self) -> dict[str, float]:
        """Computed minus published, percentage points: formula, encoder, formula_huffman, encoder_huffman."""
        return {
            "formula": self.formula_pct - self.published_pct,
            "encoder": self.encoder_pct - self.published_pct,
            "formula_huffman": self.formula_huffman_pct - self.published_huffman_pct,
            "encoder_huffman": self.encoder_huffman_pct - self.published_huffman_pct,
        }

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON: the fields, the differences, and `LABELS`."""
        return asdict(self) | {"differences": self.differences, "labels": dict(LABELS)}


class _Bits(NamedTuple):
    """Bits of a layer, or their sums over a network; exact but for the last four, which are expected values."""

    dense32: int
    n_kept: int
    n_filler: int
    indices: int
    tables: int
    formula: int
    encoder: int
    formula_huffman: Fraction
    encoder_huffman: Fraction
    formula_low: float
    formula_high: float
    encoder_low: float
    encoder_high: float


def published_record(
    seed: int = 0, *, networks: Iterable[str] | None = None, progress: Progress = lambda step: None
) -> list[CompressionRecord]:
    """Every published layer, and each network's total after its layers, computed again.

    seed : of the random masks; each layer has a stream of its own, so its record does not depend on the others
    networks : some of LeNet300, LeNet5, AlexNet, VGG16; all when left out
    progress : told what is being encoded

    Layers have their full sizes; only kept positions take memory. Raises InputError for a seed below 0 or an unknown
    network.
    """
    require_seed(seed)
    rows = tables.rows(TABLE)
    known = tuple(dict.fromkeys(row["network"] for row in rows))
    wanted = known if networks is None else tuple(networks)
    for name in wanted:
        if name not in known:
            raise unknown("network", name, known)
    return [record for name in wanted for record in _network(name, rows, int(seed), progress)]


def random_positions(rng: np.random.Generator, n_position: int, n_kept: int) -> NDArray[np.int64]:
    """A uniformly random subset of 0..n_position - 1, ascending, int64[n_kept]; memory for the subset only.

    Every position is kept with a probability a little above n_kept / n_position, by geometric skips, and the excess is
    dropped at random: given its size, such a subset is uniform.
    """
    probability = min(1.0, (n_kept + 6 * sqrt(n_kept) + 10) / n_position) if n_position else 1.0
    while True:
        drawn = _bernoulli(rng, n_position, probability)
        excess = len(drawn) - n_kept
        if excess >= 0:  # else six standard deviations too few
            break
    kept = np.ones(len(drawn), dtype=np.bool_)
    kept[rng.choice(len(drawn), excess, replace=False, shuffle=False)] = False
    return drawn[kept]


def _bernoulli(rng: np.random.Generator, n_position: int, probability: float) -> NDArray[np.int64]:
    """Positions kept independently of each other, ascending."""
    if probability >= 1.0:
        return np.arange(n_position, dtype=np.int64)
    parts, last = [], -1
    while last < n_position:
        expected = (n_position - last) * probability
        skips = rng.geometric(probability, int(expected + 4 * sqrt(expected)) + 10)
        parts.append(np.cumsum(skips, dtype=np.int64) + last)
        last = int(parts[-1][-1])
    drawn = np.concatenate(parts)
    return drawn[: np.searchsorted(drawn, n_position)]


def _network(name: str, rows: list[dict[str, str]], seed: int, progress: Progress) -> Iterator[CompressionRecord]:
    layers = []
    for row in (row for row in rows if row["network"] == name and row["layer"] != TOTAL):
        progress(f"{name} {row['layer']}: encoding")
        layers.append(_layer_bits(row, seed))
        yield _record(row, layers[-1], int(row["weight_bits_PQ"]), int(row["index_bits_PQ"]), seed)
    total = next(row for row in rows if row["network"] == name and row["layer"] == TOTAL)
    yield _record(total, _Bits(*(sum(part) for part in zip(*layers, strict=True))), None, None, seed)


def _layer_bits(row: Mapping[str, str], seed: int) -> _Bits:
    n_position, weight_bits, index_bits = (int(row[key]) for key in ("weights", "weight_bits_PQ", "index_bits_PQ"))
    n_kept = round(Fraction(row["kept_pct"]) * n_position / 100)
    coded_weight, coded_index = Fraction(row["weight_bits_PQH"]), Fraction(row["index_bits_PQH"])
    stream = np.random.SeedSequence([seed, zlib.crc32(f"{row['network']} {row['layer']}".encode())])
    positions = random_positions(np.random.default_rng(stream), n_position, n_kept)
    sizes = compress_positions(positions, shape=(n_position,), weight_bits=weight_bits, index_bits=index_bits).sizes()
    codebook = 2**weight_bits * CODEBOOK_VALUE_BITS
    return _Bits(
        dense32=sizes.dense32_bits,
        n_kept=n_kept,
        n_filler=sizes.n_filler,
        indices=sizes.huffman_indices_bits,
        tables=sizes.huffman_tables_bits,
        formula=n_kept * (weight_bits + index_bits) + codebook,
        encoder=sizes.total_bits,
        formula_huffman=n_kept * (coded_weight + coded_index) + codebook,
        encoder_huffman=_encoder_huffman(sizes, coded_weight),
        **_rounding(n_position, float(row["kept_pct"]), weight_bits, index_bits),
    )


def _rounding(n_position: int, kept_pct: float, weight_bits: int, index_bits: int) -> dict[str, float]:
    """Expected bits at densities half a percent to either side, without fillers and with those of a random mask.

    A gap goes beyond a span of zeros with probability (1 - density)**span, again and again, so that a kept weight comes
    with 1 / (1 - (1 - density)**span) entries.
    """
    bits = {}
    for side, off in (("low", -0.5), ("high", 0.5)):
        density = min(max(kept_pct + off, 1e-9), 100.0) / 100
        weights_bits = n_position * density * (weight_bits + index_bits)
        entries_per_weight = 1 / (1 - (1 - density) ** 2**index_bits)
        codebook = 2**weight_bits * CODEBOOK_VALUE_BITS
        bits[f"formula_{side}"] = weights_bits + codebook
        bits[f"encoder_{side}"] = weights_bits * entries_per_weight + codebook
    return bits


def _encoder_huffman(sizes: Sizes, coded_weight: Fraction) -> Fraction:
    """The printed average is taken for every entry, fillers too: their code is one of those it averages."""
    n_entry = sizes.n_weight + sizes.n_filler
    return n_entry * coded_weight + sizes.huffman_indices_bits + sizes.huffman_tables_bits + sizes.codebook_bits


def _record(
    row: Mapping[str, str], bits: _Bits, weight_bits: int | None, index_bits: int | None, seed: int
) -> CompressionRecord:
    def percent(part: float | Fraction) -> float:
        return float(100 * Fraction(part) / bits.dense32)

    n_entry = bits.n_kept + bits.n_filler
    return CompressionRecord(
        network=row["network"],
        layer=row["layer"],
        n_position=bits.dense32 // CODEBOOK_VALUE_BITS,
        n_kept=bits.n_kept,
        weight_bits=weight_bits,
        index_bits=index_bits,
        n_filler=bits.n_filler,
        filler_share=bits.n_filler / n_entry,
        published_pct=float(row["rate_PQ_pct_published"]),
        formula_pct=percent(bits.formula),
        encoder_pct=percent(bits.encoder),
        formula_low_pct=percent(bits.formula_low),
        formula_high_pct=percent(bits.formula_high),
        encoder_low_pct=percent(bits.encoder_low),
        encoder_high_pct=percent(bits.encoder_high),
        published_huffman_pct=float(row["rate_PQH_pct_published"]),
        formula_huffman_pct=percent(bits.formula_huffman),
        encoder_huffman_pct=percent(bits.encoder_huffman),
        huffman_tables_pct=percent(bits.tables),
        published_huffman_weight_bits=float(row["weight_bits_PQH"]),
        published_huffman_index_bits=float(row["index_bits_PQH"]),
        encoder_huffman_index_bits=bits.indices / n_entry,
        mask=f"synthetic, uniformly random positions, seed {seed}",
    )
