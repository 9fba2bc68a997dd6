"""Checks of what a device says of itself."""

from __future__ import annotations

import math

import msgspec

from qfw.model.device import DeviceKind
from qfw.model.gates import GATES
from qfw.testing.bench import Bench
from qfw.testing.checks import Checks, NotApplicable, expect
from qfw.testing.engine import OUTPUTS

checks: Checks[Bench] = Checks()
check = checks.check


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
