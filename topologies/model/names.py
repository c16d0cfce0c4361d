"""Names: which are allowed, how they are sorted, and how to make one from a label."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
MAX_LENGTH = 63  # that of a DNS label (RFC 1035), and one less than Linux allows for host names
ALLOWED = f"letters and digits, after the first also '_', '.' and '-', up to {MAX_LENGTH} in all"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_RUN = re.compile(r"[0-9]+")


def is_name(text: str) -> bool:
    return len(text) <= MAX_LENGTH and _NAME.fullmatch(text) is not None


@lru_cache(maxsize=65536)
def natural(name: str) -> tuple[tuple[tuple[str, int], ...], str]:
    """A sort key by which ``s2`` comes before ``s10``. Different names have different keys."""
    pieces: list[tuple[str, int]] = []
    start = 0
    for run in _RUN.finditer(name):
        # cut first: a name may have thousands of digits, which take long to convert
        digits = run.group().lstrip("0")[:18]
        pieces.append((name[start : run.start()], int(digits or "0")))
        start = run.end()
    pieces.append((name[start:], -1))
    return tuple(pieces), name


def slug(label: str, limit: int) -> str:
    """A label in lower-case ASCII letters, digits and hyphens between them, cut after a word; may be
    empty."""
    plain = unicodedata.normalize("NFKD", label).encode("ascii", "ignore").decode().lower()
    text = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(text) > limit:
        cut = text[: limit + 1]
        text = cut.rsplit("-", 1)[0] if "-" in cut[1:] else text[:limit]
    return text[:limit].strip("-")


def unique(wanted: str, taken: Iterable[str] | set[str]) -> str:
    """``wanted``; if it is taken, with the first of ``-2``, ``-3``, … that is free."""
    if wanted not in taken:
        return wanted
    number = 2
    while f"{wanted}-{number}" in taken:
        number += 1
    return f"{wanted}-{number}"
