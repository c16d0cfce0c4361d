"""Table MIRROR: copies for taps, where frames enter.

A frame may be wanted by several taps, and by one for several reasons (its network, who sends it, who it is
for): one flow matches it, and gives each tap one copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from controller.compiler.route import Gateway
from controller.compiler.stations import Station
from controller.flow.builders import HOP, NETWORK, flow, miss
from controller.flow.tables import Action, Clone, Field, Flow, Resubmit, SetField, Table
from topologies.model.service_paths import Copy
from wire.ethertype import IPV4, IPV6

_BASE, _FROM, _TO = 200, 1, 2
"""A flow's priority grows with what it matches: sender, receiver, both."""

Match = tuple[Field, ...]


def mirror_table(
    here: Iterable[int],
    copies: Sequence[Copy],
    numbers: Mapping[str, int],
    stations: Sequence[Station],
    switch: str,
    gateways: Mapping[int, Gateway],
    goto: Table,
) -> list[Flow]:
    """MIRROR of a switch with hosts of the networks ``here``; none when no tap wants any of their frames.

    ``stations``: all of the lab's. ``goto``: where frames go on.
    """
    found: list[Flow] = []
    everyone = _by_network(copies, numbers)
    by_name = _by_host(copies)
    watched = [station for station in stations if station.name in by_name]
    for number in sorted(here):
        whole = everyone.get(number, frozenset())
        senders: list[tuple[Match, frozenset[int]]] = [((), whole)]
        senders += [
            ((Field("in_port", each.port),), whole | by_name[each.name])
            for each in watched
            if each.network == number and each.switch == switch
        ]
        receivers: list[tuple[Match, frozenset[int]]] = [((), frozenset())]
        for each in watched:
            receivers += [(match, by_name[each.name]) for match in _towards(each, number, gateways)]
        for sender, wanted in senders:
            for receiver, also in receivers:
                taps = wanted | also
                if not taps:
                    continue
                priority = _BASE + (_FROM if sender else 0) + (_TO if receiver else 0)
                match = (*sender, Field(NETWORK, number), *receiver)
                found.append(flow(Table.MIRROR, priority, match, _copied(taps), goto, why=_why(taps, copies)))
    return [*found, miss(Table.MIRROR, goto, "no tap wants it")] if found else []


def _by_network(copies: Iterable[Copy], numbers: Mapping[str, int]) -> dict[int, frozenset[int]]:
    found: dict[int, frozenset[int]] = {}
    for each in copies:
        if each.host is None:
            number = numbers[each.network]
            found[number] = found.get(number, frozenset()) | {each.hop}
    return found


def _by_host(copies: Iterable[Copy]) -> dict[str, frozenset[int]]:
    found: dict[str, frozenset[int]] = {}
    for each in copies:
        if each.host is not None:
            found[each.host] = found.get(each.host, frozenset()) | {each.hop}
    return found


def _towards(station: Station, network: int, gateways: Mapping[int, Gateway]) -> Iterator[Match]:
    """What matches frames that hosts of ``network`` send to the station, directly or through their router."""
    if station.network == network:
        yield (Field("eth_dst", station.mac),)
    gateway = gateways.get(network)
    if gateway is None or station.network not in gateway.others:
        return
    for kind, name, address in ((IPV4, "ip_dst", station.ipv4), (IPV6, "ipv6_dst", station.ipv6)):
        if address is not None:
            yield Field("eth_dst", gateway.mac), Field("eth_type", kind), Field(name, address)


def _copied(taps: frozenset[int]) -> tuple[Action, ...]:
    return tuple(Clone((SetField(HOP, hop), Resubmit(Table.STEER))) for hop in sorted(taps))


def _why(taps: frozenset[int], copies: Iterable[Copy]) -> str:
    names = sorted({each.host or f"network {each.network}" for each in copies if each.hop in taps})
    return "copies for taps that look at " + ", ".join(names)
