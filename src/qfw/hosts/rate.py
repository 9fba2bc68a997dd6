"""How often something may happen: so many at once, so many per second."""

from __future__ import annotations


class Rate:
    """A bucket that fills with time."""

    def __init__(self, burst: int, per_s: float, now_s: float) -> None:
        """Full at `now_s`."""
        self._burst, self._per_s = burst, per_s
        self._left, self._at_s = float(burst), now_s

    def take(self, now_s: float) -> bool:
        """Whether one more may happen now."""
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        if self._left < 1:
            return False
        self._left -= 1
        return True
