"""CompiledProgram: what it carries is used where it fits, finished where it is old, and results stay the same."""

from __future__ import annotations

import hashlib
import os
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

import qfw
from qfw.formats import compiled_file
from qfw.model.errors import CompiledFileError, OptionError, SetupError, UnsupportedFeature
from qfw.model.events import TaskLowering
from qfw.model.native import check_native
from qfw.model.outputs import Counts, Expectation
from qfw.model.program import Gate, Measure, Program, slot
from qfw.platforms.twin.models import model
from qfw.qpi.compiled import CompiledProgram
from qfw.qpm.tool import Target
from tests.stack import LIMIT_S, events_of, running_daemon

TWIN = Target(*model("heavy-hex-20"))
GHZ = Program(
    3,
    3,
    1,
    (
        Gate("h", (2,)),
        Gate("h", (2,)),
        Gate("ry", (0,), (slot(0),)),
        *(Gate("cx", (0, q)) for q in (1, 2)),
        *(Measure(q, q) for q in range(3)),
    ),
)
BARE = Program(3, 0, 1, GHZ.operations[2:5])
ZZ = (Expectation((qfw.PauliSum.of("Z0 Z2"),)),)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[qfw.Session]:
    settings = """
engines = ["reference"]
workers.count = 1
[tools]
cache_bytes = 0
[platforms.twin]
options = { devices = ["twin-20"] }
"""
    with running_daemon(settings) as folder, qfw.Session(runtime_folder=folder) as opened:
        yield opened


def made(session: qfw.Session) -> int:
    """How often tasks waited for tools."""
    return sum(isinstance(event, TaskLowering) for event in events_of(session.folder))


def test_it_is_a_program_that_files_and_pickles_keep(tmp_path: Path) -> None:
    compiled = CompiledProgram.make(GHZ, "default", [TWIN])
    assert isinstance(compiled, qfw.Program) and compiled.digest == GHZ.digest
    assert compiled.compiled_for == (("twin-20", TWIN.version),)
    lowered = compiled.lowered_for("twin-20")
    check_native(Program.decode(lowered.encoded), TWIN.profile)
    assert [row.stage for row in lowered.stages] == ["reduce", "transpile", "reduce-2"]
    assert lowered.encoded == qfw.ToolPipeline.preset("default").lower(GHZ, TWIN).program.encoded
    compiled.save(tmp_path / "a.qfw")
    for again in (CompiledProgram.load(tmp_path / "a.qfw"), pickle.loads(pickle.dumps(compiled))):
        assert again.contents == compiled.contents and again.pipeline == compiled.pipeline
        assert again.operations == compiled.operations
    assert [path.name for path in tmp_path.iterdir()] == ["a.qfw"]
    with pytest.raises(OptionError, match="did you mean 'twin-20'"):
        compiled.lowered_for("twin-21")


def test_what_does_not_reach_the_gates_is_refused() -> None:
    with pytest.raises(UnsupportedFeature, match=r"behind stage 'reduce'.*twin-20"):
        CompiledProgram.make(GHZ, qfw.ToolPipeline(["reduce"]), [TWIN])
    with pytest.raises(OptionError, match="once for each device"):
        CompiledProgram.make(GHZ, "fast", [TWIN, TWIN])


def test_it_runs_without_tools_where_it_fits(session: qfw.Session) -> None:
    device = session.device("twin-20")
    for program, outputs in ((GHZ, Counts()), (BARE, Counts()), (BARE, ZZ)):
        compiled = CompiledProgram.make(program, "default", [device])
        before = made(session)
        with device.stream() as stream:
            found = stream.run(compiled, [1.1], shots=500, seed=3, outputs=outputs).result(LIMIT_S)
            rows = [stream.run(compiled, [0.1 * k], shots=10, outputs=outputs) for k in range(5)]
            for future in rows:
                future.result(LIMIT_S)
        assert made(session) == before, "tools were run"
        with device.stream(pipeline="default") as stream:
            same = stream.run(program, [1.1], shots=500, seed=3, outputs=outputs).result(LIMIT_S)
        assert made(session) == before + 1
        if outputs == ZZ:
            assert found.expectation_values.tolist() == same.expectation_values.tolist()
        else:
            assert found.counts == same.counts


def test_an_old_one_is_only_finished(session: qfw.Session) -> None:
    device = session.device("twin-20")
    profile, calibration = device.profile, device.calibration()
    assert calibration is not None
    old = Target(profile, msgspec.structs.replace(calibration, version="of-last-week"))
    # No other test has it lowered.
    fresh = Program(3, 3, 1, (*GHZ.operations[:2], Gate("t", (1,)), *GHZ.operations[2:]))
    compiled = CompiledProgram.make(fresh, "default", [old])
    front, rest, offers = compiled.part_for(device)
    assert [stage.name for stage in rest.stages] == ["transpile", "reduce-2"] and len(offers) == 1
    assert len(front.operations) == len(fresh.operations) - 2, "what reduce made is not kept"
    before = made(session)
    with device.stream() as stream:
        found = stream.run(compiled, [1.1], shots=500, seed=3).result(LIMIT_S)
    assert made(session) == before + 1
    with device.stream(pipeline="default") as stream:
        assert stream.run(fresh, [1.1], shots=500, seed=3).result(LIMIT_S).counts == found.counts


