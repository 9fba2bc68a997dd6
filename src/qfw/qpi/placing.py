"""Where a stream's operations go: to one device, or to those of a mesh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from qfw.model.outputs import Output
from qfw.model.program import Program

if TYPE_CHECKING:
    from qfw.qpi.device import Device
    from qfw.qpi.groups import Groups


class Ground(Protocol):
    """What a stream is bound to: a Device or a Mesh.

    Called by several streams, each by one thread at a time. Never waits and never asks a daemon.
    """

    @property
    def devices(self) -> Sequence[Device]:
        """Its devices now; of a live mesh they come and go."""
        ...

    @property
    def groups(self) -> Groups:
        """What places the parts of tasks that are made of one."""
        ...

    def place(
        self,
        program: Program,
        outputs: tuple[Output, ...],
        sets: int,
        shots: int,
        lowered: bool,
        device: str | Device | None = None,
    ) -> Device | None:
        """The device for a task that comes next; None where all that could take it have enough: ask again later.

        None only while a task is under way that some stream `began` here; `when_room` says when to ask again.

        Args:
            program: of the task.
            outputs: of the task.
            sets: of the task.
            shots: of the task; 0: exact.
            lowered: a pipeline will lower the program for whatever device it gets.
            device: one that the user named for this task: that one or None.

        Raises:
            UsageError: there is no device (any more), or the named one is not here.
            TooLarge, UnsupportedFeature: none can run it.
            DaemonLost: the daemons of all that could are gone.
        """
        ...

    def when_room(self, wake: Callable[[], None]) -> None:
        """Calls `wake` once, when a task has ended or the devices have changed; from any thread; it must not wait.

        Ask `place` once more behind this: what changed in between wakes nobody.
        """
        ...

    def began(
        self, device: Device, sets: int, shots: int, program: Program | None = None, task: int = 0
    ) -> None:
        """A task is given to a device: said before anything else is placed.

        `program`: how long a program takes is learnt for each. `task`: its number, where it has one already.
        """
        ...

    def named(self, device: Device, task: int) -> None:
        """The number of a task that began: by it the task can be cancelled when its device leaves."""
        ...

    def ended(
        self,
        device: Device,
        sets: int,
        shots: int,
        took_s: float | None,
        program: Program | None = None,
        task: int = 0,
    ) -> None:
        """It was answered; `took_s`: seconds of its run, None where it failed. The rest as told to `began`."""
        ...

    def again(self, device: Device, error: BaseException) -> bool:
        """Whether a task that a device did not answer, for this reason, is to be placed once more.

        So it is where the device refused it before it began (NoCapacity) and another one is here; never after
        TaskInterrupted. Called behind `ended`.
        """
        ...
