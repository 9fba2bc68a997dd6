"""Running an application as a child: its signals, its exit code."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What env(1) and its like return for a command that cannot be executed, or that is not there.
CANNOT_EXECUTE, NOT_FOUND = 126, 127

_FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
#: si_code of a signal that the kernel sent, for the terminal: the whole foreground group has it already.
_SI_KERNEL = 0x80


def command(script: str, arguments: Sequence[str]) -> list[str]:
    """What to execute: a .py file by this Python, anything else as it is.

    Raises:
        FileNotFoundError: a .py file that is not there.
    """
    path = Path(script)
    if path.suffix != ".py":
        return [script, *arguments]
    if not path.is_file():
        raise FileNotFoundError(script)
    return [sys.executable, script, *arguments]


def run(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command to its end and passes on the signals that this process gets meanwhile.

    Returns:
        Its exit code; 128 + the signal that killed it.

    Raises:
        OSError: it cannot be executed.
    """
    watched = {*_FORWARDED, signal.SIGCHLD}
    # Blocked before there is a child, so that no signal falls between; the child gets the mask of before.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    try:
        child = subprocess.Popen(
            words,
            env=environment,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, before),
        )
        while (code := child.poll()) is None:
            caught = signal.sigwaitinfo(watched)
            if caught.si_signo != signal.SIGCHLD and caught.si_code != _SI_KERNEL:
                child.send_signal(caught.si_signo)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return code if code >= 0 else 128 - code
