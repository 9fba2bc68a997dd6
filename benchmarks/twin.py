"""The twin: noise of 127 qubits, time of the device, many tasks; and what a host costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np

from benchmarks.measure import (
    Disagreement,
    Effort,
    Floats,
    NotInstalled,
    Outcome,
    compare,
    interval,
    judged,
    medians,
)
from benchmarks.programs import NOTHING, THREE_QUBITS, fresh_parameters
from benchmarks.stack import three_processes
from qfw.config.discover import runtime_dir
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Device, Request, Session

SHOTS = 1000
QUBITS = 5
#: Part of the shots by which the two simulations of the same noise may differ in what is all 0 or all 1.
NEAR = 0.05
#: Expected seconds of a run whose time is measured, and by how much of it that may be off.
RUN_S, OFF = 1.0, 0.05
FACTOR = 20.0
#: Tasks of a repetition where their rate is measured.
TASKS = 500
#: Tasks of one repetition where latencies are compared; see `benchmarks.noop`.
IN_A_ROW = 10

_SETTINGS = """\
engines = ["noop"]
[workers]
count = 1
[platforms.still]
[platforms.twin.options]
seed = 1
devices = [
    "twin-127",
    { model = "twin-20", name = "wall", clock = "wall" },
    { model = "twin-20", name = "scaled", clock = "scaled", factor = %g },
]
"""


@contextmanager
def _session(name: str) -> Iterator[Session]:
    folder = runtime_dir() / name
    folder.mkdir(parents=True, mode=0o700)
    config = folder / "qfw.toml"
    config.write_text(_SETTINGS % FACTOR, encoding="utf-8")
    with Session(runtime_folder=folder, config=config) as session:
        yield session


def ghz(effort: Effort) -> list[Outcome]:
    """Five entangled qubits of 127, through Qiskit's interface on both sides, after the first call."""
    try:
        from qiskit_aer import AerSimulator
        from qiskit_aer.noise import NoiseModel
    except ImportError as error:
        raise NotInstalled(f"qiskit-aer: {error}") from error
    from qiskit import QuantumCircuit, transpile

    from qfw.adapters.qiskit.backend import Backend
    from qfw.formats.qiskit_target import calibrated_target

    circuit = QuantumCircuit(QUBITS)
    circuit.h(0)
    for qubit in range(1, QUBITS):
        circuit.cx(qubit - 1, qubit)
    circuit.measure_all()
    with _session("ghz") as session:
        backend = Backend("twin-127", session=session, seed=1)
        lowered = transpile(circuit, backend, seed_transpiler=1)
        active = {lowered.find_bit(qubit).index for place in lowered.data for qubit in place.qubits}
        device = session.device("twin-127")
        calibration = device.calibration()
        assert calibration is not None
        # To Aer, the same device without what the circuit does not use: the least that it has to look at.
        few = msgspec.structs.replace(
            calibration,
            qubits=tuple(
                msgspec.structs.replace(qubit, operational=index in active)
                for index, qubit in enumerate(calibration.qubits)
            ),
        )
        targets = {"all": calibrated_target(device.profile, calibration)}
        targets["active"] = calibrated_target(device.profile, few)
        simulators, built_s = {}, {}
        for name, target in targets.items():
            began = time.perf_counter()
            model = NoiseModel.from_backend(_targeted(target))
            built_s[name] = time.perf_counter() - began
            simulators[name] = AerSimulator(noise_model=model, max_parallel_threads=1)

        def ours(index: int) -> dict[str, int]:
            counts: dict[str, int] = backend.run(lowered, shots=SHOTS).result().get_counts()
            return counts

        def peer(name: str) -> Callable[[int], dict[str, int]]:
            simulator = simulators[name]

            def run(index: int) -> dict[str, int]:
                done = simulator.run(lowered, shots=SHOTS, seed_simulator=index).result()
                counts: dict[str, int] = done.get_counts()
                return counts

            return run

        began = time.perf_counter()
        first = ours(0)
        first_s = time.perf_counter() - began
        shares = {"ours": _extremes(first), **{name: _extremes(peer(name)(0)) for name in targets}}
        if max(shares.values()) - min(shares.values()) > NEAR:
            raise Disagreement(f"the sides do not agree on the noise: {shares}")
        pieces = {
            "first_call_us": round(first_s * 1e6),
            "extremes": {name: round(share, 3) for name, share in shares.items()},
            "build_all_us": round(built_s["all"] * 1e6),
            "build_active_us": round(built_s["active"] * 1e6),
        }
        found = []
        for name, pairs, note in (
            ("active", effort.pairs(20), f"noise of the {len(active)} qubits that are used"),
            ("all", max(2, round(3 * effort.share)), "noise of all 127 qubits"),
        ):
            outcome = compare(
                f"twin_ghz5_{name}",
                ours,
                peer(name),
                pairs,
                None,
                warm=0,
                note=f"GHZ state of {QUBITS} qubits, {SHOTS} shots, lowered once; peer: AerSimulator in process with "
                f"{note}, its noise model built before, of the same calibration through a Target",
                pieces=pieces,
            )
            found.append(outcome)
    absolute = msgspec.structs.replace(
        found[0],
        name="twin_ghz5",
        peer=None,
        ratio=None,
        control=None,
        noisy=False,
        goal=1e6,
        value=found[0].ours,
        interval=None,
        measure="us",
        note="as below, the time itself; goal: under a second",
    )
    return [judged(absolute), *found]


