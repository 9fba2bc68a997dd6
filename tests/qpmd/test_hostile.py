"""Messages of the streams' and pipelines' kinds that no client of ours sends: whoever sends them is let go, alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.model.outputs import Counts, encode_outputs
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.qpm import frames, wire
from tests.stack import SHORT, RawClient, quantum_task, running_daemon


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with running_daemon('engines = ["reference"]\nworkers.count = 1\n') as made:
        yield made


def lives(folder: Path) -> bool:
    with RawClient(folder) as client:
        client.send(wire.Query(1, "counters"))
        return isinstance(client.receive(), wire.Reply)


def options(raw: bytes) -> bytes:
    """A pipeline whose only stage has an option of these bytes."""
    return b"\x91\x91\x93\xa1s\xa1t\x81\xa1o" + raw


@pytest.mark.parametrize(
    "raw",
    [
        b"\x82\x01\x02\xa1a\x03",
        b"\x81\x91\x01\x03",
        b"\x81\x80\x03",
        b"\x82\xc0\x02\x01\x03",
        b"\xa2\xff\xfe",
        b"\x91" * 200_000 + b"\x01",
        b"\xdd\xff\xff\xff\xff",
    ],
    ids=["keys of two types", "a list as key", "a map as key", "nil as key", "no text", "deep", "cut short"],
)
def test_options_that_have_no_canonical_form_end_their_client_only(folder: Path, raw: bytes) -> None:
    with RawClient(folder) as client:
        client.send(wire.StorePipeline(options(raw)))
        answer = client.receive()
        assert isinstance(answer, wire.Refused) and answer.error.code == "OptionError"
    assert lives(folder)


def lowered(text: bytes) -> bytes:
    """A LoweredProgram whose stage has a name of these bytes."""
    report = b"\x98" + bytes([0xA0 | len(text)]) + text + b"\x01" * 4 + b"\xc0\xc0\x00"
    return b"\x93" + msgspec.msgpack.encode(SHORT.encoded) + b"\xc0\x91" + report


@pytest.mark.parametrize(
    ("body", "ends"),
    [(lowered(b"ok"), wire.Done), (lowered(b"\xff\xfe"), wire.Failed)],
    ids=["text", "no text"],
)
def test_a_lowered_program_that_cannot_be_read_fails_its_task_only(
    folder: Path, body: bytes, ends: type
) -> None:
    pipeline = Pipeline((Stage("s", "nobody-has-this-tool", {"for": body}),))
    with RawClient(folder) as client:
        task = quantum_task(client.session, 1, device="reference", pipeline=pipeline.digest)
        client.send(
            wire.StoreProgram(SHORT.encoded), wire.StorePipeline(pipeline.encoded), wire.Submit([task])
        )
        message: Any = client.receive()
        while not isinstance(message, wire.Done | wire.Failed):
            if isinstance(message, wire.NeedLowering):
                client.send(wire.Lowered(message.lowering, None, body))
            message = client.receive()
        assert isinstance(message, ends)
    assert lives(folder)


def peak_bytes(folder: Path) -> int:
    with RawClient(folder) as client:
        lines = Path(f"/proc/{client.welcome.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


@pytest.mark.parametrize(
    ("tag", "item"), [(16, b"\x92\xa0\x90"), (15, b"\x01"), (3, b"\x01"), (4, b"\x92\x01\x01")]
)
def test_long_lists_are_refused_before_they_are_decoded(folder: Path, tag: int, item: bytes) -> None:
    count = 60 * 2**20 // len(item)
    body = bytes([0x92, tag, 0xDD]) + struct.pack(">I", count) + item * count
    with RawClient(folder) as client:
        client.send_bytes(frames.frame(body))
        answer = client.receive()
        assert isinstance(answer, wire.Refused) and answer.error.code == "WireError"
    assert lives(folder)
    # The frame comes whole, is cut out and decoded; its items would take 400 MB or more.
    assert peak_bytes(folder) < 350 * 2**20


@pytest.mark.parametrize("first", [-1, -(2**63), 2**63, 2**64 - 1])
def test_first_sets_beyond_what_seeds_count_are_refused(folder: Path, first: int) -> None:
    with RawClient(folder) as client:
        task = quantum_task(
            client.session,
            1,
            device="reference",
            sets=20,
            parameters=struct.pack("<d", 0.5) * 20,
            shots=10,
            outputs=encode_outputs((Counts(),)),
            first_set=first,
        )
        client.send(wire.StoreProgram(SHORT.encoded), wire.Submit([task]))
        answer = client.receive()
        assert isinstance(answer, wire.Failed)
        assert "first_set" in answer.errors[0][1].message


def test_a_lowered_program_of_the_form_above_is_one() -> None:
    """The tests above stand on bytes written by hand."""
    assert msgspec.msgpack.decode(lowered(b"ok"), type=LoweredProgram).encoded == SHORT.encoded


ASKING = {
    "reserve": lambda n: wire.Reserve(n, "nowhere" * 50, 1, 0.0, 0.0, 1.0),
    "renew": lambda n: wire.Renew(n, 1, 1.0),
    "release": lambda n: wire.Release(n, 1),
    "control": lambda n: wire.Control(n, "stop"),
    "attach": lambda n: wire.Attach(list(range(n * 1024, n * 1024 + 1024))),
}


@pytest.mark.parametrize("make", ASKING.values(), ids=ASKING.keys())
def test_who_asks_and_never_reads_is_let_go(make: Any) -> None:
    with running_daemon('engines = ["reference"]\nworkers.count = 1\nunread_bytes = 4096\n') as folder:
        with RawClient(folder) as client, pytest.raises(OSError):
            for n in range(1_000_000):
                client.send(*[make(n)] * (1 if make is ASKING["attach"] else 500))
        assert lives(folder)
        assert peak_bytes(folder) < 200 * 2**20
