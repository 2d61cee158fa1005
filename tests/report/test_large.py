"""Stores of many rows: their report is a page that a browser opens, made in time and memory that grow with the rows."""

import random
import subprocess
import sys
import time
from contextlib import nullcontext

import msgspec
import pytest
from browser import CHROMIUM, Browser
from reports import Read

from eie_sim.cli import main
from eie_sim.study import read_store
from eie_sim.study.points import MAX_POINTS

MOST_BYTES = 10_000_000


def write_rows(path, swept, n_row):
    """Rows of a sweep over clocks too, which changes time and energy."""
    rows, rng = list(read_store(swept).rows), random.Random(0)
    with path.open("wb") as file:
        for at in range(n_row):
            row = rows[at % len(rows)] | {"key": f"{at:032x}", "clock_mhz": 100 + at / len(rows)}
            if row["error"] is None:
                row["time_us"] = row["cycles"] / row["clock_mhz"]
                row["energy_nj"] *= rng.uniform(1, 2)
            file.write(msgspec.json.encode(row) + b"\n")


def test_a_store_of_30000_rows_is_a_small_page(swept, tmp_path):
    seconds = []
    for n_row in (3000, 30_000):
        path = tmp_path / f"{n_row}.sweep.jsonl"
        write_rows(path, swept, n_row)
        begin = time.process_time()
        assert main(["report", str(path)]) == 0
        seconds.append(time.process_time() - begin)
    assert seconds[1] < 10 * seconds[0]
    html = (tmp_path / "30000.html").read_text()
    assert len(html.encode()) < MOST_BYTES
    assert html.count("<use ") < 5000, "points by themselves"
    assert html.count('xlink:href="data:image/png;base64,') >= 1
    page = Read(html)
    assert page.facts["points"].value == 30_000
    assert "the first 2,000 of 30,000 rows, by axis; all are in 30000.sweep.jsonl" in page.text
    fitting = sum(row["error"] is None and row["fits"] for row in read_store(path).rows)
    assert f"points: {fitting:,}" in html


@pytest.mark.slow
def test_the_largest_store_is_a_page_that_opens(swept, tmp_path):
    path = tmp_path / "large.sweep.jsonl"
    write_rows(path, swept, MAX_POINTS)
    program = (
        "import resource, sys\nfrom eie_sim.cli import main\n"
        "code = main(sys.argv[1:])\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\nsys.exit(code)"
    )
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, "report", str(path)], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    path.unlink()
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout.splitlines()[-1]) < 4e6, "kilobytes"
    assert seconds < 600
    out = tmp_path / "large.html"
    assert out.stat().st_size < MOST_BYTES
    with Browser(tmp_path / "chromium") if CHROMIUM else nullcontext() as browser:
        if browser:
            browser.open(out)
            assert browser.errors == []
