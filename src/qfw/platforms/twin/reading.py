"""Reading what a user wrote into a struct, with errors that say where it stands and what was meant."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from qfw.model.errors import ConfigError

T = TypeVar("T", bound=msgspec.Struct)


#: Bytes of a file that is read.
MAX_BYTES = 2**20


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file. Raises ConfigError where it cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
        if len(text) > MAX_BYTES:
            raise ConfigError(f"{path} has more than {MAX_BYTES} bytes; give a shorter file")
        found: dict[str, Any] = msgspec.toml.decode(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give a readable TOML file") from error
    except ValueError as error:
        # Not TOML, not UTF-8, or a path that no file can have.
        raise ConfigError(f"{str(path)!r}: {error}") from error
    return found


def converted(value: object, kind: type[T], where: str) -> T:
    """`value`, of plain tables and lists, as a struct.

    Raises:
        ConfigError: an unknown key (names the nearest known one), one that is missing, a wrong type.
    """
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        unknown = re.search(r"unknown field `([^`]+)`", message)
        near = difflib.get_close_matches(unknown[1], sorted(_keys(kind)), n=1) if unknown else []
        hint = f"; did you mean `{near[0]}`?" if near else ""
        raise ConfigError(f"{where}: {message}{hint}") from error


def _keys(kind: object) -> set[str]:
    """Names of all fields of a struct and of those inside it."""
    found: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        for field in msgspec.structs.fields(kind):
            found |= {field.encode_name} | _keys(field.type)
    for inner in getattr(kind, "__args__", ()):
        found |= _keys(inner)
    return found
