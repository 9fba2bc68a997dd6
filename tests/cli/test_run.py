"""`qfw run`: a private stack, the application's exit code and signals, and numbers that follow its circuits."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

VQLS = Path(__file__).parents[2] / "examples" / "vqls" / "vqls.py"

#: A rotation on each of SLOTS qubits; per epoch one forward circuit and, with GRADIENT, its shifts as one task.
APPLICATION = """
import sys
import numpy as np
from qfw import Expectation, Gate, PauliSum, Session, slot
from qfw.model.program import Program

slots, structures, epochs, gradient = map(int, sys.argv[1:])
rng = np.random.default_rng(0)
with Session() as session, session.device("reference").stream() as stream:
    for epoch in range(epochs):
        row = rng.uniform(-3, 3, slots)
        for number in range(structures):
            turns = [Gate("ry", (at,), (slot(at),)) for at in range(slots)]
            program = Program(slots, 0, slots, (*turns, *[Gate("x", (0,))] * number))
            asked = (Expectation((PauliSum.of("Z0"),)),)
            stream.run(program, row, outputs=asked).result(60)
            if gradient:
                shifts = [row + np.eye(slots)[at] * s for at in range(slots) for s in (np.pi / 2, -np.pi / 2)]
                stream.run(program, shifts, outputs=asked).result(60)
print("the application is done")
"""


@pytest.fixture
def application(tmp_path: Path) -> Path:
    path = tmp_path / "application.py"
    path.write_text(APPLICATION)
    return path


@pytest.mark.parametrize(
    ("slots", "structures", "epochs", "gradient"), [(3, 2, 3, 1), (2, 5, 2, 1), (4, 1, 2, 0)]
)
def test_the_numbers_follow_the_circuits(qfw, application, tmp_path, slots, structures, epochs, gradient):
    done = qfw(
        "run",
        "--json",
        "--log",
        "tasks.jsonl",
        "--workers",
        1,
        application,
        slots,
        structures,
        epochs,
        gradient,
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first == "the application is done"
    found = json.loads(last)
    forward = structures * epochs
    assert found["cost_circuits"] == forward
    assert found["gradient_circuits"] == forward * 2 * slots * gradient
    assert found["circuits"] == found["cost_circuits"] + found["gradient_circuits"]
    assert found["tasks"] == found["done"] == forward * (1 + gradient)
    assert found["structures"] == structures
    # One worker prepares every structure once.
    assert found["cache_hits"] == found["done"] - structures
    assert found["received"] == found["done"]
    assert found["devices"] == {"reference": found["circuits"]}
    assert [times["stage"] for times in found["stages"]] == [
        "client",
        "wire",
        "queue",
        "compile",
        "run",
        "return",
    ]
    assert all(times["tasks"] == found["done"] for times in found["stages"])

    records = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert len(records) == found["tasks"]
    assert sum(record["gradient"] for record in records) == found["gradient_circuits"]
    for record in records:
        pids = {record["timeline"][name] for name in ("client_pid", "daemon_pid", "worker_pid")}
        assert len(pids) == 3
        assert 0 not in pids
        assert sum(record["stages_us"].values()) > 0


def test_the_report_for_people(qfw, application, tmp_path):
    done = qfw("run", application, 2, 3, 1, 1, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "the application is done\nqfw run: 15 circuits in 6 tasks of 1 session, on reference\n"
    )
    assert "The gradient costs 5.0 times what a gradient-free step does" in done.stdout
    assert not list(tmp_path.glob("qfw-run-*"))


@pytest.mark.parametrize(("optimizer", "gradient"), [("gd", True), ("cobyla", False)])
def test_vqls(qfw, optimizer, gradient):
    """The paper's application: 72 circuits for a cost, and COBYLA needs no gradient."""
    done = qfw("run", "--json", VQLS, "--device", "qfw", "--optimizer", optimizer, "--epochs", 5)
    assert done.returncode in (0, 1), done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    epochs = done.stdout.count("\nepoch ")
    # Beside the epochs: circuits for the distribution, of one structure, at the start and at the end.
    beside = found["cost_circuits"] - 72 * epochs
    assert 2 <= beside < 72
    assert found["structures"] == 73
    assert found["gradient_circuits"] == (264 * epochs if gradient else 0)
    assert any("gradient" in sentence for sentence in found["findings"]) == gradient


def test_an_application_without_qfw(qfw):
    done = qfw("run", "echo", "hello")
    assert done.returncode == 0
    assert (
        done.stdout == "hello\nqfw run: the application opened no QFw session, so there is nothing to show.\n"
    )
    assert json.loads(qfw("run", "--json", "true").stdout)["sessions"] == 0


