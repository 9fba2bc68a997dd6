"""A runtime folder for one application: made, set up, waited for, removed."""

from __future__ import annotations

import os
import select
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from qfw.config import discover, runtime, settings
from qfw.config.document import written
from qfw.model.errors import (
    NetworkFileSystem,
    SetupError,
    SocketPathTooLong,
    UnknownDevice,
    UsageError,
)
from qfw.model.events import DaemonStarted
from qfw.qpm import journal, registry

#: Where a folder is tried whose path is too long, or on a network file system, in the temporary folder.
FALLBACK = Path("/tmp")
#: A private daemon ends with its last session; it may take this long.
END_S = 10.0
_GONE_RETRY_S = 0.02


def make(chosen: Path | None) -> Path:
    """A runtime folder that nobody uses: `chosen`, which must be empty or absent, or a fresh temporary one.

    Raises:
        SetupError: no such folder can be used, says why.
        UsageError: `chosen` is not empty.
    """
    if chosen is not None:
        if chosen.is_dir() and any(chosen.iterdir()):
            raise UsageError(f"{chosen} is not empty; --runtime-dir wants an empty folder, or one to be made")
        return runtime.prepare(chosen)
    try:
        return _temporary(Path(tempfile.gettempdir()))
    except (SocketPathTooLong, NetworkFileSystem):
        return _temporary(FALLBACK)


def _temporary(parent: Path) -> Path:
    try:
        folder = Path(tempfile.mkdtemp(prefix="qfw-run-", dir=parent))
    except OSError as error:
        raise SetupError(
            f"cannot make a folder in {parent}: {error.strerror}. Name one with --runtime-dir"
        ) from error
    try:
        return runtime.prepare(folder)
    except BaseException:
        folder.rmdir()
        raise


def configure(folder: Path, engines: list[str], workers: int | None) -> dict[str, str]:
    """Changes of the environment that bring an application to `folder`, and its daemon to these settings.

    What is not given stays as the user's own settings say.

    Raises:
        UnknownDevice: no engine of that name; names the nearest.
        ConfigError: the user's own settings are wrong.
    """
    changes = {discover.RUNTIME_DIR: str(folder)}
    if not engines and workers is None:
        return changes
    known = registry.names(registry.ENGINES)
    for name in engines:
        if name not in known:
            raise UnknownDevice(registry.unknown("engine", name, known))
    path = discover.config_path()
    chosen = settings.load(path) if path else settings.Settings()
    if engines:
        chosen = msgspec.structs.replace(chosen, engines=tuple(engines))
    if workers is not None:
        chosen = msgspec.structs.replace(
            chosen, workers=msgspec.structs.replace(chosen.workers, count=workers)
        )
    written = folder / "settings.toml"
    written.write_text(toml(chosen))
    return {**changes, discover.CONFIG: str(written)}


def toml(chosen: settings.Settings) -> str:
    """Settings as `qfw.config.settings.load` reads them."""
    top: list[str] = []
    tables: list[str] = []
    for key in chosen.__struct_fields__:
        value = getattr(chosen, key)
        if isinstance(value, msgspec.Struct):
            tables.append(f"\n[{key}]")
            tables += [f"{name} = {written(getattr(value, name))}" for name in value.__struct_fields__]
        else:
            top.append(f"{key} = {written(value)}")
    return "\n".join([*top, *tables, ""])


def last_daemon(folder: Path) -> DaemonStarted | None:
    """The last daemon that wrote a journal in `folder`; None where none did.

    Raises:
        JournalDamaged: the first record of a segment cannot be believed.
    """
    written = runtime.journal_dir(folder)
    for segment in reversed(journal.segments(written) if written.is_dir() else []):
        first = next(journal.read(segment), None)
        if isinstance(first, DaemonStarted):
            return first
    return None


def wait_until_gone(pid: int, timeout_s: float) -> bool:
    """Whether a process of this user has ended, after waiting for it."""
    try:
        watch = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:
        return _look_until_gone(pid, timeout_s)
    try:
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        return bool(poll.poll(timeout_s * 1e3))
    finally:
        os.close(watch)


def _look_until_gone(pid: int, timeout_s: float) -> bool:
    """For kernels before 5.3, which cannot tell of the end of another's child."""
    deadline = time.monotonic() + timeout_s
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(_GONE_RETRY_S)
    return True


def remove(folder: Path) -> None:
    """Removes a folder that `make` made."""
    shutil.rmtree(folder, ignore_errors=True)
