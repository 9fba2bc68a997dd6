"""What users get wrong: each a typed error that says what was asked, what was found and what to do."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qfw.config.runtime import prepare, socket_path
from qfw.model.errors import (
    ConfigError,
    ForeignOwner,
    JournalDamaged,
    NetworkFileSystem,
    OptionError,
    ParameterError,
    ProgramError,
    QFwError,
    SetupError,
    SocketPathTooLong,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.outputs import Counts, Memory, Probabilities, Statevector
from qfw.model.program import Gate, Measure, Program, Reset, slot
from qfw.model.task import DeadlineClass, TaskOptions
from qfw.qpi import QStream, Session
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpm import journal
from tests.stack import LIMIT_S, SHORT, Z0, daemons_of, events_of, until

ROOT = os.getuid() == 0
STRANGER = 12345


def test_unknown_device(session: Session) -> None:
    with pytest.raises(UnknownDevice, match="no device is called 'referense'; did you mean 'reference'"):
        session.device("referense")
    with pytest.raises(UnknownDevice, match="There are: "):
        session.device("qpu")


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ('engines = ["referense"]', UnknownDevice, "did you mean 'reference'"),
        ('workers.launcher = "ssh"', UnknownDevice, "no launcher is called 'ssh'.*local"),
        ('platforms = ["ibm"]', ConfigError, r'platforms is \["ibm"\]; allowed: a table'),
        ("[platforms.ibm]\ngrace_s = -1.0", ConfigError, "platforms.ibm.grace_s is -1.0"),
        ("workers.cuont = 3", ConfigError, "did you mean `count`"),
        ('workers.count = "three"', ConfigError, "workers.count"),
        ("workers.count = -1", ConfigError, "from 0 to 4096"),
        ("workers.time_limit_s = nan", ConfigError, "time_limit_s is nan"),
        ("scheduling.prefetch_s = inf", ConfigError, "prefetch_s is inf"),
        ("workers = 3", ConfigError, "workers"),
        ("this is no TOML", ConfigError, "settings.toml"),
        ("a = '\udcff'", ConfigError, "settings.toml"),
    ],
)
def test_wrong_settings(folder: Path, text: str, kind: type[QFwError], said: str) -> None:
    """Found by the daemon, told to the session; nothing keeps running."""
    config = folder / "settings.toml"
    config.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(kind, match=said):
        Session(runtime_folder=folder, config=config)
    until(lambda: not daemons_of(folder))


def test_settings_that_are_not_there(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.toml: No such file"):
        Session(runtime_folder=folder, config=folder / "nothing.toml")


RY = Program(1, 0, 1, (Gate("ry", (0,), (slot(0),)),))

#: What is run, the error, its message; raised by `run` or by the result.
WRONG: dict[str, tuple[Callable[[QStream], Any], type[QFwError], str]] = {
    "too many qubits": (
        lambda stream: stream.run(Program(60, 0, 0, (Gate("h", (0,)),)), shots=10),
        TooLarge,
        r"needs 60 qubits; reference holds \d+ here.*Use fewer qubits",
    ),
    "too much memory": (
        lambda stream: stream.run(Program(29, 0, 0, (Gate("h", (0,)),))),
        TooLarge,
        "GiB",
    ),
    "too large an answer": (
        lambda stream: stream.run(Program(10, 0, 1, RY.operations), np.zeros((200_000, 1))),
        TooLarge,
        r"GiB|MiB",
    ),
    "unknown gate": (
        lambda stream: stream.run(Program(1, 0, 0, (Gate("warp", (0,)),)), shots=1),
        ProgramError,
        "operation 0: no gate is called 'warp'; known: .*rx",
    ),
    "a qubit that is not there": (
        lambda stream: stream.run(Program(1, 0, 0, (Gate("x", (1,)),)), shots=1),
        ProgramError,
        r"operation 0: qubit 1 is outside 0\.\.0",
    ),
    "reset in the middle": (
        lambda stream: stream.run(Program(1, 0, 0, (Reset(0), Gate("x", (0,)))), shots=1),
        UnsupportedFeature,
        "reference",
    ),
    "a gate behind a measurement": (
        lambda stream: stream.run(Program(1, 1, 0, (Measure(0, 0), Gate("x", (0,)))), shots=1),
        UnsupportedFeature,
        "reference",
    ),
    "too few parameters": (lambda stream: stream.run(SHORT), ParameterError, "has 1 parameter slots"),
    "too many parameters": (
        lambda stream: stream.run(SHORT, [0.1, 0.2]),
        ParameterError,
        r"shape \(2,\) were given, \(1,\) or \(sets, 1\) are needed",
    ),
    "parameters without slots": (
        lambda stream: stream.run(Program(1, 0, 0, (Gate("h", (0,)),)), [0.5]),
        ParameterError,
        "has 0 parameter slots",
    ),
    "no sets": (lambda stream: stream.run(SHORT, np.zeros((0, 1))), ParameterError, "at least one row"),
    "three dimensions": (lambda stream: stream.run(SHORT, np.zeros((1, 1, 1))), ParameterError, "shape"),
    "text": (lambda stream: stream.run(SHORT, ["half"]), ParameterError, "real numbers"),
    "complex": (lambda stream: stream.run(SHORT, np.array([0.5j])), ParameterError, "complex"),
    "NaN": (lambda stream: stream.run(SHORT, [[0.1], [math.nan]]), ParameterError, r"\[1, 0\] is nan"),
    "infinite": (lambda stream: stream.run(SHORT, [-math.inf]), ParameterError, "must be finite"),
    "NaN in the program": (
        lambda stream: stream.run(Program(1, 0, 0, (Gate("rx", (0,), (math.nan,)),)), shots=1),
        ParameterError,
        "operation 0: the angle nan must be finite",
    ),
    "no shots": (lambda stream: stream.run(SHORT, [0.5], shots=0), OptionError, "at least 1"),
    "negative shots": (lambda stream: stream.run(SHORT, [0.5], shots=-3), OptionError, "not -3"),
    "half a shot": (lambda stream: stream.run(SHORT, [0.5], shots=1.5), OptionError, "an integer, not 1.5"),  # type: ignore[arg-type]
    "a float of shots": (lambda stream: stream.run(SHORT, [0.5], shots=10.0), OptionError, "integer"),  # type: ignore[arg-type]
    "shots as text": (lambda stream: stream.run(SHORT, [0.5], shots="10"), OptionError, "integer"),  # type: ignore[arg-type]
    "true shots": (lambda stream: stream.run(SHORT, [0.5], shots=True), OptionError, "integer, not True"),
    "too many shots": (lambda stream: stream.run(SHORT, [0.5], shots=10**12), OptionError, "100000000"),
    "counts without shots": (
        lambda stream: stream.run(SHORT, [0.5], outputs=(Counts(),)),
        OptionError,
        "counts needs shots",
    ),
    "memory without shots": (
        lambda stream: stream.run(SHORT, [0.5], outputs=(Memory(),)),
        OptionError,
        "memory needs shots",
    ),
    "statevector with shots": (
        lambda stream: stream.run(SHORT, [0.5], outputs=(Statevector(),), shots=5),
        OptionError,
        "without shots",
    ),
    "probabilities of a qubit that is not there": (
        lambda stream: stream.run(SHORT, [0.5], outputs=(Probabilities((5,)),)),
        ProgramError,
        "has 2 qubits",
    ),
    "seed": (lambda stream: stream.run(SHORT, [0.5], seed=-1), OptionError, r"0 to 2\*\*63 - 1, not -1"),
    "seed that is none": (lambda stream: stream.run(SHORT, [0.5], seed=0.5), OptionError, "not 0.5"),  # type: ignore[arg-type]
    "priority": (
        lambda stream: stream.run(SHORT, [0.5], options=TaskOptions(priority=1000)),
        OptionError,
        "from -100 to 100, not 1000",
    ),
    "time limit": (
        lambda stream: stream.run(SHORT, [0.5], options=TaskOptions(time_limit_s=-1.0)),
        OptionError,
        "time_limit_s must be seconds above 0.*not -1.0",
    ),
    "a deadline class that needs a reservation": (
        lambda stream: stream.run(SHORT, [0.5], options=TaskOptions(deadline_class=DeadlineClass.HARD)),
        OptionError,
        "use best_effort",
    ),
}


@pytest.mark.parametrize(("act", "kind", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_tasks(stream: QStream, act: Callable[[QStream], Any], kind: type, said: str) -> None:
    with pytest.raises(kind, match=said) as caught:
        act(stream).result(LIMIT_S)
    assert type(caught.value) is kind


def test_options_of_the_wrong_type_are_refused(stream: QStream) -> None:
    """Before they travel: a message that the daemon cannot read would end the whole session."""
    wrong: list[Any] = [
        TaskOptions(priority="high"),  # type: ignore[arg-type]
        TaskOptions(priority=0.5),  # type: ignore[arg-type]
        TaskOptions(job_type="fun"),  # type: ignore[arg-type]
        TaskOptions(time_limit_s="1 s"),  # type: ignore[arg-type]
        TaskOptions(time_limit_s=math.nan),
        TaskOptions(priority=2**70),
        TaskOptions(idempotency_key=7),  # type: ignore[arg-type]
    ]
    for options in wrong:
        with pytest.raises(OptionError):
            stream.run(SHORT, [0.5], outputs=Z0, options=options).result(LIMIT_S)
    assert stream.run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)


def test_programs_and_questions_of_the_wrong_type_are_refused(stream: QStream) -> None:
    wrong: list[Any] = [
        Gate("h", (0.0,)),  # type: ignore[arg-type]
        Gate("h", ("0",)),  # type: ignore[arg-type]
        Gate("rx", (0,), ("pi",)),  # type: ignore[arg-type]
        Gate(7, (0,)),  # type: ignore[arg-type]
        "h 0",
    ]
    for operation in wrong:
        with pytest.raises(ProgramError):
            stream.run(Program(1, 0, 0, (operation,)), shots=1).result(LIMIT_S)
    for output in (Probabilities((np.int64(0),)), Probabilities(("0",)), "counts", 5):  # type: ignore[arg-type]
        with pytest.raises((OptionError, ProgramError)):
            stream.run(SHORT, [0.5], outputs=(output,)).result(LIMIT_S)  # type: ignore[arg-type]
    assert stream.run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)


@pytest.mark.parametrize(
    "gate",
    [Gate("rx", (0,), (1,)), Gate("rx", (0,), (slot(0, 2),)), Gate("rx", (np.int64(0),), (np.float32(1.0),))],
    ids=["int angle", "int coefficient", "NumPy's numbers"],
)
def test_any_number_is_the_float_that_it_is(stream: QStream, gate: Gate) -> None:
    program = Program(1, 0, 1, (gate,))
    assert Program.decode(program.encoded).digest == program.digest
    assert stream.run(program, [0.5], outputs=Z0).result(LIMIT_S).expectation_values[0, 0] == pytest.approx(
        np.cos(1.0)
    )


def test_no_finite_numbers_make_an_answer_that_is_not_one(stream: QStream) -> None:
    program = Program(1, 0, 1, (Gate("rx", (0,), (slot(0, 1e150),)),))
    with pytest.raises(ParameterError, match="at most 1e150"):
        stream.run(program, [1e308], outputs=Z0)
    value = stream.run(program, [1e150], outputs=Z0).result(LIMIT_S).expectation_values[0, 0]
    assert -1 <= value <= 1


def test_refused_tasks_are_not_in_the_journal(session: Session, shared_folder: Path) -> None:
    before = len(events_of(shared_folder))
    with pytest.raises(TooLarge):
        session.device().stream().run(Program(59, 0, 0, (Gate("h", (0,)),)), shots=10).result(LIMIT_S)
    kinds = {type(event).__name__ for event in events_of(shared_folder)[before:]}
    assert "TaskAccepted" not in kinds and "TaskFailed" not in kinds


# Folders and sockets -------------------------------------------------------------------------------


def test_a_path_too_long_for_a_socket(folder: Path) -> None:
    with pytest.raises(SocketPathTooLong, match=r"takes \d+ bytes; .* holds 108.*QFW_RUNTIME_DIR"):
        Session(runtime_folder=folder / ("x" * 120))
    assert not (folder / ("x" * 120)).exists()


def test_the_longest_path_that_fits(folder: Path) -> None:
    room = 108 - 1 - len(os.fsencode(socket_path(folder))) - 1
    assert prepare(folder / ("x" * room)).is_dir()
    with pytest.raises(SocketPathTooLong):
        prepare(folder / ("x" * (room + 1)))


def test_a_folder_that_others_may_write_to(folder: Path) -> None:
    for mode in (0o777, 0o770, 0o702):
        folder.chmod(mode)
        with pytest.raises(ForeignOwner, match=r"may be written by others.*chmod 700"):
            Session(runtime_folder=folder)
    folder.chmod(0o700)


def test_a_symbolic_link(folder: Path) -> None:
    target = folder / "target"
    target.mkdir(mode=0o700)
    link = folder / "link"
    link.symlink_to(target)
    with pytest.raises(ForeignOwner, match="symbolic link"):
        Session(runtime_folder=link)
    dangling = folder / "dangling"
    dangling.symlink_to(folder / "nowhere")
    with pytest.raises((ForeignOwner, SetupError)):
        Session(runtime_folder=dangling)


@pytest.mark.skipif(not ROOT, reason="only root can give a file to another user")
def test_the_folder_of_another_user(folder: Path) -> None:
    theirs = folder / "theirs"
    theirs.mkdir(mode=0o700)
    os.chown(theirs, STRANGER, STRANGER)
    with pytest.raises(ForeignOwner, match=f"belongs to uid {STRANGER}, not to you.*QFW_RUNTIME_DIR"):
        Session(runtime_folder=theirs)


@pytest.mark.skipif(not ROOT, reason="only root can give a file to another user")
def test_the_socket_of_another_user(folder: Path) -> None:
    """In a folder of ours: nothing is sent to it, and no daemon is started over it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(folder)))
        listener.listen()
        os.chown(socket_path(folder), STRANGER, STRANGER)
        with pytest.raises(ForeignOwner, match=f"belongs to uid {STRANGER}"):
            Session(runtime_folder=folder)
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert not daemons_of(folder)


