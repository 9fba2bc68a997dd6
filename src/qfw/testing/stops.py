"""Checks of fencing, cancellation and limits: what must not run, or not go on."""

from __future__ import annotations

import msgspec

from qfw.model.errors import StaleEpoch, TooLarge, UnsupportedFeature
from qfw.qpm.platform import RunDone, RunFailed
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, NotApplicable, expect, refused
from qfw.testing.estimates import estimate
from qfw.testing.stand import CALL_LIMIT_S, QUIET_S

checks: Checks[Bench] = Checks()
check = checks.check


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
    bench.ended(run, slot, bench.stand.limits.grace_s, "the end of a run that was cancelled, or of its slot,")
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
    bench.ended(long, slot, bench.stand.limits.grace_s, "the end of a run that was cancelled while it waited")
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
    outcome = bench.stand.outcome(run, slot, 0.3 + bench.stand.limits.grace_s)
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
    bench.stand.outcome(run, slot, 0.2 + bench.stand.limits.grace_s)
    bench.stand.ready(bench.name)
    bench.still_works()


@check("limit.shots", "More shots than max_shots are refused, with the figure.", "Limits")
def _shots(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    if not shots or bench.profile.max_shots >= 100_000_000:
        raise NotApplicable("it takes as many shots as any task may have")
    with refused(TooLarge, UnsupportedFeature, what="more shots than max_shots") as caught:
        estimate(bench, program, outputs, 1, bench.profile.max_shots + 1)
    expect(
        str(bench.profile.max_shots) in str(caught[0]), f"a message with {bench.profile.max_shots}", caught[0]
    )


@check("limit.shots_at", "max_shots themselves are taken.", "Limits")
def _shots_at(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    if not shots:
        raise NotApplicable("it takes no shots")
    estimate(bench, program, outputs, 1, bench.profile.max_shots)


@check("limit.sets", "More sets than max_sets are refused, with the figure.", "Limits")
def _sets(bench: Bench) -> None:
    program, outputs, shots = bench.small()
    if bench.profile.max_sets >= 2**31:
        raise NotApplicable("it takes as many sets as any task may have")
    with refused(TooLarge, UnsupportedFeature, what="more sets than max_sets") as caught:
        estimate(bench, program, outputs, bench.profile.max_sets + 1, shots)
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
        estimate(bench, program, (Expectation((PauliSum.of("Z0"),)),), 1, 0)
