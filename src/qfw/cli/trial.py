"""A small circuit on every engine, through a stack of its own: client, daemon, limited worker and back."""

from __future__ import annotations

from qfw.cli import private
from qfw.config import discover
from qfw.model.errors import InternalError, QFwError
from qfw.model.program import Gate, Measure, Program
from qfw.qpi.device import Device
from qfw.qpi.session import Session

#: For the start of the daemon, and for each engine.
LIMIT_S = 60.0
SHOTS = 100

BELL = Program(2, 2, 0, (Gate("h", (0,)), Gate("cx", (0, 1)), Measure(0, 0), Measure(1, 1)))


def run(engines: list[str]) -> dict[str, QFwError | None]:
    """What went wrong, by engine; None where nothing did."""
    outcome: dict[str, QFwError | None] = {}
    try:
        folder = private.make(None)
    except QFwError as error:
        return dict.fromkeys(engines, error)
    try:
        changes = private.configure(folder, engines, workers=1)
        settings = changes[discover.CONFIG]
        with Session(runtime_folder=folder, config=settings, name="doctor", timeout_s=LIMIT_S) as session:
            for name in engines:
                outcome[name] = _bell(session.device(name))
    except QFwError as error:
        return {name: outcome.get(name, error) for name in engines}
    finally:
        daemon = private.last_daemon(folder)
        if daemon is not None:
            private.wait_until_gone(daemon.pid, private.END_S)
        private.remove(folder)
    return outcome


def _bell(device: Device) -> QFwError | None:
    try:
        with device.stream() as stream:
            counts = stream.run(BELL, shots=SHOTS, seed=1).result(LIMIT_S).counts[0]
    except QFwError as error:
        return error
    if set(counts) == {"00", "11"} and sum(counts.values()) == SHOTS:
        return None
    return InternalError(f"a Bell state gave {counts}; only 00 and 11 are right. Please report this")
