"""Checks of a platform's runtime: profile, starts, epochs, cancellation, limits."""

from __future__ import annotations

import math

import msgspec

from qfw.model.device import ACCEPTING, RUNNING, DeviceKind, DeviceState
from qfw.model.errors import (
    ErrorReport,
    InternalError,
    QFwError,
    StaleEpoch,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
)
from qfw.model.gates import GATES
from qfw.model.outputs import Counts, Memory, Output, Statevector, decode_answers
from qfw.model.program import Gate, Program
from qfw.model.result import Result
from qfw.model.timeline import Timeline
from qfw.qpm.platform import RunDone, RunFailed
from qfw.qpm.wire import pack
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, Failed, NotApplicable, expect, refused
from qfw.testing.engine import OUTPUTS
from qfw.testing.stand import CALL_LIMIT_S

checks: Checks[Bench] = Checks()
check = checks.check

#: What must not come is waited for so long.
QUIET_S = 0.15
#: A run that is past its limit, or cancelled, has ended so many seconds later.
GRACE_S = 5.0


@check(
    "profile.name", "A device has a name, an engine and the name of its platform's kind of device.", "Profile"
)
def _name(bench: Bench) -> None:
    profile = bench.profile
    expect(
        profile.name and profile.name.isprintable() and "/" not in profile.name,
        "a name without /",
        profile.name,
    )
    expect(isinstance(profile.kind, DeviceKind) and profile.engine, "a kind and an engine", profile)


@check("profile.gates", "Native gates are gates of qfw.model.gates, each named once.", "Profile")
def _gates(bench: Bench) -> None:
    names = bench.profile.native_gates
    unknown = sorted(set(names) - set(GATES))
    expect(
        not unknown and len(set(names)) == len(names), "gates of qfw.model.gates, once each", unknown or names
    )


@check("profile.outputs", "Outputs are those of qfw.model.outputs, each named once.", "Profile")
def _outputs(bench: Bench) -> None:
    names = bench.profile.outputs
    expect(set(names) <= OUTPUTS and len(set(names)) == len(names), sorted(OUTPUTS), names)


@check("profile.bounds", "Qubits, slots, shots and sets are 1 or more.", "Profile")
def _bounds(bench: Bench) -> None:
    p = bench.profile
    for what in ("max_qubits", "slots", "max_shots", "max_sets"):
        expect(getattr(p, what) >= 1, f"{what} of 1 or more", getattr(p, what))


@check(
    "profile.coupling",
    "Coupled pairs are two different qubits of the device, each pair named once.",
    "Profile",
)
def _coupling(bench: Bench) -> None:
    pairs = bench.profile.coupling
    if pairs is None:
        raise NotApplicable("all pairs are coupled")
    bad = [p for p in pairs if len(set(p)) != 2 or not all(0 <= q < bench.profile.max_qubits for q in p)]
    expect(not bad and len(set(pairs)) == len(pairs), "pairs of two qubits, once each", bad or "one twice")


@check("profile.positions", "There is a place for every qubit, or for none.", "Profile")
def _positions(bench: Bench) -> None:
    found = len(bench.profile.positions)
    expect(found in (0, bench.profile.max_qubits), f"0 or {bench.profile.max_qubits} positions", found)
    expect(all(math.isfinite(v) for xy in bench.profile.positions for v in xy), "finite positions", "others")


@check("profile.timing", "Times are whole nanoseconds, 0 or more.", "Profile")
def _timing(bench: Bench) -> None:
    if bench.profile.timing is None:
        raise NotApplicable("it takes no time besides its engine's")
    found = msgspec.structs.asdict(bench.profile.timing)
    expect(all(isinstance(v, int) and v >= 0 for v in found.values()), "integers of 0 or more", found)


@check("profile.hardware", "What is hardware repeats no interrupted run.", "Profile")
def _hardware(bench: Bench) -> None:
    if bench.profile.kind is not DeviceKind.HARDWARE:
        raise NotApplicable(f"it is a {bench.profile.kind.value}")
    expect(not bench.profile.reruns, "reruns = false", bench.profile.reruns)


@check(
    "profile.stays",
    "The profile is the same for as long as devices_changed does not say otherwise.",
    "Profile",
)
def _stays(bench: Bench) -> None:
    changes = bench.stand.sink.changes
    found = next((p for p in bench.stand.devices() if p.name == bench.name), None)
    expect(found == bench.profile or bench.stand.sink.changes > changes, bench.profile, found)


