from pathlib import Path
from typing import Any

import pytest

from qfw.model.errors import ConfigError
from qfw.platforms.twin.script import check_qubits, load_script

WINDOW = {"begin_s": 1.0, "duration_s": 2.0}


def test_a_file_is_read_and_the_same_as_its_table(tmp_path: Path) -> None:
    path = tmp_path / "life.toml"
    path.write_text(
        '[[drift]]\nquantity = "t1"\nkind = "walk"\nper_hour = 0.1\n[[fault]]\nbegin_s = 1.0\nduration_s = 2.0\n'
    )
    table = {"drift": [{"quantity": "t1", "kind": "walk", "per_hour": 0.1}], "fault": [WINDOW]}
    assert load_script(str(path), "") == load_script("life.toml", "", tmp_path) == load_script(table, "x")
    assert load_script({}, "x").fault == ()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"falt": []}, "did you mean `fault`"),
        ({"fault": [{**WINDOW, "durations_s": 3.0}]}, "did you mean `duration_s`"),
        ({"fault": [{"begin_s": 1.0}]}, "duration_s"),
        ({"fault": [{**WINDOW, "begin_s": -1.0}]}, "fault[0].begin_s is -1.0"),
        ({"fault": [{**WINDOW, "begin_s": float("nan")}]}, "fault[0].begin_s is nan"),
        ({"fault": [WINDOW, {**WINDOW, "duration_s": 0.0}]}, "fault[1].duration_s is 0.0"),
        ({"maintenance": [{**WINDOW, "every_s": 2.0}]}, "never comes back"),
        ({"fault": [{**WINDOW, "error": "odd"}]}, "$.fault[0].error"),
        ({"noise": [{**WINDOW, "factor": 0.0}]}, "noise[0].factor"),
        ({"recalibration": [{**WINDOW, "measurement_noise": 2.0}]}, "recalibration[0].measurement_noise"),
        ({"load": [{"arrivals_per_hour": 0.0, "mean_s": 1.0}]}, "load[0].arrivals_per_hour"),
        ({"load": [{"arrivals_per_hour": 60.0, "mean_s": 30.0}] * 2}, "busy for 1 of its time"),
        ({"drift": [{"quantity": "t3", "kind": "walk", "per_hour": 0.1}]}, "$.drift[0].quantity"),
        ({"drift": [{"quantity": "t1", "kind": "walk", "per_hour": -0.1}]}, "drift[0].per_hour"),
        ({"drift_step_s": 0.0}, "drift_step_s"),
        ({"seed": -1}, "seed"),
    ],
)
def test_each_field_wrong_in_turn_is_named(table: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_script(table, "the options")
    assert said in str(caught.value)
    assert str(caught.value).startswith("the options: ")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_script("none.toml", "", tmp_path)
    (tmp_path / "bad.toml").write_text("= 3")
    with pytest.raises(ConfigError, match=r"bad\.toml"):
        load_script("bad.toml", "", tmp_path)


def test_a_qubit_that_is_not_there_is_refused() -> None:
    script = load_script({"noise": [{**WINDOW, "factor": 2.0, "qubits": [1, 7]}]}, "x")
    check_qubits(script, 8, "x")
    with pytest.raises(ConfigError, match=r"noise\[0\]\.qubits names 7; the device has qubits 0 to 6"):
        check_qubits(script, 7, "x")
