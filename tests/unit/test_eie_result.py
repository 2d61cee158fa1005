"""Every field of a result of the EIE unit, whichever engine ran it and whether or not times were kept."""

import numpy as np
import pytest

import eie_sim as es
from eie_sim.core.result import config_hash
from eie_sim.units.eie import fast, reference, unit
from eie_sim.units.eie import matrix as matrix_module

MATRIX = es.EieMatrix.from_codes(
    [[1, 0, 2], [0, 1, 1]], [0.0, 1.0, 2.0, -1.0], n_pe=2, scales=es.Scales(weight=0, activation=0, accumulator=0)
)
CONFIG = es.EieConfig(n_pe=2, weight_bits=2)
RUNS = [{"engine": engine, "timeline": kept} for engine in ("fast", "reference") for kept in (False, True)]


@pytest.mark.parametrize("how", RUNS, ids=str)
def test_every_field(how):
    """Columns 0 and 2 are broadcast in the first vector, columns 1 and 2 in the second; PE i holds row i."""
    result = es.simulate(MATRIX, [[3, 0, 1], [0, 2, 5]], CONFIG, **how)
    assert (result.unit, result.engine, result.config) == ("eie", how["engine"], CONFIG)
    assert result.output.tolist() == [[5, 1], [10, 7]]
    assert (result.output.dtype, result.cycles_per_vector.dtype) == (np.int16, np.int64)
    assert (result.counts.dtype, result.classes.dtype) == (np.int64, np.int64)
    assert result.scales == {"weight": 0, "activation": 0, "accumulator": 0}
    assert (result.cycles, result.n_vector, result.n_unit) == (int(result.cycles_per_vector.sum()), 2, 2)
    assert (result.counts.shape, result.classes.shape) == ((3, 11), (2, 5))
    assert (result.effectual_macs, result.dense_macs) == (6, 12)
    assert result.extra == {
        "broadcast": {"sent": 4, "blocked_cycles": 0, "lost_cycles": result.extra["broadcast"]["lost_cycles"]}
    }
    assert (result.useful_class, result.busy_classes) == ("weight", ("weight", "padding"))
    assert result.inputs == "given, 2 vectors"
    assert result.config_hash == config_hash("eie", CONFIG.to_dict())
    if how["timeline"]:
        assert [(sent.shape, taken.shape) for sent, taken in result.timeline] == [((2,), (2, 2))] * 2
    else:
        assert result.timeline is None


@pytest.mark.parametrize("how", RUNS, ids=str)
def test_one_vector_has_one_of_each(how):
    result = unit.simulate(MATRIX, [3, 0, 1], CONFIG, **how, inputs="three and one")
    assert (result.output.tolist(), result.inputs) == ([5, 1], "three and one")
    assert es.simulate(MATRIX, [[3, 0, 1]], CONFIG, **how).inputs == "given, 1 vector"
    if how["timeline"]:
        sent, taken = result.timeline
        assert (sent.tolist(), taken.shape) == ([2, 4], (2, 2))


def test_the_engine_that_is_named_runs(monkeypatch):
    ran = []
    run = reference.run
    monkeypatch.setattr(reference, "run", lambda *given: ran.append(given) or run(*given))
    es.simulate(MATRIX, [[3, 0, 1]] * 3, CONFIG, engine="fast")
    es.simulate(MATRIX, [[3, 0, 1]] * 3, CONFIG, engine="fast", timeline=True)
    assert ran == []
    es.simulate(MATRIX, [[3, 0, 1]] * 3, CONFIG, engine="reference")
    assert len(ran) == 3


def test_what_is_left_out_is_the_fast_engine_without_times():
    result = unit.simulate(MATRIX, [3, 0, 1], CONFIG)
    assert (result.engine, result.timeline, result.inputs) == ("fast", None, "given, 1 vector")
    assert fast.run(MATRIX.counts, np.array([3, 0, 1], dtype=np.int16), CONFIG).timeline is None


@pytest.mark.parametrize("how", RUNS, ids=str)
def test_broadcasts_are_plain_integers(how):
    said = es.simulate(MATRIX, [[3, 0, 1]] * 2, CONFIG, **how).extra["broadcast"]
    assert {type(count) for count in said.values()} == {int}


def test_open_scales_are_chosen_for_what_takes_part():
    matrix = es.EieMatrix.from_dense(np.eye(2), n_pe=2)
    for active in ("positive", "nonzero"):
        found = es.simulate(matrix, [1.0, -9.0], es.EieConfig(n_pe=2, active=active)).scales
        assert found == matrix.with_scales_for([1.0, -9.0], active=active).scales.to_dict()
    assert found != matrix.with_scales_for([1.0, -9.0], active="positive").scales.to_dict()


def test_words_reach_from_the_smallest_to_the_largest():
    config = es.EieConfig(n_pe=2, weight_bits=2, active="nonzero", accumulator_bits=32)
    assert es.simulate(MATRIX, [-32768, 32767, 0], config).output.tolist() == [-32768, 32767]


def test_outputs_of_all_vectors_are_limited(monkeypatch):
    for most, vectors in ((2, [3, 0, 1]), (4, [[3, 0, 1]] * 2)):
        monkeypatch.setattr(matrix_module, "MAX_OUTPUTS", most)
        es.simulate(MATRIX, vectors, CONFIG)
        monkeypatch.setattr(matrix_module, "MAX_OUTPUTS", most - 1)
        with pytest.raises(es.InputError, match=rf"must give at most {most - 1} outputs over all vectors, 2 each"):
            es.simulate(MATRIX, vectors, CONFIG)


def test_a_matrix_shares_its_counts_with_one_of_other_scales():
    counts = MATRIX.counts
    assert (counts.shape, counts.n_pe, counts.weight_bits, counts.index_bits) == ((2, 3), 2, 2, 4)
    assert MATRIX.with_scales(es.Scales(weight=1, activation=1, accumulator=1)).counts is counts


@pytest.mark.parametrize("bias", [None, [1, 3]])
def test_where_all_is_kept_and_active_effectual_macs_are_the_dense_ones(bias):
    """Both have the bias, which a dense unit multiplies by 1.0 too."""
    codes = np.array([[1, 2, 3], [3, 1, 2]])
    matrix = es.EieMatrix.from_codes(codes, np.arange(4.0), n_pe=2, bias_codes=bias)
    for engine in ("fast", "reference"):
        result = es.simulate(matrix, np.ones((3, 3)), engine=engine)
        assert result.effectual_macs == result.dense_macs == 3 * 2 * (3 if bias is None else 4)
        assert result.effective_gops == result.dense_equivalent_gops


def test_no_vectors_take_no_time():
    for engine in ("fast", "reference"):
        result = es.simulate(MATRIX, np.zeros((0, 3), dtype=np.int16), CONFIG, engine=engine)
        assert (result.cycles, result.output.shape, result.n_vector) == (0, (0, 2), 0)
        assert result.counts.sum() == result.classes.sum() == result.dense_macs == 0