@pytest.mark.parametrize("name", ["qpmd.sock", "lock", "journal", "qpmd.pid", "qpmd.log", "sessions"])
def test_something_else_in_the_place_of_our_files(folder: Path, name: str) -> None:
    """A typed error that names it, or it does not matter; never a hang, never a daemon left over."""
    (folder / name).mkdir()
    (folder / name / "inside").write_text("")
    try:
        with Session(runtime_folder=folder, timeout_s=10.0) as session:
            assert session.device("reference").stream().run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)
    except SetupError as error:
        assert name in str(error)
    else:
        assert name == "journal"


def test_a_file_in_the_place_of_the_folder(folder: Path) -> None:
    (folder / "file").write_text("")
    for path in (folder / "file", folder / "file" / "below"):
        with pytest.raises(SetupError, match="QFW_RUNTIME_DIR"):
            Session(runtime_folder=path)


#: As recorded on a cluster; the last line is a mount below another.
MOUNTINFO = """\
22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw
28 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
61 28 0:45 / /home rw,relatime shared:33 - nfs4 filer:/export/home rw,vers=4.2
62 28 0:46 / /gpfs rw,relatime shared:34 - gpfs gpfs0 rw
63 28 0:47 / /lustre/with\\040space rw shared:35 - lustre mgs@tcp:/work rw
64 61 0:48 / /home/local rw shared:36 - xfs /dev/sdb1 rw
"""


