"""Sets of one program are put together into tasks; how many depends on the task alone."""

from __future__ import annotations

import numpy as np

from qfw.adapters.qiskit.tasks import MAX_BYTES, MAX_SETS, Tasks, sets_per_task
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation, Memory
from qfw.model.program import Gate, Measure, Program, slot

SHORT = Program(2, 2, 1, (Gate("ry", (0,), (slot(0),)), Measure(0, 0)))
SAME_GATES = Program(2, 2, 1, SHORT.operations)
MEMORY = (Memory(),)
Z = (Expectation((PauliSum.of("Z0"),)),)


def rows(count: int, first: int = 0) -> np.ndarray:
    return np.arange(first, first + count, dtype=float)[:, None]


def values(sets) -> list[float]:
    """The first slot of these sets, as they will be sent."""
    return [value for part in sets for value in part.task.request(None, 0).parameters[part.rows, 0].tolist()]


def test_sets_of_one_program_and_question_are_together():
    tasks = Tasks()
    places = [
        tasks.add(SHORT, 10, MEMORY, rows(3)),
        tasks.add(SHORT, 10, Z, rows(2, 3)),
        tasks.add(SHORT, 10, MEMORY, rows(4, 5)),
        tasks.add(SHORT, 20, MEMORY, rows(1, 9)),
        tasks.add(SAME_GATES, 10, MEMORY, rows(1, 10)),
        tasks.add(SHORT, 0, Z, rows(1, 11)),
    ]
    assert [task.sets for task in tasks.tasks] == [7, 2, 1, 1, 1]
    assert [values(sets) for sets in places] == [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9], [10], [11]]
    assert [task.shots for task in tasks.tasks] == [10, 10, 20, 10, None]


def test_many_sets_are_several_tasks_in_order():
    tasks = Tasks()
    first, second = tasks.add(SHORT, 10, MEMORY, rows(600)), tasks.add(SHORT, 10, MEMORY, rows(300, 600))
    assert [task.sets for task in tasks.tasks] == [MAX_SETS, MAX_SETS, MAX_SETS, 900 - 3 * MAX_SETS]
    assert values(first) + values(second) == list(range(900))


def test_no_sets_are_no_task():
    tasks = Tasks()
    assert tasks.add(SHORT, 10, MEMORY, rows(0)) == [] and tasks.tasks == []


def test_large_answers_and_long_programs_have_fewer_sets():
    assert sets_per_task(SHORT, MEMORY, 1000) == MAX_SETS
    assert sets_per_task(SHORT, MEMORY, 10**6) == MAX_BYTES // (8 + 8 * 10**6)
    assert sets_per_task(SHORT, MEMORY, 10**8) == 1
    turn = Gate("ry", (0,), (slot(0),))
    assert sets_per_task(Program(20, 0, 1, (turn,) * 100), Z, 0) == 1
    assert 1 < sets_per_task(Program(12, 0, 1, (turn,) * 200), Z, 0) < MAX_SETS
    assert sets_per_task(Program(1_000_000, 0, 1, (turn,)), Z, 0) == 1
