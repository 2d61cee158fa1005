"""Files and text of a timeline say what the result's own timeline says: every slice, every change, every line."""

import functools
import gzip
import io
import json
import re
import signal
import tracemalloc
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import Case, busy_cases

import eie_sim as es
from eie_sim import tracing
from eie_sim.report import trace
from eie_sim.report.trace.chrome import write_chrome
from eie_sim.report.trace.waveform import changes, start_ps
from eie_sim.units.eie.activity import activity_of
from eie_sim.units.eie.words import EieClass

BASIC = {"config_hash": "0", "versions": {"eie_sim": "0"}}
DRAIN = 6


class Ran:
    """A case run by one of the engines, and what each cycle of it is by the definition."""

    def __init__(self, case, engine):
        self.case, self.config = case, case.config
        self.result = es.simulate(case.matrix, case.activations, case.config, engine=engine, timeline=True)
        self.activity = activity_of(case.matrix, case.activations, self.result, label=engine)
        self.sent_at, self.taken_at = (part.tolist() for part in self.result.timeline)
        self.columns = case.matrix.items(case.activations, case.config.active).tolist()
        self.cycles, self.n_pe = self.result.cycles, case.config.n_pe
        self.entries = functools.cache(self._entries)
        self.taken_by = [[taken[pe] for taken in self.taken_at] for pe in range(self.n_pe)]

    def _entries(self, k, pe):
        """(code, global row) of the entries of an item, padding without a row, by walking the matrix."""
        matrix, column = self.case.matrix, self.columns[k]
        begin, end = matrix.pe_starts[pe] + matrix.pointers[column : column + 2, pe]
        local, found = -1, []
        for code, gap in zip(matrix.codes[begin:end].tolist(), matrix.gaps[begin:end].tolist(), strict=True):
            local += gap + 1
            found.append((code, local * self.n_pe + pe if code else None))
        return found

    def name(self, k):
        return "bias" if self.columns[k] == self.case.matrix.n_in else f"column {self.columns[k]}"

    def queue(self, pe, cycle):
        times = zip(self.sent_at, self.taken_by[pe], strict=True)
        return [k for k, (sent, taken) in enumerate(times) if sent < cycle <= taken]

    def kind(self, pe, cycle):
        """The class of a cycle, and the item and entry where there is one."""
        if cycle > self.cycles - DRAIN:
            return EieClass.DRAIN, None, None
        begun = [k for k, taken in enumerate(self.taken_by[pe]) if taken <= cycle]
        if begun:
            entries, place = self.entries(begun[-1], pe), cycle - self.taken_by[pe][begun[-1]]
            if place < len(entries):
                return (EieClass.WEIGHT if entries[place][0] else EieClass.PADDING), begun[-1], place
            if not entries and place == 0:
                return EieClass.EMPTY, begun[-1], None
        return EieClass.WAITING, None, None

    def scan(self):
        """For each item the cycles that the scan loses before it, lane row by lane row."""
        n_pe, n_in = self.n_pe, self.case.matrix.n_in
        lost, since = [], 0
        inputs = [k for k in self.columns if k < n_in]
        for start in range(0, n_in, n_pe):
            active = [column for column in inputs if start <= column < start + n_pe]
            for at, _ in enumerate(active):
                lost.append(since if at == 0 else 0)
            since = 0 if active else since
            since += not active or active[-1] != start + n_pe - 1
        return lost + [since] * (len(self.columns) - len(inputs))


@st.composite
def windows(draw):
    """A run by one of the engines, and a window of it; 1..0 where there is no cycle."""
    ran = Ran(draw(busy_cases()), draw(st.sampled_from(["fast", "reference"])))
    if ran.cycles == 0:
        return ran, 1, 0
    first = draw(st.just(1) | st.integers(1, ran.cycles))
    return ran, first, draw(st.just(ran.cycles) | st.integers(first, ran.cycles))


def clipped(start, cycles, first, last):
    """(ts, dur) of the part in the window, or None."""
    begin, end = max(start, first), min(start + cycles, last + 1)
    return (begin, end - begin) if begin < end else None


