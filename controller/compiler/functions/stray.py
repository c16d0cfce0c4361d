"""Connections of a layer-4 load balancer whose backend has gone: what of them the controller hears.

A backend that has failed gets no new connections, but connection tracking remembers those that it has.  A
datagram, or a SYN, that would still go to it is sent to the controller, which has the connection forgotten
and the packet balanced again.  What follows of an established TCP connection passes: the check may have
failed for a moment alone.

A backend that the file names no longer (``Balancer.former``) has lost its connections for good: both of
their ends are told, with a TCP reset, when they next send.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Literal, NamedTuple

from controller.compiler.functions.direct import TWICE, address_of, backend_entity
from controller.compiler.functions.families import Family, families
from controller.compiler.tracking import UNTRACKED, function_zones, state, together
from controller.flow.builders import HOP, VERDICT, Priority, flow
from controller.flow.meters import NOTICES
from controller.flow.tables import CONTROLLER, Ct, CtClear, Field, Flow, Output, Table, ToMeter
from topologies.model.attachment import Flows
from topologies.model.functions import Backend
from topologies.model.kinds import LoadBalancer
from topologies.model.overlay import network_numbers
from topologies.model.service_paths import Hop, answers_hop, service
from topologies.model.topology import Topology
from wire import tcp
from wire.protocol import NUMBERS, TCP

SYN, STRAY = 64200, 64100
"""Above all that leads known connections on."""
_TELL = (ToMeter(NOTICES.id), Output(CONTROLLER))
_OF_CLIENT, _OF_SERVER = state("+trk-inv-rpl"), state("+trk-inv+rpl")


class Stray(NamedTuple):
    """What a packet is about that one of these flows sent to the controller.

    ``action``: ``again`` (forget the connection, balance the packet anew: at ``hop`` and in ``network``, to
    the virtual address), ``reset`` (answer the client, by ``hop``, the way back) or ``reset-both``
    (the packet is the server's; the client is told by ``hop``, the server as in ``network``).
    ``virtual``: the address; ``backend``: of the connection.
    """

    action: Literal["again", "reset", "reset-both"]
    function: str
    zone: int
    hop: int
    network: int
    protocol: int
    mac: str
    virtual: int
    port: int
    backend: int
    backend_port: int


def stray_flows(topology: Topology, function: LoadBalancer, hop: Hop, failed: frozenset[str]) -> list[Flow]:
    """What of a balancer's hop to the service in STEER is about backends that have failed or are former
    ones."""
    balancer = function.balancer
    gone = [backend for backend in balancer.backends if f"{function.name}/{backend.host}" in failed]
    flows = [
        entry
        for backend in (*gone, *balancer.former)
        for entry, _ in _balanced_again(topology, function, hop, backend)
    ]
    return flows + [
        entry for backend in balancer.former for entry, _ in _reset(topology, function, hop, backend)
    ]


def answering_strays(topology: Topology, function: LoadBalancer, hop: Hop) -> list[Flow]:
    """What of its hop from backends is about former ones, its own or of a balancer in the same zone."""
    return [entry for entry, _ in _reset_both(topology, function, hop)]


def strays(topology: Topology) -> dict[int, Stray]:
    """What a packet-in is about, by its flow's cookie: for whatever backend may fail."""
    by_cookie: dict[int, Stray] = {}
    functions = {function.name: function for function in topology.functions}
    for hop in service(topology).hops.values():
        function = functions[hop.function]
        if not isinstance(function, LoadBalancer) or not isinstance(function.attachment, Flows):
            continue
        balancer = function.balancer
        pairs = [*_reset_both(topology, function, hop)] if not hop.forward else []
        for backend in (*balancer.backends, *balancer.former) if hop.forward else ():
            pairs += [
                *_balanced_again(topology, function, hop, backend),
                *_reset(topology, function, hop, backend),
            ]
        by_cookie |= {entry.cookie: stray for entry, stray in pairs if stray}
    return by_cookie


def _balanced_again(
    topology: Topology, function: LoadBalancer, hop: Hop, backend: Backend
) -> Iterator[tuple[Flow, Stray | None]]:
    """Datagrams, and the first segments of connections, on their way to a backend."""
    balancer = function.balancer
    begins: tuple[Field, ...] = ()
    if balancer.protocol == "tcp":
        begins = (Field("tcp_flags", tcp.SYN, tcp.SYN | tcp.ACK | tcp.RST),)
    why = f"chain {hop.chain}, load balancer {function.name}: {backend.host} has gone: balanced again"
    for match, stray in _packets_to(topology, function, hop, backend):
        entity = backend_entity(function, backend.host)
        yield flow(Table.STEER, SYN, (*match, *begins), _TELL, why=why, entity=entity), stray


def _packets_to(
    topology: Topology, function: LoadBalancer, hop: Hop, backend: Backend
) -> Iterator[tuple[tuple[Field, ...], Stray]]:
    balancer = function.balancer
    zone, network = function_zones(topology)[function.name], network_numbers(topology)[hop.network]
    protocol = NUMBERS[balancer.protocol]
    for family in families(balancer):
        address = address_of(backend, family.version)
        if address is None:
            continue
        for port in balancer.ports:
            at = port if backend.same_port else backend.port
            match = (
                Field(HOP, hop.number), family.kind, Field("ip_proto", protocol), _OF_CLIENT,
                Field(family.destination, address), Field("ct_nw_proto", protocol),
                _asked_for_service(family), Field("ct_tp_dst", port), Field(f"{balancer.protocol}_dst", at),
            )  # fmt: skip
            yield match, Stray(
                "again", function.name, zone, hop.number, network, protocol, balancer.mac, family.address,
                port, address, at,
            )  # fmt: skip


def _reset(
    topology: Topology, function: LoadBalancer, hop: Hop, backend: Backend
) -> Iterator[tuple[Flow, Stray | None]]:
    """Segments to a former backend. The client is told as the backend would tell it."""
    balancer, back = function.balancer, answers_hop(topology, function.name)
    if balancer.protocol != "tcp" or back is None:
        return
    why = f"chain {hop.chain}, {_gone_backend(function, backend)}: the client is told"
    for match, stray in _packets_to(topology, function, hop, backend):
        network = network_numbers(topology)[back.network]
        told = stray._replace(action="reset", hop=back.number, network=network)
        yield flow(Table.STEER, STRAY, match, _TELL, why=why), told


def _reset_both(topology: Topology, function: LoadBalancer, hop: Hop) -> Iterator[tuple[Flow, Stray | None]]:
    """Segments from former backends, of whichever balancer's in the zone."""
    zone = function_zones(topology)[function.name]
    asked = set()
    for other in together(topology, function):
        balancer = other.balancer
        if balancer.protocol != "tcp":
            continue
        for backend, family in product(balancer.former, families(balancer)):
            address = address_of(backend, family.version)
            for port in balancer.reached_at(backend) if address is not None else ():
                segment = (
                    Field(HOP, hop.number), family.kind, Field("ip_proto", TCP), UNTRACKED,
                    Field(family.source, address or 0), Field("tcp_src", port),
                    Field("tcp_flags", 0, tcp.RST),
                )  # fmt: skip
                known = tuple(_OF_SERVER if field == UNTRACKED else field for field in segment)
                what = _gone_backend(other, backend)
                if segment not in asked:
                    # not translated: whose it is is asked, and the controller hears of it as it is
                    asked.add(segment)
                    look_up = (Ct(zone, Table.STEER),)
                    yield flow(Table.STEER, Priority.KNOWN + 1, segment, look_up, why=f"{what}?"), None
                    beside = (CtClear(), TWICE, Ct(zone, Table.STEER, nat=""))
                    why = f"{what}? no, of another's"
                    yield flow(Table.STEER, STRAY - 1, (*known, Field(VERDICT, 0)), beside, why=why), None
                told = Stray(
                    "reset-both", other.name, zone, hop.number, network_numbers(topology)[hop.network], TCP,
                    balancer.mac, family.address, balancer.port, address or 0, port,
                )  # fmt: skip
                match = (*known, _asked_for_service(family))
                yield flow(Table.STEER, STRAY, match, _TELL, why=f"{what}: both are told"), told


def _gone_backend(function: LoadBalancer, backend: Backend) -> str:
    return f"load balancer {function.name}: of a connection of {backend.host}, no backend now"


def _asked_for_service(family: Family) -> Field:
    """Of a connection that the virtual address was asked for."""
    return Field("ct_nw_dst" if family.version == 4 else "ct_ipv6_dst", family.address)