def _targeted(target: Any) -> Any:
    """The least that Aer takes a target from."""
    from qiskit.providers import BackendV2, Options

    class Targeted(BackendV2):
        """Has a target."""

        max_circuits = None

        def __init__(self) -> None:
            """Of this target."""
            super().__init__(name="targeted", backend_version="1")

        @property
        def target(self) -> Any:
            """The one that was given."""
            return target

        @classmethod
        def _default_options(cls) -> Options:
            return Options()

        def run(self, run_input: Any, **options: Any) -> Any:
            """Never."""
            raise NotImplementedError

    return Targeted()


def _extremes(counts: dict[str, int]) -> float:
    """Part of the shots in which all qubits gave the same."""
    return (counts.get("0" * QUBITS, 0) + counts.get("1" * QUBITS, 0)) / SHOTS


def clock(effort: Effort) -> list[Outcome]:
    """Measured over expected time of runs, by the wall and by a scaled clock; expected is by the calibration."""
    runs = max(2, round(3 * effort.share))
    with _session("clock") as session:
        return [
            _clocked(session.device("wall"), runs, 1.0),
            _clocked(session.device("scaled"), runs, FACTOR),
        ]


def _clocked(device: Device, runs: int, factor: float) -> Outcome:
    program = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    calibration, timing = device.calibration(), device.profile.timing
    assert calibration is not None and timing is not None
    gate_ns = next(gate.duration_ns for gate in calibration.gates if (gate.name, gate.qubits) == ("x", (0,)))
    fixed_ns = timing.task_ns + timing.set_ns
    shot_ns = timing.reset_ns + gate_ns + calibration.qubits[0].readout_ns + timing.repetition_delay_ns
    shots = round((RUN_S * factor * 1e9 - fixed_ns) / shot_ns)
    expected_s = (fixed_ns + shots * shot_ns) / factor / 1e9
    with device.stream() as stream:
        stream.run(program, outputs=(Counts(),), shots=1).result(60)
        taken = np.empty(runs)
        for index in range(runs):
            began = time.perf_counter()
            stream.run(program, outputs=(Counts(),), shots=shots, seed=index).result(60)
            taken[index] = time.perf_counter() - began
    worst = float(taken[np.argmax(np.abs(taken - expected_s))])
    return judged(
        Outcome(
            name=f"twin_clock_{device.name}",
            ours=worst * 1e6,
            peer=expected_s * 1e6,
            ratio=worst / expected_s,
            goal=OFF,
            ok=True,
            control=None,
            value=abs(worst / expected_s - 1),
            measure="|ours / peer - 1|",
            pairs=runs,
            note=f"time of a run with {shots} shots through the stack, the one that is most off; peer: what its "
            f"calibration and timing add up to, over {factor:g}",
            pieces={"measured_us": (taken * 1e6).round().tolist()},
        )
    )


def rate(effort: Effort) -> list[Outcome]:
    """Tasks on a virtual clock per second, through the daemon and the host."""
    rounds = max(3, round(6 * effort.share))
    # Each shot of the first qubit alone; the same program each time, as in a sweep.
    program = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    with _session("rate") as session, session.device("twin-127").stream() as stream:

        def flown(count: int) -> float:
            began = time.perf_counter()
            futures = stream.run_many(
                [Request(program, outputs=(Counts(),), shots=1, seed=index) for index in range(count)]
            )
            for future in futures:
                future.result(120)
            return count / (time.perf_counter() - began)

        flown(50)
        rates: Floats = np.array([[flown(TASKS) for _ in range(rounds)]])
    middle = float(np.median(rates))
    return [
        judged(
            Outcome(
                name="twin_rate",
                ours=middle,
                peer=None,
                ratio=None,
                goal=None,
                ok=True,
                control=None,
                value=middle,
                interval=interval(medians(rates)[:, 0]),
                measure="tasks/s",
                better="higher",
                unit="tasks/s",
                pairs=rounds,
                note=f"{TASKS} tasks of one shot on twin-127, virtual clock, submitted in one call",
            )
        )
    ]


def host(effort: Effort) -> list[Outcome]:
    """A task that does nothing: on a platform in a host over an engine of the daemon's pool."""
    rows = fresh_parameters(4096, 3)
    with _session("host") as session:
        streams = [session.device(name).stream() for name in ("still", "noop")]

        def leg(which: int) -> Callable[[int], None]:
            stream = streams[which]

            def run(index: int) -> None:
                for k in range(index * IN_A_ROW, (index + 1) * IN_A_ROW):
                    stream.run(THREE_QUBITS, rows[k & 4095], outputs=NOTHING, seed=k).result(60)

            return run

        pids: Sequence[dict[str, int]] = [
            three_processes(stream.run(THREE_QUBITS, rows[0], outputs=NOTHING).result(60))
            for stream in streams
        ]
        found = compare(
            "hosted_noop",
            leg(0),
            leg(1),
            effort.pairs(400),
            None,
            note=f"time of {IN_A_ROW} tasks that do nothing, one after the other, on a platform in a host; peer: on "
            "engine noop of the daemon's pool",
        )
    found.pieces = {
        "us_per_task": round(found.ours / IN_A_ROW, 1),
        "us_per_task_peer": round((found.peer or 0) / IN_A_ROW, 1),
        "pids": {"host": pids[0], "pool": pids[1]},
    }
    return [found]
