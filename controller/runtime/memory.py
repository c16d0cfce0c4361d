"""What a controller has found out, as a file, so that its successor finds nothing to change.

Otherwise the flows of every learned station would be deleted at a restart, and made again when it next
speaks; and traffic would be sent to instances and backends that are known not to work.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from controller.runtime.learning import Station
from topologies.model.topology import Port


class Memory(NamedTuple):
    """Learned stations, and names of instances and backends that do not work."""

    stations: tuple[Station, ...] = ()
    failed: frozenset[str] = frozenset()


def write(path: Path, memory: Memory) -> None:
    """Replace the file at once (OSError: it cannot be)."""
    rows = [
        [each.network, each.port.switch, each.port.number, each.mac, each.ipv4, each.ipv6]
        for each in memory.stations
    ]
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps({"stations": rows, "failed": sorted(memory.failed)}))
    new.replace(path)


def read(path: Path) -> Memory:
    """What the file holds; nothing when it is missing or damaged: all of it can be found out again."""
    try:
        found = json.loads(path.read_text())
        stations = tuple(
            Station(
                str(network),
                Port(switch=switch, number=number),
                int(mac),
                tuple(map(int, ipv4)),
                tuple(map(int, ipv6)),
            )
            for network, switch, number, mac, ipv4, ipv6 in found["stations"]
        )
        return Memory(stations, frozenset(map(str, found["failed"])))
    except (OSError, ValueError, TypeError, KeyError):
        return Memory()
