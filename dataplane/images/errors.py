"""What can go wrong with an image."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class ImageError(Exception):
    """``what`` is wrong with an image, and the ``remedy``."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


def no_space(folder: Path) -> ImageError:
    """The disk is full."""
    return ImageError(
        f"no space is left on the disk of {folder}",
        "an image takes 100 MB, and 350 MB while it is built: free that much, or set XDG_CACHE_HOME to a "
        "folder on another disk",
    )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Turn errors of the file system below ``folder`` into an ImageError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise no_space(folder) from error
        where = error.filename or folder
        forbidden = error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        remedy = f"let your user write in {folder}, or set XDG_CACHE_HOME" if forbidden else ""
        raise ImageError(f"{where}: {error.strerror}", remedy) from error
