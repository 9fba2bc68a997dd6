"""Parts of groups travel together: what a daemon is sent, in which order, and what becomes of what was not sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from qfw.model.errors import DaemonLost, TooLarge
from qfw.model.observable import PauliSum
from qfw.model.outputs import Expectation
from qfw.model.pipeline import Pipeline, Stage
from qfw.model.seeds import leaf_seed
from qfw.qpi import Mesh, Session
from qfw.qpi.client import Client, Draft
from qfw.qpi.device import Device
from qfw.qpi.groups import MOST_SENT, PARTS_AT_ONCE
from tests.stack import LIMIT_S, SHORT, Z0, cosine_is_right, running_daemon, strangers, until

ONE = 'engines = ["reference"]\nworkers.count = 1\ndaemon.name = "one"\n'
TWO = 'engines = ["reference"]\nworkers.count = 1\ndaemon.name = "two"\n'


class Watched:
    """A client that says what it was given at once, and may be told to refuse; the rest is the real one's."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.given: list[list[Draft]] = []
        #: Called with the number of a submission before it is sent.
        self.before: Callable[[int], None] = lambda number: None
        self.lost = False

    def submit(self, drafts: Sequence[Draft], *more: Any) -> Any:
        self.before(len(self.given))
        self.given.append(list(drafts))
        return self.client.submit(drafts, *more)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)


@pytest.fixture(scope="module")
def session() -> Iterator[Session]:
    with (
        strangers(),
        running_daemon(ONE) as one,
        running_daemon(TWO) as two,
        Session(daemons=[one, two]) as opened,
    ):
        yield opened


def watched(session: Session, name: str) -> tuple[Device, Watched]:
    device = session.device(name)
    client = Watched(device.client)
    return Device(session, client, device.profile, device.name), client  # type: ignore[arg-type]


def numbers(client: Watched) -> list[int]:
    return [len(drafts) for drafts in client.given]


def test_the_leaves_of_a_program_travel_together_in_their_order(session: Session) -> None:
    device, client = watched(session, "reference")
    stages = Pipeline((Stage("frames", "frames", {"frames": 150}),))
    stream = device.stream(pipeline=stages)
    outputs = (Expectation((PauliSum.of("Z0"),)),)
    for k in range(2):
        client.given.clear()
        angles = np.array([[0.3], [0.5 + k]])
        result = stream.run(SHORT, angles, outputs=outputs, shots=600, seed=4).result(LIMIT_S)
        assert numbers(client) == [1, PARTS_AT_ONCE, PARTS_AT_ONCE, 150 - 1 - 2 * PARTS_AT_ONCE]
        drafts = [draft for given in client.given for draft in given]
        assert [draft.rest[4] for draft in drafts] == [leaf_seed(4, number) for number in range(150)]
        assert {draft.rest[2] for draft in drafts} == {angles.astype("<f8").tobytes()}
        # The first is the first of a group, which the others name.
        assert [draft.more[2] for draft in drafts] == [-1] + [result.task] * 149
        assert [part.task for part in result.parts] == list(range(result.task, result.task + 150))
        off = abs(result.expectation_values[:, 0] - np.cos(angles[:, 0]))
        assert (off < 6 * result.standard_errors[:, 0] + 1e-9).all()


def test_no_more_is_under_way_than_may_be(session: Session) -> None:
    device, client = watched(session, "reference")
    open_then: list[int] = []
    client.before = lambda number: open_then.append(client.client.open_tasks)
    stages = Pipeline((Stage("frames", "frames", {"frames": 2 * MOST_SENT}),))
    outputs = (Expectation((PauliSum.of("Z0"),)),)
    result = device.stream(pipeline=stages).run(SHORT, [0.3], outputs=outputs).result(LIMIT_S)
    assert sum(numbers(client)) == len(result.parts) == 2 * MOST_SENT
    most = max(before + sent for before, sent in zip(open_then, numbers(client), strict=True))
    assert MOST_SENT // 2 < most <= MOST_SENT
    assert max(numbers(client)) <= PARTS_AT_ONCE
    np.testing.assert_allclose(result.expectation_values, np.cos(0.3), atol=1e-12)


def test_large_parameters_travel_in_few_parts(session: Session) -> None:
    device, client = watched(session, "reference")
    angles = np.full((2**20, 1), 0.25)
    result = Mesh([device]).run_group(SHORT, angles, outputs=Z0, parts=4).result(LIMIT_S)
    assert numbers(client)[0] == 1 and max(numbers(client)) <= 2 and sum(numbers(client)) == 4
    np.testing.assert_allclose(result.expectation_values, np.cos(0.25), atol=1e-12)


def test_what_a_lost_daemon_was_to_be_sent_goes_to_the_others(session: Session) -> None:
    first, lost = watched(session, "reference")
    second, kept = watched(session, "reference@two")
    mesh = Mesh([first, second])

    def lose(number: int) -> None:
        if number == 1:
            lost.lost = True
            raise DaemonLost("it went away")

    lost.before = lose
    angles = np.linspace(0.0, 1.0, 200)
    result = mesh.run_group(SHORT, angles[:, None], outputs=Z0, parts=200).result(LIMIT_S)
    np.testing.assert_allclose(result.expectation_values[:, 0], np.cos(angles), atol=1e-12)
    assert len(lost.given) == 1 and sum(numbers(lost)) + sum(numbers(kept)) == 200
    until(lambda: not mesh._busy(), "nothing is counted that was not sent")


def test_what_cannot_be_sent_fails_the_group_and_leaves_nothing_counted(session: Session) -> None:
    first, refusing = watched(session, "reference")
    second, _ = watched(session, "reference@two")
    mesh = Mesh([first, second])

    def refuse(number: int) -> None:
        if number == 1:
            raise TooLarge("this does not go through")

    refusing.before = refuse
    future = mesh.run_group(SHORT, np.zeros((200, 1)), outputs=Z0, parts=200)
    assert isinstance(future.exception(LIMIT_S), TooLarge)
    until(lambda: not mesh._busy(), "nothing is counted that was not sent")
    until(lambda: mesh.groups._sent == 0, "nothing is counted as sent")
    refusing.before = lambda number: None
    assert cosine_is_right(mesh.run_group(SHORT, [0.3], outputs=Z0).result(LIMIT_S), 0.3)
