"""Mutants of the models, and which of them the tests do not notice: `python tests/mutation.py FOLDER` (about an hour).

mutmut (the extra `mutation`) changes one thing at a time in a copy of the checkout in FOLDER and runs the tests that
reach it, with kernels as plain Python. It leaves out decorated functions, so kernels lose their decorator in the copy,
and properties are made after the function. `mutants.toml` says why some are left. Exit code 1 for one that it does not
explain, and below 95 % killed.
"""

import ast
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
EXPLAINED = Path(__file__).with_name("mutants.toml")
AIM = 0.95
KILLED = {"killed", "timeout", "segfault", "caught by type check"}
MUTATED = ["eie_sim/units", "eie_sim/core/fixed.py", "eie_sim/core/quantize.py"]
TESTS = ["tests/unit", "tests/equivalence", "tests/test_notebook_tables.py", "tests/energy"]
COPIED = ["eie_sim", "models", "traces", "tests", "README.md", "pyproject.toml"]
SETTINGS = f"""
[tool.mutmut]
source_paths = ["eie_sim"]
only_mutate = {json.dumps([f"{path}/*" if not path.endswith(".py") else path for path in MUTATED])}
also_copy = ["models", "traces", "README.md"]
pytest_add_cli_args = ["-m", "not slow and not compiled"]
pytest_add_cli_args_test_selection = {json.dumps(TESTS)}
"""


def undecorated(source):
    """The source without `@kernel`, and with properties made by a call after the function."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef) or len(node.decorator_list) != 1:
            continue
        name = ast.unparse(node.decorator_list[0])
        if name in ("kernel", "property", "cached_property"):
            at = node.decorator_list[0].lineno - 1
            indent = " " * node.col_offset
            lines[at] = ""
            if name != "kernel":
                lines[node.end_lineno - 1] += f"\n\n{indent}{node.name} = {name}({node.name})"
    return "\n".join(lines) + "\n"


def sources(root):
    """Every file that is mutated."""
    for path in MUTATED:
        yield from [root / path] if path.endswith(".py") else sorted((root / path).rglob("*.py"))


def prepare(folder):
    """A copy of the checkout that mutmut can work on."""
    folder.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as settings:
        settings.write(SETTINGS)
    for path in sources(folder):
        path.write_text(undecorated(path.read_text()))


def changes(path):
    """What each mutant of a file changes, (old lines, new lines), by its name."""
    source = path.read_text()
    lines = source.splitlines()
    functions = {node.name: node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)}

    def body(name):
        return [line.strip() for line in lines[functions[name].lineno : functions[name].end_lineno]]

    found = {}
    for name in functions:
        original, mutant, number = name.rpartition("__mutmut_")
        if mutant and number != "orig":
            marks = list(difflib.ndiff(body(f"{original}__mutmut_orig"), body(name)))
            found[name] = tuple(" ".join(line[2:] for line in marks if line.startswith(sign)) for sign in ("- ", "+ "))
    return found


def results(folder):
    """(file, function, status, old, new) of every mutant; mutmut names those of Class.take xǁClassǁtake__mutmut_3."""
    from mutmut.stats import status_by_exit_code  # an extra: the rest is tested without

    for meta in sorted((folder / "mutants").rglob("*.py.meta")):
        statuses = json.loads(meta.read_text())["exit_code_by_key"]
        path = meta.with_suffix("")
        changed = changes(path) if statuses else {}
        for key, code in statuses.items():
            name = key.rpartition(".")[2]
            function = name.rpartition("__mutmut_")[0][2:].replace("ǁ", ".")
            yield str(path.relative_to(folder / "mutants")), function, status_by_exit_code[code], *changed[name]


def explained():
    """Why a mutant is left, by folder below eie_sim, function, and what was changed, before and after."""
    left = tomllib.loads(EXPLAINED.read_text())["left"]
    return {
        (folder, function, *change.split(" -> ")): each["why"]
        for each in left
        for folder, function, *changes in each["mutants"]
        for change in changes
    }


def is_explained(why, file, function, old, new):
    """Whether a reason in `why` is of this function, and its change makes `new` of `old` somewhere."""
    folder = str(Path(file).parent.relative_to("eie_sim"))
    return any(
        new == old[: found.start()] + after + old[found.end() :]
        for place, name, before, after in why
        if (place, name) == (folder, function)
        for found in re.finditer(re.escape(before), old)
    )


def report(folder):
    """Print counts by file and what is left without a reason; True where enough are killed, and nothing is left."""
    why, counts, left = explained(), {}, []
    for file, function, status, old, new in results(folder):
        killed = status in KILLED
        kind = "killed" if killed else "explained" if is_explained(why, file, function, old, new) else "left"
        counts.setdefault(file, Counter())[kind] += 1
        if kind == "left":
            left.append((file, function, old, new, status))
    for file, function, old, new, status in left:
        print(f"{file}, {function}: {status}\n    - {old}\n    + {new}")
    counts["all"] = sum(counts.values(), Counter())
    print(f"\n{'':<36}{'mutants':>9}{'killed':>9}{'%':>7}{'explained':>11}{'left':>6}")
    for file, count in counts.items():
        share = 100 * count["killed"] / count.total()
        print(
            f"{file:<36}{count.total():>9}{count['killed']:>9}{share:>7.1f}{count['explained']:>11}{count['left']:>6}"
        )
    return not left and counts["all"]["killed"] >= AIM * counts["all"].total()


def main(folder):
    """Make the mutants, run the tests against each, and report; a folder that has them is gone on with."""
    if not folder.exists():
        prepare(folder)
    settings = {"NUMBA_DISABLE_JIT": "1", "HYPOTHESIS_PROFILE": "small", "OPENBLAS_NUM_THREADS": "1"}
    subprocess.run(["mutmut", "run"], cwd=folder, env={**os.environ, **settings}, check=True)
    return 0 if report(folder) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
