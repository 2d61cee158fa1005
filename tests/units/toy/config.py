"""What a toy is, what its events cost, and how fast it can be."""

from dataclasses import asdict, dataclass

from eie_sim.core.errors import is_number, require, require_int
from eie_sim.units.energy import row_of
from toy.words import COMPONENTS

PJ = {"macs": 4.6, "row_starts": 5.0, "pe_cycle": 0.5, "leakage": 0.1}
SOURCES = {
    "macs": "32-bit float multiply and add; Horowitz, ISSCC 2014",
    "row_starts": "32 bits of an 8 KB SRAM; Horowitz, ISSCC 2014",
}


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    """One design. Raises InputError.

    Parameters
    ----------
    n_lane
        Lanes; row i of the weights belongs to lane i % n_lane.
    start_cycles
        Cycles that a lane takes to begin a row.
    clock_mhz
        Clock in MHz.
    node_nm
        Technology node, for energy, nm.
    """

    n_lane: int = 4
    start_cycles: int = 1
    clock_mhz: float = 500.0
    node_nm: int = 45

    def __post_init__(self):
        for name, low, high in (("n_lane", 1, 1024), ("start_cycles", 0, 64), ("node_nm", 1, 1000)):
            require_int(name, getattr(self, name), low, high)
            object.__setattr__(self, name, int(getattr(self, name)))
        clock = self.clock_mhz
        require(is_number(clock) and 1 <= clock <= 1e5, "clock_mhz", clock, "must be a number in 1..1e5")
        object.__setattr__(self, "clock_mhz", float(clock))

    def to_dict(self):
        """Field names and values, in order."""
        return asdict(self)


def energies(config):
    """A row for each of COMPONENTS, at 45 nm."""
    return tuple(
        row_of(COMPONENTS, event, PJ[event], SOURCES.get(event, "chosen"), chosen=event not in SOURCES)
        for event in COMPONENTS
    )


def sized(lanes, clock_mhz, node_nm):
    """A design with as many lanes as a chip has MACs in a cycle, and how many of it."""
    return ToyConfig(n_lane=min(lanes, 1024), clock_mhz=clock_mhz, node_nm=node_nm), max(1, lanes // 1024)


def roof(config, events):
    """Peak GOP/s, bytes per us, the memory, and the bytes read: a value and its column, 4 bytes each, for a MAC."""
    per_us = config["n_lane"] * config["clock_mhz"]
    return 2 * per_us / 1e3, 8 * per_us, "weight SRAM", 8 * events["macs"]
