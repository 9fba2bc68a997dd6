"""ToolPipeline: checked when made, bound to many streams, shows what it does, refuses what a device would."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qfw
from qfw.model.device import DeviceKind, DeviceProfile
from qfw.model.errors import (
    NotInstalled,
    OptionError,
    TooLarge,
    UnknownDevice,
    UnsupportedFeature,
    UsageError,
)
from qfw.model.gates import GATES
from qfw.model.native import check_native
from qfw.model.pipeline import MAX_STAGES, Pipeline, Stage
from qfw.model.program import Gate, Measure, Program, Reset, slot
from qfw.platforms.twin.models import model
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpi.pipeline_text import dumps, loads
from qfw.qpm.tool import Target
from tests.model.calibrations import line_calibration, line_profile
from tests.toolchain.plugins import install, run
from tests.toolchain.programs import same_state

BELL = Program(2, 2, 1, (Gate("ry", (0,), (slot(0),)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))
TWIN = Target(*model("heavy-hex-20"))
LINE = Target(line_profile(3), line_calibration(3))
SIMULATOR = Target(
    DeviceProfile("sim", DeviceKind.SIMULATOR, "reference", 30, tuple(GATES), ("counts",), 1, control=True)
)


def test_stages_have_names_tools_and_options() -> None:
    pipeline = qfw.ToolPipeline(
        ["reduce", ("transpile", {"level": 2}), "reduce", qfw.Stage("reduce-2", "reduce")], name="mine"
    )
    assert [stage.name for stage in pipeline.stages] == ["reduce", "transpile", "reduce-3", "reduce-2"]
    assert pipeline.stages[1].options == {"level": 2}
    assert pipeline.name == "mine" and not pipeline.needs_client
    assert pipeline.pipeline == Pipeline(pipeline.stages)
    assert repr(pipeline) == "<ToolPipeline 'mine': reduce → transpile → reduce-3 → reduce-2>"


def test_the_fingerprint_is_of_the_stages_and_not_of_the_name() -> None:
    one = ToolPipeline([("transpile", {"level": 2, "seed": 1})], name="one")
    two = ToolPipeline([("transpile", {"seed": 1, "level": 2})], name="two")
    assert one.fingerprint == two.fingerprint == one.pipeline.digest.hex()
    assert ToolPipeline([("transpile", {"level": 1, "seed": 1})]).fingerprint != one.fingerprint


def test_what_it_was_made_of_may_change() -> None:
    options = {"level": 2}
    pipeline = ToolPipeline([("transpile", options)])
    before = pipeline.fingerprint
    options["level"] = 3
    assert Pipeline(pipeline.stages).digest.hex() == before


@pytest.mark.parametrize(
    ("stages", "error", "said"),
    [
        ([], OptionError, "1 to 64 stages, not 0"),
        (["reduce"] * (MAX_STAGES + 1), OptionError, "not 65"),
        ("reduce", OptionError, "list of stages"),
        (None, OptionError, "list of stages"),
        ([7], OptionError, "not 7"),
        (
            ["transpil"],
            UnknownDevice,
            "no tool is called 'transpil'; did you mean 'transpile'[?] There are: .*reduce",
        ),
        ([("transpile", {"levle": 1})], OptionError, "did you mean 'level'"),
        ([("transpile", {"level": 9})], OptionError, "from 0 to 3, not 9"),
        ([("transpile", {"level": object()})], OptionError, "stage 'transpile'.*MessagePack"),
        ([("transpile", {"level": {1: 2, "a": 3}})], OptionError, "stage 'transpile'.*MessagePack"),
        ([Stage("a", "reduce"), Stage("a", "reduce")], OptionError, "a comes twice"),
        ([Stage("", "reduce")], OptionError, "a name and a tool"),
        ([Stage(1, "reduce")], OptionError, "texts"),  # type: ignore[arg-type]
        ([("reduce", {"pad": "x" * 2**18})], OptionError, "at most 262144"),
    ],
)
def test_bad_input(stages: object, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        ToolPipeline(stages)  # type: ignore[arg-type]


def test_a_name_is_a_text() -> None:
    with pytest.raises(OptionError, match="a text, not 3"):
        ToolPipeline(["reduce"], name=3)  # type: ignore[arg-type]


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(name=TEXTS, stage=TEXTS, options=st.dictionaries(TEXTS, VALUES, max_size=3))
def test_toml_says_every_pipeline(name: str, stage: str, options: dict[str, object]) -> None:
    stages = [Stage(stage, "tool", options), Stage("other", "tool")]
    document = loads(dumps(name, stages))
    assert document.name == name
    assert [Stage(each.name, each.tool, each.options) for each in document.stages] == stages


def test_from_and_to_toml() -> None:
    text = 'name = "fast"\n\n[[stages]]\ntool = "reduce"\n\n[[stages]]\nname = "native"\ntool = "transpile"\n'
    text += "options = { level = 2 }\n"
    pipeline = ToolPipeline.from_toml(text)
    assert pipeline.name == "fast" and [stage.name for stage in pipeline.stages] == ["reduce", "native"]
    again = ToolPipeline.from_toml(pipeline.to_toml())
    assert again.fingerprint == pipeline.fingerprint and again.name == "fast"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("stages = [", "no pipeline"),
        ("careful.toml", "is no pipeline but the path of one"),
        ("", "stages"),
        ("[[stages]]\nname = 'x'", "tool"),
        ("[[stages]]\ntool = 'reduce'\noption = {}", "did you mean `options`"),
        ("[[stages]]\ntool = 5", "no pipeline"),
        ("[[stages]]\ntool = 'reduce'\noptions = { day = 2026-01-01 }", "MessagePack|no option 'day'"),
    ],
)
def test_bad_toml(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ToolPipeline.from_toml(text)


def test_what_toml_cannot_say() -> None:
    with pytest.raises(OptionError, match="stage 'a', x: TOML cannot say None"):
        dumps("", [Stage("a", "reduce", {"x": None})])


class Stream:
    """Stands for a stream: a pipeline asks nothing of it."""


def test_streams_are_bound_once_and_not_kept() -> None:
    pipeline, one, two = ToolPipeline(["reduce"]), Stream(), Stream()
    pipeline.bind(one)  # type: ignore[arg-type]
    pipeline.bind(two)  # type: ignore[arg-type]
    assert pipeline.streams == (one, two)
    with pytest.raises(UsageError, match="bound to this stream already"):
        pipeline.bind(one)  # type: ignore[arg-type]
    del one
    gc.collect()
    assert pipeline.streams == (two,)


def test_lower_gives_program_layout_and_stages() -> None:
    pipeline = ToolPipeline(["reduce", "transpile"])
    doubled = Program(3, 3, 1, (Gate("h", (2,)), Gate("h", (2,)), *BELL.operations))
    found = pipeline.lower(doubled, TWIN)
    assert isinstance(found.program, qfw.Program) and found.calibration == TWIN.version
    check_native(found.program, TWIN.profile)
    assert [row.stage for row in found.stages] == ["reduce", "transpile"]
    assert found.stages[0].gates == 2
    assert found.layout is not None
    widened, given = (Program(p.num_qubits, 3, 3, p.operations) for p in (found.program, doubled))
    same_state(given, widened, found.layout)


def test_what_is_known_is_not_made_again_but_another_calibration_is() -> None:
    pipeline = ToolPipeline(["transpile"])
    first = pipeline.lower(BELL, LINE)
    assert ToolPipeline(["transpile"], name="other").lower(BELL, LINE).stages is first.stages
    newer = Target(LINE.profile, line_calibration(3, version="2"))
    assert pipeline.lower(BELL, newer).stages is not first.stages
    assert pipeline.lower(BELL, newer).calibration == "2"
    # Another content under the same version is another calibration too.
    assert LINE.calibration is not None
    worse = tuple(msgspec.structs.replace(gate, error=gate.error * 2) for gate in LINE.calibration.gates)
    changed = Target(LINE.profile, msgspec.structs.replace(LINE.calibration, gates=worse))
    assert pipeline.lower(BELL, changed).stages[0].fidelity != first.stages[0].fidelity


def test_explain_shows_every_stage_and_the_program_as_given() -> None:
    doubled = Program(2, 2, 1, (Gate("h", (1,)), Gate("h", (1,)), *BELL.operations))
    shown = ToolPipeline(["reduce", "transpile"], name="both").explain(doubled, TWIN)
    given, behind, lowered = shown.rows
    assert (given.stage, given.gates, given.two_qubit_gates, given.depth) == ("as given", 4, 1, 4)
    assert (behind.stage, behind.gates, behind.fidelity) == ("reduce", 2, None)
    assert lowered.fidelity is not None and 0.9 < lowered.fidelity < 1
    assert lowered.duration_s and lowered.took_s
    text = str(shown)
    assert text.startswith("pipeline both, device twin-20, calibration ")
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["as", "reduce", "transpile"]
    page = shown._repr_html_()
    assert page.count("<tr>") == 4 and "<td>transpile</td>" in page


def test_what_a_device_does_not_take_is_refused_with_gate_and_stage() -> None:
    with pytest.raises(
        UnsupportedFeature, match=r"behind stage 'small'.*gate ry on qubits.*not native to twin-20"
    ):
        ToolPipeline([qfw.Stage("small", "reduce")]).check(BELL, TWIN)
    ToolPipeline(["reduce", "transpile"]).check(BELL, TWIN)
    # A simulator lowers for itself.
    ToolPipeline(["reduce"]).check(BELL, SIMULATOR)


def test_errors_say_the_stage() -> None:
    with pytest.raises(TooLarge, match="stage transpile: the program needs 4 qubits; line has 3"):
        ToolPipeline(["reduce", "transpile"]).lower(Program(4, 0, 0, (Gate("h", (3,)),)), LINE)
    without = Target(msgspec.structs.replace(LINE.profile, control=False), LINE.calibration)
    with pytest.raises(UnsupportedFeature, match=r"stage transpile: .*before its end"):
        ToolPipeline(["transpile"]).lower(Program(1, 0, 0, (Gate("h", (0,)), Reset(0))), without)


CODE = """
import qfw
from qfw.qpi.pipeline import ToolPipeline
from qfw.qpi.pipeline_text import dumps, loads
from tests.qpi.test_pipeline import BELL, SIMULATOR