def expected_slices(ran, first, last):
    """(track, category, name, ts, dur, whole) of everything that the timeline has in the window."""
    found = []

    def add(track, cat, name, start, cycles):
        part = clipped(start, cycles, first, last)
        if part is not None:
            found.append((track, cat, name, *part, (start, cycles)))

    for k, lost in enumerate(ran.scan()):
        free = (ran.sent_at[k - 1] if k else 1) + 1
        add("broadcast", "broadcast", ran.name(k), ran.sent_at[k], 1)
        add("broadcast", "lost", "lost", free, lost)
        add("broadcast", "blocked", "blocked", free + lost, ran.sent_at[k] - free - lost)
        for pe in range(ran.n_pe):
            n = len(ran.entries(k, pe))
            add(f"PE {pe}", *(("item", ran.name(k)) if n else ("empty", "empty")), ran.taken_at[k][pe], max(n, 1))
    return sorted(found)


def chrome(ran, first, last):
    file = io.BytesIO()
    slices = write_chrome(file, ran.activity, first, last, BASIC)
    record = json.loads(file.getvalue())
    events = record["traceEvents"]
    assert slices == sum(event["ph"] == "X" for event in events)
    return record, events


@settings(max_examples=30)
@given(windows())
def test_every_slice_is_one_of_the_timeline_and_none_is_missing(window):
    ran, first, last = window
    _, events = chrome(*window)
    tracks = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
    assert list(tracks.values()) == ["broadcast", *(f"PE {pe}" for pe in range(ran.n_pe))]
    order = {event["tid"]: event["args"]["sort_index"] for event in events if event["name"] == "thread_sort_index"}
    assert sorted(order, key=order.get) == list(tracks)
    slices = [event for event in events if event["ph"] == "X"]
    found = [
        (
            tracks[one["tid"]],
            one["cat"],
            one["name"],
            one["ts"],
            one["dur"],
            (one["args"]["cycle"], one["args"]["cycles"]),
        )
        for one in slices
    ]
    assert sorted(found) == expected_slices(ran, first, last)
    for one in slices:
        args = one["args"]
        if one["cat"] in ("item", "empty"):
            k, pe = args["item"], one["tid"] - 2
            codes = [code for code, _ in ran.entries(k, pe)]
            said = (args["column"], args["entries"], args["padding"], args["weight"], args["sent"])
            fillers = codes.count(0)
            assert said == (ran.columns[k], len(codes), fillers, len(codes) - fillers, ran.sent_at[k])
        elif one["cat"] == "broadcast":
            driven = [*ran.case.activations.tolist(), None][args["column"]]
            assert args["value"] == driven or one["name"] == "bias"
        elif one["cat"] == "blocked":
            k = ran.sent_at.index(args["cycle"] + args["cycles"])
            freed = ran.taken_at[k - ran.config.queue_depth]
            assert freed[args["slowest_pe"]] == max(freed)


@settings(max_examples=10)
@given(windows())
def test_the_file_is_of_the_trace_event_format(window):
    """Fields of the JSON object format by phase, and no two slices of a track at the same time."""
    fields = {
        "X": {"ph", "pid", "tid", "cat", "name", "ts", "dur", "args"},
        "C": {"ph", "pid", "name", "ts", "args"},
        "M": {"ph", "pid", "tid", "name", "args"},
    }
    record, events = chrome(*window)
    assert set(record) == {"traceEvents", "otherData"}
    free_at = defaultdict(int)
    for event in events:
        assert set(event) == fields[event["ph"]]
        assert {type(event[name]) for name in ("pid", "tid", "ts", "dur") if name in event} == {int}
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name", "thread_sort_index")
        elif event["ph"] == "C":
            assert {type(value) for value in event["args"].values()} == {int}
        else:
            assert event["dur"] > 0
            assert event["ts"] >= free_at[event["tid"]]
            free_at[event["tid"]] = event["ts"] + event["dur"]


@settings(max_examples=30)
@given(windows())
def test_counters_are_the_queues_of_every_cycle(window):
    ran, first, last = window
    changes = defaultdict(dict)
    for event in chrome(*window)[1]:
        if event["ph"] == "C":
            changes[event["name"]][event["ts"]] = event["args"]["items"]
    for pe in range(min(ran.n_pe, 8)):
        of_pe = changes[f"PE {pe} queue"]
        assert all(first <= cycle <= last for cycle in of_pe)
        held = None
        for cycle in range(first, last + 1):
            assert of_pe.get(cycle) != held or held is None, "only changes are written"
            held = of_pe.get(cycle, held)
            assert held == len(ran.queue(pe, cycle))


