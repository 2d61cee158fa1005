"""Nodes, memories, area, and what their arguments must be."""

import json
import math

import numpy as np
import pytest
from counted import HEADER, KIB, result_with
from hypothesis import given
from hypothesis import strategies as st

from eie_sim import tables
from eie_sim.core.errors import InputError
from eie_sim.energy import EnergyTable, account, area, scaling, sram, total_of
from eie_sim.units.eie.config import EieConfig


def test_another_node_scales_every_energy():
    at_45, at_28 = (EnergyTable.for_config(EieConfig(node_nm=node)) for node in (45, 28))
    for before, after in zip(at_45.rows, at_28.rows, strict=True):
        assert after.energy_pj == pytest.approx(0.5066 * before.energy_pj)
        assert "28 nm" in after.source and "Stillmaker" in after.source
    assert at_28.leakage_mw == pytest.approx(0.5066 * at_45.leakage_mw)
    assert at_28.name == "eie-28nm"


def test_an_unknown_node_is_one_line_that_lists_the_nodes():
    rule = "no scaling factors; must be one of 7, 10, 14, 16, 20, 22, 28, 32, 40, 45, 65"
    for call in (EnergyTable.for_config, area):
        with pytest.raises(InputError, match=f"^node_nm=90: {rule}$"):
            call(EieConfig(node_nm=90))


def test_45_nm_is_the_reference():
    assert scaling(45) == (1.0, 1.0)


@pytest.mark.parametrize("row", tables.rows("sram_45nm"), ids=lambda row: "-".join(list(row.values())[:3]))
def test_sram_is_exact_where_the_table_has_it(row):
    found = sram(int(row["capacity_kib"]) * KIB, int(row["width_bits"]), row["cells"])
    expected = tuple(float(row[name]) for name in ("read_pj", "write_pj", "leakage_mw", "area_mm2"))
    assert (found.read_pj, found.write_pj, found.leakage_mw, found.area_mm2) == expected
    assert not found.interpolated


def test_sram_between_two_widths_and_two_capacities():
    between_widths = sram(128 * KIB, 90)
    expected = 37.49 * (46.62 / 37.49) ** (math.log(90 / 64) / math.log(2))
    assert between_widths.read_pj == pytest.approx(expected)
    assert between_widths.interpolated
    assert sram(96 * KIB, 64).read_pj == pytest.approx(21.20 * (37.49 / 21.20) ** (math.log(96 / 64) / math.log(2)))
    assert sram(96 * KIB, 64, "itrs-lstp").leakage_mw == pytest.approx(0.025)


def test_sram_beyond_the_table_keeps_the_end_slope():
    assert sram(128 * KIB, 2048).read_pj == pytest.approx(134.57 * 134.57 / 91.90)
    assert sram(128 * KIB, 8).read_pj == pytest.approx(15.16 * 15.16 / 22.45)
    assert sram(2 * 6144 * KIB, 512, "itrs-lstp").leakage_mw == pytest.approx(2 * 1.49)


@given(st.integers(1, 8 * KIB), st.integers(1, 4096), st.integers(1, 512))
def test_reads_and_writes_grow_with_width(capacity_kib, width_bits, more_bits):
    narrow, wide = sram(capacity_kib * KIB, width_bits), sram(capacity_kib * KIB, width_bits + more_bits)
    assert 0 < narrow.read_pj < wide.read_pj
    assert 0 < narrow.write_pj < wide.write_pj


@given(st.integers(1, 16 * KIB), st.integers(1, KIB), st.sampled_from(["itrs-hp", "itrs-lstp"]))
def test_at_64_bits_everything_grows_with_capacity(capacity_kib, more_kib, cells):
    small, large = sram(capacity_kib * KIB, 64, cells), sram((capacity_kib + more_kib) * KIB, 64, cells)
    assert small.read_pj < large.read_pj
    assert small.area_mm2 < large.area_mm2
    assert small.leakage_mw <= large.leakage_mw


@given(st.integers(1, 8 * KIB), st.integers(1, 2048))
def test_sram_has_no_cliffs_at_the_rows_of_the_table(capacity_kib, width_bits):
    here, next_to_it = sram(capacity_kib * KIB, width_bits), sram(capacity_kib * KIB + 1, width_bits)
    assert next_to_it.read_pj == pytest.approx(here.read_pj, rel=0.01)


