"""What a controller has learned, as a file, so that the next controller has nothing to change.

Without it, a restart would delete the flows of each learned station, until the station sends again; and it
would send traffic to instances and backends that are known not to work.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from controller.runtime.stations import Station
from topologies.model.topology import Port


class Memory(NamedTuple):
    """Learned stations, and names of instances and backends that do not work."""

    stations: tuple[Station, ...] = ()
    failed: frozenset[str] = frozenset()


def write(path: Path, memory: Memory) -> None:
    """Replace the file atomically (OSError: it cannot be written)."""
    rows = [
        [station.network, station.port.switch, station.port.number, station.mac, station.ipv4, station.ipv6]
        for station in memory.stations
    ]
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps({"stations": rows, "failed": sorted(memory.failed)}))
    new.replace(path)


def read(path: Path) -> Memory:
    """What the file holds; empty when it is missing or damaged, since all of it can be learned again."""
    try:
        saved = json.loads(path.read_text())
        stations = tuple(
            Station(
                str(network),
                Port(switch=switch, number=number),
                int(mac),
                tuple(map(int, ipv4)),
                tuple(map(int, ipv6)),
            )
            for network, switch, number, mac, ipv4, ipv6 in saved["stations"]
        )
        return Memory(stations, frozenset(map(str, saved["failed"])))
    except (OSError, ValueError, TypeError, KeyError):
        return Memory()
