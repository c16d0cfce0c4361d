"""Learned stations as a file, so that a restarted controller finds nothing to change.

Otherwise the flows of every learned station would be deleted at a restart, and made again
when it next speaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from controller.runtime.learning import Station
from topologies.model import Port


def write(path: Path, stations: Iterable[Station]) -> None:
    """Replace the file at once (OSError: it cannot be)."""
    rows = [
        [each.network, each.port.switch, each.port.number, each.mac, each.ipv4, each.ipv6]
        for each in stations
    ]
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(rows))
    new.replace(path)


def read(path: Path) -> list[Station]:
    """The stations of a file; none when it is missing or damaged: they can be learned again."""
    try:
        return [
            Station(
                str(network),
                Port(switch=switch, number=number),
                int(mac),
                tuple(map(int, ipv4)),
                tuple(map(int, ipv6)),
            )
            for network, switch, number, mac, ipv4, ipv6 in json.loads(path.read_text())
        ]
    except (OSError, ValueError, TypeError):
        return []
