"""Lowering with a memory: what a shelf has of a program, a pipeline and a target is not made again."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

from qfw.config import discover, settings
from qfw.formats.remembered import Remembered
from qfw.model.constants import READS, lifted, restored
from qfw.model.decoding import decoder
from qfw.model.errors import ConfigError, ProgramError
from qfw.model.pipeline import LoweredProgram, Pipeline, Stage
from qfw.model.program import Program
from qfw.model.relocation import Relocation
from qfw.qpm import registry, stages
from qfw.qpm.shelf import Shelf
from qfw.qpm.tool import Target, constants_of, keeps_on_disk

logger = logging.getLogger(__name__)

_KEY_BYTES = 32
#: Lowered programs with slots in place of constants that a process keeps, and their bytes together: as they are run
#: they take some 13 times as much.
MAX_RECENT, MAX_RECENT_BYTES = 64, 4 * 2**20
#: By key; a 1-tuple, so that None in it says that of such a program there is none.
_recent: Remembered[tuple[tuple[LoweredProgram, Program] | None]] = Remembered(MAX_RECENT, MAX_RECENT_BYTES)
_decode = decoder(LoweredProgram)


def lowered(
    pipeline: Pipeline,
    program: Program,
    target: Target,
    shelf: Shelf | None,
    begins: Callable[[Stage], None] = lambda stage: None,
) -> tuple[LoweredProgram, Program]:
    """What a pipeline makes of a program for a target, and that decoded: found on the shelf, or made and put there.

    Of programs that differ only in constants at which no stage looks (`qfw.qpm.tool.constants_of`), one is lowered,
    with slots in place of these; the others come of it. `begins` is told of the stages that are run. Raises as
    `stages.run`.
    """
    if not all(keeps_on_disk(registry.load(registry.TOOLS, stage.tool)) for stage in pipeline.stages):
        shelf = None
    elif (found := _by_structure(pipeline, program, target, shelf, begins)) is not None:
        return found
    return _made_or_found(pipeline, program, target, shelf, begins)


def _made_or_found(
    pipeline: Pipeline, program: Program, target: Target, shelf: Shelf | None, begins: Callable[[Stage], None]
) -> tuple[LoweredProgram, Program]:
    key = b"" if shelf is None else key_of(pipeline, program, target)
    if shelf is not None and (body := shelf.get(key)) is not None:
        found = _believed(body, program)
        if found is not None:
            return found
        shelf.spoil(key)
    made, decoded = stages.lower(pipeline, program, target, begins)
    if shelf is not None:
        shelf.put(key, msgspec.msgpack.encode(made))
    return made, decoded


def _read(pipeline: Pipeline) -> str:
    """Which constants the stages look at together."""
    found = (constants_of(registry.load(registry.TOOLS, s.tool), s.options) for s in pipeline.stages)
    return min(found, key=READS.index, default=READS[0])


def _by_structure(
    pipeline: Pipeline, program: Program, target: Target, shelf: Shelf | None, begins: Callable[[Stage], None]
) -> tuple[LoweredProgram, Program] | None:
    """As `lowered`, by a program in which the constants that no stage looks at are slots.

    None where there are none, where such a program cannot be lowered, or where tools made artefacts of it.
    """
    wanted, values = lifted(program, _read(pipeline))
    if not values:
        return None
    key = key_of(pipeline, wanted, target)
    recent = _recent.get(key)
    if recent is None:
        recent = (_lifted_lowered(pipeline, wanted, target, shelf, begins),)
        _recent.put(key, recent, len(recent[0][0].encoded) if recent[0] is not None else 0)
    (found,) = recent
    if found is None:
        return None
    made, decoded = found
    bound = restored(decoded, values).canonical()
    try:
        bound.check()
    except ProgramError as error:
        # A sum of constants may be more than an angle can be.
        logger.info("constants stay constants: %s", error)
        return None
    return msgspec.structs.replace(made, encoded=bound.encoded), bound


def _lifted_lowered(
    pipeline: Pipeline, wanted: Program, target: Target, shelf: Shelf | None, begins: Callable[[Stage], None]
) -> tuple[LoweredProgram, Program] | None:
    """Of a program with slots in place of constants; None where it takes the constants."""
    try:
        found = _made_or_found(pipeline, wanted, target, shelf, begins)
    except ProgramError as error:
        # With constants in place of slots it may be possible.
        logger.info("constants stay constants: %s", error)
        return None
    # Artefacts may hold angles.
    return None if found[0].artefacts else found


def _believed(body: bytes, program: Program) -> tuple[LoweredProgram, Program] | None:
    """A lowered program of the shelf, where it can be one of `program`."""
    try:
        made: LoweredProgram = _decode(body)
        decoded = Program.decode(made.encoded)
        Relocation(program, decoded, made.layout).check()
    except (msgspec.DecodeError, ProgramError) as error:
        logger.warning("the shelf has no lowered program where there should be one: %s", error)
        return None
    return made, decoded


def key_of(pipeline: Pipeline, program: Program, target: Target) -> bytes:
    """Digest of all that a lowered program depends on: the program, stages and their tools as installed, the target."""
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
    for part in (program.digest, pipeline.digest, target.digest):
        digest.update(part)
    for tool in sorted({stage.tool for stage in pipeline.stages}):
        digest.update(identity(tool).encode() + b"\0")
    return digest.digest()


def tool_versions(pipeline: Pipeline) -> dict[str, str]:
    """Versions of the tools of a pipeline, by their names."""
    tools = sorted({stage.tool for stage in pipeline.stages})
    return {tool: registry.load(registry.TOOLS, tool).version() or "" for tool in tools}


def identity(tool: str) -> str:
    """A tool as it is installed: what it is, its version and QFw's, and when its folder's modules were changed.

    The last is for those who work on a tool without giving it a new version each time.
    """
    kind = registry.load(registry.TOOLS, tool)
    own = f"{tool} {kind.__module__}:{kind.__qualname__} {kind.version()} {_own_version()}"
    return f"{own} {_modules(kind.__module__)}"


@cache
def _modules(name: str) -> str:
    """Of the modules in the folder of this one, as they were when this process first looked."""
    file = getattr(sys.modules.get(name), "__file__", None)
    digest = hashlib.blake2b(digest_size=16)
    for module in sorted(Path(file).parent.glob("*.py")) if file else ():
        status = module.stat()
        digest.update(f"{module.name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


@cache
def _own_version() -> str:
    try:
        return version("qfw")
    except PackageNotFoundError:
        return ""


def shelf_of(folder: str, most_bytes: int) -> Shelf | None:
    """The shelf that settings name, the same one for all of a process; None where they want none.

    Args:
        folder: `tools.cache_folder`; empty: QFw's in the user's cache folder.
        most_bytes: `tools.cache_bytes`; 0: none.
    """
    place = Path(folder) if folder else discover.cache_dir()
    return _shelf(place / "lowered", most_bytes) if most_bytes and place is not None else None


@cache
def _shelf(place: Path, most_bytes: int) -> Shelf:
    return Shelf(place, most_bytes)


def own_shelf() -> Shelf | None:
    """The shelf of an application, as its user's settings say."""
    path = discover.config_path()
    try:
        tools = _settings(path) if path is not None else settings.ToolSettings()
    except ConfigError as error:
        # The daemon says it louder.
        logger.warning("lowered programs are not kept on disk: %s", error)
        return None
    return shelf_of(tools.cache_folder, tools.cache_bytes)


@cache
def _settings(path: Path) -> settings.ToolSettings:
    return settings.load(path).tools
