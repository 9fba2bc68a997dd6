"""`python -m qfw.qpmd`: starts a daemon. Sessions start private ones (`qfw.qpm.join`), `qfw daemon` the others."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import resource
import sys
from pathlib import Path

from qfw.config import discover, runtime, settings
from qfw.model.errors import ErrorReport, QFwError, SetupError


def main() -> int:
    """Runs one daemon; says on `--ready-fd` "ready" or why it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m qfw.qpmd", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="runtime folder")
    parser.add_argument("--config", type=Path, help="settings (TOML)")
    parser.add_argument("--private", action="store_true", help="end with the last session")
    parser.add_argument(
        "--announce", action="store_true", help="say on stdout how to reach it, when it serves"
    )
    parser.add_argument("--lock-fd", type=int, default=-1, help="closed when it serves, or cannot")
    parser.add_argument("--ready-fd", type=int, default=-1)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    # Imported here so that a failure to import is reported like any other.
    from qfw.qpmd.daemon import Daemon
    from qfw.qpmd.notify import Notifier

    _raise_descriptors()
    report = b"ready"
    try:
        folder = runtime.prepare(arguments.folder)
        chosen = settings.load(arguments.config) if arguments.config else settings.Settings()
        notifier = Notifier(discover.take_notify_socket())
        daemon = Daemon(folder, chosen, arguments.private, config=arguments.config, notifier=notifier)
    except Exception as error:
        import msgspec

        if isinstance(error, OSError) and not isinstance(error, QFwError):
            error = SetupError(f"qpmd cannot start in {arguments.folder}: {error}")
        report = msgspec.msgpack.encode(ErrorReport.of(error))
        unforeseen = not isinstance(error, QFwError | OSError)
        logging.getLogger(__name__).error("cannot start: %s", error, exc_info=unforeseen)
        return 1
    finally:
        if arguments.ready_fd >= 0:
            os.write(arguments.ready_fd, report)
            os.close(arguments.ready_fd)
        if arguments.lock_fd >= 0:
            os.close(arguments.lock_fd)
    # What is imported stays. Tasks are plain values without cycles: the collector may look rarely.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 100)
    scope = chosen.daemon.scope
    daemon.run(lambda: _announce(folder, scope) if arguments.announce else None)
    return 0


def _announce(folder: Path, scope: str) -> None:
    try:
        sys.stdout.write(runtime.announcement(folder, scope, os.getpid()) + "\n")
        sys.stdout.flush()
    except OSError as error:
        logging.getLogger(__name__).warning("nobody reads where it serves: %s", error)


def _raise_descriptors() -> None:
    """As many descriptors as are allowed: each client and each worker takes one, and 1024 is the usual limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError) as error:
        logging.getLogger(__name__).warning("the limit of descriptors stays as it is: %s", error)


if __name__ == "__main__":
    raise SystemExit(main())
