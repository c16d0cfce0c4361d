"""Table MIRROR: copies for taps, made where frames enter.

Several taps may want a frame, and one tap may want it for several reasons (its network, its sender, its
receiver).  One flow matches the frame, and gives each of these taps one copy.
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
    flows: list[Flow] = []
    everyone = _by_network(copies, numbers)
    by_name = _by_host(copies)
    watched = [station for station in stations if station.name in by_name]
    for number in sorted(here):
        whole = everyone.get(number, frozenset())
        senders: list[tuple[Match, frozenset[int], str]] = [((), whole, "")]
        senders += [
            ((Field("in_port", station.port),), whole | by_name[station.name], station.name)
            for station in watched
            if station.network == number and station.switch == switch
        ]
        receivers: list[tuple[Match, frozenset[int], str]] = [((), frozenset(), "")]
        for station in watched:
            receivers += [
                (match, by_name[station.name], station.name) for match in _towards(station, number, gateways)
            ]
        of_network = [copy for copy in copies if copy.host is None and numbers[copy.network] == number]
        for sender, wanted, source in senders:
            for receiver, also, target in receivers:
                taps = wanted | also
                if not taps:
                    continue
                priority = _BASE + (_FROM if sender else 0) + (_TO if receiver else 0)
                match = (*sender, Field(NETWORK, number), *receiver)
                of_hosts = [copy for copy in copies if copy.host in (source, target)]
                # a host's own entry is nearer than its network's
                entity = next(copy.entity for copy in (*of_hosts, *of_network) if copy.hop in taps)
                why = _why(taps, copies)
                flows.append(flow(Table.MIRROR, priority, match, _copied(taps), goto, why=why, entity=entity))
    return [*flows, miss(Table.MIRROR, goto, "no tap wants it")] if flows else []


def _by_network(copies: Iterable[Copy], numbers: Mapping[str, int]) -> dict[int, frozenset[int]]:
    taps: dict[int, frozenset[int]] = {}
    for copy in copies:
        if copy.host is None:
            number = numbers[copy.network]
            taps[number] = taps.get(number, frozenset()) | {copy.hop}
    return taps


def _by_host(copies: Iterable[Copy]) -> dict[str, frozenset[int]]:
    taps: dict[str, frozenset[int]] = {}
    for copy in copies:
        if copy.host is not None:
            taps[copy.host] = taps.get(copy.host, frozenset()) | {copy.hop}
    return taps


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
    names = sorted({copy.host or f"network {copy.network}" for copy in copies if copy.hop in taps})
    return "copies for taps that look at " + ", ".join(names)
