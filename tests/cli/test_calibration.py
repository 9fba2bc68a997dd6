"""`qfw calibration`: tables, JSON and pictures of the built-in models; and what is wrong is said."""

import json
from pathlib import Path

import msgspec
import pytest

from qfw.cli import main as cli
from qfw.model.calibration import Calibration
from qfw.model.calibration_check import check_calibration
from qfw.platforms.twin.documents import written_model
from qfw.platforms.twin.models import MODELS, model
from qfw.qpi.session import Session

NAMES = list(MODELS.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibration", "--model", name]) == 0
    shown = capsys.readouterr().out
    profile, calibration = model(name)
    assert shown.startswith(f"{profile.name}: {name}, {profile.max_qubits} qubits\n")
    for gate in profile.native_gates:
        assert f"\n{gate} time " in shown
    median = calibration.median_two_qubit_error
    assert median is not None and f"{median:.3%}" in shown


def test_json_is_the_calibration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_bytes(written_model(model("heavy-hex-20")))
    assert cli.main(["calibration", "--model", str(file), "--json"]) == 0
    shown = capsys.readouterr().out
    profile, calibration = model("heavy-hex-20")
    found = msgspec.json.decode(shown, type=Calibration)
    assert found == calibration and shown.count("\n") == 1
    check_calibration(found, profile)
    assert json.loads(shown) == json.loads(written_model(model("heavy-hex-20")))["calibration"]


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ([], 1, "either a DEVICE"),
        (["twin-20", "--model", "heavy-hex-20"], 1, "either a DEVICE"),
        (["--model", "heavy-hex-21"], 1, "did you mean 'heavy-hex-20'"),
        (["--model", "none.json"], 1, "none.json: No such file"),
        (["--model", "twin-20", "--plot", "a.gif"], 1, "not '.gif'"),
        (["--model", "twin-20", "--plot", "nowhere/a.png"], 1, "there is no folder nowhere"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    given: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["calibration", *given]) == code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_pictures(name: str, suffix: str, begins: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'qfw[plot]'")
    file = tmp_path / f"picture{suffix}"
    assert cli.main(["calibration", "--model", name, "--plot", str(file)]) == 0
    assert file.read_bytes().startswith(begins)


def test_a_file_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install 'qfw[plot]'")
    (tmp_path / "folder.png").mkdir()
    assert cli.main(["calibration", "--model", "twin-20", "--plot", str(tmp_path / "folder.png")]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_without_a_daemon_there_is_no_device(qfw, folder) -> None:
    done = qfw("calibration", "twin-20")
    assert done.returncode == 3 and "no daemon answers" in done.stderr and "--model twin-20" in done.stderr
    assert not folder.exists()


def test_a_running_daemon_is_asked(qfw, folder) -> None:
    with Session(runtime_folder=folder):
        done = qfw("calibration", "reference")
        assert done.returncode == 1 and "device reference has no calibration" in done.stderr
        done = qfw("calibration", "referenc")
        assert done.returncode == 1 and "reference" in done.stderr


def test_a_twin_that_nobody_asked_for_yet_is_there_when_somebody_does(qfw, folder) -> None:
    with Session(runtime_folder=folder):
        done = qfw("calibration", "twin-127", "--json")
        assert done.returncode == 0, done.stderr
        found = msgspec.json.decode(done.stdout, type=Calibration)
        assert found.device == "twin-127" and len(found.qubits) == 127
        done = qfw("calibration", "twin-128")
        assert done.returncode == 1 and "did you mean" in done.stderr
