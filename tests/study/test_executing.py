"""All rows come, each once and soon, whoever computes them and whoever dies."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise
from multiprocessing import current_process, get_context
from pathlib import Path

import pytest
from toy_subject import BUSY, FAIL, FAULT, KILL, KILL_ONCE, NOTHING, WAIT

from eie_sim.core.errors import InputError
from eie_sim.study import work as work_module
from eie_sim.study.work import WorkersLostError, cores


def points(count, kind=NOTHING, seconds=0.0):
    return [(kind, seconds, number) for number in range(count)]


def test_short_sweeps_stay_in_this_process(sweep):
    assert sweep(points(1000), workers=2).each_once(1000)
    assert sweep.pids == {os.getpid()} and sweep.came() == 0


def test_one_worker_is_this_process_however_long_it_takes(sweep):
    assert sweep(points(60, WAIT, 0.02), workers=1).each_once(60)
    assert sweep.pids == {os.getpid()}


def test_longer_sweeps_begin_here_and_go_on_in_a_pool(sweep, ended):
    assert sweep(points(1500, WAIT, 0.002), workers=2).each_once(1500)
    here = os.getpid()
    assert len(sweep.pids) == 3 and here in sweep.pids
    assert sweep.came() == 2, "the subject is sent once to each worker"
    assert all(ended(pid, 0.1) for pid in sweep.pids - {here})


def test_points_on_worker_processes_alone(sweep):
    assert sweep(points(4, WAIT, 0.1), pool=2).each_once(4)
    assert os.getpid() not in sweep.pids


@pytest.mark.parametrize(("count", "seconds"), [(1, 1.0), (2, 1.0), (60, 0.01)])
def test_workers_that_would_save_no_time_are_not_started(sweep, count, seconds):
    assert sweep(points(count, WAIT, seconds), workers=2).pids == {os.getpid()}


def test_a_process_that_may_not_start_others_does_all_itself(sweep, monkeypatch):
    monkeypatch.setitem(current_process()._config, "daemon", True)
    assert sweep(points(60, WAIT, 0.02), workers=2).pids == {os.getpid()}


def test_threads(sweep):
    with ThreadPoolExecutor(3) as executor:
        assert sweep(points(500, WAIT, 0.001), executor=executor).each_once(500)
        assert len(list(sweep.folder.glob("evaluator-*"))) <= 3, "evaluators are used again"
        assert executor.submit(int, "7").result() == 7, "the executor is the caller's"
    assert work_module._held == {}, "nothing is left in the caller's process"


def test_a_pool_of_the_caller_gets_the_subject_about_once_for_each_worker(sweep):
    with ProcessPoolExecutor(2, get_context("spawn")) as executor:
        assert sweep(points(500, WAIT, 0.001), executor=executor).each_once(500)
        assert 1 <= sweep.came() <= 4
        before = sweep.came()
        sweep(points(500, WAIT, 0.001), executor=executor)
        assert sweep.came() <= before + 1, "workers keep it for the next sweep"


def test_an_executor_of_another_kind(sweep):
    class Direct(Executor):
        def submit(self, function, /, *arguments):
            future = Future()
            future.set_result(function(*arguments))
            return future

    assert sweep(points(300), executor=Direct()).each_once(300)


def test_no_points(sweep):
    sweep([])
    assert sweep([], pool=2).rows == []


def test_the_bundle_of_one_worker_is_shared_at_the_end(sweep):
    began = time.perf_counter()
    with ThreadPoolExecutor(4) as executor:
        sweep(points(40, WAIT, 0.05), bundle=40, executor=executor)
    assert sweep.each_once(40) and time.perf_counter() - began < 40 * 0.05 / 2


@pytest.mark.parametrize("long_s", [0.004, 0.4])
@pytest.mark.parametrize("where", [{"workers": 1}, {"pool": 2}])
def test_rows_come_soon(sweep, long_s, where):
    sweep(points(int(1.2 / long_s), WAIT, long_s), **where)
    assert max((b - a for a, b in pairwise(sweep.batches)), default=0) < 0.3 + long_s


def test_killed_workers_are_replaced_and_nothing_is_lost_or_doubled(sweep):
    killed = []

    def kill_one(rows):
        others = sweep.pids - {os.getpid(), *killed}
        if len(sweep.rows) > 400 * (len(killed) + 1) and others and len(killed) < 2:
            killed.append(max(others))
            os.kill(killed[-1], signal.SIGKILL)

    sweep(points(1500, WAIT, 0.001), pool=2, on_rows=kill_one)
    assert sweep.each_once(1500) and sweep.faults == []
    assert len(killed) == 2 and len(sweep.pids) >= 3


def test_a_point_that_ends_every_worker_is_given_up_and_the_others_are_done(sweep):
    deadly = (KILL, 0.0, 70)
    sweep([*points(70), deadly, *((NOTHING, 0.0, number) for number in range(71, 140))], pool=2)
    assert sorted(int(key) for key, _ in sweep.rows) == [n for n in range(140) if n != 70]
    assert sweep.faults == [(deadly, "a worker ended while it computed this point: ended by signal 9")]


def test_a_point_that_ends_one_worker_is_done_by_the_next(sweep):
    assert sweep(points(3, KILL_ONCE), pool=2).each_once(3)


def test_points_that_break_are_reported_and_not_done_again(sweep):
    broken = (FAULT, 0.0, 5)
    sweep([*points(5), broken, *((NOTHING, 0.0, number) for number in range(6, 30))], workers=1)
    assert len(sweep.rows) == 29 and sweep.faults == [(broken, "not enough memory")]


def test_workers_that_never_answer_are_given_up(sweep):
    with pytest.raises(
        WorkersLostError, match=r"^workers: 6 ended in a row without a result; the last: ended by signal 9$"
    ):
        sweep(points(40, KILL), pool=2)
    assert sweep.rows == []


@pytest.mark.parametrize("where", [{"workers": 1}, {"pool": 2}])
def test_what_an_evaluator_raises_is_raised(sweep, where, ended):
    work_points = [*points(500, WAIT, 0.001), (FAIL, 0.0, 500), *points(500, WAIT, 0.001)]
    with pytest.raises(ArithmeticError, match="a mistake"):
        sweep(work_points, **where)
    assert all(ended(pid, 1) for pid in sweep.pids - {os.getpid()})


def test_what_on_rows_raises_ends_the_pool(sweep, ended):
    def full(rows):
        if sweep.pids != {os.getpid()}:
            raise OSError("no space left")

    began = time.perf_counter()
    with pytest.raises(OSError, match="no space"):
        sweep(points(200, WAIT, 0.1), workers=2, on_rows=full)
    assert time.perf_counter() - began < 10
    others = sweep.pids - {os.getpid()}
    assert others and all(ended(pid, 1) for pid in others)


def test_an_executor_that_was_shut_down_is_refused_in_one_line(sweep):
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(InputError, match=r"^executor=ThreadPoolExecutor: takes no work: cannot schedule .*$"):
        sweep(points(3), executor=executor)


BREAKS = """
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from eie_sim.study.work import WorkersLostError, execute
from toy_subject import KILL, Toy

