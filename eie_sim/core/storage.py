"""Size of a layer in a storage format, by part, as `formats` counts it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from eie_sim.core.brief import shows
from eie_sim.core.html import Cell, card, figure, share, table


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """Size of one layer in one storage format.

    name : key of the format in what `footprint` returns
    parts : bits by part; they add to `total_bits`
    dense_bits : bits of the same layer, bias included, stored dense
    note : what was assumed: widths, padding, and why the format is not valid
    valid : False when the format as configured cannot hold this layer; `parts` are then the bits it would take
    violations : what breaks the format's rule: groups with too many non-zeros, PEs whose entries no pointer reaches
    """

    name: str
    parts: Mapping[str, int]
    dense_bits: int
    note: str
    valid: bool = True
    violations: int = 0

    __repr__ = shows("name", "total_bits", "dense_bits", "parts", "note", "valid")

    @property
    def total_bits(self) -> int:
        """Bits of all parts."""
        return sum(self.parts.values())

    @property
    def ratio_to_dense(self) -> Fraction | None:
        """total_bits / dense_bits, exact, below 1 where the format saves; None for a layer without positions."""
        return Fraction(self.total_bits, self.dense_bits) if self.dense_bits else None

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON; the ratio as a float."""
        ratio = self.ratio_to_dense
        return {
            "name": self.name,
            "parts": dict(self.parts),
            "total_bits": self.total_bits,
            "dense_bits": self.dense_bits,
            "ratio_to_dense": None if ratio is None else float(ratio),
            "note": self.note,
            "valid": self.valid,
            "violations": self.violations,
        }

    def _repr_html_(self) -> str:
        """Return the table of a notebook."""
        rows = [[part, *_shares(bits, self.total_bits)] for part, bits in self.parts.items()]
        shown = table(["part", "bits", "%"], rows, foot=["total", *_shares(self.total_bits, self.total_bits)])
        alarms = [] if self.valid else [f"holds the layer: {_broken(self)}"]
        return card(f"{self.name}, bits by part", shown, lines=[self.note], alarms=alarms)


class Footprint(dict[str, Format]):
    """A layer in several storage formats, by name; a dict that notebooks show as a table."""

    __repr__ = shows(bits=lambda self: {name: one.total_bits for name, one in self.items()})

    def _repr_html_(self) -> str:
        """Return the table of a notebook."""
        rows = [
            [
                one.name,
                Cell(f"{one.total_bits:,}", one.total_bits),
                "" if (ratio := one.ratio_to_dense) is None else share(float(ratio), 2),
                ", ".join(f"{part} {bits:,}" for part, bits in one.parts.items()),
                "yes" if one.valid else Cell(_broken(one), alarming=True),
            ]
            for one in self.values()
        ]
        return card("storage formats", table(["format", "bits", "of dense", "by part", "holds the layer"], rows))


def _broken(one: Format) -> str:
    return f"no: {one.violations:,} violations"


def _shares(bits: int, total: int) -> tuple[Cell, Cell]:
    return Cell(f"{bits:,}", bits), figure(100 * bits / total if total else 0.0, 1)
