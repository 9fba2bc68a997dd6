"""Device: what a session's tasks run on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qfw.model.device import DeviceProfile

if TYPE_CHECKING:
    from qfw.qpi.session import Session
    from qfw.qpi.stream import QStream


class Device:
    """A device of a session's daemon."""

    def __init__(self, session: Session, profile: DeviceProfile) -> None:
        """Made by `Session.device`."""
        self._session = session
        #: What it can do.
        self.profile = profile

    @property
    def name(self) -> str:
        """Its name, unique in the session."""
        return self.profile.name

    @property
    def session(self) -> Session:
        """The session that it was found by."""
        return self._session

    def stream(self) -> QStream:
        """A new stream of tasks for this device."""
        from qfw.qpi.stream import QStream

        return QStream(self)

    def __repr__(self) -> str:
        return f"Device({self.name!r}, engine={self.profile.engine!r}, max_qubits={self.profile.max_qubits})"
