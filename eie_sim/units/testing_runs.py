"""Rules for every run of a unit: each yields a line for each fault that it finds in one workload."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from functools import partial
from math import isclose, isfinite
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.sparse import csc_array

from eie_sim.core.errors import InputError
from eie_sim.core.result import SimResult, config_hash
from eie_sim.units import unit_named, unit_of
from eie_sim.units.testing_cases import Case, Faults, UnfitError, short
from eie_sim.units.testing_rules import refused
from eie_sim.units.unit import ENGINES, Unit

OTHER_PROCESS = """
import sys
from eie_sim.units.testing_runs import answer_other_process
answer_other_process(sys.argv[1])
"""
HASH_SEED = "1"
"""Seed of hashes in the other process: sets of words have another order there."""


def storage(unit: Unit, case: Case) -> Faults:
    """A compressed matrix keeps every weight that is not zero at its place, and takes bits."""
    matrix = _compressed(unit, case)
    if unit_of(matrix, "matrix").name != unit.name:
        yield f"matrix {type(matrix).__name__} is of another unit"
    if (matrix.n_out, matrix.n_in) != case.weights.shape:
        yield f"matrix is {matrix.n_out}x{matrix.n_in}, weights are {case.weights.shape[0]}x{case.weights.shape[1]}"
    if not np.array_equal(np.asarray(matrix.decode()) != 0, case.weights != 0):
        yield "decode() has other non-zeros than the weights"
    if not np.array_equal(unit.compress(csc_array(case.weights), case.config).decode(), matrix.decode()):
        yield "decode() has other weights where they come as a scipy.sparse array"
    parts = unit.storage(matrix, case.config).parts
    if not all(type(bits) is int and bits >= 0 for bits in parts.values()) or sum(parts.values()) <= 0:
        yield f"storage={short(dict(parts))}: bits must be integers, above 0 together"
    if matrix.n_weight < np.count_nonzero(case.weights) or not 0 <= matrix.density <= 1:
        yield f"n_weight is {matrix.n_weight} of {np.count_nonzero(case.weights)}, density {matrix.density}"


def engines(unit: Unit, case: Case) -> Faults:
    """Both engines return the same, to the bit: output, cycles, counts, classes, timeline."""
    matrix = _compressed(unit, case)
    timed = unit.timeline is not None
    fast, reference = (_simulated(unit, matrix, case, engine, timeline=timed) for engine in ENGINES)
    yield from _differences(fast, reference, ENGINES)
    if timed:
        yield from _differences(fast, _simulated(unit, matrix, case), ("fast with a timeline", "without"), "timeline")


def counts(unit: Unit, case: Case) -> Faults:
    """Cycles, counts and classes of a result add up, and none is faster than the unit's roof."""
    for engine in ENGINES:
        result = _simulated(unit, _compressed(unit, case), case, engine)
        yield from (f"{engine}: {fault}" for fault in _contradictions(unit, case, result))


def _contradictions(unit: Unit, case: Case, result: SimResult) -> Faults:
    stats, cycles = result.stats, result.cycles
    said = result.unit, result.config, result.config_hash, result.n_vector
    n_vector = len(np.atleast_2d(case.activations))
    if said != (unit.name, case.config, config_hash(unit.name, case.config.to_dict()), n_vector):
        yield f"is said to be of unit, design and vectors {short(said)}"
    if np.shape(result.output) != (*np.shape(case.activations)[:-1], len(case.weights)):
        yield f"output has the shape {np.shape(result.output)}"
    if cycles != result.cycles_per_vector.sum() or cycles < 0:
        yield f"cycles are {cycles}, those of the vectors add to {result.cycles_per_vector.sum()}"
    tables = ("counts", result.counts, result.event_names), ("classes", result.classes, result.class_names)
    for name, array, columns in tables:
        if array.dtype != np.int64 or array.shape[1] != len(columns):
            shape = "x".join(map(str, array.shape))
            yield f"{name} are {array.dtype} {shape}, must be int64 with a column for each of {', '.join(columns)}"
        elif (array < 0).any():
            yield f"{name} of {columns[np.argwhere(array < 0)[0][1]]} are negative"
    if sum(stats["classes"].values()) != cycles * result.n_unit or len(result.classes) != result.n_unit:
        yield f"classes add to {sum(stats['classes'].values())}, must be {cycles} cycles x {result.n_unit} units"
    names = unit.words.useful.name.lower(), tuple(word.name.lower() for word in unit.words.busy)
    if (result.useful_class, result.busy_classes) != names:
        yield f"useful and busy classes are {result.useful_class} and {result.busy_classes}, words say {names}"
    if not 0 <= result.effectual_macs <= result.dense_macs or result.dense_macs < case.weights.size * n_vector:
        yield f"effectual_macs are {result.effectual_macs}, dense_macs {result.dense_macs}"
    if not (0 <= result.utilisation <= 1 and 0 <= result.load_balance <= 1 + 1e-12):
        yield f"utilisation is {result.utilisation}, load balance {result.load_balance}"
    peak, per_us, memory, n_byte = unit.roof(case.config.to_dict(), stats["events"])
    if not (0 < peak < float("inf") and 0 < per_us < float("inf") and memory and n_byte >= 0):
        yield f"roof is {peak} GOP/s and {per_us} bytes per us of {memory}, from which {n_byte} are read"
    if result.effective_gops > peak * (1 + 1e-9) or n_byte > per_us * result.time_us * (1 + 1e-9):
        yield f"is faster than its roof, {peak:g} GOP/s and {per_us:g} bytes per us of {memory}"
    json.dumps(result.to_dict(), allow_nan=False)