def test_the_exit_code_is_the_applications(qfw):
    assert qfw("run", "sh", "-c", "exit 7").returncode == 7
    assert qfw("run", "sh", "-c", "kill -9 $$").returncode == 128 + 9
    assert qfw("run", "no-such-command").returncode == 127
    assert qfw("run", "no-such-file.py").returncode == 127
    assert qfw("run", "/etc/passwd").returncode == 126


def test_arguments_after_the_script_are_its_own(qfw):
    assert qfw("run", "echo", "--json", "--log", "-h").stdout.startswith("--json --log -h\n")
    assert qfw("run", "--", "echo", "-h").stdout.startswith("-h\n")


def test_what_cannot_be_is_said_before_the_application_starts(qfw, tmp_path):
    for arguments, code, text in (
        (["--engine", "qulax"], 2, "did you mean 'qulacs'?"),
        (["--workers", "0"], 2, "at least 1"),
        (["--log", "no/such/folder/log"], 125, "cannot write the task log"),
        (["--runtime-dir", tmp_path / ("x" * 120)], 125, "Unix socket"),
        ([], 2, "SCRIPT"),
    ):
        done = qfw("run", *arguments, *(["echo", "started"] if arguments else []))
        assert done.returncode == code, done.stderr
        assert text in done.stderr
        assert "started" not in done.stdout
        assert "ARGS" not in done.stderr


def test_a_chosen_folder_is_kept_and_must_be_empty(qfw, folder, application):
    done = qfw("run", "--engine", "reference", "--runtime-dir", folder, application, 1, 1, 1, 0)
    assert done.returncode == 0, done.stderr
    assert (folder / "journal").is_dir()
    assert str(folder) in done.stderr
    assert qfw("squeue", "--json", "--journal", folder / "journal").stdout == "[]\n"
    again = qfw("run", "--runtime-dir", folder, "true")
    assert again.returncode == 2
    assert "is not empty" in again.stderr


def test_settings_of_the_user_stay(qfw, tmp_path, application):
    """What the command line does not say is taken from $QFW_CONFIG."""
    config = tmp_path / "mine.toml"
    config.write_text("engines = ['reference']\n[journal]\nsegment_bytes = 4096\n")
    done = qfw(
        "run", "--keep", "--workers", 1, application, 2, 3, 8, 1, QFW_CONFIG=str(config), TMPDIR="/tmp"
    )
    assert done.returncode == 0, done.stderr
    folder = Path(done.stderr.strip().rpartition(" ")[2])
    try:
        assert len(list((folder / "journal").glob("*.qfj"))) > 1
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_signals_reach_the_application(number, folder, tmp_path):
    script = tmp_path / "waits.py"
    script.write_text(
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {15, 2, 10})\n"
        "print('ready', flush=True)\n"
        "print('got', int(signal.sigwait({15, 2, 10})))\n"
        "raise SystemExit(40)\n"
    )
    command = [sys.executable, "-m", "qfw.cli.main", "run", str(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        output = process.stdout.read()
    assert output.startswith(f"got {int(number)}\n")
    assert process.returncode == 40


def test_ctrl_c_of_a_terminal_arrives_once(folder, tmp_path):
    """The terminal sends it to the whole foreground group; passing it on would be a second one."""
    script = tmp_path / "counts.py"
    script.write_text(
        "import signal\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {2})\n"
        "print('ready', flush=True)\n"
        "signal.sigwait({2})\n"
        "print('again' if signal.sigtimedwait({2}, 0.5) else 'once', flush=True)\n"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "qfw.cli.main", "run", str(script)])
    with io.FileIO(terminal, "r+b") as screen:
        assert screen.readline() == b"ready\r\n"
        screen.write(b"\x03")
        shown = b""
        # A terminal whose processes are gone is at its end with an error.
        with suppress(OSError):
            while part := screen.read(1000):
                shown += part
    assert b"once" in shown
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_daemon_that_was_killed_leaves_its_folder(qfw, tmp_path):
    """kill -9 of qpmd: the future fails at once, and the journal lists what was acknowledged."""
    script = tmp_path / "kills.py"
    script.write_text(
        "import os, signal, qfw\n"
        "from qfw.model.program import Program\n"
        "session = qfw.Session()\n"
        "stream = session.device('reference').stream()\n"
        "program = Program(1, 1, 0, (qfw.Gate('h', (0,)), qfw.Measure(0, 0)))\n"
        "stream.run(program, shots=10).result(60)\n"
        "os.kill(session.client.welcome.pid, signal.SIGKILL)\n"
        "try: stream.run(program, shots=10).result(60)\n"
        "except qfw.errors.DaemonLost: print('lost')\n"
    )
    done = qfw("run", script, TMPDIR="/tmp")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lost\nqfw run: 1 circuit in 1 task of 1 session")
    assert "was killed" in done.stderr
    folder = Path(done.stderr.strip().rpartition(" ")[2])
    assert (folder / "journal").is_dir()
    subprocess.run(["rm", "-r", str(folder)], check=True)
