"""The toy, a unit of another package, goes through the house: nothing of it stands anywhere else."""

import numpy as np
import pytest
from readme import BLOCK, FILE, NEW_UNIT, ROOT, output_of, python_blocks

import eie_sim as es
from eie_sim.engine import compress
from eie_sim.units import UNITS, unit_of, units


@pytest.fixture
def weights():
    rng = np.random.default_rng(1)
    return (rng.normal(size=(9, 12)) * (rng.random((9, 12)) < 0.4)).astype(np.float32)


@pytest.fixture
def config(toy):
    return toy.config(n_lane=2)


def test_it_is_a_unit_beside_ours(toy, config):
    assert [unit.name for unit in units()] == [*UNITS, "toy"]
    assert unit_of(config) is toy


def test_it_is_forgotten_after_a_test():
    assert [unit.name for unit in units()] == list(UNITS)


def test_it_compresses(config, weights):
    matrix = compress(weights, config)
    np.testing.assert_array_equal(matrix.decode(), weights)


@pytest.mark.parametrize("engine", ["fast", "reference"])
def test_cycles_by_hand(config, engine):
    """Lane 0 has rows 0 and 2, 1 + 3 and 1 + 1 cycles; lane 1 row 1, 1 + 2 cycles, and waits for 3."""
    matrix = compress([[1, 2, 3], [4, 0, 5], [0, 0, 6]], config)
    result = es.simulate(matrix, [1, 10, 100], config, engine=engine)
    assert result.output.tolist() == [321, 504, 600]
    assert result.cycles == 6
    assert result.classes.tolist() == [[4, 2, 0], [2, 1, 3]]
    assert result.stats["events"] == {"macs": 6, "row_starts": 3}
    assert (result.utilisation, result.time_us) == (0.5, 6 / 500)


def test_it_simulates_a_batch(config, weights):
    batch = np.arange(36.0).reshape(3, 12)
    result = es.simulate(compress(weights, config), batch, config)
    np.testing.assert_allclose(result.output, batch @ weights.T)
    assert result.cycles_per_vector.tolist() == [result.cycles // 3] * 3


def test_its_energy_is_accounted_by_its_words(config, weights):
    result = es.simulate(compress(weights, config), np.ones(12), config)
    report = es.energy.account(result)
    assert report.by_component["mac_array"] == pytest.approx(4.6 * np.count_nonzero(weights))
    assert report.by_component["sram"] == pytest.approx(5.0 * 9)
    assert list(report.by_component) == ["mac_array", "sram", "clock", "leakage"]
    cheaper = es.energy.account(result, es.energy.EnergyTable.from_csv("event,energy_pj,source\nmacs,1,mine\n", config))
    assert cheaper.total_pj < report.total_pj


def test_its_results_are_drawn(config, weights):
    result = es.simulate(compress(weights, config), np.ones(12), config)
    report = es.energy.account(result)
    for axes, part in (
        (es.figures.classes({"fc": result.stats["classes"]}), "start"),
        (es.figures.energy({"fc": report.by_component}), "mac_array"),
        (es.figures.roofline({"fc": result}), "weight SRAM"),
    ):
        assert part in es.figures.svg(axes)
    assert "mac_array" in report._repr_html_()
    assert "toy, fast engine" in result._repr_html_()


def test_inputs_are_compared_on_it(config):
    network = es.load("digits-mlp")
    rows = es.compare_inputs(network, config)
    assert len({row.cycles_per_vector for row in rows if row.layer == "fc1"}) == 1, "a toy skips no zero inputs"


def test_designs_and_matrices_of_other_units_are_refused(config, weights):
    matrix = compress(weights, config)
    with pytest.raises(es.InputError, match=r"^config=EieConfig: must be ToyConfig$"):
        es.simulate(matrix, np.ones(12), es.EieConfig())
    with pytest.raises(es.InputError, match=r"^config=ToyConfig: must be EieConfig$"):
        es.simulate(es.EieMatrix.from_dense(weights), np.ones(12), config)
    with pytest.raises(es.InputError, match=r"^config=object: must be EieConfig or TensorCoreConfig or ToyConfig$"):
        unit_of(object())


def test_the_document_shows_its_files_all_of_them():
    shown = {match["path"]: match["text"] for match in FILE.finditer(NEW_UNIT.read_text())}
    files = [*(ROOT / "tests/units/toy").glob("*.py"), ROOT / "tests/units/pyproject.toml"]
    assert {str(path.relative_to(ROOT)) for path in files} == set(shown)
    for path, text in shown.items():
        assert text == (ROOT / path).read_text(), f"{path}: run python tests/readme.py"


def test_the_document_shows_what_its_commands_print(toy, tmp_path):
    (block,) = BLOCK.finditer(NEW_UNIT.read_text())
    assert block["text"] == output_of(block["command"], tmp_path), "run python tests/readme.py"


def test_the_test_that_the_document_shows_passes(toy):
    names = {}
    exec(python_blocks(NEW_UNIT.read_text())[-1], names)
    names["test_unit"]()
