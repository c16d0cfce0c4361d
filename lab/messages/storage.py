"""Requests about volumes."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class GrowRequest(TypedDict):
    """``size``: the new size in bytes."""

    size: int


class SnapshotRequest(TypedDict):
    """What to do with the snapshot ``name``."""

    action: Literal["save", "restore", "delete"]
    name: str
