"""The house stands: imports go down, heavy libraries and files stay in their rooms, functions fit a screen."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import eie_sim

PACKAGE = Path(eie_sim.__file__).parent
MODULES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.relative_to(PACKAGE).parts[0] not in ("models", "traces")
)

# A module imports only from lines below its own, or from its own package on the same line.
FLOORS = [
    ["cli"],
    ["report"],
    ["validate"],
    ["sweep"],
    ["compare", "inputs", "tracing"],
    ["run", "pruning", "validate_nm"],
    ["cost"],
    ["engine", "energy", "archive", "verification"],
    ["units.*.activity"],
    ["units.*.unit"],
    [
        "units.*.reference",
        "units.*.fast",
        "units.*.functional",
        "units.*.memories",
        "units.*.vendor",
        "units.*.invariants",
    ],
    ["units.*.matrix", "workload"],
    ["units.*.counts"],
    ["units.*.encoding", "units.*.packing", "prune", "deep_compression"],
    ["units.channel"],
    ["units.*.energy"],
    ["units.*.words"],
    ["units.unit"],
    ["units.energy", "units.technology", "formats"],
    ["units.*.config", "units.*.provenance", "tables", "recipe"],
    ["core"],
]
ROOMS = {
    "numba": {"core.jit"},
    "simpy": {"units.channel", "units.eie.reference", "units.nm.reference"},
    "matplotlib": {"report"},
    "scipy": {"core.arrays", "core.sparse", "workload"},
    "safetensors": {"workload"},
    "rich": {"cli", "report"},
    "cyclopts": {"cli"},
    "distributed": {"sweep.cluster"},
    "pandas": {"sweep"},
    "pyarrow": {"sweep"},
    "optuna": {"sweep.optimize"},
    "vcd": {"report.trace.waveform"},
    "pickle": set(),
    "urllib": set(),
    "requests": set(),
}
OPENS_FILES = {"workload", "archive", "sweep", "report", "validate", "cli", "core.files", "core.jit", "tables"}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes", "load", "memmap", "fromfile", "tofile"}
SIZE_LIMIT = 60
FILE_LIMIT = 450


def dotted(path):
    name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    return name.removesuffix(".__init__")


def in_room(name, room):
    pattern, parts = room.split("."), name.split(".")
    return len(parts) >= len(pattern) and all(p in ("*", q) for p, q in zip(pattern, parts, strict=False))


def floor(name):
    found = [level for level, rooms in enumerate(FLOORS) for room in rooms if in_room(name, room)]
    assert len(found) == 1, f"{name} must have one floor in FLOORS, found {found}"
    return found[0]


def imports(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules_imported(path):
    known = {dotted(module) for module in MODULES}
    for name in imports(path):
        if name.startswith("eie_sim."):
            parts = name.removeprefix("eie_sim.").split(".")
            yield next(
                (".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in known), parts[0]
            )


def shared_package(a, b):
    return a.split(".")[0] == b.split(".")[0] and a.split(".")[0] != "units"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_imports_go_down(path):
    name = dotted(path)
    if name in ("", "units", "units.eie", "units.nm", "__init__"):
        return
    for imported in set(own_modules_imported(path)) - {"__version__"}:
        if shared_package(name, imported) or imported in ("", "units"):
            continue
        assert floor(imported) > floor(name), f"{name} imports {imported}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_libraries_stay_in_their_rooms(path):
    name = dotted(path)
    for imported in imports(path):
        library = imported.split(".")[0]
        if library in ROOMS:
            assert any(in_room(name, room) for room in ROOMS[library]), f"{name} imports {library}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_files_are_opened_only_where_they_may_be(path):
    name = dotted(path)
    if any(in_room(name, room) for room in OPENS_FILES):
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            assert called not in FILE_CALLS, f"{name}:{node.lineno} calls {called}"


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_functions_fit_a_screen(path):
    source = path.read_text()
    assert len(source.splitlines()) <= FILE_LIMIT
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            docstring = len((ast.get_docstring(node) or "").splitlines())
            assert node.end_lineno - node.lineno - docstring <= SIZE_LIMIT, f"{dotted(path)}.{node.name}"


def test_the_golden_oracle_and_the_engines_share_nothing():
    apart = {
        name: set(own_modules_imported(PACKAGE / f"{name.replace('.', '/')}.py"))
        for name in ("core.golden", "units.eie.fast", "units.nm.fast")
    }
    assert apart["core.golden"] == set()
    assert not apart["units.eie.fast"] & {"units.eie.reference", "units.eie.functional", "units.channel", "core.fixed"}
    assert not apart["units.nm.fast"] & {"units.nm.reference", "units.nm.functional", "units.channel", "core.fixed"}
    reference = set(own_modules_imported(PACKAGE / "units/eie/reference.py"))
    assert not reference & {"units.eie.fast", "units.eie.functional"}


def loaded_after(code):
    heavy = "('numba', 'simpy', 'matplotlib', 'scipy', 'pandas', 'pyarrow')"
    program = f"import sys\n{code}\nprint([m for m in {heavy} if m in sys.modules])"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.splitlines()[-1]


def test_importing_the_package_loads_nothing_heavy():
    assert loaded_after("import eie_sim; eie_sim.EieConfig; eie_sim.prune; eie_sim.InputError") == "[]"


def test_only_the_reference_engine_loads_simpy():
    program = "import eie_sim as es\nes.simulate_gemm(8, 8, 8, es.TensorCoreConfig())"
    assert "simpy" not in loaded_after(program)


@pytest.mark.parametrize("words", ["", "run", "presets", "sweep", "trace", "report"])
def test_help_loads_nothing_heavy(words):
    assert loaded_after(f"from eie_sim.cli import main\nmain({[*words.split(), '--help']})") == "[]"


def test_the_version_loads_nothing_heavy():
    assert loaded_after("from eie_sim.cli import main\nmain(['--version'])") == "[]"


def test_every_public_name_resolves():
    for name in eie_sim.__all__:
        assert getattr(eie_sim, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = eie_sim.nonsense
