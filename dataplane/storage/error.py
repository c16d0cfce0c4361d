"""The error of everything that is done with storage."""

from __future__ import annotations


class StorageError(Exception):
    """Something of the storage can't be done; the message says why. ``remedy``: what helps."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy
