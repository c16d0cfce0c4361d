"""Rights on files by their mode (inode(7)). Pure."""

from __future__ import annotations

import os
from typing import NamedTuple


class Owner(NamedTuple):
    """A user and a group, such as those that the host's root is for files."""

    uid: int
    gid: int


def may(file: os.stat_result, who: Owner, bits: int) -> bool:
    """Whether ``who`` has these rights on a file: the sum of 4 (read), 2 (write), 1 (execute or enter)."""
    shift = 6 if file.st_uid == who.uid else 3 if file.st_gid == who.gid else 0
    return file.st_mode >> shift & bits == bits
