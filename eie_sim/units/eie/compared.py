"""EIE beside a chip: as many PEs as that has MACs in a cycle, in arrays of at most 256, which share a batch."""

from __future__ import annotations

from eie_sim.units.eie.config import EieConfig

MOST_PES = 256
"""Of one array, the largest the paper studies (section VII)."""


def sized(lanes: int, clock_mhz: float, node_nm: int) -> tuple[EieConfig, int]:
    """A design of the largest equal arrays of `lanes` PEs together, and how many there are."""
    n_pe = next(n for n in range(min(MOST_PES, lanes), 0, -1) if lanes % n == 0)
    return EieConfig(n_pe=n_pe, clock_mhz=clock_mhz, node_nm=node_nm), lanes // n_pe


def held_against(design: EieConfig, number: int) -> str:
    """What times were held against: the paper's design, of which any other is an extrapolation."""
    paper = EieConfig()
    if (design, number) == (paper, 1):
        return "the nine layers of its paper"
    return f"its paper at {paper.n_pe} PEs and {paper.clock_mhz:g} MHz alone, another design"


def precision(design: EieConfig) -> str:
    """Of weights and of what they are multiplied with."""
    return f"{design.weight_bits}-bit codes, 16-bit words"
