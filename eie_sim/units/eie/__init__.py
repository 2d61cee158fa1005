"""EIE, the efficient inference engine (Han et al. 2016): all that others may ask of it is `UNIT`."""

from operator import attrgetter

from eie_sim.units.eie.config import ACTIVE_RULES, ROUNDINGS, EieConfig, alike, roof
from eie_sim.units.eie.words import WORDS
from eie_sim.units.unit import Unit, late

UNIT = Unit(
    name="eie",
    title="EIE",
    config=EieConfig,
    matrix="eie_sim.units.eie.matrix:EieMatrix",
    choices={"rounding": ROUNDINGS, "active": ACTIVE_RULES},
    takes_bias=True,
    compress=late("eie_sim.units.eie.unit:compress"),
    simulate=late("eie_sim.units.eie.unit:simulate"),
    for_inputs=EieConfig.for_inputs,
    bits=late("eie_sim.units.eie.matrix:bits"),
    energies=late("eie_sim.units.eie.energy:rows"),
    timeline=late("eie_sim.units.eie.activity:activity_of"),
    words=WORDS,
    roof=roof,
    lanes=attrgetter("n_pe"),
    area=late("eie_sim.units.eie.energy:area"),
    many=late("eie_sim.units.eie.many:many"),
    alike=alike,
    sized=late("eie_sim.units.eie.compared:sized"),
    held_against=late("eie_sim.units.eie.compared:held_against"),
    precision=late("eie_sim.units.eie.compared:precision"),
)
