"""Names in the settings that only what is installed can explain: engines, launchers, plugins of platforms."""

from __future__ import annotations

from collections.abc import Iterator

from qfw.config.settings import Settings
from qfw.model.errors import QFwError
from qfw.qpm import registry

#: The platform that runs in the daemon itself.
WITHIN = "simulators"


def problems(settings: Settings) -> list[str]:
    """What names nothing that is here, one line for each: the key, what was found, what there is.

    A plugin that another interpreter has is not looked for; its host will.
    """
    return [*_engines(settings), *_launcher(settings), *_platforms(settings)]


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
