"""Names: which are allowed, how they sort, and how to make one of a label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
MAX_LENGTH = 63  # a DNS label (RFC 1035), and one less than Linux's host name limit
ALLOWED = f"letters and digits, after the first also '_', '.' and '-', up to {MAX_LENGTH} in all"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RUN = re.compile(r"[0-9]+")


def is_name(text: str) -> bool:
    return len(text) <= MAX_LENGTH and _NAME.fullmatch(text) is not None


@lru_cache(maxsize=65536)
def natural(name: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """Sort key by which ``s2`` comes before ``s10``; total, so equal keys mean equal names."""
    pieces: list[tuple[str, int]] = []
    start = 0
    for run in _RUN.finditer(name):
        # the length first: no conversion of a number of thousands of digits
        digits = run.group().lstrip("0")[:18]
        pieces.append((name[start : run.start()], int(digits or "0")))
        start = run.end()
    pieces.append((name[start:], -1))
    return tuple(pieces), name


def slug(label: str, limit: int) -> str:
    """A label as lower-case ASCII letters, digits and inner hyphens, cut at a word; may be empty."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(text) > limit:
        cut = text[: limit + 1]
        text = cut.rsplit("-", 1)[0] if "-" in cut[1:] else text[:limit]
    return text[:limit].strip("-")


def unique(wanted: str, taken: Iterable[str] | set[str]) -> str:
    """``wanted``, or with the first free of ``-2``, ``-3``, …"""
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}-{number}" in taken:
        number += 1
    return f"{wanted}-{number}"
