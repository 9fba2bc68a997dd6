"""Writes docs/conformance.md: what the kit finds of every engine and platform here, the vendors' template among them.

python scripts/conformance.py [FILE]
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from qfw.cli.platform_new import write
from qfw.config.discover import child_environment

#: Name of the platform that is made of the template.
NAME = "template"
PAGE = Path(__file__).parents[1] / "docs" / "conformance.md"


def main(page: Path) -> int:
    """Makes a package of the template, checks it with all others, writes the page."""
    with tempfile.TemporaryDirectory() as folder:
        source = write(NAME, Path(folder) / "package") / "src"
        # As an installer would leave it.
        made = source / f"qfw_{NAME}-0.1.0.dist-info"
        made.mkdir()
        (made / "METADATA").write_text(f"Metadata-Version: 2.1\nName: qfw-{NAME}\nVersion: 0.1.0\n")
        (made / "entry_points.txt").write_text(f"[qfw.platforms]\n{NAME} = qfw_{NAME}:TemplatePlatform\n")
        paths = os.pathsep.join([str(source), *filter(None, sys.path)])
        done = subprocess.run(
            [sys.executable, "-m", "qfw.testing.table"],
            env=child_environment(PYTHONPATH=paths),
            stdout=subprocess.PIPE,
            check=False,
        )
    if done.returncode == 0:
        page.write_bytes(done.stdout)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE))
