"""What of a table is the user's: said to the entry, hashed by content, taken as given at every node."""

import hashlib
import json
from dataclasses import replace

import pytest
from counted import HEADER, nm_result, result_with
from hypothesis import given
from hypothesis import strategies as st

import eie_sim as es
from eie_sim.core.errors import InputError
from eie_sim.core.result import config_hash
from eie_sim.energy import EnergyTable, account, total_of
from eie_sim.energy.table import entries_csv, given_lines
from eie_sim.units.eie.words import COMPONENTS

EIE, EIE_28 = es.EieConfig(), es.EieConfig(node_nm=28)
NM = es.TensorCoreConfig.preset("nm-64")
MACS = EnergyTable.from_csv(HEADER + "macs,2.5,mine\n", EIE)
ENTRIES = st.dictionaries(
    st.sampled_from(sorted(COMPONENTS)), st.tuples(st.floats(0, 1e9), st.text(st.characters(codec="utf-8"), max_size=8))
)
NODES = st.sampled_from([45, 28, 7])


def text_of(entries):
    printable = ((event, pj, source if source.isprintable() else "") for event, (pj, source) in entries.items())
    return entries_csv(printable)


@given(ENTRIES, NODES, NODES)
def test_every_entry_is_the_users_as_given_or_the_default_of_the_design(entries, made, used):
    design = es.EieConfig(node_nm=used, spmat_width_bits=128)
    table = EnergyTable.from_csv(text_of(entries), es.EieConfig(node_nm=made)).at(design)
    default = {row.event: row for row in EnergyTable.for_config(design).rows}
    for row in table.rows:
        assert row.energy_pj == entries[row.event][0] if row.event in entries else row == default[row.event]
    assert table.node_nm == used
    assert {row.event for row in table.given} == set(entries)
    if not entries:
        assert (table.trace, table.sha256, table.name) == (None, None, f"eie-{used}nm")
        return
    trace = json.loads(json.dumps(table.trace, allow_nan=False))
    assert (trace["name"], trace["node_nm"]) == ("given", used)
    for one in trace["given"]:
        assert (one["default_pj"], one["given_pj"]) == (default[one["event"]].energy_pj, entries[one["event"]][0])
    assert {one["event"] for one in trace["given"]} | set(trace["default"]) == set(COMPONENTS)
    assert set(trace["default"]) == set(COMPONENTS) - set(entries)
    assert set(trace["changed"]) == {event for event in entries if entries[event][0] != default[event].energy_pj}
    again = entries_csv((one["event"], one["given_pj"], one["source"]) for one in trace["given"])
    assert EnergyTable.from_csv(again, design).trace == table.trace


@given(ENTRIES, st.randoms(use_true_random=False))
def test_the_hash_is_of_events_and_energies_and_of_nothing_else(entries, random):
    table = EnergyTable.from_csv(text_of(entries), EIE)
    shuffled = list(entries.items())
    random.shuffle(shuffled)
    other = text_of({event: (pj, "another source") for event, (pj, _) in shuffled})
    assert EnergyTable.from_csv(other, EIE_28, name="other").sha256 == table.sha256
    for event, (pj, source) in entries.items():
        changed = text_of({**entries, event: (pj + 1.0 if pj < 1e8 else pj / 2, source)})
        assert EnergyTable.from_csv(changed, EIE).sha256 != table.sha256
        assert (
            EnergyTable.from_csv(text_of({k: v for k, v in entries.items() if k != event}), EIE).sha256 != table.sha256
        )


def test_the_hash_by_hand():
    assert MACS.sha256 == hashlib.sha256(b'[["macs", 2.5]]').hexdigest()


def test_a_whole_table_is_the_users_also_where_nothing_of_it_was_changed():
    whole = EnergyTable.from_csv(EnergyTable.for_config(EIE).to_csv(), EIE)
    assert (whole.trace["changed"], whole.trace["default"], len(whole.given)) == ([], [], len(COMPONENTS))
    assert whole.at(EIE_28).energy_pj["macs"] == whole.energy_pj["macs"], "45 nm energies, used as given at 28 nm"
    assert set(whole.at(EIE_28).trace["changed"]) == set(COMPONENTS) - {"padding_entries"}


@pytest.mark.parametrize("edit", [lambda table, rows: replace(table, rows=rows), None])
def test_rows_edited_or_made_in_python_are_the_users_too(edit):
    default = EnergyTable.for_config(EIE)
    rows = tuple(row._replace(energy_pj=7) if row.event == "macs" else row for row in default.rows)
    table = edit(default, rows) if edit else replace(default, name="own", rows=rows, default=())
    trace = account(result_with({"macs": 4}), table).given
    assert trace["changed"] == ["macs"]
    assert [one["given_pj"] for one in trace["given"] if one["event"] == "macs"] == [7.0]
    assert len(trace["given"]) == (1 if edit else len(COMPONENTS))


