"""Settings of a daemon: one TOML file into frozen structs."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any

import msgspec

from qfw.model.errors import ConfigError


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Workers of each engine."""

    #: Workers per engine; 0 for one per core, or as many as memory suffices for.
    count: int = 0
    #: Threads of a worker's engine.
    threads: int = 1
    #: Threads of its wide tasks, where the engine makes the difference; 0 for one per core.
    wide_threads: int = 0
    #: Bytes that a worker may allocate (RLIMIT_DATA); 0 for four fifths of the memory shared among the workers.
    memory_bytes: int = 0
    #: Seconds after which a run is ended, whatever it asked for.
    time_limit_s: float = 3600.0
    #: Seconds that a worker may take to become ready.
    start_limit_s: float = 60.0
    #: Executions of a task before it fails because workers died under it.
    max_attempts: int = 5
    #: How workers are started: a plugin of `qfw.launchers`.
    launcher: str = "local"


class SchedulingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker may be given ahead, while one session is alone. Several sessions: nothing."""

    #: Estimated seconds of work that a worker may hold.
    prefetch_s: float = 0.001
    #: Tasks that a worker may hold.
    prefetch_tasks: int = 64
    #: Tasks that a session may have unanswered.
    max_tasks_per_session: int = 1_000_000
    #: Bytes that the parameters and outputs of a session's unanswered tasks may have; one task is always taken.
    max_bytes_per_session: int = 2**30
    #: Seconds that tasks wait for a device that says that it is offline; then they fail.
    offline_limit_s: float = 3600.0


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The journal."""

    #: A new segment begins where one is longer.
    segment_bytes: int = 64 * 2**20
    #: The oldest segments without live tasks go where all are longer than this.
    retain_bytes: int = 2**30
    #: Answers up to this size are kept in the journal; of larger ones the size.
    answer_bytes: int = 64 * 2**10


class PlatformSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A platform, served from a host process of its own."""

    #: The plugin of `qfw.platforms`; empty: the table's own name.
    plugin: str = ""
    #: Interpreter of the environment that has the plugin and QFw; empty: the daemon's own.
    python: str = ""
    #: Given to the plugin as they are.
    options: dict[str, Any] = {}
    #: Bytes that the host may allocate (RLIMIT_DATA); 0: as much as a worker.
    memory_bytes: int = 0
    #: Processes and threads that the host may have, where a pids cgroup can be had.
    max_processes: int = 256
    #: Seconds that the host may take until its devices are known; that it may leave a ping unanswered.
    start_limit_s: float = 30.0
    answer_limit_s: float = 5.0
    #: Seconds that a run may go on beyond its own time limit, or a cancellation, until the host is ended.
    grace_s: float = 1.0
    #: Seconds that a run may stand still in the host, because its device calibrates or is under maintenance.
    pause_limit_s: float = 3600.0
    #: Events that the host may send at once, and per second; above, it is ended.
    event_burst: int = 1000
    events_per_s: float = 100.0


class DaemonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A long-lived daemon (`qfw daemon`)."""

    #: *job* or *site*.
    scope: str = "site"
    #: What sessions call it among several: devices with equal names are told apart as DEVICE@NAME. Empty: its scope.
    name: str = ""
    #: The runtime folder; empty: as for a private one ($QFW_RUNTIME_DIR).
    folder: str = ""
    #: Seconds that a stop waits for what runs.
    stop_limit_s: float = 60.0


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The workers that run tools."""

    #: At most so many; they start when something has to be lowered.
    workers: int = 1
    #: Bytes that one may allocate; 0: as much as a worker of an engine.
    memory_bytes: int = 0
    #: Seconds that a pipeline may take on one program.
    time_limit_s: float = 120.0
    #: Lowered programs that are kept.
    kept: int = 4096


class ResultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Results of detached tasks, kept on disk for whoever attaches."""

    #: The oldest go where all are larger than this.
    retain_bytes: int = 2**30
    #: Seconds that one is kept at most.
    retain_s: float = 7 * 86400.0


class ReservationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Soft reservations."""

    #: Share of a device that may be reserved in all; the others always keep something.
    max_share: float = 0.8
    #: Seconds that one may last without a renewal.
    max_lifetime_s: float = 3600.0


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that a daemon is told."""

    #: Engines to serve, by plugin name; none given: every one that is installed, best first.
    engines: tuple[str, ...] = ()
    workers: WorkerSettings = WorkerSettings()
    #: Platforms that start with the daemon. Installed ones that are not named here start when somebody asks for a
    #: device that nobody has.
    platforms: dict[str, PlatformSettings] = {}
    scheduling: SchedulingSettings = SchedulingSettings()
    journal: JournalSettings = JournalSettings()
    daemon: DaemonSettings = DaemonSettings()
    tools: ToolSettings = ToolSettings()
    results: ResultSettings = ResultSettings()
    reservations: ReservationSettings = ReservationSettings()
    #: Bytes of results that a client may leave unread before its tasks wait.
    unread_bytes: int = 256 * 2**20
    #: Bytes of programs kept that no live task uses.
    program_bytes: int = 64 * 2**20