def refused(stages):
    try:
        ToolPipeline(stages).lower(BELL, SIMULATOR)
    except qfw.errors.QFwError as error:
        return f"{type(error).__name__}: {error}"

print(ToolPipeline(["plain", "here"]).needs_client, ToolPipeline(["plain"]).needs_client)
for name in ("failing", "folding", "missing", "broken"):
    print(refused(["plain", name]))
print(ToolPipeline(["turning"]).lower(BELL, SIMULATOR).layout)
print(ToolPipeline(["turning", "turning"]).lower(BELL, SIMULATOR).layout)
"""


def test_a_strangers_tools(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    done = run(install(tmp_path), "-c", f"import sys; sys.path.append({root!r})\n{CODE}")
    assert done.returncode == 0, done.stderr
    client, failing, folding, missing, broken, once, twice = done.stdout.splitlines()
    assert client == "True False"
    assert failing.startswith("ToolFailed: stage failing: tool failing failed with ZeroDivisionError")
    assert folding.startswith("ToolFailed: stage folding: tool folding gave a layout")
    assert missing == f"{NotInstalled.__name__}: tool missing needs what is not there: pip install it"
    assert broken.startswith("SetupError: tool 'broken'")
    assert (once, twice) == ("(1, 0)", "(0, 1)")


def test_a_key_of_many_parts_is_refused_before_it_is_read() -> None:
    """A reader's time grows with their square: these would take minutes."""
    for key in (".".join(["a"] * 100_000), ".".join(['"a"'] * 60_000), " . ".join(["a"] * 60_000)):
        with pytest.raises(OptionError, match="a key has more than 1000 parts"):
            ToolPipeline.from_toml(f'preset = "fast"\n{key} = 1\n')