@pytest.mark.parametrize(("size", "field"), [((0, 64), "capacity_bytes=0"), ((1024, 0), "width_bits=0")])
def test_an_sram_of_no_size_is_refused(size, field):
    with pytest.raises(InputError, match=f"^{field}: "):
        sram(*size)


def test_unknown_cells_are_refused():
    with pytest.raises(InputError, match=r"^cells=itrs-hpp: unknown; did you mean itrs-hp"):
        sram(1024, 64, "itrs-hpp")


@pytest.mark.parametrize(
    "odd", [None, 3, "x", b"x", [], {}, [None], object(), np.eye(2), EieConfig], ids=lambda odd: f"{type(odd).__name__}"
)
@pytest.mark.parametrize(
    ("call", "field"),
    [
        (account, "result"),
        (lambda odd: account(result_with({}), odd), "table"),
        (area, "config"),
        (EnergyTable.for_config, "config"),
        (lambda odd: EnergyTable.from_csv(HEADER, odd), "config"),
        (lambda odd: EnergyTable.from_csv(odd, EieConfig()), "text"),
        (lambda odd: EnergyTable.from_csv(HEADER, EieConfig(), name=odd), "name"),
        (lambda odd: sram(odd, 64), "capacity_bytes"),
        (lambda odd: sram(1024, odd), "width_bits"),
        (lambda odd: sram(1024, 64, odd), "cells"),
        (scaling, "node_nm"),
        (total_of, "report"),
        (lambda odd: total_of([odd]), "report"),
    ],
)
def test_another_type_is_one_line_that_names_the_argument(call, field, odd):
    takes = {"table": (type(None),), "name": (str,), "width_bits": (int,), "capacity_bytes": (int,)}
    if isinstance(odd, takes.get(field, ())):
        return
    with pytest.raises(InputError, match=f"^{field}s?[=:]") as caught:
        call(odd)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("number", [10**5000, 2**70, -1, float("nan")], ids=["huge", "large", "negative", "nan"])
def test_sizes_and_nodes_beyond_reason_are_one_line_too(number):
    for call in (lambda: sram(number, 64), lambda: sram(1024, number), lambda: scaling(number)):
        with pytest.raises(InputError) as caught:
            call()
        assert len(str(caught.value)) < 400


def test_the_default_area_is_the_papers():
    report = area(EieConfig())
    assert report.total_mm2 == pytest.approx(40.8, rel=0.001)
    assert report.pe_mm2 == pytest.approx(0.638024)
    assert report.by_module_mm2["spmat_read"] == pytest.approx(0.469412)
    assert report.by_module_mm2["act_rw"] == pytest.approx(0.018934)
    assert json.loads(json.dumps(report.to_dict()))["total_mm2"] == report.total_mm2


def test_area_follows_the_design():
    default = area(EieConfig()).by_module_mm2
    larger = area(EieConfig(spmat_bytes=256 * KIB)).by_module_mm2
    assert larger["spmat_read"] == pytest.approx(0.469412 * 0.8948 / 0.4355)
    assert larger["ptr_read"] == default["ptr_read"]
    assert larger["filler"] / sum(larger.values()) == pytest.approx(23961 / 638024)
    assert area(EieConfig(queue_depth=16)).by_module_mm2["act_queue"] == pytest.approx(2 * 758e-6)
    sram_mm2, registers_mm2 = 0.0079, 0.018934 - 0.0079
    more, wider = area(EieConfig(register_entries=128)), area(EieConfig(accumulator_bits=32))
    assert more.by_module_mm2["act_rw"] == pytest.approx(sram_mm2 + 2 * registers_mm2)
    assert wider.by_module_mm2["act_rw"] == pytest.approx(sram_mm2 + 1.5 * registers_mm2)
    assert area(EieConfig(n_pe=256)).total_mm2 == pytest.approx(4 * 64 * 0.638024)
    assert area(EieConfig(node_nm=28)).total_mm2 == pytest.approx(64 * 0.638024 * 0.3767)
