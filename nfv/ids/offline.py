"""Running the engine over capture files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nfv.ids.engine import Engine
from nfv.ids.language import Loaded
from nfv.ids.pcap import BadCapture, records
from nfv.ids.ruleset import RuleSet
from nfv.ids.settings import Settings


@dataclass(slots=True)
class Summary:
    """What a run saw."""

    packets: int = 0
    size: int = 0
    alerts: int = 0
    events: dict[str, int] = field(default_factory=dict)
    damage: str = ""
    """Why a capture was not read to its end."""


def run(
    settings: Settings, loaded: Loaded, captures: list[Path], emit: Callable[[dict[str, Any]], None]
) -> Summary:
    """Inspect the packets of files, one after the other; OSError when one can't be read, BadCapture when it
    is none.
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
                for ts, data, linktype in records(path.read_bytes()):
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
