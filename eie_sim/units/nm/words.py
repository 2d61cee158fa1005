"""The words of the N:M unit: its events, parts, cycle classes and columns, their meanings and colours."""

from __future__ import annotations

from typing import NamedTuple

from eie_sim.units.energy import LEAKAGE, PE_CYCLE
from eie_sim.units.unit import Word, Words


class NmEvent(Word):
    """Counted events of a chip of N:M tensor cores, over all tiles of a product; the columns of its count matrix."""

    MACS = 0, "multiply-accumulates of full tiles, kept values only"
    OPERAND_SELECTS = 1, "rows of B picked by metadata, one per executed MAC of a sparse product"
    L2_BYTES = 2, "copied from L2 for full tiles: values, metadata, activations"
    L2_METADATA_BYTES = 3, "metadata within l2_bytes"
    SMEM_BYTES = 4, "operands read from shared memory for full tiles"
    SMEM_METADATA_BYTES = 5, "metadata within smem_bytes"
    DRAM_BYTES = 6, "read once in a wave unless L2 holds it, clipped to the real product; outputs too"
    DRAM_METADATA_BYTES = 7, "metadata within dram_bytes"
    STORE_BYTES = 8, "outputs of full tiles stored"
    TILES = 9, "output tiles"
    WAVES = 10, "waves of tiles over the cores"
    IDLE_CORES = 11, "cores without a tile in the last wave"


class NmPart(Word):
    """Parts of the chip that a product keeps busy; which is busiest names the bound."""

    TENSOR = 0, "instructions issued to the tensor cores of core 0"
    SMEM = 1, "operands read from the shared memory of core 0"
    L2 = 2, "copies on the L2 port of core 0"
    STORE = 3, "outputs stored by core 0"
    DRAM = 4, "dram_bytes of all waves at the chip's DRAM"


class NmClass(Word):
    """Classes of the cycles of core 0."""

    TENSOR = 0, "core 0 issues instructions"
    WAITING = 1, "for data, operands, stores, other cores, DRAM or the launch"


class NmTiming(NamedTuple):
    """When and how often, for one product.

    cycles : of the whole product
    counts : by NmEvent; exact, as Python integers
    busy : cycles by NmPart
    """

    cycles: int
    counts: tuple[int, ...]
    busy: tuple[int, ...]


def bound_of(cycles: int, busy: tuple[int, ...]) -> str:
    """The busiest part, the first of equals, or `latency` where none is busy for half of the cycles."""
    most = max(busy)
    return "latency" if 2 * most < cycles else NmPart.names()[busy.index(most)]


COMPONENTS = {
    "macs": ("macs",),
    "register_bytes": ("registers",),
    "smem_bytes": ("smem",),
    "l2_bytes": ("l2",),
    "store_bytes": ("l2",),
    "dram_bytes": ("dram",),
    "smem_metadata_bytes": ("metadata",),
    "l2_metadata_bytes": ("metadata",),
    "dram_metadata_bytes": ("metadata",),
    "operand_selects": ("metadata",),
    PE_CYCLE: ("clock",),
    LEAKAGE: (LEAKAGE,),
}
"""Components and their events. Bytes of values leave out those of metadata; the last two are per lane and cycle."""

WORDS = Words(
    events=NmEvent,
    classes=NmClass,
    totals={"busy": NmPart},
    useful=NmClass.TENSOR,
    busy=(NmClass.TENSOR,),
    components=COMPONENTS,
    colours={
        "tensor": "blue",
        "waiting": "pale",
        "macs": "red",
        "registers": "sky",
        "smem": "blue",
        "l2": "green",
        "dram": "orange",
        "metadata": "yellow",
        "clock": "purple",
    },
    columns={
        "runs_as": "the pattern the unit runs the weights as",
        "tile": "the tile of each layer, where they differ with + between them",
        "bound": "what limits each layer",
        "held_against": "what times of the chip were held against",
        "board_nj": "energy at the limit of the whole board's power; energy_nj is of its modelled parts",
        "dram_bytes": "bytes read from and written to DRAM",
        "mac_lanes": "MACs of all tensor cores in a cycle, dense",
    },
    texts=("chip", "runs_as"),
    stored="stored weights",
    lane="lane",
    cycles="Cycles of core 0",
    scales="scales\nw / a",
    worded=("runs_as", "tile", "bound", "held_against"),
    map_buffer=None,  # bytes at DRAM, L2 and shared memory are of all of K x N, gathered: an input for each tap
)
