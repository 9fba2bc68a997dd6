"""Names of signals for people."""

from __future__ import annotations

import signal


def signal_name(number: int) -> str:
    """Name of a signal: SIGKILL, and SIGRTMIN+6 of a real-time signal, of which Python names the first only."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}" if number > signal.SIGRTMIN else f"signal {number}"