def test_a_clock_that_the_table_leaves_out_is_listed_as_default():
    assert {"pe_cycle", "leakage"} <= set(MACS.trace["default"])
    clocked = EnergyTable.from_csv(HEADER + "macs,2.5,\npe_cycle,1,\n", EIE)
    assert "pe_cycle" not in clocked.trace["default"]


def test_words_say_what_was_given_and_what_was_scaled():
    short = MACS.sha256[:12]
    given = f"energy table given, sha256 {short}: 1 entry of the table as given, the others "
    assert given_lines(MACS.trace) == [given + "the default ones at 45 nm; changed, pJ: macs 0.833 -> 2.5"]
    at_28 = given_lines(MACS.at(EIE_28).trace)
    assert at_28 == [given + "scaled from 45 to 28 nm; changed, pJ: macs 0.422 -> 2.5"]
    assert "scaled from 45 nm to its node" in given_lines(MACS.trace, swept=True)[0]
    dram = EnergyTable.from_csv(HEADER + "macs,2.5,\n", replace(NM, node_nm=28))
    assert "the others scaled from 45 to 28 nm (DRAM apart)" in given_lines(dram.trace)[0]
    assert given_lines(EnergyTable.for_config(EIE_28).trace) == []


def test_a_report_has_the_trace_and_reports_of_two_tables_do_not_add():
    result = result_with({"macs": 4})
    report, other = account(result, MACS), account(result, EnergyTable.from_csv(HEADER + "macs,3,\n", EIE))
    assert report.given == MACS.trace
    assert report.to_dict()["table_sha256"] == MACS.sha256
    assert (account(result).given, account(result).to_dict()["table_sha256"]) == (None, None)
    assert MACS.sha256[:12] in report._repr_html_()
    assert total_of([report, report]).given == MACS.trace
    with pytest.raises(InputError, match=rf"^report=given {other.given['sha256'][:12]}, 45 nm, 64 PEs: must share"):
        total_of([report, other])


def test_a_run_has_it_in_its_config_hash():
    network = es.load("hand-8x8")
    plain, own = es.run_network(network, EIE_28), es.run_network(network, EIE_28, table=MACS.at(EIE_28))
    assert plain.config_hash == config_hash("eie", EIE_28.to_dict()) == plain.layers[0].result.config_hash
    assert own.config_hash == config_hash("eie", EIE_28.to_dict(), {"energy_table": MACS.sha256})
    assert plain.table.trace is None
    assert own.layers[0].energy.given == own.table.trace == MACS.at(EIE_28).trace
    assert MACS.sha256[:12] in own._repr_html_()


@pytest.mark.parametrize("config", [EIE_28, replace(EIE, clock_mhz=400.0)])
def test_a_table_for_another_node_or_clock_is_refused(config):
    rule = (
        rf"^table=given \(45 nm, 800 MHz\): must be one for {config.node_nm} nm, {config.clock_mhz:g} MHz, as table.at"
    )
    for call in (
        lambda: account(result_with({}, config=config), MACS),
        lambda: es.run_network(es.load("hand-8x8"), config, table=MACS),
    ):
        with pytest.raises(InputError, match=rule):
            call()


def test_a_table_of_another_unit_is_refused():
    for call, unit in (
        (lambda: account(nm_result({}), MACS), "nm"),
        (lambda: MACS.at(NM), "nm"),
        (lambda: es.compare(es.load("digits-mlp"), NM, table=MACS), "nm"),
        (lambda: es.sweep.run("hand-8x8", grid={"chip": ["nm-64"]}, table=MACS), "nm"),
        (lambda: account(result_with({}), EnergyTable.for_config(NM)), "eie"),
    ):
        with pytest.raises(InputError, match=rf"^table=[\w-]+: must be one for the {unit} unit"):
            call()


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda rows: (rows[0]._replace(energy_pj=-1.0), *rows[1:]), "rows: energy_pj of queue_writes=-1.0: must be a"),
        (lambda rows: (rows[0]._replace(energy_pj=float("nan")), *rows[1:]), "rows: energy_pj of queue_writes=nan: mu"),
        (lambda rows: (rows[0]._replace(energy_pj="1"), *rows[1:]), "rows: energy_pj of queue_writes=1: must be a num"),
        (lambda rows: (*rows, rows[0]), "rows: event=queue_writes: is there already"),
        (lambda rows: (*rows, rows[0]._replace(event="mac")), "rows: event=mac: unknown; did you mean macs"),
    ],
)
def test_rows_that_no_table_can_have_are_refused(edit, said):
    default = EnergyTable.for_config(EIE)
    with pytest.raises(InputError) as caught:
        replace(default, rows=edit(default.rows))
    assert str(caught.value).startswith(said)