if __name__ == "__main__":
    points = [(KILL, 0.0, number) for number in range(3)]
    with ProcessPoolExecutor(1, get_context("spawn")) as executor:
        try:
            execute([points], Toy(Path(sys.argv[1])), "token", on_rows=print, executor=executor)
        except WorkersLostError as error:
            print(error)
"""


def test_an_executor_that_breaks_is_named_in_one_line(tmp_path):
    """In a process of its own, that of a user, which the end of a worker must leave alive."""
    program = tmp_path / "breaks.py"
    program.write_text(BREAKS)
    paths = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, program, tmp_path],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    assert done.stdout.startswith("executor=ProcessPoolExecutor: ended before the sweep: ")


def test_an_executor_that_cancels_is_named_in_one_line(sweep):
    executor = ThreadPoolExecutor(1)

    def stop(rows):
        executor.submit(time.sleep, 0.3)
        executor.shutdown(wait=False, cancel_futures=True)

    with pytest.raises((WorkersLostError, InputError), match=r"^executor=ThreadPoolExecutor: "):
        sweep(points(400, WAIT, 0.01), executor=executor, workers=2, on_rows=stop)


def test_cores_are_those_of_this_process():
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_cores_respect_a_quota(tmp_path, monkeypatch):
    own = tmp_path / "outer" / "inner"
    own.mkdir(parents=True)
    (tmp_path / "outer" / "cpu.max").write_text("150000 100000\n")
    (own / "cpu.max").write_text("max 100000\n")
    (tmp_path / "self").write_text("0::/outer/inner\n")
    monkeypatch.setattr("eie_sim.study.work.GROUPS", tmp_path)
    monkeypatch.setattr("eie_sim.study.work.OWN_GROUP", tmp_path / "self")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64))
    assert cores() == 2


def overhead_us(sweep, **options):
    began = time.perf_counter()
    assert sweep(points(200_000), **options).each_once(200_000)
    return (time.perf_counter() - began) / 200_000 * 1e6


@pytest.mark.slow
@pytest.mark.parametrize("bundle", [1, 1000])
def test_overhead_of_a_point_is_small(sweep, bundle):
    spent = overhead_us(sweep, pool=2, bundle=bundle)
    assert spent < 50, f"{spent:.1f} us a point, with the start of the pool"


@pytest.mark.slow
@pytest.mark.skipif(cores() < 2, reason="needs two cores")
@pytest.mark.parametrize("kind", [WAIT, BUSY])
def test_two_workers_give_1_7_times_one(sweep, kind):
    if kind == BUSY and os.getloadavg()[0] > 0.5:
        pytest.skip("others use the cores")
    seconds = []
    for workers in (1, 2):
        began = time.perf_counter()
        sweep(points(6000, kind, 0.002), bundle=100, workers=workers)
        seconds.append(time.perf_counter() - began)
    assert seconds[0] / seconds[1] >= 1.7, f"{seconds[0]:.1f} s and {seconds[1]:.1f} s"
