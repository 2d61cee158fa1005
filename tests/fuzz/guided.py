"""Files that a coverage-guided fuzzer makes. `python tests/fuzz/guided.py LOADER --seconds N` (needs the extra `fuzz`).

It starts from the loader's valid files, mutates them as `mutated` does or as libFuzzer does, and keeps what reaches new
lines of the package. Files that are neither read nor refused in one line go to a folder whose name is printed, one line
each. Exit code 1 where there are any.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).parent.parent))  # of what other tests have

NEEDED = "atheris"
MISSING = f"needs {NEEDED}: pip install '.[fuzz]', on a Python that it supports"
MAX_LENGTH = 2**16
MAX_MEMORY_MB = 2048
MAX_SECONDS = 5
MOST_KEPT = 20
"""Files of one kind of error; the first few say all."""


def fuzz(table, name, corpus, kept, seconds, seed):
    """Fuzz until the time is over, which ends the process."""
    import atheris

    os.fsync = lambda handle: None  # a store has many, of milliseconds each

    samples = [each.read_bytes() for each in sorted(corpus.iterdir())]
    seen = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with atheris.instrument_imports(include=["eie_sim"]):
            from mutations import mutated

            from eie_sim import InputError

            loader = import_module(table).LOADERS[name]
            path = Path(folder) / loader.file
            for sample in samples:  # modules that are needed first now are watched too
                loader.put(path, sample)
                loader.read(path)

        def one(data):
            loader.put(path, data)
            try:
                loader.read(path)
            except InputError as error:
                line = str(error)
                if not line.isprintable() or len(line) > 500:
                    keep(data, "InputError", line)
            except Exception as error:  # whatever it is: only InputError is right
                keep(data, type(error).__name__, str(error))

        def keep(data, kind, line):
            seen[kind] += 1
            if seen[kind] <= MOST_KEPT:
                (kept / f"{kind}-{seen[kind]}").write_bytes(data)
                sys.stdout.write(f"found {kind}-{seen[kind]}: {' '.join(line.split())[:200]!r}\n")
                sys.stdout.flush()

        def mutate(data, most, number):
            rng = Random(number)
            if rng.random() < 0.5:
                return atheris.Mutate(data, most)
            try:
                return mutated(rng, [data], loader.own)[:most]
            except Exception:  # whatever a format says of bytes that are no longer of it
                return mutated(rng, samples, loader.own)[:most]

        options = [f"-max_total_time={seconds}", f"-seed={seed}", f"-timeout={MAX_SECONDS}", f"-max_len={MAX_LENGTH}"]
        options += [f"-rss_limit_mb={MAX_MEMORY_MB}", f"-artifact_prefix={kept}/", "-print_final_stats=1"]
        atheris.Setup([sys.argv[0], *options, str(corpus)], one, custom_mutator=mutate)
        atheris.Fuzz()


def guided(name, seconds, seed=1, table="loaders"):
    """Executions, kept files and what was found, of a fuzzer in a process of its own."""
    folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
    corpus, kept = folder / "corpus", folder / "found"
    corpus.mkdir()
    kept.mkdir()
    with tempfile.TemporaryDirectory() as made:  # here, where kernels are compiled as they are
        for at, sample in enumerate(import_module(table).LOADERS[name].made(Path(made))):
            (corpus / str(at)).write_bytes(sample)
    words = [sys.executable, __file__, name, "--seconds", str(seconds), "--seed", str(seed), "--table", table]
    words += ["--corpus", str(corpus)]
    done = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
    numbers = dict(re.findall(r"stat::(\w+):\s+(\d+)", done.stderr))
    found = re.findall(r"^found (.*)$", done.stdout, re.MULTILINE)
    if done.returncode:
        found.append(f"ended with {done.returncode}: {done.stderr.strip().splitlines()[-1][:200]}")
    empty = not any(kept.iterdir())
    shutil.rmtree(folder if empty else corpus)
    return {
        "loader": name,
        "executions": int(numbers.get("number_of_executed_units", 0)),
        "new": int(numbers.get("new_units_added", 0)),
        "found": found,
        "folder": None if empty else str(kept),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loader")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", default="loaders", help=argparse.SUPPRESS)
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if find_spec(NEEDED) is None:
        sys.stderr.write(f"{MISSING}\n")
        return 2
    if asked.corpus is not None:
        fuzz(asked.table, asked.loader, asked.corpus, asked.corpus.parent / "found", asked.seconds, asked.seed)
    result = guided(asked.loader, asked.seconds, asked.seed, asked.table)
    found = result.pop("found")
    sys.stdout.write("  ".join(f"{key} {value}" for key, value in result.items()) + f"  found {len(found)}\n")
    for line in found:
        sys.stdout.write(f"{line}\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
