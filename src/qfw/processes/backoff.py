"""How long to wait until something that failed is started again."""

from __future__ import annotations

#: Wait after the first failure; four times as long after each further one, up to a bound.
FIRST_RETRY_S, MAX_RETRY_S = 0.2, 30.0


def retry_s(failures: int) -> float:
    """Seconds until the next start after so many failures in a row, at least one."""
    # The exponent is bounded too: 4.0**600 is no float.
    return min(MAX_RETRY_S, FIRST_RETRY_S * 4.0 ** min(failures - 1, 10))
