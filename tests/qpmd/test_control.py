"""What a daemon's owner has it do, without sockets: drain, resume, reload, stop, and what clients see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.keys import every_key, live
from qfw.config.settings import PlatformSettings, Settings, load
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import ConfigError, NotAllowed, UsageError
from qfw.model.events import DaemonDraining, DaemonStopped, TaskDone, TaskFailed
from qfw.model.task import TaskState
from qfw.qpm import wire
from qfw.qpm.journal import read
from qfw.qpm.platform import NativeCall, NativeDone, RunDone
from qfw.qpm.status import DaemonStatus, Outcome
from qfw.qpm.wire import Control, Failed, NativeAnswer, Query, Reply
from qfw.qpmd.control import RETIRE_LOOK_S
from qfw.qpmd.platforms import LEAVE_S
from tests.qpmd.conftest import HERE, SETTINGS, THERE, Bench, number
from tests.stack import long_program, quantum_task

ACME = DeviceProfile("acme-1", DeviceKind.SIMULATOR, "acme", 8, ("ry",), ("expectation",), 1, platform="acme")


class Owner:
    """A long-lived daemon's core, its settings file, and its owner."""

    def __init__(self, tmp_path: Path, text: str = "", **options: Any) -> None:
        self.file = tmp_path / "settings.toml"
        self.file.write_text(text)
        self.bench = Bench(tmp_path / "journal", settings=load(self.file), **options)
        self.stops: list[str] = []
        self.core = self.bench.core
        self.core.control.serve(tmp_path, self.file, self.stops.append)

    def act(self, verb: str) -> Outcome:
        return self.core.control.act(verb, "a test")

    def reload(self, text: str) -> Outcome:
        self.file.write_text(text)
        return self.act("reload")


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[Owner]:
    made = Owner(tmp_path)
    yield made
    made.bench.dispose()


def owned(tmp_path: Path, text: str = "", **options: Any) -> Owner:
    return Owner(tmp_path, text, **options)


def refusals(said: list[Any]) -> dict[int, str]:
    return {task: error.message for m in said if isinstance(m, Failed) for task, error in m.errors}


# Drain -----------------------------------------------------------------------------------------------


def test_draining_refuses_what_comes_and_goes_on_with_what_was_taken(bench: Bench) -> None:
    bench.open(1)
    bench.ready("a")
    bench.submit(1, 1, 2)
    bench.turn()
    bench.core.control.act("drain", "maintenance at noon")
    bench.submit(1, 3)
    said = bench.turn()[1]
    assert list(refusals(said)) == [number(1, 3)]
    assert "draining since 2001-09-09 01:46:40 UTC (maintenance at noon)" in refusals(said)[number(1, 3)]
    assert [bench.answer("a"), bench.turn() and bench.answer("a")] == [number(1, 1), number(1, 2)]
    bench.core.control.act("resume", "")
    bench.submit(1, 4)
    assert not refusals(bench.turn()[1])
    assert bench.given("a") == [number(1, 4)]


def test_who_asks_after_a_drain_or_a_resume_hears_of_it(bench: Bench) -> None:
    """Answers are given again for 100 ms; not beyond what an owner did between two of them."""
    watcher = bench.open(0)
    watcher.session = 0
    heard = []
    for verb in ("", "drain", "resume"):
        if verb:
            bench.core.request(watcher, Control(1, verb))
        bench.core.request(watcher, Query(2, "daemon"))
        (reply,) = [m for m in bench.turn()[0] if isinstance(m, Reply)]
        heard.append(msgspec.msgpack.decode(reply.body, type=DaemonStatus).draining != "")
    assert heard == [False, True, False]


def test_a_task_sent_again_while_it_drains_is_still_taken(bench: Bench) -> None:
    bench.open(1)
    bench.submit(1, 1)
    bench.turn()
    bench.core.control.act("drain", "")
    bench.submit(1, 1)
    assert not refusals(bench.turn().get(1, []))


def test_a_drain_is_journalled_once_and_restated(tmp_path: Path) -> None:
    bench = Bench(
        tmp_path / "journal",
        settings=msgspec.structs.replace(
            SETTINGS, journal=msgspec.structs.replace(SETTINGS.journal, segment_bytes=4096)
        ),
    )
    bench.open(1)
    bench.core.control.act("drain", "first")
    since = bench.core.state.draining
    bench.core.control.act("drain", "second")
    assert since and bench.core.state.draining == since and since[0] == "first"
    bench.turn()
    assert bench.replayed().draining == since
    segment = bench.journal.segment
    while bench.journal.segment == segment:
        bench.core.emit(DaemonStopped(1))
        bench.turn()
    (said,) = [
        event for event in read(sorted(bench.folder.glob("*.qfj"))[-1]) if isinstance(event, DaemonDraining)
    ]
    assert (said.draining, said.reason, said.at_ns) == (True, *since)
    bench.core.control.act("resume", "")
    bench.core.control.act("resume", "")
    bench.turn()
    assert bench.replayed().draining is None
    assert [e.draining for e in read(bench.folder) if isinstance(e, DaemonDraining)] == [True, True, False]
    bench.dispose()