@pytest.mark.parametrize(
    ("mount", "kind"),
    [("nfs4 filer:/export", "nfs4"), ("lustre mgs:/work", "lustre"), ("fuse.sshfs me@there:", "fuse.sshfs")],
)
def test_a_network_file_system(folder: Path, mount: str, kind: str) -> None:
    recorded = folder / "mountinfo"
    recorded.write_text(f"{MOUNTINFO}65 28 0:49 / {folder} rw,relatime shared:40 - {mount} rw\n")
    with pytest.raises(NetworkFileSystem, match=rf"network file system \({kind}\).*QFW_RUNTIME_DIR"):
        prepare(folder / "run", recorded)


def test_file_systems_by_the_longest_mount(folder: Path) -> None:
    from qfw.config.runtime import file_system

    recorded = folder / "mountinfo"
    recorded.write_text(MOUNTINFO)
    for path, kind in {
        "/home/me/run": "nfs4",
        "/home": "nfs4",
        "/homes": "ext4",
        "/home/local/run": "xfs",
        "/lustre/with space/run": "lustre",
        "/tmp/run": "ext4",
    }.items():
        assert file_system(Path(path), recorded) == kind, path
    assert file_system(folder, folder / "no such file") == ""


def test_a_damaged_journal_says_where(folder: Path) -> None:
    with Session(runtime_folder=folder) as session:
        session.device("reference").stream().run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)
    (segment,) = journal.segments(folder / "journal")
    content = bytearray(segment.read_bytes())
    content[30] ^= 0xFF
    segment.write_bytes(content)
    with pytest.raises(JournalDamaged, match=r"00000001\.qfj is damaged at byte \d+.*--salvage"):
        events_of(folder)
    # A new daemon writes behind it; it does not repair, and does not refuse to work.
    with Session(runtime_folder=folder) as session:
        assert session.device("reference").stream().run(SHORT, [0.5], outputs=Z0).result(LIMIT_S)


