"""What is said of each count of an N:M product that contradicts the others, and the values that are just right."""

import pytest

import eie_sim as es
from eie_sim.core.errors import InvariantError
from eie_sim.units.nm import fast, invariants
from eie_sim.units.nm.words import NmEvent, NmPart

CONFIG = es.TensorCoreConfig(
    n_core=4,
    tc_per_core=3,
    macs_per_cycle=4,
    mma=(2, 2, 2),
    tiles=((2, 2),),
    bk=4,
    wm=2,
    wn=2,
    out_bytes=5,
)
PRODUCT = [(5, 9, 4)], (2, 4), (2, 2), CONFIG
# Three by two tiles on four cores: two waves, two cores idle. A tile has three steps, each of 2 x 2 x 2 MACs, and moves
# 2 x 2 kept values of 2 bytes, with positions of 2 bits, and 4 x 2 activations of 2 bytes. One warp has all of a tile.
TILES, WAVES, IDLE = 6, 2, 2
MACS = TILES * 3 * 8
STORED = TILES * 2 * 2 * 5
METADATA = TILES * 3 * 2 * 2 * 2 // 8
COPIED = TILES * 3 * (2 * 2 + 4 * 2) * 2 + METADATA
# Three groups of 2 values in each of 5 rows, 9 x 4 activations, 5 x 4 outputs.
LEAST = 5 * 6 * 2 + 9 * 4 * 2 + 5 * 4 * 5


def changed(cycles=None, busy=None, **counts):
    """The timing of PRODUCT with other cycles, busy cycles by part, and counts by event."""
    timing = fast.run(*PRODUCT)
    found = dict(zip(NmEvent, timing.counts, strict=True)) | {NmEvent[name.upper()]: n for name, n in counts.items()}
    parts = dict(zip(NmPart, timing.busy, strict=True)) | {NmPart[name.upper()]: n for name, n in (busy or {}).items()}
    return timing._replace(
        cycles=timing.cycles if cycles is None else cycles, counts=tuple(found.values()), busy=tuple(parts.values())
    )


IDLE_PARTS = dict.fromkeys(("tensor", "smem", "l2", "store", "dram"), 0)
CYCLES = changed().cycles


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        *(({event.name.lower(): -1}, f"{event.name.lower()}=-1: must not be negative") for event in NmEvent),
        ({"tiles": TILES + 1}, "tiles=7: must cover 5 x 4 in 2 x 2"),
        ({"tiles": TILES - 1}, "tiles=5: must cover 5 x 4 in 2 x 2"),
        ({"idle_cores": 4, "waves": 3}, "idle_cores=4: must be fewer than the 4 cores"),
        ({"idle_cores": 3}, "waves=2: must hold 6 tiles on 4 cores"),
        ({"waves": WAVES + 1}, "waves=3: must hold 6 tiles on 4 cores"),
        ({"waves": WAVES - 1}, "waves=1: must hold 6 tiles on 4 cores"),
        ({"macs": MACS + 1}, f"macs={MACS + 1}: must be {MACS}, those of 6 full tiles"),
        ({"macs": MACS - 1}, f"macs={MACS - 1}: must be {MACS}, those of 6 full tiles"),
        ({"operand_selects": 0}, f"operand_selects=0: must be {MACS}"),
        ({"operand_selects": MACS + 1}, f"operand_selects={MACS + 1}: must be {MACS}"),
        ({"store_bytes": STORED + 1}, f"store_bytes={STORED + 1}: must be {STORED}"),
        ({"store_bytes": STORED - 1}, f"store_bytes={STORED - 1}: must be {STORED}"),
        ({"l2_metadata_bytes": METADATA + 1}, f"l2_metadata_bytes={METADATA + 1}: must be {METADATA}"),
        ({"l2_bytes": COPIED + 1}, f"l2_bytes={COPIED + 1}: must be {COPIED}"),
        ({"l2_bytes": COPIED - 1}, f"l2_bytes={COPIED - 1}: must be {COPIED}"),
        ({"smem_metadata_bytes": METADATA - 1}, f"smem_metadata_bytes={METADATA - 1}: must be {METADATA}"),
        ({"smem_bytes": COPIED - 1}, f"smem_bytes={COPIED - 1}: must be {COPIED}"),
        (
            {"dram_bytes": LEAST, "dram_metadata_bytes": LEAST + 1},
            f"dram_metadata_bytes={LEAST + 1}: must be within dram_bytes",
        ),
        ({"dram_bytes": LEAST - 1}, f"dram_bytes={LEAST - 1}: must be at least {LEAST}"),
        *(
            ({"busy": {part: cycles}}, f"busy {part}={cycles}: must be in the {CYCLES} cycles")
            for part in IDLE_PARTS
            for cycles in (-1, CYCLES + 1)
        ),
        ({"cycles": 2, "busy": IDLE_PARTS}, f"cycles=2: must be enough for {MACS} MACs"),
    ],
)
def test_a_broken_rule_is_one_line(changes, said):
    with pytest.raises(InvariantError) as caught:
        invariants.check(*PRODUCT, changed(**changes))
    assert str(caught.value) == f"broken invariant: {said}; please report this"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"l2_bytes": COPIED, "l2_metadata_bytes": METADATA},
        {"dram_bytes": LEAST, "dram_metadata_bytes": LEAST},
        {"busy": dict.fromkeys(IDLE_PARTS, CYCLES)},
        {"cycles": MACS // (4 * 3 * 4), "busy": IDLE_PARTS},  # all that the chip can multiply in so many cycles
    ],
)
def test_what_is_just_right_passes(changes):
    invariants.check(*PRODUCT, changed(**changes))


def test_a_core_for_each_tile_but_one_is_idle_where_there_is_one_tile():
    timing = fast.run([(2, 4, 2)], *PRODUCT[1:])
    assert timing.counts[NmEvent.IDLE_CORES] == CONFIG.n_core - 1
    invariants.check([(2, 4, 2)], *PRODUCT[1:], timing)


def test_warps_beside_each_other_read_the_same_operand_once_each():
    """Tiles of 8 x 4 in warps of 2 x 2: two read each value of A, four each of B."""
    config = es.TensorCoreConfig(mma=(2, 2, 2), tiles=((8, 4),), bk=4, wm=2, wn=2)
    timing = fast.run([(8, 4, 4)], (1, 4), (8, 4), config)
    invariants.check([(8, 4, 4)], (1, 4), (8, 4), config, timing)
    counts = dict(zip(NmEvent, timing.counts, strict=True))
    assert counts[NmEvent.SMEM_METADATA_BYTES] == 2 * 8 * 1 * 2 // 8
    assert counts[NmEvent.SMEM_BYTES] == 2 * (2 * 8 * 1 + 4 * 4 * 4) + 4


def test_a_dense_product_selects_no_operands():
    dense = PRODUCT[0], (1, 1), *PRODUCT[2:]
    timing = fast.run(*dense)
    invariants.check(*dense, timing)
    counts = tuple(n + (event == NmEvent.OPERAND_SELECTS) for event, n in zip(NmEvent, timing.counts, strict=True))
    with pytest.raises(InvariantError, match=r"^broken invariant: operand_selects=1: must be 0; please report this$"):
        invariants.check(*dense, timing._replace(counts=counts))
