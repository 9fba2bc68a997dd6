"""A plugin whose import does not come back."""

from __future__ import annotations

import time

time.sleep(1000)
