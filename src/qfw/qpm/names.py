"""Names in the settings: engines, launchers and plugins, which must be installed; a daemon's name and folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from qfw.config.document import shown
from qfw.config.settings import Settings
from qfw.model.errors import QFwError
from qfw.qpm import registry

#: The platform that runs in the daemon itself.
WITHIN = "simulators"


def problems(settings: Settings) -> list[str]:
    """What names nothing that is here, or cannot be a name; one line for each: the key, what was found, what may be.

    A plugin that another interpreter has is not looked for; its host will.
    """
    return [*_engines(settings), *_launcher(settings), *_platforms(settings), *_daemon(settings)]


def _engines(settings: Settings) -> Iterator[str]:
    known = registry.names(registry.ENGINES)
    for name in settings.engines:
        if name not in known:
            yield f"engines: {registry.unknown('engine', name, known)}"
            continue
        try:
            if registry.load(registry.ENGINES, name).version() is None:
                yield f"engines: what {name!r} needs is not installed; run: pip install 'qfw[{name}]'"
        except QFwError as error:
            yield f"engines: {error}"


def _launcher(settings: Settings) -> Iterator[str]:
    name, known = settings.workers.launcher, registry.names(registry.LAUNCHERS)
    if name not in known:
        yield f"workers.launcher: {registry.unknown('launcher', name, known)}"


def _platforms(settings: Settings) -> Iterator[str]:
    known = [name for name in registry.names(registry.PLATFORMS) if name != WITHIN]
    for name, table in settings.platforms.items():
        plugin = table.plugin or name
        key = f"platforms.{name}.plugin" if table.plugin else f"platforms.{name}"
        if WITHIN in (name, plugin):
            yield f"{key}: {WITHIN} runs within the daemon; give it no table of its own"
        elif not table.python and plugin not in known:
            yield f"{key}: {registry.unknown('platform', plugin, known)}"


def _daemon(settings: Settings) -> Iterator[str]:
    name, folder = settings.daemon.name, settings.daemon.folder
    # Devices are told apart as DEVICE@NAME.
    if re.fullmatch(r"[A-Za-z0-9._-]*", name) is None:
        yield f"daemon.name is {shown(name)}; allowed: letters, digits, '.', '-' and '_'"
    if folder and not Path(folder).is_absolute():
        yield f"daemon.folder is {shown(folder)}; allowed: an absolute path"
