"""A session with a daemon of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from qfw.qpi import Request, Session


@pytest.fixture(scope="session")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Session(runtime_folder=tmp_path_factory.mktemp("qfw")) as opened:
        yield opened


class RecordingSession:
    """A session that keeps what an adapter sends; everything goes on to the real one."""

    def __init__(self, session: Session) -> None:
        self._session = session
        #: The requests of each message.
        self.messages: list[list[Request]] = []

    def device(self, name: str | None = None) -> RecordingSession:
        self._stream = self._session.device(name).stream()
        return self

    def stream(self) -> RecordingSession:
        return self

    def run_many(self, requests: Sequence[Request]):
        self.messages.append(list(requests))
        return self._stream.run_many(requests)

    def cancel(self, futures):
        self._stream.cancel(futures)

    def close(self) -> None:
        self._stream.close()


@pytest.fixture
def recording(session: Session) -> RecordingSession:
    return RecordingSession(session)
