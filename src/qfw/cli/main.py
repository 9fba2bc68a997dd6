"""`qfw`: finds the sub-command, and turns errors into messages and exit codes.

A sub-command's file has `arguments(parser)`, and `main(options)`, which returns the exit code.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from importlib import import_module

COMMANDS = {
    "run": "run an application with a private stack, then show its profile",
    "sinfo": "devices and their load",
    "squeue": "tasks that are not answered yet",
    "result": "the result of a detached task, whichever process submitted it",
    "daemon": "start a daemon that outlives sessions; drain, reload, stop it",
    "config": "check a settings file; list every key",
    "compile": "lower a program for a device: OpenQASM, QIR or .qfw in and out",
    "tools": "tools that pipelines are made of, and their options",
    "platform": "begin a platform of your own, check one",
    "calibration": "a device's errors and times, as a table or a picture",
    "doctor": "what is here, what is not, what to do",
    "version": "versions",
}

EXIT_CODES = """exit codes:
  0  done
  1  failed: what was asked for could not be done, or is not well
  2  usage: the command line is wrong
  3  no daemon runs where one was asked
qfw run gives the exit code of the application instead; see: qfw run --help"""

#: What a system says where standard output takes no more.
UNWRITABLE = (errno.EBADF, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOSPC)
FAILED, USAGE, NO_DAEMON, INTERRUPTED = 1, 2, 3, 130


def main(arguments: list[str] | None = None) -> int:
    """Runs one command line; the exit code."""
    _open_closed()
    given = sys.argv[1:] if arguments is None else arguments
    name = given[0] if given else "--help"
    if name in ("-h", "--help", "help"):
        sys.stdout.write(_help())
        return 0 if given else USAGE
    if name == "--version":
        name = "version"
    if name not in COMMANDS:
        sys.stderr.write(f"qfw: error: {_unknown(name)}\n")
        return USAGE
    command = import_module(f"qfw.cli.{name}")
    parser = argparse.ArgumentParser(
        prog=f"qfw {name}",
        description=command.__doc__,
        epilog=getattr(command, "EXIT_CODES", EXIT_CODES),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.arguments(parser)
    options = parser.parse_args(given[1:])
    try:
        code: int = command.main(options)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Who read us has seen enough.
        _discard_output()
        return FAILED
    except OSError as error:
        if error.errno not in UNWRITABLE or error.filename is not None:
            # Our own errors of connections are OSErrors too.
            return _failed(error)
        _discard_output()
        sys.stderr.write(f"qfw: error: cannot write to standard output: {error.strerror}\n")
        return FAILED
    except Exception as error:
        return _failed(error)


def _open_closed() -> None:
    """Standard streams that whoever started this closed: no file gets their descriptors, and using them is an error."""
    for number, (name, mode, other) in enumerate(
        (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
    ):
        if getattr(sys, name) is None:
            # The lowest that is free is this one. What is wanted of it fails as it would have; messages go nowhere.
            os.open(os.devnull, other)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - a descriptor


def _discard_output() -> None:
    """What is not written yet never is: Python would complain once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(error: Exception) -> int:
    """Says what went wrong; an error that is not ours keeps its traceback."""
    from qfw.model.errors import DaemonUnreachable, QFwError

    if not isinstance(error, QFwError):
        raise error
    sys.stderr.write(f"qfw: error: {error}\n")
    return NO_DAEMON if isinstance(error, DaemonUnreachable) else FAILED


def _help() -> str:
    commands = "\n".join(f"  {name:<12}{text}" for name, text in COMMANDS.items())
    return (
        "usage: qfw COMMAND [OPTIONS]\n\n"
        "Run hybrid applications on quantum processors and simulators.\n\n"
        f"commands:\n{commands}\n\n"
        "qfw COMMAND --help shows the options of one.\n\n"
        f"{EXIT_CODES}\n"
    )


def _unknown(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return f"there is no command {name!r}{hint} There are: {', '.join(COMMANDS)}"


if __name__ == "__main__":
    raise SystemExit(main())
