"""The example's modules, found as its script finds them: in its own folder."""

from __future__ import annotations

import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples" / "vqls"
if str(FOLDER) not in sys.path:
    sys.path.append(str(FOLDER))
