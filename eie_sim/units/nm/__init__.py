"""N:M tensor cores: all that others may ask of them is `UNIT`."""

from operator import attrgetter

from eie_sim.units.nm import energy
from eie_sim.units.nm.config import PRESETS, TensorCoreConfig
from eie_sim.units.unit import Unit, late

UNIT = Unit(
    name="nm",
    title="N:M",
    config=TensorCoreConfig,
    matrix="eie_sim.units.nm.matrix:NmMatrix",
    presets=tuple(PRESETS),
    takes_bias=False,
    compress=late("eie_sim.units.nm.unit:compress"),
    simulate=late("eie_sim.units.nm.unit:simulate"),
    bits=lambda matrix, config: matrix.total_bits,
    patterns=attrgetter("patterns"),
    components=energy.COMPONENTS,
    energies=energy.rows,
    energy_counts=energy.counts,
    lanes=energy.lanes,
)
