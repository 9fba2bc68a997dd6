"""Check a settings file, and list every key of one.

`qfw config check FILE` finds all that is wrong with a file and with what it names: engines, platforms and their
interpreters, the folder. `qfw config show` lists the keys with what they may be.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import msgspec

from qfw import __version__
from qfw.cli import output, platforms
from qfw.cli.daemon_start import folder_of
from qfw.config import keys, runtime, settings
from qfw.config.document import shown
from qfw.model.errors import QFwError
from qfw.qpm import names, registry
from qfw.qpm.platform import PlatformConfig
from qfw.qpm.status import PlatformState

EXIT_CODES = """exit codes:
  0  the file can be used
  1  something is wrong with it, or with what it names
  2  usage: the command line is wrong"""

#: Seconds that an interpreter may take to say its version of QFw.
VERSION_LIMIT_S = 30.0


class Checked(msgspec.Struct, frozen=True):
    """What `check --json` prints."""

    usable: bool
    problems: list[str]
    #: Every key; none where the file cannot be read as settings.
    values: list[keys.Value]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Sub-commands and their options."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="COMMAND")
    text = "all that is wrong with a file; what every key is, and where from"
    check = parts.add_parser("check", help=text, description=text)
    check.add_argument("file", type=Path, metavar="FILE")
    text = "every key with its range, its default, what it is for, and whether a reload changes it"
    show = parts.add_parser("show", help=text, description=text)
    for part in (check, show):
        part.add_argument("--json", action="store_true", help="one line of JSON")


def main(options: argparse.Namespace) -> int:
    """Runs one of them; the exit code."""
    return _show(options.json) if options.part == "show" else _check(options.file, options.json)


def _show(as_json: bool) -> int:
    found = list(keys.every_key())
    if as_json:
        output.json(msgspec.to_builtins(found, enc_hook=str))
        return 0
    output.table(
        ["KEY", "DEFAULT", "ALLOWED", "RELOAD", "FOR"],
        [
            [key.name, shown(key.default), key.allowed, "yes" if key.live else "", key.purpose]
            for key in found
        ],
    )
    return 0


def _check(path: Path, as_json: bool) -> int:
    reading = settings.read(path)
    problems, values = list(reading.problems), []
    if not problems:
        chosen = settings.load(path)
        problems = examine(chosen)
        values = keys.values(chosen, reading.document)
    if as_json:
        output.json(msgspec.to_builtins(Checked(not problems, problems, values), enc_hook=str))
        return 1 if problems else 0
    if values:
        output.table(
            ["KEY", "VALUE", "FROM"],
            [[value.key, shown(value.value), "file" if value.given else "default"] for value in values],
        )
    for problem in problems:
        sys.stderr.write(f"qfw: {path}: {problem}\n")
    if reading.problems:
        output.note("engines, platforms and folders that it names are looked at once this is mended")
    if not problems:
        output.note(f"{path} can be used")
    return 1 if problems else 0


def examine(chosen: settings.Settings) -> list[str]:
    """What is wrong with what settings name, one line for each."""
    problems = names.problems(chosen)
    named_platforms = any(problem.startswith("platforms.") for problem in problems)
    if not problems:
        try:
            # It looks up the engines and shares the memory among the workers; nothing is started.
            registry.load(registry.PLATFORMS, names.WITHIN)(PlatformConfig(names.WITHIN, {}, chosen))
        except QFwError as error:
            problems.append(f"workers: {error}")
    foreign = {name: table.python for name, table in chosen.platforms.items() if table.python}
    unusable = {name: found for name, python in foreign.items() if (found := _interpreter(python))}
    problems += [f"platforms.{name}.python: {found}" for name, found in unusable.items()]
    if not named_platforms:
        problems += [
            f"platforms.{row.name}: {row.reason}"
            for row in platforms.configured(chosen)
            if row.name in chosen.platforms and row.name not in unusable and row.state is PlatformState.BROKEN
        ]
    try:
        runtime.check(folder_of(chosen))
    except QFwError as error:
        problems.append(f"daemon.folder: {error}")
    return problems


def _interpreter(python: str) -> str:
    """Why an interpreter cannot host a platform; empty where it can."""
    ask = "from qfw import __version__\nprint(__version__, end='')"
    try:
        done = subprocess.run([python, "-c", ask], capture_output=True, text=True, timeout=VERSION_LIMIT_S)
    except OSError as error:
        return f"{python} cannot be started: {error.strerror}"
    except subprocess.TimeoutExpired:
        return f"{python} did not say its version of QFw within {VERSION_LIMIT_S:g} s"
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
        return f"{python} has no QFw ({last[0]}); install qfw {__version__} in its environment"
    if done.stdout != __version__:
        return f"{python} has qfw {done.stdout}, this is {__version__}; install the same version in both"
    return ""
