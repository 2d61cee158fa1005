"""Dense, N:M and EIE on the same weights: figures by hand and against the units themselves."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from networks import chain

from eie_sim import EieConfig, InputError, TensorCoreConfig, compare, simulate, simulate_gemm
from eie_sim.core import golden
from eie_sim.core.errors import InvariantError
from eie_sim.energy import EnergyTable, account
from eie_sim.engine import compress
from eie_sim.network import load
from eie_sim.prune import Recipe, magnitude, pattern, prune_network, score
from eie_sim.prune.cost import cost
from eie_sim.prune.measure import before_pruning, inputs_of
from eie_sim.report.comparison import comparison_lines, comparison_record, comparison_table, draw_comparison
from eie_sim.study.instances import equal_size
from eie_sim.units.nm.compared import resident
from eie_sim.units.nm.config import PRESETS

NM = TensorCoreConfig.preset("nm-64")
SMALL = {"patterns": [(2, 4)], "densities": [0.25], "batches": [1, 5]}


def by_name(compared):
    return {(row.batch, row.name): row for row in compared.rows}


def beside(config):
    """The only design beside a chip."""
    (_, arrays), _, _ = equal_size(config)
    return arrays


def test_a_row_for_every_batch_and_candidate_in_order():
    names = [(one.batch, one.name) for one in compare(chain((16, 24, 12, 4)), NM, **SMALL).rows]
    assert names == [(batch, name) for batch in (1, 5) for name in ("dense", "2:4", "EIE 25 %")]


def test_nm_rows_are_the_units_own_figures():
    network = chain((16, 24, 12, 4))
    figures = by_name(compare(network, NM, **SMALL))
    far = replace(NM, dram_bytes_per_cycle=32, dram="lpddr4")
    for name, (n_keep, m_group) in (("dense", (1, 1)), ("2:4", (2, 4))):
        near, dram = (
            [simulate_gemm(*layer.weights.shape, 5, chip, n_keep=n_keep, m_group=m_group) for layer in network.layers]
            for chip in (resident(NM), far)
        )
        row = figures[5, name]
        assert row.cycles == sum(result.cycles for result in near)
        assert row.cycles_dram == sum(result.cycles for result in dram)
        assert row.time_us == row.cycles / 800
        copied = sum(account(r).by_event["l2_bytes"] + account(r).by_event["l2_metadata_bytes"] for r in near)
        assert row.energy_nj == pytest.approx((sum(account(r).total_pj for r in near) - copied) / 1e3)
        assert row.energy_nj_dram == pytest.approx(sum(account(result).total_pj for result in dram) / 1e3)
        assert row.utilisation == pytest.approx(sum(r.effectual_macs for r in near) / (64 * row.cycles))
    dense, sparse = figures[5, "dense"], figures[5, "2:4"]
    weights = sum(layer.weights.size for layer in network.layers)
    assert dense.weight_bytes == 2 * weights
    assert sparse.weight_bytes == 2 * weights * 9 / 16
    sizes = [np.abs(layer.weights) for layer in network.layers]
    kept = [size * pattern.nm(2, 4).prune(score.l1(size)).mask for size in sizes]
    total = sum(np.abs(layer.weights).sum(dtype=np.float64) for layer in network.layers)
    assert sparse.kept_l1 == pytest.approx(sum(each.sum(dtype=np.float64) for each in kept) / total)
    assert (dense.density, dense.kept_l1) == (1.0, 1.0)
    assert dense.accuracy >= 0.95  # the network labels its inputs itself; float16 may turn a tie


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_compares(name):
    config = TensorCoreConfig.preset(name)
    network = load("digits-mlp")
    figures = by_name(compare(network, config, layer="fc2", patterns=[(2, 4)], densities=[0.25], batches=[1, 64]))
    assert len(figures) == 6
    arrays = beside(config)
    assert arrays.number * arrays.design.n_pe == config.n_core * config.tc_per_core * config.macs_per_cycle
    assert arrays.design.n_pe <= 256
    for row in figures.values():
        assert row.accuracy > 0.9
        assert 0 < row.utilisation <= 1
        assert row.cycles_dram >= row.cycles > 0
        assert row.energy_nj_dram > row.energy_nj > 0


def test_arrays_share_a_batch_and_wait_for_the_slowest():
    config = TensorCoreConfig.preset("stc-1024")
    network, arrays = load("digits-mlp"), beside(config)
    assert (arrays.design.n_pe, arrays.number) == (256, 4)
    row = by_name(compare(network, config, patterns=[(2, 4)], densities=[0.25], batches=[6]))[6, "EIE 25 %"]
    pruned, _ = prune_network(network, Recipe(density=0.25), arrays.design)
    weights = {layer.name: layer.weights for layer in pruned.layers}
    biases = {layer.name: layer.bias for layer in pruned.layers}
    read = inputs_of(pruned, weights, biases)
    results = [
        simulate(compress(w, arrays.design, bias=biases[name]), read[name][:6], arrays.design)
        for name, w in weights.items()
    ]
    each = np.sum([result.cycles_per_vector for result in results], axis=0)
    assert row.cycles == max(each[0] + each[4], each[1] + each[5], each[2], each[3])
    table = EnergyTable.for_config(arrays.design)
    per_cycle = 256 * (1.8 * scaling_of(table) + table.leakage_mw * 1e3 / config.clock_mhz)
    waiting = (4 * row.cycles - each.sum()) * per_cycle
    assert row.energy_nj == pytest.approx((sum(account(r).total_pj for r in results) + waiting) / 1e3)


def scaling_of(table):
    return sum(table.pe_cycle_pj.values()) / 1.8


def test_a_pattern_the_chip_does_not_list_says_what_it_runs_as():
    config = TensorCoreConfig.preset("nm-64", patterns=((2, 4),))
    network = chain((14, 24, 12, 4))
    figures = by_name(compare(network, config, patterns=[(1, 4), (1, 3)], densities=[0.5], batches=[3]))
    assert figures[3, "1:4 as 2:4"].density == pytest.approx(0.25, abs=0.02)
    assert figures[3, "1:3 as dense"].cycles == figures[3, "dense"].cycles  # stored dense, not padded


def test_eie_rows_have_as_many_macs_and_real_inputs():
    network, design = chain((16, 24, 12, 4)), EieConfig(n_pe=64)
    row = by_name(compare(network, NM, **SMALL))[5, "EIE 25 %"]
    pruned, kept = prune_network(network, Recipe(density=0.25), design)
    weights = {layer.name: layer.weights for layer in pruned.layers}
    biases = {layer.name: layer.bias for layer in pruned.layers}
    read = inputs_of(pruned, weights, biases)
    per_vector = sum(
        cost("cycles", w, design, activations=read[name][:5], bias=biases[name]) for name, w in weights.items()
    )
    assert row.cycles == round(5 * per_vector)
    assert row.density == kept.achieved
    table = EnergyTable.for_config(design)
    waiting = 64 * (1.8 + table.leakage_mw * 1e3 / 800) * (row.cycles_dram - row.cycles)
    moved = round(row.weight_bytes) + 5 * 2 * ((16 + 24) + (24 + 12) + (12 + 4))
    assert row.dram_bytes == moved
    assert row.cycles_dram == max(row.cycles, -(-moved // 32))
    assert row.energy_nj_dram == pytest.approx(row.energy_nj + (waiting + moved * 8 * 8) / 1e3)
    assert row.scaled_from is None


def test_fewer_vectors_than_the_batch_are_scaled_and_said():
    figures = by_name(compare(load("alex-8", density=0.1), NM, patterns=[(2, 4)], densities=[0.1], batches=[1, 8]))
    one, eight = figures[1, "EIE 10 %"], figures[8, "EIE 10 %"]
    assert (one.scaled_from, eight.scaled_from) == (None, 1)
    assert eight.cycles == 8 * one.cycles
    assert eight.energy_nj == pytest.approx(8 * one.energy_nj)
    assert one.accuracy is None


def test_densities_above_the_weights_own_make_one_row():
    network = load("alex-8")  # a quarter of its weights
    rows = compare(network, NM, patterns=[(2, 4)], densities=[0.5, 0.3], batches=[1]).rows
    names = [row.name for row in rows]
    assert names == ["dense", "2:4", "EIE 25 %"]


def test_one_layer_keeps_the_accuracy_of_the_network_and_its_inputs():
    network = load("digits-mlp")
    figures = by_name(compare(network, NM, layer="fc2", patterns=[(1, 4)], densities=[0.25], batches=[4]))
    dense, sparse = figures[4, "dense"], figures[4, "1:4"]
    assert dense.cycles == simulate_gemm(128, 256, 4, resident(NM), n_keep=1, m_group=1).cycles
    assert dense.accuracy > 0.98
    assert 0.9 < sparse.accuracy <= 1.0


def test_inputs_that_a_group_does_not_divide_are_padded():
    network = chain((10, 6, 4))
    row = by_name(compare(network, NM, **SMALL))[5, "2:4"]
    shapes = [(6, 12), (4, 8)]
    assert row.cycles == sum(simulate_gemm(m, k, 5, resident(NM)).cycles for m, k in shapes)
    assert row.weight_bytes == sum(m * k * 2 * 9 / 16 for m, k in shapes)


def test_a_chip_with_dram_is_timed_without_it_too():
    config = replace(NM, dram_bytes_per_cycle=2, dram="lpddr4")
    row = by_name(compare(chain((16, 24, 12, 4)), config, **SMALL))[1, "dense"]
    assert row.cycles_dram > row.cycles
    assert row.energy_nj_dram > row.energy_nj


def test_the_fastest_are_named_and_the_figure_is_drawn(tmp_path):
    network = load("digits-mlp")
    compared = compare(network, NM, layer="fc2", **SMALL)
    record = comparison_record(compared)
    assert record["preset"] == "nm-64"
    json.dumps(record, allow_nan=False)
    (one, five) = record["fastest"]
    assert one["any_sram"] == min((f for f in compared.rows if f.batch == 1), key=lambda f: f.time_us).name
    assert five["batch"] == 5
    assert len(comparison_table(record).cells) == 6
    assert any(line.startswith("batch 1, SRAM / DRAM: fastest ") for line in comparison_lines(record, compared))
    for suffix in ("png", "svg"):
        draw_comparison(record, tmp_path / f"a.{suffix}")
        assert (tmp_path / f"a.{suffix}").stat().st_size > 5000


def arithmetic_of(name, weights, bias, read):
    """Outputs of a layer in numpy alone, for a row's name and precision."""
    if name == "fp16":
        half = [np.float64(np.float16(each)) for each in (weights, read)]
        return half[1] @ half[0].T + bias
    if name == "int8":
        scales = [127 / np.abs(each).max() for each in (weights, read)]
        whole = [np.rint(each * scale).astype(np.int64) for each, scale in zip((weights, read), scales, strict=True)]
        return (whole[1] @ whole[0].T) / (scales[0] * scales[1]) + bias
    matrix = compress(weights, EieConfig(n_pe=64), bias=bias).with_scales_for(read)
    scales = matrix.scales
    rules = golden.Arithmetic(
        weight=scales.weight,
        activation=scales.activation,
        accumulator=scales.accumulator,
        accumulator_bits=16,
        rounding=EieConfig().rounding,
        active="positive",
    )
    return (
        golden.matmul(golden.nonzeros(matrix.decode()), matrix.codebook, read, rules).output / 2.0**scales.accumulator
    )


