"""The presets of tensor cores beside times, cycles and energies of others, and beside times of our own.

Times of the RTX 3090's products are in `measured`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from eie_sim import tables
from eie_sim.core.nm_pattern import DENSE, Pattern, said
from eie_sim.core.published import CALIBRATED, VALIDATED, Comparison, Draw, Progress
from eie_sim.core.result import SimResult
from eie_sim.energy import account
from eie_sim.units.nm.config import TensorCoreConfig
from eie_sim.units.nm.measured import PATTERNS, PRESET, GemmComparison, calibration_note, dense_note, gemm_times
from eie_sim.units.nm.provenance import HELD_AGAINST
from eie_sim.units.nm.unit import simulate_gemm

Shape = tuple[int, int, int]
"""Rows of A, inputs, columns of B."""

TWO_OF_FOUR: Pattern = (2, 4)
MEASURED = "eie_sim.units.nm"
"""The package whose data our own measurements are."""

Changes = Mapping[str, Mapping[str, Any]]
"""Preset: other values of single fields."""

NO_CHANGES: Changes = {}

BIG_TILES = ((256, 128), (128, 256), (128, 128), (64, 64), (128, 32), (64, 16))
BEFORE: dict[str, dict[str, Any]] = {
    "a100-sxm": {"smem_bytes_per_cycle": 128, "launch": 2000, "tiles": BIG_TILES},
    "h100-sxm": {"smem_bytes_per_cycle": 128, "launch": 2000, "tiles": BIG_TILES, "l2_latency": 600},
    "stc-1024": {
        "mma": (16, 8, 32),
        "tiles": ((64, 64), (32, 32), (64, 16)),
        "wm": 32,
        "wn": 32,
        "l2_bytes_per_cycle": 32,
        "store_bytes_per_cycle": 32,
        "out_bytes": 2,
    },
}
BEFORE["stc-1024-flexible"] = {**BEFORE["stc-1024"], "bk": 192}
"""Preset: values of the model's page, which nobody held against anything."""

INT8: dict[str, Any] = {"elem_bytes": 1, "out_bytes": 4, "macs_per_cycle": 1024, "mma": (64, 8, 32), "bk": 128}
"""Settings of an H100 that multiplies int8 to int32: twice the MACs, and K, of fp16."""

STC = {"STC": "stc-1024", "STC_flexible": "stc-1024-flexible"}
STC_PATTERNS: dict[str, Pattern] = {"1.0": DENSE, "0.5": TWO_OF_FOUR, "0.25": (2, 8)}
"""By density of the weights, as that table has them."""

LONG_K = 1024
"""Inputs from which a tile's first copy and its stores are a small part of it."""

A100_NOTES = {
    TWO_OF_FOUR: "shared memory's bytes a cycle were chosen with this product",
    DENSE: "bound by issue, whatever shared memory gives; the data sheet's clock, which a power limit may lower",
}
H100_NOTES = {
    CALIBRATED: "shared memory's bytes a cycle and l2_latency were chosen with these: fp16, every other shape by size; "
    "launch is measured",
    VALIDATED: "the other half; nothing was chosen with it. Small products are met less well: libraries split K there",
}
INT8_NOTE = (
    "nothing was chosen with int8: MACs, instruction and step are twice fp16's. At 8192 cubed the library's dense "
    "kernel reaches 47 % of the data sheet's rate, its 2:4 one 54 %: kernels that the model does not know"
)
STC_NOTE = "how many outputs share an operand, tiles, and rates of L2 and stores were chosen with these cycles"
STC_SHORT_NOTE = (
    f"K below {LONG_K}: a tile's first copy and its stores, which the other simulator leaves out, are a large part, "
    "and so is, of the flexible design, the end of its last step of 48"
)
STC_ENERGY_NOTE = (
    "nothing of the energy table was chosen with these energies; that outputs have 8 bits was found with dense of K "
    "128 and 256. DRAM is the largest part: of 128 x 1152 x 1024 dense, A is read anew for every block column, as it "
    "and a block column of B do not fit 256 KiB together; the other simulator reads it twice"
)


def rows(draw: Draw, *, progress: Progress = lambda step: None) -> list[Comparison]:
    """Every product and chip that the presets are held against; nothing is drawn, all are timed by shape."""
    progress("N:M products: timing")
    return [*products(), *chips()]


def products() -> list[Comparison]:
    """Every measured product, 2:4 and dense, beside the simulated one.

    2:4 is calibrated: constants of the preset were chosen with the same times.
    """
    compared = gemm_times()
    calibrated, dense = calibration_note(compared), dense_note(compared)
    of_pattern = {
        said(PATTERNS["sparse_ms"]): (CALIBRATED, calibrated),
        said(DENSE): (VALIDATED, f"{dense}; {calibrated}"),
    }
    return [_product(one, *of_pattern[one.pattern]) for one in compared]


def _product(one: GemmComparison, kind: str, note: str) -> Comparison:
    return Comparison(
        group=f"N:M products, {one.pattern}",
        source=f"VENOM artifact, {one.figure}",
        row=f"{one.m} x {one.k} x {one.n}",
        quantity=f"{one.pattern} time",
        unit="ms",
        published=one.measured_ms,
        simulated=one.simulated_ms,
        kind=kind,
        inputs=f"the shape, on {PRESET}; measured by others",
        note=note,
    )


def chips(changes: Changes = NO_CHANGES) -> list[Comparison]:
    """All rows. changes : other values of presets, as `BEFORE`"""
    return [*a100(changes), *h100(changes), *stc(changes)]


def a100(changes: Changes = NO_CHANGES) -> list[Comparison]:
    """Two products on an A100, measured by others: 2:4 and dense of one, dense of the other."""
    config = _preset("a100-sxm", changes)
    columns = {"sparse_ms": TWO_OF_FOUR, "dense_ms": DENSE}
    return [
        _row(
            _shape(row),
            pattern,
            group=f"a100-sxm, {said(pattern)}",
            source=row["source"],
            quantity="time",
            unit="ms",
            published=float(row[column]),
            simulated=_simulated(_shape(row), config, pattern).time_us / 1e3,
            kind=CALIBRATED if pattern == TWO_OF_FOUR else VALIDATED,
            note=A100_NOTES[pattern],
        )
        for row in tables.rows("gemm24_a100")
        for column, pattern in columns.items()
        if row[column]
    ]


def h100(changes: Changes = NO_CHANGES) -> list[Comparison]:
    """Products on an H100, measured by us with data in DRAM at the start: fp16 and int8, dense and 2:4.

    2:4 is the faster of the library's own algorithm and the searched one. Constants were chosen with the fp16 products
    of `calibrated_shapes`.
    """
    fp16 = _preset("h100-sxm", changes)
    configs = {"float16": fp16, "int8": replace(fp16, **INT8)}
    measured = measured_us()
    calibrated = calibrated_shapes(shape for _, _, shape in measured)
    found = []
    for (element, pattern, shape), time_us in measured.items():
        kind = CALIBRATED if element == "float16" and shape in calibrated else VALIDATED
        found.append(
            _row(
                shape,
                pattern,
                group=f"h100-sxm {element}, {said(pattern)}",
                source="own measurements",
                quantity="time",
                unit="us",
                published=time_us,
                simulated=_simulated(shape, configs[element], pattern).time_us,
                kind=kind,
                note=INT8_NOTE if element == "int8" else H100_NOTES[kind],
            )
        )
    return found


def stc(changes: Changes = NO_CHANGES) -> list[Comparison]:
    """Cycles and energies of another simulator's sparse tensor core and its flexible one."""
    found = []
    for row in tables.rows("sparseloop_stc"):
        name, pattern, shape = STC[row["design"]], STC_PATTERNS[row["weight_density"]], _shape(row)
        result = _simulated(shape, _preset(name, changes), pattern)
        long = shape[1] >= LONG_K
        from_here = partial(_row, shape, pattern, source="Sparseloop artifact, Fig. 15")
        found += [
            from_here(
                group=f"{name} cycles, K {'from' if long else 'below'} {LONG_K}",
                quantity="cycles",
                unit="cycles",
                published=float(row["cycles"]),
                simulated=result.cycles,
                kind=CALIBRATED if long else VALIDATED,
                note=STC_NOTE if long else STC_SHORT_NOTE,
            ),
            from_here(
                group=f"{name} energy",
                quantity="energy",
                unit="uJ",
                published=float(row["energy_uJ"]),
                simulated=account(result).total_pj / 1e6,
                kind=CALIBRATED if pattern == DENSE and not long else VALIDATED,
                note=STC_ENERGY_NOTE,
            ),
        ]
    return sorted(found, key=lambda row: row.group)


