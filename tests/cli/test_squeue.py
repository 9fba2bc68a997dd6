"""Tasks of a journal alone: whole, cut short, damaged, missing; and without a daemon."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfw.cli.squeue import from_journal
from qfw.model.errors import ForeignOwner
from qfw.model.events import Event, TaskAccepted, TaskCancelled, TaskDone, TaskFailed, TaskStarted
from qfw.model.task import task_name
from qfw.qpm.journal import JournalWriter, read, record, segments
from qfw.qpm.remote import Observer
from tests.telemetry.streams import DAEMON, WALL_NS, WORKER, Journal


def write(folder: Path, events: Iterable[Event], segment_bytes: int = 2**20) -> Path:
    writer = JournalWriter(folder, segment_bytes, 2**30)
    for event in events:
        writer.append(event)
        writer.flush()
    writer.close()
    return folder


def crashed() -> Journal:
    """Four tasks: one answered, one running, two waiting; then nothing more."""
    journal = Journal()
    journal.run([[0.1]])
    running = journal.submit([[0.2], [0.3]], shots=100)
    journal.start(running)
    journal.submit([[0.4]])
    journal.submit([[0.5]], device="qulacs")
    return journal


def tasks(done) -> list[str]:
    assert done.returncode == 0, done.stderr
    return [row["task"] for row in json.loads(done.stdout)]


def test_every_acknowledged_task_without_an_answer_is_listed(qfw, tmp_path):
    path = write(tmp_path / "journal", crashed().events)
    done = qfw("squeue", "--journal", path)
    assert done.returncode == 0
    heading, *lines = done.stdout.splitlines()
    assert heading.split()[:3] == ["TASK", "SESSION", "CLIENT-PID"]
    assert [line.split()[0] for line in lines] == ["1.2", "1.3", "1.4"]
    assert f"pid {DAEMON}" in done.stderr
    (first, *_) = json.loads(qfw("squeue", "--json", "--journal", path).stdout)
    assert first["state"] == "running"
    assert (first["sets"], first["shots"], first["worker_pid"]) == (2, 100, WORKER)
    assert (first["session"], first["device"]) == ("app1", "reference")
    assert first["age_s"] > 0


def test_one_segment_is_a_journal_too(qfw, tmp_path):
    path = write(tmp_path / "journal", crashed().events)
    assert tasks(qfw("squeue", "--json", "--journal", segments(path)[0])) == ["1.2", "1.3", "1.4"]


def test_an_orderly_end_is_not_complained_of(qfw, tmp_path):
    journal = Journal()
    journal.run([[0.1]])
    journal.close()
    journal.stop()
    done = qfw("squeue", "--json", "--journal", write(tmp_path / "journal", journal.events))
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_a_record_cut_short_at_the_end_is_passed_over(qfw, tmp_path):
    events = crashed().events
    (segment,) = segments(write(tmp_path / "journal", events))
    content = segment.read_bytes()
    whole = len(content) - len(record(events[-1]))
    for length in range(whole, len(content)):
        segment.write_bytes(content[:length])
        rows, _ = from_journal(read(segment.parent), WALL_NS)
        assert [row.task for row in rows] == ["1.2", "1.3"]
    assert tasks(qfw("squeue", "--json", "--journal", segment.parent)) == ["1.2", "1.3"]


def test_damage_is_an_error_and_can_be_salvaged(qfw, tmp_path):
    events = crashed().events
    path = write(tmp_path / "journal", events)
    (segment,) = segments(path)
    content = bytearray(segment.read_bytes())
    before = content.index(record(events[-2]))
    content[before + 20] ^= 0xFF
    segment.write_bytes(content)
    done = qfw("squeue", "--journal", path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("qfw: error: ")
    assert f"byte {before}" in done.stderr
    assert "--salvage" in done.stderr
    assert tasks(qfw("squeue", "--json", "--journal", path, "--salvage")) == ["1.2"]


def test_what_a_damaged_segment_held_does_not_stop_the_later_ones(qfw, tmp_path):
    """Answers of tasks whose acceptance is lost, and answers without their start."""
    journal = crashed()
    lost_start = journal.submit([[0.6]])
    for task in (lost_start, 1 << 32 | 2):
        if task == lost_start:
            journal.start(task)
        journal.done(task)
    path = write(tmp_path / "journal", journal.events, segment_bytes=1)
    for number, event in zip(segments(path), journal.events, strict=False):
        if isinstance(event, TaskStarted):
            content = bytearray(number.read_bytes())
            content[-1] ^= 0xFF
            number.write_bytes(content)
    assert qfw("squeue", "--journal", path).returncode == 1
    assert tasks(qfw("squeue", "--json", "--journal", path, "--salvage")) == ["1.3", "1.4"]


@given(st.data())
def test_whatever_is_lost_an_answered_task_is_not_listed(data):
    """Of a journal with holes: no error, and no task whose end is there."""
    journal = Journal()
    numbers = [journal.submit([[float(at)]]) for at in range(data.draw(st.integers(1, 5)))]
    for number in numbers:
        match data.draw(st.sampled_from(["done", "failed", "cancelled", "requeued", "running", "queued"])):
            case "done":
                journal.start(number)
                journal.done(number)
            case "failed":
                journal.start(number)
                journal.fail(number)
            case "cancelled":
                journal.cancel(number)
            case "requeued":
                journal.start(number)
                journal.requeue(number)
                journal.start(number, epoch=2)
            case "running":
                journal.start(number)
    kept = [event for event in journal.events if data.draw(st.booleans())]
    accepted = {event.task.number for event in kept if isinstance(event, TaskAccepted)}
    ended = {event.task for event in kept if isinstance(event, (TaskDone, TaskFailed, TaskCancelled))}
    rows, _ = from_journal(kept, WALL_NS)
    assert {row.task for row in rows} == {task_name(number) for number in accepted - ended}


def test_where_nothing_can_be_salvaged_it_is_said(qfw, tmp_path):
    (tmp_path / "junk").write_bytes(b"something else entirely")
    done = qfw("squeue", "--journal", str(tmp_path / "junk"), "--salvage")
    assert done.returncode == 1 and "is no QFw journal" in done.stderr and not done.stdout


def test_a_journal_that_is_not_there(qfw, tmp_path):
    done = qfw("squeue", "--journal", tmp_path / "nowhere")
    assert done.returncode == 1
    assert "there is no journal" in done.stderr
    other = tmp_path / "other.qfj"
    other.write_bytes(b"PK\x03\x04 something else")
    done = qfw("squeue", "--journal", other)
    assert done.returncode == 1
    assert "is no QFw journal" in done.stderr


def test_without_a_daemon(qfw, folder):
    done = qfw("squeue")
    assert (done.returncode, done.stdout) == (3, "")
    assert "no daemon answers" in done.stderr
    folder.mkdir(mode=0o700)
    write(folder / "journal", crashed().events)
    assert f"--journal {folder / 'journal'}" in qfw("squeue").stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to give a socket away")
def test_root_looks_into_the_daemon_of_another_user_and_nobody_else_does(qfw, folder, monkeypatch):
    import socket

    folder.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "qpmd.sock"))
        listener.listen()
        os.chown(folder / "qpmd.sock", 12345, 12345)
        done = qfw("squeue")
        # It was asked, and said nothing.
        assert done.returncode == 3 and "did not answer" in done.stderr
        monkeypatch.setattr(os, "getuid", lambda: 4711)
        with pytest.raises(ForeignOwner, match="belongs to uid 12345"):
            Observer(folder, timeout_s=1)
