import numpy as np
import pytest

from qfw.model.errors import ConfigError, OptionError
from qfw.platforms.twin.link import EntangleRequest, Link, LinkOptions, check_link, werner

OPTIONS = LinkOptions(devices=("a", "b"), fidelity=0.9, rate_per_s=1000.0, attempt_us=20.0)
BELL = np.array([1, 0, 0, 1]) / np.sqrt(2)


@pytest.mark.parametrize("fidelity", [0.25, 0.5, 0.93, 1.0])
def test_a_pair_is_the_werner_state_of_its_fidelity(fidelity: float) -> None:
    state = werner(fidelity)
    assert BELL @ state @ BELL == pytest.approx(fidelity)
    assert np.trace(state) == pytest.approx(1)
    bells = np.array([[1, 0, 0, 1], [1, 0, 0, -1], [0, 1, 1, 0], [0, 1, -1, 0]]) / np.sqrt(2)
    weights = np.diag(bells @ state @ bells.T)
    np.testing.assert_allclose(bells @ state @ bells.T, np.diag(weights), atol=1e-15)
    np.testing.assert_allclose(weights[1:], (1 - fidelity) / 3, atol=1e-15)


@pytest.mark.parametrize("bases", ["XX", "YY", "ZZ", "XZ", "YX"])
def test_outcomes_agree_with_the_state(bases: str) -> None:
    pauli = {
        "X": np.array([[0, 1], [1, 0]]),
        "Y": np.array([[0, -1j], [1j, 0]]),
        "Z": np.diag([1, -1]),
    }
    wanted = np.trace(werner(0.9) @ np.kron(pauli[bases[0]], pauli[bases[1]])).real
    pairs = 40_000
    bits = np.array(Link(OPTIONS, 1).tries(EntangleRequest("b", pairs, bases), 5).outcomes)
    assert abs(np.mean(1 - 2 * (bits[:, 0] ^ bits[:, 1])) - wanted) < 5 / np.sqrt(pairs)
    assert (abs(bits.mean(axis=0) - 0.5) < 2.5 / np.sqrt(pairs)).all()


def test_tries_take_their_time_and_succeed_at_the_rate() -> None:
    pairs = 20_000
    tries = Link(OPTIONS, 1).tries(EntangleRequest("b", pairs), 5)
    assert tries.succeeded_ns == tuple((np.cumsum(tries.attempts) * 20_000).tolist())
    rate = pairs / (tries.device_ns / 1e9)
    assert abs(rate / 1000 - 1) < 5 / np.sqrt(pairs)
    assert min(tries.attempts) == 1
    assert tries == Link(OPTIONS, 9).tries(EntangleRequest("b", pairs), 5)


def test_own_seeds_follow_from_the_links() -> None:
    one, same, other = Link(OPTIONS, 1), Link(OPTIONS, 1), Link(OPTIONS, 2)
    seeds = [one.next_seed(), one.next_seed()]
    assert seeds == [same.next_seed(), same.next_seed()]
    assert len({*seeds, other.next_seed()}) == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fidelity": 0.2}, "fidelity is 0.2"),
        ({"fidelity": float("nan")}, "fidelity is nan"),
        ({"rate_per_s": 0.0}, "rate_per_s is 0.0"),
        ({"attempt_us": 0.0}, "attempt_us is 0.0"),
        ({"rate_per_s": 60_000.0}, "at most 50000 can be"),
        ({"devices": ("a", "a")}, "names a twice"),
    ],
)
def test_figures_that_cannot_be_are_named(change: dict[str, object], said: str) -> None:
    fields = {"devices": ("a", "b"), "fidelity": 0.9, "rate_per_s": 1000.0, "attempt_us": 20.0, **change}
    with pytest.raises(ConfigError, match="links") as caught:
        check_link(LinkOptions(**fields), "links[0]")  # type: ignore[arg-type]
    assert said in str(caught.value)


def test_bases_are_checked() -> None:
    for bases in ("X", "XXX", "XI"):
        with pytest.raises(OptionError, match="two letters of XYZ"):
            Link(OPTIONS, 1).tries(EntangleRequest("b", 1, bases), 1)
