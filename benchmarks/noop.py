"""A task that does nothing: through the stack, and through others who run tasks in worker processes."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.measure import Disagreement, Effort, Leg, NotInstalled, Outcome, compare
from benchmarks.programs import NOTHING, THREE_QUBITS, fresh_parameters
from benchmarks.stack import WORKERS, three_processes
from qfw.config.discover import runtime_dir
from qfw.qpi import Request, Session

#: Tasks of one repetition where rates are compared.
BURST = 1000
#: Tasks of one repetition where latencies are compared, one after the other: what a side still does in the
#: background after its answer then falls into its own time, not into the other's.
IN_A_ROW = 10
NOTE = (
    f"time of {IN_A_ROW} tasks that do nothing, each submitted when the one before was answered; {WORKERS} worker "
    f"processes on each side; ours also checks, journals and queues fairly"
)


def nothing(index: int) -> int:
    """What peers run: no work, but an answer that shows which task and which process it was."""
    return os.getpid()


@contextmanager
def processpool() -> Iterator[tuple[Callable[[int], Any], Callable[[Any], int]]]:
    """concurrent.futures.ProcessPoolExecutor."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as pool:
        yield lambda index: pool.submit(nothing, index), lambda future: future.result(60)


@contextmanager
def ray_tasks() -> Iterator[tuple[Callable[[int], Any], Callable[[Any], int]]]:
    """Ray tasks; everything on loopback."""
    import ray

    ray.init(
        num_cpus=WORKERS,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
        object_store_memory=80 * 2**20,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(runtime_dir().parent / "ray"),
    )
    try:
        task = ray.remote(nothing)
        yield task.remote, lambda future: ray.get(future, timeout=60)
    finally:
        ray.shutdown()


@contextmanager
def parsl_htex() -> Iterator[tuple[Callable[[int], Any], Callable[[Any], int]]]:
    """Parsl's HighThroughputExecutor on loopback."""
    import parsl
    from parsl.executors import HighThroughputExecutor
    from parsl.providers import LocalProvider

    executor = HighThroughputExecutor(
        label="htex",
        address="127.0.0.1",
        loopback_address="127.0.0.1",
        max_workers_per_node=WORKERS,
        encrypted=False,
        provider=LocalProvider(init_blocks=1, max_blocks=1),
    )
    folder = str(runtime_dir().parent / "parsl")
    config = parsl.Config(executors=[executor], run_dir=folder, usage_tracking=0, strategy="none")
    with parsl.load(config):
        app = parsl.python_app(nothing, cache=False)
        yield app, lambda future: future.result(60)


@contextmanager
def dask_distributed() -> Iterator[tuple[Callable[[int], Any], Callable[[Any], int]]]:
    """Dask distributed: a local cluster of processes on loopback."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            local_directory=str(runtime_dir().parent / "dask"),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield lambda index: client.submit(nothing, index, pure=False), lambda future: future.result(60)


def _against(
    name: str, module: str, peer: Callable[[], Any], goal: float, pairs: int, bursts: int, burst: int
) -> list[Outcome]:
    if importlib.util.find_spec(module) is None:
        raise NotInstalled(f"{module} is not installed; make bench installs requirements/bench.lock")
    with Session() as session, session.device("noop").stream() as stream, peer() as (submit, result):
        rows = fresh_parameters(4096, 3)

        def ours(index: int) -> None:
            for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW):
                stream.run(THREE_QUBITS, rows[k & 4095], outputs=NOTHING, seed=k).result(60)

        def theirs(index: int) -> None:
            for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW):
                if result(submit(k)) == os.getpid():
                    raise Disagreement("the peer ran its task in this process")

        def ours_burst(index: int) -> None:
            futures = [
                stream.run(THREE_QUBITS, rows[k & 4095], outputs=NOTHING, seed=k) for k in range(burst)
            ]
            for future in futures:
                future.result(60)

        def ours_together(index: int) -> None:
            requests = [Request(THREE_QUBITS, rows[k & 4095], outputs=NOTHING, seed=k) for k in range(burst)]
            for future in stream.run_many(requests):
                future.result(60)

        def theirs_burst(index: int) -> None:
            futures = [submit(k) for k in range(burst)]
            for future in futures:
                result(future)

        ours(0)
        done = stream.run(THREE_QUBITS, rows[0], outputs=NOTHING).result(60)
        if done.answers != ():
            raise Disagreement(f"a task that asks for nothing was answered {done.answers}")
        pids = three_processes(done)
        latency = compare(f"noop_vs_{name}", ours, theirs, pairs, goal, warm=3, note=NOTE)
        latency.pieces = {
            "us_per_task": round(latency.ours / IN_A_ROW, 1),
            "us_per_task_peer": round((latency.peer or 0) / IN_A_ROW, 1),
            "pids": pids,
        }
        rates = _rate(
            f"noop_rate_vs_{name}", ours_burst, theirs_burst, bursts, burst, "one by one on both sides"
        )
        together = _rate(
            f"noop_rate_together_vs_{name}",
            ours_together,
            theirs_burst,
            bursts,
            burst,
            "ours in one call (run_many), the peer one by one",
        )
    return [latency, rates, together]


def _rate(name: str, ours: Leg, theirs: Leg, bursts: int, burst: int, how: str) -> Outcome:
    """Time of a burst on both sides; the rates are among the pieces."""
    note = f"time of {burst} tasks submitted, then collected; {how}"
    found = compare(name, ours, theirs, bursts, None, warm=1, note=note)
    found.pieces = {
        "tasks_per_s": round(burst / found.ours * 1e6),
        "tasks_per_s_peer": round(burst / (found.peer or 1) * 1e6),
    }
    return found


def over_processpool(effort: Effort) -> list[Outcome]:
    """Over the standard library's pool of processes."""
    pairs, bursts = effort.pairs(600), effort.pairs(24)
    return _against("processpool", "concurrent.futures", processpool, 1 / 2, pairs, bursts, BURST)


def over_ray(effort: Effort) -> list[Outcome]:
    """Over Ray."""
    return _against("ray", "ray", ray_tasks, 1 / 20, effort.pairs(400), effort.pairs(10), 500)


def over_parsl(effort: Effort) -> list[Outcome]:
    """Over Parsl."""
    return _against("parsl", "parsl", parsl_htex, 1 / 20, effort.pairs(400), effort.pairs(10), 500)


def over_dask(effort: Effort) -> list[Outcome]:
    """Over Dask."""
    return _against("dask", "distributed", dask_distributed, 1 / 20, effort.pairs(60), effort.pairs(8), 250)
