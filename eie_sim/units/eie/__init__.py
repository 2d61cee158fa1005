"""EIE, the efficient inference engine (Han et al. 2016): all that others may ask of it is `UNIT`."""

from operator import attrgetter

from eie_sim.units.eie.config import ACTIVE_RULES, ROUNDINGS, EieConfig, advice, alike, roof
from eie_sim.units.eie.words import WORDS
from eie_sim.units.unit import Unit, late

UNIT = Unit(
    name="eie",
    title="EIE",
    config=EieConfig,
    matrix="eie_sim.units.eie.matrix:EieMatrix",
    choices={"rounding": ROUNDINGS, "active": ACTIVE_RULES},
    takes_bias=True,
    in_turn=True,
    compress=late("eie_sim.units.eie.unit:compress"),
    simulate=late("eie_sim.units.eie.unit:simulate"),
    stepped=late("eie_sim.units.eie.unit:simulate"),
    for_inputs=EieConfig.for_inputs,
    storage=late("eie_sim.units.eie.matrix:storage"),
    storage_of_mask=late("eie_sim.units.eie.storage:of_mask"),
    energies=late("eie_sim.units.eie.energy:rows"),
    timeline=late("eie_sim.units.eie.activity:activity_of"),
    words=WORDS,
    verify=late("eie_sim.units.eie.verify:verify"),
    describe=EieConfig.describe,
    advice=advice,
    limit=late("eie_sim.units.eie.limit:limit"),
    timed=late("eie_sim.units.eie.limit:timed"),
    codes=attrgetter("weight_bits", "index_bits"),
    opened=late("eie_sim.units.eie.unit:opened"),
    output_of=late("eie_sim.units.eie.unit:output_of"),
    words_of=late("eie_sim.units.eie.unit:raw_activations"),
    roof=roof,
    lanes=attrgetter("n_pe"),
    area=late("eie_sim.units.eie.energy:area"),
    placed=late("eie_sim.units.eie.unit:placed"),
    pack=late("eie_sim.units.eie.unit:pack"),
    unpack=late("eie_sim.units.eie.unit:unpack"),
    published=late("eie_sim.units.eie.published:rows"),
    studies=late("eie_sim.units.eie.studies:studies"),
    examples=late("eie_sim.units.eie.examples:example"),
    many=late("eie_sim.units.eie.many:many"),
    alike=alike,
    sized=late("eie_sim.units.eie.unit:sized"),
    held_against=late("eie_sim.units.eie.unit:held_against"),
    precision=lambda config: f"{config.weight_bits}-bit codes, 16-bit words",
)