# The wire --------------------------------------------------------------------------------------------


def test_an_observer_controls_and_a_session_does_not(bench: Bench) -> None:
    session = bench.open(1)
    watcher = bench.open(0)
    watcher.session = 0
    bench.core.request(session, Control(7, "drain"))
    bench.core.request(watcher, Control(8, "drain"))
    bench.core.request(watcher, Control(9, "explode"))
    said = bench.turn()
    (refused,) = [m for m in said[1] if isinstance(m, NativeAnswer)]
    assert refused.request == 7 and refused.error.code == "NotAllowed"
    done, unknown = [m for m in said[0] if isinstance(m, NativeAnswer)]
    assert (done.request, done.error) == (8, None)
    assert msgspec.msgpack.decode(done.body, type=Outcome).verb == "drain"
    assert unknown.error.code == "OptionError" and "drain, resume, reload, stop" in unknown.error.message


def test_a_private_daemon_is_not_stopped_or_reloaded(bench: Bench) -> None:
    for verb in ("stop", "reload"):
        with pytest.raises(NotAllowed, match="private daemon"):
            bench.core.control.act(verb, "")
    assert bench.core.control.status().scope == "private"


# Stop ------------------------------------------------------------------------------------------------


def test_a_stop_starts_nothing_more_and_keeps_what_waits(owner: Owner) -> None:
    bench = owner.bench
    bench.open(1)
    bench.open(2)
    bench.ready("a")
    bench.submit(1, 1, 2)
    bench.submit(2, 1)
    bench.turn()
    assert "running: 1" in owner.act("stop").said and owner.stops == ["a test"]
    assert owner.act("stop").verb == "stop" and owner.stops == ["a test"]
    with pytest.raises(UsageError, match="stops"):
        owner.act("resume")
    bench.submit(1, 9)
    assert "it stops, a test" in refusals(bench.turn()[1])[number(1, 9)]
    first = bench.answer("a")
    bench.turn()
    assert bench.given("a") == [] and owner.core.control.running == 0
    owner.core.interrupt("test")
    bench.close(1)
    bench.turn()
    waiting = {task: entry.state for task, entry in bench.replayed().tasks.items()}
    assert waiting == {
        task: TaskState.QUEUED for task in (number(1, 1), number(1, 2), number(2, 1)) if task != first
    }


def test_what_runs_at_the_end_of_the_patience_fails_as_interrupted(owner: Owner) -> None:
    bench = owner.bench
    bench.open(1)
    bench.open(2)
    bench.ready("a")
    bench.ready("b")
    bench.submit(1, 1)
    bench.submit(2, 1)
    bench.turn()
    bench.core.request(bench.clients[2][0], wire.Cancel([number(2, 1)]))
    bench.turn()
    owner.act("stop")
    owner.core.interrupt("the daemon stopped (test)")
    said = bench.turn()
    ((_, error),) = [pair for m in said[1] if isinstance(m, Failed) for pair in m.errors]
    assert error.code == "TaskInterrupted" and "the daemon stopped (test)" in error.message
    ((_, error),) = [pair for m in said[2] if isinstance(m, Failed) for pair in m.errors]
    assert error.code == "TaskCancelled"
    assert not bench.replayed().tasks
    # What a worker still answers is late.
    bench.answer("a")
    assert not bench.turn().get(1)


def test_what_waits_to_be_lowered_stays_as_it_is_when_its_client_is_left(owner: Owner) -> None:
    bench = owner.bench
    bench.open(1)
    bench.open(2)
    bench.submit(1, 1, pipeline=THERE.digest)
    bench.submit(2, 1, pipeline=THERE.digest)
    bench.submit(2, 2, pipeline=HERE.digest)
    bench.turn()
    before = {task: entry.state for task, entry in bench.core.state.tasks.items()}
    assert len(before) == 3
    owner.act("stop")
    owner.core.interrupt("test")
    bench.close(1)
    bench.close(2)
    bench.turn()
    assert {task: entry.state for task, entry in bench.replayed().tasks.items()} == before
    assert not [event for event in read(bench.folder) if isinstance(event, TaskFailed)]


# Reload ----------------------------------------------------------------------------------------------


def attempts(owner: Owner) -> Any:
    """Executions until a task fails whose workers die."""
    bench = owner.bench
    session = 10 + len(bench.clients)
    bench.open(session)
    bench.submit(session, 1)
    for count in range(1, 9):
        bench.ready("a")
        bench.turn()
        bench.lose("a")
        if refusals(bench.turn().get(session, [])):
            return count
    return None


def time_limit(owner: Owner) -> Any:
    bench = owner.bench
    session = 10 + len(bench.clients)
    bench.open(session)
    bench.ready("a")
    bench.submit(session, 1)
    bench.turn()
    (run,) = bench.platform.given["fake", "a"]
    bench.answer("a")
    return run.time_limit_s


def taken(owner: Owner) -> Any:
    """Tasks of one session that are taken."""
    bench = owner.bench
    session = 10 + len(bench.clients)
    bench.open(session)
    bench.submit(session, 1, 2, 3, 4)
    said = bench.turn()[session]
    bench.close(session)
    bench.turn()
    return 4 - len(refusals(said))


def prefetched(owner: Owner) -> Any:
    """Tasks that a slot of a lone session is given."""
    bench = owner.bench
    session = 10 + len(bench.clients)
    bench.open(session)
    bench.submit(session, 1, 2, 3, 4)
    bench.ready("a")
    bench.turn()
    count = len(bench.given("a"))
    while bench.given("a"):
        bench.answer("a")
        bench.turn()
    bench.close(session)
    bench.turn()
    bench.lose("a")
    return count


def journalled(owner: Owner) -> Any:
    """Whether an answer of one byte is in the journal."""
    bench = owner.bench
    session = 10 + len(bench.clients)
    bench.open(session)
    bench.ready("a")
    bench.submit(session, 1)
    bench.turn()
    bench.answer("a")
    bench.turn()
    return [event for event in read(bench.folder) if isinstance(event, TaskDone)][-1].answers


def segment_bytes(owner: Owner) -> Any:
    """Whether a few kilobytes begin a new segment."""
    before = owner.bench.journal.segment
    for _ in range(300):
        owner.core.emit(DaemonDraining(1, False, "x" * 20))
    owner.bench.turn()
    return owner.bench.journal.segment > before


def kept_segments(owner: Owner) -> Any:
    """Segments after several were begun."""
    for _ in range(8):
        for _ in range(300):
            owner.core.emit(DaemonDraining(1, False, "x" * 20))
        owner.bench.turn()
    return len(list(owner.bench.folder.glob("*.qfj"))) > 4


def kept_programs(owner: Owner) -> Any:
    """Whether a program is still known when another came."""
    first, second = long_program(3, 2), long_program(4, 2)
    for program in (first, second):
        owner.core.programs.add(program.encoded)
    return owner.core.programs.get(first.digest) is not None


#: For each live key that this daemon's parts follow: a value, what is seen with the default, and with the value.
EFFECTS: dict[str, tuple[Any, Callable[[Owner], Any], Any, Any, str]] = {
    "workers.time_limit_s": (7.0, time_limit, 3600.0, 7.0, ""),
    "workers.max_attempts": (2, attempts, 5, 2, ""),
    "scheduling.prefetch_s": (2.5, prefetched, 1, 2, ""),
    "scheduling.prefetch_tasks": (1, prefetched, 4, 1, "[scheduling]\nprefetch_s = 100\n"),
    "scheduling.max_tasks_per_session": (2, taken, 4, 2, ""),
    "scheduling.max_bytes_per_session": (1, taken, 4, 1, ""),
    "journal.segment_bytes": (4096, segment_bytes, False, True, ""),
    "journal.retain_bytes": (4096, kept_segments, True, False, "[journal]\nsegment_bytes = 4096\n"),
    "journal.answer_bytes": (0, journalled, b"a", None, ""),
    "program_bytes": (0, kept_programs, True, False, ""),
}
#: Read where they are used, each time: tests of the daemon's process, and of the parts that they belong to.
ELSEWHERE = {"unread_bytes", "daemon.stop_limit_s", "tools.time_limit_s", "scheduling.offline_limit_s"}
ELSEWHERE |= {key.name for key in every_key() if key.name.startswith(("results.", "reservations."))}


def test_every_live_key_is_tried() -> None:
    assert live() == EFFECTS.keys() | ELSEWHERE


@pytest.mark.parametrize("key", EFFECTS)
def test_a_live_key_has_its_effect_at_once(tmp_path: Path, key: str) -> None:
    value, look, before, after, text = EFFECTS[key]
    owner = owned(tmp_path, text)
    assert look(owner) == before
    table, _, name = key.rpartition(".")
    there = f"[{table}]\n" if table else ""
    new = text + f"{name} = {value}\n" if there and there in text else f"{there}{name} = {value}\n{text}"
    outcome = owner.reload(new)
    assert (outcome.changed, outcome.restart) == ((key,), ())
    assert look(owner) == after
    owner.bench.dispose()


@pytest.mark.parametrize("key", sorted(ELSEWHERE))
def test_whoever_looks_at_the_settings_in_force_sees_the_new_value(owner: Owner, key: str) -> None:
    table, _, name = key.rpartition(".")

    def now() -> Any:
        return getattr(getattr(owner.core.settings, table) if table else owner.core.settings, name)

    wanted = 0.25 if key == "reservations.max_share" else 5000
    assert now() != wanted
    owner.reload((f"[{table}]\n" if table else "") + f"{name} = {wanted}")
    assert now() == wanted


def test_what_cannot_change_is_named_and_does_not(owner: Owner) -> None:
    outcome = owner.reload(
        "engines = ['reference']\n[workers]\ncount = 3\nmax_attempts = 4\n[daemon]\nname = 'x'\n"
    )
    assert outcome.changed == ("workers.max_attempts",)
    assert set(outcome.restart) == {"engines", "workers.count", "daemon.name"}
    assert owner.core.settings.workers.count == 0 and owner.core.control.name == ""
    # It still differs, and is still said.
    assert set(owner.act("reload").restart) == set(outcome.restart)
    assert set(owner.core.control.status().restart) == set(outcome.restart)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[workers]\nmax_attempts = 3\ncount = -1", "workers.count is -1"),
        ("[workers]\nmax_attempts = 3\nlauncher = 'locl'", "workers.launcher: .*did you mean 'local'"),
        ("engines = ['reference', 'referense']\n[workers]\nmax_attempts = 3", "did you mean 'reference'"),
        (
            "[workers]\nmax_attempts = 3\n[platforms.acme]\nplugin='twinn'",
            "platforms.acme.plugin: .*did you mean 'twin'",
        ),
        ("[workers]\nmax_attempts = 3\n[platforms.simulators]", "runs within the daemon"),
        ("[workers]\nmax_attempts = 3\n[daemon]\nname = 'a@b'", 'daemon.name is "a@b"'),
        ("[workers]\nmax_attempts = 3\n[daemon]\nfolder = 'a'", "allowed: an absolute path"),
        ("workers", "no TOML"),
    ],
)
def test_a_file_that_is_wrong_changes_nothing(owner: Owner, text: str, message: str) -> None:
    before = owner.core.settings.settings
    with pytest.raises(ConfigError, match=message):
        owner.reload(text)
    assert owner.core.settings.settings == before
    assert not owner.bench.hosted
    problem = owner.core.control.status().problem
    assert str(owner.file) in problem


def test_a_file_that_is_gone_or_was_never_there(owner: Owner, tmp_path: Path) -> None:
    owner.file.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        owner.act("reload")
    owner.core.control.serve(tmp_path, None, owner.stops.append)
    with pytest.raises(UsageError, match="without a settings file"):
        owner.act("reload")


# Reload: platforms -----------------------------------------------------------------------------------

TABLE = "[platforms.acme]\nplugin = 'twin'\n"


def test_a_platform_comes_and_goes_when_it_has_nothing_to_do(owner: Owner) -> None:
    bench = owner.bench
    assert owner.reload(TABLE).changed == ("platforms.acme (comes)",)
    hosted = bench.hosted["acme"]
    assert hosted.plugin == "twin"
    hosted.come(ACME)
    bench.open(1)
    bench.submit(1, quantum_task(1, 1, device="acme-1"))
    bench.turn()
    assert owner.reload("").changed == ("platforms.acme (goes)",)
    bench.submit(1, quantum_task(1, 2, device="acme-1"), quantum_task(1, 3))
    said = refusals(bench.turn()[1])
    assert list(said) == [number(1, 2)] and "platform acme leaves this daemon" in said[number(1, 2)]
    bench.reactor.pass_s(RETIRE_LOOK_S)
    assert not hosted.left
    hosted.sink.slot_ready("acme-1", "s", 7)
    bench.turn()
    run = hosted.given["acme-1", "s"].pop()
    bench.core.reports.run_ended("acme-1", "s", 7, RunDone(run.task, run.epoch, 1, 2, 0, True, None, b"a"))
    bench.turn()
    bench.reactor.pass_s(RETIRE_LOOK_S)
    assert hosted.left and not hosted.closed
    bench.reactor.pass_s(LEAVE_S)
    bench.turn()
    assert hosted.closed and "acme-1" not in bench.platforms.of
    assert not bench.replayed().workers.get("acme-1")
    # Nobody looks any more.
    bench.reactor.pass_s(10)
    assert not bench.reactor.timers


