"""The one record of a run: what `--json` prints, a run folder keeps, and tables, pages and figures read.

Written and checked by msgspec. A figure of a layer is of all its vectors together unless its name says otherwise.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, to_builtins

from eie_sim.core.brief import shows
from eie_sim.core.verification import Amount, Count, Verification

VERSION = 2
"""Version of the record. A record of another version is refused: it has other fields, or other names for them."""

Number = Annotated[float, Meta(gt=-1e30, lt=1e30)]
Totals = dict[str, Count]


class PerVector(Struct, frozen=True, kw_only=True):
    """Cycles of a vector; min and max are None where all vectors are multiplied at once."""

    mean: Amount
    min: Count | None = None
    max: Count | None = None


class Memory(Struct, frozen=True, kw_only=True):
    """Need of a layer for a memory of a PE, in the memory's own unit, and the passes it would take."""

    memory: str
    needed: Count
    available: Count
    unit: str
    passes: Count
    fits: bool


class Energy(Struct, frozen=True, kw_only=True):
    """Energy by component and by event, and the table that it was counted with."""

    table: str
    table_sha256: str | None
    node_nm: Count
    n_pe: Count
    time_us: Amount
    effectual_macs: Count
    by_component_pj: dict[str, Amount]
    by_event_pj: dict[str, Amount]
    pe_cycle_pj: Amount
    leakage_pj: Amount
    total_pj: Amount
    pj_per_effectual_mac: Amount
    power_mw: Amount
    power_mw_per_pe: Amount
    total_nj_per_vector: Amount


class Storage(Struct, frozen=True, kw_only=True):
    """Bits of the compressed weights by part, and how they compare with dense storage."""

    bits: Totals
    percent: dict[str, Amount]
    total_bits: Count
    dense16_bits: Count
    compression_vs_dense32: Amount
    compression_vs_dense16: Amount


class Sampled(Struct, frozen=True, kw_only=True):
    """Number of positions that were timed and checked, of how many that figures stand for; half of a 95 % interval."""

    positions: Count
    of: Count
    cycles_half_interval: Amount | None


class Positions(Struct, frozen=True, kw_only=True):
    """Shares of a vector's inputs that take part, over the vectors that were timed.

    density_p5, density_p95 : percentiles; all_zero : share of vectors none of whose inputs takes part
    """

    density_p5: Amount
    density_p95: Amount
    all_zero: Amount


class RunCosts(Struct, frozen=True, kw_only=True):
    """Costs of a layer, or of all layers, one after the other on the same design.

    stats : totals by name: `events`, `classes` in cycles of all PEs, and the unit's own
    classes_percent : shares of the classes, which add to 100
    sampled : there where figures are of a sample of the positions, or of layers some of which are
    """

    n_vector: Count
    n_weight: Count
    cycles: Count
    cycles_per_vector: PerVector
    time_us: Amount
    time_us_per_vector: Amount
    stats: dict[str, Totals]
    classes_percent: dict[str, Amount]
    utilisation: Amount
    load_balance: Amount
    effectual_macs: Count
    dense_macs: Count
    effective_gops: Amount
    dense_equivalent_gops: Amount
    energy: Energy
    storage: Storage
    fits: bool
    passes: Count
    sampled: Sampled | UnsetType = UNSET

    __repr__ = shows(
        "n_vector", "n_weight", "cycles", "time_us", "utilisation", "load_balance", energy_pj="energy.total_pj"
    )


class LayerResult(RunCosts, frozen=True, kw_only=True):
    """One layer on one unit.

    kind : of its operation; bias : whether it has one
    weights, inputs : what they are, in words
    weight_density, weight_sparsity : None of two activations, neither of which is weights
    scales : what words are in real values, as the unit counts it
    named : choices and findings of the unit, such as what bounds the layer
    again : there where its weights are those of a layer before; the total counts them once
    positions : there where vectors are several, and the unit counts their inputs apart
    map_buffer_bits : there of a convolution whose map lies in a memory outside of the unit: what that holds
    steps : there where vectors wait for each other, and the unit has a choice in it: what it does, in words
    """

    name: str
    kind: str
    n_out: Count
    n_in: Count
    bias: bool
    weights: str
    inputs: str
    synthetic: bool
    weight_density: Amount | None
    weight_sparsity: Amount | None
    activation_density: Amount
    scales: dict[str, Number]
    named: dict[str, Any]
    memories: list[Memory]
    verification: Verification
    again: Literal[True] | UnsetType = UNSET
    positions: Positions | UnsetType = UNSET
    map_buffer_bits: Count | UnsetType = UNSET
    steps: str | UnsetType = UNSET

    __repr__ = shows(
        "name",
        "kind",
        "n_out",
        "n_in",
        "weight_density",
        "n_vector",
        "cycles",
        "time_us",
        "utilisation",
        "weights",
        "inputs",
        energy_pj="energy.total_pj",
        verified="verification.ok",
    )


class Accuracy(Struct, frozen=True, kw_only=True):
    """Share of labelled images classified rightly, of the network before pruning, pruned, and compressed."""

    images: Count
    dense: Amount | None
    pruned: Amount
    compressed: Amount