@check("profile.travels", "The profile is the same after encoding and decoding.", "Profile")
def _travels(bench: Bench) -> None:
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(bench.profile), type=type(bench.profile))
    expect(again == bench.profile, bench.profile, again)


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
        bench.ended(long, first, GRACE_S, "the end of a run that was cancelled, or of its slot,")
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
    for program in _not_lowered(bench):
        outcome = bench.go(bench.run_of(program, (Counts(),), shots=10))
        error = _typed(outcome, "a program that is not lowered")
        expect(isinstance(error, UnsupportedFeature), "UnsupportedFeature", repr(error))


def _not_lowered(bench: Bench) -> list[Program]:
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


@check("epoch.same_again", "The same run started again, after its answer, is not run again.", "Fencing")
def _same_again(bench: Bench) -> None:
    run = bench.small_run()
    slot = bench.stand.ready(bench.name)[0]
    bench.done(run, slot)
    bench.stand.start(bench.name, slot, [run])
    bench.done(bench.small_run(), slot)
    bench.stand.settle(QUIET_S)
    found = len(bench.stand.sink.outcomes[(run.task, run.epoch)])
    expect(found == 1, "one answer", f"{found} answers")


@check("epoch.same_while_running", "The same run started twice at once is run once.", "Fencing")
def _same_twice(bench: Bench) -> None:
    run = bench.small_run()
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, [run, run])
    bench.stand.start(bench.name, slot, [run])
    bench.stand.outcome(run, slot)
    bench.done(bench.small_run(), slot)
    bench.stand.settle(QUIET_S)
    found = len(bench.stand.sink.outcomes[(run.task, run.epoch)])
    expect(found == 1, "one answer", f"{found} answers")


@check(
    "epoch.older",
    "A start with an older epoch than was seen of the task is refused, by run_ended: StaleEpoch.",
    "Fencing",
)
def _older(bench: Bench) -> None:
    run = bench.small_run(epoch=3)
    slot = bench.stand.ready(bench.name)[0]
    bench.done(run, slot)
    old = msgspec.structs.replace(run, epoch=2)
    bench.stand.start(bench.name, slot, [old])
    outcome = bench.stand.outcome(old, slot)
    expect(isinstance(outcome, RunFailed), "StaleEpoch", "it was run")
    assert isinstance(outcome, RunFailed)
    expect(outcome.error.code == StaleEpoch.__name__, "StaleEpoch", outcome.error.code)
    expect(outcome.epoch == 2, "the epoch of the refused start, 2", outcome.epoch)


@check("epoch.newer", "A start with a newer epoch is run.", "Fencing")
def _newer(bench: Bench) -> None:
    run = bench.small_run()
    bench.done(run)
    again = bench.done(msgspec.structs.replace(run, epoch=2))
    expect(again.epoch == 2, "epoch 2", again.epoch)


@check(
    "cancel.running", "A running task that is cancelled ends soon, and the device goes on.", "Cancellation"
)
def _cancel_running(bench: Bench) -> None:
    run = bench.long_run()
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, [run])
    bench.stand.settle(QUIET_S)
    bench.stand.cancel(bench.name, slot, run)
    bench.ended(run, slot, GRACE_S, "the end of a run that was cancelled, or of its slot,")
    bench.stand.ready(bench.name)
    bench.still_works()


@check(
    "cancel.queued",
    "A run that waits behind another and is cancelled does not keep those behind it.",
    "Cancellation",
)
def _cancel_queued(bench: Bench) -> None:
    runs = [bench.small_run(seed=seed) for seed in range(8)]
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, runs)
    bench.stand.cancel(bench.name, slot, runs[4])
    for at, run in enumerate(runs):
        if at != 4:
            outcome = bench.stand.outcome(run, slot)
            expect(isinstance(outcome, RunDone), f"an answer to run {at}", outcome)


@check("cancel.queued_long", "A long run that waits and is cancelled is never run for long.", "Cancellation")
def _cancel_queued_long(bench: Bench) -> None:
    long, short, behind = bench.long_run(), bench.small_run(), bench.small_run()
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, [short, long])
    bench.stand.cancel(bench.name, slot, long)
    bench.ended(long, slot, GRACE_S, "the end of a run that was cancelled while it waited")
    bench.stand.ready(bench.name)
    bench.done(behind)


@check("cancel.unknown", "To cancel what there is not is no error.", "Cancellation")
def _cancel_unknown(bench: Bench) -> None:
    slot = bench.stand.ready(bench.name)[0]
    run = bench.small_run()
    bench.stand.cancel(bench.name, slot, run)
    bench.stand.cancel(bench.name, "a slot that is gone", run)
    bench.still_works()


