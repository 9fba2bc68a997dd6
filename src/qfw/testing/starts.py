"""Checks of slots and starts: every run is answered once, in order, typed."""

from __future__ import annotations

import msgspec

from qfw.model.errors import InternalError, QFwError, UnknownDevice, UnsupportedFeature
from qfw.model.gates import GATES
from qfw.model.outputs import Counts, Memory, decode_answers
from qfw.model.program import Gate, Program
from qfw.model.result import Result
from qfw.model.timeline import Timeline
from qfw.qpm.frames import pack
from qfw.qpm.platform import RunDone, RunFailed
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, Failed, NotApplicable, expect, refused
from qfw.testing.stand import QUIET_S

checks: Checks[Bench] = Checks()
check = checks.check


@check("slots.ready", "After warm, a device reports slots that are ready, each with a process.", "Slots")
def _ready(bench: Bench) -> None:
    slots = bench.stand.ready(bench.name)
    pids = [bench.stand.sink.slots[bench.name][slot] for slot in slots]
    expect(all(isinstance(pid, int) and pid > 0 for pid in pids), "process ids", pids)


@check("slots.all", "As many slots become ready as the profile says, and no more.", "Slots")
def _all(bench: Bench) -> None:
    bench.stand.ready(bench.name, bench.profile.slots)
    bench.stand.settle(QUIET_S)
    found = len(bench.stand.sink.slots[bench.name])
    expect(found == bench.profile.slots, f"{bench.profile.slots} slots", found)


@check("slots.warm_again", "To warm a warm device changes nothing.", "Slots")
def _warm_again(bench: Bench) -> None:
    before = (
        dict(bench.stand.sink.slots[bench.name]) if bench.stand.ready(bench.name, bench.profile.slots) else {}
    )
    for _ in range(3):
        bench.stand.call("warm", bench.platform.warm, bench.name)
    bench.stand.settle(QUIET_S)
    expect(bench.stand.sink.slots[bench.name] == before, before, bench.stand.sink.slots[bench.name])


@check("slots.independent", "A long run on one slot does not keep another from answering.", "Slots")
def _independent(bench: Bench) -> None:
    if bench.profile.slots < 2:
        raise NotApplicable("it has one slot")
    long = bench.long_run()
    first, second, *_ = bench.stand.ready(bench.name, 2)
    bench.stand.start(bench.name, first, [long])
    try:
        short = bench.done(bench.small_run(), second)
        expect((long.task, long.epoch) not in bench.stand.sink.outcomes, "the short one first", short)
    finally:
        bench.stand.cancel(bench.name, first, long)
        bench.ended(
            long, first, bench.stand.limits.grace_s, "the end of a run that was cancelled, or of its slot,"
        )
        bench.stand.ready(bench.name, bench.profile.slots)


@check(
    "start.answered",
    "A run is answered, with its own task and epoch, on the slot that it was given to.",
    "Start",
)
def _answered(bench: Bench) -> None:
    run = bench.small_run()
    slot = bench.stand.ready(bench.name)[0]
    bench.done(run, slot)
    device, at, outcome = bench.stand.sink.outcomes[(run.task, run.epoch)][0]
    expect((device, at) == (bench.name, slot), (bench.name, slot), (device, at))
    expect((outcome.task, outcome.epoch) == (run.task, run.epoch), (run.task, run.epoch), outcome)


@check("start.once", "A run is answered once.", "Start")
def _once(bench: Bench) -> None:
    run = bench.small_run()
    bench.done(run)
    bench.stand.settle(QUIET_S)
    found = len(bench.stand.sink.outcomes[(run.task, run.epoch)])
    expect(found == 1, "one answer", f"{found} answers")


@check("start.order", "Runs of one slot are answered in the order in which they were started.", "Start")
def _order(bench: Bench) -> None:
    runs = [bench.small_run(seed=seed) for seed in range(24)]
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, runs[:16])
    bench.stand.start(bench.name, slot, runs[16:])
    for run in runs:
        bench.stand.outcome(run, slot)
    wanted = [(run.task, run.epoch) for run in runs]
    found = [key for key in bench.stand.sink.answered if key in set(wanted)]
    expect(found == wanted, [task for task, _ in wanted], [task for task, _ in found])


@check("start.all_answered", "Of many runs on all slots each is answered.", "Start")
def _all_answered(bench: Bench) -> None:
    slots = bench.stand.ready(bench.name, bench.profile.slots)
    given = [(bench.small_run(seed=at), slots[at % len(slots)]) for at in range(12 * len(slots))]
    for run, slot in given:
        bench.stand.start(bench.name, slot, [run])
    for run, slot in given:
        expect(isinstance(bench.stand.outcome(run, slot), RunDone), "an answer", run.task)


@check("start.nothing", "To start no runs changes nothing.", "Start")
def _nothing(bench: Bench) -> None:
    bench.stand.start(bench.name, bench.stand.ready(bench.name)[0], [])
    bench.still_works()


@check(
    "start.unknown_program",
    "A run whose program nobody has fails with a typed error, at the latest in its outcome.",
    "Start",
)
def _unknown_program(bench: Bench) -> None:
    run = msgspec.structs.replace(bench.small_run(), program=bytes(32))
    slot = bench.stand.ready(bench.name)[0]
    try:
        bench.stand.start(bench.name, slot, [run])
    except QFwError:
        pass
    else:
        _typed(bench.stand.outcome(run, slot), "a program that nobody has")
    bench.still_works()


