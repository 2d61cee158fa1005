"""EIE, the efficient inference engine (Han et al. 2016): all that others may ask of it is `UNIT`."""

from eie_sim.units.eie import energy, format
from eie_sim.units.eie.config import EieConfig
from eie_sim.units.unit import Unit, late

UNIT = Unit(
    name="eie",
    title="EIE",
    config=EieConfig,
    matrix="eie_sim.units.eie.matrix:EieMatrix",
    takes_bias=True,
    compress=late("eie_sim.units.eie.unit:compress"),
    simulate=late("eie_sim.units.eie.unit:simulate"),
    for_inputs=EieConfig.for_inputs,
    bits=format.bits,
    components=energy.COMPONENTS,
    energies=energy.rows,
    energy_counts=energy.counts,
    lanes=energy.lanes,
    area=energy.area,
)
