"""Platforms that a daemon would start: whether they have what they claim, found out in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time

import msgspec

from qfw.config.settings import PlatformSettings, Settings
from qfw.qpm import registry
from qfw.qpm.status import PlatformState, PlatformStatus

#: The platform that runs in the daemon itself.
WITHIN = "simulators"
#: Seconds that plugins may take to load, all at the same time.
LOAD_LIMIT_S = 10.0
#: What the process of a plugin runs: a stranger's code, which may hang, print and die. It is made, and not opened.
_LOAD = """
import os, sys
out, sys.stdout = os.dup(1), sys.stderr
os.dup2(2, 1)
import msgspec
from qfw.hosts import claims
from qfw.qpm import registry
from qfw.qpm.platform import PlatformConfig
name, plugin, options = sys.argv[1:]
try:
    kind = registry.load(registry.PLATFORMS, plugin)
    claims.check_api(getattr(kind, "api_version", None))
    claims.check_methods(kind, getattr(kind, "facets", None))
    profiles = tuple(kind(PlatformConfig(name, msgspec.json.decode(options))).devices())
    if profiles:
        claims.check_devices(profiles, (None,) * len(profiles), frozenset(kind.facets))
    said = ""
except BaseException as error:
    said = str(error) or type(error).__name__
os.write(out, b"\\0" + said.encode(errors="replace"))
os._exit(0)
"""


def configured(settings: Settings) -> list[PlatformStatus]:
    """Every platform of these settings and every one that is installed, none of them started."""
    tables = settings.platforms
    named = {name: table.plugin or name for name, table in tables.items()}
    spare = [
        name for name in registry.names(registry.PLATFORMS) if name not in {WITHIN, *named, *named.values()}
    ]
    rows = [
        PlatformStatus(name, plugin, PlatformState.ON_DEMAND, "", ())
        for name, plugin in (*named.items(), *((name, name) for name in spare))
    ]
    return looked_at(sorted(rows, key=lambda row: row.name), settings)


def looked_at(
    rows: list[PlatformStatus], settings: Settings, limit_s: float = LOAD_LIMIT_S
) -> list[PlatformStatus]:
    """The rows, with those broken whose plugins do not load, or lack what they claim, within `limit_s` in all."""
    looks = {
        row.name: _begin(row, settings.platforms.get(row.name, PlatformSettings()))
        for row in rows
        if row.state is PlatformState.ON_DEMAND
    }
    end_s = time.monotonic() + limit_s
    found = []
    for row in rows:
        reason = _end(looks[row.name], end_s) if row.name in looks else ""
        if reason:
            row = msgspec.structs.replace(row, state=PlatformState.BROKEN, reason=reason)
        found.append(row)
    return found


def _begin(row: PlatformStatus, table: PlatformSettings) -> subprocess.Popen[bytes] | str:
    try:
        return subprocess.Popen(
            [
                table.python or sys.executable,
                "-c",
                _LOAD,
                row.name,
                row.plugin,
                # A date of TOML goes as its text.
                msgspec.json.encode(table.options).decode(),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except OSError as error:
        return f"{table.python or sys.executable} cannot be started: {error.strerror}"


def _end(look: subprocess.Popen[bytes] | str, end_s: float) -> str:
    if isinstance(look, str):
        return look
    try:
        said, _ = look.communicate(timeout=max(0.0, end_s - time.monotonic()))
    except subprocess.TimeoutExpired:
        look.kill()
        look.communicate()
        return "its plugin did not load in time"
    mark, _, reason = said.rpartition(b"\0")
    if not mark and not said.startswith(b"\0"):
        return f"the process that loaded its plugin ended with code {look.returncode}"
    return reason.decode(errors="replace")