def verified(unit: Unit, case: Case) -> Faults:
    """Outputs are verified as they are, and not where one of them is wrong."""
    layer = SimpleNamespace(name="fc", weights=case.weights, columns=case.weights, bias=None, stored=None)
    matrix, design = _compressed(unit, case), unit.for_inputs(case.config, case.activations)
    if unit.opened is not None:
        matrix = unit.opened(matrix, case.activations, design)
    result = unit.simulate(matrix, case.activations, design)
    found = unit.verify(layer, matrix, case.activations, result)
    if not found.ok:
        yield f"is not verified: {found.differs()}"
    wrong = np.array(result.output)
    wrong.flat[-1] += 1 + np.abs(wrong.flat[-1])
    if unit.verify(layer, matrix, case.activations, replace(result, output=wrong)).ok:
        yield "an output that is wrong is verified"


def words(unit: Unit, case: Case) -> Faults:
    """Real activations, and the words that the unit keeps of them, give the same outputs, timed or not."""
    if case.activations.dtype.kind != "f":
        return
    matrix, design = _compressed(unit, case), unit.for_inputs(case.config, case.activations)
    batch = np.atleast_2d(case.activations)
    floats = batch @ np.asarray(case.weights).T
    matrix = matrix if unit.opened is None else unit.opened(matrix, batch, design, outputs=floats)
    kept = unit.words_of(matrix, batch)
    of_real, of_words = (unit.simulate(matrix, each, design) for each in (batch, kept))
    if not np.array_equal(of_real.output, of_words.output):
        yield "outputs of words_of(matrix, activations) are others than those of the activations"
    if unit.output_of is not None and not np.array_equal(unit.output_of(matrix, kept, design), of_real.real_output):
        yield "output_of gives others than the real values of outputs"
    if not isinstance(of_real.active_inputs, int) or not 0 <= of_real.active_inputs <= batch.size:
        yield f"active_inputs={of_real.active_inputs!r}: must be an integer within 0 and {batch.size}"
    each = of_real.active_per_vector
    if each is not None and (each.shape != (len(batch),) or each.sum() != of_real.active_inputs):
        yield f"active_per_vector={each.tolist()}: must be one a vector, {of_real.active_inputs} together"
    if not isinstance(unit.describe(design), str) or "\n" in unit.describe(design):
        yield f"describe gives {short(unit.describe(design))}, must be one line"


def products(unit: Unit, case: Case) -> Faults:
    """An input alone reaches only the outputs whose weight for it is not zero; a design for inputs stays the same."""
    alone = case._replace(activations=np.eye(case.weights.shape[1], dtype=case.activations.dtype))
    output = np.asarray(_simulated(unit, _compressed(unit, case), alone).output)
    reached = np.argwhere((output != 0) & (case.weights == 0).T)
    if len(reached):
        at, row = reached[0]
        yield f"input {at} alone gives output {row} the value {output[at, row]}, the weight is 0"
    design = unit.for_inputs(case.config, case.activations)
    if not isinstance(design, unit.config) or unit.for_inputs(design, case.activations) != design:
        yield f"for_inputs makes {short(design)}, and of this another design"


def accounting(unit: Unit, case: Case) -> Faults:
    """The energy of a result is finite, above 0 where there are cycles, and adds up by events and by components."""
    from eie_sim.energy import account

    result = _simulated(unit, _compressed(unit, case), case)
    report = account(result)
    if not all(isfinite(pj) and pj >= 0 for pj in report.by_component.values()):
        yield f"energy of components is {report.by_component}"
    if result.cycles and report.total_pj <= 0:
        yield f"{result.cycles} cycles take {report.total_pj} pJ"
    added = sum(report.by_event.values()) + report.pe_cycle_pj + report.leakage_pj
    if not isclose(added, report.total_pj, rel_tol=1e-9):
        yield f"events, clock and leakage take {added} pJ, components {report.total_pj} pJ"


def repeatable(unit: Unit, case: Case) -> Faults:
    """The same workload gives the same again, after another one too, and is left as it was."""
    weights, activations = case.weights.copy(), case.activations.copy()
    matrix = _compressed(unit, case)
    other = case._replace(activations=case.activations[..., ::-1])
    for engine in ENGINES:
        first = _simulated(unit, matrix, case, engine)
        _simulated(unit, matrix, other, engine)
        yield from _differences(first, _simulated(unit, matrix, case, engine), (f"{engine} first", "again"))
        fresh = _simulated(unit, _compressed(unit, case), case, engine)
        yield from _differences(first, fresh, (f"{engine} first", "compressed anew"))
    if not (np.array_equal(weights, case.weights) and np.array_equal(activations, case.activations)):
        yield "weights or activations are changed by the run"