@check("start.bad_program", "A program that cannot be read fails its run, typed, and nothing else.", "Start")
def _bad_program(bench: Bench) -> None:
    run = bench.small_run()
    digest = b"\1" * 32
    bench.stand.programs._known[digest] = b"\xc1 no program"
    run = msgspec.structs.replace(run, program=digest)
    slot = bench.stand.ready(bench.name)[0]
    try:
        bench.stand.start(bench.name, slot, [run])
    except QFwError:
        pass
    else:
        _typed(bench.stand.outcome(run, slot), "a program that cannot be read")
    bench.still_works()


def _typed(outcome: RunDone | RunFailed, what: str) -> QFwError:
    """The error of an outcome that must be one."""
    if isinstance(outcome, RunDone):
        raise Failed(f"a typed error for {what}", "an answer")
    expect(outcome.error.message, "a message that says what is wrong", outcome.error)
    error = outcome.error.to_exception()
    told = f"{outcome.error.code}: {outcome.error.message}"
    expect(not isinstance(error, InternalError), f"a typed error for {what}", told)
    return error


@check(
    "start.wrong_task",
    "A task that the device cannot run fails typed: it is not believed to have been estimated.",
    "Start",
)
def _wrong_task(bench: Bench) -> None:
    if bench.profile.control or "counts" not in bench.profile.outputs:
        raise NotApplicable("it has control, or answers no counts")
    from qfw.model.program import Measure

    flips = bench.circuits.flip(0)
    placed = bench.circuits.place([Measure(0, 0), *flips, Measure(0, 0)], 1, clbits=1)
    _typed(bench.go(bench.run_of(placed.placed, (Counts(),), shots=10)), "control on a device without")
    bench.still_works()


@check(
    "start.lowered_only",
    "A start with a gate that is not native, or on a pair that is not coupled, fails typed.",
    "Start",
)
def _lowered_only(bench: Bench) -> None:
    if not bench.profile.lowered_only:
        raise NotApplicable("it takes more than lowered programs")
    for program in not_lowered(bench):
        outcome = bench.go(bench.run_of(program, (Counts(),), shots=10))
        error = _typed(outcome, "a program that is not lowered")
        expect(isinstance(error, UnsupportedFeature), "UnsupportedFeature", repr(error))


def not_lowered(bench: Bench) -> list[Program]:
    """Programs that a device of lowered programs refuses: a foreign gate, a pair that is not coupled."""
    profile, found = bench.profile, []
    foreign = [g for g, spec in GATES.items() if g not in profile.native_gates and spec.num_qubits == 1]
    if foreign:
        gate = Gate(foreign[0], (0,), (0.4,) * GATES[foreign[0]].num_angles)
        found.append(Program(1, 0, 0, (gate,)))
    two = [g for g in profile.native_gates if g in GATES and GATES[g].num_qubits == 2]
    if profile.coupling is not None and two:
        pairs = set(profile.coupling)
        far = next(
            (
                (a, b)
                for a in range(profile.max_qubits)
                for b in range(a + 1, profile.max_qubits)
                if (a, b) not in pairs and (b, a) not in pairs
            ),
            None,
        )
        if far is not None:
            gate = Gate(two[0], far, (0.4,) * GATES[two[0]].num_angles)
            found.append(Program(max(far) + 1, 0, 0, (gate,)))
    return found


@check(
    "start.times", "An answer says when the run began and ended, and how long of it was preparation.", "Start"
)
def _times(bench: Bench) -> None:
    done = bench.done(bench.small_run())
    expect(
        0 < done.run_began_ns <= done.run_ended_ns,
        "began before it ended",
        (done.run_began_ns, done.run_ended_ns),
    )
    spent = done.run_ended_ns - done.run_began_ns
    expect(0 <= done.compile_ns <= spent, f"0 to {spent} ns of preparation", done.compile_ns)


@check("start.travels", "An outcome is of the structures that travel: it is the same in a frame.", "Start")
def _outcome_travels(bench: Bench) -> None:
    done = bench.done(bench.small_run())
    again = msgspec.msgpack.decode(pack(done)[4:], type=RunDone)
    expect(again == done and decode_answers(again.answers) is not None, done, again)


@check("start.large_answer", "An answer of several MiB arrives whole.", "Start")
def _large_answer(bench: Bench) -> None:
    bench.answers(Memory)
    shots = min(600_000, bench.profile.max_shots)
    program = bench.circuits.place(bench.circuits.flip(0), 1, measured=[(0, 0)]).placed
    run = bench.run_of(program, (Memory(),), shots=shots)
    done = bench.done(run)
    found = len(Result(0, "", done.answers, 1, Timeline()).memory[0])
    expect(found == shots, f"{shots} bit strings", found)


@check("start.unknown_device", "A device that there is not is refused: UnknownDevice.", "Start")
def _unknown_device(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    with refused(UnknownDevice, what="a task for a device that there is not"):
        bench.stand.call("estimate", bench.platform.estimate, "no such device", program, outputs, 1, shots)
    with refused(UnknownDevice, what="to warm a device that there is not"):
        bench.stand.call("warm", bench.platform.warm, "no such device")
    with refused(UnknownDevice, what="the state of a device that there is not"):
        bench.stand.call("state", bench.platform.state, "no such device")


@check(
    "start.lost_slot",
    "A start on a slot that is gone is no error: its loss was reported, and the runs with it.",
    "Start",
)
def _lost_slot(bench: Bench) -> None:
    run = bench.small_run()
    bench.stand.start(bench.name, "a slot that is gone", [run])
    bench.still_works()
