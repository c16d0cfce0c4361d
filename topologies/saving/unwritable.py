"""What no file can say."""

from __future__ import annotations


class Unwritable(ValueError):
    """A topology has something that no file can have: ``what``, and a ``remedy``."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy
