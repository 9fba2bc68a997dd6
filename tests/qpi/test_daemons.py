"""Sessions over several daemons: which are joined, what their devices are called, and what a lost one leaves."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.config.discover import JOB_DAEMON, SITE_DAEMONS
from qfw.model.errors import DaemonLost, DaemonUnreachable, OptionError, SetupError, UnknownDevice, UsageError
from qfw.qpi import Mesh, Session
from qfw.qpi.daemons import capabilities, unique
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, daemons_of, running_daemon, runtime_folder, until

ONE = 'engines = ["reference"]\nworkers.count = 1\n'
TWO = 'engines = ["reference", "noop"]\nworkers.count = 1\ndaemon = { scope = "job", name = "lab" }\n'


@pytest.fixture(scope="module")
def first() -> Iterator[Path]:
    with running_daemon(ONE) as folder:
        yield folder


@pytest.fixture(scope="module")
def second() -> Iterator[Path]:
    with running_daemon(TWO) as folder:
        yield folder


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment that names no daemon."""
    monkeypatch.delenv(JOB_DAEMON, raising=False)
    monkeypatch.delenv(SITE_DAEMONS, raising=False)
    return monkeypatch


def test_devices_are_merged_under_unique_names(first: Path, second: Path) -> None:
    with Session(daemons=[first, second]) as session:
        names = [daemon.name for daemon in session.daemons]
        assert names == ["site", "lab"]
        assert {device.name for device in session.devices} == {"reference", "reference@lab", "noop"}
        plain, other = session.device("reference"), session.device("reference@lab")
        assert plain.client is session.client is not other.client
        assert session.device("reference@site") is plain
        assert session.device("noop@lab") is session.device("noop")
        assert other.profile.name == "reference" and other.status().profile.name == "reference"
        for device in (plain, other):
            assert cosine_is_right(device.stream().run(SHORT, [0.4], outputs=Z0).result(LIMIT_S), 0.4)
        assert session.folder == first
        with pytest.raises(UnknownDevice, match="did you mean 'reference'"):
            session.device("referenc")
    with Session(daemons=[second, first]) as session:
        assert session.device("reference").client is session.client
        assert session.folder == second


def test_what_daemons_say_of_themselves(first: Path, second: Path) -> None:
    with Session(daemons=[first, second]) as session:
        one, two = session.daemons
        assert (one.folder, two.folder) == (str(first), str(second))
        assert [one.pid] == daemons_of(first) and [two.pid] == daemons_of(second)
        assert (one.scope, two.scope) == ("site", "job") and "detached" in two.capabilities
        assert one.wire == session.client.welcome.wire and one.version and one.connected
        assert one.capabilities == capabilities(one.scope, one.wire, one.tools)
        assert str(first) in repr(session) and str(second) in repr(session)


@pytest.mark.parametrize(
    ("scope", "tools", "has", "lacks"),
    [
        ("private", (), {"events", "reservations", "pipelines"}, {"detached", "lowering"}),
        ("job", ("transpile",), {"detached", "lowering"}, set()),
        ("site", (), {"detached"}, {"lowering"}),
    ],
)
def test_capabilities_follow_from_scope_version_and_tools(
    scope: str, tools: tuple[str, ...], has: set[str], lacks: set[str]
) -> None:
    found = set(capabilities(scope, 4, tools))
    assert has <= found and not lacks & found
    assert capabilities(scope, 3, tools) == ()


def test_unique_names_count_from_two() -> None:
    assert unique("a", []) == "a" and unique("a", ["a"]) == "a-2" and unique("a", ["a", "a-2"]) == "a-3"


def test_the_environment_names_daemons(first: Path, second: Path, nowhere: pytest.MonkeyPatch) -> None:
    nowhere.setenv(JOB_DAEMON, str(second))
    nowhere.setenv(SITE_DAEMONS, f"{first}:{second}")
    with Session() as session:
        # The job's first; a folder that is named twice is joined once.
        assert [daemon.folder for daemon in session.daemons] == [str(second), str(first)]
    with Session(scopes={"site"}) as session:
        assert [daemon.folder for daemon in session.daemons] == [str(first), str(second)]
    with Session(scopes="job") as session:
        assert [daemon.folder for daemon in session.daemons] == [str(second)]


def test_a_private_daemon_beside_others(
    folder: Path, first: Path, nowhere: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    nowhere.setenv(SITE_DAEMONS, str(first))
    config = tmp_path / "settings.toml"
    config.write_text(ONE)
    with Session(runtime_folder=folder, config=config, scopes={"site", "private"}) as session:
        assert [daemon.folder for daemon in session.daemons] == [str(folder), str(first)]
        assert session.device("reference").client is session.client
    # Alone, it is that of the folder as ever; without anything named, the private one of the environment.
    with Session(runtime_folder=folder, config=config) as session:
        assert [daemon.folder for daemon in session.daemons] == [str(folder)]
    nowhere.delenv(SITE_DAEMONS)
    nowhere.setenv("QFW_RUNTIME_DIR", str(folder))
    with Session(config=config) as session:
        assert [daemon.folder for daemon in session.daemons] == [str(folder)]
    until(lambda: not daemons_of(folder))
    assert daemons_of(first)


def test_a_private_daemon_is_joined_by_its_folder_and_not_started(folder: Path) -> None:
    with Session(runtime_folder=folder) as own, Session(daemons=[folder]) as other:
        assert other.client.welcome.pid == own.client.welcome.pid
    until(lambda: not daemons_of(folder))
    with pytest.raises(DaemonUnreachable, match=rf"daemons\[0\] names {folder}.*Start it"):
        Session(daemons=[folder])
    assert not daemons_of(folder)


def test_a_named_daemon_that_does_not_answer_is_said(first: Path, nowhere: pytest.MonkeyPatch) -> None:
    with runtime_folder() as empty:
        nowhere.setenv(SITE_DAEMONS, f"{first}:{empty}")
        with pytest.raises(
            DaemonUnreachable, match=rf"QFW_SITE_DAEMONS names {empty}: .*take it out of QFW_SITE"
        ):
            Session()
        nowhere.setenv(JOB_DAEMON, str(empty / "gone"))
        with pytest.raises(DaemonUnreachable, match=r"QFW_JOB_DAEMON names .*gone"):
            Session()
        assert list(empty.iterdir()) == []
    # What was joined before it was found is closed again.
    with Session(daemons=[first]) as session:
        assert session.daemons[0].connected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"daemons": []}, "daemons is empty"),
        ({"daemons": "/tmp/x"}, "list of runtime folders"),
        ({"daemons": ["/tmp/x"], "scopes": {"site"}}, "leave out runtime_folder and scopes"),
        ({"daemons": ["/tmp/x"], "runtime_folder": "/tmp/x"}, "leave out runtime_folder and scopes"),
        ({"scopes": set()}, "at least one of them"),
        ({"scopes": {"cluster"}}, "not cluster"),
        ({"scopes": {"job"}}, "QFW_JOB_DAEMON is not set"),
        ({"scopes": {"private", "site"}}, "QFW_SITE_DAEMONS is not set"),
    ],
)
def test_arguments_that_name_no_daemon(
    arguments: dict[str, object], said: str, nowhere: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OptionError, match=said):
        Session(**arguments)  # type: ignore[arg-type]


def test_a_file_is_no_runtime_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"daemons\[0\] names"):
        Session(daemons=[tmp_path / "file"])


def test_a_lost_daemon_leaves_the_others() -> None:
    with running_daemon(TWO) as stays, running_daemon(ONE) as goes, Session(daemons=[goes, stays]) as session:
        lost, here = session.device("reference"), session.device("reference@lab")
        mesh = session.mesh([lost, here])
        os.kill(session.client.welcome.pid, signal.SIGKILL)
        with pytest.raises(DaemonLost):
            lost.status()
        assert [daemon.connected for daemon in session.daemons] == [False, True]
        assert cosine_is_right(here.stream().run(SHORT, [0.4], outputs=Z0).result(LIMIT_S), 0.4)
        assert session.find(engine="reference") == [here]
        assert session.choose(SHORT).device is here
        assert set(mesh.status().answers) == {here.name} and isinstance(
            mesh.status().errors[lost.name], DaemonLost
        )
        assert cosine_is_right(mesh.run_group(SHORT, [0.3], outputs=Z0).result(LIMIT_S), 0.3)
        futures = mesh.run_on_all(SHORT, [0.3], outputs=Z0)
        assert isinstance(futures[lost.name].exception(LIMIT_S), DaemonLost)
        assert cosine_is_right(futures[here.name].result(LIMIT_S), 0.3)
        with pytest.raises(UnknownDevice, match="Daemon site is gone"):
            session.device("nothing")


def test_after_a_fork_everything_says_so(first: Path) -> None:
    with Session(daemons=[first]) as session:
        mesh = session.mesh(["reference"])
        group = mesh.run_group(SHORT, [[0.1]] * 200, outputs=Z0)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            kinds = []
            for act in (
                lambda: session.daemons,
                lambda: session.find(),
                lambda: session.choose(SHORT),
                lambda: session.mesh(),
                lambda: mesh.add("reference"),
                lambda: mesh.remove("reference"),
                lambda: mesh.status(),
                lambda: mesh.calibrations(),
                lambda: mesh.native("calibrate")(),
                lambda: mesh.run_on_all(SHORT, [0.5]),
                lambda: mesh.run_group(SHORT, [0.5]),
                lambda: mesh.links,
                lambda: mesh.stream(),
                lambda: mesh.place(SHORT, Z0, 1, 0, False),
            ):
                try:
                    act()
                    kinds.append("nothing")
                except BaseException as error:
                    kinds.append(type(error).__name__)
            os.write(writer, json.dumps(kinds).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as said:
            assert json.load(said) == ["UsageError"] * 14
        os.waitpid(child, 0)
        assert group.result(LIMIT_S).sets == 200


def test_a_closed_session_says_so(first: Path) -> None:
    session = Session(daemons=[first])
    mesh = session.mesh(["reference"])
    assert isinstance(mesh, Mesh)
    session.close()
    session.close()
    for act in (lambda: session.daemons, session.find, mesh.status, lambda: mesh.run_group(SHORT, [0.5])):
        with pytest.raises(UsageError, match="closed"):
            act()
    assert "closed" in repr(session)


def test_sessions_of_asyncio(first: Path, second: Path) -> None:
    async def main() -> None:
        async with Session.open(daemons=[first, second]) as session:
            result = await session.device("reference").stream().run(SHORT, [0.4], outputs=Z0)
            assert cosine_is_right(result, 0.4)
        with pytest.raises(UsageError, match="closed"):
            session.find()
        opened = await Session.open(daemons=[first])
        async with opened:
            assert opened.daemons[0].connected
            group = opened.mesh(["reference"]).run_group(SHORT, [[0.1], [0.2]], outputs=Z0)
            assert (await group).sets == 2
        with pytest.raises(DaemonUnreachable):
            await Session.open(daemons=["/nonexistent/qfw"])

    asyncio.run(main())


def test_an_opening_that_nobody_waits_for_is_closed(folder: Path) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(_awaited(folder))
        await asyncio.to_thread(until, (folder / "lock").exists)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    # The daemon that came up for it ends with its only session.
    until((folder / "qpmd.pid").exists)
    until(lambda: not daemons_of(folder))


async def _awaited(folder: Path) -> Session:
    return await Session.open(runtime_folder=folder)
