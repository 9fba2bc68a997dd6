"""The stand, with the plugins of these tests installed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.stand import PLUGINS, Stand


@pytest.fixture
def stand(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUGINS), str(Path(__file__).parents[2] / "src")]))
    made = Stand()
    yield made
    for platform in made.platforms:
        platform.close()
