"""Results on disk: kept whole or not at all, as long and as many as is set, found again by a later daemon."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from qfw.config.settings import ResultSettings
from qfw.model.conditions import Conditions
from qfw.model.errors import ErrorReport, NoCapacity, ResultDamaged, ResultExpired
from qfw.model.task import TaskOptions, task_name, task_number
from qfw.qpm.shared import SHARED_BYTES, Memory
from qfw.qpm.wire import TaskAnswer
from qfw.qpmd import register
from qfw.qpmd.kept import Kept, content_digest, path_of
from qfw.qpmd.results import BLOCK_BYTES, ResultStore
from tests.stack import quantum_task

UID = 7


class Clock:
    """Unix time that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> int:
        return int(self.now_s * 1e9)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def store(folder: Path, clock: Clock, **limits: Any) -> ResultStore:
    return ResultStore(folder / "results", ResultSettings(**limits), clock)


def header(number: int, clock: Clock, size: int, key: str = "", error: str = "") -> Kept:
    options = TaskOptions(detached=True, idempotency_key=key)
    task = quantum_task(number >> 32, number & 0xFFFFFFFF, options=options)
    answer = TaskAnswer(number, 5, 10, 20, 30, 40, 5, 50, Conditions("v1", 99, ("a note",)), b"")
    report = ErrorReport("TooLarge", error) if error else None
    return Kept(task, UID, content_digest(task), 3, 4, clock(), None if error else answer, report, size)


