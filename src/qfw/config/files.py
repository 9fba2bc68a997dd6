"""Files of the user: read with a bound and without waiting, written whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from qfw.model.errors import SetupError


def read(path: Path, most_bytes: int) -> bytes:
    """All of a file, whose kind and size are looked at first.

    Raises:
        SetupError: it is no file, larger than `most_bytes`, or cannot be read.
    """
    try:
        # Nobody waits for the other end of a FIFO.
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot read {path}: {_why(error)}") from error
    try:
        with open(file, "rb") as opened:  # noqa: PTH123 - a descriptor
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode):
                if found.st_size > most_bytes:
                    raise SetupError(f"{path} has {found.st_size} bytes; at most {most_bytes} are read")
                return opened.read(most_bytes)
    except OSError as error:
        raise SetupError(f"cannot read {path}: {_why(error)}") from error
    raise SetupError(f"cannot read {path}: it is no file")


def write(path: Path, data: bytes) -> None:
    """Puts bytes in a file's place; what others read is the old file or the new one.

    A device or pipe is written to as it is. Raises SetupError where it cannot be.
    """
    aside = ""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
            return
        # Of a link the file that it leads to.
        place = path.resolve()
        handle, aside = tempfile.mkstemp(prefix=f".{place.name[:64]}-", dir=place.parent)
        with open(handle, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(data)
            os.fchmod(handle, place.stat().st_mode & 0o777 if place.exists() else 0o666 & ~_umask())
        Path(aside).replace(place)
        aside = ""
    except (OSError, ValueError) as error:
        raise SetupError(f"cannot write {path}: {_why(error)}") from error
    finally:
        if aside:
            Path(aside).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def _why(error: OSError | ValueError) -> str:
    return str(getattr(error, "strerror", None) or error)
