"""The words of EIE: its events, cycle classes and columns, their meanings and colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from eie_sim.units.energy import LEAKAGE, PE_CYCLE
from eie_sim.units.unit import MapBuffer, Word, Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from eie_sim.core.result import Timeline


class EieEvent(Word):
    """Counted events of the EIE array; the columns of a count matrix."""

    BROADCASTS = 0, "activations sent to all PEs"
    QUEUE_WRITES = 1, "items put into an activation queue"
    QUEUE_READS = 2, "items taken from an activation queue"
    POINTER_READS = 3, "pairs of column pointers read, both banks at once"
    SPMAT_READS = 4, "rows read from the Spmat SRAM"
    CODEBOOK_READS = 5, "codes looked up in the codebook, padding too"
    MACS = 6, "multiply-accumulates, one per weight entry"
    PADDING_ENTRIES = 7, "padding entries issued"
    ACCUMULATOR_READS = 8, "accumulators read, one per MAC"
    ACCUMULATOR_WRITES = 9, "accumulators written, one per MAC"
    OUTPUT_WRITES = 10, "output rows written back"


class EieClass(Word):
    """Classes of a PE's cycles; each cycle is in exactly one."""

    WEIGHT = 0, "issuing a weight entry"
    PADDING = 1, "issuing a padding entry"
    EMPTY = 2, "occupied by an item without entries"
    WAITING = 3, "nothing to do: queue empty, or work finished early"
    DRAIN = 4, "the pipeline drains, the last cycles of the layer"


class EieBroadcast(Word):
    """Times of the central control unit."""

    SENT = 0, "items broadcast"
    BLOCKED_CYCLES = 1, "an item was ready and some queue was full"
    LOST_CYCLES = 2, "spent in the scan for the next active input, before the last broadcast"


class EieTiming(NamedTuple):
    """When and how often, for one activation vector.

    cycles : length of the layer
    counts : int64[n_pe + 1, len(EieEvent)], a row per PE and a last one for the central control unit
    classes : int64[n_pe, len(EieClass)], PE-cycles
    broadcast : int64[3], sent, blocked_cycles, lost_cycles
    timeline : (T, L)
    """

    cycles: int
    counts: NDArray[np.int64]
    classes: NDArray[np.int64]
    broadcast: NDArray[np.int64]
    timeline: Timeline | None


class EieRun(NamedTuple):
    """Result of an engine for one activation vector: raw accumulators int64[n_out], and their timing."""

    output: NDArray[np.int64]
    timing: EieTiming


COLUMNS = {
    "n_entry": "entries stored, padding included",
    "padding_entries": "padding entries issued",
    "spmat_reads": "rows read from the Spmat SRAMs",
    "broadcasts": "activations sent to all PEs",
    "blocked_cycles": "an item was ready and some queue was full",
    "lost_cycles": "spent in the scan for the next active input",
    "weight_cycles": "PE-cycles issuing weight entries",
    "padding_cycles": "PE-cycles issuing padding entries",
    "empty_cycles": "PE-cycles occupied by items without entries",
    "waiting_cycles": "PE-cycles with nothing to do",
    "drain_cycles": "PE-cycles of pipelines draining",
}
"""Figures of a row of a sweep, and what they mean."""

MAP_READS = "map_reads"
"""Inputs that vectors of a convolution are gathered of."""

COMPONENTS = {
    "queue_writes": ("act_queue",),
    "queue_reads": ("act_queue",),
    "pointer_reads": ("ptr_read",),
    "spmat_reads": ("spmat_read",),
    "codebook_reads": ("arithm_unit",),
    "macs": ("arithm_unit",),
    "padding_entries": ("arithm_unit",),
    "accumulator_reads": ("act_rw",),
    "accumulator_writes": ("act_rw",),
    "output_writes": ("act_rw",),
    "broadcasts": ("act_rw",),
    MAP_READS: ("map_buffer",),
    PE_CYCLE: ("arithm_unit", "act_rw"),
    LEAKAGE: (LEAKAGE,),
}
"""Components and their events: modules of Table II, the map's buffer outside of the PEs, leakage. Shares are equal.

The last two are per PE-cycle.
"""

WORD_BITS = 16
"""Activations, codebook values and outputs."""

WORDS = Words(
    events=EieEvent,
    classes=EieClass,
    totals={"broadcast": EieBroadcast},
    useful=EieClass.WEIGHT,
    busy=(EieClass.WEIGHT, EieClass.PADDING),
    components=COMPONENTS,
    colours={
        "weight": "blue",
        "padding": "orange",
        "empty": "yellow",
        "waiting": "pale",
        "drain": "grey",
        "act_queue": "purple",
        "ptr_read": "green",
        "spmat_read": "blue",
        "arithm_unit": "red",
        "act_rw": "sky",
        "map_buffer": "orange",
    },
    columns=COLUMNS,
    stored="codebook",
    negative="negative ones take part (active nonzero)",
    scales="fractional bits\nw / a / acc",
    map_buffer=MapBuffer(MAP_READS, WORD_BITS),
    needed=("n_pe", "queue_depth", "effectual_macs", "load_balance", *COLUMNS),
)