@pytest.mark.parametrize("elem_bytes", [2, 1])
@pytest.mark.parametrize("layer", [None, "fc2"])
def test_accuracy_is_of_what_each_unit_stores_and_computes(elem_bytes, layer):
    network, config = load("digits-mlp"), TensorCoreConfig.preset("nm-64", elem_bytes=elem_bytes)
    figures = by_name(compare(network, config, layer=layer, patterns=[(1, 4)], densities=[0.1], batches=[1]))
    masks = {
        "dense": lambda w: np.ones(w.shape),
        "1:4": lambda w: pattern.nm(1, 4).prune(score.l1(w)).mask,
        "EIE 10 %": lambda w: magnitude(w, density=0.1).mask,
    }
    precisions = dict.fromkeys(masks, "fp16" if elem_bytes == 2 else "int8") | {"EIE 10 %": "4-bit codes, 16-bit words"}
    for name, mask in masks.items():
        candidate, read = figures[1, name], network.test_inputs
        for each in before_pruning(network):
            if layer in (None, each.name):
                outputs = arithmetic_of(precisions[name], each.weights * mask(each.weights), each.bias, read)
            else:
                outputs = read @ each.weights.T + each.bias
            read = np.maximum(outputs, 0)
        assert candidate.accuracy == np.mean(outputs.argmax(axis=1) == network.test_labels)
        of = f"in {precisions[name]}" if layer is None else f"fc2 in {precisions[name]}, the other layers in floats"
        assert candidate.accuracy_of == f"360 held-back inputs, {of}"


