"""Runs the engine on capture files."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from io import RawIOBase
from pathlib import Path
from typing import Any

from nfv.ids.detection.ruleset import RuleSet
from nfv.ids.engine import Engine
from nfv.ids.language import Loaded
from nfv.ids.settings import Settings
from nfv.ids.sources.pcap import BadCapture, records
from topologies import untrusted


@dataclass(slots=True)
class Summary:
    """The result of a run."""

    packets: int = 0
    size: int = 0
    alerts: int = 0
    events: dict[str, int] = field(default_factory=dict)
    damage: str = ""
    """The reason why a capture was not read to its end; empty: it was."""


class UnreadableCapture(Exception):
    """The file at ``path`` can't be read; ``why`` is the reason."""

    def __init__(self, path: Path, why: untrusted.Unreadable) -> None:
        super().__init__(why.words(path))
        self.path, self.why = path, why


def _open(path: Path) -> RawIOBase:
    """Open a capture, to read it as a stream: it may be larger than memory.

    A file of size 0 is not read: a file of /proc could block.
    """
    try:
        stream = untrusted.open_stream(path, "a capture (pcap, pcapng)")
        status = os.fstat(stream.fileno())
    except untrusted.Unreadable as error:
        raise UnreadableCapture(path, error) from None
    except OSError as error:
        raise UnreadableCapture(path, untrusted.Unreadable(error.strerror or str(error))) from None
    if stat.S_ISREG(status.st_mode) and status.st_size == 0:
        stream.close()
        raise BadCapture("the file is empty")
    return stream


def run(
    settings: Settings, loaded: Loaded, captures: list[Path], emit: Callable[[dict[str, Any]], None]
) -> Summary:
    """Inspect the packets of files, one after the other.

    Raises UnreadableCapture if a file can't be read, BadCapture if it is no capture.
    """
    summary = Summary()

    def count(event: dict[str, Any]) -> None:
        kind = event["event_type"]
        summary.events[kind] = summary.events.get(kind, 0) + 1
        emit(event)

    engine = Engine(settings, RuleSet(loaded.rules, settings.actions), count)
    try:
        for path in captures:
            begun = summary.packets
            try:
                with _open(path) as file:
                    for ts, data, linktype in records(file):
                        summary.packets += 1
                        summary.size += len(data)
                        engine.frame(data, ts, summary.packets, linktype)
            except BadCapture as error:
                if summary.packets == begun:
                    raise
                summary.damage = f"{path}: {error}"
    finally:
        engine.finish()
    summary.alerts = summary.events.get("alert", 0)
    return summary
