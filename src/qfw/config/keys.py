"""Every key of the settings: its type, default and range, whether a reload changes it, what it is for."""

from __future__ import annotations

import inspect as source
import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

from qfw.config.document import allowed, bare, struct_of
from qfw.config.settings import Settings

#: Stands for the name of a table that the user names.
NAME = "NAME"
#: Keys that hold tables which the user names.
TABLES = frozenset({"platforms", "external"})


class Key(msgspec.Struct, frozen=True):
    """One key."""

    #: With its table: workers.count, platforms.NAME.plugin.
    name: str
    #: What it may be, in words.
    allowed: str
    default: Any
    #: Whether a running daemon takes a new value over on reload.
    live: bool
    #: What it is for.
    purpose: str


class Value(msgspec.Struct, frozen=True):
    """What a key is in one file."""

    key: str
    value: Any
    #: Whether the file says so; else it is the default.
    given: bool


def every_key(kind: type[msgspec.Struct] = Settings, prefix: str = "") -> Iterator[Key]:
    """All keys, those of the top level first."""
    tables: list[tuple[str, type[msgspec.Struct]]] = []
    purposes, usual = _purposes(kind), kind()
    for field in struct_of(kind).fields:
        declared, live = bare(field.type)
        name = prefix + field.name
        if isinstance(declared, inspect.StructType):
            tables.append((f"{name}.", declared.cls))
        elif isinstance(declared, inspect.DictType) and isinstance(declared.value_type, inspect.StructType):
            tables.append((f"{name}.{NAME}.", declared.value_type.cls))
        else:
            default = getattr(usual, field.name)
            yield Key(name, allowed(declared), default, live, purposes.get(field.name, ""))
    for name, table in tables:
        yield from every_key(table, name)


def values(settings: Settings, document: Mapping[str, Any]) -> list[Value]:
    """What every key is, and whether `document`, of which the settings were made, says so."""
    return list(_values(settings, document, ""))


def differences(old: Settings, new: Settings) -> list[str]:
    """Names of the keys whose values are not the same; a platform's as platforms.acme.options."""
    before = {value.key: value.value for value in values(old, {})}
    after = {value.key: value.value for value in values(new, {})}
    return [key for key in before | after if before.get(key) != after.get(key)]


def live() -> frozenset[str]:
    """Names of the keys that a reload changes."""
    return frozenset(key.name for key in every_key() if key.live)


def _values(table: msgspec.Struct, document: Mapping[str, Any], prefix: str) -> Iterator[Value]:
    nested: list[tuple[str, msgspec.Struct, Mapping[str, Any]]] = []
    for name in table.__struct_fields__:
        value, given = getattr(table, name), document.get(name)
        if isinstance(value, msgspec.Struct):
            nested.append((f"{prefix}{name}.", value, given or {}))
        elif isinstance(value, dict) and value and all(isinstance(v, msgspec.Struct) for v in value.values()):
            nested += [(f"{prefix}{name}.{k}.", v, (given or {}).get(k, {})) for k, v in value.items()]
        elif isinstance(value, dict) and not value and name in TABLES:
            continue
        else:
            yield Value(prefix + name, value, name in document)
    for inner, struct, said in nested:
        yield from _values(struct, said, inner)


def _purposes(kind: type[msgspec.Struct]) -> dict[str, str]:
    """What stands over each field in the source; nothing where the source is not installed."""
    try:
        lines = source.getsource(kind).splitlines()
    except OSError:
        return {}
    found: dict[str, str] = {}
    over: list[str] = []
    for line in map(str.strip, lines):
        if line.startswith("#:"):
            over.append(line[2:].strip())
        elif match := re.match(r"(\w+):", line):
            found[match[1]] = " ".join(over)
            over = []
    return found