class Coverage(Struct, frozen=True, kw_only=True):
    """Share of a file that is simulated, in numbers of weights, biases left out.

    share_of_macs_not_simulated : None where weights are left, as a file of arrays does not say how often each is used
    """

    weights_simulated: Count
    weights_not_simulated: Count
    share_not_simulated: Amount
    share_of_macs_not_simulated: Amount | None
    numbers_looked_up: Count
    arrays_not_counted: Count


class NotSimulated(Struct, frozen=True, kw_only=True):
    """An array that is simulated in no way, and why."""

    name: str
    reason: str


class MacShare(Struct, frozen=True, kw_only=True):
    """MACs of the nodes of one kind. reason : why they are left to the host, "" where they are simulated"""

    kind: str
    reason: str
    nodes: Count
    macs: Count


class OutputError(Struct, frozen=True, kw_only=True):
    """Distance of a graph's output from floats: root mean squares relative to the floats, None where those are 0.

    error : from the float run of the masked network; original_error : from that before pruning, None without one
    largest_difference : from the masked network, in real values; None where that is no finite number
    first_not_finite : there where an output has NaN or infinity: place of the first, simulated, or else in floats
    top1_agreement : share of rows of an output [n, classes] whose largest is at the same place; None of other outputs
    """

    name: str
    error: Amount | None
    original_error: Amount | None
    largest_difference: Amount | None
    top1_agreement: Amount | None
    first_not_finite: list[Count] | UnsetType = UNSET


class Lowerings(Struct, frozen=True, kw_only=True):
    """A convolution as one product of its windows, im2col, and as the 16 of its patches, Winograd."""

    node: str
    im2col_cycles: Count
    winograd_cycles: Count
    im2col_pj: Amount
    winograd_pj: Amount


class GraphRecord(Struct, frozen=True, kw_only=True):
    """The part of a record that only a graph of operators has.

    lowered_error : largest difference of a node from its products in floats, of the node's largest output, and where
    notes : what was assumed of the inputs
    lowerings : there where convolutions ran as Winograd: what they take so and as im2col
    """

    lowered_error: Amount
    lowered_node: str
    outputs: list[OutputError]
    macs: list[MacShare]
    notes: list[str]
    lowerings: list[Lowerings] | UnsetType = UNSET


class Tried(Struct, frozen=True, kw_only=True):
    """Another design, timed: what it takes of the cycles and energy of the run.

    option : as the command line has it, or in words; times : vectors at once, of those of the run
    """

    option: str
    cycles_ratio: Amount
    energy_ratio: Amount
    times: Count


class Limit(Struct, frozen=True, kw_only=True):
    """The limit of a run, in a clause, and other designs that were timed on a sample of its vectors, the best first."""

    said: str
    tried: list[Tried]


class GivenEnergy(Struct, frozen=True, kw_only=True):
    """An energy that the user gave."""

    event: str
    default_pj: Amount | None
    given_pj: Amount
    source: str


class EnergyTrace(Struct, frozen=True, kw_only=True):
    """Energies that the user gave, those of them that differ from the defaults, and events that keep the defaults."""

    name: str
    node_nm: Count
    sha256: str
    given: Annotated[list[GivenEnergy], Meta(min_length=1)]
    changed: list[str]
    default: list[str]


class Account(Struct, frozen=True, kw_only=True):
    """Sources of the layers' inputs, in words, and parts of a file that are not simulated.

    coverage : None if not counted
    """

    inputs: dict[str, str]
    not_simulated: list[NotSimulated]
    coverage: Coverage | None


class Result(Account, frozen=True, kw_only=True):
    """A network on one design of one unit.

    design : in a line
    graph : of a graph of operators; not there for layers
    limit : None of a unit that does not say what limits it
    end_to_end_error : of a chain's outputs from those of the float chain of the network's own weights, root mean
        squares relative to the float chain's; None without a chain, or where the float outputs are all 0
    """

    version: Annotated[int, Meta(ge=VERSION, le=VERSION)] = VERSION
    network: str
    source: str
    chained: bool
    synthetic: bool
    seed: Count
    engine: str
    unit: str
    config: dict[str, Any]
    design: str
    config_hash: str
    energy_table: EnergyTrace | None
    versions: dict[str, str]
    layers: Annotated[list[LayerResult], Meta(min_length=1)]
    total: RunCosts
    accuracy: Accuracy | None
    end_to_end_error: Amount | None
    verified: bool
    differs: list[str]
    warnings: list[str]
    graph: GraphRecord | UnsetType = UNSET
    limit: Limit | None = None

    __repr__ = shows(
        "network", "source", "unit", "design", "verified", cycles="total.cycles", layers=lambda self: len(self.layers)
    )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as JSON has it: what something is stands before its figures."""
        plain = _own_first(self)
        plain["layers"] = [_own_first(layer) for layer in self.layers]
        return plain


def _own_first(struct: Struct) -> dict[str, Any]:
    """Fields of a struct itself before those of what it is made upon."""
    plain = to_builtins(struct)
    return {**{name: plain[name] for name in type(struct).__annotations__ if name in plain}, **plain}
