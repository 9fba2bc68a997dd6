"""Where a stream's operations go: to one device, or to those of a mesh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from qfw.model.outputs import Output
from qfw.model.program import Program

if TYPE_CHECKING:
    from qfw.qpi.device import Device


class Ground(Protocol):
    """What a stream is bound to: a Device or a Mesh.

    Called by the stream only, by one thread at a time. Never waits and never asks a daemon.
    """

    @property
    def devices(self) -> Sequence[Device]:
        """Its devices now; of a live mesh they come and go."""
        ...

    def place(
        self, program: Program, outputs: tuple[Output, ...], sets: int, shots: int, lowered: bool
    ) -> Device | None:
        """The device for a task that comes next; None where all that could take it have enough: ask again later.

        `lowered`: a pipeline will lower the program for whatever device it gets.

        Raises:
            UsageError: there is no device (any more).
            TooLarge, UnsupportedFeature: none can run it.
        """
        ...

    def began(self, device: Device, sets: int, shots: int) -> None:
        """A task was given to a device."""
        ...

    def ended(self, device: Device, sets: int, shots: int, took_s: float | None) -> None:
        """It was answered; `took_s`: seconds of its run, None where it failed."""
        ...
