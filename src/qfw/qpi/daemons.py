"""The daemons of a session: where they are looked for, how they are joined, and what each can do."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from qfw.config.discover import JOB_DAEMON, SITE_DAEMONS, job_daemon, runtime_dir, site_daemons
from qfw.model.errors import DaemonUnreachable, ErrorReport, OptionError, QFwError
from qfw.qpi.client import Client
from qfw.qpm.join import join, join_running
from qfw.qpm.remote import Link

PRIVATE, JOB, SITE = "private", "job", "site"
#: In the order in which daemons are joined: of two devices with one name the first keeps it.
SCOPES = (PRIVATE, JOB, SITE)


class Place(NamedTuple):
    """A runtime folder that a session joins."""

    folder: Path
    #: Who named it, for errors: an argument or a variable of the environment.
    origin: str
    #: Whether a private daemon is started where none runs.
    starts: bool = False


class DaemonStatus(msgspec.Struct, frozen=True):
    """A daemon of a session, and what it can do."""

    #: *private*, *job* or *site*.
    scope: str
    #: What its devices are told apart by, as DEVICE@NAME; unique in the session.
    name: str
    #: Its runtime folder.
    folder: str
    pid: int
    #: Version of QFw, and of the wire.
    version: str
    wire: int
    #: Tools that its workers run.
    tools: tuple[str, ...]
    #: What it offers: see `capabilities`.
    capabilities: tuple[str, ...]
    #: Whether it is still there, as far as this process knows.
    connected: bool


class Member:
    """A daemon that a session has joined."""

    def __init__(self, place: Place, client: Client, name: str) -> None:
        """`name`: unique in the session."""
        self.place = place
        self.client = client
        self.name = name

    @property
    def lost(self) -> bool:
        """Whether it went away."""
        return self.client.lost

    def status(self) -> DaemonStatus:
        """What it said of itself."""
        welcome = self.client.welcome
        return DaemonStatus(
            welcome.scope,
            self.name,
            str(self.place.folder),
            welcome.pid,
            welcome.version,
            welcome.wire,
            welcome.tools,
            capabilities(welcome.scope, welcome.wire, welcome.tools),
            not self.lost,
        )


def capabilities(scope: str, wire: int, tools: Collection[str]) -> tuple[str, ...]:
    """What a daemon of this scope and version of the wire offers.

    *events*: device events are pushed; *reservations*: `reserve`; *pipelines*: it asks for lowering again when a
    calibration changes; *lowering*: it has tools of its own for that; *detached*: tasks that outlive their session.
    """
    found = []
    if wire >= 4:
        found += ["events", "reservations", "pipelines"]
        if tools:
            found.append("lowering")
        if scope in (JOB, SITE):
            found.append("detached")
    return tuple(found)


def places(
    runtime_folder: str | os.PathLike[str] | None,
    daemons: Sequence[str | os.PathLike[str]] | None,
    scopes: Collection[str] | None,
) -> list[Place]:
    """Where a session with these arguments looks for its daemons; each folder once.

    Raises:
        OptionError: arguments that exclude each other, no daemon at all, or a scope that is none or that the
            environment does not name.
    """
    if daemons is not None:
        if runtime_folder is not None or scopes is not None:
            raise OptionError("daemons names all that are joined; leave out runtime_folder and scopes")
        if isinstance(daemons, (str, bytes, os.PathLike)):
            raise OptionError(f"daemons is a list of runtime folders, not {daemons!r}")
        if not daemons:
            raise OptionError("daemons is empty; name at least one runtime folder, or leave it out")
        return _distinct(Place(Path(folder), f"daemons[{n}]") for n, folder in enumerate(daemons))
    private = Place(
        Path(runtime_folder) if runtime_folder is not None else runtime_dir(),
        "runtime_folder" if runtime_folder is not None else "the private daemon",
        starts=True,
    )
    if scopes is None:
        if runtime_folder is not None:
            return [private]
        return _distinct([*_job(), *_site()]) or [private]
    return _of_scopes(scopes, private)


def _of_scopes(scopes: Collection[str], private: Place) -> list[Place]:
    wanted = {scopes} if isinstance(scopes, str) else set(scopes)
    unknown = sorted(map(str, wanted - set(SCOPES)))
    if unknown or not wanted:
        said = f"not {', '.join(unknown)}" if unknown else "at least one of them"
        raise OptionError(f"scopes are {', '.join(SCOPES)}; {said}")
    found = [private] if PRIVATE in wanted else []
    for scope, named, variable in ((JOB, _job(), JOB_DAEMON), (SITE, _site(), SITE_DAEMONS)):
        if scope not in wanted:
            continue
        if not named:
            raise OptionError(
                f"scope {scope} was asked for, and the environment names no such daemon: {variable} is not set"
            )
        found += named
    return _distinct(found)


def _job() -> list[Place]:
    folder = job_daemon()
    return [Place(folder, JOB_DAEMON)] if folder is not None else []


def _site() -> list[Place]:
    return [Place(folder, SITE_DAEMONS) for folder in site_daemons()]


def _distinct(named: Iterable[Place]) -> list[Place]:
    found: dict[str, Place] = {}
    for place in named:
        found.setdefault(os.path.realpath(place.folder), place)
    return list(found.values())


def join_all(found: Sequence[Place], name: str, config: Path | None, timeout_s: float) -> list[Member]:
    """Joins every one of the daemons, or none.

    Raises:
        DaemonUnreachable: one does not answer; says which, who named it, and what to do.
        SetupError, ForeignOwner, VersionMismatch: as `qfw.qpm.join.join`.
    """
    deadline = time.monotonic() + timeout_s
    members: list[Member] = []
    try:
        for place in found:
            left_s = max(0.1, deadline - time.monotonic())
            link = _join_named(place, name, config, left_s)
            welcome = link.welcome
            called = unique(welcome.name or welcome.scope, [member.name for member in members])
            members.append(Member(place, Client(link), called))
    except BaseException:
        for member in members:
            member.client.close()
        raise
    return members


def _join_named(place: Place, name: str, config: Path | None, timeout_s: float) -> Link:
    if place.starts:
        return join(place.folder, name, config, timeout_s)
    try:
        return join_running(place.folder, name, timeout_s)
    except DaemonUnreachable as error:
        remedy = "Start it there, or take it out of the list"
        if place.origin in (JOB_DAEMON, SITE_DAEMONS):
            remedy = f"Start it, take it out of {place.origin}, or open a Session(scopes=…) without it"
        raise DaemonUnreachable(f"{place.origin} names {place.folder}: {error}. {remedy}") from error
    except QFwError as error:
        report = ErrorReport.of(error)
        raise ErrorReport(
            report.code, f"{place.origin} names {place.folder}: {error}"
        ).to_exception() from error


def unique(name: str, taken: Collection[str]) -> str:
    """`name`, or with the first number from 2 on that makes it another one than those taken."""
    if name not in taken:
        return name
    number = 2
    while f"{name}-{number}" in taken:
        number += 1
    return f"{name}-{number}"
