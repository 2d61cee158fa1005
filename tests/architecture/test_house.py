"""The house stands: imports go down, heavy libraries and files stay in their rooms, functions fit a screen."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eie_sim

PACKAGE = Path(eie_sim.__file__).parent
NAMES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path.relative_to(PACKAGE).parts[0] not in ("models", "traces")
}
"""Every module of the package by its name without eie_sim."""

# A module imports only from its own row and from rows below it.
ROWS = ["cli", "report", "study", "train", "pipeline", "prune", "network", "units", "core"]
APART = {("network", "units"), ("report", "train"), ("study", "train")}
"""Rows of which the upper one does not import the lower one all the same."""
TODAY = {
    "pipeline": [
        "inputs",
        "tracing",
        "record",
        "runs",
        "graphs",
        "product_run",
        "launching",
        "limit",
        "footprints",
        "passed_on",
    ],
    "prune": ["deep_compression"],
    "network": ["archive"],
    "units": ["engine", "energy", "tables", "formats"],
}
"""What belongs to a row and stands elsewhere today."""
KNOWN = {
    ("archive.content", "units"),
    ("engine", "network"),
    ("network.layer_loading", "prune"),
}
"""Imports that break the rule. This set only shrinks: one that is gone is taken out."""
UNIT_PARTS = ("reference", "fast", "functional", "memories", "vendor", "invariants")
"""Modules of a unit that never import each other."""
ROOMS = {
    "numba": {"core.jit"},
    "simpy": {"units.channel", "units.eie.reference", "units.nm.reference"},
    "matplotlib": {"report"},
    "scipy": {"core.arrays", "core.sparse", "units.testing_runs", "network"},
    "safetensors": {"network"},
    "rich": {"cli", "report"},
    "cyclopts": {"cli"},
    "jinja2": {"core.html"},
    "distributed": {"study.cluster"},
    "pandas": {"study"},
    "pyarrow": {"study"},
    "optuna": {"study.searching"},
    "onnx": {"network"},
    "onnxruntime": {"network"},
    "onnxscript": {"network"},
    "torch": {"network", "train"},
    "hypothesis": {"units.testing", "units.testing_cases", "cli.checking"},
    "vcd": {"report.trace.waveform"},
    "pickle": set(),
    "urllib": set(),
    "requests": set(),
}
OPENS_FILES = {"network", "archive", "study", "report", "cli", "core.files", "core.jit", "tables"}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "load", "memmap", "fromfile", "tofile"}
SIZE_LIMIT = 60
FILE_LIMIT = 450


def in_room(name, room):
    return f"{name}.".startswith(f"{room}.")


def row(name):
    room = name.split(".")[0]
    return next((row for row, rooms in TODAY.items() if room in rooms), room)


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules_imported(path):
    for name in imports(path):
        parts = name.removeprefix("eie_sim.").split(".") if name.startswith("eie_sim.") else []
        found = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
        yield from [module for module in found if module in NAMES][:1]


def test_every_module_has_a_row():
    rooms = {name.split(".")[0] for name in NAMES} - {"__init__"}
    moved = [room for rooms in TODAY.values() for room in rooms]
    assert sorted(rooms - {*ROWS, *moved}) == [], "a room without a row in ROWS or TODAY"
    assert sorted(set(moved) - rooms) == [], "a room of TODAY that is no more"


def test_imports_go_down():
    found = set()
    for name, path in NAMES.items():
        for imported in set(own_modules_imported(path)) if name != "__init__" else ():
            upper, lower = row(name), row(imported)
            if ROWS.index(lower) < ROWS.index(upper) or (upper, lower) in APART:
                found.add((name, imported))
    assert sorted(found - KNOWN) == [], "imports that go up"
    assert sorted(KNOWN - found) == [], "gone: take them out of KNOWN"


def test_units_and_the_parts_of_a_unit_do_not_know_each_other():
    found = []
    for name, path in NAMES.items():
        if name.count(".") == 2 and name.startswith("units."):
            _, unit, part = name.split(".")
            for imported in own_modules_imported(path):
                room, *other = imported.split(".")
                if room == "units" and len(other) == 2:
                    both = part in UNIT_PARTS and other[1] in UNIT_PARTS
                    if other[0] != unit or (both and other[1] != part):
                        found.append((name, imported))
    assert found == []


def test_libraries_stay_in_their_rooms():
    found = []
    for name, path in NAMES.items():
        for imported in imports(path):
            library = imported.split(".")[0]
            if library in ROOMS and not any(in_room(name, room) for room in ROOMS[library]):
                found.append((name, library))
    assert found == []


def test_files_are_opened_only_where_they_may_be():
    found = []
    for name, path in NAMES.items():
        if not any(in_room(name, room) for room in OPENS_FILES):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    if called in FILE_CALLS:
                        found.append(f"{name}:{node.lineno} calls {called}")
    assert found == []


def test_functions_fit_a_screen():
    found = []
    for name, path in NAMES.items():
        source = path.read_text()
        if len(source.splitlines()) > FILE_LIMIT:
            found.append(name)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef):
                docstring = len((ast.get_docstring(node) or "").splitlines())
                if node.end_lineno - node.lineno - docstring > SIZE_LIMIT:
                    found.append(f"{name}.{node.name}")
    assert found == []


def test_the_golden_oracle_and_the_engines_share_nothing():
    apart = {
        name: set(own_modules_imported(NAMES[name])) for name in ("core.golden", "units.eie.fast", "units.nm.fast")
    }
    assert apart["core.golden"] == set()
    assert not apart["units.eie.fast"] & {"units.eie.reference", "units.eie.functional", "units.channel", "core.fixed"}
    assert not apart["units.nm.fast"] & {"units.nm.reference", "units.nm.functional", "units.channel", "core.fixed"}
    reference = set(own_modules_imported(NAMES["units.eie.reference"]))
    assert not reference & {"units.eie.fast", "units.eie.functional"}


def loaded_after(code):
    heavy = "('numba', 'simpy', 'matplotlib', 'scipy', 'pandas', 'pyarrow', 'jinja2')"
    program = f"import sys\n{code}\nprint([m for m in {heavy} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import eie_sim; eie_sim.EieConfig; eie_sim.prune; eie_sim.InputError") == "[]"


def test_only_the_reference_engine_loads_simpy():
    program = "import eie_sim as es\nes.simulate_gemm(8, 8, 8, es.TensorCoreConfig())"
    assert "simpy" not in loaded_after(program)


def test_the_version_loads_nothing_heavy():
    assert loaded_after("from eie_sim.cli import main\nmain(['--version'])") == "[]"


def test_every_public_name_resolves():
    for name in eie_sim.__all__:
        assert getattr(eie_sim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = eie_sim.nonsense
