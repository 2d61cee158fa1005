"""N:M tensor cores: all that others may ask of them is `UNIT`."""

from operator import attrgetter

from eie_sim.units.nm.config import MEMORIES, PRESETS, TensorCoreConfig, advice, roof
from eie_sim.units.nm.words import WORDS
from eie_sim.units.unit import Unit, late

UNIT = Unit(
    name="nm",
    title="N:M",
    config=TensorCoreConfig,
    matrix="eie_sim.units.nm.matrix:NmMatrix",
    presets=tuple(PRESETS),
    start="nm-64",
    choices={"dram": MEMORIES},
    takes_bias=False,
    compress=late("eie_sim.units.nm.unit:compress"),
    simulate=late("eie_sim.units.nm.unit:simulate"),
    stepped=late("eie_sim.units.nm.unit:simulate"),
    storage=late("eie_sim.units.nm.matrix:storage"),
    patterns=attrgetter("patterns"),
    runs_as=lambda config, pattern: config.runs_as(*pattern),
    energies=late("eie_sim.units.nm.energy:rows"),
    energy_counts=late("eie_sim.units.nm.energy:counts"),
    words=WORDS,
    word_bits=lambda config: 8 * int(config.elem_bytes),
    style=lambda config: {"batched": True, "depthwise": False, "two_activations": True},
    repacked=late("eie_sim.units.nm.unit:repacked"),
    launch=late("eie_sim.units.nm.unit:launch"),
    verify=late("eie_sim.units.nm.verify:verify"),
    advice=advice,
    limit=late("eie_sim.units.nm.limit:limit"),
    timed=late("eie_sim.units.nm.limit:timed"),
    describe=late("eie_sim.units.nm.unit:describe"),
    opened=late("eie_sim.units.nm.unit:opened"),
    output_of=late("eie_sim.units.nm.unit:output_of"),
    roof=roof,
    lanes=late("eie_sim.units.nm.energy:lanes"),
    published=late("eie_sim.units.nm.published:rows"),
    details=late("eie_sim.units.nm.details:details"),
    examples=late("eie_sim.units.nm.examples:example"),
    many=late("eie_sim.units.nm.many:many"),
    chip=late("eie_sim.units.nm.compared:chip"),
    held_against=late("eie_sim.units.nm.unit:held_against"),
    precision=lambda config: "int8" if config.elem_bytes == 1 else "fp16",
)