def test_on_another_device_all_stages_run(session: qfw.Session) -> None:
    other = Target(msgspec.structs.replace(TWIN.profile, name="elsewhere"), TWIN.calibration)
    compiled = CompiledProgram.make(GHZ, "fast", [other])
    device = session.device("twin-20")
    assert compiled.part_for(device) == (compiled, compiled.pipeline, ())
    with device.stream() as stream:
        counts = stream.run(compiled, [0.0], shots=100).result(LIMIT_S).counts[0]
    assert counts["000"] > 60


def test_on_a_mesh_it_runs_without_tools_too(session: qfw.Session, tmp_path: Path) -> None:
    device = session.device("twin-20")
    path = tmp_path / "ghz.qfw"
    CompiledProgram.make(GHZ, qfw.ToolPipeline(["transpile"]), [device]).save(path)
    before = made(session)
    with session.mesh(["twin-20"]).stream() as stream:
        found = stream.run(session.load(path), [0.0], shots=100).result(LIMIT_S)
    assert found.counts[0]["000"] > 60 and made(session) == before


def test_a_stream_with_a_pipeline_of_its_own_refuses_it(session: qfw.Session) -> None:
    compiled = CompiledProgram.make(GHZ, "fast")
    stream = session.device("twin-20").stream(pipeline="fast")
    with stream, pytest.raises(OptionError, match="compiled with a pipeline"):
        stream.run(compiled, [0.0], shots=10)


def test_one_without_stages_goes_as_it_is(session: qfw.Session) -> None:
    compiled = CompiledProgram.make(GHZ, "none", [session.device("reference")])
    assert CompiledProgram.from_bytes(compiled.to_bytes()).pipeline.stages == ()
    with session.device("reference").stream() as stream:
        assert stream.run(compiled, [0.0], shots=10).result(LIMIT_S).counts == [{"000": 10}]


def test_a_wrong_offer_is_passed_over(session: qfw.Session) -> None:
    device = session.device("twin-20")
    compiled = CompiledProgram.make(GHZ, qfw.ToolPipeline([("transpile", {"seed": 5})]), [device])
    row = compiled.contents.lowered[0]
    wrong = msgspec.structs.replace(row, layout=(0, 0, 0))
    forged = CompiledProgram._of(msgspec.structs.replace(compiled.contents, lowered=(wrong,)))
    before = made(session)
    with device.stream() as stream:
        assert stream.run(forged, [0.0], shots=100).result(LIMIT_S).counts[0]["000"] > 60
    assert made(session) == before + 1


DATA = CompiledProgram.make(GHZ, "fast", [TWIN]).to_bytes()
HEAD = struct.Struct(">8sHQ32s")


def forged(**changes: object) -> bytes:
    contents = msgspec.structs.replace(compiled_file.unpack(DATA), **changes)
    return compiled_file.pack(contents)


def of_body(body: bytes) -> bytes:
    digest = hashlib.blake2b(body, digest_size=32).digest()
    return HEAD.pack(compiled_file.MAGIC, compiled_file.FORMAT_VERSION, len(body), digest) + body


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "does not begin"),
        (b"OPENQASM 3;", "does not begin"),
        (DATA.replace(b"\r\n", b"\n", 1), "does not begin"),
        (DATA[:20], "cut off"),
        (DATA[:-1], "cut off"),
        (DATA + b"x", "added"),
        (DATA[:200] + bytes([DATA[200] ^ 64]) + DATA[201:], "checksum"),
        (DATA[:8] + b"\x00\x02" + DATA[10:], "format 2; this QFw reads format 1"),
        (of_body(b"\xc1"), "no .qfw file that QFw wrote"),
        (of_body(b"\x91" * 100_000), "no .qfw file that QFw wrote"),
        (of_body(b"\xdd\xff\xff\xff\xff"), "no .qfw file that QFw wrote"),
        (forged(program=BARE.encoded), "the one that its digest"),
        (forged(program=b"\xc0"), "not a program"),
        (forged(pipeline=b"\x91\x90\x90"), "no pipeline"),
        (
            forged(
                lowered=(msgspec.structs.replace(compiled_file.unpack(DATA).lowered[0], layout=(0, 1, 1)),)
            ),
            "places",
        ),
        (
            forged(lowered=(msgspec.structs.replace(compiled_file.unpack(DATA).lowered[0], front_stages=9),)),
            "9 stages of 1",
        ),
    ],
)
def test_what_is_no_such_file(data: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "x.qfw"
    file.write_bytes(data)
    with pytest.raises(CompiledFileError, match=said) as caught:
        CompiledProgram.load(file)
    assert str(file) in str(caught.value)


def test_every_damaged_byte_is_seen() -> None:
    for at in range(0, len(DATA), 37):
        damaged = DATA[:at] + bytes([DATA[at] ^ 1]) + DATA[at + 1 :]
        with pytest.raises(CompiledFileError):
            CompiledProgram.from_bytes(damaged)


def test_files_that_cannot_be_read_or_written(tmp_path: Path) -> None:
    compiled = CompiledProgram.from_bytes(DATA)
    with pytest.raises(SetupError, match=r"cannot read .*none\.qfw: No such file"):
        CompiledProgram.load(tmp_path / "none.qfw")
    with pytest.raises(SetupError, match=r"it is no file|Is a directory"):
        CompiledProgram.load(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SetupError, match="it is no file"):
        CompiledProgram.load(tmp_path / "fifo")
    with (tmp_path / "large.qfw").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(SetupError, match="1073741824 bytes; at most"):
        CompiledProgram.load(tmp_path / "large.qfw")
    with pytest.raises(SetupError, match="cannot write"):
        compiled.save(tmp_path / "nowhere" / "a.qfw")
    with pytest.raises(SetupError, match="cannot write"):
        compiled.save(tmp_path)
