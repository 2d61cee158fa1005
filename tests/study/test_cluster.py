"""A real cluster of two worker processes on this machine; one of them is killed."""

import gc
import logging
import os
import signal
import sys
import time

import pytest
from toy_subject import FAIL, KILL, NOTHING, WAIT, Toy

from eie_sim.core.errors import InputError
from eie_sim.study.cluster import cluster
from eie_sim.study.work import WorkersLostError

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # Dask tries out ports and leaves sockets open
SMALL = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}


@pytest.fixture(scope="module")
def local():
    """Two processes of one thread each; who ends is started again."""
    with distributed.LocalCluster(n_workers=2, processes=True, **SMALL) as local:
        yield local
    gc.collect()  # what it leaves open warns here, and not in another module's test


@pytest.fixture
def joined(local):
    local_workers_are_up(local)
    with cluster(local.scheduler_address) as joined:
        yield joined


def local_workers_are_up(local):
    with distributed.Client(local, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=60)


def pids(local):
    with distributed.Client(local, set_as_default=False) as client:
        return set(client.run(os.getpid).values())


def points(count, kind=NOTHING, seconds=0.0):
    return [(kind, seconds, number) for number in range(count)]


def test_all_rows_come_once_and_the_subject_goes_to_each_worker_once(sweep, local, joined):
    assert joined.num_workers == 2
    assert sweep(points(1000, WAIT, 0.001), executor=joined).each_once(1000)
    assert sweep.pids == pids(local)
    assert sweep.came() == 2


def test_large_subjects_cause_no_warning(sweep, joined, recwarn):
    sweep.toy = Toy(sweep.toy.folder, os.urandom(40_000_000))
    assert sweep(points(200, WAIT, 0.001), executor=joined).each_once(200)
    assert [str(warning.message) for warning in recwarn if "large" in str(warning.message)] == []


def test_a_killed_worker_costs_nothing_but_time(sweep, local, joined):
    victims = []

    def kill_one(rows):
        if len(sweep.rows) > 200 and not victims:
            victims.append(max(sweep.pids))
            os.kill(victims[0], signal.SIGKILL)

    sweep(points(1500, WAIT, 0.002), executor=joined, on_rows=kill_one)
    assert victims and sweep.each_once(1500) and sweep.faults == []


def test_the_cluster_runs_on_and_has_forgotten_us(sweep, local):
    with cluster(local.scheduler_address) as joined:
        sweep(points(10), executor=joined)
        assert any(kept(local))
    assert not any(kept(local)) and len(pids(local)) >= 1


def kept(local):
    with distributed.Client(local, set_as_default=False) as client:
        return list(client.run(lambda: list(sys.modules["eie_sim.study.work"]._held)).values())


def test_the_executor_of_dask_does_too(sweep, local):
    with distributed.Client(local, set_as_default=False) as client:
        assert sweep(points(500, WAIT, 0.001), executor=client.get_executor(), workers=2).each_once(500)


def test_what_an_evaluator_raises_is_raised(sweep, joined):
    with pytest.raises(ArithmeticError, match="a mistake"):
        sweep(points(3, FAIL), executor=joined)


def test_a_scheduler_file(tmp_path, local, sweep):
    path = tmp_path / "scheduler.json"
    path.write_text(f'{{"address": "{local.scheduler_address}"}}')
    with cluster(str(path)) as joined:
        assert sweep(points(10), executor=joined).each_once(10)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("tcp://127.0.0.1:1", "cannot be reached: Timed out trying to connect"),
        ("tcp://127.0.0.1:http", "cannot be reached: invalid literal"),
        ("foo://127.0.0.1:1", "cannot be reached: unknown address scheme"),
        ("127.0.0.1:8786", "must be tcp://host:port, or"),
        ("nowhere.json", "no such file"),
    ],
)
def test_addresses_that_do_not_answer(address, said, monkeypatch):
    monkeypatch.setattr("eie_sim.study.cluster.CONNECT_S", 0.5)
    with pytest.raises(InputError) as caught, cluster(address):
        pass
    assert str(caught.value).startswith(f"scheduler={address}: {said}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_file_that_is_none(tmp_path, text):
    path = tmp_path / "broken.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"broken.json: has no scheduler's address$"), cluster(str(path)):
        pass


def test_a_cluster_without_workers(monkeypatch):
    monkeypatch.setattr("eie_sim.study.cluster.WORKERS_S", 0.5)
    with (
        distributed.LocalCluster(n_workers=0, **SMALL) as local,
        pytest.raises(InputError, match=r"has no workers$"),
        cluster(local.scheduler_address),
    ):
        pass


def test_another_version_on_the_workers(local, monkeypatch):
    monkeypatch.setattr("eie_sim.__version__", "9.9.9")
    said = r"worker tcp://\S+ has eie_sim \S+, and here is 9.9.9$"
    with pytest.raises(InputError, match=said), cluster(local.scheduler_address):
        pass


def test_without_dask(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"needs Dask: pip install 'eie-sim\[dask\]'$"), cluster("tcp://host:1"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("workers", [None, 3])
def test_a_point_that_ends_every_worker_is_given_up(sweep, joined, workers):
    deadly = (KILL, 0.0, 20)
    sweep([*points(20), deadly, (NOTHING, 0.0, 21)], executor=joined, workers=workers)
    assert sorted(int(key) for key, _ in sweep.rows) == [n for n in range(22) if n != 20]
    assert [point for point, _ in sweep.faults] == [deadly]


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_sweep_in_one_line(sweep):
    local = distributed.LocalCluster(n_workers=1, processes=True, **SMALL)
    with cluster(local.scheduler_address) as joined, pytest.raises(WorkersLostError) as caught:
        sweep(points(1000, WAIT, 0.01), executor=joined, on_rows=lambda rows: local.close())
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_time_between_tasks(sweep, joined):
    began = time.perf_counter()
    sweep(points(2000, WAIT, 0.005), executor=joined)
    assert time.perf_counter() - began < 2000 * 0.005 / 2 * 1.5
