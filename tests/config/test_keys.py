"""The list of keys: each one that changes is found, and only live ones take effect without a restart."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from qfw.config.current import Current
from qfw.config.keys import NAME, Key, differences, every_key, live, values
from qfw.config.settings import PlatformSettings, Settings, load

PLAIN = [key for key in every_key() if NAME not in key.name]


def other(key: Key) -> Any:
    """An allowed value that is not the default."""
    match key.default:
        case float() if key.name == "reservations.max_share":
            return 0.5
        case int() | float():
            return key.default + 4096
        case tuple():
            return ("x",)
    return "job" if key.name == "daemon.scope" else "/x"


def changed(key: Key) -> Settings:
    table, _, name = key.name.rpartition(".")
    usual = Settings()
    if not table:
        return msgspec.structs.replace(usual, **{name: other(key)})
    part = msgspec.structs.replace(getattr(usual, table), **{name: other(key)})
    return msgspec.structs.replace(usual, **{table: part})


@pytest.mark.parametrize("key", PLAIN, ids=lambda key: key.name)
def test_a_key_that_changes_is_taken_over_or_named(key: Key) -> None:
    wanted = changed(key)
    assert differences(Settings(), wanted) == [key.name]
    current, heard = Current(Settings()), []
    current.follow(heard.append)
    assert current.take(wanted) == (([key.name], []) if key.live else ([], [key.name]))
    assert (current.settings == wanted) == key.live
    assert heard == ([wanted] if key.live else [])
    # The tables that are read one by one are those of the settings.
    for name in Settings.__struct_fields__:
        if hasattr(current, name):
            assert getattr(current, name) == getattr(current.settings, name)


def test_every_table_can_be_read_of_the_settings_in_force() -> None:
    """Engines and platforms are asked for once, when the daemon starts."""
    current = Current(Settings())
    assert {name for name in Settings.__struct_fields__ if not hasattr(current, name)} == {
        "engines",
        "platforms",
    }


def test_platforms_are_compared_key_by_key() -> None:
    one = Settings(platforms={"a": PlatformSettings(), "b": PlatformSettings()})
    two = Settings(platforms={"a": PlatformSettings(grace_s=2.0), "b": PlatformSettings()})
    assert differences(one, two) == ["platforms.a.grace_s"]
    assert differences(one, one) == []
    assert set(differences(Settings(), two)) >= {"platforms.a.grace_s", "platforms.b.plugin"}


def test_it_is_said_what_the_file_says(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    document = {"workers": {"count": 3}, "platforms": {"a": {"grace_s": 2}}, "unread_bytes": 4096}
    path.write_text(
        "unread_bytes = 4096\n[workers]\ncount = 3\n[platforms.a]\ngrace_s = 2\n[tools.external.a]\n"
    )
    found = values(load(path), document)
    assert {value.key for value in found if value.given} == {
        "unread_bytes",
        "workers.count",
        "platforms.a.grace_s",
    }
    names = {re.sub(r"^(platforms|tools\.external)\.a", rf"\1.{NAME}", value.key) for value in found}
    assert names == {key.name for key in every_key()}
    assert live() < names
