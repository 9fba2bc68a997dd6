"""Tool `mitigate`: nearer to the ideal on a twin, as it was without noise, with standard errors that are right."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from qfw.model.errors import OptionError, ProgramError, TooLarge, UnsupportedFeature, WrongAnswer
from qfw.model.native import check_native
from qfw.model.observable import PauliSum
from qfw.model.outputs import (
    Array,
    Counts,
    Expectation,
    ExpectationAnswer,
    Output,
    Probabilities,
    ProbabilitiesAnswer,
    Statevector,
)
from qfw.model.program import Gate, Measure, Program, Reset
from qfw.platforms.twin.models import model
from qfw.qpm import registry
from qfw.qpm.tool import SplittingTool, Target, Variant, binds, splits
from qfw.testing.expected import distribution, values
from qfw.toolchain.mitigate import MitigateTool
from tests.model.calibrations import line_calibration, line_profile
from tests.toolchain.mitigating import (
    SIMULATOR,
    TOOL,
    TWIN,
    answered,
    chain,
    energy,
    ideal,
    lowered,
    mitigated,
    of,
    twin,
)

AT = np.array([[1.0, 1.0]])
PROFILE, CALIBRATION = model("heavy-hex-20")
Z0: tuple[Output, ...] = (Expectation((PauliSum.of("Z0"),)),)
BELL = Program(2, 0, 0, (Gate("h", (0,)), Gate("cx", (0, 1))))

METHODS: dict[str, dict[str, Any]] = {
    "global zne": {"methods": ["zne"], "folding": "global", "extrapolation": "exponential"},
    "all": {"methods": ["twirl", "zne", "readout"], "frames": 2},
}


@pytest.fixture(scope="module")
def cases() -> list[tuple[Program, tuple[Output, ...], float, float]]:
    """Twenty programs as they are lowered, what is asked of them, the ideal value, and that of as many shots."""
    device, found = twin(), []
    for seed in range(20):
        program, observable = chain(seed), energy()
        low, outputs = lowered(program, (Expectation((observable,)),), TWIN)
        (exact,) = values(program, (observable,), AT)[0]
        raw = of(device(Variant(low, outputs, 20_000), AT, 900 + seed)[0])[0][0, 0]
        found.append((low, outputs, exact, raw))
    return found


@pytest.mark.parametrize("name", METHODS)
def test_values_of_twenty_programs_come_nearer(cases, name: str) -> None:
    """Each with shots of its own; the seeds are given, so that the outcome is."""
    device, nearer, off = twin(), 0, []
    for seed, (low, outputs, exact, raw) in enumerate(cases):
        split = TOOL.split(low, outputs, 20_000, TWIN, METHODS[name])
        for variant in split.variants:
            check_native(variant.program, TWIN.profile)
        ((found,),), _ = of(answered(split, device, AT, seed)[0])
        nearer += abs(found - exact) < abs(raw - exact)
        off.append(abs(found - exact) / abs(raw - exact))
    assert nearer >= 18
    assert np.mean(off) < 0.65


def test_the_cost_is_said(cases) -> None:
    low, outputs, *_ = cases[0]
    split = TOOL.split(low, outputs, 1000, TWIN, METHODS["all"])
    assert split.executions == 3000 and len(split.variants) == 6
    assert [variant.shots for variant in split.variants] == [500] * 6
    readout, zne, twirl, cost = split.notes
    assert readout.startswith(
        "readout: errors of 5 qubits inverted by calibration heavy-hex-20-0.0; it widens"
    )
    assert zne == (
        "zne: local folding by 1, 3, 5, extrapolation linear; it widens standard errors 1.21 times"
    )
    assert twirl == "twirl: 2 frames around 40 of 40 gates of two or more qubits; they share the shots"
    assert cost == "cost: 6 programs, 3000 executions for each parameter set and basis, not 1000"
    curve = TOOL.split(low, outputs, 1000, TWIN, {"extrapolation": "exponential"}).notes[1]
    assert curve.endswith("exponential; where a line stands in, that widens standard errors 1.21 times")
    assert TOOL.split(low, outputs, 0, TWIN, {}).notes[-1] == "cost: 3 programs, exact answers"


@pytest.mark.parametrize("extrapolation", ["linear", "quadratic", "exponential", "richardson"])
@pytest.mark.parametrize("methods", [["zne"], ["twirl"], ["zne", "twirl"], ["readout", "zne", "twirl"]])
def test_without_noise_nothing_changes(methods: list[str], extrapolation: str) -> None:
    program, observables = chain(4, 4, 2), (energy(4), PauliSum.of({"X0 Y1": 0.5, "Y2": 1.0}))
    sets = np.array([[1.0, 1.0], [0.3, 2.0], [-1.2, 0.7]])
    target = SIMULATOR
    if "readout" in methods:
        # A calibration whose readout is right has nothing to say.
        profile, found = PROFILE, CALIBRATION
        right = tuple(msgspec.structs.replace(q, read1_given0=0.0, read0_given1=0.0) for q in found.qubits)
        profile = msgspec.structs.replace(profile, lowered_only=False)
        target = Target(profile, msgspec.structs.replace(found, qubits=right))
    options: dict[str, Any] = {"methods": methods}
    if "zne" in methods:
        options["extrapolation"] = extrapolation
    wanted = values(program, observables, sets)
    for shots in (0, 4000):
        found, errors = mitigated(program, observables, shots, ideal(), sets, target, **options)
        assert found.shape == errors.shape == (3, 2)
        if shots:
            assert (np.abs(found - wanted) < 4.5 * errors).all() and (errors > 0).all()
        else:
            assert np.allclose(found, wanted, atol=1e-9) and np.allclose(errors, 0, atol=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"methods": ["readout"]},
        {"extrapolation": "quadratic"},
        {"extrapolation": "exponential"},
        {"methods": ["readout", "zne", "twirl"], "frames": 5, "factors": [1, 2.5]},
    ],
)
def test_standard_errors_are_those_of_repetitions(options: dict[str, Any]) -> None:
    """Several hundred sets alike: how far their values lie apart is what each of them says, within its own doubt."""
    program, observables = chain(2, 3, 2), (energy(3), PauliSum.of({"Z0 Z1 Z2": 1.0, "X1": 0.7}))
    low, outputs = lowered(program, (Expectation(observables),), TWIN)
    split = TOOL.split(low, outputs, 500, TWIN, options)
    found, errors = of(answered(split, twin(), np.ones((400, 2)))[0])
    exact = of(answered(TOOL.split(low, outputs, 0, TWIN, options), twin(), AT)[0])[0][0]
    # A standard deviation of 400 is right to 3.5 %; frames besides widen what is said.
    assert np.allclose(errors.mean(axis=0), found.std(axis=0), rtol=0.35 if "frames" in options else 0.15)
    assert (np.abs(found.mean(axis=0) - exact) < 5 * errors.mean(axis=0) / 20 + 2e-3).all()


def test_readout_alone_is_exact_where_it_is_all_the_noise() -> None:
    """Gates without noise; errors that differ for |0> and |1>, and words of three qubits."""
    profile, calibration = PROFILE, CALIBRATION
    gates = tuple(msgspec.structs.replace(gate, error=0.0, duration_ns=0) for gate in calibration.gates)
    qubits = tuple(
        msgspec.structs.replace(qubit, t1_us=1e9, t2_us=1e9, read1_given0=0.05, read0_given1=0.12)
        for qubit in calibration.qubits
    )
    target = Target(profile, msgspec.structs.replace(calibration, gates=gates, qubits=qubits))
    program = Program(4, 0, 0, (Gate("x", (0,)), Gate("sx", (1,)), Gate("x", (2,))))
    words = tuple(map(PauliSum.of, ("Z0 Z1 Z2", "Z0 Z2 Z3", "X3", "Y1 Z0")))
    wanted = values(program, words, np.zeros((1, 0)))
    found, _ = mitigated(program, words, 0, twin(target), target=target, methods=["readout"], parameters=[[]])
    assert np.allclose(found, wanted, atol=1e-4)
    raw = of(twin(target)(Variant(program, (Expectation(words),), 0), np.zeros((1, 0)), 0)[0])
    assert np.abs(raw[0] - wanted).max() > 0.3
    found, errors = mitigated(
        program, words, 5000, twin(target), target=target, methods=["readout"], parameters=[[]]
    )
    assert (np.abs(found - wanted) < 4.5 * errors + 1e-4).all()
    outputs = (Probabilities((2, 1)), Probabilities())
    split = TOOL.split(program, outputs, 0, target, {"methods": ["readout"]})
    some, whole = answered(split, twin(target), [[]])
    assert isinstance(some, ProbabilitiesAnswer) and isinstance(whole, ProbabilitiesAnswer)
    assert np.allclose(some.values.numpy(), [[0, 0.5, 0, 0.5]], atol=1e-4)
    assert np.allclose(whole.values.numpy(), distribution(program, np.zeros((1, 0))), atol=1e-4)


@pytest.mark.parametrize("methods", [["readout"], ["zne"], ["readout", "zne"], ["readout", "zne", "twirl"]])
def test_probabilities_come_nearer_and_stay_probabilities(methods: list[str]) -> None:
    program = chain(6, 4, 4)
    outputs: tuple[Output, ...] = (Probabilities((2, 0, 3)), Expectation((energy(4),)), Probabilities())
    low, asked = lowered(program, outputs, TWIN)
    split = TOOL.split(low, asked, 20_000, TWIN, {"methods": methods})
    first, _, second = answered(split, twin(), AT, 3)
    raw = twin()(Variant(low, asked, 20_000), AT, 77)
    whole = distribution(program, AT)
    picked = np.zeros((1, 8))
    for state in range(16):
        picked[0, (state >> 2 & 1) + 2 * (state & 1) + 4 * (state >> 3 & 1)] += whole[0, state]
    for answer, plain, wanted in ((first, raw[0], picked), (second, raw[2], whole)):
        assert isinstance(answer, ProbabilitiesAnswer) and isinstance(plain, ProbabilitiesAnswer)
        found = answer.values.numpy()
        assert (found >= 0).all() and np.allclose(found.sum(axis=1), 1)
        assert np.abs(found - wanted).sum() < np.abs(plain.values.numpy() - wanted).sum()


def test_slots_survive() -> None:
    """Many sets at once are each set alone."""
    program, observable = chain(9, 3, 2), energy(3)
    sets = np.array([[1.0, 1.0], [0.2, -0.4], [2.0, 0.1]])
    low, outputs = lowered(program, (Expectation((observable,)),), TWIN)
    for options in ({"folding": "global"}, {"methods": ["zne", "twirl"], "frames": 3}):
        split = TOOL.split(low, outputs, 0, TWIN, options)
        assert all(variant.program.num_slots == 2 for variant in split.variants)
        together, _ = of(answered(split, twin(), sets)[0])
        alone = [of(answered(split, twin(), row)[0])[0][0] for row in sets]
        assert np.allclose(together, alone, atol=1e-12)


def test_in_front_of_transpile_it_folds_too() -> None:
    program, line = chain(1, 4, 2), Target(line_profile(6), line_calibration(6))
    outputs: tuple[Output, ...] = (Expectation((energy(4),)),)
    split = TOOL.split(program, outputs, 100, line, {"methods": ["zne", "twirl"], "frames": 2})
    gates, wanted = [], values(program, (energy(4),), AT)
    for variant in split.variants:
        low, (asked,) = lowered(variant.program, variant.outputs, line)
        check_native(low, line.profile)
        gates.append(sum(len(gate.qubits) == 2 for gate in low.gates()))
        assert isinstance(asked, Expectation)
        assert np.allclose(values(low, asked.observables, AT), wanted)
    assert gates == [12, 12, 36, 36, 60, 60]


def test_it_is_a_tool_that_splits() -> None:
    kind = registry.load(registry.TOOLS, "mitigate")
    assert kind is MitigateTool and isinstance(TOOL, SplittingTool) and splits(kind) and binds(kind)
    assert kind.version() and kind.keeps == "expectation" and not kind.needs_client
    assert kind.answers == {"expectation", "probabilities"}


def test_equal_input_gives_equal_output() -> None:
    low, outputs = lowered(chain(0, 4, 2), (Expectation((energy(4),)),), TWIN)
    options = {"methods": ["readout", "zne", "twirl"], "frames": 6}
    first = TOOL.split(low, outputs, 1000, TWIN, options)
    assert MitigateTool().split(low, outputs, 1000, Target(*model("heavy-hex-20")), options) == first
    assert TOOL.split(low, outputs, 1000, TWIN, options | {"seed": 1}) != first
    assert len({variant.program.digest for variant in first.variants}) == 18
    reordered = options | {"methods": ["twirl", "readout", "zne"]}
    assert TOOL.split(low, outputs, 1000, TWIN, reordered) == first


def test_where_a_method_has_nothing_to_do_it_says_so() -> None:
    """Parts of a program that was cut may be of one qubit."""
    single = Program(1, 0, 0, (Gate("ry", (0,), (0.4,)),))
    options = {"methods": ["zne", "twirl"], "frames": 4}
    split = TOOL.split(single, Z0, 1000, SIMULATOR, options)
    assert len(split.variants) == 1 and split.executions == 1000
    assert [note.split(",")[0] for note in split.notes[:2]] == [
        "zne: no gates to fold",
        "twirl: of 0 gates of two or more qubits none can be among Paulis",
    ]
    exact = TOOL.split(single, (*Z0, Probabilities()), 0, SIMULATOR, options)
    value, probabilities = answered(exact, ideal(), [[]])
    assert np.allclose(of(value)[0], np.cos(0.4)) and isinstance(probabilities, ProbabilitiesAnswer)
    assert np.allclose(probabilities.values.numpy(), [[np.cos(0.2) ** 2, np.sin(0.2) ** 2]])
    toffoli = Program(3, 0, 0, (Gate("ccx", (0, 1, 2)),))
    split = TOOL.split(toffoli, Z0, 1000, SIMULATOR, options)
    assert [variant.shots for variant in split.variants] == [1000] * 3 and "of 1 gates" in split.notes[1]


def test_shots_are_divided_among_frames() -> None:
    split = TOOL.split(BELL, Z0, 1001, SIMULATOR, {"methods": ["twirl"], "frames": 4})
    assert [variant.shots for variant in split.variants] == [251, 250, 250, 250] and split.executions == 1001


def test_answers_and_recipes_of_others_are_refused() -> None:
    split = TOOL.split(BELL, (*Z0, Probabilities()), 0, SIMULATOR, {"methods": ["zne", "twirl"], "frames": 2})
    read = [ideal()(variant, np.zeros((1, 0)), 0) for variant in split.variants]
    narrow = ProbabilitiesAnswer(Array.of(np.ones((1, 2)) / 2))
    twice = ProbabilitiesAnswer(Array.of(np.ones((2, 4)) / 4))
    for answers, message in (
        (read[:-1], "made 6 programs .* of 5, to 2"),
        ([*read, read[0]], "of 7"),
        ([()] * 6, "to 0"),
        ([(read[0][1], read[0][0]), *read[1:]], "output 1 do not belong together"),
        ([(read[0][0], narrow), *read[1:]], "output 2 do not belong together"),
        ([(read[0][0], twice), *read[1:]], "output 2 do not belong together"),
    ):
        with pytest.raises(WrongAnswer, match=message):
            TOOL.combine(split.recipe, answers)
    for recipe in (
        split.recipe[: len(split.recipe) // 2],
        b"",
        b"\xc1",
        msgspec.msgpack.encode([[], "linear", [], []]),
    ):
        with pytest.raises(ProgramError, match="not a recipe of tool mitigate"):
            TOOL.combine(recipe, read)
    low = Program(2, 0, 0, (Gate("sx", (0,)),))
    inverted = TOOL.split(low, (Probabilities(),), 0, TWIN, {"methods": ["readout"]})
    with pytest.raises(WrongAnswer, match="output 1"):
        TOOL.combine(inverted.recipe, [(narrow,)])


def test_frames_that_differ_widen_standard_errors() -> None:
    """Of frames what shots say, or what their differences say: the larger."""
    recipe = TOOL.split(BELL, Z0, 40, SIMULATOR, {"methods": ["twirl"], "frames": 4}).recipe

    def combined(*frames: float) -> tuple[float, float]:
        read = [(ExpectationAnswer(Array.of(np.array([[v]])), Array.of(np.array([[0.2]]))),) for v in frames]
        value, error = of(TOOL.combine(recipe, read)[0])
        return float(value[0, 0]), float(error[0, 0])

    assert combined(0.5, 0.5, 0.5, 0.5) == (0.5, pytest.approx(0.2 / 2))
    assert combined(-1.0, 1.0, -1.0, 1.0) == (0.0, pytest.approx(np.std([-1, 1, -1, 1], ddof=1) / 2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": ["zne"]}, "no option 'method'; did you mean 'methods'"),
        ({"methods": []}, "is a list of readout, zne, twirl, at least one"),
        ({"methods": "zne"}, "is a list of readout, zne, twirl, at least one, not 'zne'"),
        ({"methods": ["zme"]}, "no method 'zme'; did you mean 'zne'"),
        ({"methods": ["zne", "zne"]}, "names one twice"),
        ({"methods": ["readout"], "factors": [1, 3]}, "option factors .* says something of zne"),
        ({"methods": ["zne"], "frames": 3}, "option frames .* says something of twirl"),
        ({"factors": [3, 1]}, "rising numbers from 1 to 99"),
        ({"factors": [1]}, "list of 2 to 20"),
        ({"factors": [0.5, 3]}, "rising numbers from 1"),
        ({"factors": [1, float("nan")]}, "rising numbers"),
        ({"factors": [1, True]}, "rising numbers"),
        ({"factors": [1, 1000]}, "to 99"),
        ({"factors": 3}, "list of 2 to 20"),
        ({"factors": [1, 3], "extrapolation": "quadratic"}, "quadratic needs 3 factors or more; 2 are given"),
        ({"extrapolation": "expo"}, "one of linear, .*not 'expo'"),
        ({"extrapolation": "lineer"}, "did you mean 'linear'"),
        ({"folding": ["local"]}, "option folding .* one of local, global"),
        ({"methods": ["twirl"], "frames": 0}, "whole number from 1 to 1000"),
        ({"methods": ["twirl"], "seed": -1}, "seed of tool mitigate is a whole number"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        MitigateTool.check_options(options)


def test_what_cannot_be_mitigated_is_refused() -> None:
    def refused(
        error: type, message: str, program=BELL, outputs=Z0, shots=100, target=SIMULATOR, **options
    ) -> None:
        with pytest.raises(error, match=message):
            TOOL.split(program, outputs, shots, target, options or {"methods": ["zne"]})

    reset = Program(1, 1, 0, (Reset(0), Measure(0, 0)))
    refused(UnsupportedFeature, "without control; this one measures, resets or branches", reset)
    refused(UnsupportedFeature, "expectation values and probabilities, not counts", outputs=(Counts(),))
    refused(UnsupportedFeature, "not statevector", outputs=(Statevector(),))
    exponential: Any = {"methods": ["zne"], "extrapolation": "exponential"}
    refused(UnsupportedFeature, "no exponential extrapolation", outputs=(Probabilities(),), **exponential)
    refused(ProgramError, "acts on qubit 5; the program has 2", outputs=(Expectation((PauliSum.of("Z5"),)),))
    refused(ProgramError, "by a calibration, and sim has none: leave readout out", methods=["readout"])
    refused(ProgramError, "let mitigate follow transpile. gate h on qubits", target=TWIN, methods=["readout"])
    refused(
        ProgramError,
        r"too few gates to be folded by 1, 1.2, 3: it comes to 1, 1, 3",
        methods=["zne"],
        factors=[1, 1.2, 3],
    )
    refused(
        OptionError,
        "5 shots do not give each of 16 frames of twirl two.* 32 shots",
        shots=5,
        methods=["twirl"],
    )
    many: Any = {"methods": ["zne", "twirl"], "frames": 1000}
    refused(TooLarge, "would make 3000 programs .* 2000 with 4000000 are the most", shots=10_000, **many)
    long = Program(2, 0, 0, (Gate("cx", (0, 1)),) * 50_000)
    refused(
        TooLarge, "Take fewer frames, or fewer or smaller factors", long, methods=["zne"], factors=[1, 99]
    )
    few = PauliSum.of({f"Z{q % 2} X{1 - q % 2}": 1.0 for q in range(2)})
    much = (Expectation((few,) * 200),)
    refused(
        TooLarge,
        "would ask 1000 programs for 400 Pauli words each",
        outputs=much,
        shots=0,
        methods=["twirl"],
        frames=1000,
    )
