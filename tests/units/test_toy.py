"""The toy, a unit of another package, goes through the house: nothing of it stands anywhere else."""

import os
import subprocess
import sys

import numpy as np
import pytest
from readme import BLOCK, FILE, NEW_UNIT, ROOT, output_of, python_blocks
from registering import install, path_with

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


def test_a_network_runs_on_it(config):
    network = es.load("digits-mlp")
    run = es.run(network, config)
    assert run.verified
    assert run.record.unit == "toy"
    read = network.test_inputs
    for at, layer in enumerate(network.layers):
        weights = layer.weights.astype(np.float32).astype(np.float64)
        read = (np.maximum(read, 0) if at else read) @ weights.T + layer.bias
    np.testing.assert_allclose(run.output, read)
    assert run.accuracy.compressed == run.accuracy.pruned
    entries = sum(np.count_nonzero(layer.weights) for layer in network.layers)
    assert run.record.total.stats["events"]["macs"] == 360 * entries
    assert run.record.total.storage.bits["values"] == 32 * entries


def test_weights_that_are_stored_wrongly_are_found(config, monkeypatch):
    exact = sys.modules["toy.matrix"].ToyMatrix.decode
    monkeypatch.setattr("toy.matrix.ToyMatrix.decode", lambda matrix: exact(matrix) * np.float32(1.001))
    assert not es.run(es.load("digits-mlp"), config).verified


def test_it_is_swept_and_compared(config):
    found = es.sweep.run("digits-mlp", grid={"n_lane": [1, 4], "density": [0.05, 0.1]}, workers=1)
    assert [row["unit"] for row in found.rows] == ["toy"] * 4
    assert found.failed == 0
    assert all(row["verified"] for row in found.rows)
    chip = es.TensorCoreConfig.preset("nm-64")
    found = es.compare(es.load("digits-mlp"), chip, patterns=[(2, 4)], densities=[0.1], batches=[8])
    assert [row.name for row in found.rows] == ["dense", "2:4", "EIE 10 %", "Toy 10 %"]


@pytest.mark.parametrize(("sizes", "title"), [(True, "Toy"), (False, "16 x Toy")])
def test_it_stands_among_designs_of_others(installed, sizes, title):
    """With a design of each size, and without any of what a unit may leave out."""
    installed(toy="toy:UNIT" if sizes else "broken_toys:PLAIN")
    on = ["nm-64", "eie", "toy"]
    found = es.compare(es.load("digits-mlp"), on, patterns=[(2, 4)], densities=[0.1], batches=[8])
    assert [one.macs_per_cycle for one in found.designs] == [64, 64, 64]
    assert [row.name for row in found.rows] == ["dense", "2:4", "EIE 10 %", f"{title} 10 %"]
    row, one = found.rows[-1], found.designs[-1]
    assert (row.on, one.design.clock_mhz) == ("Toy", 800.0 if sizes else 500.0)
    per_vector = [simulated(layer.weights, one.design).cycles for layer in pruned_to(0.1).layers]
    assert row.cycles == sum(per_vector) * (8 if sizes else 1)


def pruned_to(density):
    recipe = es.prune.Recipe(density=density)
    return es.prune.prune_network(es.load("digits-mlp"), recipe, None)[0]


def simulated(weights, config):
    return es.simulate(compress(weights, config), np.ones(weights.shape[1]), config)


def test_a_unit_whose_code_fails_is_not_compared(installed):
    installed(toy="broken_toys:AN_ERROR")
    found = es.compare(es.load("digits-mlp"), ["eie", "toy"], densities=[0.1], batches=[1])
    assert [row.name for row in found.rows] == ["EIE 10 %"]
    assert found.not_compared == ["unit=toy: its own code fails, AssertionError: too many"]
    with pytest.raises(es.InputError, match=r"^unit=toy: its own code fails, AssertionError: too many$"):
        es.compare(es.load("digits-mlp"), ["toy"], densities=[0.1], batches=[1])


COMMANDS = {
    "run digits-mlp --unit toy --n-lane 2 --out run": "verified",
    "report run": "verified",
    "compress digits-mlp --unit toy": "verified",
    "prune digits-mlp --unit toy --density 0.05": "verified",
    "footprint digits-mlp --unit toy --layer fc3": "toy",
    "energy --unit toy": "mac_array",
    "sweep digits-mlp --unit toy --n-lane 1,2 --workers 1": "2 points",
    "compare digits-mlp --batches 8": "Toy 10 %",
    "compare digits-mlp --batches 8 --on toy,nm-64": "1 x Toy: 64 MACs a cycle, 800 MHz, 45 nm",
    "validate toy": "toy times",
    "sensitivity digits-mlp --unit toy --densities 0.1": "fc3",
    "run --unit toy --help": "--start-cycles",
}


def test_every_command_takes_it(toy, tmp_path):
    """In processes that find it as an installed package."""
    for command, shown in COMMANDS.items():
        install(tmp_path / "installed") if not (tmp_path / "installed").exists() else None
        environment = {**os.environ, "PYTHONPATH": path_with(tmp_path / "installed")}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; from eie_sim.cli import main; sys.exit(main())", *command.split()],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        assert shown in done.stdout, command
    assert "mac_array" in (tmp_path / "run" / "report.html").read_text()


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
