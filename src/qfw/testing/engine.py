"""check_engine: all that is asked of an engine, in this process."""

from __future__ import annotations

import math
import pickle
import time
from collections.abc import Iterable
from typing import Any

import numpy as np

from qfw.model.gates import GATES
from qfw.model.observable import PauliSum
from qfw.model.outputs import (
    Counts,
    Expectation,
    Memory,
    Output,
    Probabilities,
    Statevector,
    decode_answers,
    encode_answers,
)
from qfw.model.program import Gate, Program
from qfw.qpm import registry
from qfw.qpm.engine import Engine
from qfw.testing import control, results, samples, values
from qfw.testing.checks import Checks, NotApplicable, expect
from qfw.testing.report import Finding, Report
from qfw.testing.subject import EngineSubject

checks: Checks[EngineSubject] = Checks()
check = checks.check
SECTION = "Engines"

OUTPUTS = frozenset({"counts", "memory", "expectation", "probabilities", "statevector"})


def check_engine(engine: str | type[Any], *, only: Iterable[str] = ()) -> Report:
    """Checks an engine, by its name or its class.

    Args:
        engine: a plugin of `qfw.engines`, or a class that satisfies `qfw.qpm.engine.Engine`.
        only: groups or names of checks; empty: all.

    Raises:
        UnknownDevice, SetupError: there is no such engine, or it cannot be imported.
        NotInstalled: its framework is missing.
    """
    began_s = time.monotonic()
    only = tuple(only)
    kind = registry.load(registry.ENGINES, engine) if isinstance(engine, str) else engine
    name = engine if isinstance(engine, str) else kind.__name__
    subject = EngineSubject(name, kind)
    findings: list[Finding] = [c.judge(subject, "") for c in checks.chosen(only)]
    for group in _RESULTS:
        findings += [c.judge(subject, "") for c in group.chosen(only)]
    return Report(name, "engine", tuple(findings), time.monotonic() - began_s)


def engine_checks() -> list[str]:
    """Names of all checks of an engine."""
    return [name for group in (checks, *_RESULTS) for name in group.names()]


#: What an engine is asked as any device is.
_RESULTS = (results.checks, samples.checks, values.checks, control.checks)


def _task(subject: EngineSubject, gates: int = 4, width: int = 3) -> tuple[Program, tuple[Output, ...]]:
    turns = [op for i in range(gates) for op in subject.circuits.turn(i % width, 0.3)]
    outputs: tuple[Output, ...] = ()
    if "counts" in subject.profile.outputs:
        outputs = (Counts(),)
    return subject.circuits.place(turns, width).placed, outputs


@check("engine.protocol", "An engine has all that qfw.qpm.engine.Engine names.", SECTION)
def _protocol(subject: EngineSubject) -> None:
    names = [*Engine.__annotations__, "version", "estimate", "prepare", "run"]
    missing = [name for name in names if not hasattr(subject.kind, name)]
    expect(not missing, "all of the protocol", f"without {', '.join(missing)}")


@check(
    "engine.claims",
    "What it claims has a name: gates of qfw.model.gates, outputs of qfw.model.outputs.",
    SECTION,
)
def _claims(subject: EngineSubject) -> None:
    unknown = set(subject.kind.native_gates) - set(GATES) | set(subject.kind.outputs) - OUTPUTS
    expect(not unknown, "known gates and outputs", sorted(unknown))
    expect(subject.kind.max_qubits >= 1, "one qubit at least", subject.kind.max_qubits)
    expect(isinstance(subject.kind.control, bool), "control as a bool", subject.kind.control)


@check("engine.version", "It knows the version of its framework, as text.", SECTION)
def _version(subject: EngineSubject) -> None:
    found = subject.kind.version()
    expect(isinstance(found, str) and found, "a version", repr(found))


@check("engine.estimate", "An estimate is positive and finite.", SECTION)
def _estimate(subject: EngineSubject) -> None:
    program, outputs = _task(subject)
    found = subject.kind.estimate(program, outputs, 1, 100)
    expect(found.cost_s > 0 and math.isfinite(found.cost_s), "a positive time", found.cost_s)
    expect(found.memory_bytes >= 0, "memory of 0 or more", found.memory_bytes)


def _grows(subject: EngineSubject, small: tuple[Program, int, int], large: tuple[Program, int, int]) -> None:
    if not subject.profile.outputs:
        raise NotApplicable("it answers nothing, which takes the same time always")
    _, outputs = _task(subject)
    less, more = (subject.kind.estimate(p, outputs, sets, shots) for p, sets, shots in (small, large))
    expect(more.cost_s > less.cost_s, f"more than {less.cost_s:.3g} s", f"{more.cost_s:.3g} s")
    expect(more.memory_bytes >= less.memory_bytes, f"{less.memory_bytes} bytes or more", more.memory_bytes)


