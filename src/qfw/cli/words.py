"""Pipelines as words of a command line."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from qfw.config import files
from qfw.model.errors import OptionError, UnknownDevice
from qfw.model.pipeline import MAX_PIPELINE_BYTES
from qfw.qpi.pipeline import StageLike, ToolPipeline
from qfw.qpm import registry
from qfw.qpm.presets import PRESETS


def pipeline_of(text: str) -> ToolPipeline:
    """A preset, a TOML file (its name ends in .toml, or has a slash), or tools: `reduce,transpile:level=2:seed=7`.

    Among tools a preset stands for its stages: `default,verify`.

    Raises:
        OptionError, UnknownDevice: no such preset or tool (names the nearest), or a wrong option.
        SetupError: the file cannot be read.
    """
    if text.endswith(".toml") or "/" in text:
        return ToolPipeline.from_toml(_text(Path(text)))
    if text in PRESETS:
        return ToolPipeline.preset(text)
    stages = [_stage(word.strip()) for word in text.split(",")]
    if len(stages) == 1 and isinstance(stages[0], str) and text not in registry.names(registry.TOOLS):
        # It may have been meant for either.
        known = sorted({*PRESETS, *registry.names(registry.TOOLS)})
        raise UnknownDevice(registry.unknown("preset or tool", text, known))
    return ToolPipeline(stages, text)


def _text(path: Path) -> str:
    try:
        return files.read(path, MAX_PIPELINE_BYTES).decode()
    except UnicodeDecodeError as error:
        raise OptionError(f"no pipeline: {path} is no text in UTF-8 (byte {error.start})") from error


def _stage(word: str) -> StageLike:
    tool, *options = word.split(":")
    found: dict[str, Any] = {}
    for option in options:
        name, sign, value = option.partition("=")
        if not name or not sign:
            raise OptionError(f"an option of a tool is NAME=VALUE, not {option!r}, in {word!r}")
        found[name.strip()] = _value(value.strip())
    return (tool.strip(), found) if found else tool.strip()


def _value(text: str) -> Any:
    """A number or truth value as TOML says it; else the text itself."""
    try:
        return tomllib.loads(f"value = {text}")["value"] if "\n" not in text else text
    except tomllib.TOMLDecodeError:
        return text
