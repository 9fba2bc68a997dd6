"""Run an application with a stack of its own, then show what only the stack can know.

SCRIPT is a .py file, which this Python runs, or any command. It gets a runtime folder of its own; the
daemon starts with its first session. What it prints comes first, the profile after it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import BinaryIO

import msgspec

from qfw.cli import application, output, private
from qfw.config import discover, runtime
from qfw.model.errors import QFwError, RequestError, SetupError
from qfw.qpm import journal
from qfw.telemetry.history import TaskRecord
from qfw.telemetry.profile import Profile, profile

USAGE, OWN_FAILURE = 2, 125

EXIT_CODES = f"""exit codes:
  that of the application; 128 + N where signal N killed it
  {USAGE}    usage: the command line is wrong
  {OWN_FAILURE}  qfw failed: before the application started, or after it ended with 0
  {application.CANNOT_EXECUTE}  SCRIPT cannot be executed
  {application.NOT_FOUND}  there is no such file or command"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `qfw run`."""
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        metavar="NAME",
        help="serve this engine only; may be given again (default: all that are installed)",
    )
    parser.add_argument(
        "--workers",
        type=_positive,
        metavar="N",
        help="workers per engine (default: one per core, if memory suffices)",
    )
    parser.add_argument(
        "--log", type=Path, metavar="FILE", help="write one line of JSON per task, with its timeline"
    )
    parser.add_argument(
        "--json", action="store_true", help="the profile as one line of JSON, the last of stdout"
    )
    parser.add_argument(
        "--runtime-dir",
        type=Path,
        metavar="DIR",
        help="an empty folder to use, which stays (default: a temporary one)",
    )
    parser.add_argument(
        "--keep", action="store_true", help="keep the temporary runtime folder, and say where it is"
    )
    parser.add_argument("script", metavar="SCRIPT", help="a .py file or a command")
    rest = parser.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="its arguments")
    # There may be none; the error for a missing SCRIPT is not to ask for them.
    rest.required = False


def main(options: argparse.Namespace) -> int:
    """Runs the application and prints its profile."""
    try:
        # Opened first: a run of hours must not end with a log that cannot be written.
        log = _open(options.log) if options.log else None
        folder = private.make(options.runtime_dir)
    except QFwError as error:
        return _failed(error)
    whole = True
    try:
        try:
            changes = private.configure(folder, options.engine, options.workers)
            words = application.command(options.script, options.args)
            code = application.run(words, discover.child_environment(**changes))
        except FileNotFoundError:
            return _failed(f"there is no file or command {options.script!r}", application.NOT_FOUND)
        except OSError as error:
            return _failed(f"cannot execute {options.script}: {error}", application.CANNOT_EXECUTE)
        except QFwError as error:
            return _failed(error)
        try:
            whole = _report(folder, options.json, log)
        except (QFwError, OSError) as error:
            whole = False
            return code or _failed(error)
        return code
    finally:
        if log is not None:
            log.close()
        if options.keep or options.runtime_dir or not whole:
            output.note(f"the runtime folder is kept: {folder}")
        else:
            private.remove(folder)


def _report(folder: Path, as_json: bool, log: BinaryIO | None) -> bool:
    """Prints the profile of the journal in `folder`; whether its daemon ended as it should."""
    daemon = private.last_daemon(folder)
    gone = daemon is None or private.wait_until_gone(daemon.pid, private.END_S)
    found = _profile(folder, log) if daemon else profile(())
    if as_json:
        output.json(found)
    else:
        from qfw.cli import report

        report.show(found)
    if daemon is None:
        return True
    if not gone:
        output.note(
            f"the daemon (pid {daemon.pid}) still runs {private.END_S:g} s after the application: somebody else holds "
            f"a session. The profile ends here"
        )
    elif not found.daemon_ended:
        output.note(f"the daemon (pid {daemon.pid}) was killed; its log: {runtime.log_path(folder)}")
    return gone and found.daemon_ended


def _profile(folder: Path, log: BinaryIO | None) -> Profile:
    events = journal.read(runtime.journal_dir(folder))
    if log is None:
        return profile(events)
    encode = msgspec.json.Encoder().encode

    def write(record: TaskRecord) -> None:
        log.write(encode(record) + b"\n")

    return profile(events, write)


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("wb")
    except OSError as error:
        raise SetupError(f"cannot write the task log {path}: {error.strerror}") from error


def _failed(error: object, code: int = 0) -> int:
    output.note(f"error: {error}")
    return code or (USAGE if isinstance(error, RequestError) else OWN_FAILURE)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return number
