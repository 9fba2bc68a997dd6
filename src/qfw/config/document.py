"""A document (of TOML) against a struct: everything that is wrong with it, not only the first.

Knows no particular settings: types, ranges and words are those that the struct declares.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import inspect

#: Bound of what has no sensible one of its own.
MOST = 2**62
#: Characters of a wrong value that are repeated.
SHOWN = 60


def problems(document: Mapping[str, Any], kind: type[msgspec.Struct]) -> list[str]:
    """What is wrong, one line for each: the key, what was found, what is allowed."""
    root = struct_of(kind)
    return list(_table(document, root, "", root))


def struct_of(kind: type[msgspec.Struct]) -> inspect.StructType:
    """What a struct declares."""
    found = inspect.type_info(kind)
    assert isinstance(found, inspect.StructType)
    return found


def bare(declared: inspect.Type) -> tuple[inspect.Type, bool]:
    """A field's type without what was noted beside it, and whether it is live."""
    if isinstance(declared, inspect.Metadata):
        return declared.type, bool((declared.extra or {}).get("live"))
    return declared, False


def allowed(declared: inspect.Type) -> str:
    """What a key may be, in words."""
    match declared:
        case inspect.IntType() | inspect.FloatType():
            noun = "a whole number" if isinstance(declared, inspect.IntType) else "a number"
            if declared.ge is None:
                return noun
            if declared.le is None or declared.le >= MOST:
                return f"{noun}, at least {declared.ge:g}"
            return f"{noun} from {declared.ge:g} to {declared.le:g}"
        case inspect.LiteralType():
            return " or ".join(json.dumps(word) for word in sorted(map(str, declared.values)))
        case inspect.StrType():
            return "a text"
        case inspect.BoolType():
            return "true or false"
        case inspect.VarTupleType() | inspect.ListType():
            return "a list of texts"
    return "a table"


def written(value: Any) -> str:
    """A value as TOML has it, on one line."""
    match value:
        case msgspec.Struct():
            return written({name: getattr(value, name) for name in value.__struct_fields__})
        case Mapping():
            return (
                "{" + ", ".join(f"{_quoted(name)} = {written(inner)}" for name, inner in value.items()) + "}"
            )
        case list() | tuple():
            return "[" + ", ".join(map(written, value)) + "]"
        case bool() | str():
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    # Numbers, with nan and inf; dates and times in the form of ISO 8601.
    return str(value)


def shown(value: Any) -> str:
    """A value as TOML has it, cut where it is long."""
    text = written(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _table(
    found: Mapping[str, Any], kind: inspect.StructType, prefix: str, root: inspect.StructType
) -> Iterator[str]:
    fields = {field.encode_name: bare(field.type)[0] for field in kind.fields}
    for name, value in found.items():
        key = f"{prefix}{_quoted(name)}"
        declared = fields.get(name)
        if declared is None:
            yield f"{key}: {_unknown(name, list(fields), prefix, root)}"
            continue
        yield from _value(value, declared, key, root)


def _value(value: Any, declared: inspect.Type, key: str, root: inspect.StructType) -> Iterator[str]:
    tables = isinstance(declared, inspect.DictType) and isinstance(declared.value_type, inspect.StructType)
    if isinstance(declared, inspect.StructType) and isinstance(value, Mapping):
        yield from _table(value, declared, f"{key}.", root)
    elif tables and isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _value(inner, declared.value_type, f"{key}.{_quoted(name)}", root)  # type: ignore[attr-defined]
    elif not _fits(value, declared):
        upper = isinstance(value, int | float) and value > MOST
        yield f"{key} is {shown(value)}; allowed: {allowed(declared)}" + (
            f" and at most {MOST}" if upper else ""
        )


def _fits(value: Any, declared: inspect.Type) -> bool:
    match declared:
        case inspect.IntType() | inspect.FloatType():
            whole = isinstance(declared, inspect.IntType)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                return False
            least, most = declared.ge, declared.le
            # Written so that a NaN fits nowhere.
            return (least is None or value >= least) and (most is None or value <= most) and value == value
        case inspect.LiteralType():
            return isinstance(value, str) and value in declared.values
        case inspect.StrType():
            return isinstance(value, str)
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.VarTupleType() | inspect.ListType():
            return isinstance(value, list) and all(_fits(item, declared.item_type) for item in value)
        case inspect.DictType() | inspect.StructType():
            return isinstance(value, Mapping)
    return True


def _unknown(name: str, known: list[str], prefix: str, root: inspect.StructType) -> str:
    """Names the nearest key: of this table, else of another one."""
    where = f"[{prefix[:-1]}] has" if prefix else "the top level has"
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"{where} no such key; did you mean `{near[0]}`?"
    others = {
        field.encode_name: table.encode_name
        for table in root.fields
        for kind in [bare(table.type)[0]]
        if isinstance(kind, inspect.StructType)
        for field in kind.fields
    } | {field.encode_name: "" for field in root.fields}
    near = difflib.get_close_matches(name, sorted(others), n=1)
    if near:
        table = f"[{others[near[0]]}]" if others[near[0]] else "the top level"
        return f"{where} no such key; did you mean `{near[0]}` of {table}? Here there are: {', '.join(known)}"
    return f"{where} no such key; there are: {', '.join(known)}"


def _quoted(name: str) -> str:
    """A key as it is written between dots."""
    plain = name and all(letter.isascii() and (letter.isalnum() or letter in "-_") for letter in name)
    return name if plain else json.dumps(name, ensure_ascii=False)
