"""A toy accelerator: lanes that each walk through the non-zeros of their rows, one multiply-accumulate a cycle."""

from operator import attrgetter

from eie_sim.units.unit import Unit
from toy.config import ToyConfig, energies, roof, sized
from toy.matrix import compress, storage
from toy.published import published
from toy.simulate import simulate
from toy.words import WORDS

UNIT = Unit(
    name="toy",
    title="Toy",
    config=ToyConfig,
    matrix="toy.matrix:ToyMatrix",
    words=WORDS,
    takes_bias=False,
    compress=compress,
    storage=storage,
    simulate=simulate,
    energies=energies,
    lanes=attrgetter("n_lane"),
    roof=roof,
    sized=sized,
    precision=lambda config: "float32 weights, float64 sums",
    published=published,
)
