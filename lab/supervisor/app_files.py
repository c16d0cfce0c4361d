"""Notices that the files of Ryu apps have changed."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

Stamp = dict[str, tuple[int, int, int]]
"""File -> when it was changed, in nanoseconds, its size and its number."""
_MOST = 300


class AppFiles:
    """The files ``apps``, and the Python files beside them, which they may import."""

    def __init__(self, apps: Sequence[str]) -> None:
        self._apps = [Path(app) for app in apps]
        self._known = self._stamp()
        self._pending: Stamp | None = None

    def changed(self) -> list[str]:
        """The names of files that have changed since the last answer that named some.

        A change is told when the files were the same at two calls in a row: nobody is writing them.
        """
        now = self._stamp()
        if now == self._known:
            self._pending = None
            return []
        if now != self._pending:
            self._pending = now
            return []
        names = {path for path in {*now, *self._known} if now.get(path) != self._known.get(path)}
        # a file that is being replaced is gone for a moment
        if any(str(app) not in now for app in self._apps):
            return []
        self._known, self._pending = now, None
        return sorted(Path(path).name for path in names)

    def _stamp(self) -> Stamp:
        stamp: Stamp = {}
        for folder in {app.parent for app in self._apps}:
            try:
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if entry.name.endswith(".py") and len(stamp) < _MOST:
                            self._add(stamp, entry.path)
            except OSError:
                continue
        for app in self._apps:
            self._add(stamp, str(app))
        return stamp

    @staticmethod
    def _add(stamp: Stamp, path: str) -> None:
        try:
            status = os.stat(path)  # noqa: PTH116 - tens of files, twice a second
        except OSError:
            return
        stamp[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
