"""A device whose host misbehaves is in a stated condition within its deadline and two seconds: by the daemon's clock.

The clock is held (tests.hosts.stand.Clock): what is measured is what the daemon waits for, not how busy the
machine is. That it also holds against a real clock, with others served meanwhile, is in test_daemon.
"""

from __future__ import annotations

import pytest

from qfw.model.device import DeviceState
from qfw.model.errors import SetupError
from qfw.processes import cgroup
from qfw.qpm.platform import RunDone, RunFailed
from tests.hosts.stand import Stand

#: Of the hosts here, in seconds.
ANSWER_S, GRACE_S, RUN_S, START_S = 1.0, 0.2, 0.5, 3.0
#: A stuck host is found by a ping that it leaves unanswered: the next one, and then the limit.
STUCK_S = 2 * ANSWER_S
#: What may be added to a deadline.
MARGIN_S = 2.0
#: Of the held clock, where nothing but time can change anything; and where the host has something to say first.
QUICK_S, SLOW_S = 0.02, 0.0002


@pytest.mark.parametrize(
    ("do", "deadline_s", "tick_s"),
    [
        ("hang", STUCK_S, QUICK_S),
        ("endless", STUCK_S, QUICK_S),
        ("silent", RUN_S + GRACE_S, QUICK_S),
        ("stale", RUN_S + GRACE_S, 0.001),
        ("die", 0.0, SLOW_S),
        ("kill", 0.0, SLOW_S),
        ("events", 0.0, SLOW_S),
        ("garbage", 0.0, SLOW_S),
        ("giant", 0.0, SLOW_S),
        ("often", 0.0, SLOW_S),
    ],
)
def test_its_device_is_offline_in_time(stand: Stand, do: str, deadline_s: float, tick_s: float) -> None:
    platform = stand.host(do, answer_limit_s=ANSWER_S, grace_s=GRACE_S)
    stand.up(platform)
    stand.clock.hold(tick_s)
    began_s = stand.clock()
    stand.start(platform, limit_s=RUN_S)
    stand.until(lambda: platform.state("hostile") is DeviceState.OFFLINE, "offline")
    assert stand.sink.offline_s["hostile"] - began_s <= deadline_s + MARGIN_S
    assert stand.sink.lost


def test_a_fork_bomb_is_ended_in_time(stand: Stand) -> None:
    try:
        cgroup.make("qfw-test-deadline", 10).remove()
    except SetupError:
        pytest.skip("no pids cgroup can be had")
    platform = stand.host("fork", answer_limit_s=ANSWER_S, grace_s=GRACE_S, max_processes=40)
    stand.up(platform)
    stand.clock.hold(QUICK_S)
    began_s = stand.clock()
    stand.start(platform, limit_s=RUN_S)
    stand.until(lambda: stand.sink.lost, "slot lost")
    # Either it is too busy for a ping, or its run goes on for too long.
    assert stand.sink.offline_s["hostile"] - began_s <= max(STUCK_S, RUN_S + GRACE_S) + MARGIN_S


@pytest.mark.parametrize(("do", "code"), [("shape", "WrongAnswer"), ("nan", "WrongAnswer"), ("twice", "")])
def test_a_wrong_or_second_answer_is_dealt_with_in_time_and_the_device_stays(
    stand: Stand, do: str, code: str
) -> None:
    platform = stand.host(do, answer_limit_s=ANSWER_S, grace_s=GRACE_S)
    stand.up(platform)
    stand.clock.hold(SLOW_S)
    began_s = stand.clock()
    stand.start(platform, limit_s=RUN_S)
    stand.until(lambda: stand.outcomes("hostile"), "outcome")
    stand.until(lambda: code or platform.late_answers, "the second one")
    assert stand.clock() - began_s <= MARGIN_S
    (outcome,) = stand.outcomes("hostile")
    if code:
        assert isinstance(outcome, RunFailed) and outcome.error.code == code
    else:
        assert isinstance(outcome, RunDone)
    assert platform.state("hostile") is DeviceState.ONLINE and not stand.sink.lost


@pytest.mark.parametrize("do", ["hang at start", "hang at import"])
def test_a_host_that_does_not_come_up_is_ended_in_time(
    stand: Stand, do: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand.clock.hold(QUICK_S)
    began_s = stand.clock()
    plugin = "stuck" if do == "hang at import" else "hostile"
    platform = stand.host(do, plugin=plugin, start_limit_s=START_S)
    pids: set[int] = set()

    def broken() -> bool:
        if platform.host_pid is not None:
            pids.add(platform.host_pid)
        return platform.broken is not None

    stand.until(broken, "broken")
    assert platform.broken is not None
    assert "lost 4 times in a row, at last because it did not come up within 3 s" in platform.broken.message
    assert len(pids) == 4
    # Four hosts, and the pauses between them.
    assert stand.clock() - began_s <= 4 * START_S + (0.2 + 0.8 + 3.2) + MARGIN_S
