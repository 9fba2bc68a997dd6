"""Frames and messages, as bytes that anybody may have sent."""

from __future__ import annotations

import socket
import threading

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qfw.model.errors import WireError
from qfw.qpm import frames, wire
from qfw.qpm.outbox import Outbox


@settings(deadline=None, derandomize=True)
@given(
    bodies=st.lists(st.binary(max_size=300), max_size=20),
    cuts=st.lists(st.integers(1, 400), min_size=1, max_size=50),
)
def test_any_cut_of_the_stream_gives_the_same_messages(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(frames.frame(body) for body in bodies)
    reader, found, at, turn = frames.FrameReader(1000), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += reader.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert found == bodies


def test_one_byte_at_a_time() -> None:
    bodies = [b"", b"a", b"bc" * 200, b""]
    reader = frames.FrameReader(1000)
    stream = b"".join(map(frames.frame, bodies))
    assert [body for byte in stream for body in reader.feed(bytes([byte]))] == bodies


@pytest.mark.parametrize("first", [b"", frames.frame(b"before"), frames.frame(b"before")[:5]])
def test_a_frame_too_long_is_refused_before_it_is_read(first: bytes) -> None:
    reader = frames.FrameReader(100)
    with pytest.raises(WireError, match="101 bytes"):
        reader.feed(first)
        reader.feed((frames.frame(b"before")[5:] if len(first) == 5 else b"") + b"\x00\x00\x00\x65")


def test_largest_frame_is_read() -> None:
    assert frames.FrameReader(100).feed(frames.frame(b"x" * 100)) == [b"x" * 100]


DEEP = b"\x91" * 100_000 + b"\x90"
HOSTILE = {
    "nothing": b"",
    "a number": b"\x01",
    "no text": b"\x85\xa4type\xa5hello\xa4wire\x01\xa7version\xa1\xff\xa3pid\x01\xa4name\xa1a",
    "no text in a query": b"\x93\x05\x01\xa1\xff",
    "deep, in a field that is not known": b"\x82\xa4type\xa5hello\xa1x" + DEEP,
    "deep, in a refusal": b"\x82\xa4type\xa7refused\xa1x" + DEEP,
    "deep, behind the fields": b"\x92\x06" + DEEP,
    "deep": DEEP,
    "another tag": b"\x91\x63",
    "too few fields": b"\x92\x05\x01",
    "cut short": b"\x93\x05\x01\xd9",
}
DECODERS = [wire.decode_hello, wire.decode_greeting, wire.decode_request, wire.decode_response]


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("decode", DECODERS)
def test_bytes_that_are_no_message_are_one_kind_of_error(decode, body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(body)


@settings(deadline=None, derandomize=True)
@given(st.binary(max_size=60))
def test_random_bytes_are_one_kind_of_error(body: bytes) -> None:
    for decode in DECODERS:
        try:
            decode(body)
        except msgspec.DecodeError:
            continue


def test_messages_travel() -> None:
    for message in (wire.Cancel([1, 2]), wire.Query(7, "tasks"), wire.Bye(), wire.StoreProgram(b"x")):
        assert wire.decode_request(frames.pack(message)[frames.HEADER_BYTES :]) == message


@settings(deadline=None, derandomize=True, max_examples=30)
@given(st.lists(st.integers(0, 200_000), max_size=12))
def test_outbox_sends_everything_in_order(sizes: list[int]) -> None:
    """Through a socket that takes a part at a time."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        parts = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
        expected = b"".join(parts)
        received = bytearray()

        def read() -> None:
            while len(received) < len(expected):
                received.extend(theirs.recv(65536))

        reader = threading.Thread(target=read)
        reader.start()
        outbox = Outbox(ours)
        for part in parts:
            outbox.put(part)
            outbox.flush()
        ours.setblocking(True)
        while not outbox.flush():
            pass
        reader.join()
        assert outbox.size == 0
        assert bytes(received) == expected
