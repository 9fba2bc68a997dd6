"""The runtime folder: the socket, the lock and the journal of one daemon live in it."""

from __future__ import annotations

import os
import re
import shlex
import stat
from pathlib import Path

from qfw.config import discover
from qfw.model.errors import ForeignOwner, NetworkFileSystem, SetupError, SocketPathTooLong

#: sun_path of Linux, its closing zero included.
SOCKET_PATH_BYTES = 108

NETWORK_FILE_SYSTEMS = frozenset(
    {"afs", "beegfs", "ceph", "cifs", "coda", "fuse.beegfs", "fuse.ceph", "fuse.cephfs", "fuse.glusterfs"}
    | {"fuse.s3fs", "fuse.sshfs", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2"}
    | {"orangefs", "panfs", "pvfs2", "smb2", "smb3", "smbfs", "wekafs"}
)


def socket_path(folder: Path) -> Path:
    """The daemon's socket."""
    return folder / "qpmd.sock"


def lock_path(folder: Path) -> Path:
    """Held by whoever starts, joins or ends the daemon."""
    return folder / "lock"


def daemon_lock_path(folder: Path) -> Path:
    """Held by the daemon as long as it lives; says its pid."""
    return folder / "qpmd.pid"


def revision_path(folder: Path) -> Path:
    """Says whether a device of the daemon changed (qpm/revision.py)."""
    return folder / "revision"


def journal_dir(folder: Path) -> Path:
    """Segments of the journal."""
    return folder / "journal"


def results_dir(folder: Path) -> Path:
    """Results of detached tasks."""
    return folder / "results"


def log_path(folder: Path) -> Path:
    """What the daemon and its workers say."""
    return folder / "qpmd.log"


def announcement(folder: Path, scope: str, pid: int) -> str:
    """One line for people and scripts: a long-lived daemon serves there, and how sessions find it."""
    variable = discover.JOB_DAEMON if scope == "job" else discover.SITE_DAEMONS
    return (
        f"qpmd serves: folder={folder} socket={socket_path(folder)} pid={pid} scope={scope}; "
        f"export {variable}={shlex.quote(str(folder))}"
    )


def prepare(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Path:
    """Makes the folder (mode 0700) if needed, checks it and gives its absolute path.

    Raises:
        SetupError, ForeignOwner: as `check`, and it cannot be made.
    """
    folder = check(folder, mountinfo)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_make(folder, error.strerror) from error
    check_owner(folder)
    return folder


def check(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> Path:
    """Its absolute path, where a daemon could serve in it or it could be made; makes nothing.

    Raises:
        SocketPathTooLong: the socket's path would not fit.
        ForeignOwner: it exists and is another user's, or others may write to it.
        NetworkFileSystem: it lies on a network file system.
        SetupError: it is no folder, or cannot be made.
    """
    folder = folder.absolute()
    length = len(os.fsencode(socket_path(folder))) + 1
    if length > SOCKET_PATH_BYTES:
        raise SocketPathTooLong(
            f"{socket_path(folder)} takes {length} bytes; a Unix socket's path holds {SOCKET_PATH_BYTES}. "
            f"Set QFW_RUNTIME_DIR to a shorter folder"
        )
    found = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if found == folder and (folder.is_symlink() or folder.is_dir()):
        check_owner(folder)
    elif not found.is_dir():
        raise _cannot_make(folder, f"{found} is not a folder")
    elif not os.access(found, os.W_OK | os.X_OK):
        raise _cannot_make(folder, f"you may not write to {found}")
    kind = file_system(folder, mountinfo)
    if kind in NETWORK_FILE_SYSTEMS:
        raise NetworkFileSystem(
            f"the runtime folder {folder} lies on a network file system ({kind}), where neither sockets nor the "
            f"journal are safe. Set QFW_RUNTIME_DIR to a local folder, for example below /tmp"
        )
    return folder


def _cannot_make(folder: Path, reason: str | None) -> SetupError:
    return SetupError(f"cannot make the runtime folder {folder}: {reason}. Set QFW_RUNTIME_DIR")


def check_owner(path: Path) -> None:
    """Raises ForeignOwner unless `path` is this user's and nobody else may write to it."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise ForeignOwner(f"{path} is a symbolic link; name the folder or socket itself")
    if found.st_uid != os.getuid():
        raise ForeignOwner(
            f"{path} belongs to uid {found.st_uid}, not to you (uid {os.getuid()}). "
            f"Set QFW_RUNTIME_DIR to a folder of your own"
        )
    if not stat.S_ISSOCK(found.st_mode) and found.st_mode & 0o022:
        # A sticky folder, such as /tmp, is shared on purpose.
        shared = found.st_mode & stat.S_ISVTX
        remedy = "Set QFW_RUNTIME_DIR to a folder of your own" if shared else f"Run: chmod 700 {path}"
        raise ForeignOwner(
            f"{path} may be written by others (mode {stat.S_IMODE(found.st_mode):o}). {remedy}"
        )


def file_system(folder: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """Type of the file system that `folder` lies on, as /proc/self/mountinfo names it; "" if unknown."""
    wanted = os.path.realpath(folder)
    best, kind = "", ""
    try:
        lines = mountinfo.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        mount, _, source = line.partition(" - ")
        fields = mount.split(" ")
        if len(fields) < 5 or not source:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = wanted == point or wanted.startswith(point.rstrip("/") + "/")
        # A later mount on the same point hides the earlier one.
        if inside and len(point) >= len(best):
            best, kind = point, source.split(" ")[0]
    return kind
