"""Settings: what is refused, and what the message says of it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from qfw.cli.private import toml
from qfw.config.settings import load
from qfw.model.errors import ConfigError


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers.count = 4097", "workers.count is 4097; allowed: a whole number from 0 to 4096$"),
        ("workers.wide_threads = -1", "workers.wide_threads is -1; allowed: a whole number from 0 to 1024$"),
        ("workers.threads = 2000", "workers.threads is 2000; allowed: a whole number from 1 to 1024$"),
        ("workers.max_attempts = 0", "workers.max_attempts is 0; allowed: a whole number, at least 1$"),
        ("scheduling.max_bytes_per_session = 0", "is 0; allowed: a whole number, at least 1$"),
        (
            "journal.retain_bytes = 1" + "0" * 30,
            "allowed: a whole number, at least 4096 and at most 4611686018427387904$",
        ),
        ("reservations.max_share = 1.5", "max_share is 1.5; allowed: a number from 0 to 1$"),
        (
            "[platforms.mine]\nmax_processes = 0",
            "platforms.mine.max_processes is 0; allowed: a whole number, at l",
        ),
        (
            "[platforms.mine]\nstart_limit_s = nan",
            "mine.start_limit_s is nan; allowed: a number, at least 0.1$",
        ),
        (
            "[platforms.mine]\nstart_limit_s = inf",
            "mine.start_limit_s is inf; allowed: a number, at least 0.1",
        ),
        (
            "[platforms.mine]\nevents_per_s = 0.0",
            "platforms.mine.events_per_s is 0.0; allowed: a number, at l",
        ),
        # Types.
        ("workers.count = '4'", 'workers.count is "4"; allowed: a whole number from 0 to 4096$'),
        ("workers.count = 4.0", "workers.count is 4.0; allowed: a whole number"),
        ("workers.count = true", "workers.count is true; allowed: a whole number"),
        ("engines = 'aer'", 'engines is "aer"; allowed: a list of texts$'),
        ("engines = ['aer', 3]", r'engines is \["aer", 3\]; allowed: a list of texts$'),
        ("workers = 3", "workers is 3; allowed: a table$"),
        ("[platforms]\nmine = 3", "platforms.mine is 3; allowed: a table$"),
        ("daemon.scope = 'galaxy'", 'daemon.scope is "galaxy"; allowed: "job" or "site"$'),
        ("daemon.name = 2026-01-01", "daemon.name is 2026-01-01; allowed: a text$"),
        # Keys that nobody knows: the nearest of their table, else of another one.
        ("[platforms.mine]\nplugins = 'x'", r"\[platforms.mine\] has no such key; did you mean `plugin`"),
        ("engine = []", "the top level has no such key; did you mean `engines`"),
        ("count = 3", r"the top level has no such key; did you mean `count` of \[workers\]\?"),
        (
            "[daemon]\nunread_byte = 3",
            r"\[daemon\] has no such key; did you mean `unread_bytes` of the top level",
        ),
        ("[daemon]\nzzzz = 3", r"\[daemon\] has no such key; there are: scope, name, folder"),
        ("[daemon]\n'a b' = 3", 'daemon."a b": '),
        ("workers.count = ", "no TOML: "),
    ],
)
def test_the_range_is_said(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(line)
    with pytest.raises(ConfigError, match=message):
        load(path)


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("engine = 1\n[workers]\ncount = -1\n[daemon]\nscope = 'x'\n")
    with pytest.raises(ConfigError) as raised:
        load(path)
    first, *lines = str(raised.value).splitlines()
    assert first == f"{path}: 3 things are wrong:"
    assert [line.split()[0] for line in lines] == ["engine:", "workers.count", "daemon.scope"]


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    with pytest.raises(ConfigError, match="No such file or directory; give a readable TOML file"):
        load(path)
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(ConfigError, match=r"no text in UTF-8 \(byte 5\)"):
        load(path)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    """Settings of one run of `qfw run` are a file that says all of them."""
    path = tmp_path / "settings.toml"
    path.write_text(
        "engines = ['aer']\n[daemon]\nname = 'a\"b'\n[platforms.'my lab']\nevents_per_s = 5\n"
        "[platforms.'my lab'.options]\nwhen = 2026-01-01\nat = 2026-01-01T07:32:00Z\n"
        "deep = {list = [1, 2.5, {x = inf}], text = \"\\u0001\\u007f\\n\", 'a.b' = true}\n"
    )
    first = load(path)
    path.write_text(toml(first))
    assert load(path) == first
    assert first.platforms["my lab"].options["deep"]["list"][2] == {"x": float("inf")}


def test_what_is_given_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text(
        "engines = ['aer']\n[workers]\ntime_limit_s = 5\n"
        "[platforms.mine]\noptions = {when = 2026-01-01, list = [1, 2]}\n"
    )
    found = load(path)
    assert found.engines == ("aer",) and found.workers.time_limit_s == 5.0
    assert found.platforms["mine"].options == {"when": datetime.date(2026, 1, 1), "list": [1, 2]}
