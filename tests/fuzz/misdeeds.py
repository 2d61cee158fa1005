"""Loaders that do what none may, each given to the trials, which print what they found."""

import json
import os
import pickle
import sys
import tempfile
import time
import warnings
from pathlib import Path

import trials
from loaders import Loader
from mutations import TEXT
from trials import Trials

from eie_sim import InputError


def refuses(path):
    raise InputError("no")


def allocates(path):
    try:
        return bytearray(2**30)
    except MemoryError:
        raise InputError("w: does not fit into memory") from None


def writes_outside(path):
    (path.parent.parent / "other").write_bytes(b"")


def removes_outside(path):
    (path.parent.parent / "other").unlink(missing_ok=True)


def changes_what_it_refuses(path):
    path.write_bytes(b"other")
    refuses(path)


def leaves_a_file(path):
    (path.parent / "other").write_bytes(b"")
    refuses(path)


def warns(path):
    warnings.warn("careful", RuntimeWarning, stacklevel=1)


def says(what):
    def read(path):
        raise InputError(what)

    return read


def takes_long(path):
    end = time.process_time() + 1.1 * trials.MAX_SECONDS
    while time.process_time() < end:
        pass


MISDEEDS = {
    "unpickles": lambda path: pickle.loads(path.read_bytes()),
    "allocates": allocates,
    "writes outside": writes_outside,
    "removes outside": removes_outside,
    "reads outside": lambda path: Path("/etc/passwd").read_bytes(),
    "starts a program": lambda path: os.system("true"),
    "changes what it refuses": changes_what_it_refuses,
    "leaves a file": leaves_a_file,
    "has a traceback": lambda path: {}[path],
    "warns": warns,
    "says two lines": says("two\nlines"),
    "says much": says("x" * 501),
    "takes long": takes_long,
    "has another command": refuses,
    "is fine": lambda path: path.read_bytes(),
}


def careless(path):
    if b"\0" in path.read_bytes():
        raise KeyError("half\na line")


LOADERS = {"careless": Loader("w.bin", lambda folder: [b"sample"], careless, lambda path: ["presets"], TEXT)}
"""For the fuzzer: what is only wrong with some files."""

if __name__ == "__main__":
    trials.MAX_SECONDS = 0.2
    for name, read in MISDEEDS.items():
        loader = Loader("w.bin", lambda folder: [], read, lambda path: ["presets"], TEXT)
        with tempfile.TemporaryDirectory() as folder:
            one = Trials(name, loader, Path(folder))
            one.samples.append(b"sample")
            sys.stdout.write(json.dumps(one.run(0, 2)) + "\n")
