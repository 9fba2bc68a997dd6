"""The client's end of the wire, against a daemon that sends what the test says."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.config.runtime import socket_path
from qfw.model.errors import DaemonLost, NoCapacity, WireError
from qfw.qpm import frames, wire
from qfw.qpm.incoming import Mapped
from qfw.qpm.outbox import Outbox
from qfw.qpm.remote import Link
from qfw.qpm.shared import Memory
from tests.qpm.test_shared import FLAGGED, PLAIN, STRANGE, memfd, message, no_more_descriptors, send
from tests.stack import LIMIT_S, memory_maps, open_fds, runtime_folder, until


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    gc.collect()
    before = open_fds()
    yield
    gc.collect()
    assert open_fds() == before and not memory_maps()


@contextlib.contextmanager
def linked() -> Iterator[tuple[Link, socket.socket]]:
    """A link, and the socket of its daemon."""
    with runtime_folder() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(socket_path(folder)))
        listener.listen()
        accepted: list[socket.socket] = []

        def greet() -> None:
            sock, _ = listener.accept()
            sock.recv(65536)
            sock.sendall(frames.pack(wire.Welcome(wire.WIRE_VERSION, "1", 1, 1, [], 5)))
            accepted.append(sock)

        thread = threading.Thread(target=greet)
        thread.start()
        link = Link(folder, "test", wire.SESSION, LIMIT_S)
        thread.join()
        with accepted[0], contextlib.closing(link):
            yield link, accepted[0]


def read(link: Link) -> list[bytes]:
    """What is there, and comes within a moment."""
    bodies = link.receive(0.01)
    link.taken()
    return bodies


@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    messages=st.lists(st.tuples(st.booleans(), st.integers(0, 150_000)), max_size=10),
    repeats=st.integers(0, 2),
)
def test_memory_is_mapped_with_its_own_message(messages: list[tuple[bool, int]], repeats: int) -> None:
    """However often a message is given before it is taken."""
    with linked() as (link, sock):
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
        outbox, found = Outbox(sock), []
        for number, (large, length) in enumerate(messages):
            if large:
                outbox.put(frames.pack_parcel(message(number, length), Memory.of([b"%d" % number])))
            else:
                outbox.put(frames.pack(message(number, length)))
        while not outbox.flush() or len(found) < len(messages):
            for _ in range(repeats):
                link.receive(0)
            found += read(link)
        for number, ((large, length), body) in enumerate(zip(messages, found, strict=True)):
            assert body == frames.encode(message(number, length))
            assert isinstance(body, Mapped) == large
            if isinstance(body, Mapped):
                assert isinstance(body.content, memoryview) and bytes(body.content) == b"%d" % number
        del found
        assert outbox.unread() == (0, 0)


@pytest.mark.parametrize("make", STRANGE.values(), ids=STRANGE.keys())
def test_memory_that_is_not_believed_ends_the_connection(make: Callable[[], int]) -> None:
    with linked() as (link, sock):
        send(sock, FLAGGED, make())
        with pytest.raises(WireError):
            link.receive(LIMIT_S)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param([(PLAIN, 1)], id="unasked"),
        pytest.param([(PLAIN[:6], 1), (PLAIN[6:], 0)], id="unasked, in two"),
        pytest.param([(FLAGGED, 2)], id="two"),
        pytest.param([(FLAGGED, 0)], id="none"),
    ],
)
def test_descriptors_that_do_not_fit_their_frames(sent: list[tuple[bytes, int]]) -> None:
    with linked() as (link, sock):
        for data, count in sent:
            send(sock, data, *(memfd() for _ in range(count)))
        with pytest.raises(WireError, match="descriptor"):
            for _ in sent:
                link.receive(LIMIT_S)


def test_a_process_without_a_descriptor_left_loses_that_result_only() -> None:
    with linked() as (link, sock):
        for number in range(2):
            with contextlib.closing(Memory.of([b"%d" % number])) as memory:
                send(sock, frames.pack_parcel(message(number, 0), memory), os.dup(memory.fd))
        with no_more_descriptors():
            (first,) = read(link)
        assert isinstance(first, Mapped) and isinstance(first.content, NoCapacity)
        assert "ulimit -n" in str(first.content)
        (second,) = read(link)
        assert isinstance(second, Mapped) and bytes(second.content) == b"1"  # type: ignore[arg-type]


def test_what_came_and_was_not_taken_is_closed_with_the_link() -> None:
    with linked() as (link, sock):
        send(sock, FLAGGED + PLAIN, memfd())
        send(sock, FLAGGED[:7], memfd())
        assert len(link.receive(LIMIT_S)) >= 1
        link.taken()
        link.receive(LIMIT_S)
        sock.close()
        with pytest.raises(DaemonLost):
            for _ in range(3):
                link.receive(LIMIT_S)


class _Interrupted(Exception):
    pass


def test_interruptions_lose_no_descriptor_and_close_none_twice() -> None:
    """A signal handler raises again and again, wherever the reader is."""

    def raise_it(*_: object) -> None:
        if armed:
            raise _Interrupted

    count = 400
    with linked() as (link, sock):
        armed = False
        before = signal.signal(signal.SIGUSR1, raise_it)
        done = threading.Event()

        def serve() -> None:
            for number in range(count):
                with contextlib.closing(Memory.of([b"%d" % number] * 100)) as memory:
                    send(sock, frames.pack_parcel(message(number, number), memory), os.dup(memory.fd))

        def interrupt() -> None:
            while not done.wait(0.0003):
                os.kill(os.getpid(), signal.SIGUSR1)

        threads = [threading.Thread(target=serve), threading.Thread(target=interrupt)]
        found: list[bytes] = []
        interrupts = 0
        try:
            for thread in threads:
                thread.start()
            while len(found) < count:
                kept = len(found)
                try:
                    armed = True
                    bodies = link.receive(1.0)
                    # As a client keeps them: in one step.
                    found[len(found) :] = bodies
                    armed = False
                    link.taken()
                except _Interrupted:
                    armed = False
                    interrupts += 1
                    if len(found) > kept:
                        link.taken()
        finally:
            armed = False
            done.set()
            for thread in threads:
                thread.join(LIMIT_S)
            signal.signal(signal.SIGUSR1, before)
        assert interrupts
        for number, body in enumerate(found):
            assert isinstance(body, Mapped) and body == frames.encode(message(number, number))
            assert bytes(body.content) == b"%d" % number * 100  # type: ignore[arg-type]
        del bodies, body, found
        until(lambda: gc.collect() or not memory_maps(), "all mappings go")
