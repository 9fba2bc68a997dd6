"""Folders for commands that are trusted with nothing: whatever is made in one, it goes."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from itertools import count
from pathlib import Path


@contextlib.contextmanager
def scratch(prefix: str) -> Iterator[Path]:
    """A new, empty folder of this user; afterwards it is gone with all that is in it. Raises OSError: there is none."""
    # Whoever only removes does without: it takes longer to import than a command to start.
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> bool:
    """Removes a folder with all that is in it, if it can be; whether it is gone.

    However deep folders lie in each other: each is brought up to the first one's side before it is looked into, so
    that neither this process's stack nor the length of a path is a bound. Links are not followed.
    """
    own = os.urandom(16).hex()
    names = (folder / f".{own}-{number}" for number in count())
    open_folders = [folder]
    try:
        folder.chmod(stat.S_IRWXU)
        while open_folders:
            within = open_folders[-1]
            deeper = _emptied(within, names)
            if deeper:
                open_folders += deeper
            else:
                open_folders.pop().rmdir()
    except OSError:
        return not folder.exists()
    return True


def _emptied(within: Path, places: Iterator[Path]) -> list[Path]:
    """Removes the files of a folder, and moves its folders to these places: those that were taken."""
    found = []
    with os.scandir(within) as entries:
        # What was moved to the same folder is not met again.
        for entry in list(entries):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                path.chmod(stat.S_IRWXU)
                found.append(path.rename(next(places)))
            else:
                path.unlink()
    return found
