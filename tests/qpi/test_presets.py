"""Presets: what each makes of a program, and where their names are taken."""

from __future__ import annotations

import pytest

import qfw
from qfw.model.errors import OptionError, UnsupportedFeature
from qfw.model.native import check_native
from qfw.model.program import Gate, Measure, Program, slot
from qfw.platforms.twin.models import model
from qfw.qpi.drafting import as_pipeline
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpm.presets import PRESETS
from qfw.qpm.tool import Target

MODELS = ("heavy-hex-20", "trapped-ion", "neutral-atoms")
PROGRAM = Program(
    4,
    4,
    2,
    (
        Gate("h", (0,)),
        Gate("h", (0,)),
        Gate("ry", (0,), (slot(0),)),
        *(Gate("cx", (0, q)) for q in (1, 2, 3)),
        Gate("rzz", (1, 3), (slot(1),)),
        Gate("cx", (1, 2)),
        *(Measure(q, q) for q in range(4)),
    ),
)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("preset", ["fast", "default", "best"])
def test_they_reach_every_devices_gates(preset: str, name: str) -> None:
    target = Target(*model(name))
    pipeline = qfw.ToolPipeline.preset(preset)
    lowered = pipeline.lower(PROGRAM, target)
    check_native(lowered.program, target.profile)
    assert lowered.program.num_slots == 2 and pipeline.name == preset
    pipeline.check(PROGRAM, target)


def test_more_effort_is_never_less_likely() -> None:
    target = Target(*model("heavy-hex-20"))
    found = [
        ToolPipeline.preset(name).explain(PROGRAM, target).rows[-1].fidelity or 0.0
        for name in ("fast", "default", "best")
    ]
    assert found == sorted(found) and found[0] > 0.5


def test_a_preset_is_the_same_value_every_time() -> None:
    for name in PRESETS:
        assert ToolPipeline.preset(name).fingerprint == ToolPipeline.preset(name).fingerprint
        assert ToolPipeline.from_toml(ToolPipeline.preset(name).to_toml()).fingerprint == (
            ToolPipeline.preset(name).fingerprint
        )
        assert ToolPipeline.from_toml(f'preset = "{name}"\n').name == name
    assert ToolPipeline.from_toml('preset = "fast"\nname = "mine"').name == "mine"


def test_none_does_nothing() -> None:
    none = ToolPipeline.preset("none")
    target = Target(*model("heavy-hex-20"))
    assert none.lower(PROGRAM, target).program == qfw.Program.of(PROGRAM)
    assert [row.stage for row in none.explain(PROGRAM, target).rows] == ["as given"]
    assert as_pipeline(none) is None and as_pipeline("none") is None and not none.needs_client
    with pytest.raises(UnsupportedFeature, match=r"without a stage.*preset fast"):
        none.check(PROGRAM, target)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('preset = "fats"', "no preset is called 'fats'; did you mean 'fast'"),
        ('preset = "fast"\n[[stages]]\ntool = "reduce"', "either"),
        ('name = "x"', "either"),
        ('presets = "fast"', "did you mean `preset`"),
    ],
)
def test_bad_input(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ToolPipeline.from_toml(text)


def test_names_are_taken_where_pipelines_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert as_pipeline("fast") == ToolPipeline.preset("fast").pipeline
    with pytest.raises(OptionError, match="no preset is called 'bset'; did you mean 'best'"):
        as_pipeline("bset")


def test_a_preset_stands_among_tools() -> None:
    mixed = ToolPipeline(["default", "verify"])
    assert [stage.name for stage in mixed.stages] == ["reduce", "transpile", "reduce-2", "verify"]
    assert mixed.stages[:3] == ToolPipeline.preset("default").stages
    twice = ToolPipeline(["reduce", "default"])
    assert [stage.name for stage in twice.stages] == ["reduce", "reduce-2", "transpile", "reduce-3"]