def test_a_weight_that_int8_cannot_hold_beside_the_others_costs_accuracy_there_alone():
    network = load("digits-mlp")
    first, *others = before_pruning(network)
    weights = first.weights.copy()
    weights[0, 0] = 1000  # of a pixel that is never lit
    assert not network.test_inputs[:, 0].any()
    network = replace(network, layers=(replace(first, weights=weights), *others), dense_layers=None)
    fp16, int8 = (
        compare(network, replace(NM, elem_bytes=size), patterns=[(2, 4)], densities=[1.0], batches=[1]).rows[0]
        for size in (2, 1)
    )
    assert (fp16.accuracy > 0.95, int8.accuracy < 0.3) == (True, True)


def test_what_is_no_design_is_refused():
    with pytest.raises(InputError, match=r"^on=NoneType: must be EieConfig or TensorCoreConfig$"):
        compare(chain((16, 24, 12, 4)), None, **SMALL)


def test_a_list_of_one_chip_has_its_rows_as_they_are_beside_others():
    network = chain((16, 24, 12, 4))
    (chip,) = compare(network, ["nm-64"], **SMALL).designs
    assert (chip.design, chip.number, chip.title) == (NM, 1, "nm-64")
    beside_others = [row for row in compare(network, NM, **SMALL).rows if row.unit != "eie"]
    listed = compare(network, ["nm-64"], **SMALL).rows
    assert [row.to_dict() | {"on": "nm-64"} for row in beside_others] == [row.to_dict() for row in listed]
    both = compare(network, ["eie", NM], **SMALL)
    assert [row.name for row in both.rows] == 2 * ["EIE 25 %", "dense", "2:4"]
    assert both.size.title == "nm-64", "of the largest that is named with a design"
    plain = by_name(compare(network, NM, **SMALL))
    for row in both.rows:
        assert replace(row, on=None) == plain[row.batch, row.name]


