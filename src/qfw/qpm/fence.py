"""Fence: which executions of which tasks were started, so that none starts twice or after a later one."""

from __future__ import annotations

from qfw.model.errors import StaleEpoch

#: Tasks that a fence remembers at least; far more than a platform has started and not answered.
REMEMBERED = 16384


class Fence:
    """Remembers the latest epoch of the tasks that were started last, of at most twice `remembered`.

    Two generations: the older one is dropped as a whole when the younger is full, so that a start costs one
    or two look-ups whatever is remembered.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        """`remembered`: a task is forgotten after that many others at the earliest."""
        self._remembered = remembered
        self._young: dict[int, int] = {}
        self._old: dict[int, int] = {}

    def admit(self, task: int, epoch: int) -> bool:
        """Whether this execution is to be started; False where it was already, even if it has ended since.

        Raises:
            StaleEpoch: a later execution of the task was started.
        """
        seen = self._young.get(task)
        if seen is None:
            seen = self._old.get(task)
        if seen is not None and epoch <= seen:
            if epoch == seen:
                return False
            raise StaleEpoch(
                f"start of task {task}, epoch {epoch}: epoch {seen} was started already, so this execution "
                "was given up. Nothing is to be done: the later one is answered"
            )
        if len(self._young) >= self._remembered:
            self._old, self._young = self._young, {}
        self._young[task] = epoch
        return True