def bad_workloads(unit: Unit, case: Case) -> Faults:
    """Weights, biases, activations, engines and timelines that cannot be are refused by one line."""
    config, n_in = case.config, case.weights.shape[1]
    shape = case.weights.shape
    wrong = {"NaN": np.full(shape, np.nan), "infinity": np.full(shape, np.inf), "a vector": np.ones(3), "text": "many"}
    for name, weights in wrong.items():
        yield from refused("weights", f"weights of {name}", partial(unit.compress, weights, config))
    bias = np.ones(len(case.weights) + 1 if unit.takes_bias else len(case.weights))
    yield from refused("bias", f"bias of {len(bias)}", lambda: unit.compress(case.weights, config, bias=bias))
    matrix = _compressed(unit, case)
    _simulated(unit, matrix, case)
    bad = {
        "one input too many": np.ones(n_in + 1),
        "vectors of one input too many": np.ones((2, n_in + 1)),
        "three dimensions": np.ones((1, 1, n_in)),
        "NaN": np.full(n_in, np.nan),
        "infinity": np.full(n_in, np.inf),
        "text": "many",
        "complex numbers": np.ones(n_in) * 1j,
    }
    for name, given in bad.items():
        yield from refused("activations", f"activations of {name}", partial(unit.simulate, matrix, given, config))
    run = unit.simulate
    yield from refused("engine", "engine 'quick'", lambda: run(matrix, case.activations, config, engine="quick"))
    if unit.timeline is None:
        yield from refused("timeline", "timeline", lambda: run(matrix, case.activations, config, timeline=True))


def other_process(unit: Unit, cases: list[Case]) -> Faults:
    """Another process, in which words have other hashes, returns the same for a few workloads."""
    fit = []
    for case in cases:
        try:
            fit.append((case, _digest(unit, case)))
        except UnfitError:
            continue
    sent = [[case.config.to_dict(), *(_sent(array) for array in case[1:])] for case, _ in fit]
    environment = {**os.environ, "PYTHONHASHSEED": HASH_SEED, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", OTHER_PROCESS, unit.name],
        input=json.dumps(sent),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    if done.returncode:
        yield f"fails: {(done.stderr.splitlines() or ['no message'])[-1]}"
        return
    for (case, ours), theirs in zip(fit, json.loads(done.stdout), strict=True):
        if ours != theirs:
            yield f"{case.config}, weights {case.weights.shape}: another process returns other results"
            return


def answer_other_process(name: str) -> None:
    """Read cases as JSON, write a digest of each: what the other process does."""
    unit = unit_named(name)
    sent = json.loads(sys.stdin.read())
    cases = [
        Case(unit.config(**config), *(np.array(values, dtype=kind) for values, kind in arrays))
        for config, *arrays in sent
    ]
    sys.stdout.write(json.dumps([_digest(unit, case) for case in cases]))


def _sent(array: Any) -> tuple[Any, str]:
    return array.tolist(), array.dtype.str


def _digest(unit: Unit, case: Case) -> list[str]:
    """Return a digest of all that each engine returns."""
    matrix = _compressed(unit, case)
    return [
        hashlib.sha256(repr(_plain(_simulated(unit, matrix, case, engine))).encode()).hexdigest() for engine in ENGINES
    ]


def _plain(result: SimResult) -> list[Any]:
    values = (getattr(result, field.name) for field in fields(result))
    return [value.tobytes() if isinstance(value, np.ndarray) else value for value in values]


def _compressed(unit: Unit, case: Case) -> Any:
    """The matrix. Raises UnfitError where the unit refuses the weights, as integers only may be right for a design."""
    try:
        return unit.compress(case.weights, case.config)
    except InputError as error:
        raise UnfitError(str(error)) from error


def _simulated(unit: Unit, matrix: Any, case: Case, engine: str = "fast", *, timeline: bool = False) -> SimResult:
    try:
        return unit.simulate(matrix, case.activations, case.config, engine=engine, timeline=timeline)
    except InputError as error:
        raise UnfitError(str(error)) from error


def _differences(ours: SimResult, theirs: SimResult, names: tuple[str, str], *but: str) -> Faults:
    """Fields of two results that are not the same to the bit, apart from `but`."""
    for field in fields(ours):
        one, other = getattr(ours, field.name), getattr(theirs, field.name)
        if field.name not in ("engine", *but) and not _same(one, other):
            yield f"{field.name} {_first(ours, field.name, one, other)} of {names[0]} and {names[1]}"


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, (tuple, list)) and isinstance(other, (tuple, list)):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and bool(one == other)


def _first(result: SimResult, field: str, one: Any, other: Any) -> str:
    """The first place at which two values of a field differ, and both."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and one.shape == other.shape:
        places = np.argwhere(one != other)
        if len(places):
            at = tuple(places[0].tolist())
            column = {"counts": result.event_names, "classes": result.class_names}.get(field)
            return f"[{', '.join(map(str, at))}]{f' ({column[at[-1]]})' if column else ''} {one[at]} and {other[at]}"
    return f"{short(one)} and {short(other)}"
