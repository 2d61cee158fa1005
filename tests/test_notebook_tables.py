"""What notebooks show of results: the figures that the objects themselves state, whatever their names are."""

import json
import math
from dataclasses import replace
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest
from networks import chain

import eie_sim as es
from eie_sim.core.storage import Footprint
from eie_sim.network import Network
from eie_sim.pipeline import run_network
from eie_sim.prune import locally, pattern
from eie_sim.study.sweep import Sweep

NAME = "<script>alert('fc')</script>"


class Shown(HTMLParser):
    """Text of an HTML table's cells, exact values of those that have one, tags, and text outside of tables."""

    def __init__(self, made):
        super().__init__()
        self.tags, self.texts, self.values, self.around = set(), [], [], ""
        self.feed(made._repr_html_())
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.tag = tag
        if tag == "td":
            self.texts.append("")
            value = dict(attributes).get("data-value")
            self.values += [] if value is None else [json.loads(value)]

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag == "td":
            self.texts[-1] += data
        elif self.tag != "style":
            self.around += data


def shown(made):
    found = Shown(made)
    assert found.tags <= {"div", "style", "strong", "p", "table", "thead", "tbody", "tfoot", "tr", "th", "td", "br"}
    assert not any(isinstance(value, float) and not math.isfinite(value) for value in found.values)
    return found


@pytest.fixture(scope="module")
def weights():
    rng = np.random.default_rng(0)
    dense = rng.normal(size=(16, 32)).astype(np.float32)
    return dense * pattern.nm(2, 4).prune(abs(dense)).mask


@pytest.fixture(scope="module")
def run():
    layers = chain((8, 12, 4))
    named = tuple(replace(layer, name=f"{NAME} {at}") for at, layer in enumerate(layers.layers))
    return run_network(replace(layers, layers=named, name=NAME, source=NAME), es.EieConfig(n_pe=4))


def test_results_of_both_units(weights):
    result = es.simulate(es.EieMatrix.from_dense(weights, n_pe=4), np.ones((3, 32)), es.EieConfig(n_pe=4))
    found = shown(result)
    assert [3, result.cycles, result.time_us, result.utilisation, result.load_balance] == found.values[:5]
    total = sum(result.stats["classes"].values())
    assert found.values[7:] == pytest.approx([100 * count / total for count in result.stats["classes"].values()])
    assert result.config_hash in found.around
    assert result.inputs in found.around
    product = es.simulate_gemm(256, 64, 96, es.TensorCoreConfig())
    found = shown(product)
    assert product.cycles in found.values
    assert product.bound in found.texts
    assert "x".join(map(str, product.named["tile"])) in found.texts


def test_a_layer_that_does_not_fit_says_so(weights):
    small = es.EieConfig(n_pe=4, register_entries=2)
    result = es.simulate(es.EieMatrix.from_dense(weights, n_pe=4), np.ones(32), small)
    assert f"does not fit: {result.passes} passes" in shown(result).around


def test_a_network_has_a_row_for_each_layer_and_a_sum(run):
    found = shown(run)
    assert found.texts[0] == f"{NAME} 0"
    assert [text for text in found.texts if text in ("verified", "DIFFERS")] == ["verified", "verified"]
    assert found.values[-4:-2] == [run.cycles, sum(layer.result.time_us for layer in run.layers)]
    assert run.layers[0].result.config_hash in found.around
    assert f"{100 * run.accuracy.compressed:.2f} %" in found.around


def test_a_network_that_differs_says_so(run):
    wrong = msgspec.structs.replace(run.layers[0].verification, wrong_outputs=3, ok=False)
    found = shown(replace(run, layers=(replace(run.layers[0], verification=wrong),)))
    assert "DIFFERS" in found.texts
    assert "NOT VERIFIED" in found.around
    assert "3 of" in found.around


def test_matrices_energies_and_formats(run, weights):
    eie, nm = es.EieMatrix.from_dense(weights, n_pe=4), es.NmMatrix.from_dense(weights)
    assert shown(eie).values == [[16, 32], 4, eie.density, eie.n_weight, eie.n_padding, 4, 4]
    assert shown(nm).values == [[16, 32], 256, 16, nm.values_bits / 8e3, nm.metadata_bits / 8e3]
    energy = run.layers[0].energy
    assert sum(shown(energy).values[:-1:2]) == pytest.approx(energy.total_pj / 1e3)
    assert shown(energy).texts[-2] == f"{energy.total_pj / 1e3:,.3f}"
    sizes = es.footprint(eie)
    assert sizes == dict(sizes)
    assert [text for text in shown(sizes).texts if text in sizes] == list(sizes)
    assert shown(sizes["eie"]).values[::2] == [*sizes["eie"].parts.values(), sizes["eie"].total_bits]


def test_what_pruning_kept(weights):
    one = es.prune.magnitude(weights, density=0.25)
    assert shown(one).values == [0.25, one.achieved, one.kept, one.total]
    both = locally({NAME: abs(weights), "fc": abs(weights)}, 0.25)
    assert shown(both).values == [0.25, both.achieved, one.kept, one.total] * 2 + [0.25, 0.25, 2 * one.kept, 1024]


def test_sweeps_show_their_first_rows_and_failures():
    network = chain((8, 12, 4))
    found = es.sweep.run(
        network, grid={"n_pe": range(1, 13), "weight_bits": [8, 4], "spmat_width_bits": [8, 64]}, workers=1
    )
    table = shown(found)
    assert len([text for text in table.texts if text.startswith("failed: ")]) == 3  # of 10, one in four
    assert "48 points, 0 of them reused, 12 failed" in table.around
    assert "the first 10 of 48 rows" in table.around
    assert table.values[1] == found.rows[0]["weight_bits"]
    best = es.sweep.front(found.rows, ["cycles", "effective_gops"])
    table = shown(best)
    assert f"not beaten in cycles, effective_gops: {len(best.rows)}" in table.around
    assert "12 rows left out: error" in table.around
    assert best.rows[0]["effective_gops"] in table.values


def test_nothing_at_all_is_shown_too(weights):
    shown(Sweep(lines=(), axes=("n_pe",), reused=0, failed=0, seed=0))
    shown(es.sweep.front([], ["cycles", "energy_nj"]))
    shown(es.sweep.front([{"cycles": 1, "energy_nj": 2, "n_pe": [1], "mma": 3}], ["cycles", "energy_nj"]))
    shown(Footprint())
    shown(es.EieMatrix.from_dense(np.zeros((3, 2)), n_pe=4))
    nothing = es.simulate(es.EieMatrix.from_dense(np.zeros((3, 2)), n_pe=4), np.zeros((0, 2)), es.EieConfig(n_pe=4))
    shown(nothing)
    shown(es.energy.account(nothing))


def test_networks_are_shown_without_their_arrays():
    assert not hasattr(Network, "_repr_html_")
