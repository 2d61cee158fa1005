"""What the package writes, twice over with other contents, to be killed meanwhile. Run: killing.py FOLDER SEED."""

import os
import random
import shutil
import signal
import sys
from pathlib import Path

import eie_sim as es
from eie_sim.archive import archive_of, save
from eie_sim.report.folder import write_run
from eie_sim.report.page.files import write_page
from eie_sim.report.page.run import run_page
from eie_sim.report.trace import write_trace

KILLS = 50
WRITES = 2
"""So many are done at most until a kill: a new version, and the old one again."""

network = es.load("hand-8x8")
RUNS = [es.run_network(network, es.EieConfig(n_pe=n_pe)) for n_pe in (2, 4)]
RECORDS = [run.to_dict() for run in RUNS]
MATRICES = [layer.matrix for layer in RUNS[0].layers]
ARCHIVES = [archive_of(network, MATRICES, recipe={"version": version}) for version in (0, 1)]
PAGES = [run_page(record) for record in RECORDS]
ROWS = [[{"key": str(at), "cycles": at * version} for at in range(200)] for version in (1, 2)]
ACTIVITIES = [es.activity(run.layers[0].matrix, network.layers[0].activations, run.config) for run in RUNS]
ABOUT = {"config": RUNS[0].config.to_dict(), "config_hash": "0" * 12, "versions": {}}


def _trace(folder, version):
    activity = ACTIVITIES[version]
    write_trace(folder / "run.trace.json", activity, 1, activity.cycles, ABOUT)


WRITERS = {
    "run": lambda folder, version: write_run(folder, RECORDS[version]),
    "archive": lambda folder, version: save(folder / "net.eie.safetensors", ARCHIVES[version]),
    "table": lambda folder, version: es.sweep.write_csv(ROWS[version], folder / "rows.csv"),
    "report": lambda folder, version: write_page(PAGES[version], folder / "report.html", None),
    "trace": _trace,
}


def contents(folder):
    """Bytes of every file by name; what a kill leaves of unfinished ones has names that begin with a dot."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def each_call(act):
    """Do something at every call and return, of C functions too: moments that, unlike a clock's, no load moves."""
    sys.setprofile(lambda *_: act())


def written(write, folder, version):
    """The files of one version, and how many calls and returns they took."""
    folder.mkdir()
    calls = []
    each_call(lambda: calls.append(1))
    write(folder, version)
    sys.setprofile(None)
    return contents(folder), len(calls)


def killed(write, folder, at_call):
    """Write one version after the other into a folder, in a process that is killed after so many calls and returns."""
    child = os.fork()
    if child == 0:
        left = iter(range(at_call))
        each_call(lambda: next(left, None) is None and os.kill(os.getpid(), signal.SIGKILL))
        while True:
            write(folder, 1)
            write(folder, 0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), status


def kill_often(kind, folder, chance):
    """Exit, saying so, where a kill leaves anything but a whole old or a whole new file."""
    folder.mkdir()
    write = WRITERS[kind]
    (old, _), (new, calls) = written(write, folder / "old", 0), written(write, folder / "new", 1)
    assert old.keys() == new.keys()
    assert all(old[name] != new[name] for name in old)
    seen = set()
    for at in range(KILLS):
        place = folder / f"killed-{at:02}"
        shutil.copytree(folder / "old", place)
        killed(write, place, chance.randrange(WRITES * calls))
        found = contents(place)
        if found.keys() != old.keys():
            sys.exit(f"{kind}, kill {at}: {sorted(found)} in place of {sorted(old)}")
        for name, content in found.items():
            if content not in (old[name], new[name]):
                sys.exit(f"{kind}, kill {at}: {name} is neither the old file nor the new one")
            seen.add((name, content == new[name]))
        write(place, 1)  # what is left of a kill is in nobody's way
        assert contents(place) == new
        shutil.rmtree(place)
    if len(seen) < 2 * len(old):
        sys.exit(f"{kind}: of {2 * len(old)} contents, old and new, only {len(seen)} were left by a kill")
    sys.stdout.write(f"{kind}: {KILLS} kills, {len(seen)} contents seen, old and new of every file\n")


if __name__ == "__main__":
    for kind in WRITERS:
        kill_often(kind, Path(sys.argv[1]) / kind, random.Random(int(sys.argv[2])))