def test_a_run_without_a_cycle_has_no_slice_no_change_and_no_line(tmp_path):
    inputs = np.ones(3, dtype=np.int16)
    matrix = es.EieMatrix.from_dense(np.zeros((3, 3)), n_pe=2, activations=inputs)
    ran = Ran(Case(None, None, matrix, inputs, es.EieConfig(n_pe=2)), "fast")
    assert {event["ph"] for event in chrome(ran, 1, 0)[1]} == {"M"}
    assert list(ran.activity.blocks(1, 0)) == []
    assert ran.activity.outputs()[1].count("0.0000") == 3
    assert waveform(ran, 1, 0, tmp_path / "a.vcd").signals


def test_the_file_says_what_ran_and_is_the_same_each_time(tmp_path):
    network = es.load("hand-8x8")
    traced = tracing.trace(network, es.EieConfig(n_pe=4, queue_depth=2))
    window = trace.window_of(traced.result.cycles, 3, 9)
    for name in ("one.json.gz", "two.json.gz", "plain.json"):
        trace.write_trace(tmp_path / name, traced.activity, *window, trace.about(traced, window))
    packed = (tmp_path / "one.json.gz").read_bytes()
    assert packed == (tmp_path / "two.json.gz").read_bytes()
    assert gzip.decompress(packed) == (tmp_path / "plain.json").read_bytes()
    about = json.loads(gzip.decompress(packed))["otherData"]
    assert (about["config"]["clock_mhz"], about["seed"], about["config_hash"]) == (800.0, 0, traced.result.config_hash)
    assert about["window"] == {"first": 3, "last": 9}
    assert "1 us shown is 1 cycle" in about["time"]
    assert {"eie_sim", "numpy"} <= set(about["versions"])


class Nowhere(io.RawIOBase):
    """Counts what is written, and keeps nothing."""

    size = 0

    def write(self, data):
        self.size += len(data)
        return len(data)


@pytest.mark.compiled
def test_a_large_layer_is_written_with_little_memory():
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(256, 200)) * (rng.random((256, 200)) < 0.1)
    ran = es.activity(es.EieMatrix.from_dense(weights, n_pe=64), np.abs(rng.normal(size=200)))
    file = Nowhere()
    tracemalloc.start()
    try:
        write_chrome(file, ran, 1, ran.cycles, BASIC)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert file.size > 2.5e6
    assert peak < file.size / 4


def waveform(ran, first, last, path):
    broken_pipe = signal.getsignal(signal.SIGPIPE)
    vcdvcd = pytest.importorskip("vcdvcd", reason="needs vcdvcd, an independent parser: pip install vcdvcd")
    signal.signal(signal.SIGPIPE, broken_pipe)  # its import has a broken pipe end this process
    pytest.importorskip("vcd", reason="needs pyvcd: pip install 'eie-sim[vcd]'")
    trace.write_trace(path, ran.activity, first, last, {**BASIC, "config": ran.config.to_dict()})
    return vcdvcd.VCDVCD(str(path))


@settings(max_examples=30)
@given(window=windows())
def test_a_waveform_read_back_is_the_timeline_in_every_cycle(window, tmp_path_factory):
    ran, first, last = window
    path = tmp_path_factory.mktemp("vcd") / "a.vcd"
    read = waveform(*window, path)
    text = path.read_text()
    assert "$date" not in text
    assert "$timescale 1 ps $end" in text
    assert {kind: f"{kind.value} {kind.name.lower()}" in text for kind in EieClass} == dict.fromkeys(EieClass, True)
    bits = {name.partition("[")[0]: read[name] for name in read.signals}
    watched = range(min(ran.n_pe, 2))

    def value(name, cycle, signed=False):
        word = bits[f"eie.{name}"][start_ps(cycle, ran.config.clock_mhz)]
        if "x" in word:
            return None
        number = int(word, 2)
        return number - 2**16 if signed and number >= 2**15 else number

    for cycle in range(first, last + 1):
        sent = [k for k, at in enumerate(ran.sent_at) if at <= cycle]
        assert value("cycle", cycle) == cycle
        assert value("broadcast", cycle) == (cycle in ran.sent_at)
        assert value("column", cycle) == (ran.columns[sent[-1]] if sent else None)
        if sent and ran.columns[sent[-1]] < ran.case.matrix.n_in:
            assert value("value", cycle, signed=True) == ran.case.activations[ran.columns[sent[-1]]]
        for pe in watched:
            queued = len(ran.queue(pe, cycle))
            taken = [k for k, at in enumerate(ran.taken_at) if at[pe] <= cycle]
            assert value(f"pe{pe}.queue", cycle) == queued
            assert value(f"pe{pe}.full", cycle) == (queued == ran.config.queue_depth)
            assert value(f"pe{pe}.state", cycle) == ran.kind(pe, cycle)[0]
            assert value(f"pe{pe}.taken", cycle) == any(at[pe] == cycle for at in ran.taken_at)
            assert value(f"pe{pe}.column", cycle) == (ran.columns[taken[-1]] if taken else None)
    if (first, last) == (1, ran.cycles):
        blocked = sum(value("blocked", cycle) for cycle in range(first, last + 1))
        after = [k for k, at in enumerate(ran.sent_at) if at > last]
        assert after or blocked == ran.result.stats["broadcast"]["blocked_cycles"]


