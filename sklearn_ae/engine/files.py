"""Writing a file, all of it or nothing.

The file is written next to its place and moved there. A process that is killed while it
writes leaves a temporary file behind; the next one to write to that folder removes it.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import time
from pathlib import Path
from typing import Any

fcntl: Any
try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

__all__ = ["read", "write"]

#: Names of temporary files begin and end with these, around some random letters.
_BEFORE, _AFTER = ".sklearn_ae-", ".part"
#: Seconds after which a temporary file counts as abandoned, where there are no locks.
_ABANDONED = 86400.0


def read(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a file; raise OSError for anything else, such as a pipe."""
    _regular(os.stat(path), path)
    return Path(path).read_bytes()


def write(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file, all of it or nothing.

    A link is followed. A file that is there already keeps its permissions, and what is
    written in its place has them from the first byte on.

    Parameters
    ----------
    path : str or path-like
    data : bytes

    Raises
    ------
    OSError
        If the file cannot be written. An earlier one stays.
    """
    place = os.path.realpath(os.fspath(path))
    if os.path.islink(place):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
    earlier = None
    if os.path.exists(place):
        earlier = os.stat(place)
        _regular(earlier, path)
    folder = os.path.dirname(place)
    temporary, handle = "", -1
    try:
        while handle < 0:
            name = f"{_BEFORE}{secrets.token_hex(8)}{_AFTER}"
            temporary = os.path.join(folder, name)
            handle = _created(temporary, earlier)
        _put(handle, data)
        os.fsync(handle)
        if fcntl is None:  # Windows moves no file that is open
            os.close(handle)
            handle = -1
        os.replace(temporary, place)
    except BaseException:
        if fcntl is None and handle >= 0:  # nor does it remove one
            os.close(handle)
            handle = -1
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise
    finally:
        if handle >= 0:
            os.close(handle)
    _settle(folder)


def _regular(found: os.stat_result, path: Any) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "Not a regular file", path)


def _created(temporary: str, earlier: os.stat_result | None) -> int:
    """Return the handle of a new, locked file with an earlier one's permissions.

    It is −1 where the file was gone before it was locked: another process took it for
    abandoned.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    mode = 0o666 if earlier is None else stat.S_IMODE(earlier.st_mode) & 0o777
    handle = os.open(temporary, flags, mode)
    try:
        if _lock(handle) is False or not os.path.exists(temporary):
            os.close(handle)
            return -1
        if earlier is not None and hasattr(os, "fchmod"):
            os.fchmod(handle, mode)  # which the umask may have narrowed
    except BaseException:
        os.close(handle)
        raise
    return handle


def _put(handle: int, data: bytes) -> None:
    left = memoryview(data)
    while len(left):
        left = left[os.write(handle, left) :]


def _lock(handle: int) -> bool | None:
    """Lock a file for as long as it is open.

    Return whether it is locked, False if another has locked it, and None where there
    are no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _settle(folder: str) -> None:
    """Make the move permanent, and remove temporary files that others left behind."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:  # not every system syncs folders
        pass
    try:
        with os.scandir(folder) as entries:
            names = [entry.path for entry in entries if _is_temporary(entry.name)]
    except OSError:
        return
    for name in names:
        try:
            if _is_abandoned(name):
                os.unlink(name)
        except OSError:
            continue


def _is_temporary(name: str) -> bool:
    return name.startswith(_BEFORE) and name.endswith(_AFTER)


def _is_abandoned(path: str) -> bool:
    """Tell whether nobody writes a temporary file any more."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        locked = _lock(handle)
        if locked is None:
            return time.time() - os.fstat(handle).st_mtime > _ABANDONED
        return locked
    finally:
        os.close(handle)
