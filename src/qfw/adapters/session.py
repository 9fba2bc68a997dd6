"""The Session that adapters share: one for each process, opened at the first need, closed at its end."""

from __future__ import annotations

import atexit
import os
import threading

from qfw.model.errors import OptionError, QFwError
from qfw.qpi import Session

_lock = threading.Lock()
#: By process id: a forked child opens its own, and leaves its parent's alone.
_sessions: dict[int, Session] = {}


def shared_session() -> Session:
    """This process's session. Opens it where there is none, or where it is closed or its daemon gone."""
    with _lock:
        pid = os.getpid()
        found = _sessions.get(pid)
        if found is None or not _works(found):
            found = _sessions[pid] = Session()
        return found


def check_given(device: object, session: object) -> None:
    """Checks the device's name and the session that a front end was given; None stands for the usual ones.

    Raises:
        OptionError: `device` is no name, or `session` no Session.
    """
    if device is not None and not isinstance(device, str):
        raise OptionError(
            f"a device is given by its name, as qfw sinfo lists them, not {device!r}; None chooses the best one"
        )
    # By what is asked of it: a session may be wrapped.
    if session is not None and not callable(getattr(session, "device", None)):
        raise OptionError(f"session must be a qfw.Session, not {session!r}; None shares one in this process")


def is_shared(session: Session) -> bool:
    """Whether `session` is this process's, and takes tasks."""
    return _sessions.get(os.getpid()) is session and _works(session)


def forget(session: Session) -> None:
    """Closes `session`; where it is the shared one, the next need opens another."""
    with _lock:
        if _sessions.get(os.getpid()) is session:
            del _sessions[os.getpid()]
    session.close()


def _works(session: Session) -> bool:
    try:
        session.client.check()
    except QFwError:
        return False
    return True


@atexit.register
def _close() -> None:
    session = _sessions.pop(os.getpid(), None)
    if session is not None:
        session.close()
