"""Speed is reported as ratios taken in one run: two callables timed turn by turn, so that a busy machine slows both."""

import statistics
import time

import pytest

RATIOS = []
NOTES = []


@pytest.fixture
def ratio(request, benchmark):
    """Call with (label, ours, theirs): benchmark `ours`, and record its median time over that of `theirs`."""

    def measure(label, ours, theirs, *, at_most, aim=None, rounds=30):
        ours()
        theirs()
        pairs = [(_seconds(ours), _seconds(theirs)) for _ in range(rounds)]
        mine, other = (statistics.median(times) for times in zip(*pairs, strict=True))
        benchmark.extra_info.update(ratio=mine / other, at_most=at_most, aim=aim)
        RATIOS.append((label, mine, other, mine / other, at_most, aim))
        benchmark(ours)

    return measure


@pytest.fixture
def note():
    """Call with a line that is shown at the end of the run."""
    return NOTES.append


def _seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def pytest_terminal_summary(terminalreporter):
    for line in NOTES:
        terminalreporter.write_line(line)
    if not RATIOS:
        return
    terminalreporter.write_sep("-", "ratios, medians of one run")
    terminalreporter.write_line(f"{'case':58} {'ours':>10} {'theirs':>10} {'ratio':>8} {'at most':>8} {'aim':>6}")
    for label, mine, other, value, at_most, aim in RATIOS:
        bounds = f"{at_most:8g} {'' if aim is None else f'{aim:6g}'}"
        terminalreporter.write_line(f"{label:58} {mine * 1e3:7.3f} ms {other * 1e3:7.3f} ms {value:8.3g} {bounds}")
