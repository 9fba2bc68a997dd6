"""check_platform: all that is asked of a platform, device by device, with a limit on everything."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qfw.config.settings import PlatformSettings, Settings
from qfw.hosts.platform import HostedPlatform
from qfw.model.device import DeviceProfile
from qfw.model.errors import BrokenPlugin, UnknownDevice
from qfw.qpm import registry
from qfw.qpm.platform import API_VERSION, FACETS, NATIVE, RESOURCES, RUNTIME, Native, Platform, PlatformConfig
from qfw.testing import (
    calibrations,
    control,
    estimates,
    events,
    natives,
    profiles,
    reservations,
    results,
    samples,
    starts,
    stops,
    values,
)
from qfw.testing.bench import Bench
from qfw.testing.checks import Check, Checks, Stuck, expect
from qfw.testing.report import Finding, Report, Verdict
from qfw.testing.stand import CALL_LIMIT_S, PATIENT, Limits, Stand
from qfw.testing.subject import Subject

#: Checks of one device that may be stuck until the others are not begun.
MAX_STUCK = 3
#: A platform may take so long to close, of which the contract allows the first second.
CLOSE_LIMIT_S = 1.0
#: Processes and descriptors of a closed platform are gone so much later.
GONE_S = 5.0
#: Platforms of this distribution that run in the daemon's own process.
IN_PROCESS = frozenset({"simulators"})


@dataclass
class Opened:
    """A platform as a whole."""

    name: str
    make: Callable[[], Platform]
    stand: Stand
    #: Descriptors, threads and children of this process before it was made.
    before: tuple[int, int, int]


#: Before the devices; after them; and when all else is over.
first: Checks[Opened] = Checks()
last: Checks[Opened] = Checks()
SECTION = "Platform"
#: The check that comes before all others, and ends it where it fails.
OPENS = ("platform.opens", "It can be made and opened, and has devices then.", SECTION)


def check_platform(
    platform: str | Callable[[PlatformConfig], Platform],
    *,
    options: Mapping[str, Any] | None = None,
    python: str = "",
    settings: Settings | None = None,
    only: Iterable[str] = (),
    devices: Iterable[str] = (),
    limits: Limits = PATIENT,
) -> Report:
    """Checks a platform and each of its devices.

    Args:
        platform: a plugin of `qfw.platforms`, run in a host process as the daemon runs it (`simulators` in this
            one), or a callable that makes a Platform in this process.
        options: of the platform, as in its table of the settings.
        python: interpreter of the environment that has the plugin.
        settings: of a daemon; its table of the platform is used for what is not given here.
        only: groups or names of checks; empty: all.
        devices: names of devices; empty: all.
        limits: how long the platform is waited for.

    Raises:
        UnknownDevice, SetupError: there is no such platform or device, or it does not load.
    """
    began_s = time.monotonic()
    chosen = settings or Settings()
    name = platform if isinstance(platform, str) else getattr(platform, "__name__", "platform")
    make = _maker(platform, name, dict(options or {}), python, chosen)
    before = _held()
    stands: list[Stand] = []

    def open_it(limits: Limits) -> None:
        stands.append(Stand(make, limits))
        stands[0].open()

    opens = Check(*OPENS, open_it)
    opening = opens.judge(limits, "")
    wanted, picked = frozenset(only), tuple(devices)
    findings: list[Finding] = []
    try:
        if opening.verdict is not Verdict.PASSED:
            return Report(name, "platform", (opening,), time.monotonic() - began_s)
        (stand,) = stands
        opened = Opened(name, make, stand, before)
        profiles = stand.devices()
        names = [profile.name for profile in profiles]
        for device in picked:
            if device not in names:
                raise UnknownDevice(registry.unknown("device", device, names))
        for profile in profiles:
            if not picked or profile.name in picked:
                findings += _device(stand, profile, wanted)
        findings[:0] = [check.judge(opened, "") for check in first.chosen(wanted)]
        findings += [check.judge(opened, "") for check in last.chosen(wanted)]
        if not wanted or {opens.name, opens.group} & wanted:
            findings.insert(0, opening)
    finally:
        for stand in stands:
            stand.end()
    return Report(name, "platform", tuple(findings), time.monotonic() - began_s)


def sections() -> set[str]:
    """Sections of docs/specs/platform.md that the checks of a platform name."""
    groups: list[Checks[Any]] = [first, *_DEVICE, last]
    return {check.section for checks in groups for check in checks.all}


def platform_checks() -> list[str]:
    """Names of all checks of a platform and its devices."""
    groups: list[Checks[Any]] = [first, *_DEVICE, last]
    return [OPENS[0], *(name for checks in groups for name in checks.names())]


#: Events last: they look at what the others left.
_DEVICE: list[Checks[Any]] = [
    group.checks
    for group in (
        profiles,
        starts,
        stops,
        estimates,
        results,
        samples,
        values,
        control,
        calibrations,
        reservations,
        natives,
        events,
    )
]


def _device(stand: Stand, profile: DeviceProfile, only: frozenset[str]) -> list[Finding]:
    findings: list[Finding] = []
    bench: Subject = Bench(stand, profile)
    stuck = 0
    chosen: list[Check[Any]] = [check for checks in _DEVICE for check in checks.chosen(only)]
    for check in chosen:
        if stuck >= MAX_STUCK:
            told = f"not begun: {stuck} checks of {profile.name} were stuck before"
            findings.append(
                Finding(
                    check.name, profile.name, Verdict.STUCK, check.contract, check.section, "an answer", told
                )
            )
            continue
        findings.append(check.judge(bench, profile.name))
        stuck += findings[-1].verdict is Verdict.STUCK
    return findings


def _maker(
    platform: str | Callable[[PlatformConfig], Platform],
    name: str,
    options: dict[str, Any],
    python: str,
    settings: Settings,
) -> Callable[[], Platform]:
    table = settings.platforms.get(name, PlatformSettings())
    config = PlatformConfig(name, {**table.options, **options}, settings)
    if not isinstance(platform, str):
        return lambda: platform(config)
    plugin = table.plugin or name
    if plugin in IN_PROCESS:
        kind = registry.load(registry.PLATFORMS, plugin)
        return lambda: _typed(kind(config), plugin)
    if not (python or table.python):
        # Whether there is one is known here; an environment of its own says so itself.
        registry.load(registry.PLATFORMS, plugin)
    import msgspec

    table = msgspec.structs.replace(
        table, plugin=plugin, python=python or table.python, options=config.options
    )
    return lambda: _typed(HostedPlatform(config, plugin, table), plugin)


def _typed(made: Any, plugin: str) -> Platform:
    if not isinstance(made, Platform):
        missing = [name for name in dir(Platform) if not name.startswith("_") and not hasattr(made, name)]
        raise BrokenPlugin(
            f"platform {plugin!r} lacks {', '.join(missing)} of qfw.qpm.platform.Platform; see docs/specs/platform.md"
        )
    return made


def _held() -> tuple[int, int, int]:
    """Descriptors, threads and children of this process."""
    gc.collect()
    children = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            children += len((task / "children").read_text().split())
        except OSError:
            continue
    return len(list(Path("/proc/self/fd").iterdir())), threading.active_count(), children


@first.check(
    "platform.api_version",
    "It says for which version of the protocols it was written, one that this QFw has.",
    SECTION,
)
def _api_version(opened: Opened) -> None:
    major, minor = opened.stand.platform.api_version
    right = major == API_VERSION[0] and minor <= API_VERSION[1]
    expect(right, f"{API_VERSION[0]}.0 to {API_VERSION[0]}.{API_VERSION[1]}", f"{major}.{minor}")


@first.check(
    "platform.facets", "It says which facets it has: resources and runtime, and no unknown one.", SECTION
)
def _facets(opened: Opened) -> None:
    found = opened.stand.platform.facets
    expect(
        {RESOURCES, RUNTIME} <= found <= FACETS, f"resources, runtime and of {sorted(FACETS)}", sorted(found)
    )


@first.check("platform.keeps_its_facets", "It has the methods of the facets that it claims.", SECTION)
def _keeps(opened: Opened) -> None:
    platform = opened.stand.platform
    expect(isinstance(platform, Platform), "the methods of resources and runtime", type(platform).__name__)
    if NATIVE in platform.facets:
        expect(isinstance(platform, Native), "the method call of native", type(platform).__name__)


@first.check("platform.devices", "It has one device at least, each with a name of its own.", SECTION)
def _devices(opened: Opened) -> None:
    names = [profile.name for profile in opened.stand.devices()]
    expect(names and len(set(names)) == len(names), "different names", names)


@first.check("platform.devices_stay", "Devices are listed in the same order each time.", SECTION)
def _order(opened: Opened) -> None:
    lists = [[profile.name for profile in opened.stand.devices()] for _ in range(3)]
    expect(lists[0] == lists[1] == lists[2], lists[0], lists[1:])


@last.check("answers.once", "No run was answered twice, in all that was asked of it.", "Start")
def _once(opened: Opened) -> None:
    twice = [key for key, rows in opened.stand.sink.outcomes.items() if len(rows) > 1]
    expect(not twice, "one answer of each run", f"{len(twice)} with more: (task, epoch) {twice[:5]}")


@last.check(
    "answers.nothing_unasked",
    "Nothing was reported of devices that there are not, or that the sink does not allow.",
    "Start",
)
def _unasked(opened: Opened) -> None:
    wrongs = opened.stand.sink.wrongs
    expect(not wrongs, "nothing", "; ".join(wrongs[:5]))
    names = {profile.name for profile in opened.stand.devices()}
    told = {device for device, _, _ in opened.stand.sink.reports}
    told |= {device for rows in opened.stand.sink.outcomes.values() for device, _, _ in rows}
    expect(told <= names, sorted(names), sorted(told - names))


@last.check("calls.do_not_block", f"No call and no callback took longer than {CALL_LIMIT_S:g} s.", SECTION)
def _block(opened: Opened) -> None:
    slow = opened.stand.slow
    expect(not slow, "nothing that waits", ", ".join(f"{what} {took:.2f} s" for what, took in slow[:5]))


@last.check("close.in_time", f"close takes {CLOSE_LIMIT_S:g} s at most, with runs under way too.", "Closing")
def _close(opened: Opened) -> None:
    stand = opened.stand
    for profile in stand.devices()[:4]:
        slots = stand.sink.slots[profile.name]
        if slots:
            stand.start(profile.name, min(slots), [Bench(stand, profile).small_run() for _ in range(4)])
    took_s = stand.close()
    expect(took_s <= CLOSE_LIMIT_S + 0.5, f"{CLOSE_LIMIT_S:g} s", f"{took_s:.2f} s")


@last.check("close.silent", "After close nothing is reported.", "Closing")
def _silent(opened: Opened) -> None:
    if opened.stand.opened:
        opened.stand.close()
    before = opened.stand.sink.calls
    opened.stand.settle(0.3)
    expect(
        opened.stand.sink.calls == before, "silence", f"{opened.stand.sink.calls - before} calls of the sink"
    )


@last.check("close.leaves_nothing", "After close no process, thread or descriptor of it is left.", "Closing")
def _leaves(opened: Opened) -> None:
    stand = opened.stand
    if stand.opened:
        stand.close()
    # The reactor of the stand is one descriptor.
    files, threads, children = opened.before[0] + 1, opened.before[1], opened.before[2]

    def gone() -> bool:
        held = _held()
        return held[0] <= files and held[1] <= threads and held[2] <= children

    try:
        stand.wait(gone, GONE_S, "nothing left")
    except Stuck:
        held = _held()
        told = f"{files} descriptors, {threads} threads, {children} children, as before"
        expect(False, told, f"{held[0]}, {held[1]} and {held[2]}, {GONE_S:g} s after close")


@last.check("close.twice", "A second close is no error.", "Closing")
def _twice(opened: Opened) -> None:
    if opened.stand.opened:
        opened.stand.close()
    opened.stand.call("close", opened.stand.platform.close)


@last.check(
    "close.opens_again", "Another of its kind can be opened afterwards, and has the same devices.", "Closing"
)
def _again(opened: Opened) -> None:
    names = sorted(profile.name for profile in opened.stand.devices())
    if opened.stand.opened:
        opened.stand.close()
    another = Stand(opened.make, opened.stand.limits)
    try:
        another.open()
        found = sorted(profile.name for profile in another.devices())
        expect(found == names, names, found)
        device = another.devices()[0]
        another.ready(device.name)
        Bench(another, device).still_works()
    finally:
        another.end()
