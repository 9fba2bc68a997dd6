"""The Session that adapters share: one for each process, opened at the first need, closed at its end."""

from __future__ import annotations

import atexit
import os
import threading

from qfw.qpi import Session

_lock = threading.Lock()
#: By process id: a forked child opens its own, and leaves its parent's alone.
_sessions: dict[int, Session] = {}


def shared_session() -> Session:
    """This process's session. Opens it where there is none."""
    with _lock:
        pid = os.getpid()
        if pid not in _sessions:
            _sessions[pid] = Session()
        return _sessions[pid]


def forget(session: Session) -> None:
    """Closes `session`; where it is the shared one, the next need opens another."""
    with _lock:
        if _sessions.get(os.getpid()) is session:
            del _sessions[os.getpid()]
    session.close()


@atexit.register
def _close() -> None:
    session = _sessions.pop(os.getpid(), None)
    if session is not None:
        session.close()
