"""All benchmarks: their names, what runs them, and what they need."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from benchmarks.measure import Effort, Outcome


class Benchmark(NamedTuple):
    """Figures that one process measures under a stack of its own."""

    #: Names of its figures, the first one its own.
    names: tuple[str, ...]
    #: module:function, which takes an Effort.
    where: str
    #: Engines that its daemon serves.
    engines: tuple[str, ...]
    about: str
    #: Seconds after which it is ended.
    limit_s: float = 300.0

    @property
    def name(self) -> str:
        """How it is asked for."""
        return self.names[0]

    def run(self, effort: Effort) -> list[Outcome]:
        """Measures."""
        module, function = self.where.split(":")
        found: list[Outcome] = getattr(import_module(f"benchmarks.{module}"), function)(effort)
        return found


def _noop(peer: str, about: str) -> Benchmark:
    names = (f"noop_vs_{peer}", f"noop_rate_vs_{peer}", f"noop_rate_together_vs_{peer}")
    return Benchmark(names, f"noop:over_{peer}", ("noop",), about)


BENCHMARKS = (
    Benchmark(
        ("task_overhead_us",),
        "overhead:task_overhead",
        ("qulacs",),
        "one three-qubit task: what the stack adds to the engine and a bare echo of the bytes (at most 100 µs)",
    ),
    Benchmark(
        ("qnode_analytic",),
        "qnode:analytic",
        ("qulacs",),
        "a QNode on qfw over lightning.qubit, exact (at most 1.15)",
    ),
    Benchmark(
        ("qnode_1000_shots",),
        "qnode:shots",
        ("qulacs",),
        "a QNode on qfw over lightning.qubit, 1000 shots (at most 1.15)",
    ),
    Benchmark(
        ("vqls_epoch_analytic",),
        "vqls:analytic",
        ("qulacs",),
        "an epoch of the VQLS example on qfw over lightning.qubit, exact (at most 1.10)",
    ),
    Benchmark(
        ("vqls_epoch_1000_shots",),
        "vqls:shots",
        ("qulacs",),
        "an epoch of the VQLS example on qfw over lightning.qubit, 1000 shots (at most 1.0)",
    ),
    Benchmark(
        ("qnode_lightning",),
        "qnode:lightning",
        ("lightning",),
        "a QNode on qfw over lightning.qubit, exact, engine lightning on both sides (at most 1.15)",
    ),
    Benchmark(
        ("vqls_epoch_lightning",),
        "vqls:lightning_analytic",
        ("lightning",),
        "an epoch of the VQLS example, exact, engine lightning on both sides (at most 1.10)",
    ),
    Benchmark(
        ("vqls_epoch_lightning_1000_shots",),
        "vqls:lightning_shots",
        ("lightning",),
        "an epoch of the VQLS example, 1000 shots, engine lightning on both sides (at most 1.0)",
    ),
    Benchmark(
        ("qiskit_run_aer", "qiskit_run_aer_10"),
        "qiskit_run:one",
        ("aer",),
        "Qiskit's backend.run of three qubits on aer over AerSimulator in process (at most 1.10)",
    ),
    Benchmark(
        ("qiskit_1000_jobs",),
        "qiskit_run:many",
        ("aer",),
        "1000 jobs of backend.run with one circuit each over ProcessPoolExecutor",
    ),
    Benchmark(
        ("estimator_480",),
        "primitives:estimator",
        ("aer",),
        "EstimatorV2 with 480 parameter sets on aer over Aer's own EstimatorV2",
    ),
    Benchmark(
        ("sampler_480",),
        "primitives:sampler",
        ("aer",),
        "SamplerV2 with 480 parameter sets and 1000 shots on aer over Aer's own SamplerV2",
    ),
    Benchmark(
        ("wide_20x20",),
        "wide:circuit",
        ("lightning",),
        "a random circuit of 20 qubits and 20 layers over the engine alone (at most 1.05, or 5 ms more)",
    ),
    Benchmark(
        ("statevector_20",),
        "wide:statevector",
        ("ready",),
        "a statevector of 20 qubits to the client over pickle and a pipe (at most 1/20)",
    ),
    Benchmark(
        ("sweep_480_qulacs", "sweep_480_bare_qulacs", "sweep_480_engine_batch", "sweep_2x240_bare_qulacs"),
        "sweep:qulacs",
        ("qulacs",),
        "480 parameter sets in one submission over the loop in process, qulacs (at most 0.7)",
    ),
    Benchmark(
        ("sweep_480_reference",),
        "sweep:reference",
        ("reference",),
        "480 parameter sets in one submission over the loop in process, reference (at most 0.15)",
    ),
    _noop("processpool", "a task that does nothing over ProcessPoolExecutor.submit (at most 1/2)"),
    _noop("ray", "a task that does nothing over Ray (at most 1/20)"),
    _noop("parsl", "a task that does nothing over Parsl's HighThroughputExecutor (at most 1/20)"),
    _noop("dask", "a task that does nothing over Dask distributed (at most 1/20)"),
    Benchmark(
        ("tasks_in_flight", "tasks_in_flight_rate"),
        "flight:tasks_in_flight",
        ("noop",),
        "100 000 tasks in flight: the rate over that of 10 000 (at least 0.7; over 20 000/s), and the memory",
    ),
    Benchmark(
        ("completion_us",),
        "streaming:completion",
        ("noop",),
        "what taking a task from a completion queue adds to waiting for its future (at most 20 µs)",
    ),
    Benchmark(
        ("million",),
        "streaming:million",
        ("noop",),
        "a million tasks that do nothing through one window over 10 000 of them (at least 0.8), and the memory",
        limit_s=120.0,
    ),
    Benchmark(
        ("contained_hang", "contained_flood", "contained_children", "contained_garbage"),
        "contained:contained",
        ("qulacs",),
        "99th percentile of another device's tasks while a platform misbehaves in its host, over the same load outside "
        "QFw (at most 1.25)",
    ),
    Benchmark(
        ("hosted_noop",),
        "twin:host",
        ("noop",),
        "a task that does nothing on a platform in a host over one on the daemon's pool",
    ),
    Benchmark(
        ("twin_ghz5", "twin_ghz5_active", "twin_ghz5_all"),
        "twin:ghz",
        ("noop",),
        "GHZ of 5 qubits on twin-127 with its noise (at most 1 s), over Aer with noise of the same calibration",
    ),
    Benchmark(
        ("twin_clock_wall", "twin_clock_scaled"),
        "twin:clock",
        ("noop",),
        "time of runs on a twin over what its calibration adds up to (at most 5 % off)",
    ),
    Benchmark(
        ("mesh_of_four_twins",),
        "mesh:four_twins",
        ("noop",),
        "one twin over a mesh of four, run time by the wall (at least 3)",
    ),
    Benchmark(
        ("cutting_two_workers",),
        "cutting:two_workers",
        ("qulacs",),
        "a cut program: speed-up of two workers over that of two bare processes (at least 0.85)",
    ),
    Benchmark(("twin_rate",), "twin:rate", ("noop",), "tasks per second on a virtual clock"),
    Benchmark(
        ("compile_warm_us", "compile_disk"),
        "compile:known",
        ("reference",),
        "lowering what this process, or another one, lowered before (at most 30 µs; at least 20 times sooner)",
    ),
    Benchmark(
        ("compile_fast",),
        "compile:fast",
        ("reference",),
        "preset fast over Qiskit's level 1, 50 qubits for 127 (at most 1.1, and no more two-qubit gates)",
    ),
    Benchmark(
        ("compile_480_sets", "compile_warm_device_us"),
        "compile:sets",
        ("reference",),
        "480 tasks of one program with a pipeline over the same lowered before (one compilation)",
    ),
    Benchmark(
        ("compile_task_us",),
        "compile:hits",
        ("noop",),
        "what a task costs more because it has a pipeline (at most 30 µs)",
    ),
)


def chosen(names: list[str]) -> list[Benchmark]:
    """The benchmarks that have a figure of one of these names; all where none is given.

    Raises:
        KeyError: there is no such figure.
    """
    known = {name for benchmark in BENCHMARKS for name in benchmark.names}
    if unknown := sorted(set(names) - known):
        raise KeyError(f"no benchmark is called {', '.join(unknown)}; see --list")
    return [b for b in BENCHMARKS if not names or set(names) & set(b.names)]
