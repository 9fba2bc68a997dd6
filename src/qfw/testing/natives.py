"""Checks of native operations."""

from __future__ import annotations

import msgspec

from qfw.model.errors import InternalError, QFwError, UnknownDevice
from qfw.qpm.platform import NATIVE, Native, NativeCall, NativeDone, NativeFailed
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, Failed, NotApplicable, expect
from qfw.testing.stand import QUIET_S

checks: Checks[Bench] = Checks()
check = checks.check


def facet(bench: Bench) -> Native:
    """The platform as one with native operations. Raises NotApplicable where it does not claim the facet."""
    bench.facet(NATIVE)
    found = bench.platform
    expect(isinstance(found, Native), "the method call: the facet native is claimed", type(found).__name__)
    assert isinstance(found, Native)
    return found


def native_call(
    bench: Bench, operation: str, body: bytes = b"\x80", time_limit_s: float = 10.0
) -> NativeCall:
    """A call with a number of its own; its body is an empty map."""
    return NativeCall(bench.stand.number(), operation, body, time_limit_s)


def _native_outcome(bench: Bench, call: NativeCall) -> NativeDone | NativeFailed | QFwError:
    """What became of an operation; a refusal by the call itself included."""
    try:
        bench.stand.call("call", facet(bench).call, bench.name, call)
    except QFwError as error:
        return error
    found = bench.stand.sink.natives
    bench.stand.wait(
        lambda: call.number in found,
        call.time_limit_s + bench.stand.limits.grace_s,
        f"an answer of {call.operation}",
    )
    return found[call.number][0]


def _native_refused(bench: Bench, call: NativeCall, what: str) -> None:
    outcome = _native_outcome(bench, call)
    if isinstance(outcome, NativeDone):
        raise Failed(f"a typed error for {what}", "an answer")
    error = outcome.error.to_exception() if isinstance(outcome, NativeFailed) else outcome
    expect(
        not isinstance(error, InternalError), f"a typed error for {what}", f"{type(error).__name__}: {error}"
    )


@check(
    "native.claimed", "Only a platform with the facet native has devices with native operations.", "Native"
)
def _claimed(bench: Bench) -> None:
    has = NATIVE in bench.platform.facets
    expect(has or not bench.profile.native, "no native operations without the facet", bench.profile.native)
    expect(len(set(bench.profile.native)) == len(bench.profile.native), "each once", bench.profile.native)


@check("native.unknown", "An operation that it does not have is refused, typed.", "Native")
def _unknown_operation(bench: Bench) -> None:
    _native_refused(bench, native_call(bench, "no such operation"), "an operation that there is not")


@check(
    "native.bad_body",
    "A body that is no MessagePack, or not what the operation documents, is refused, typed.",
    "Native",
)
def _bad_body(bench: Bench) -> None:
    facet(bench)
    if not bench.profile.native:
        raise NotApplicable("it has no native operations")
    for operation in bench.profile.native:
        _native_refused(
            bench, native_call(bench, operation, b"\xc1\xff"), f"{operation} of a body that is no MessagePack"
        )


@check(
    "native.answered",
    "Each of its operations is answered once, within its time limit, if only with a typed error.",
    "Native",
)
def _each_answered(bench: Bench) -> None:
    facet(bench)
    if not bench.profile.native:
        raise NotApplicable("it has no native operations")
    for operation in bench.profile.native:
        call = native_call(bench, operation)
        outcome = _native_outcome(bench, call)
        if isinstance(outcome, NativeFailed):
            error = outcome.error.to_exception()
            expect(
                not isinstance(error, InternalError),
                f"an answer or a typed error of {operation}",
                outcome.error,
            )
        elif isinstance(outcome, NativeDone):
            try:
                msgspec.msgpack.decode(outcome.body)
            except msgspec.DecodeError as error:
                raise Failed(f"MessagePack as the answer of {operation}", str(error)) from error
    bench.stand.settle(QUIET_S)
    twice = [number for number, rows in bench.stand.sink.natives.items() if len(rows) > 1]
    expect(not twice, "one answer each", f"two of {twice}")
    # An operation may have sent the device to calibrate, or the like: it comes back.
    bench.stand.ready(bench.name)


@check("native.unknown_device", "An operation of a device that there is not is refused, typed.", "Native")
def _native_device(bench: Bench) -> None:
    native = facet(bench)
    call = native_call(bench, "no such operation")
    try:
        bench.stand.call("call", native.call, "no such device", call)
    except UnknownDevice:
        return
    except QFwError as error:
        raise Failed("UnknownDevice", f"{type(error).__name__}: {error}") from error
    found = bench.stand.sink.natives
    bench.stand.wait(lambda: call.number in found, bench.stand.limits.grace_s, "a refusal")
    outcome = found[call.number][0]
    code = outcome.error.code if isinstance(outcome, NativeFailed) else "an answer"
    expect(code == "UnknownDevice", "UnknownDevice", code)