@settings(max_examples=10)
@given(window=windows(), at_once=st.integers(1, 60))
def test_a_waveform_is_the_same_however_many_cycles_are_looked_at_together(window, at_once):
    ran, first, last = window
    whole = list(changes(ran.activity, first, last))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eie_sim.report.trace.waveform.AT_ONCE", at_once)
        assert list(changes(ran.activity, first, last)) == whole


@settings(max_examples=30)
@given(windows())
def test_text_says_what_each_cycle_is(window):
    ran, first, last = window
    scale = ran.case.matrix.scales
    sums = defaultdict(float)
    found = list(ran.activity.blocks(first, last))
    assert len(found) == last - first + 1
    for cycle, (head, *lines) in zip(range(first, last + 1), found, strict=True):
        assert re.match(rf"cycle +{cycle}  ", head)
        if cycle in ran.sent_at:
            assert f"broadcasts {ran.name(ran.sent_at.index(cycle))}, input" in head
        drains = cycle > ran.cycles - DRAIN
        assert ("drains" in head) == drains
        assert len(lines) == (0 if drains else ran.n_pe)
        if "blocked" in head:
            full = [pe for pe in range(ran.n_pe) if len(ran.queue(pe, cycle)) == ran.config.queue_depth]
            assert head.endswith(f"full queue of PE {', '.join(map(str, full))}") or drains
        for pe, line in enumerate(lines):
            check_line(ran, pe, cycle, line, sums, exact=first == 1)
    for row, total in sums.items() if (first, last) == (1, ran.cycles) else ():
        assert total == pytest.approx(ran.result.output[row] / 2.0**scale.accumulator, abs=1e-4)


def check_line(ran, pe, cycle, line, sums, exact):
    name, queue, doing = re.fullmatch(r"  PE (\d+) +queue (.*?)  +(\S.*)", line).groups()
    assert int(name) == pe
    queued = ran.queue(pe, cycle)
    shown = [word for word in queue.split() if word not in "-" and not word.startswith("+")]
    taken = [k for k in queued if ran.taken_at[k][pe] == cycle]
    words = ["bias" if ran.name(k) == "bias" else str(ran.columns[k]) for k in queued]
    assert shown == [f"({word})" if k in taken else word for k, word in zip(queued, words, strict=True)][: len(shown)]
    assert len(shown) + int((re.findall(r"\+(\d+)", queue) or [0])[0]) == len(queued)
    kind, k, place = ran.kind(pe, cycle)
    if kind == EieClass.WAITING:
        assert doing == "waits: its queue is empty"
        assert not queued
        return
    assert doing.startswith(ran.name(k))
    entries = ran.entries(k, pe)
    if kind == EieClass.EMPTY:
        assert doing.endswith("no entry")
        return
    assert f"entry {place + 1} of {len(entries)}  " in doing
    code, row = entries[place]
    assert int(re.search(r"code +(\d+)", doing)[1]) == code
    assert ("padding" in doing) == (kind == EieClass.PADDING)
    if kind == EieClass.WEIGHT:
        said, weight, _, addend, total = re.search(
            r"y\[ *(\d+)\] \+= +(\S+) x +(\S+) = +(\S+), now +(\S+)", doing
        ).groups()
        matrix = ran.case.matrix
        assert int(said) == row
        assert float(weight) == pytest.approx(matrix.codebook_raw[code] / 2.0**matrix.scales.weight, abs=1e-4)
        if exact and abs(float(total)) < 0.99 * 2.0 ** (15 - matrix.scales.accumulator):
            assert float(total) == pytest.approx(sums[row] + float(addend), abs=1e-3)
        sums[row] = float(total)
