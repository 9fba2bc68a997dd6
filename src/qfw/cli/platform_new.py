"""`qfw platform new`: a package outside of QFw, from templates."""

from __future__ import annotations

import argparse
import keyword
import re
from importlib.resources import files
from pathlib import Path

from qfw.cli import output
from qfw.model.errors import OptionError, SetupError

#: Template, and where it goes; `{}` is the name.
FILES = {
    "pyproject.toml.in": "pyproject.toml",
    "README.md.in": "README.md",
    "__init__.py.in": "src/qfw_{}/__init__.py",
    "driver.py.in": "src/qfw_{}/driver.py",
    "hardware.py.in": "src/qfw_{}/hardware.py",
    "test_platform.py.in": "tests/test_platform.py",
}
MAX_NAME = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    """NAME and --dir."""
    parser.add_argument("name", metavar="NAME", help="name of the platform and of its device: acme")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="where to write it; default: ./qfw-NAME")


def main(options: argparse.Namespace) -> int:
    """Writes the package; says what to do next."""
    folder = write(options.name, options.dir or Path(f"qfw-{options.name}"))
    output.note(f"wrote {folder}; next: pip install -e {folder}, and pytest {folder}")
    return 0


def write(name: str, folder: Path) -> Path:
    """Writes the package of a new platform into a folder that is not there yet, or empty.

    Raises:
        OptionError: the name cannot be that of a platform.
        SetupError: the folder has something in it, or cannot be written.
    """
    _check(name)
    wanted = {place.format(name): _filled(template, name) for template, place in FILES.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise SetupError(f"{folder} has files in it, which are left as they are; name another with --dir")
        for place, text in wanted.items():
            path = folder / place
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SetupError(f"{folder} cannot be written: {error.strerror}; name another with --dir") from error
    return folder


def _check(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or len(name) > MAX_NAME or keyword.iskeyword(name):
        raise OptionError(
            f"{name!r} cannot be a platform's name: take up to {MAX_NAME} lower-case letters, digits and "
            "underscores, a letter first, no keyword of Python, for example acme_one"
        )
    if name in ("simulators", "twin"):
        raise OptionError(f"{name!r} is a platform of QFw's own; take another name")


def _filled(template: str, name: str) -> str:
    text = (files("qfw.cli") / "template" / template).read_text(encoding="utf-8")
    title = "".join(part.capitalize() for part in name.split("_"))
    return text.replace("@name@", name).replace("@Class@", title)
