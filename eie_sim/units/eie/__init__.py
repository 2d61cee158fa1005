"""EIE, the efficient inference engine (Han et al. 2016): all that others may ask of it is `UNIT`."""

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
)