def test_all_are_as_large_as_the_largest_and_have_its_dram():
    designs, size, left_out = equal_size(["nm-64", "eie", "rtx3090", EieConfig(n_pe=100)])
    assert (size.title, left_out) == ("rtx3090", [])
    assert [(one.title, one.number, one.macs_per_cycle) for one in designs] == [
        ("nm-64", 328, 20992),
        ("EIE #2", 82, 20992),
        ("rtx3090", 1, 20992),
        ("EIE #4", 210, 21000),
    ]
    assert [one.label(size, listed=True) for one in designs[2:]] == ["rtx3090", "210 x EIE #4 (21,000 MACs)"]
    bytes_per_us = [one.dram_bytes_per_cycle * Fraction(one.design.clock_mhz) for one in designs]
    assert bytes_per_us == [936_000] * 4
    small, alike = designs[:2]
    assert small.chip.dram_bytes_per_cycle * 800 * 328 == 936_000, "each chip has an equal share"
    assert (alike.design.clock_mhz, alike.design.node_nm) == (1395.0, 7)
    energies = [one.table.energy_pj for one in (small, replace(size, table=EnergyTable.for_config(size.chip.far)))]
    assert energies[0]["dram_bytes"] == energies[1]["dram_bytes"]


@pytest.mark.parametrize("batch", [1, 5, 328, 700])
def test_copies_of_a_chip_share_a_batch(batch):
    network = chain((16, 24, 12, 4))
    given = {"patterns": [(2, 4)], "densities": [0.5], "batches": [batch]}
    found = compare(network, ["rtx3090", "nm-64"], **given)
    row = by_name(found)[batch, "328 x nm-64 2:4"]
    shares = [len(range(at, batch, 328)) for at in range(328)]
    assert sum(shares) == batch
    (_, copies), shapes = found.designs, [layer.weights.shape for layer in network.layers]

    def of_one(design, share):
        return [simulate_gemm(*shape, share, design) for shape in shapes] if share else []

    near = [of_one(resident(NM), share) for share in shares]
    cycles = [sum(result.cycles for result in results) for results in near]
    assert row.cycles == max(cycles)
    far = [of_one(copies.chip.far, share) for share in shares]
    assert row.cycles_dram == max(sum(result.cycles for result in results) for results in far)
    assert row.dram_bytes == sum(result.stats["events"]["dram_bytes"] for results in far for result in results)
    assert row.time_us == row.cycles / 800
    macs = batch * sum(np.count_nonzero(pattern.nm(2, 4).prune(score.l1(w.weights)).mask) for w in network.layers)
    assert row.utilisation == pytest.approx(macs / (row.cycles * 64 * 328))
    alone = by_name(compare(network, ["nm-64"], **given | {"batches": [max(shares)]}))[max(shares), "2:4"]
    assert row.cycles == alone.cycles
    table = EnergyTable.for_config(NM)
    idle_pj = 64 * (sum(table.pe_cycle_pj.values()) + table.leakage_mw * 1e3 / 800)
    left_out = ("l2_bytes", "l2_metadata_bytes")
    reports = [account(result) for results in near for result in results]
    working = sum(report.total_pj - sum(report.by_event[event] for event in left_out) for report in reports)
    waiting = (328 * row.cycles - sum(cycles)) * idle_pj
    assert row.energy_nj == pytest.approx((working + waiting) / 1e3)


