"""Parts that exporters split off as a sequence are slices, where sizes and places are constant."""

import numpy as np
import pytest
from onnx_models import drawn, expected, helper, model, read

from eie_sim.core.errors import InputError
from eie_sim.network import floatrun

X = drawn(2, 7)


def split(sizes, places, **attributes):
    nodes = [helper.make_node("SplitToSequence", ["x", "sizes"], ["parts"], name="split", axis=1, **attributes)]
    arrays = {"sizes": np.array(sizes)}
    for at, place in enumerate(places):
        arrays[f"place{at}"] = np.array(place)
        nodes.append(helper.make_node("SequenceAt", ["parts", f"place{at}"], [f"y{at}"], name=f"at{at}"))
    return model(nodes, {"x": X}, arrays, outputs=" ".join(f"y{at}" for at in range(len(places))))


@pytest.mark.parametrize(("sizes", "places"), [(3, [0, 1, 2]), ([2, 4, 1], [2, 0]), ([7], [0])])
def test_parts_of_a_sequence_are_slices(sizes, places):
    proto = split(sizes, places)
    graph = read(proto, {"x": X})
    assert [node.op for node in graph.nodes] == ["Slice"] * len(places)
    found, wanted = floatrun.run(graph), expected(proto, {"x": X})
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_sequence_that_is_read_otherwise_is_refused_as_before():
    with pytest.raises(InputError, match="only arrays are supported"):
        read(split(3, [-1]), {"x": X})
