"""Table CLASSIFY: which network a frame belongs to, and whether we know its sender."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from controller.flows import DETOURED, GROUP_BIT, NETWORK, Priority, flow, miss
from controller.stations import Station
from controller.tables import CONTROLLER, Field, Flow, Move, Output, SetField, Table

_MISS = miss(Table.CLASSIFY, None, "no such port in the topology: dropped")
_FORGED = flow(
    Table.CLASSIFY,
    Priority.GUARD,
    (Field("eth_src", GROUP_BIT, GROUP_BIT),),
    why="a group address can not be a source: dropped",
)


def classify(
    trunks: Mapping[int, str],
    access: Mapping[int, tuple[str, int]],
    local: Iterable[Station],
    free: frozenset[int] = frozenset(),
    inside: Table = Table.RESOLVE,
    guards: tuple[Flow, ...] = (),
) -> list[Flow]:
    """Flows of one switch. ``trunks``: link ports with the link's name. ``access``: host ports
    with their network's name and number. ``local``: stations on this switch. ``free``: host ports that
    take frames from any source. ``inside``: the table after SECURITY. ``guards``: what no host may send."""
    found = [
        flow(
            Table.CLASSIFY,
            Priority.TRUNK,
            (Field("in_port", port),),
            # the sender's switch has checked the network; only the detour mark matters here
            (Move("eth_src", DETOURED, 1, 40, 0),),
            Table.FORWARD,
            why=f"link {trunks[port]}",
        )
        for port in sorted(trunks)
    ]
    if access:
        found.append(_FORGED)
    found += guards
    for station in local:
        found.append(
            flow(
                Table.CLASSIFY,
                Priority.KNOWN,
                (Field("in_port", station.port), Field("eth_src", station.mac)),
                (SetField(NETWORK, station.network),),
                inside if station.port in free else Table.SECURITY,
                why=f"from {station.name}, network {access[station.port][0]}",
            )
        )
    for port, (network, number) in sorted(access.items()):
        if port not in free:
            found.append(
                flow(
                    Table.CLASSIFY,
                    Priority.UNKNOWN,
                    (Field("in_port", port),),
                    why=f"network {network}: not the MAC address of this port's host: dropped",
                )
            )
            continue
        found.append(
            flow(
                Table.CLASSIFY,
                Priority.UNKNOWN,
                (Field("in_port", port),),
                (SetField(NETWORK, number), Output(CONTROLLER)),
                inside,
                why=f"unknown sender in network {network}: copy to the controller, which learns it",
            )
        )
    found.append(_MISS)
    return found
