"""Settings of a daemon: one TOML file into frozen structs.

A number says its range beside its type, and a key that a running daemon takes over on reload is `live`;
`qfw.config.keys` reads both.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from qfw.config.document import MOST, problems
from qfw.model.errors import ConfigError


def _within(least: float, most: float = MOST, *, live: bool = False) -> msgspec.Meta:
    """The range of a number; `live`: a reload changes it without a restart."""
    return msgspec.Meta(ge=least, le=most, extra={"live": live})


class WorkerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Workers of each engine."""

    #: Workers per engine; 0 for one per core, or as many as memory suffices for.
    count: Annotated[int, _within(0, 4096)] = 0
    #: Threads of a worker's engine.
    threads: Annotated[int, _within(1, 1024)] = 1
    #: Threads of its wide tasks, where the engine makes the difference; 0 for one per core.
    wide_threads: Annotated[int, _within(0, 1024)] = 0
    #: Bytes that a worker may allocate (RLIMIT_DATA); 0 for four fifths of the memory shared among the workers.
    memory_bytes: Annotated[int, _within(0)] = 0
    #: Seconds after which a run is ended, whatever it asked for.
    time_limit_s: Annotated[float, _within(0.001, live=True)] = 3600.0
    #: Seconds that a worker may take to become ready.
    start_limit_s: Annotated[float, _within(0.1)] = 60.0
    #: Executions of a task before it fails because workers died under it.
    max_attempts: Annotated[int, _within(1, live=True)] = 5
    #: How workers are started: a plugin of `qfw.launchers`.
    launcher: str = "local"


class SchedulingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a worker may be given ahead, while one session is alone. Several sessions: nothing."""

    #: Estimated seconds of work that a worker may hold.
    prefetch_s: Annotated[float, _within(0, live=True)] = 0.001
    #: Tasks that a worker may hold.
    prefetch_tasks: Annotated[int, _within(1, live=True)] = 64
    #: Tasks that a session may have unanswered.
    max_tasks_per_session: Annotated[int, _within(1, live=True)] = 1_000_000
    #: Bytes that the parameters and outputs of a session's unanswered tasks may have; one task is always taken.
    max_bytes_per_session: Annotated[int, _within(1, live=True)] = 2**30
    #: Seconds that tasks wait for a device that says that it is offline; then they fail.
    offline_limit_s: Annotated[float, _within(0, live=True)] = 3600.0


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The journal."""

    #: A new segment begins where one is longer.
    segment_bytes: Annotated[int, _within(4096, live=True)] = 64 * 2**20
    #: The oldest segments without live tasks go where all are longer than this.
    retain_bytes: Annotated[int, _within(4096, live=True)] = 2**30
    #: Answers up to this size are kept in the journal; of larger ones the size.
    answer_bytes: Annotated[int, _within(0, live=True)] = 64 * 2**10


class PlatformSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A platform, served from a host process of its own."""

    #: The plugin of `qfw.platforms`; empty: the table's own name.
    plugin: str = ""
    #: Interpreter of the environment that has the plugin and QFw; empty: the daemon's own.
    python: str = ""
    #: Given to the plugin as they are.
    options: dict[str, Any] = {}
    #: Bytes that the host may allocate (RLIMIT_DATA); 0: as much as a worker.
    memory_bytes: Annotated[int, _within(0)] = 0
    #: Processes and threads that the host may have, where a pids cgroup can be had.
    max_processes: Annotated[int, _within(1)] = 256
    #: Seconds that the host may take until its devices are known.
    start_limit_s: Annotated[float, _within(0.1)] = 30.0
    #: Seconds that it may leave a ping unanswered.
    answer_limit_s: Annotated[float, _within(0.1)] = 5.0
    #: Seconds that a run may go on beyond its own time limit, or a cancellation, until the host is ended.
    grace_s: Annotated[float, _within(0)] = 1.0
    #: Seconds that a run may stand still in the host, because its device calibrates or is under maintenance.
    pause_limit_s: Annotated[float, _within(0)] = 3600.0
    #: Events that the host may send at once; above, it is ended.
    event_burst: Annotated[int, _within(1)] = 1000
    #: Events that it may send per second, in the long run.
    events_per_s: Annotated[float, _within(0.001)] = 100.0


class DaemonSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A long-lived daemon (`qfw daemon`)."""

    #: *job* or *site*.
    scope: Literal["job", "site"] = "site"
    #: What sessions call it among several: devices with equal names are told apart as DEVICE@NAME. Empty: its scope.
    name: str = ""
    #: The runtime folder; empty: as for a private one ($QFW_RUNTIME_DIR).
    folder: str = ""
    #: Seconds that a stop waits for what runs.
    stop_limit_s: Annotated[float, _within(0, live=True)] = 60.0


