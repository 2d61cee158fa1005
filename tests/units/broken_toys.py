"""Toys with one thing wrong, each beside the checks that must find it and what the first of them says."""

import itertools
from dataclasses import dataclass, replace
from typing import NamedTuple

import msgspec
import numpy as np
from toy import UNIT
from toy.config import ToyConfig, energies
from toy.matrix import compress, storage
from toy.simulate import simulate
from toy.words import COMPONENTS, WORDS

from eie_sim.core.errors import InputError
from eie_sim.core.verification import verify_floats
from eie_sim.units.energy import LEAKAGE
from eie_sim.units.unit import Unit, Word

PLAIN = replace(UNIT, sized=None, precision=lambda config: "", published=None)
"""Nothing wrong, and nothing that a unit may leave out."""


class Broken(NamedTuple):
    unit: Unit
    checks: set[str]
    says: str


def stored_as(parts):
    return lambda matrix, config: replace(storage(matrix, config), parts=parts)


def verified_blindly(layer, matrix, activations, result, **options):
    found = verify_floats(layer, matrix, activations, result)
    return msgspec.structs.replace(found, ok=True)


BROKEN: dict[str, Broken] = {}


def broken(checks, says, **changes):
    return Broken(replace(UNIT, **changes), set(checks.split(", ")), says)


def changed(change, only=None):
    """A simulation whose result `change` alters, that of one engine or of both."""

    def run(matrix, activations, config=None, *, engine="fast", **options):
        result = simulate(matrix, activations, config, engine=engine, **options)
        return replace(result, **change(result)) if only in (None, engine) else result

    return run


def one_cycle_more(result):
    classes = result.classes.copy()
    classes[:, 2] += 1
    last = result.cycles_per_vector.copy()
    last[-1] += 1
    return {"cycles": result.cycles + 1, "cycles_per_vector": last, "classes": classes}


def one_more(array, column):
    more = array.copy()
    more[0, column] += 1
    return more


def without(array, column):
    less = array.copy()
    less[:, column] = 0
    return less


class FewEvents(Word):
    MACS = 0, "multiply-accumulates"


class Twice(Word):
    MACS = 0, "multiply-accumulates"
    ROW_STARTS = 0, "rows begun"


def design(**members):
    """A config that is the toy's but for some members."""
    made = type("LaxConfig", (ToyConfig,), {"__doc__": ToyConfig.__doc__, "__module__": __name__, **members})
    return dataclass(frozen=True, kw_only=True)(made)


def unchecked(self):
    given = self.n_lane
    if type(given) is int and given < 1:
        object.__setattr__(self, "n_lane", 1)
    ToyConfig.__post_init__(self)


def bool_taken(self):
    if self.start_cycles is not True:
        ToyConfig.__post_init__(self)


def other_word(self):
    try:
        ToyConfig.__post_init__(self)
    except InputError as error:
        raise InputError(f"lanes: {error}") from None


def as_given(self):
    given = self.clock_mhz
    ToyConfig.__post_init__(self)
    object.__setattr__(self, "clock_mhz", given)


def in_bad_presets(cls, name, **changes):
    return cls()


def forgetful(matrix, activations, config=None, **options):
    if np.isnan(activations).any():
        activations = np.nan_to_num(activations)
    return simulate(matrix, activations, config, **options)


def misnaming(matrix, activations, config=None, **options):
    try:
        return simulate(matrix, activations, config, **options)
    except InputError as error:
        raise InputError(str(error).replace("activations", "b")) from None


def multiplied_first(matrix, activations, config=None, **options):
    matrix.decode() @ np.asarray(activations).T
    return simulate(matrix, activations, config, **options)


def clearing(matrix, activations, config=None, **options):
    result = simulate(matrix, activations, config, **options)
    np.asarray(activations)[...] = 0
    return result


def needs_config(matrix, activations, config=None, **options):
    return simulate(matrix, activations, replace(config), **options)


def timeline_ignored(matrix, activations, config=None, *, timeline=False, **options):
    return simulate(matrix, activations, config, **options)


def pruning(weights, config, *, bias=None):
    matrix = compress(weights, config, bias=bias)
    return compress(np.where(np.abs(matrix.decode()) < 2, 0, matrix.decode()), config)


