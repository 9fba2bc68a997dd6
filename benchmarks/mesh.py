"""Four twins through a mesh, over one twin that takes the same tasks one after the other."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.measure import Disagreement, Effort, Outcome, judged
from qfw.config.discover import runtime_dir
from qfw.model.outputs import Counts
from qfw.model.program import Gate, Measure, Program
from qfw.qpi import Mesh, Session

#: Slices of the shots, which are the tasks; and seconds that each takes by the device's clock.
TASKS, TASK_S = 40, 0.1
#: What the four are hoped to be sooner by.
GOAL = 3.0
NAMES = ("one", "two", "three", "four")

_SETTINGS = """\
engines = ["noop"]
[workers]
count = 1
[platforms.twin.options]
seed = 1
clock = "wall"
devices = [%s]
"""


def four_twins(effort: Effort) -> list[Outcome]:
    """Time of a task split by its shots: on one twin in order, over on a mesh of four; run time is the wall's."""
    rounds = max(2, round(3 * effort.share))
    folder = runtime_dir() / "mesh"
    folder.mkdir(parents=True, mode=0o700)
    config = folder / "qfw.toml"
    devices = ", ".join(f'{{ model = "twin-20", name = "{name}" }}' for name in NAMES)
    config.write_text(_SETTINGS % devices, encoding="utf-8")
    program = Program(1, 1, 0, (Gate("x", (0,)), Measure(0, 0)))
    with Session(runtime_folder=folder, config=config) as session:
        one, four = session.mesh([session.device(NAMES[0])]), session.mesh(NAMES)
        choice = session.choose(program, shots=1000, among=[NAMES[0]]).considered[0]
        assert choice.value is not None
        shots = TASKS * round(1000 * TASK_S / choice.value)
        alone, together = np.empty(rounds), np.empty(rounds)
        # Hosts and workers are up, and the mean time of a run is known.
        _taken(one, program, shots // TASKS, 1, 0)
        _taken(four, program, shots // TASKS * 4, 4, 0)
        for index in range(rounds):
            alone[index], counts = _taken(one, program, shots, TASKS, index)
            together[index], same = _taken(four, program, shots, TASKS, index)
            if abs(counts["1"] - same["1"]) > 0.05 * shots:
                raise Disagreement(f"one twin gave {counts}, four gave {same}")
    ours, peer = float(np.median(together)), float(np.median(alone))
    return [
        judged(
            Outcome(
                name="mesh_of_four_twins",
                ours=ours * 1e6,
                peer=peer * 1e6,
                ratio=peer / ours,
                goal=GOAL,
                ok=True,
                control=None,
                value=peer / ours,
                measure="peer / ours",
                better="higher",
                pairs=rounds,
                note=f"{TASKS} tasks of {TASK_S:g} s of device time each, through a mesh of four twins on wall clocks; "
                "peer: the same tasks on one of them, one after the other",
            )
        )
    ]


def _taken(mesh: Mesh, program: Program, shots: int, parts: int, seed: int) -> tuple[float, dict[str, int]]:
    began = time.perf_counter()
    future = mesh.run_group(program, split="shots", shots=shots, parts=parts, outputs=(Counts(),), seed=seed)
    counts = future.result(120).counts[0]
    return time.perf_counter() - began, counts