def test_an_eie_may_set_the_size_and_reads_lpddr4():
    found = compare(chain((16, 24, 12, 4)), EieConfig(n_pe=128), **SMALL)
    assert [(one.title, one.number) for one in found.designs] == [("EIE", 1), ("nm-64", 2)]
    assert found.size is found.designs[0]
    assert (found.size.dram_bytes_per_cycle, found.size.dram_pj_per_byte) == (32, 64)
    assert found.designs[1].chip.dram_bytes_per_cycle == 16
    assert [row.name for row in found.rows[:3]] == ["EIE 25 %", "dense", "2:4"]
    lines = comparison_lines(comparison_record(found), found)
    assert any("DRAM (LPDDR4) 32 bytes a cycle" in line for line in lines)


def test_a_wrong_product_ends_the_comparison(monkeypatch):
    monkeypatch.setattr("eie_sim.units.nm.functional.wrong_outputs", lambda matrix, b: 3)
    with pytest.raises(InvariantError, match="outputs=3: must not differ from the dense product"):
        compare(chain((16, 24, 12, 4)), NM, **SMALL)


def test_a_design_that_cannot_hold_the_weights_is_left_out_and_said():
    network = chain((16, 24, 12, 4))
    first, *others = network.layers
    network = replace(network, layers=(replace(first, weights=first.weights * np.float32(1e6)), *others))
    found = compare(network, NM, **SMALL)
    assert {row.unit for row in found.rows} == {"eie"}
    assert [line.partition("=")[0] for line in found.not_compared] == ["nm-64: weights[0, 0]"]
    record = comparison_record(found)
    assert any(line.startswith("not compared: nm-64: weights") for line in comparison_lines(record, found))
    with pytest.raises(InputError, match=r"^nm-64: weights"):
        compare(network, ["nm-64"], **SMALL)


@pytest.mark.parametrize(
    ("on", "message"),
    [
        ([], r"^on=none: must be at least one$"),
        (["rtx3091"], r"^on=rtx3091: unknown; did you mean rtx3090\?$"),
        (["nm-64", NM], r"^on=nm-64: must not be there twice$"),
        (["eie", "eie"], r"^on=EIE: must not be there twice$"),
        (["nm-64", 3], r"^on=int: must be EieConfig or TensorCoreConfig$"),
    ],
)
def test_a_bad_list_is_one_line(on, message):
    with pytest.raises(InputError, match=message):
        compare(chain((16, 24, 12, 4)), on, **SMALL)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"layer": "fc9"}, "layer=fc9: unknown; did you mean fc"),
        ({"patterns": [(5, 4)]}, "n_keep=5: must be at most m_group=4"),
        ({"patterns": ["2:4"]}, "patterns=2:4: must be pairs, N kept of M"),
        ({"batches": 8}, "batches=int: must be a list"),
        ({"densities": None}, "densities=NoneType: must be a list"),
        ({"patterns": []}, "patterns=none: must be at least one"),
        ({"densities": [1.5]}, r"densities=1\.5: must be in 0\.\.1"),
        ({"batches": [0]}, "batches=0: must be an integer"),
    ],
)
def test_bad_input_is_one_line(given, message):
    with pytest.raises(InputError, match=message):
        compare(chain(labelled=False), NM, **{**SMALL, **given})
