"""How does a folder or a large file appear whole or not at all? Written beside, renamed, and gone when it failed."""

import errno
import glob
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .atomic import sync_folder
from .errors import RondelError, SpaceError, UsageError

ADVICE = "free space, or choose another place"
NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
NO_SPACE_TEXTS = ("No space left", "quota exceeded", "Read-only file system", "Permission denied")
"""tensorstore reports errors of the file system as ValueError; only its text tells which."""


@contextmanager
def appear(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` that becomes `target` when the block ends well, and is removed when it does not.

    What a killed run left beside it is removed first. Raises UsageError when `target` is there already, SpaceError when
    the place is full or cannot be written.
    """
    if os.path.lexists(target):
        raise UsageError(f"{target} exists already", "choose another name, or remove it first")
    beside = target.with_name(f".{target.name}.{secrets.token_hex(4)}.partial")
    _prepare(target)
    try:
        yield beside
        if beside.is_file():
            _sync(beside)
        beside.rename(target)
        sync_folder(target.parent)
    except (OSError, ValueError) as error:
        if isinstance(error, RondelError) or not _no_space(error):
            raise
        raise SpaceError(f"{target} could not be written: {_short(error)}", ADVICE) from error
    finally:
        _remove(beside)


def _prepare(target: Path) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpaceError(f"{target.parent} could not be made: {_short(error)}", ADVICE) from error
    for left in target.parent.glob(f".{glob.escape(target.name)}.????????.partial"):
        _remove(left)


def _no_space(error: OSError | ValueError) -> bool:
    if isinstance(error, OSError):
        return error.errno in NO_SPACE
    return any(text in str(error) for text in NO_SPACE_TEXTS)


def _short(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return next(text for text in NO_SPACE_TEXTS if text in str(error))


def _sync(file: Path) -> None:
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
