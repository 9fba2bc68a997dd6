"""Whether a platform has what it claims: checked in its host, and again by the daemon, which believes nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfw.model import calibration_check
from qfw.model.calibration import Calibration
from qfw.model.calibration_check import MAX_NS
from qfw.model.device import DeviceProfile, Timing
from qfw.model.errors import BrokenPlugin, CalibrationError, VersionMismatch, WireError
from qfw.model.gates import GATES
from qfw.model.reservation import Offer, ReservationRequest
from qfw.qpm.platform import API_VERSION, FACETS, NATIVE, RESOURCES, RUNTIME, DeviceLoad

#: Methods of each facet.
METHODS = {
    RESOURCES: ("devices", "load", "estimate", "evaluate", "reserve", "renew", "release"),
    RUNTIME: ("open", "warm", "state", "calibration", "start", "cancel", "close"),
    NATIVE: ("call",),
}
OUTPUTS = frozenset({"counts", "memory", "expectation", "probabilities", "statevector"})
#: A calibration that a device may have: what holds up the daemon while it is read and checked. A thousand qubits, each
#: coupled to four others, with five gates on every qubit and every ordered pair have 25 000 gates and 1.7 MB.
MAX_GATES, MAX_QUBITS, MAX_CALIBRATION_BYTES = 32_768, 4096, 4 * 2**20
MAX_DEVICES, MAX_SLOTS, MAX_NAME, MAX_TEXT = 1024, 4096, 128, 2000


def check_api(api: object) -> None:
    """Raises VersionMismatch unless a plugin of this API version runs here: same major, no later minor."""
    match api:
        case (int(major), int(minor)) if major == API_VERSION[0] and minor <= API_VERSION[1]:
            return
    ours = ".".join(map(str, API_VERSION))
    theirs = ".".join(map(str, api)) if isinstance(api, (tuple, list)) else repr(api)
    raise VersionMismatch(
        f"the plugin is written for API version {theirs} of platforms; QFw here has {ours}. "
        "Install a release of the plugin for this version"
    )


def check_methods(platform: object, facets: object) -> None:
    """Raises BrokenPlugin unless a platform has the methods of its facets."""
    check_facets(facets)
    assert isinstance(facets, (frozenset, set))
    for facet in sorted(facets):
        missing = [name for name in METHODS[facet] if not callable(getattr(platform, name, None))]
        if missing:
            raise BrokenPlugin(f"the plugin claims the facet {facet} and lacks {', '.join(missing)}")


def check_facets(facets: object) -> None:
    """Raises BrokenPlugin unless these are facets, with the two that every platform has."""
    if not isinstance(facets, (frozenset, set)) or not facets <= FACETS or not {RESOURCES, RUNTIME} <= facets:
        raise BrokenPlugin(
            f"the plugin claims the facets {facets!r}; they are a set of {', '.join(sorted(FACETS))} "
            f"with {RESOURCES} and {RUNTIME} at least"
        )


def check_devices(
    profiles: Sequence[DeviceProfile], calibrations: Sequence[Calibration | None], facets: frozenset[str]
) -> None:
    """Raises BrokenPlugin unless profiles and calibrations can be true."""
    names = [profile.name for profile in profiles]
    if not profiles or len(profiles) > MAX_DEVICES or len(set(names)) < len(names):
        raise BrokenPlugin(
            f"the platform has the devices {names[:5]}; 1 to {MAX_DEVICES} of different names may be"
        )
    for profile, calibration in zip(profiles, calibrations, strict=True):
        wrong = _wrong(profile, facets)
        if wrong:
            raise BrokenPlugin(f"device {profile.name!r}: {wrong}")
        if calibration is not None:
            check_calibration(calibration, profile)


def check_calibration(calibration: Calibration, profile: DeviceProfile) -> None:
    """Raises BrokenPlugin unless a calibration is one of this device, and not too large."""
    for what, found, most in (
        ("qubits", len(calibration.qubits), MAX_QUBITS),
        ("gates", len(calibration.gates), MAX_GATES),
    ):
        if found > most:
            raise BrokenPlugin(
                f"device {profile.name}: its calibration has {found} {what}; at most {most} are taken. Leave out what "
                "is not operational, or serve the device as several"
            )
    try:
        calibration_check.check_calibration(calibration, profile)
    except CalibrationError as error:
        raise BrokenPlugin(f"device {profile.name}: {error}") from error


def check_load(load: DeviceLoad) -> None:
    """Raises WireError unless a load can be true."""
    if not _amount(load.queued) or not _amount(load.queued_s):
        raise WireError(f"a load of {load.queued} tasks and {load.queued_s} s cannot be")


def check_offer(offer: Offer | None, verb: str, request: ReservationRequest) -> None:
    """Raises WireError unless this answers the question: an offer, of what was asked for at most."""
    if (offer is not None) != (verb in ("evaluate", "reserve")):
        raise WireError(f"an answer to {verb} came with {'an' if offer else 'no'} offer")
    if offer is not None and not (
        0 <= offer.share_ppm <= request.share_ppm and _amount(offer.bound_s) and len(offer.reason) <= MAX_TEXT
    ):
        raise WireError(
            f"{offer.share_ppm} millionths within {offer.bound_s} s were offered; {request.share_ppm} were asked for"
        )


def _amount(value: float | None) -> bool:
    return value is None or 0 <= value < math.inf


def _wrong(profile: DeviceProfile, facets: frozenset[str]) -> str:
    if not 0 < len(profile.name) <= MAX_NAME or not profile.name.isprintable():
        return "a name has 1 to 128 printable characters"
    if profile.max_qubits < 1:
        return f"it has {profile.max_qubits} qubits"
    if not 1 <= profile.slots <= MAX_SLOTS:
        return f"it has {profile.slots} slots; 1 to {MAX_SLOTS} may be"
    if unknown := set(profile.native_gates) - set(GATES):
        return f"its native gates {sorted(unknown)} are not gates of qfw.model.gates"
    if not profile.outputs or (unknown := set(profile.outputs) - OUTPUTS):
        return f"its outputs are {profile.outputs}; there are {', '.join(sorted(OUTPUTS))}"
    if profile.max_shots < 1 or profile.max_sets < 1:
        return "it takes no shots or no sets"
    if profile.coupling is not None and any(
        a == b or not (0 <= a < profile.max_qubits and 0 <= b < profile.max_qubits)
        for a, b in profile.coupling
    ):
        return "its coupling names a qubit that it does not have, or one twice"
    if profile.timing is not None:
        for field in Timing.__struct_fields__:
            value = getattr(profile.timing, field)
            if not 0 <= value <= MAX_NS:
                return f"its {field} is {value}; it must be nanoseconds from 0 to {MAX_NS}"
    if profile.native and NATIVE not in facets:
        return f"it claims native operations {profile.native} without the facet {NATIVE}"
    return ""