def calibrated_shapes(shapes: Iterable[Shape]) -> set[Shape]:
    """Return every second of the distinct shapes by MACs: the half that constants were chosen with."""
    return set(sorted(set(shapes), key=lambda shape: (shape[0] * shape[1] * shape[2], shape))[::2])


class ChipPower(NamedTuple):
    """Power of the modelled parts of a board in a large dense product, and the limit of the board.

    product : in words; time_us : simulated
    parts_watts : by level of the N:M unit, and leakage
    board_watts : the board's limit; measured_watts, measured_pj_per_flop : of our own board, where measured
    """

    preset: str
    product: str
    time_us: float
    parts_watts: dict[str, float]
    board_watts: float
    measured_watts: float | None
    measured_pj_per_flop: float | None

    @property
    def modelled_watts(self) -> float:
        """All modelled parts."""
        return sum(self.parts_watts.values())


POWER_SIDE = 8192
LEFT_OUT = (
    "not in the model: instruction issue, register files' real traffic, interconnect, idle parts, voltage conversion "
    "and fans; modelled parts are of 45 nm, scaled to the node. pJ per FLOP is of our "
    "own board: we found none published with its source"
)


def power() -> list[ChipPower]:
    """Each preset that is a board, in a dense fp16 product of 8192 cubed."""
    found = []
    for name in HELD_AGAINST:
        config = TensorCoreConfig.preset(name)
        if config.board_watts is None:
            continue
        result = _simulated((POWER_SIDE,) * 3, config, DENSE)
        parts = {part: pj / result.time_us / 1e6 for part, pj in account(result).by_component.items()}
        own = _own_power() if name == "h100-sxm" else None
        flops = 2 * result.dense_macs
        found.append(
            ChipPower(
                name,
                f"dense fp16, {POWER_SIDE} cubed",
                result.time_us,
                parts,
                config.board_watts,
                None if own is None else float(own["watts_median"]),
                None if own is None else float(own["millijoules_each"]) * 1e9 / flops,
            )
        )
    return found


def _own_power() -> Mapping[str, str]:
    rows = tables.rows("data/h100_sxm/power", MEASURED)
    side = str(POWER_SIDE)
    return next(
        row
        for row in rows
        if (row["kernel"], row["dtype"], row["m_sparse_rows"], row["n_dense_cols"]) == ("dense", "float16", side, side)
    )


def measured_us() -> dict[tuple[str, Pattern, Shape], float]:
    """Element, pattern and shape: the fastest cold time, us; shapes measured again have their last time."""
    kernels: dict[tuple[str, str, Shape], float] = {}
    for row in tables.rows("data/h100_sxm/gemm", MEASURED):
        if row["kernel"] in ("dense", "sparse24", "sparse24_searched"):
            shape = int(row["m_sparse_rows"]), int(row["k"]), int(row["n_dense_cols"])
            kernels[row["kernel"], row["dtype"], shape] = float(row["cold_us"])
    found: dict[tuple[str, Pattern, Shape], float] = {}
    for (kernel, element, shape), time_us in kernels.items():
        key = element, DENSE if kernel == "dense" else TWO_OF_FOUR, shape
        found[key] = min(time_us, found.get(key, time_us))
    return found


def _shape(row: Mapping[str, str]) -> Shape:
    lower = {name.lower(): value for name, value in row.items()}
    return int(lower["m"]), int(lower["k"]), int(lower["n"])


def _simulated(shape: Shape, config: TensorCoreConfig, pattern: Pattern) -> SimResult:
    """K is padded to whole groups, as a library would."""
    m, k, n = shape
    return simulate_gemm(m, k + -k % pattern[1], n, config, n_keep=pattern[0], m_group=pattern[1])


def _preset(name: str, changes: Changes) -> TensorCoreConfig:
    return TensorCoreConfig.preset(name, **changes.get(name, {}))


def _row(shape: Shape, pattern: Pattern, **figures: Any) -> Comparison:
    size = " x ".join(map(str, shape))
    return Comparison(row=f"{size}, {said(pattern)}", inputs="the shape alone", **figures)
