"""A small unit of another package, to be swept: lanes that take the non-zero weights one after the other."""

from dataclasses import asdict, dataclass

import numpy as np

from eie_sim.core.errors import require_int
from eie_sim.core.result import SimResult, config_hash
from eie_sim.core.storage import Format
from eie_sim.units.energy import LEAKAGE, PE_CYCLE, row_of
from eie_sim.units.unit import Unit, Word, Words


class Event(Word):
    MACS = 0, "multiply-accumulates"


class Class(Word):
    WORK = 0, "a lane multiplies"
    IDLE = 1, "a lane has nothing to do"


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    """One design.

    Parameters
    ----------
    n_lane
        Lanes, a MAC in a cycle each.
    order
        rows or columns.
    clock_mhz
        Clock.
    node_nm
        Node.
    """

    n_lane: int = 4
    order: str = "rows"
    clock_mhz: float = 100.0
    node_nm: int = 45

    def __post_init__(self):
        require_int("n_lane", self.n_lane, 1, 1000 if self.order == "rows" else 100)

    def to_dict(self):
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class TinyMatrix:
    weights: np.ndarray
    n_out = property(lambda self: len(self.weights))
    n_in = property(lambda self: self.weights.shape[1])
    n_weight = property(lambda self: int(np.count_nonzero(self.weights)))
    density = property(lambda self: self.n_weight / self.weights.size)

    def decode(self):
        return self.weights


def simulate(matrix, activations, config, *, engine, timeline, inputs=None):
    batch = np.atleast_2d(activations)
    output, macs = batch @ matrix.weights.T, np.count_nonzero(matrix.weights)
    per_vector = np.int64(-(-macs // config.n_lane))  # as sums of arrays are
    rest = per_vector * config.n_lane - macs
    work = np.full(config.n_lane, per_vector) - (np.arange(config.n_lane) >= config.n_lane - rest)
    cycles = per_vector * len(batch)
    return SimResult(
        unit="tiny",
        engine=engine,
        config=config,
        output=output.reshape(*np.shape(activations)[:-1], -1),
        cycles=cycles,
        cycles_per_vector=np.full(len(batch), per_vector),
        n_vector=len(batch),
        n_unit=config.n_lane,
        event_names=Event.names(),
        counts=np.array([[macs * len(batch)]]),
        class_names=Class.names(),
        classes=len(batch) * np.stack([work, per_vector - work], axis=1),
        useful_class="work",
        busy_classes=("work",),
        named={"kind": config.order},
        effectual_macs=int(macs * len(batch)),
        dense_macs=matrix.weights.size * len(batch),
        inputs=inputs or "given",
        config_hash=config_hash("tiny", config.to_dict()),
    )


COMPONENTS = {"macs": ("lanes",), PE_CYCLE: ("clock",), LEAKAGE: (LEAKAGE,)}

UNIT = Unit(
    name="tiny",
    title="Tiny",
    config=TinyConfig,
    matrix="tiny_unit:TinyMatrix",
    choices={"order": ("rows", "columns")},
    words=Words(
        events=Event,
        classes=Class,
        totals={},
        useful=Class.WORK,
        busy=(Class.WORK,),
        components=COMPONENTS,
        colours={"work": "blue", "idle": "pale", "lanes": "red", "clock": "sky"},
        columns={"macs": "multiply-accumulates", "idle_cycles": "cycles of idle lanes", "kind": "the order"},
        needed=("macs", "n_lane"),
        worded=("kind",),
    ),
    takes_bias=False,
    compress=lambda weights, config, *, bias=None: TinyMatrix(weights=np.asarray(weights)),
    storage=lambda matrix, config: Format(
        name="tiny",
        parts={"values": 32 * matrix.weights.size},
        dense_bits=16 * matrix.weights.size,
        note="",
    ),
    simulate=simulate,
    energies=lambda config: [row_of(COMPONENTS, event, 1.0, "chosen") for event in COMPONENTS],
    lanes=lambda config: config.n_lane,
    roof=lambda config, events: (1.0, 1.0, "none", 1.0),
    sized=lambda lanes, clock_mhz, node_nm: (TinyConfig(n_lane=lanes, clock_mhz=clock_mhz, node_nm=node_nm), 1),
    precision=lambda config: "float64",
)