class ExternalTool(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool that is a command: it reads a program on its standard input and writes one on its standard output."""

    #: The command and its arguments; no shell sees them.
    command: tuple[str, ...] = ()
    #: What it reads and writes.
    format: Literal["qasm3", "qasm2", "qir"] = "qasm3"
    #: What it promises: the state, the distribution of the outcomes, or values of observables.
    keeps: Literal["equivalence", "distribution", "expectation"] = "equivalence"
    #: Seconds that it may take for one program.
    time_limit_s: Annotated[float, _within(0.01, 86_400)] = 60.0
    #: Bytes that each of its processes may allocate; 0: no bound but the tool worker's.
    memory_bytes: Annotated[int, _within(0)] = 2 * 2**30
    #: Bytes that it may write.
    output_bytes: Annotated[int, _within(1, 2**30)] = 64 * 2**20


class ToolSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The workers that run tools."""

    #: At most so many; they start when something has to be lowered.
    workers: Annotated[int, _within(1, 4096)] = 1
    #: Bytes that one may allocate; 0: as much as a worker of an engine.
    memory_bytes: Annotated[int, _within(0)] = 0
    #: Seconds that a pipeline may take on one program.
    time_limit_s: Annotated[float, _within(0.1, live=True)] = 120.0
    #: Lowered programs that are kept.
    kept: Annotated[int, _within(1)] = 4096
    #: Bytes of lowered programs that are kept on disk, for later processes; 0: none.
    cache_bytes: Annotated[int, _within(0)] = 256 * 2**20
    #: Their folder; empty: `qfw` in the user's cache folder ($XDG_CACHE_HOME).
    cache_folder: str = ""
    #: Tools that are commands, by the name that pipelines know them by.
    external: dict[str, ExternalTool] = {}


class ResultSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Results of detached tasks, kept on disk for whoever attaches."""

    #: The oldest go where all are larger than this.
    retain_bytes: Annotated[int, _within(0, live=True)] = 2**30
    #: Seconds that one is kept at most.
    retain_s: Annotated[float, _within(0, live=True)] = 7 * 86400.0


class ReservationSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Soft reservations."""

    #: Share of a device that may be reserved in all; the others always keep something.
    max_share: Annotated[float, _within(0, 0.95, live=True)] = 0.8
    #: Seconds that one may last without a renewal.
    max_lifetime_s: Annotated[float, _within(1, live=True)] = 3600.0


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
    unread_bytes: Annotated[int, _within(4096, live=True)] = 256 * 2**20
    #: Bytes of programs kept that no live task uses.
    program_bytes: Annotated[int, _within(0, live=True)] = 64 * 2**20


class Reading(msgspec.Struct, frozen=True):
    """What a settings file says, and all that is wrong with it."""

    #: As TOML gives it; empty where it cannot be read.
    document: dict[str, Any]
    #: One line for each: the key, what was found, what is allowed.
    problems: tuple[str, ...]


def read(path: Path) -> Reading:
    """Looks at a file whole; raises nothing for what is in it."""
    try:
        document = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        return Reading({}, (f"{error.strerror}; give a readable TOML file or none",))
    except UnicodeDecodeError as error:
        return Reading({}, (f"no text in UTF-8 (byte {error.start}); give a TOML file or none",))
    except tomllib.TOMLDecodeError as error:
        return Reading({}, (f"no TOML: {error}",))
    return Reading(document, tuple(problems(document, Settings)))


def load(path: Path) -> Settings:
    """Settings of a TOML file.

    Raises:
        ConfigError: unreadable, not TOML, unknown keys (names the nearest known ones), values outside what is
            allowed; names them all.
    """
    found = read(path)
    if found.problems:
        raise wrong(path, found.problems)
    return msgspec.convert(found.document, Settings)


def wrong(path: Path, problems: tuple[str, ...]) -> ConfigError:
    """The error that says all that is wrong with a file."""
    if len(problems) == 1:
        return ConfigError(f"{path}: {problems[0]}")
    return ConfigError("\n  ".join([f"{path}: {len(problems)} things are wrong:", *problems]))
