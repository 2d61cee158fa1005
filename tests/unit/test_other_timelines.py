"""A timeline of any unit is written, told and drawn by what `core.activity` asks of it."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

import eie_sim as es
from eie_sim.core.activity import NOTHING, Activity, Count, Signal, Slice, Track
from eie_sim.report.trace import write_trace
from eie_sim.report.trace.waveform import changes
from eie_sim.tracing import trace


class TwoLanes:
    """Lane p works in the cycles p + 1 to p + 2."""

    label, config_hash, cycles, n_pe = "two lanes", "0123", 3, 2

    def words(self):
        return "2 lanes", "4 steps"

    def bins(self, n_bin):
        return np.arange(1, self.cycles + 2)

    def busy(self, edges):
        return np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])

    def tracks(self, first, last):
        for pe in range(2):
            counts = [Count(f"lane {pe} left", 1, {"steps": 2})]
            yield Track(f"lane {pe}", iter([Slice("step", "both", pe + 1, 2, {"pe": pe})]), iter(counts))

    def signals(self):
        return [Signal("chip", "cycle", "integer", 32), Signal("chip.lane1", "busy", "wire", 1)]

    def signalled(self, first, last):
        at = np.arange(first, last + 1)
        yield at
        yield np.where(at == 1, NOTHING, 1)

    def notes(self):
        return ["busy is 1"]

    def legend(self):
        return ["busy: works"]

    def blocks(self, first, last):
        return iter([[f"cycle {at}"] for at in range(first, last + 1)])

    def outputs(self):
        return ["y"]


ABOUT = {"config": {"clock_mhz": 1000.0}, "config_hash": "0123", "versions": {"eie_sim": "0"}}


def test_it_is_an_activity_and_so_is_that_of_the_first_unit():
    assert isinstance(TwoLanes(), Activity)
    assert isinstance(es.activity(es.EieMatrix.from_dense(np.eye(4), n_pe=2), np.ones(4)), Activity)
    assert not isinstance({}, Activity)


def test_its_tracks_are_cut_to_the_window(tmp_path):
    written = write_trace(tmp_path / "a.json", TwoLanes(), 2, 3, ABOUT)
    assert written["written"] == {"slices": 2}
    events = json.loads((tmp_path / "a.json").read_text())["traceEvents"]
    slices = [(event["tid"], event["ts"], event["dur"], event["args"]) for event in events if event["ph"] == "X"]
    assert slices == [(1, 2, 1, {"cycle": 1, "cycles": 2, "pe": 0}), (2, 2, 2, {"cycle": 2, "cycles": 2, "pe": 1})]
    names = [event["args"]["name"] for event in events if event["name"] in ("process_name", "thread_name")]
    assert names == ["two lanes", "lane 0", "lane 1"]


def test_its_signals_change_where_their_values_do(tmp_path):
    assert list(changes(TwoLanes(), 1, 3)) == [(1, 0, 1), (1, 1, "x"), (2, 0, 2), (2, 1, 1), (3, 0, 3)]
    pytest.importorskip("vcd", reason="needs pyvcd: pip install 'eie-sim[vcd]'")
    write_trace(tmp_path / "a.vcd", TwoLanes(), 1, 3, ABOUT)
    text = (tmp_path / "a.vcd").read_text()
    assert "busy is 1" in text and "lane1" in text


def test_it_is_drawn_and_has_no_queues():
    axes = es.figures.occupancy(TwoLanes(), Figure().subplots())
    assert "mean 66.7 %" in axes.get_title(loc="left")
    np.testing.assert_array_equal(axes.images[0].get_array(), 100 * TwoLanes().busy(None))
    with pytest.raises(es.InputError, match=r"^activity=two lanes: must be of a unit that has queues$"):
        es.figures.queues(TwoLanes(), Figure().subplots())


def test_a_unit_that_keeps_no_timeline_says_so():
    with pytest.raises(es.InputError, match=r"^unit=nm: must be another, N:M keeps no timeline$"):
        trace(es.load("hand-8x8"), es.TensorCoreConfig())
