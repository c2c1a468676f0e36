"""Replacing a whole folder so that it is there, old or new, at every moment.

Linux and its file systems exchange two folders in one step (``renameat2``). Where that is missing (other systems, NFS)
the old folder is renamed aside first; a run that dies between the two renames leaves it there, and :func:`recover`
puts it back. All names beside the folder are hidden and end in ``.partial``, which git and DVC ignore.
"""

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from attune import artifacts
from attune.problems import InputError, Problem

WAIT_S = 60.0
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
_IMPOSSIBLE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EXDEV, errno.EPERM}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder against other threads and processes; its parent must be there.

    Raises:
        InputError: another one has held it for a minute.
    """
    path = folder.with_name(f".{folder.name}.lock.partial")
    try:
        with FileLock(path, timeout=WAIT_S):
            yield
    except Timeout:
        found, expected = f"locked for {WAIT_S:g} s", "a folder that nobody else is writing"
        raise InputError(Problem(str(folder), "", found, expected, "Look for a program that hangs.")) from None


def swap(new: Path, folder: Path) -> None:
    """Put a finished folder in the place of another one, which is deleted.

    The caller holds the lock and wrote the files through :mod:`attune.artifacts`, so that they are on the disk.
    """
    for path in [*new.rglob("*/"), new]:
        _flush(path)
    if folder.exists():
        if not _exchange(new, folder):
            aside = _aside(folder)
            artifacts.remove(aside)
            folder.rename(aside)
            new.rename(folder)
            _flush(folder.parent)
            artifacts.remove(aside)
    else:
        new.rename(folder)
    _flush(folder.parent)
    artifacts.remove(new)


def keep(file: Path, folder: Path) -> None:
    """Have a file that will never change in another folder too: as a second name, or as a copy where there are none."""
    try:
        (folder / file.name).hardlink_to(file.resolve())
    except OSError:
        with artifacts.replacing(folder / file.name) as temporary:
            shutil.copyfile(file, temporary)


def recover(folder: Path) -> None:
    """Put the old folder back if a run died before the new one was there."""
    if not folder.exists() and _aside(folder).exists():
        with locked(folder):
            recover_locked(folder)


def recover_locked(folder: Path) -> None:
    """As :func:`recover`, for a caller who holds the lock."""
    aside = _aside(folder)
    if aside.exists():
        if folder.exists():
            artifacts.remove(aside)
        else:
            aside.rename(folder)


def _aside(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.previous.partial")


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False if this system or file system cannot."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    if rename(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in _IMPOSSIBLE:
        return False
    raise OSError(code, os.strerror(code), str(other))


def _flush(path: Path) -> None:
    """Have a folder's entries reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