@check("engine.estimate_qubits", "An estimate grows with the register.", SECTION)
def _by_qubits(subject: EngineSubject) -> None:
    width = min(20, subject.profile.max_qubits)
    _grows(subject, (_task(subject, 20)[0], 1, 100), (_task(subject, 20, width)[0], 1, 100))


@check("engine.estimate_gates", "An estimate grows with the gates.", SECTION)
def _by_gates(subject: EngineSubject) -> None:
    _grows(subject, (_task(subject, 8)[0], 1, 100), (_task(subject, 800)[0], 1, 100))


@check("engine.estimate_sets", "An estimate grows with the parameter sets.", SECTION)
def _by_sets(subject: EngineSubject) -> None:
    program = _task(subject)[0]
    _grows(subject, (program, 1, 100), (program, 10_000, 100))


@check(
    "engine.estimate_shots", "An estimate of memory=True grows with the shots, in time and memory.", SECTION
)
def _by_shots(subject: EngineSubject) -> None:
    subject.answers(Memory)
    program = _task(subject)[0]
    less, more = (subject.kind.estimate(program, (Memory(),), 1, shots) for shots in (10, 10_000_000))
    expect(more.cost_s > less.cost_s, f"more than {less.cost_s:.3g} s", f"{more.cost_s:.3g} s")
    expect(more.memory_bytes > less.memory_bytes, f"more than {less.memory_bytes} bytes", more.memory_bytes)


@check(
    "engine.prepared_is_kept",
    "What is prepared once runs many times, and other programs between do no harm.",
    SECTION,
)
def _prepared(subject: EngineSubject) -> None:
    if not subject.profile.outputs:
        raise NotApplicable("it answers nothing")
    engine = subject.engine
    first, second = _task(subject)[0], _task(subject, 7)[0]
    outputs = _task(subject)[1]
    one, two = engine.prepare(first), engine.prepare(second)

    def run(prepared: Any) -> bytes:
        return encode_answers(engine.run(prepared, outputs, np.zeros((1, 0)), 50, [3]))

    before = run(one)
    run(two)
    expect(run(one) == before, "the same answer as before", "another one")


@check("engine.several_outputs", "Several exact outputs of one task agree with each other.", SECTION)
def _several(subject: EngineSubject) -> None:
    subject.answers(Probabilities, Expectation, Statevector)
    placed = subject.circuits.place(subject.circuits.random(np.random.default_rng(8), 3, 3), 3)
    asked = (Expectation((PauliSum.of("Z0"),)), Statevector(), Probabilities())
    result = subject.ask(placed, asked)
    squares = np.abs(result.statevector) ** 2
    expect(np.allclose(squares, result.probabilities, atol=1e-7), "|amplitudes|² as probabilities", "others")
    z0 = float((squares[0] * np.array([1, -1] * 4)).sum())
    expect(abs(z0 - result.expectation_values[0, 0]) < 1e-7, z0, result.expectation_values[0, 0])


@check(
    "engine.answers_travel",
    "Answers are arrays of the wire: they are the same after encoding and decoding.",
    SECTION,
)
def _travel(subject: EngineSubject) -> None:
    program, outputs = _task(subject)
    answers = subject.engine.run(subject.engine.prepare(program), outputs, np.zeros((1, 0)), 20, [1])
    again = decode_answers(encode_answers(answers))
    expect(encode_answers(again) == encode_answers(answers), "the same bytes", "others")


@check(
    "engine.class_is_light",
    "The class itself can be pickled by name: nothing of a framework hangs on it.",
    SECTION,
)
def _light(subject: EngineSubject) -> None:
    expect(pickle.loads(pickle.dumps(subject.kind)) is subject.kind, "the class itself", "another object")


@check("engine.inputs_unharmed", "An engine does not change the parameters that it is given.", SECTION)
def _unharmed(subject: EngineSubject) -> None:
    if not subject.profile.outputs:
        raise NotApplicable("it answers nothing")
    from qfw.model.program import slot

    placed = subject.circuits.place(subject.circuits.turn(0, slot(0)), 1, 1)
    given = np.array([[0.5], [0.6]])
    kept = given.copy()
    given.flags.writeable = False
    subject.ask(placed, _task(subject)[1], parameters=given, shots=20)
    expect((given == kept).all(), kept, given)


@check(
    "engine.too_wide",
    "A register beyond max_qubits is known to be so: the estimate or prepare does not crash.",
    SECTION,
)
def _too_wide(subject: EngineSubject) -> None:
    if not subject.profile.native_gates or "x" not in subject.profile.native_gates:
        raise NotApplicable("no gate x to build a wide program of")
    width = min(subject.profile.max_qubits + 1, 10_000)
    found = subject.kind.estimate(Program(width, 0, 0, (Gate("x", (0,)),)), _task(subject)[1], 1, 10)
    expect(found.memory_bytes >= 0 and found.cost_s > 0, "figures, so that the platform can refuse", found)
