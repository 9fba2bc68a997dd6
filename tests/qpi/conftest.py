"""A session with a daemon of the tests' own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from qfw.qpi import QStream, Session
from tests.stack import SHORT, Z0, runtime_folder


@pytest.fixture
def folder() -> Iterator[Path]:
    with runtime_folder() as made:
        yield made


@pytest.fixture(scope="session")
def shared_folder() -> Iterator[Path]:
    """Of the daemon that most tests share."""
    with runtime_folder() as made:
        (made / "settings.toml").write_text('engines = ["reference"]\nworkers.count = 2\n')
        yield made


@pytest.fixture(scope="session")
def session(shared_folder: Path) -> Iterator[Session]:
    with Session(runtime_folder=shared_folder, config=shared_folder / "settings.toml") as opened:
        opened.device().stream().run(SHORT, [0.0], outputs=Z0).result(30)
        yield opened


@pytest.fixture
def stream(session: Session) -> QStream:
    return session.device("reference").stream()
