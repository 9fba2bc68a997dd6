"""Session: initialise … finalise. Finds the user's daemon, or starts a private one."""

from __future__ import annotations

import os
import sys
import weakref
from pathlib import Path
from types import TracebackType

from qfw.config.discover import config_path, runtime_dir
from qfw.model.errors import UnknownDevice
from qfw.qpi.client import Client
from qfw.qpi.device import AUTOMATIC, AutomaticDevice, Device
from qfw.qpm import registry
from qfw.qpm.join import join


class Session:
    """An application's connection to its devices.

    A context manager. It belongs to the process that opened it, and may be used by several threads.
    """

    def __init__(
        self,
        *,
        runtime_folder: str | os.PathLike[str] | None = None,
        config: str | os.PathLike[str] | None = None,
        name: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        """Joins the daemon of the runtime folder; where none runs, starts a private one.

        The last session of a private daemon ends it.

        Args:
            runtime_folder: by default $QFW_RUNTIME_DIR, else a folder of this user (and job step).
            config: settings (TOML) of a private daemon that has to be started; by default $QFW_CONFIG.
            name: what listings show; by default the program's name.
            timeout_s: for joining or starting.

        Raises:
            SetupError: the folder or the settings cannot be used, says why and what to do.
            ForeignOwner: the folder or the socket belongs to another user.
            ConnectionFailed: no daemon came up, or it is of another version.
        """
        folder = Path(runtime_folder) if runtime_folder is not None else runtime_dir()
        settings = Path(config) if config is not None else config_path()
        link = join(folder, name or Path(sys.argv[0] or "python").name, settings, timeout_s)
        #: The runtime folder of its daemon.
        self.folder = folder
        #: For streams.
        self.client = Client(link)
        self._devices = {
            status.profile.name: Device(self, status.profile) for status in self.client.welcome.devices
        }
        # Engines that nobody should choose without naming them, and hardware, are not chosen.
        chosen = [
            d.profile for d in self.devices if d.profile.preference >= 0 and d.profile.kind == "simulator"
        ]
        #: Where there is nothing to choose from, the first is taken.
        self._any = AutomaticDevice(self, chosen) if len(chosen) > 1 else next(iter(self.devices), None)
        # Runs at the end of the program too, where nobody closed the session.
        self._finalise = weakref.finalize(self, self.client.close)

    @property
    def devices(self) -> list[Device]:
        """The devices, the preferred ones first."""
        return sorted(self._devices.values(), key=lambda device: (-device.profile.preference, device.name))

    def device(self, name: str | None = None) -> Device:
        """The device of this name; without a name (or "auto") the one that chooses the best for each task.

        Raises:
            UnknownDevice: there is none; names the nearest.
        """
        if name is None or (name == AUTOMATIC and name not in self._devices):
            if self._any is None:
                raise UnknownDevice("the daemon serves no device; see: qfw doctor")
            return self._any
        found = self._devices.get(name)
        if found is None:
            raise UnknownDevice(registry.unknown("device", name, sorted(self._devices)))
        return found

    def close(self) -> None:
        """Finalises: tasks that are unanswered are cancelled. May be called twice."""
        self._finalise()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
