"""Tells a service manager where the daemon is in its life: sd_notify(3), one datagram each."""

from __future__ import annotations

import logging
import os
import socket
import time

logger = logging.getLogger(__name__)

#: Seconds that a stop may take beyond the time for what runs: answers go out, platforms and journal close.
CLOSING_S = 15.0


class Notifier:
    """Speaks to the socket that the service manager named; to nobody where it named none."""

    def __init__(self, address: str | None) -> None:
        """`address`: $NOTIFY_SOCKET; "@" in front stands for an abstract socket."""
        self._address = "\0" + address[1:] if address and address.startswith("@") else address

    def ready(self, status: str) -> None:
        """It serves."""
        self._say("READY=1", f"MAINPID={os.getpid()}", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its settings again; `ready` follows."""
        self._say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str, limit_s: float) -> None:
        """It ends, and may take so long for what runs."""
        microseconds = min(int((limit_s + CLOSING_S) * 1e6), 2**62)
        self._say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}", f"STATUS={status}")

    def _say(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender:
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            # It serves its users all the same.
            logger.warning("the service manager cannot be told: said=%s %s", lines[0], error)
