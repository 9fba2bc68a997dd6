"""Checks of tools that compare what a pipeline was given with what became of it."""

from __future__ import annotations

import numpy as np

from qfw.model.errors import ToolFailed
from qfw.model.operations import moved
from qfw.model.program import Gate, Program
from qfw.testing import tool_programs as programs
from qfw.testing.checks import Checks, expect, refused
from qfw.testing.tool_subject import ToolSubject, within

checks: Checks[ToolSubject] = Checks()
check = checks.check


def _compared(
    subject: ToolSubject, original: Program, program: Program, layout: tuple[int, ...] | None
) -> tuple[str, ...]:
    target = subject.targets["ideal"]
    found: tuple[str, ...] = within(
        subject.limit_s,
        lambda: subject.tool.compare(original, program, layout, "equivalence", target, subject.options),
    )
    return found


@check(
    "compare.equal",
    "A program equals itself, and itself with its qubits moved; what was compared is said.",
    "Comparing",
)
def _equal(subject: ToolSubject) -> None:
    subject.compares()
    program = programs.straight(np.random.default_rng(31), 3, 12)
    turned = Program(3, 0, program.num_slots, moved(program.operations, (2, 0, 1)))
    for layout, found in ((None, program), ((2, 0, 1), turned)):
        notes = _compared(subject, program, found, layout)
        lines = isinstance(notes, tuple) and notes and all(isinstance(note, str) for note in notes)
        expect(lines, "one line at least that says what was compared", notes)


@check(
    "compare.different",
    "A program that differs by one gate, by a layout or by a slot is found out.",
    "Comparing",
)
def _different(subject: ToolSubject) -> None:
    subject.compares()
    program = programs.straight(np.random.default_rng(32), 3, 12)
    more = Program(3, 0, program.num_slots, (*program.operations, Gate("ry", (1,), (0.4,))))
    less = Program(3, 0, program.num_slots - 1, (Gate("h", (0,)),))
    distinct = Program(3, 0, 0, tuple(Gate("ry", (q,), (0.3 + q,)) for q in range(3)))
    for what, original, found, layout in (
        ("a gate more", program, more, None),
        ("a slot less", Program(3, 0, program.num_slots, less.operations), less, None),
        ("a layout that is another's", distinct, distinct, (1, 0, 2)),
    ):
        with refused(ToolFailed, what=what):
            _compared(subject, original, found, layout)


@check("compare.unharmed", "Neither program is changed.", "Comparing")
def _unharmed(subject: ToolSubject) -> None:
    subject.compares()
    one, two = (programs.straight(np.random.default_rng(33), 3, 9) for _ in range(2))
    _compared(subject, one, two, None)
    fresh = programs.straight(np.random.default_rng(33), 3, 9)
    expect(one == fresh == two, "both as they were", "another program")