def test_a_table_that_changed_starts_its_platform_anew(owner: Owner) -> None:
    bench = owner.bench
    owner.reload(TABLE)
    first = bench.hosted["acme"]
    first.come(ACME)
    assert owner.reload(TABLE + "grace_s = 3").changed == ("platforms.acme (starts anew)",)
    assert first.left and bench.hosted["acme"] is first
    bench.reactor.pass_s(LEAVE_S)
    second = bench.hosted["acme"]
    assert second is not first and first.closed and second.settings.grace_s == 3
    second.come(ACME)
    assert bench.platforms.of["acme-1"] is second
    assert owner.act("reload").changed == ()


def test_a_platform_that_is_wanted_again_stays(owner: Owner) -> None:
    bench = owner.bench
    owner.reload(TABLE)
    hosted = bench.hosted["acme"]
    hosted.come(ACME)
    bench.open(1)
    bench.submit(1, quantum_task(1, 1, device="acme-1"))
    bench.turn()
    owner.reload("")
    owner.reload(TABLE)
    bench.submit(1, quantum_task(1, 2, device="acme-1"))
    assert not refusals(bench.turn()[1])
    bench.reactor.pass_s(10)
    assert not hosted.left


def test_a_platform_that_left_already_starts_anew_when_it_is_wanted_again(owner: Owner) -> None:
    bench = owner.bench
    owner.reload(TABLE)
    first = bench.hosted["acme"]
    first.come(ACME)
    owner.reload("")
    assert first.left
    owner.reload(TABLE)
    bench.reactor.pass_s(LEAVE_S)
    assert bench.hosted["acme"] is not first
    assert [row.name for row in bench.platforms.statuses() if row.name == "acme"] == ["acme"]


def test_a_broken_platform_is_mended_by_its_table(owner: Owner) -> None:
    bench = owner.bench
    bench.platforms.reload({"acme": PlatformSettings(plugin="unmakeable")})
    assert [row.state.value for row in bench.platforms.statuses() if row.name == "acme"] == ["broken"]
    owner.reload(TABLE)
    bench.reactor.pass_s(0)
    bench.hosted["acme"].come(ACME)
    assert "acme-1" in bench.platforms.of


def test_a_native_operation_keeps_a_platform_until_it_is_answered(owner: Owner) -> None:
    bench = owner.bench
    owner.reload(TABLE)
    hosted = bench.hosted["acme"]
    hosted.come(msgspec.structs.replace(ACME, native=("tune",)))
    peer = bench.open(1)
    bench.core.request(peer, wire.CallNative(1, "acme-1", "tune", b"", 5.0))
    assert isinstance(hosted.calls[0][1], NativeCall)
    owner.reload("")
    assert not hosted.left
    bench.core.reports.native_ended("acme-1", NativeDone(hosted.calls[0][1].number, b""))
    bench.reactor.pass_s(RETIRE_LOOK_S)
    assert hosted.left


def test_a_platform_that_somebody_asked_for_stays_without_a_table(tmp_path: Path) -> None:
    owner = owned(tmp_path, plugins=("twin",))
    owner.bench.platforms.start_all()
    hosted = owner.bench.hosted["twin"]
    hosted.come(ACME)
    assert owner.reload("[workers]\nmax_attempts = 3").changed == ("workers.max_attempts",)
    assert not hosted.left
    assert owner.reload("[platforms.twin]\n").changed == ("workers.max_attempts",)
    assert not hosted.left
    assert owner.reload("").changed == ("platforms.twin (goes)",)
    owner.bench.reactor.pass_s(LEAVE_S)
    # As after a start: it waits for somebody to ask.
    assert [row.state.value for row in owner.bench.platforms.statuses() if row.name == "twin"] == [
        "on-demand"
    ]
    owner.bench.dispose()


def test_the_status_says_what_a_reload_would_do(owner: Owner) -> None:
    owner.file.write_text("[workers]\nmax_attempts = 3\nthreads = 2\n" + TABLE)
    found: DaemonStatus = owner.core.control.status()
    assert found.reload == ("workers.max_attempts", "platforms.acme (comes)")
    assert found.restart == ("workers.threads",)
    assert owner.core.settings.settings == Settings() and not owner.bench.hosted