def load(path: Path) -> Settings:
    """Settings of a TOML file.

    Raises:
        ConfigError: unreadable, not TOML, an unknown key (names the nearest known one), a wrong type.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a readable TOML file or none") from error
    try:
        settings = msgspec.toml.decode(text, type=Settings)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path} is no text in UTF-8 (byte {error.start}); give a TOML file or none"
        ) from error
    except msgspec.DecodeError as error:
        raise ConfigError(f"{path}: {_explain(str(error))}") from error
    _check(settings, path)
    return settings


#: Bound of what has no sensible one of its own.
_MOST = 2**62


def _check(settings: Settings, path: Path) -> None:
    workers, scheduling = settings.workers, settings.scheduling
    for key, value, low, high in (
        ("workers.count", workers.count, 0, 4096),
        ("workers.threads", workers.threads, 1, 1024),
        ("workers.wide_threads", workers.wide_threads, 0, 1024),
        ("workers.memory_bytes", workers.memory_bytes, 0, _MOST),
        ("workers.time_limit_s", workers.time_limit_s, 0.001, _MOST),
        ("workers.start_limit_s", workers.start_limit_s, 0.1, _MOST),
        ("workers.max_attempts", workers.max_attempts, 1, _MOST),
        ("scheduling.prefetch_s", scheduling.prefetch_s, 0, _MOST),
        ("scheduling.prefetch_tasks", scheduling.prefetch_tasks, 1, _MOST),
        ("scheduling.max_tasks_per_session", scheduling.max_tasks_per_session, 1, _MOST),
        ("scheduling.max_bytes_per_session", scheduling.max_bytes_per_session, 1, _MOST),
        ("scheduling.offline_limit_s", scheduling.offline_limit_s, 0, _MOST),
        ("journal.segment_bytes", settings.journal.segment_bytes, 4096, _MOST),
        ("journal.retain_bytes", settings.journal.retain_bytes, 4096, _MOST),
        ("journal.answer_bytes", settings.journal.answer_bytes, 0, _MOST),
        ("daemon.stop_limit_s", settings.daemon.stop_limit_s, 0, _MOST),
        ("tools.workers", settings.tools.workers, 1, 4096),
        ("tools.memory_bytes", settings.tools.memory_bytes, 0, _MOST),
        ("tools.time_limit_s", settings.tools.time_limit_s, 0.1, _MOST),
        ("tools.kept", settings.tools.kept, 1, _MOST),
        ("results.retain_bytes", settings.results.retain_bytes, 0, _MOST),
        ("results.retain_s", settings.results.retain_s, 0, _MOST),
        ("reservations.max_share", settings.reservations.max_share, 0, 0.95),
        ("reservations.max_lifetime_s", settings.reservations.max_lifetime_s, 1, _MOST),
        ("unread_bytes", settings.unread_bytes, 4096, _MOST),
        ("program_bytes", settings.program_bytes, 0, _MOST),
        *(bound for name, table in settings.platforms.items() for bound in _bounds(name, table)),
    ):
        if not low <= value <= high:
            upper = f" and at most {high}" if high < _MOST else ""
            raise ConfigError(f"{path}: {key} is {value}; it must be at least {low}{upper}")


def _bounds(name: str, table: PlatformSettings) -> list[tuple[str, float, float, float]]:
    """Values of a platform's table: key, value, least, most."""
    return [
        (f"platforms.{name}.memory_bytes", table.memory_bytes, 0, _MOST),
        (f"platforms.{name}.max_processes", table.max_processes, 1, _MOST),
        (f"platforms.{name}.start_limit_s", table.start_limit_s, 0.1, _MOST),
        (f"platforms.{name}.answer_limit_s", table.answer_limit_s, 0.1, _MOST),
        (f"platforms.{name}.grace_s", table.grace_s, 0, _MOST),
        (f"platforms.{name}.pause_limit_s", table.pause_limit_s, 0, _MOST),
        (f"platforms.{name}.event_burst", table.event_burst, 1, _MOST),
        (f"platforms.{name}.events_per_s", table.events_per_s, 0.001, _MOST),
    ]


def _keys(kind: type[msgspec.Struct]) -> set[str]:
    found = set(kind.__struct_fields__)
    for nested in (
        WorkerSettings,
        SchedulingSettings,
        JournalSettings,
        PlatformSettings,
        DaemonSettings,
        ToolSettings,
        ResultSettings,
        ReservationSettings,
    ):
        if kind is Settings:
            found |= set(nested.__struct_fields__)
    return found


def _explain(message: str) -> str:
    match = re.search(r"unknown field `([^`]+)`", message)
    if match is None:
        return message
    near = difflib.get_close_matches(match[1], sorted(_keys(Settings)), n=1)
    return message + (f"; did you mean `{near[0]}`?" if near else "")
