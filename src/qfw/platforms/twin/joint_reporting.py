"""What a joint device reports: what follows from the reports of its twins."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from typing import Any

from qfw.model.calibration import Calibration
from qfw.model.device import DeviceState
from qfw.model.errors import PlatformFailed
from qfw.model.events import DeviceEventKind
from qfw.platforms.twin.device import Twin
from qfw.platforms.twin.joint import Joint
from qfw.qpm.driver import Reporter

logger = logging.getLogger(__name__)


class JointReporter:
    """Passes on what twins report, and says of the devices that they are part of what follows from it."""

    def __init__(self, reporter: Reporter, joints: Iterable[Joint]) -> None:
        """`reporter`: takes all that is said."""
        self._reporter = reporter
        self._lock = threading.Lock()
        # Kept from what was reported: to ask the other twin's life within this one's report might wait for ever.
        self._parts = [(joint, [_Part(joint.first), _Part(joint.second)]) for joint in joints]

    def report(
        self,
        device: str,
        kind: DeviceEventKind,
        message: str,
        *,
        state: DeviceState | None = None,
        calibration: Calibration | None = None,
        wall_ns: int | None = None,
        until_ns: int = 0,
        figures: Sequence[tuple[str, float]] = (),
    ) -> None:
        """See Reporter."""
        how: dict[str, Any] = {"wall_ns": wall_ns, "until_ns": until_ns}
        self._reporter.report(
            device, kind, message, state=state, calibration=calibration, figures=figures, **how
        )
        if state is None and calibration is None:
            return
        with self._lock:
            for joint, parts in self._parts:
                for part in parts:
                    if part.name == device:
                        part.state = state or part.state
                        part.calibration = calibration or part.calibration
                        self._follow(joint, parts, kind, f"{device}: {message}", state, calibration, how)

    def _follow(
        self,
        joint: Joint,
        parts: list[_Part],
        kind: DeviceEventKind,
        message: str,
        state: DeviceState | None,
        calibration: Calibration | None,
        how: dict[str, Any],
    ) -> None:
        one, two = parts
        merged = joint.merged(one.calibration, two.calibration) if calibration is not None else None
        now = next((p.state for p in parts if p.state is not DeviceState.ONLINE), DeviceState.ONLINE)
        try:
            self._reporter.report(
                joint.name, kind, message, state=now if state else None, calibration=merged, **how
            )
        except PlatformFailed as error:
            # From one twin's state to the other's there may be no way but over online.
            logger.info("joint: device=%s %s", joint.name, error)
            self._reporter.report(joint.name, kind, message, state=DeviceState.ONLINE, **how)
            self._reporter.report(joint.name, kind, message, state=now, calibration=merged, **how)


class _Part:
    """What a twin reported last."""

    def __init__(self, twin: Twin) -> None:
        self.name = twin.profile.name
        self.state = twin.state
        self.calibration = twin.calibration
