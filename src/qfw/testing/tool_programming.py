"""Checks of what a tool makes of programs: pure, well formed, and keeping what it declares."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterable, Iterator

import msgspec
import numpy as np

from qfw.config.discover import child_environment
from qfw.model.constants import READS, lifted, restored
from qfw.model.errors import ProgramError, QFwError, TooLarge, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.program import Gate, Measure, Program, Reset
from qfw.numerics.equivalence import compare
from qfw.qpm.tool import Target, ToolOutput, constants_of, lowers
from qfw.testing import tool_programs as programs
from qfw.testing.checks import Checks, Failed, NotApplicable, Stuck, expect
from qfw.testing.tool_subject import ToolSubject

checks: Checks[ToolSubject] = Checks()
check = checks.check

#: Random programs of a check, for each target.
EACH = 6

_APPLIED = """
import importlib, sys
import msgspec
from qfw.model.program import Program
from qfw.qpm.tool import Target
from qfw.testing.tool_programming import digest
module, _, name = sys.argv[1].partition(":")
kind = importlib.import_module(module)
for part in name.split("."):
    kind = getattr(kind, part)
program, target, options = msgspec.msgpack.decode(sys.stdin.buffer.read())
given = kind().apply(Program.decode(program), msgspec.msgpack.decode(target, type=Target), options)
print("\\n" + digest(given))
"""


def digest(given: ToolOutput) -> str:
    """Of all that a tool gave but what it says of it: notes may name times."""
    whole = (given.program.encoded, given.layout, sorted(given.artefacts.items()))
    return hashlib.blake2b(msgspec.msgpack.encode(whole), digest_size=16).hexdigest()


def _some(subject: ToolSubject) -> Iterator[tuple[Program, Target]]:
    """Programs for each target: any gates; native ones; and native ones without slots that are measured."""
    for target in subject.targets.values():
        yield programs.straight(np.random.default_rng(11), 4, 14), target
        native = programs.native(np.random.default_rng(11), target, 4, 14)
        yield native, target
        bound = native.bound(np.linspace(-1.0, 2.0, native.num_slots))
        used = sorted({qubit for gate in bound.gates() for qubit in gate.qubits})
        ending = tuple(Measure(qubit, bit) for bit, qubit in enumerate(used))
        yield Program(bound.num_qubits, len(used), 0, bound.operations + ending), target


def _first_taken(subject: ToolSubject) -> tuple[Program, Target, ToolOutput]:
    for program, target in _some(subject):
        given = subject.taken(program, target)
        if given is not None:
            return program, target, given
    raise Failed(f"a program that it transforms, for {', '.join(subject.targets)}", "it refused all")


@check(
    "program.form",
    "What it gives is a well-formed program, with notes of one line each and artefacts of bytes.",
    "Programs",
)
def _form(subject: ToolSubject) -> None:
    subject.transforms()
    for program, target in _some(subject):
        given = subject.taken(program, target)
        if given is None:
            continue
        given.program.check()
        again = Program.decode(given.program.encoded)
        expect(again == given.program, "the same program after encoding and decoding", "another one")
        lines = isinstance(given.notes, tuple) and all(
            isinstance(n, str) and "\n" not in n for n in given.notes
        )
        expect(lines, "a tuple of lines as notes", given.notes)
        whole = all(isinstance(n, str) and isinstance(v, bytes) for n, v in given.artefacts.items())
        expect(
            whole, "artefacts by name, as bytes", {n: type(v).__name__ for n, v in given.artefacts.items()}
        )
    _first_taken(subject)


@check("program.slots", "Slots survive: as many go out as came in, and classical bits too.", "Programs")
def _slots(subject: ToolSubject) -> None:
    subject.transforms()
    for target in subject.targets.values():
        program = programs.straight(np.random.default_rng(12), 3, 12, measured=True)
        given = subject.taken(program, target)
        if given is None:
            continue
        expect(
            given.program.num_slots == program.num_slots,
            f"{program.num_slots} slots",
            given.program.num_slots,
        )
        expect(
            given.program.num_clbits >= program.num_clbits,
            f"{program.num_clbits} classical bits or more",
            given.program.num_clbits,
        )


@check(
    "program.layout",
    "A layout gives every qubit a place of its own, within the program and the device.",
    "Programs",
)
def _layout(subject: ToolSubject) -> None:
    subject.transforms()
    moved = 0
    for program, target in _some(subject):
        given = subject.taken(program, target)
        if given is None:
            continue
        wide = given.program.num_qubits
        if given.layout is None:
            expect(
                wide >= program.num_qubits, f"{program.num_qubits} qubits where they were", f"{wide} qubits"
            )
            continue
        moved += 1
        places = given.layout
        fine = len(places) == program.num_qubits == len(set(places)) and all(0 <= p < wide for p in places)
        expect(fine, f"{program.num_qubits} different places below {wide}", places)
        expect(isinstance(places, tuple), "a tuple", type(places).__name__)
    if not moved:
        raise NotApplicable("it moves no qubits")


@check(
    "program.pure",
    "Equal programs, targets and options give equal results, whatever came between.",
    "Programs",
)
def _pure(subject: ToolSubject) -> None:
    subject.transforms()
    program, target, given = _first_taken(subject)
    for other, elsewhere in _some(subject):
        subject.taken(programs.straight(np.random.default_rng(13), 3, 9), elsewhere)
        subject.taken(other, elsewhere)
    expect(digest(subject.apply(program, target)) == digest(given), "the same result again", "another one")
    fresh = subject.apply(program, target, subject.kind())
    expect(digest(fresh) == digest(given), "the same of another object of the class", "another one")


@check("program.process", "Another process gives the same result.", "Programs")
def _process(subject: ToolSubject) -> None:
    subject.transforms()
    program, target, given = _first_taken(subject)
    asked = msgspec.msgpack.encode((program.encoded, msgspec.msgpack.encode(target), subject.options))
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _APPLIED, subject.importable],
            input=asked,
            capture_output=True,
            timeout=subject.limit_s,
            env=child_environment(
                PYTHONPATH=":".join(path for path in sys.path if path), PYTHONHASHSEED="4242"
            ),
        )
    except subprocess.TimeoutExpired as error:
        raise Stuck(f"an answer within {subject.limit_s:g} s", "none") from error
    expect(ran.returncode == 0, "an answer of the other process", ran.stderr.decode(errors="replace")[-500:])
    found = ran.stdout.decode().split()[-1]
    expect(found == digest(given), "the same result", "another one")


def _kept(subject: ToolSubject, tried: Iterable[tuple[Program, Target]], what: str) -> None:
    """Compares; NotApplicable where every program was refused with a reason."""
    done = 0
    for program, target in tried:
        given = subject.taken(program, target)
        if given is None:
            continue
        done += 1
        verdict = compare(program, given.program, given.layout, subject.kind.keeps)
        expect(
            verdict.equal,
            f"{subject.kind.keeps} on target {target.profile.name}",
            f"{verdict.text}; the program was {program!r}",
        )
    if not done:
        raise NotApplicable(f"it refuses {what}")


@check(
    "program.keeps",
    "It keeps what it declares, for random programs, targets and values of the slots.",
    "Programs",
)
def _keeps(subject: ToolSubject) -> None:
    subject.transforms()
    rng = np.random.default_rng(21)
    tried = [
        (programs.straight(rng, int(rng.integers(1, 5)), 12), target)
        for target in subject.targets.values()
        for _ in range(EACH)
    ]
    _kept(subject, tried, "every program of gates")


@check(
    "program.measured",
    "It keeps what it declares of programs that measure at their end, bit by bit.",
    "Programs",
)
def _measured(subject: ToolSubject) -> None:
    subject.transforms()
    rng = np.random.default_rng(22)
    tried = [
        (programs.straight(rng, int(rng.integers(1, 5)), 10, measured=True), target)
        for target in subject.targets.values()
        for _ in range(EACH)
    ]
    _kept(subject, tried, "programs that measure")


@check(
    "program.control",
    "It keeps the distribution of programs that measure, reset, branch and loop.",
    "Programs",
)
def _control(subject: ToolSubject) -> None:
    subject.transforms()
    rng = np.random.default_rng(23)
    tried = [
        (programs.controlled(rng, int(rng.integers(1, 4))), target)
        for target in subject.targets.values()
        if target.profile.control
        for _ in range(EACH)
    ]
    _kept(subject, tried, "programs with control")


@check(
    "program.constants",
    "Constants at which it says not to look make no difference: as slots, bound behind it, they give the same.",
    "Declarations",
)
def _constants(subject: ToolSubject) -> None:
    subject.transforms()
    reads = constants_of(subject.kind, subject.options)
    expect(reads in READS, f"constants: one of {', '.join(READS)}", repr(reads))
    if reads == READS[0]:
        raise NotApplicable("it may look at every constant")
    rng = np.random.default_rng(26)
    for target in subject.targets.values():
        for _ in range(EACH):
            free = programs.straight(rng, int(rng.integers(1, 4)), 10)
            # Values that invite: none, whole turns, equal ones and such as add up to nothing.
            program = free.bound(rng.choice([0.0, np.pi / 2, np.pi, 0.3, -0.3, 1.1], size=free.num_slots))
            slots, values = lifted(program, reads)
            wanted, given = subject.taken(program, target), subject.taken(slots, target)
            if not values or wanted is None or given is None:
                continue
            found = restored(given.program, values).canonical()
            same = found.encoded == wanted.program.encoded and given.layout == wanted.layout
            expect(same, f"the same with constants ({reads}) as slots", f"another of {program!r}")


@check("program.delay", "It keeps what it declares of programs that wait.", "Programs")
def _delay(subject: ToolSubject) -> None:
    subject.transforms()
    rng = np.random.default_rng(25)
    tried = [(programs.waiting(rng, 3, 10), target) for target in subject.targets.values() for _ in range(2)]
    _kept(subject, tried, "programs that wait")


@check(
    "program.native",
    "What is native stays native; and all is, where the tool says that it lowers.",
    "Programs",
)
def _native(subject: ToolSubject) -> None:
    subject.transforms()
    rng = np.random.default_rng(24)
    done = 0
    for target in subject.targets.values():
        tried = [program for program, of in _some(subject) if of is target][1:]
        if lowers(subject.kind):
            tried.append(programs.straight(rng, 4, 12))
        for program in tried:
            given = subject.taken(program, target)
            if given is None:
                continue
            done += 1
            strict = msgspec.structs.replace(target.profile, lowered_only=True)
            try:
                check_native(given.program, strict)
            except UnsupportedFeature as error:
                raise Failed(f"gates native to {target.profile.name}", str(error)) from error
    expect(done, "a native program that it takes", "it refused all")


@check(
    "program.too_wide",
    "A program wider than the device is refused with a typed error, or transformed.",
    "Errors",
)
def _too_wide(subject: ToolSubject) -> None:
    subject.transforms()
    target = subject.targets["row"]
    wide = Program(target.profile.max_qubits + 1, 0, 0, tuple(Gate("h", (q,)) for q in range(9)))
    _typed(subject, wide, target, TooLarge)


@check(
    "program.no_control",
    "Control on a device that has none is refused with a typed error, or transformed.",
    "Errors",
)
def _no_control(subject: ToolSubject) -> None:
    subject.transforms()
    program = Program(2, 1, 0, (Gate("h", (0,)), Measure(0, 0), Reset(0), Gate("h", (0,))))
    _typed(subject, program, subject.targets["row"], UnsupportedFeature)


@check(
    "program.smallest",
    "One qubit and nothing on it, and no gate but a global phase, are programs too.",
    "Errors",
)
def _smallest(subject: ToolSubject) -> None:
    subject.transforms()
    for ops in ((), (Gate("gphase", (), (0.3,)),), (Measure(0, 0),)):
        program = Program(1, 1, 2, ops)
        for target in subject.targets.values():
            _typed(subject, program, target, ProgramError)


def _typed(subject: ToolSubject, program: Program, target: Target, kind: type[QFwError]) -> None:
    try:
        given = subject.apply(program, target)
    except (Failed, NotApplicable):
        raise
    except ProgramError as error:
        expect(len(str(error)) >= 12, f"{kind.__name__} that says what was asked and found", repr(error))
        return
    except Exception as error:
        raise Failed(f"a program, or {kind.__name__}", f"{type(error).__name__}: {error}") from error
    given.program.check()
