"""Pipelines as TOML texts."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from qfw.model.errors import OptionError
from qfw.model.pipeline import Stage

#: Parts of a dotted key; a reader's time grows with their square.
MAX_PARTS = 1000
_ENDS_A_KEY = re.compile(r"[=,\n{}\[\]]")


class StageText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table `[[stages]]`."""

    tool: str
    #: Empty: called as its tool.
    name: str = ""
    options: dict[str, Any] = {}


class PipelineText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole text."""

    stages: tuple[StageText, ...] = ()
    name: str = ""
    #: In place of stages: one of `qfw.qpm.presets`.
    preset: str = ""


def loads(text: str) -> PipelineText:
    """The pipeline that a text describes.

    Raises:
        OptionError: it is not TOML; a key is unknown (names the nearest) or missing, or has a wrong type.
    """
    if isinstance(text, str) and any(part.count(".") > MAX_PARTS for part in _ENDS_A_KEY.split(text)):
        raise OptionError(f"no pipeline: a key has more than {MAX_PARTS} parts")
    try:
        found = msgspec.toml.decode(text, type=PipelineText)
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError) as error:
        if isinstance(text, str) and "\n" not in text and text.endswith(".toml"):
            raise OptionError(
                f"{text!r} is no pipeline but the path of one: give its text, Path({text!r}).read_text()"
            ) from error
        raise OptionError(f"no pipeline: {_explained(str(error))}") from error
    if bool(found.preset) == bool(found.stages):
        raise OptionError("no pipeline: it has either tables [[stages]] or a preset")
    return found


def dumps(name: str, stages: Sequence[Stage]) -> str:
    """Stages as such a text.

    Raises:
        OptionError: an option has a value that TOML cannot say.
    """
    lines = [f"name = {_text(name)}"] if name else []
    for stage in stages:
        # An external tool by its name only: which one it is, the settings of whoever reads the text say.
        tool = stage.tool.partition("@")[0]
        lines += ["", "[[stages]]", f"name = {_text(stage.name)}", f"tool = {_text(tool)}"]
        if stage.options:
            lines.append(f"options = {_value(stage.options, f'stage {stage.name!r}')}")
    return "\n".join(lines).lstrip("\n") + "\n"


def _value(value: Any, where: str) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _text(value)
        case int():
            return str(value)
        case float():
            # TOML's words for these are Python's; all else needs a point or an exponent.
            return str(value) if math.isfinite(value) else f"{value:+}"
        case list() | tuple():
            return f"[{', '.join(_value(item, where) for item in value)}]"
        case Mapping() if all(isinstance(key, str) for key in value):
            pairs = (f"{_text(key)} = {_value(item, f'{where}, {key}')}" for key, item in value.items())
            return f"{{ {', '.join(pairs)} }}"
    raise OptionError(f"{where}: TOML cannot say {value!r}; give a text, number, truth value, list or table")


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'


def _explained(message: str) -> str:
    found = re.search(r"unknown field `([^`]+)`", message)
    if found is None:
        return message
    known = sorted({*StageText.__struct_fields__, *PipelineText.__struct_fields__})
    near = difflib.get_close_matches(found[1], known, n=1)
    return message + (f"; did you mean `{near[0]}`?" if near else f". There are: {', '.join(known)}")