@check("cancel.after_answer", "To cancel what was answered changes nothing.", "Cancellation")
def _cancel_late(bench: Bench) -> None:
    run = bench.small_run()
    slot = bench.stand.ready(bench.name)[0]
    bench.done(run, slot)
    bench.stand.cancel(bench.name, slot, run)
    bench.stand.settle(QUIET_S)
    expect(len(bench.stand.sink.outcomes[(run.task, 1)]) == 1, "one answer", "another")
    bench.still_works()


@check("cancel.other_epoch", "To cancel another epoch of a task does not end this one.", "Cancellation")
def _cancel_other(bench: Bench) -> None:
    run = bench.small_run(epoch=2)
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, [run])
    bench.stand.cancel(bench.name, slot, msgspec.structs.replace(run, epoch=1))
    outcome = bench.stand.outcome(run, slot)
    expect(isinstance(outcome, RunDone), "an answer", outcome)


@check("limit.time", "A run past its time limit is ended: DeadlineExceeded.", "Limits")
def _time_limit(bench: Bench) -> None:
    run = bench.long_run(time_limit_s=0.3)
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, [run])
    outcome = bench.stand.outcome(run, slot, 0.3 + GRACE_S)
    if isinstance(outcome, RunDone):
        took_s = (outcome.run_ended_ns - outcome.run_began_ns) / 1e9
        expect(
            took_s <= 0.3 + CALL_LIMIT_S,
            "an end within its limit of 0.3 s",
            f"an answer after {took_s:.2f} s",
        )
        raise NotApplicable(f"its longest task took {took_s:.2f} s only")
    expect(outcome.error.code == "DeadlineExceeded", "DeadlineExceeded", outcome.error.code)


@check("limit.goes_on", "After a run past its limit, the device takes the next one.", "Limits")
def _goes_on(bench: Bench) -> None:
    run = bench.long_run(time_limit_s=0.2)
    slot = bench.stand.ready(bench.name)[0]
    bench.stand.start(bench.name, slot, [run])
    bench.stand.outcome(run, slot, 0.2 + GRACE_S)
    bench.stand.ready(bench.name)
    bench.still_works()


