"""What was lowered once is not lowered again, unless something that it depends on is another."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from qfw.config import discover
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Gate, Program, slot
from qfw.platforms.twin.models import model
from qfw.qpm import recall
from qfw.qpm.shelf import Shelf
from qfw.qpm.tool import Target

PROGRAM = Program(3, 0, 1, (Gate("ry", (0,), (slot(0),)), Gate("cx", (0, 2))))
TARGET = Target(*model("heavy-hex-20"))
PIPELINE = Pipeline((Stage("reduce", "reduce"), Stage("transpile", "transpile")))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "lowered", 2**20)


def stages_run(shelf: Shelf, pipeline: Pipeline, program: Program, target: Target) -> list[str]:
    begun: list[str] = []
    recall.lowered(pipeline, program, target, shelf, lambda stage: begun.append(stage.name))
    return begun


def test_it_is_made_once(shelf: Shelf) -> None:
    first, program = recall.lowered(PIPELINE, PROGRAM, TARGET, shelf)
    assert program.encoded == first.encoded
    assert stages_run(shelf, PIPELINE, PROGRAM, TARGET) == []
    again, same = recall.lowered(PIPELINE, PROGRAM, TARGET, shelf)
    assert again == first and same == program
    assert recall.lowered(PIPELINE, PROGRAM, TARGET, None)[0].encoded == first.encoded


def test_all_that_it_depends_on_is_in_the_key(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    stages_run(shelf, PIPELINE, PROGRAM, TARGET)
    profile, calibration = model("heavy-hex-20")
    newer = Target(profile, msgspec.structs.replace(calibration, version="newer"))
    narrower = Target(msgspec.structs.replace(profile, max_qubits=19), calibration)
    other = Pipeline((Stage("reduce", "reduce"), Stage("transpile", "transpile", {"seed": 1})))
    wider = Program(4, 0, 1, PROGRAM.operations)
    for pipeline, program, target in (
        (PIPELINE, PROGRAM, newer),
        (PIPELINE, PROGRAM, narrower),
        (other, PROGRAM, TARGET),
        (PIPELINE, wider, TARGET),
    ):
        assert recall.key_of(pipeline, program, target) != recall.key_of(PIPELINE, PROGRAM, TARGET)
    assert stages_run(shelf, PIPELINE, PROGRAM, newer) == ["reduce", "transpile"]
    monkeypatch.setattr(recall, "identity", lambda tool: f"{tool} of another version")
    assert stages_run(shelf, PIPELINE, PROGRAM, TARGET) == ["reduce", "transpile"]


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        msgspec.msgpack.encode(LoweredProgram(b"no program", None)),
        msgspec.msgpack.encode(LoweredProgram(PROGRAM.encoded, (0, 0, 0))),
        msgspec.msgpack.encode(LoweredProgram(Program(3, 0, 2, ()).encoded, None)),
    ],
)
def test_what_cannot_be_one_is_made_again(shelf: Shelf, body: bytes) -> None:
    shelf.put(recall.key_of(PIPELINE, PROGRAM, TARGET), body)
    assert stages_run(shelf, PIPELINE, PROGRAM, TARGET) == ["reduce", "transpile"]
    assert shelf.state().damaged == 1
    assert stages_run(shelf, PIPELINE, PROGRAM, TARGET) == []


def test_where_it_is(cache_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = recall.own_shelf()
    assert own is not None and own.folder == cache_folder / "qfw" / "lowered" and recall.own_shelf() is own
    file = tmp_path / "settings.toml"
    file.write_text(f'[tools]\ncache_folder = "{tmp_path}"\ncache_bytes = 1000\n')
    monkeypatch.setenv(discover.CONFIG, str(file))
    chosen = recall.own_shelf()
    assert chosen is not None and chosen.folder == tmp_path / "lowered"
    none = tmp_path / "none.toml"
    none.write_text("[tools]\ncache_bytes = 0\n")
    monkeypatch.setenv(discover.CONFIG, str(none))
    assert recall.own_shelf() is None
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[tools]\ncache_byte = 0\n")
    monkeypatch.setenv(discover.CONFIG, str(wrong))
    assert recall.own_shelf() is None
