"""Settings: what is refused, and what the message says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from qfw.config.settings import load
from qfw.model.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers.count = 4097", "workers.count is 4097; it must be at least 0 and at most 4096"),
        ("workers.wide_threads = -1", "workers.wide_threads is -1; it must be at least 0 and at most 1024"),
        ("workers.threads = 2000", "workers.threads is 2000; it must be at least 1 and at most 1024"),
        ("workers.max_attempts = 0", "workers.max_attempts is 0; it must be at least 1$"),
        ("scheduling.max_bytes_per_session = 0", "max_bytes_per_session is 0; it must be at least 1$"),
        ("[platforms.mine]\nmax_processes = 0", "platforms.mine.max_processes is 0; it must be at least 1$"),
        (
            "[platforms.mine]\nstart_limit_s = nan",
            "platforms.mine.start_limit_s is nan; it must be at least 0.1$",
        ),
        ("[platforms.mine]\nevents_per_s = 0.0", "platforms.mine.events_per_s is 0.0; it must be at least"),
        ("[platforms.mine]\nplugins = 'x'", "did you mean `plugin`"),
    ],
)
def test_the_range_is_said(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(line)
    with pytest.raises(ConfigError, match=message):
        load(path)
