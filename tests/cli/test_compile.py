"""`qfw compile`: every kind of file in, every format out, and what is wrong is said with its place."""

from __future__ import annotations

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import qfw
from qfw.cli import main as cli
from qfw.model.native import check_native
from qfw.model.pulse import Schedule
from qfw.platforms.twin.documents import written_model
from qfw.platforms.twin.models import model
from qfw.qpi.compiled import CompiledProgram
from qfw.qpm.tool import Target
from tests.cli.conftest import Qfw

GHZ = """OPENQASM 3;
include "stdgates.inc";
input float t;
qubit[3] q;
bit[3] c;
h q[0];
h q[0];
rx(t) q[0];
cx q[0], q[1];
cx q[0], q[2];
c = measure q;
"""
PROFILE, CALIBRATION = model("heavy-hex-20")
TARGET = Target(PROFILE, CALIBRATION)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "ghz.qasm"
    file.write_text(GHZ)
    return file


def compiled(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """What the command writes; nothing may be said besides."""
    assert cli.main(["compile", *map(str, words)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


def test_openqasm_in_and_out(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = qfw.Program.from_qasm(compiled(capsys, source, "--target", "twin-20"))
    check_native(found, PROFILE)
    assert found.num_slots == 1 and found.num_qubits == 20 and found.num_clbits == 3
    same = qfw.ToolPipeline.preset("default").lower(qfw.Program.from_qasm(GHZ), TARGET)
    assert found == same.program


@pytest.mark.parametrize(
    ("pipeline", "stages"),
    [
        ("fast", ["transpile"]),
        ("best", ["reduce", "search", "reduce-2"]),
        ("transpile:level=0:seed=3,reduce", ["transpile", "reduce"]),
        ("default,verify", ["reduce", "transpile", "reduce-2", "verify"]),
    ],
)
def test_pipelines_in_words(
    pipeline: str, stages: list[str], source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = compiled(capsys, source, "--target", "twin-20", "--pipeline", pipeline, "--explain", "--json")
    found = json.loads(said)
    assert [row["stage"] for row in found["stages"]] == ["as given", *stages]
    assert found["device"] == "twin-20" and found["calibration"] == CALIBRATION.version
    assert found["stages"][-1]["fidelity"] > 0.5 and "program" not in found


def test_a_pipeline_of_a_file(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('name = "mine"\n[[stages]]\nname = "native"\ntool = "transpile"\n')
    shown = compiled(capsys, source, "--target", "twin-20", "--pipeline", file, "--explain")
    lines = shown.splitlines()
    assert lines[0] == f"pipeline mine, device twin-20, calibration {CALIBRATION.version}"
    assert lines[1].split()[:4] == ["stage", "qubits", "gates", "2-qubit"]
    assert [line.split()[0] for line in lines[2:]] == ["as", "native"]


def test_json_has_the_program(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(compiled(capsys, source, "--target", "twin-20", "--json"))
    assert qfw.Program.from_qasm(found["program"]).num_slots == 1
    assert len(found["layout"]) == 3 and found["emit"] == "qasm3" and found["pipeline"] == "default"


def test_values_are_bound(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = compiled(capsys, source, "--target", "twin-20", "--bind", "0.5", "--emit", "qasm2")
    assert said.startswith("OPENQASM 2.0;") and qfw.Program.from_qasm(said).num_slots == 0


def test_openqasm_2_has_the_device_s_gates_only(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = compiled(capsys, source, "--target", "twin-20", "--bind", "0.5", "--emit", "qasm2")
    assert "gphase" not in said and "sx q[" in said
    check_native(qfw.Program.from_qasm(said), PROFILE)


@pytest.mark.parametrize("emit", ["qasm2", "qir"])
def test_parameters_without_values_name_the_option(
    emit: str, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compile", str(source), "--target", "twin-20", "--emit", emit]) == 1
    assert "--bind" in capsys.readouterr().err


def test_qfw_out_and_in(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "a.qfw"
    assert (
        cli.main(["compile", str(source), "--target", "twin-20", "--pipeline", "fast", "-o", str(out)]) == 0
    )
    said = capsys.readouterr()
    assert said.out == "" and said.err == f"qfw: wrote {out}\n"
    carried = CompiledProgram.load(out)
    assert carried.compiled_for == (("twin-20", CALIBRATION.version),)
    # Its own pipeline, unless another one is said.
    found = json.loads(compiled(capsys, out, "--target", "twin-20", "--json"))
    assert found["pipeline"] == "fast"
    assert qfw.Program.from_qasm(found["program"]) == carried.lower(TARGET).program
    found = json.loads(compiled(capsys, out, "--target", "trapped-ion", "--pipeline", "default", "--json"))
    assert found["device"] == "twin-ion" and found["pipeline"] == "default"
    check_native(qfw.Program.from_qasm(found["program"]), model("trapped-ion").profile)


@pytest.mark.parametrize("ending", [".ll", ".bc"])
def test_qir_in_and_out(
    ending: str, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if ending == ".bc":
        pytest.importorskip("pyqir", reason="pyqir is not installed: pip install 'qfw[qir]'")
    first = tmp_path / f"first{ending}"
    assert cli.main(["compile", str(source), "--target", "twin-20", "--bind", "0.7", "-o", str(first)]) == 0
    assert (first.read_bytes()[:2] == b"BC") == (ending == ".bc")
    capsys.readouterr()
    again = qfw.Program.from_qasm(compiled(capsys, first, "--target", "twin-20"))
    check_native(again, PROFILE)
    assert again.num_clbits == 3 and sum(len(gate.qubits) == 2 for gate in again.gates()) == 2


def test_pulses(qfw: Qfw, source: Path) -> None:
    done = qfw("compile", source, "--device", "twin-20", "--bind", "0.7", "--emit", "pulse")
    assert done.returncode == 0, done.stderr
    schedule = msgspec.json.decode(done.stdout, type=Schedule)
    assert len(schedule.instructions) > 3
    of_model = qfw("compile", source, "--target", "twin-20", "--bind", "0.7", "--emit", "pulse")
    assert of_model.returncode == 0, of_model.stderr
    assert msgspec.json.decode(of_model.stdout, type=Schedule) == schedule
    of_ions = qfw("compile", source, "--target", "twin-ion", "--bind", "0.7", "--emit", "pulse")
    assert of_ions.returncode == 0, of_ions.stderr
    assert msgspec.json.decode(of_ions.stdout, type=Schedule) != schedule
    done = qfw("compile", source, "--target", "twin-20", "--emit", "pulse")
    assert done.returncode == 1 and "stage pulse" in done.stderr and done.stdout == ""


def test_notes_of_tools_stand_below_the_table(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = compiled(
        capsys, source, "--target", "twin-20", "--pipeline", "transpile,schedule,verify", "--explain"
    )
    lines = said.splitlines()
    assert lines[-2].startswith("  schedule: waits written as delays")
    assert lines[-1].startswith("  verify: verified: unitaries, 3 qubits on 3")


def test_a_model_of_a_file(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "device.json"
    file.write_bytes(written_model(model("heavy-hex-20")))
    assert compiled(capsys, source, "--target", file) == compiled(capsys, source, "--target", "twin-20")


def test_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(GHZ.encode())))
    assert compiled(capsys, "-", "--target", "twin-20").startswith("OPENQASM 3")


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (["none.qasm", "--target", "twin-20"], 1, "cannot read none.qasm: No such file"),
        (["folder", "--target", "twin-20"], 1, "cannot read folder: Is a directory"),
        (["fifo", "--target", "twin-20"], 1, "cannot read fifo: it is no file"),
        (["large", "--target", "twin-20"], 1, "large has 1073741824 bytes; at most 268435456 are read"),
        (["garbage", "--target", "twin-20"], 1, "byte 4 is no UTF-8"),
        (["zeros", "--target", "twin-20"], 1, "zero bytes"),
        (["damaged.qfw", "--target", "twin-20"], 1, "damaged.qfw is cut off"),
        (["ghz.qasm", "--target", "twin-21"], 1, "did you mean 'twin-20'"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "fats"], 1, "no preset or tool is called 'fats'; did you"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "reduce,transpil"], 1, "did you mean 'transpile'"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "transpile:levl=2"], 1, "did you mean 'level'"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "transpile:level"], 1, "NAME=VALUE, not 'level'"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "none.toml"], 1, "cannot read none.toml"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "reduce"], 1, "behind stage 'reduce' (tool reduce)"),
        (["ghz.qasm", "--target", "twin-20", "--pipeline", "none"], 1, "without a stage"),
        (["ghz.qasm", "--target", "twin-20", "--bind", "a"], 1, "numbers separated by commas"),
        (["ghz.qasm", "--target", "twin-20", "--bind", "1,2"], 1, "1 parameter slots"),
        (["ghz.qasm", "--target", "twin-20", "--emit", "qasm2"], 1, "--bind"),
        (["ghz.qasm", "--target", "twin-20", "-o", "nowhere/a.qasm"], 1, "cannot write nowhere/a.qasm: No such"),
        (["ghz.qasm", "--target", "twin-20", "-o", "folder"], 1, "cannot write folder: Is a directory"),
        (["ghz.qasm"], 2, "one of the arguments --device --target is required"),
        (["ghz.qasm", "--target", "a", "--device", "b"], 2, "not allowed with"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    given: list[str],
    code: int,
    said: str,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("fifo")
    with Path("large").open("wb") as file:
        file.truncate(2**30)
    Path("garbage").write_bytes(b"abc\n\xff\xfe")
    Path("zeros").write_bytes(bytes(100))
    Path("damaged.qfw").write_bytes(CompiledProgram.make(qfw.Program.from_qasm(GHZ), "none").to_bytes()[:-3])
    before = sorted(path.name for path in tmp_path.iterdir())
    try:
        found = cli.main(["compile", *given])
    except SystemExit as ended:
        found = int(str(ended.code))
    shown = capsys.readouterr()
    assert found == code and said in shown.err and shown.out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == before, "something was left behind"


def test_a_wrong_line_is_shown(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.write_text(GHZ.replace("h q[0];", "\thh q[0]; \x1b[2J", 1))
    assert cli.main(["compile", str(source), "--target", "twin-20"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("qfw: error: line 6:")
    if len(lines) > 1:
        # The parser may have shown it itself.
        assert "\x1b" not in "".join(lines) and "hh q[0];" in lines[1] and lines[2].strip() == "^"
    assert "hh q[0];" in "".join(lines)


def test_an_old_output_stays_where_compiling_fails(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.qasm"
    out.write_text("old")
    assert cli.main(["compile", str(source), "--target", "twin-20", "--emit", "qasm2", "-o", str(out)]) == 1
    assert out.read_text() == "old"
    assert cli.main(["compile", str(source), "--target", "twin-20", "-o", str(out)]) == 0
    assert out.read_text().startswith("OPENQASM 3")


def test_a_reader_that_goes_away(source: Path) -> None:
    command = [sys.executable, "-m", "qfw.cli.main", "compile", source, "--target", "twin-20"]
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert done.returncode == 1 and done.stderr == ""


def test_a_private_device(qfw: Qfw, source: Path, folder: Path) -> None:
    done = qfw("compile", source, "--device", "twin-20", "--pipeline", "fast", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "twin-20" and not folder.exists()
    done = qfw("compile", source, "--device", "twin-21")
    assert done.returncode == 1 and "did you mean 'twin-20'" in done.stderr
    done = qfw("compile", source, "--device", "reference", "--pipeline", "none")
    assert done.returncode == 0 and "rx(p0)" in done.stdout


@pytest.mark.parametrize(
    ("redirected", "says"),
    [
        ("{source} > /dev/full", "qfw: error: cannot write to standard output: No space left on device\n"),
        ("{source} >&-", "qfw: error: cannot write to standard output: Bad file descriptor\n"),
        ("- <&-", "qfw: error: cannot read standard input: Bad file descriptor\n"),
    ],
)
def test_streams_that_are_closed_or_full_are_said(source: Path, redirected: str, says: str) -> None:
    command = f"exec {shlex.quote(sys.executable)} -m qfw.cli.main compile --target twin-20 --pipeline fast "
    command += redirected.format(source=shlex.quote(str(source)))
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=100)
    assert (found.returncode, found.stderr) == (1, says)


def test_a_closed_output_is_no_file(source: Path) -> None:
    out = source.with_name("out.qasm")
    words = (sys.executable, "-m", "qfw.cli.main", "compile", source, "--target", "twin-20", "-o", out)
    command = f"exec {shlex.join(map(str, words))} <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], timeout=100).returncode == 0
    assert qfw.Program.from_qasm(out.read_text()).num_qubits == 20