def divided(self):
    1 / self.n_lane if type(self.n_lane) is int else None
    ToyConfig.__post_init__(self)


def refusing(weights, config, *, bias=None):
    raise InputError("weights=given: must be another day")


def failing(matrix, activations, config=None, **options):
    assert len(matrix.values) < 40, "too many"
    return simulate(matrix, activations, config, **options)


def bias_dropped(weights, config, *, bias=None):
    return compress(weights, config)


CALLS = itertools.count()
COUNT_OF_CALLS = changed(lambda result: {"counts": result.counts + np.array([[0, next(CALLS)]])})

BROKEN |= {
    "a cycle more": broken("engines", "cycles 2 and 1 of fast and reference", simulate=changed(one_cycle_more, "fast")),
    "a cycle of a class": broken(
        "engines, counts",
        "(mac)",
        simulate=changed(lambda result: {"classes": one_more(result.classes, 0)}, "reference"),
    ),
    "a wrong count": broken(
        "engines",
        "counts [0, 1] (row_starts) 2 and 1 of fast and reference",
        simulate=changed(lambda result: {"counts": one_more(result.counts, 1)}, "fast"),
    ),
    "another output": broken(
        "engines", "output", simulate=changed(lambda result: {"output": result.output * (1 + 2**-52)}, "fast")
    ),
    "another type": broken(
        "engines", "output", simulate=changed(lambda result: {"output": result.output.astype(np.float32)}, "fast")
    ),
    "rows mixed up": broken(
        "products, verified",
        "input 0 alone gives output",
        simulate=changed(lambda result: {"output": result.output[..., ::-1]}),
    ),
    "a design for inputs": broken(
        "products",
        "for_inputs makes",
        for_inputs=lambda config, inputs: replace(config, start_cycles=1 - config.start_cycles % 2),
    ),
    "a class missing": broken(
        "counts", "classes add to", simulate=changed(lambda result: {"classes": without(result.classes, 1)})
    ),
    "negative counts": broken(
        "counts, accounting",
        "counts of row_starts are negative",
        simulate=changed(lambda result: {"counts": -result.counts}),
    ),
    "small counts": broken(
        "counts", "int64", simulate=changed(lambda result: {"counts": result.counts.astype(np.int32)})
    ),
    "another useful class": broken("counts", "words say", simulate=changed(lambda result: {"useful_class": "start"})),
    "another hash": broken("counts", "is said to be of", simulate=changed(lambda result: {"config_hash": "0"})),
    "too fast": broken(
        "counts", "is faster than its roof", roof=lambda config, events: (1e-6, 1e-6, "weight SRAM", 8 * events["macs"])
    ),
    "not the same again": broken("engines, repeatable", "counts [0, 1] (row_starts)", simulate=COUNT_OF_CALLS),
    "an order of hashes": broken(
        "other process",
        "another process returns other results",
        simulate=changed(lambda result: {"named": {"kinds": list({"a", "b", "c", "d", "e", "f", "g", "h"})}}),
    ),
    "inputs changed": broken(
        "engines, repeatable, verified, words", "active_inputs 1 and 0 of fast and reference", simulate=clearing
    ),
    "a field not checked": broken("bad fields", "n_lane=-1 is taken", config=design(__post_init__=unchecked)),
    "a field that divides": broken(
        "bad fields", "n_lane=0 raises ZeroDivisionError", config=design(__post_init__=divided)
    ),
    "a bool taken": broken("bad fields", "start_cycles=True is taken", config=design(__post_init__=bool_taken)),
    "a field misnamed": broken("bad fields", "does not begin with n_lane", config=design(__post_init__=other_word)),
    "a field forgotten": broken(
        "round trip",
        "to_dict is not plain",
        config=design(to_dict=lambda self: {"n_lane": self.n_lane, "start_cycles": 1, "clock_mhz": self.clock_mhz}),
    ),
    "numbers as given": broken("round trip", "gives another hash", config=design(__post_init__=as_given)),
    "a type of nothing": broken(
        "record, bad fields, storage, accounting, strangers",
        "record: is not found by its name",
        config=design(__annotations__={"n_lane": "Lanes"}, n_lane=4),
    ),
    "an undescribed field": broken("record", "does not say what n_lane is", config=design(__doc__="One design.")),
    "words without an event": broken(
        "words", "event row_starts: words lack it", words=replace(WORDS, events=FewEvents)
    ),
    "two events at one place": broken("words", "each place once", words=replace(WORDS, events=Twice)),
    "an event without energy": broken(
        "words, energies, accounting",
        "event row_starts: words lack its component of the energy",
        words=replace(WORDS, components={name: of for name, of in COMPONENTS.items() if name != "row_starts"}),
    ),
    "leakage first": broken(
        "words, energies",
        "the last two must be pe_cycle and leakage",
        words=replace(WORDS, components={LEAKAGE: (LEAKAGE,), **COMPONENTS}),
    ),
    "no colour": broken(
        "words", "colour of mac is none", words=replace(WORDS, colours={**WORDS.colours, "mac": "none"})
    ),
    "useful, not busy": broken(
        "words, counts", "useful must be one of busy", words=replace(WORDS, busy=(WORDS.classes.START,))
    ),
    "a column twice": broken(
        "words", "column n_lane is a field of the design", words=replace(WORDS, columns={"n_lane": "lanes"})
    ),
    "no row": broken("energies, accounting", "event macs: has no energy", energies=lambda config: energies(config)[1:]),
    "negative energy": broken(
        "energies, accounting",
        "event macs: energy is -1.0 pJ",
        energies=lambda config: (energies(config)[0]._replace(energy_pj=-1.0), *energies(config)[1:]),
    ),
    "no source": broken(
        "energies",
        "event macs: its energy has no source",
        energies=lambda config: (energies(config)[0]._replace(source=""), *energies(config)[1:]),
    ),
    "no lanes": broken("energies", "lanes=0", lanes=lambda config: 0),
    "weights dropped": broken("storage, verified", "decode() has other non-zeros than the weights", compress=pruning),
    "no bits": broken("storage", "storage={}: bits must be integers", storage=stored_as({})),
    "bits of numpy": broken("storage", "bits must be integers", storage=stored_as({"values": np.int64(32)})),
    "words of others": broken("words", "are others than those", words_of=lambda matrix, real: -real),
    "outputs of others": broken(
        "words", "output_of gives others", output_of=lambda matrix, real, config: real @ matrix.decode().T + 1
    ),
    "no active inputs": broken("words", "active_inputs=None", simulate=changed(lambda result: {"active_inputs": None})),
    "no line": broken("words", "describe gives 3", describe=lambda config: 3),
    "all verified": broken("verified", "an output that is wrong is verified", verify=verified_blindly),
    "a bias dropped": broken("bad workloads", "bias of 1 is taken", compress=bias_dropped),
    "NaN taken": broken("bad workloads", "activations of NaN is taken", simulate=forgetful),
    "activations misnamed": broken(
        "bad workloads", "is refused by a line that does not begin with activations: 'b=", simulate=misnaming
    ),
    "shapes not checked": broken(
        "bad workloads", "activations of one input too many raises ValueError", simulate=multiplied_first
    ),
    "a timeline not refused": broken("bad workloads", "timeline is taken", simulate=timeline_ignored),
    "a preset of nothing": broken("presets", "AttributeError", presets=("small",)),
    "any preset": broken(
        "presets",
        "preset small does not make",
        config=design(preset=classmethod(in_bad_presets)),
        presets=("small",),
    ),
    "all refused": broken(
        "words, storage, engines, counts, verified, products, accounting, repeatable, bad workloads, strangers",
        "storage: every workload is refused, the last one as weights=given: must be another day",
        compress=refusing,
    ),
    "an error": broken(
        "engines, counts, verified, words, products, accounting, repeatable, bad workloads",
        "raises AssertionError: too many",
        simulate=failing,
    ),
    "no default design": broken("strangers", "replace() should be called on", simulate=needs_config),
}


def __getattr__(name):
    """The units by names that an entry point can have."""
    found = {attribute(each): one.unit for each, one in BROKEN.items()}
    if name not in found:
        raise AttributeError(name)
    return found[name]


def attribute(name):
    """What an entry point calls one of BROKEN."""
    return name.upper().replace(" ", "_").replace(",", "")
