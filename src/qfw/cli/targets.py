"""What a command compiles for: a device of the user's daemons, of a private one, or a model without any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from qfw.cli import private
from qfw.config import discover
from qfw.model.errors import DaemonUnreachable
from qfw.qpm import registry
from qfw.qpm.tool import Target

#: For the start of a private daemon.
LIMIT_S = 60.0


class Ground(NamedTuple):
    """A device, and what programs are lowered for."""

    name: str
    target: Target


@contextlib.contextmanager
def of_model(source: str) -> Iterator[Ground]:
    """A built-in model by its name, or that of a JSON file. Raises UnknownDevice, CalibrationError, SetupError.

    Its calibration says how gates are played, as that of a twin which is made of it.
    """
    from qfw.platforms.twin.gate_pulses import with_pulses
    from qfw.platforms.twin.models import load_model

    profile, calibration = load_model(source)
    yield Ground(profile.name, Target(profile, with_pulses(calibration)))


@contextlib.contextmanager
def of_device(name: str) -> Iterator[Ground]:
    """A device of the user's daemons; where none runs, of a private one that ends with this.

    Raises:
        UnknownDevice: there is none of that name; names the nearest.
    """
    from qfw.qpi.session import Session

    if discover.job_daemon() or discover.site_daemons() or _is_running():
        with Session(name="qfw compile", timeout_s=LIMIT_S) as session:
            device = session.device(name)
            yield Ground(device.name, device.target())
        return
    folder = private.make(None)
    try:
        # Of engines the one that is asked for is enough; platforms come when they are.
        engines = registry.names(registry.ENGINES)
        light = [name] if name in engines else ["reference"] if "reference" in engines else []
        changes = private.configure(folder, light, workers=1)
        settings = changes.get(discover.CONFIG)
        with Session(
            runtime_folder=folder, config=settings, name="qfw compile", timeout_s=LIMIT_S
        ) as session:
            device = session.device(name)
            yield Ground(device.name, device.target())
    finally:
        daemon = private.last_daemon(folder)
        if daemon is not None:
            private.wait_until_gone(daemon.pid, private.END_S)
        private.remove(folder)


def _is_running() -> bool:
    """Whether a daemon answers in the user's own runtime folder."""
    from qfw.qpm.remote import Observer

    try:
        with Observer(discover.runtime_dir()):
            return True
    except DaemonUnreachable:
        return False
