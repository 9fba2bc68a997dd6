"""What docs/guides/twin.md shows is what the code takes."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from qfw.config.settings import Settings
from qfw.model.pulse import PlayRequest
from qfw.platforms.twin.options import TwinOptions, read_options
from qfw.platforms.twin.script import Script, load_script

GUIDE = (Path(__file__).parents[3] / "docs" / "guides" / "twin.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)


def test_the_examples_are_read() -> None:
    settings, script = blocks("toml")
    options = msgspec.toml.decode(settings, type=Settings).platforms["twin"].options
    assert len(read_options(options, "twin").devices) == 2
    assert load_script(msgspec.toml.decode(script), "guide").noise[0].factor == 4.0
    (pulses,) = blocks("json")
    assert msgspec.json.decode(pulses, type=PlayRequest).shots == 1000


def test_every_option_is_in_it() -> None:
    for kind in (TwinOptions, Script):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in GUIDE or f"[[{name}]]" in GUIDE or f"{name} =" in GUIDE, name
