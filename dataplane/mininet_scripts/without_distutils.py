"""Gives Mininet the one class of ``distutils`` that it uses, when it is imported before Mininet.

setuptools' own ``distutils`` takes 0.15 s to import, and Python 3.12 has no other one.
"""

from __future__ import annotations

import sys
import types
from functools import total_ordering
from typing import Any

_NAMES = ("distutils", "distutils.version")


@total_ordering
class StrictVersion:
    """A version number like 3.1."""

    def __init__(self, text: str) -> None:
        self.version = tuple(int(part) for part in text.split(".") if part.isdigit())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StrictVersion) and self.version == other.version

    def __lt__(self, other: StrictVersion) -> bool:
        return self.version < other.version

    __hash__ = None  # type: ignore[assignment]


def give() -> None:
    """Put the class where Mininet imports it from, unless the real module is there already."""
    if _NAMES[0] not in sys.modules:
        package: Any = types.ModuleType(_NAMES[0])
        module: Any = types.ModuleType(_NAMES[1])
        package.__path__ = []
        package.version, module.StrictVersion, module.LooseVersion = module, StrictVersion, StrictVersion
        package.is_ours = True
        sys.modules.update({_NAMES[0]: package, _NAMES[1]: module})


def take_back() -> None:
    """Let the script import the real module."""
    if getattr(sys.modules.get(_NAMES[0]), "is_ours", False):
        for name in _NAMES:
            sys.modules.pop(name, None)


give()