@pytest.mark.parametrize("given", [Counts, "counts", ["counts"], (Counts(), "counts"), 3])
def test_outputs_that_are_none(stream: QStream, given: Any) -> None:
    with pytest.raises(OptionError, match=r"outputs are qfw.Counts\(\), .*; not "):
        stream.run(SHORT, [0.0], shots=3, outputs=given)


def test_one_output_and_a_list_of_outputs_are_taken(stream: QStream) -> None:
    alone: Any = Z0[0]
    listed: Any = [Counts()]
    assert stream.run(SHORT, [0.0], outputs=alone).result(LIMIT_S).expectation_values.shape == (1, 1)
    assert stream.run(SHORT, [0.0], shots=3, outputs=listed).result(LIMIT_S).counts


def test_what_is_no_pipeline_and_no_options(session: Session) -> None:
    names: Any = ["transpile"]
    with pytest.raises(OptionError, match=r"is a qfw.ToolPipeline, such as .*; not \['transpile'\]"):
        session.device("reference").stream(pipeline=names)
    options: Any = {"priority": 3}
    with pytest.raises(OptionError, match=r"options are a qfw.TaskOptions, not dict"):
        session.device("reference").stream().run(SHORT, [0.0], options=options)


def test_a_result_says_what_it_was_asked_for(stream: QStream) -> None:
    result = stream.run(SHORT, [0.0], shots=3).result(LIMIT_S)
    with pytest.raises(
        UsageError, match=r"task \d+\.\d+ was asked for counts, not for memory; add it to outputs"
    ):
        result.memory  # noqa: B018


def test_a_pipeline_wants_a_device_and_not_its_name() -> None:
    name: Any = "twin-20"
    with pytest.raises(OptionError, match=r"give session.device\('twin-20'\)"):
        ToolPipeline(["reduce"]).explain(SHORT, name)


def test_a_closed_session_gives_no_device(folder: Path) -> None:
    with Session(runtime_folder=folder) as opened:
        opened.device("reference")
    with pytest.raises(UsageError, match="the session is closed; open a new one"):
        opened.device("reference")
