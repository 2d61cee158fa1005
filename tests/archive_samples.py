"""Archives for the tests, and a reader of archives that shares no code with the package."""

import json
import struct

import numpy as np
from hypothesis import strategies as st

from eie_sim.archive import Archive, archive_of
from eie_sim.core.quantize import Scales
from eie_sim.network import Layer, Left, Network
from eie_sim.units.eie.matrix import EieMatrix

NAMES = ("fc1", "a/b", "codes", 'quote"s', "é", "fc1.bias", "mask/fc1", "x" * 200)
RECIPE = {"criterion": "magnitude", "density": 0.25, "steps": [0.5, 0.25], "pattern": None, "größe": {"n": 2}}


def layer(name, shape, rng, *, bias=True, density=0.4):
    weights = np.where(rng.random(shape) < density, rng.normal(size=shape), 0)
    return Layer(
        name=name,
        weights=weights.astype(np.float32),
        bias=rng.normal(size=shape[0]) if bias else None,
        weights_source="drawn for a test",
        synthetic=True,
    )


def matrix(one, weight_bits=4, scales=None):
    return EieMatrix.from_dense(one.weights, n_pe=2, bias=one.bias, weight_bits=weight_bits, scales=scales)


def small(seed=0, **changes):
    """Two chained layers, 5 x 7 with bias and 3 x 5 without, 4 and 2 bits, with calibration inputs."""
    rng = np.random.default_rng(seed)
    layers = layer("fc1", (5, 7), rng), layer("fc2", (3, 5), rng, bias=False)
    options = {"calibration": rng.random((2, 7)), "not_simulated": (("conv1", "convolution"),), "left": Left(8, 2, 1)}
    options |= {"seed": seed} | changes
    network = Network(name="small", layers=layers, chained=True, source="a test", **options)
    chosen = Scales(weight=7, activation=6, accumulator=5)
    return archive_of(network, [matrix(layers[0]), matrix(layers[1], 2, chosen)], recipe=RECIPE)


@st.composite
def archives(draw):
    """Any number of layers of any width, chained or not."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3, unique=True))
    widths = draw(st.lists(st.integers(1, 40), min_size=len(names) + 1, max_size=len(names) + 1))
    layers = tuple(
        layer(
            name,
            (widths[at + 1], widths[at]),
            rng,
            bias=draw(st.booleans()),
            density=draw(st.sampled_from([0, 0.3, 1])),
        )
        for at, name in enumerate(names)
    )
    inputs = rng.random((3, widths[0])).astype(draw(st.sampled_from([np.float32, np.float64])))
    network = Network(
        name="any", layers=layers, chained=draw(st.booleans()), source="test", seed=draw(st.integers(0, 2**70)),
        calibration=inputs if draw(st.booleans()) else None,
    )  # fmt: skip
    given = [{"weight": 3}, {"weight": 15, "activation": 2, "accumulator": 1}, {"weight": -3, "accumulator": -30}]
    scales = draw(st.sampled_from([None, *(Scales(**each) for each in given)]))
    return archive_of(network, [matrix(each, draw(st.integers(1, 8)), scales) for each in layers], recipe=RECIPE)


def assert_same(a: Archive, b: Archive):
    assert (a.source_sha256, a.recipe, a.package) == (b.source_sha256, b.recipe, b.package)
    ours, theirs = a.network, b.network
    for name in ("name", "chained", "source", "seed", "not_simulated", "left"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert_equal(ours.calibration, theirs.calibration)
    assert [each.name for each in ours.layers] == [each.name for each in theirs.layers]
    for one, two in zip(ours.layers, theirs.layers, strict=True):
        assert (one.weights_source, one.synthetic) == (two.weights_source, two.synthetic)
        assert one.stored.scales == two.stored.scales
        for part in ("codes", "bias_codes", "codebook", "codebook_raw", "mask", "weights", "bias"):
            assert_equal(getattr(one.stored, part), getattr(two.stored, part))
        assert two.weights is two.stored.weights


def assert_equal(a, b):
    assert (a is None) == (b is None)
    if a is not None:
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        np.testing.assert_array_equal(a, b)


def read_alone(data):
    """Layer names to rows of values, from nothing but the description of the layout."""
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    layers = {}
    for layer in json.loads(header["__metadata__"]["eie_sim.manifest"])["layers"]:
        name, width, columns = layer["name"], layer["weight_bits"], layer["n_in"] + layer["bias"]
        part = {}
        for kind in ("mask", "codes", "codebook"):
            begin, end = header[f"{kind}/{name}"]["data_offsets"]
            part[kind] = data[8 + length + begin : 8 + length + end]
        book = struct.unpack(f"<{2**width}d", part["codebook"])
        mask, codes = (int.from_bytes(part[kind], "little") for kind in ("mask", "codes"))
        values = []
        for at in range(layer["n_out"] * columns):
            kept = mask >> at & 1
            values.append(book[codes & (2**width - 1)] if kept else 0.0)
            codes >>= width * kept
        layers[name] = [values[at : at + columns] for at in range(0, len(values), columns)]
    return layers
