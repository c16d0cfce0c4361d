"""How an image is built, as the cache needs to know it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

Say = Callable[[str], None]
"""Hears what goes on, in a line of text."""


@dataclass(frozen=True)
class Base:
    """What comes from packages. ``python``: the interpreter's name, such as python3.11.

    ``versions``: of all packages, by name.
    """

    kernel: bytes
    archive: bytes
    python: str
    versions: Mapping[str, str]
    distribution: str


@dataclass(frozen=True)
class Recipe:
    """``base_digest``: an image with another one is built anew, with packages. ``guest_digest``: an image
    with another one gets the archive that ``guest`` makes for its interpreter, behind the one of its base.

    ``build`` gets an empty folder to work in.
    """

    base_digest: str
    guest_digest: str
    arguments: str
    build: Callable[[Path, Say], Base]
    guest: Callable[[str], bytes]
