"""Which copies of a volume have its newest data. Pure.

Each kept copy has a record beside its file.  A copy that misses a write must never be read again: when one is
lost, the others get a higher generation.  Copies that were in use when the lab died may differ in what was
being written in that moment: then one of them is taken, and the others are made equal to it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """``generation``: higher than that of copies that have missed something. ``used``: it is being written
    to, or was when the lab died. ``size``: the length of its file in bytes."""

    generation: int
    used: bool
    size: int

    def text(self) -> str:
        """The record as the content of its file."""
        return json.dumps({"generation": self.generation, "used": self.used, "size": self.size}) + "\n"


def read(text: str) -> Record | None:
    """The record in the content of a file; None: it is damaged."""
    try:
        fields = json.loads(text)
        return Record(int(fields["generation"]), bool(fields["used"]), int(fields["size"]))
    except (ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True)
class Choice:
    """``current``: the storage hosts whose copies are read and written, the first one first. ``stale``: those
    whose copies must be rebuilt. ``fresh``: there is no data yet. ``generation``: the one to go on with."""

    current: tuple[str, ...]
    stale: tuple[str, ...]
    fresh: bool
    generation: int


def choose(records: Mapping[str, Record | None]) -> Choice:
    """The copies to start with. ``records``: storage host -> the record of its copy; None: none."""
    known = {host: record for host, record in records.items() if record is not None}
    if not known:
        return Choice(tuple(records), (), True, 1)
    newest = max(record.generation for record in known.values())
    current = [host for host, record in known.items() if record.generation == newest]
    if any(known[host].used for host in current):
        current = current[:1]
    stale = tuple(host for host in records if host not in current)
    return Choice(tuple(current), stale, False, newest + 1)