def keep(kept_in: ResultStore, number: int, content: bytes, clock: Clock, **more: Any) -> None:
    kept = header(number, clock, len(content), **more)
    kept_in.add(number, kept_in.write(kept, [content] if content else []))


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """A disk that is full: no file of this process may become longer."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def number(sequence: int) -> int:
    return task_number(3, sequence)


def test_what_was_kept_is_found_by_a_later_daemon(tmp_path: Path, clock: Clock) -> None:
    first = store(tmp_path, clock)
    keep(first, number(1), b"answers", clock, key="mine")
    clock.now_s += 1
    keep(first, number(2), b"", clock, error="too wide")
    first.close()
    again = store(tmp_path, clock)
    assert again.index == first.index and again.taken == 2 * BLOCK_BYTES
    assert list(again.index) == [number(1), number(2)]
    entry = again.index[number(1)]
    assert (entry.uid, entry.key, entry.size) == (UID, "mine", 7)
    kept, content = again.read(number(1))
    assert (
        content == b"answers" and kept.answer and kept.answer.conditions == Conditions("v1", 99, ("a note",))
    )
    kept, content = again.read(number(2))
    assert content == b"" and kept.error == ErrorReport("TooLarge", "too wide")


@pytest.mark.parametrize("size", [0, 1, SHARED_BYTES, SHARED_BYTES + 1, 3 * SHARED_BYTES + 17])
def test_answers_of_every_size_come_back(tmp_path: Path, clock: Clock, size: int) -> None:
    results = store(tmp_path, clock)
    content = bytes(range(251)) * (size // 251 + 1)
    memory = Memory.of([content[:size]]) if size else None
    kept = header(number(1), clock, size)
    results.add(number(1), results.write(kept, [memory.view()] if memory else []))
    _, found = results.read(number(1))
    assert isinstance(found, Memory) == (size > SHARED_BYTES)
    assert (found.read() if isinstance(found, Memory) else found) == content[:size]


def test_the_oldest_go_where_all_are_too_large(tmp_path: Path, clock: Clock) -> None:
    results = store(tmp_path, clock, retain_bytes=3 * BLOCK_BYTES)
    for at in range(1, 6):
        clock.now_s += 1
        keep(results, number(at), b"x" * 100, clock)
    assert list(results.index) == [number(3), number(4), number(5)]
    assert sorted(path.stem for path in results.folder.glob("*.qfr")) == ["3.3", "3.4", "3.5"]
    assert [gone for gone, _ in results.gone] == [number(1), number(2)]
    with pytest.raises(ResultExpired):
        results.read(number(1))
    assert "results.retain_s" in str(results.expired(number(1)))
    with pytest.raises(NoCapacity, match=r"results\.retain_bytes is 12288"):
        keep(results, number(6), b"x" * (3 * BLOCK_BYTES + 1), clock)
    assert list(results.index) == [number(3), number(4), number(5)]


def test_old_results_go_also_while_no_daemon_runs(tmp_path: Path, clock: Clock) -> None:
    results = store(tmp_path, clock, retain_s=60.0)
    keep(results, number(1), b"a", clock)
    clock.now_s += 50
    keep(results, number(2), b"b", clock)
    clock.now_s += 10
    results.prune()
    assert list(results.index) == [number(1), number(2)]
    clock.now_s += 1
    results.prune()
    assert list(results.index) == [number(2)] and results.register.expired == {number(1): UID}
    results.close()
    clock.now_s += 100
    again = store(tmp_path, clock, retain_s=60.0)
    assert not again.index and again.taken == 0
    assert again.register.expired == {number(1): UID, number(2): UID}


@pytest.mark.parametrize("size", [10, SHARED_BYTES + 100])
def test_no_changed_byte_is_taken_for_a_result(tmp_path: Path, clock: Clock, size: int) -> None:
    results = store(tmp_path, clock)
    keep(results, number(1), b"\x55" * size, clock)
    path = path_of(results.folder, number(1))
    whole = path.read_bytes()
    places = [*range(60), len(whole) // 2, len(whole) - 1]
    for at in places:
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(ResultDamaged, match="Run the task again"):
            results.read(number(1))
    for changed in (whole[:5], whole[:-1], whole + b"x", b""):
        path.write_bytes(changed)
        with pytest.raises(ResultDamaged):
            results.read(number(1))
    path.write_bytes(whole)
    results.read(number(1))


def test_a_damaged_file_is_counted_and_says_why_there_is_no_result(tmp_path: Path, clock: Clock) -> None:
    first = store(tmp_path, clock)
    first.register.accept(number(1), UID)
    keep(first, number(1), b"a", clock)
    keep(first, number(2), b"b", clock)
    first.close()
    path_of(first.folder, number(1)).write_bytes(b"junk")
    (first.folder / "3.9.new").write_bytes(b"cut short")
    (first.folder / "notes.txt").write_text("somebody's")
    again = store(tmp_path, clock)
    assert set(again.index) == {number(1), number(2)} and again.damaged == {number(1)}
    assert again.index[number(1)].uid == UID
    with pytest.raises(ResultDamaged):
        again.read(number(1))
    assert sorted(path.name for path in again.folder.iterdir()) == [
        "3.1.qfr",
        "3.2.qfr",
        "notes.txt",
        "tasks",
    ]


def test_strange_things_in_the_folder_stop_nobody(tmp_path: Path, clock: Clock) -> None:
    first = store(tmp_path, clock)
    for sequence in range(1, 5):
        keep(first, number(sequence), b"content", clock)
    folder, whole = first.folder, path_of(first.folder, number(4)).read_bytes()
    first.close()
    for sequence in (1, 2, 3):
        path_of(folder, number(sequence)).unlink()
    os.mkfifo(path_of(folder, number(1)))
    path_of(folder, number(2)).symlink_to(path_of(folder, number(4)))
    path_of(folder, number(3)).mkdir()
    path_of(folder, number(5)).symlink_to("nowhere")
    (folder / "left.new").mkdir()
    for name in ("-1.5", f"0{task_name(number(4))}", "18446744073709551616.1", f" {task_name(number(4))}"):
        (folder / f"{name}.qfr").write_bytes(whole)
    again = store(tmp_path, clock)
    assert list(again.damaged) and set(again.index) >= {number(4)}
    assert again.taken == sum(entry.taken for entry in again.index.values())
    for sequence in (1, 2, 5):
        with pytest.raises(ResultDamaged, match=r"no regular file|is a link"):
            again.read(number(sequence))
    assert again.read(number(4))[1] == b"content"
    again.limit(ResultSettings(retain_bytes=0))
    assert not again.index and not path_of(folder, number(4)).exists()
    again.close()


def test_a_full_disk_is_an_error_of_that_result_alone(tmp_path: Path, clock: Clock) -> None:
    results = store(tmp_path, clock)
    with files_of_at_most(8192), pytest.raises(NoCapacity, match=r"cannot be kept.*Make room"):
        keep(results, number(1), b"x" * 20_000, clock)
    assert list(results.folder.iterdir()) == [results.folder / "tasks"]
    keep(results, number(1), b"x" * 20_000, clock)
    assert results.read(number(1))[1] == b"x" * 20_000


def test_the_register_tells_what_became_of_a_task(tmp_path: Path, clock: Clock) -> None:
    first = store(tmp_path, clock, retain_s=60.0)
    for at in (1, 2, 3):
        first.register.accept(number(at), UID)
    keep(first, number(1), b"a", clock)
    clock.now_s += 61
    keep(first, number(2), b"b", clock)
    first.register.flush()
    # It is killed: nothing is closed. Its last record was cut short, one before was damaged.
    path = first.folder / "tasks"
    content = path.read_bytes()
    path.write_bytes(content + b"A\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0" + b"A\0\0")
    again = store(tmp_path, clock, retain_s=60.0)
    assert again.register.expired == {number(1): UID}
    assert again.register.interrupted == {number(3): UID}
    assert list(again.index) == [number(2)]
    again.close()
    third = store(tmp_path, clock, retain_s=60.0)
    assert third.register.interrupted == {number(3): UID} and third.register.expired == {number(1): UID}


def test_the_register_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "MAX_REMEMBERED", 10)
    monkeypatch.setattr(register, "MAX_OBSOLETE", 100)
    made = register.Register(tmp_path / "tasks")
    made.begin(set())
    sizes = []
    for at in range(1, 1000):
        made.accept(number(at), UID)
        made.end(number(at))
        made.expire(number(at), UID)
        made.flush()
        sizes.append((tmp_path / "tasks").stat().st_size)
    assert max(sizes) <= 17 * 125
    assert list(made.expired) == [number(at) for at in range(990, 1000)]
    made.close()
    again = register.Register(tmp_path / "tasks")
    assert list(again.expired) == list(made.expired)


def test_a_register_that_cannot_be_written_stops_nobody(tmp_path: Path) -> None:
    made = register.Register(tmp_path / "tasks")
    made.begin(set())
    with files_of_at_most(0):
        made.accept(number(1), UID)
        made.flush()
    assert made.accepted == {number(1): UID}
    made.accept(number(2), UID)
    made.flush()
    again = register.Register(tmp_path / "tasks")
    assert again.accepted == {number(2): UID}


RETAIN_S, RETAIN_BYTES = 30.0, 5 * BLOCK_BYTES


class StoreAgainstModel(RuleBasedStateMachine):
    """Any order of keeping, waiting, damage and new daemons: what a list of (number, time, bytes) says."""

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.folder = tempfile.TemporaryDirectory(prefix="qfw-store-")
        self.clock = Clock()
        self.made = 0
        self.model: list[tuple[int, float, bytes]] = []
        self.expired: set[int] = set()
        self.damaged: set[int] = set()
        self.open()

    def open(self) -> None:
        self.store = store(Path(self.folder.name), self.clock, retain_s=RETAIN_S, retain_bytes=RETAIN_BYTES)

    def forget(self) -> None:
        def blocks(content: bytes) -> int:
            # The header fits beside a content of this test's sizes: one block more at most.
            size = path_sizes[content]
            return -(-size // BLOCK_BYTES) * BLOCK_BYTES

        path_sizes = {content: len(content) + self.header_bytes for _, _, content in self.model}
        while self.model and (
            self.clock.now_s - self.model[0][1] > RETAIN_S
            or sum(blocks(content) for _, _, content in self.model) > RETAIN_BYTES
        ):
            gone, _, _ = self.model.pop(0)
            self.expired.add(gone)
            self.damaged.discard(gone)

    @rule(size=st.sampled_from([0, 1, 1000, 5000, 9000]), key=st.sampled_from(["", "k"]))
    def keep(self, size: int, key: str) -> None:
        self.made += 1
        content = bytes([self.made % 256]) * size
        self.store.register.accept(number(self.made), UID)
        kept = header(number(self.made), self.clock, size, key=key)
        entry = self.store.write(kept, [content])
        path = path_of(self.store.folder, number(self.made))
        self.header_bytes = path.stat().st_size - size
        self.store.add(number(self.made), entry)
        self.model.append((number(self.made), self.clock.now_s, content))
        self.forget()

    @rule(seconds=st.sampled_from([0.5, 10.0, 29.0]))
    def wait(self, seconds: float) -> None:
        self.clock.now_s += seconds
        self.store.prune()
        self.forget()

    @rule(orderly=st.booleans())
    def another_daemon(self, orderly: bool) -> None:
        if orderly:
            self.store.close()
        else:
            self.store.register.flush()
        self.open()
        self.forget()

    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        whole = [task for task, _, content in self.model if task not in self.damaged and content]
        if whole:
            task = data.draw(st.sampled_from(whole))
            path = path_of(self.store.folder, task)
            content = bytearray(path.read_bytes())
            content[-1] ^= 0xFF
            path.write_bytes(content)
            self.damaged.add(task)

    @invariant()
    def agrees(self) -> None:
        assert list(self.store.index) == [task for task, _, _ in self.model]
        assert set(self.store.register.expired) == self.expired
        assert not self.store.register.interrupted
        files = {path.stem for path in self.store.folder.glob("*.qfr")}
        assert files == {task_name(task) for task, _, _ in self.model}
        assert self.store.taken <= RETAIN_BYTES
        for task, _, content in self.model:
            try:
                assert self.store.read(task)[1] == content and task not in self.damaged
            except ResultDamaged:
                assert task in self.damaged

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()


StoreAgainstModel.TestCase.settings = hypothesis_settings(
    max_examples=40, stateful_step_count=30, deadline=None
)
test_the_store_does_what_its_model_does = StoreAgainstModel.TestCase