@check("limit.shots", "More shots than max_shots are refused, with the figure.", "Limits")
def _shots(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    if not shots or bench.profile.max_shots >= 100_000_000:
        raise NotApplicable("it takes as many shots as any task may have")
    with refused(TooLarge, UnsupportedFeature, what="more shots than max_shots") as caught:
        _estimate(bench, program, outputs, 1, bench.profile.max_shots + 1)
    expect(
        str(bench.profile.max_shots) in str(caught[0]), f"a message with {bench.profile.max_shots}", caught[0]
    )


@check("limit.shots_at", "max_shots themselves are taken.", "Limits")
def _shots_at(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    if not shots:
        raise NotApplicable("it takes no shots")
    _estimate(bench, program, outputs, 1, bench.profile.max_shots)


@check("limit.sets", "More sets than max_sets are refused, with the figure.", "Limits")
def _sets(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    if bench.profile.max_sets >= 2**31:
        raise NotApplicable("it takes as many sets as any task may have")
    with refused(TooLarge, UnsupportedFeature, what="more sets than max_sets") as caught:
        _estimate(bench, program, outputs, bench.profile.max_sets + 1, shots)
    expect(
        str(bench.profile.max_sets) in str(caught[0]), f"a message with {bench.profile.max_sets}", caught[0]
    )


@check("limit.exact", "A device that needs shots refuses a task without.", "Limits")
def _exact(bench: Bench) -> None:
    if bench.profile.exact:
        raise NotApplicable("it answers without shots")
    from qfw.model.observable import PauliSum
    from qfw.model.outputs import Expectation

    program, _, _ = bench.small()
    with refused(UnsupportedFeature, what="a task without shots"):
        _estimate(bench, program, (Expectation((PauliSum.of("Z0"),)),), 1, 0)


def _estimate(
    bench: Bench, program: Program, outputs: tuple[Output, ...], sets: int, shots: int
) -> tuple[float, int]:
    found = bench.stand.call("estimate", bench.platform.estimate, bench.name, program, outputs, sets, shots)
    return found.cost_s, found.memory_bytes


@check("estimate.positive", "An estimate is positive and finite.", "Estimates")
def _positive(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    cost_s, memory_bytes = _estimate(bench, program, outputs, 1, shots)
    expect(cost_s > 0 and math.isfinite(cost_s), "a positive time", cost_s)
    expect(memory_bytes >= 0, "memory of 0 or more", memory_bytes)


@check("estimate.same", "The same task has the same estimate: nothing is changed by asking.", "Estimates")
def _same(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    first, second = (_estimate(bench, program, outputs, 1, shots) for _ in range(2))
    expect(first == second, first, second)


@check("estimate.sets", "It grows with the sets.", "Estimates")
def _by_sets(bench: Bench) -> None:
    _work(bench)
    program, outputs, shots = bench.small()
    few, many = (
        _estimate(bench, program, outputs, s, shots)[0] for s in (1, min(5000, bench.profile.max_sets))
    )
    expect(many > few, f"more than {few:.3g} s", f"{many:.3g} s")


@check("estimate.shots", "It grows with the shots of memory=True.", "Estimates")
def _by_shots(bench: Bench) -> None:
    bench.answers(Memory)
    program, _, _ = bench.small()
    few, many = (_estimate(bench, program, (Memory(),), 1, s)[0] for s in (1, bench.shots(1_000_000)))
    expect(many > few, f"more than {few:.3g} s", f"{many:.3g} s")


@check("estimate.gates", "It grows with the gates.", "Estimates")
def _by_gates(bench: Bench) -> None:
    _work(bench)
    _, outputs, shots = bench.small()
    costs = [
        _estimate(
            bench,
            bench.circuits.place(bench.circuits.turn(0, 0.3) * n, 1, measured=[(0, 0)]).placed,
            outputs,
            1,
            shots,
        )[0]
        for n in (2, 2000)
    ]
    expect(costs[1] > costs[0], f"more than {costs[0]:.3g} s", f"{costs[1]:.3g} s")


def _work(bench: Bench) -> None:
    if not bench.profile.outputs:
        raise NotApplicable("it answers nothing, which takes the same time always")


@check(
    "estimate.too_wide",
    "A program wider than the device is refused: TooLarge, with both figures and what to do.",
    "Estimates",
)
def _too_wide(bench: Bench) -> None:
    width = bench.profile.max_qubits + 1
    if width > 1_000_000:
        raise NotApplicable("no program is wider than it")
    _, outputs, shots = bench.small()
    with refused(TooLarge, what=f"a program of {width} qubits") as caught:
        _estimate(bench, Program(width, 0, 0, tuple(bench.circuits.flip(0))), outputs, 1, shots)
    text = str(caught[0])
    expect(str(width) in text and str(bench.profile.max_qubits) in text, "a message with both figures", text)


@check(
    "estimate.too_much",
    "A task whose answer or state does not fit is refused before it starts, not while it runs.",
    "Estimates",
)
def _too_much(bench: Bench) -> None:
    bench.answers(Statevector)
    width = bench.profile.max_qubits
    program = Program(width, 0, 0, tuple(bench.circuits.flip(0)))
    with refused(TooLarge, what="a thousand million statevectors of the whole device"):
        _estimate(bench, program, (Statevector(),), 2**30, 0)


@check("estimate.output", "An output that is not claimed is refused: UnsupportedFeature.", "Estimates")
def _by_output(bench: Bench) -> None:
    kinds: list[Output] = [Counts(), Memory(), Statevector()]
    missing = [o for o in kinds if o.__struct_config__.tag not in bench.profile.outputs]
    if not missing:
        raise NotApplicable("it answers all of them")
    program, _, _ = bench.small()
    for output in missing:
        with refused(UnsupportedFeature, what=type(output).__name__):
            _estimate(bench, program, (output,), 1, 0 if isinstance(output, Statevector) else 10)


@check(
    "estimate.not_lowered",
    "A program that is not lowered is refused where the device takes lowered ones only.",
    "Estimates",
)
def _estimate_lowered(bench: Bench) -> None:
    if not bench.profile.lowered_only:
        raise NotApplicable("it takes more than lowered programs")
    for program in _not_lowered(bench):
        with refused(UnsupportedFeature, what="a program that is not lowered"):
            _estimate(bench, program, (Counts(),), 1, 10)


@check(
    "state.known",
    "A device is in a state of the table, and gives starts only in a state that runs.",
    "States",
)
def _state(bench: Bench) -> None:
    bench.stand.ready(bench.name)
    found = bench.stand.state(bench.name)
    expect(isinstance(found, DeviceState), "a DeviceState", repr(found))
    expect(found in RUNNING or found in ACCEPTING, "one that runs or accepts", found)


@check(
    "errors.travel",
    "Every error that a run failed with has the name of a class of qfw.model.errors, and a text.",
    "Errors",
)
def _errors(bench: Bench) -> None:
    for rows in bench.stand.sink.outcomes.values():
        for _, _, outcome in rows:
            if isinstance(outcome, RunFailed):
                again = ErrorReport.of(outcome.error.to_exception())
                expect(
                    again.code == outcome.error.code and outcome.error.message, "a known code", outcome.error
                )
