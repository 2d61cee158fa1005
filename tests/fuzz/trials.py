"""Mutated files given to every loader. `python tests/fuzz/trials.py [LOADER ...] --each N` prints counts by loader.

The process may take little more memory than it has once a loader was used. A trial is
fine where the file is read, or refused with InputError in one line, and stays as it was; where it does not take long;
and where nothing else happens: no file is touched outside its folder, nothing is unpickled, no program started. Each
trial has its number as its seed: `--first 1234 --each 1` repeats one.
"""

import argparse
import io
import json
import os
import resource
import sys
import tempfile
import time
import traceback
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random

sys.path.append(str(Path(__file__).parent.parent))  # of what other tests have

from hostile import MARKER, large, payloads
from loaders import LOADERS
from mutations import mutated

from eie_sim import InputError
from eie_sim.cli import main as command

MAX_MEMORY = 256 * 2**20
MAX_SECONDS = 2.0
MAX_SAID = 500
NO_MEMORY = "does not fit into memory"
MAX_SHOWN = 20
COMMANDS_EACH = 50
"""Of so many trials one goes to the command too, where its file is refused."""

STARTS = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen", "os.kill")
FOREIGN = (
    "pickle.find_class",
    "socket.",
    "ctypes.",
    "webbrowser.",
    "urllib.",
    "shutil.unpack_archive",
)
CHANGES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.link",
    "os.symlink",
    "os.chmod",
    "os.truncate",
    "shutil.",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """What Python is asked to do while a loader reads: whatever is none of its business is kept in `seen`."""

    def __init__(self, folder):
        self.inside = f"{os.path.realpath(folder)}{os.sep}"
        self.seen, self.on = [], False
        sys.addaudithook(self._hook)

    def _hook(self, event, given):
        if not self.on:
            return
        if event.startswith((*STARTS, *FOREIGN)):
            self.seen.append(event)
        elif event == "open":
            self._opened(*given)
        elif event.startswith(CHANGES):
            self.seen += [f"{event} {each}" for each in given if isinstance(each, str | Path) and self._outside(each)]

    def _opened(self, path, mode, flags):
        writes = flags & WRITING if mode is None else set(mode) & set("wax+")
        code = isinstance(path, str) and path.endswith((".py", ".so", ".pyc"))  # modules that are needed first now
        if not isinstance(path, int) and self._outside(path) and (writes or not code):
            self.seen.append(f"open {path}")

    def _outside(self, path):
        real = os.path.realpath(path)
        return not f"{real}{os.sep}".startswith(self.inside) and real != os.devnull


class Trials:
    """A loader, its valid files, and a folder for damaged ones."""

    def __init__(self, name, loader, folder):
        self.name, self.loader, self.folder = name, loader, folder
        (folder / "made").mkdir()
        (folder / "tried").mkdir()
        self.path = folder / "tried" / self.loader.file
        self.samples = self.loader.made(folder / "made")
        self.n_file = 1 + len(loader.beside())
        self.watch = Watch(folder / "tried")
        self.counts = {
            "loader": name,
            "tried": 0,
            "accepted": 0,
            "refused": 0,
            "commands": 0,
            "slowest_s": 0.0,
            "found": [],
        }
        warnings.simplefilter("error")
        os.fsync = lambda handle: None  # a store has many, of milliseconds each
        for sample in self.samples:
            self.loader.put(self.path, sample)
            self.loader.read(self.path)

    def run(self, first, each):
        """Files made with intent, then the numbered trials. Returns the counts."""
        with little_memory():
            for at, data in enumerate(payloads(self.name, self.folder)):
                self.read(data, f"payload {at}")
            for at, data in enumerate(large(self.name, self.samples)):
                self.read(data, f"large {at}")
            for number in range(first, first + each):
                data = mutated(Random(f"{self.name} {number}"), self.samples, self.loader.own)
                if not self.read(data, number) and number % COMMANDS_EACH == 0:
                    self.command(data, number)
        if (self.folder / MARKER).exists():
            self.found("payload", "unpickled")
        return self.counts

    def read(self, data, number):
        """Whether a file is read. What is wrong with how it is read or refused is kept."""
        self.loader.put(self.path, data)
        self.counts["tried"] += 1
        accepted, begin = False, time.process_time()
        self.watch.on = True
        try:
            self.loader.read(self.path)
            accepted = True
        except InputError as error:
            self.said(str(error), number)
        except BaseException as error:  # a compiled library's own errors are no Exception
            self.found(number, "".join(traceback.format_exception(error))[-1500:])
        finally:
            self.watch.on = False
        seconds = time.process_time() - begin
        self.counts["slowest_s"] = max(self.counts["slowest_s"], round(seconds, 3))
        self.counts["accepted" if accepted else "refused"] += 1
        if seconds > MAX_SECONDS:
            self.found(number, f"took {seconds:.1f} s")
        if self.watch.seen:
            self.found(number, f"did {self.watch.seen}")
            self.watch.seen.clear()
        if not accepted and (self.path.read_bytes() != data or len(list(self.path.parent.iterdir())) != self.n_file):
            self.found(number, "refused, and changed")
        return accepted

    def said(self, line, number):
        """What an error says must be one line, and not that memory ran out: the files are small."""
        if not (line.isprintable() and 0 < len(line) <= MAX_SAID) or NO_MEMORY in line:
            self.found(number, f"says {line[:1000]!r}")

    def command(self, data, number):
        """The command says the same in one line, prints nothing, and ends with 2."""
        self.loader.put(self.path, data)
        self.counts["commands"] += 1
        named = self.path.parent if self.name == "run" else self.path
        out, said = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(said):
            code = command(self.loader.command(str(named)))
        if (code, out.getvalue(), said.getvalue().count("\n")) != (2, "", 1):
            self.found(number, f"command ends with {code} and says {said.getvalue()!r}")

    def found(self, number, what):
        if len(self.counts["found"]) < MAX_SHOWN:
            self.counts["found"].append([number, what])


@contextmanager
def little_memory():
    """In here the process may take MAX_MEMORY more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MAX_MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def main():
    """Print a line of JSON for each loader. Exit code 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("loaders", nargs="*", metavar="LOADER", help=", ".join(LOADERS))
    parser.add_argument("--each", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    found = False
    for name in asked.loaders or LOADERS:
        with tempfile.TemporaryDirectory() as folder:
            counts = Trials(name, LOADERS[name], Path(folder)).run(asked.first, asked.each)
        found = found or bool(counts["found"])
        sys.stdout.write(json.dumps(counts) + "\n")
        sys.stdout.flush()
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
