"""Sealed memory: what is believed, what is refused, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import os
import resource
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import WireError
from qfw.qpm import frames, shared, wire
from qfw.qpm.frames import FrameReader, Parcel, Receiver
from qfw.qpm.outbox import Outbox
from qfw.qpm.shared import MAX_SHARED_BYTES, Memory
from tests.stack import memory_maps, open_fds

ALL = ("F_SEAL_SHRINK", "F_SEAL_GROW", "F_SEAL_WRITE", "F_SEAL_SEAL")


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = open_fds()
    yield
    gc.collect()
    assert open_fds() == before and not memory_maps()


def memfd(size: int = 100, seals: tuple[str, ...] = ALL) -> int:
    fd = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, size)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, sum(getattr(fcntl, seal) for seal in seals))
    return fd


def test_what_was_written_is_mapped_and_cannot_be_changed() -> None:
    values = np.arange(300_000.0)
    memory = Memory.of([b"head", values.data, b"", values[:3].data])
    expected = b"head" + values.tobytes() + values[:3].tobytes()
    assert memory.size == len(expected)
    view = memory.view()
    assert bytes(view) == expected and view.readonly
    for act in (
        lambda: os.write(memory.fd, b"x"),
        lambda: os.ftruncate(memory.fd, 1),
        lambda: os.ftruncate(memory.fd, 10**7),
    ):
        with pytest.raises(PermissionError):
            act()


def test_it_stays_as_long_as_an_array_looks_at_it() -> None:
    memory = Memory.of([np.arange(1000.0).data])
    before = open_fds()
    values = np.frombuffer(memory.view(), dtype="<f8")
    assert open_fds() == before, "a mapping needs no descriptor"
    memory.close()
    memory.close()
    with pytest.raises(ValueError, match="closed"):
        memory.view()
    row = values[10:20]
    del memory, values
    gc.collect()
    assert row.tolist() == list(range(10, 20)) and memory_maps()
    del row
    gc.collect()
    assert not memory_maps()


def pipe_end() -> int:
    reader, writer = os.pipe()
    os.close(writer)
    return reader


def plain_file(folder: str | None = None) -> int:
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"x" * 100)
        file.flush()
        return os.dup(file.fileno())


STRANGE: dict[str, Callable[[], int]] = {
    **{f"without {seal}": lambda seal=seal: memfd(seals=tuple(set(ALL) - {seal})) for seal in ALL},  # type: ignore[misc]
    "not sealed": lambda: memfd(seals=()),
    "empty": lambda: memfd(0),
    "too large": lambda: memfd(MAX_SHARED_BYTES + 1),
    "a pipe": pipe_end,
    "a file": plain_file,
    "a file in memory": lambda: plain_file("/dev/shm"),
    "a folder": lambda: os.open("/", os.O_RDONLY),
    "a device": lambda: os.open("/dev/zero", os.O_RDONLY),
}


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE.keys())
def test_what_is_not_believed(make: Callable[[], int]) -> None:
    with pytest.raises(WireError):
        Memory(make()).check()


def test_the_largest_is_believed() -> None:
    memory = Memory(memfd(MAX_SHARED_BYTES))
    memory.check()
    assert memory.size == MAX_SHARED_BYTES


def test_a_mapping_that_fails_is_an_error_of_the_system() -> None:
    with Path("/dev/null").open() as file, pytest.raises(OSError, match="mmap"):
        shared.mapped(file.fileno(), 4096)


# With frames -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        yield ours, theirs


def read_all(sock: socket.socket, reader: FrameReader, size: int = 1 << 18) -> list[bytes]:
    """Bodies of what is there."""
    receiver, bodies = Receiver(size), []
    with contextlib.suppress(BlockingIOError):
        while True:
            chunk, memories = receiver.receive_with_memory(sock)
            bodies += reader.feed(chunk, memories)
            if not chunk:
                break
    return bodies


def message(number: int, length: int) -> wire.Reply:
    return wire.Reply(number, b"y" * length)


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    messages=st.lists(st.tuples(st.booleans(), st.integers(0, 300_000)), max_size=12),
    size=st.integers(1, 70_000),
    flushes=st.integers(1, 12),
)
def test_memory_comes_with_its_own_frame_however_they_are_cut(
    messages: list[tuple[bool, int]], size: int, flushes: int
) -> None:
    with sockets() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        outbox, reader = Outbox(ours), FrameReader(2**20, parcels=True)
        found: list[bytes] = []
        for number, (large, length) in enumerate(messages):
            if large:
                outbox.put(frames.pack_parcel(message(number, length), Memory.of([b"%d" % number])))
            else:
                outbox.put(frames.pack(message(number, length)))
            if number % flushes == 0:
                outbox.flush()
                found += read_all(theirs, reader, size)
        while not outbox.flush() or len(found) < len(messages):
            found += read_all(theirs, reader, size)
        for number, ((large, length), body) in enumerate(zip(messages, found, strict=True)):
            assert body == frames.encode(message(number, length))
            assert isinstance(body, Parcel) == large
            if isinstance(body, Parcel):
                assert body.memory is not None
                body.memory.check()
                assert bytes(body.memory.view()) == b"%d" % number
        assert outbox.unread() == (0, 0)


PLAIN = frames.pack(message(1, 10))
FLAGGED = bytes([PLAIN[0] | 0x80]) + PLAIN[1:]


def send(sock: socket.socket, data: bytes, *fds: int) -> None:
    """Both, and closes the descriptors here."""
    socket.send_fds(sock, [data], fds)
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([(PLAIN, 1)], id="with a plain frame"),
        pytest.param([(PLAIN * 2, 1)], id="with two"),
        pytest.param([(PLAIN[:5], 0), (PLAIN[5:], 1)], id="with the rest of one"),
        pytest.param([(PLAIN[:5], 1), (PLAIN[5:], 0)], id="with the begin of one"),
        pytest.param([(PLAIN[:2], 1), (PLAIN[2:], 0)], id="with half a header"),
        pytest.param([(FLAGGED[:5], 1), (FLAGGED[5:], 1)], id="a second one with the same frame"),
        pytest.param([(FLAGGED, 1), (PLAIN, 1)], id="with the frame behind"),
    ],
)
def test_a_descriptor_that_no_frame_announced(sent: list[tuple[bytes, int]]) -> None:
    with sockets() as (ours, theirs):
        for data, count in sent:
            send(ours, data, *(memfd() for _ in range(count)))
        with pytest.raises(WireError, match="no frame had announced"):
            read_all(theirs, FrameReader(1000, parcels=True))


def test_more_than_one_descriptor() -> None:
    for count in (2, 3, 200):
        with sockets() as (ours, theirs):
            send(ours, FLAGGED, *(memfd() for _ in range(count)))
            with pytest.raises(WireError, match="no frame had announced"):
                read_all(theirs, FrameReader(1000, parcels=True))


def test_a_frame_that_comes_without_its_descriptor() -> None:
    with sockets() as (ours, theirs):
        ours.send(FLAGGED)
        with pytest.raises(WireError, match="came without"):
            read_all(theirs, FrameReader(1000, parcels=True))


def test_who_takes_none_refuses_the_frame_and_the_kernel_closes_them() -> None:
    with sockets() as (ours, theirs):
        send(ours, FLAGGED, memfd())
        with pytest.raises(WireError, match="announced"):
            FrameReader(1000).feed(Receiver().receive(theirs))


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_process_without_a_descriptor_left_knows_which_frame_lost_its_own() -> None:
    with sockets() as (ours, theirs):
        outbox, reader = Outbox(ours), FrameReader(1000, parcels=True)
        for number in range(3):
            outbox.put(frames.pack_parcel(message(number, 0), Memory.of([b"%d" % number])))
            outbox.put(frames.pack(message(10 + number, 0)))
        outbox.flush()
        with no_more_descriptors():
            first, *rest = reader.feed(*Receiver().receive_with_memory(theirs))
        assert isinstance(first, Parcel) and first.memory is None and not rest
        plain, second, *rest = read_all(theirs, reader)
        assert not isinstance(plain, Parcel)
        assert isinstance(second, Parcel) and second.memory is not None and len(rest) == 3


def test_what_waits_and_what_is_unread_counts_as_its_size() -> None:
    with sockets() as (ours, theirs):
        outbox = Outbox(ours)
        memory = Memory.of([bytes(2**20)])
        parcel = frames.pack_parcel(message(1, 0), memory)
        outbox.put(parcel)
        assert outbox.unread() == (len(parcel) + 2**20, 1)
        assert outbox.flush()
        with pytest.raises(ValueError, match="closed"):
            memory.fd  # noqa: B018
        assert outbox.unread() == (2**20, 1)
        chunk, memories = Receiver(4).receive_with_memory(theirs)
        assert len(chunk) == 4 and memories[0] is not None
        assert outbox.unread() == (2**20, 1), "the frame is not read to its end"
        assert FrameReader(1000, parcels=True).feed(chunk, memories) == []
        assert theirs.recv(1000) == parcel[4:]
        assert outbox.unread() == (0, 0)


def test_what_waits_for_a_peer_that_is_gone_is_released() -> None:
    with sockets() as (ours, theirs):
        outbox = Outbox(ours)
        outbox.put(frames.pack_parcel(message(1, 0), Memory.of([b"x"])))
        theirs.close()
        with pytest.raises(OSError):
            outbox.flush()
        outbox.clear()
        assert outbox.unread() == (0, 0) and outbox.flush()


CROWD = 400


def test_more_descriptors_on_their_way_than_the_system_takes() -> None:
    """The kernel bounds them for each user who is not root; what it refuses waits."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if _survives_a_crowd() else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _survives_a_crowd() -> bool:
    # What other tests have open counts in the limit, too.
    os.closerange(3, 4096)
    if os.geteuid() == 0:
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
    with sockets() as (ours, theirs):
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**21)
        outbox, reader, found = Outbox(ours), FrameReader(1000, parcels=True), 0
        for number in range(CROWD):
            outbox.put(frames.pack_parcel(message(number, 0), Memory.of([b"%d" % number])))
        resource.setrlimit(resource.RLIMIT_NOFILE, (50, 50))
        assert not outbox.flush() and outbox.crowded
        while found < CROWD:
            bodies = reader.feed(*Receiver().receive_with_memory(theirs))
            for body in bodies:
                assert isinstance(body, Parcel) and body.memory is not None
                body.memory.check()
                assert bytes(body.memory.view()) == b"%d" % found
                found += 1
            outbox.flush()
        return not outbox.crowded and outbox.unread() == (0, 0)
