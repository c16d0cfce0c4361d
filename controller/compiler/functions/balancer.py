"""A layer-4 load balancer that the flow tables are: a select group chooses, connection tracking remembers.

In a chain's direction, a new connection to the virtual address is given to a select group, whose buckets
translate its destination to a backend each; what belongs to a known connection is translated as that
was.  What a backend sends is translated back before any chain takes it, when it belongs to such a connection:
to chains, and whoever asked, it comes from the virtual address.

The group chooses by a hash of the packet's fields and of each bucket's identifier, which depends on the
backend's name alone: when a backend goes, only its own connections-to-be go elsewhere, and when it comes, it
takes its share from all others alike.  A backend has as many buckets as it has weight, because Open vSwitch
multiplies a bucket's hash by its weight, and that gives other shares than the weights say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import gcd

from controller.compiler.fragments import FRAGMENT
from controller.compiler.functions.direct import address_of, direct_flows, requests_of_backends
from controller.compiler.functions.families import Family, families
from controller.compiler.functions.nat_hairpin import widest_gap
from controller.compiler.functions.stray import answering_strays, stray_flows
from controller.compiler.tracking import (
    FUNCTION_ZONES,
    INVALID_STATE,
    LATER_FRAGMENT,
    UNTRACKED,
    function_zones,
    numbered,
    onward,
    state,
    together,
)
from controller.flow.builders import COPIED, GIVEN_BACK, HOP, PAST, VERDICT, Priority, flow
from controller.flow.meters import NOTICES
from controller.flow.tables import (
    NO_PORT,
    Action,
    Bucket,
    Ct,
    CtClear,
    Field,
    Flow,
    Group,
    Meter,
    Resubmit,
    SetField,
    Table,
    ToGroup,
)
from controller.origin import Origin
from topologies.model.attachment import Flows
from topologies.model.functions import Backend, Balancer
from topologies.model.kinds import LoadBalancer
from topologies.model.places import Entity, part
from topologies.model.service_paths import Hop
from topologies.model.topology import Host, Topology
from wire.ethertype import IPV4, IPV6
from wire.mac import mac_number
from wire.protocol import NUMBERS

HAIRPIN, TRANSLATED, CONNECTION, PASS = 62000, 61000, 60000, 50000
PORTS = (1024, 32767)
"""Ports of the virtual address that a backend sees which asked the service and was chosen itself: none that
health checks have, which are from there as well (Linux's ip_local_port_range begins above)."""
Onward = tuple[tuple[Action, ...], Table | None]
"""How a frame goes on from a hop: actions, and the table after them."""
GROUPS = 0xC0000000
"""Numbers of these groups begin here; those of the paths between switches are far below."""
MOST_BUCKETS = 1024
_SHARES = 256
_SLOTS = range(1, 1 << 22)
_KNOWN, _NEW, _ANY = state("+trk-inv"), state("+trk-inv+new"), state("+trk")


def balancer_hop(
    topology: Topology,
    function: LoadBalancer,
    hop: Hop,
    numbers: Mapping[str, int],
    failed: frozenset[str] = frozenset(),
) -> tuple[list[Flow], list[Group], list[Meter]]:
    """All of a load balancer's hop in STEER. ``failed``: backends (``lb/web1``) that get no new
    connections."""
    balancer = function.balancer
    here, what = Field(HOP, hop.number), f"chain {hop.chain}, load balancer {function.name}"
    implicit = any(chain.implicit for chain in topology.chains if chain.name == hop.chain)
    if not hop.forward:
        if implicit:
            return _from_backends(topology, function, hop, failed), [], [NOTICES]
        why = f"{what}: from the virtual address"
        return [flow(Table.STEER, Priority.KNOWN, (here,), *onward(hop, numbers), why=why)], [], []
    on = onward(hop, numbers)
    zone = function_zones(topology)[function.name]
    flows = [*_untouched(here, zone, on, f"{what}: not of a balanced connection, untouched", what)]
    groups = []
    for family in families(balancer):
        to_it = (here, family.kind, UNTRACKED, Field(family.destination, family.address))
        flows.append(
            flow(Table.STEER, Priority.KNOWN, to_it, (Ct(zone, Table.STEER, nat=""),),
                 why=f"{what}: is it of a known connection?"),
        )  # fmt: skip
        flows += _hairpin(topology, function, hop, family, zone, on, what)
        flows += _to_backends(topology, function, hop, numbers, family, what)
        live = _live(function, family.version, failed)
        if live:
            groups.append(_group(topology, function, family, live, zone))
            flows += _new_connections(balancer, here, family, groups[-1].id, what)
        # with none alive, new connections pass untouched: the kernel at the virtual address refuses them
    if implicit:
        flows += direct_flows(topology, function, hop, on)
    return flows + stray_flows(topology, function, hop, failed), groups, [NOTICES]


def _untouched(here: Field, zone: int, on: Onward, why: str, what: str) -> Iterator[Flow]:
    """What is of no connection that the hop is about."""
    yield flow(Table.STEER, Priority.NOISE, (here, UNTRACKED), *on, why=why)
    yield flow(Table.STEER, PASS, (here, _ANY, Field("ct_zone", zone)), *on, why=why)
    # they may be anybody's: see ``controller.compiler.fragments``
    why = f"{what}: no fragment of a whole datagram, dropped"
    for kind in (Field("eth_type", IPV4), Field("eth_type", IPV6)):
        yield flow(Table.STEER, PASS + 1, (here, kind, FRAGMENT, INVALID_STATE), why=why)


def _from_backends(
    topology: Topology, function: LoadBalancer, hop: Hop, failed: frozenset[str]
) -> list[Flow]:
    """What backends send from their ports, before any chain sees it.

    An answer of a balanced connection, be it one of another balancer that has this backend's port, too, goes
    on to the chains as what it is now: sent by the virtual address.  All else goes on as it was.
    """
    here, what = Field(HOP, hop.number), f"load balancer {function.name}, from backends"
    zone = function_zones(topology)[function.name]
    # to chains it is as if it came from its sender now
    reset = (CtClear(), SetField(HOP, 0), SetField(VERDICT, 0), SetField(COPIED, 0))
    out = (*reset, Resubmit(Table.CHAIN))
    given_back = (*reset, SetField(PAST, GIVEN_BACK, GIVEN_BACK), Resubmit(Table.CHAIN))
    why = f"{what}: of no balanced connection, given back"
    flows = [*_untouched(here, zone, (given_back, None), why, what)]
    for kind in sorted({family.kind for family in families(function.balancer)}):
        flows.append(
            flow(Table.STEER, Priority.KNOWN, (here, kind, UNTRACKED), (Ct(zone, Table.STEER, nat=""),),
                 why=f"{what}: is it of a known connection?")
        )  # fmt: skip
    flows += requests_of_backends(function, hop, zone, what)
    for other in together(topology, function):
        flows += _requests_of_backends(other.balancer, here, (given_back, None), what)
        virtual = SetField("eth_src", mac_number(other.balancer.mac))
        for family in families(other.balancer):
            match = (here, family.kind, _KNOWN, Field(family.source, family.address))
            why = f"{what}: an answer, now from {other.name}"
            flows.append(flow(Table.STEER, TRANSLATED, match, (virtual, *out), why=why))
            flows += _hairpin_answers(topology, other, hop, family, zone, (out, None), what)
    return flows + answering_strays(topology, function, hop)


def _requests_of_backends(balancer: Balancer, here: Field, on: Onward, what: str) -> Iterator[Flow]:
    """What a backend asks a service from the very port at which it serves: no answer, nor to be translated
    here."""
    why = f"{what}: to the service, given back"
    for family in families(balancer):
        to_it = (here, family.kind, Field("ip_proto", NUMBERS[balancer.protocol]), UNTRACKED)
        for port in balancer.ports:
            match = (
                *to_it,
                Field(family.destination, family.address),
                Field(f"{balancer.protocol}_dst", port),
            )
            yield flow(Table.STEER, Priority.KNOWN + 2, match, *on, why=why)


def _hairpin(
    topology: Topology, function: LoadBalancer, hop: Hop, family: Family, zone: int, on: Onward, what: str
) -> Iterator[Flow]:
    """A backend that asks the service and is chosen itself: it must not see a packet from its own address.

    Such a connection is translated twice in the same zone, its destination and then its source, to the
    virtual address (as RFC 4787, REQ-9, has it of NATs); its answers twice the other way round.
    """
    here, balancer = Field(HOP, hop.number), function.balancer
    ports = widest_gap(balancer.ports, PORTS)
    masquerade = Ct(zone, Table.STEER, True, "src", family.address, family.version, ports)
    asked = Field("ct_nw_dst" if family.version == 4 else "ct_ipv6_dst", family.address)
    for host, mine in _backends(topology, balancer, family):
        begun = (here, family.kind, state("+trk-inv-rpl"), *mine, asked)
        yield flow(Table.STEER, HAIRPIN, begun, (CtClear(), masquerade),
                   why=f"{what}: {host.name} asks itself, as the virtual address",
                   entity=part("backend", function.name, host.name))  # fmt: skip
        yield _hairpinned(topology, function, host, hop, family, on, what)


def _hairpin_answers(
    topology: Topology, function: LoadBalancer, hop: Hop, family: Family, zone: int, on: Onward, what: str
) -> Iterator[Flow]:
    """Its answers, translated twice the other way round."""
    for host, mine in _backends(topology, function.balancer, family):
        once = (Field(HOP, hop.number), family.kind, state("+trk-inv+rpl"), *mine)
        yield flow(Table.STEER, HAIRPIN, once, (CtClear(), Ct(zone, Table.STEER, nat="")),
                   why=f"{what}: {host.name} answers itself",
                   entity=part("backend", function.name, host.name))  # fmt: skip
        yield _hairpinned(topology, function, host, hop, family, on, what)


def _backends(
    topology: Topology, balancer: Balancer, family: Family
) -> Iterator[tuple[Host, tuple[Field, Field]]]:
    """Each backend's host, and a match on its address at both ends."""
    backends = {backend.host for backend in balancer.backends}
    for host in _servers(topology, balancer, family.version):
        if host.name in backends:
            address = _address(host, family.version)
            yield host, (Field(family.source, address), Field(family.destination, address))


def _hairpinned(
    topology: Topology, function: LoadBalancer, host: Host, hop: Hop, family: Family, on: Onward, what: str
) -> Flow:
    address = _address(host, family.version)
    match = (Field(family.source, family.address), Field(family.destination, address))
    # what has come back may leave where it came in: OpenFlow lets no frame do so by itself
    virtual = SetField("eth_src", mac_number(function.balancer.mac))
    out = (virtual, SetField("eth_dst", _next_hop_mac(topology, host, hop)))
    actions, goto = on
    return flow(Table.STEER, HAIRPIN, (Field(HOP, hop.number), family.kind, _KNOWN, *match),
                (*out, SetField("in_port", NO_PORT), *actions), goto,
                why=f"{what}: from {host.name} by the virtual address to itself",
                entity=part("backend", function.name, host.name))  # fmt: skip


def _servers(topology: Topology, balancer: Balancer, version: int) -> Iterator[Host]:
    """Every host that is, was or could be a backend."""
    backends = {backend.host for backend in balancer.backends}
    for host in topology.attached:
        interface = host.ipv4 if version == 4 else host.ipv6
        if interface is not None and (host.network == balancer.network or host.name in backends):
            yield host


def _address(host: Host, version: int) -> int:
    interface = host.ipv4 if version == 4 else host.ipv6
    assert interface is not None
    return int(interface.ip)


def _next_hop_mac(topology: Topology, host: Host, hop: Hop) -> int:
    """What a frame to a host is sent to from a hop: the host, or the router of the hop's network."""
    if host.network == hop.network:
        return mac_number(host.mac)
    gateways = {name: router.mac for router in topology.routers for name in router.networks}
    return mac_number(gateways.get(hop.network, host.mac))


def _live(function: LoadBalancer, version: int, failed: frozenset[str]) -> list[Backend]:
    return [
        backend
        for backend in function.balancer.backends
        if f"{function.name}/{backend.host}" not in failed and address_of(backend, version) is not None
    ]


def _new_connections(balancer: Balancer, here: Field, family: Family, group: int, what: str) -> list[Flow]:
    """New connections go to the group."""
    to_service = (Field("ct_nw_proto", NUMBERS[balancer.protocol]), Field(family.destination, family.address))
    flows = [
        flow(
            Table.STEER,
            CONNECTION,
            (here, family.kind, _NEW, *to_service, Field("ct_tp_dst", port)),
            (ToGroup(group),),
            why=f"{what}: a new connection",
        )
        for port in balancer.ports
    ]
    # it has no port, and waits where the group sends it for the first (see
    # controller.compiler.functions.firewall)
    flows.append(
        flow(
            Table.STEER,
            CONNECTION,
            (here, family.kind, LATER_FRAGMENT, _NEW, *to_service),
            (ToGroup(group),),
            why=f"{what}: a later fragment waits for the first",
        )
    )
    return flows


def _to_backends(
    topology: Topology,
    function: LoadBalancer,
    hop: Hop,
    numbers: Mapping[str, int],
    family: Family,
    what: str,
) -> list[Flow]:
    """What is to a backend now gets its MAC address, by the translated one. Every host that could be one is
    there, so that connections last of a backend that is no longer one."""
    actions, goto = onward(hop, numbers)
    balancer, flows = function.balancer, []
    virtual, backends = mac_number(balancer.mac), {backend.host for backend in balancer.backends}
    for host in _servers(topology, balancer, family.version):
        own = host.name in backends
        entity = part("backend", function.name, host.name) if own else Entity("host", host.name)
        match = (
            Field("eth_dst", virtual),
            Field(HOP, hop.number),
            family.kind,
            _KNOWN,
            Field(family.destination, _address(host, family.version)),
        )
        flows.append(
            flow(
                Table.STEER,
                TRANSLATED,
                match,
                (SetField("eth_dst", _next_hop_mac(topology, host, hop)), *actions),
                goto,
                why=f"{what}: to {host.name}",
                entity=entity,
            )
        )
    return flows


def _group(
    topology: Topology, function: LoadBalancer, family: Family, live: Sequence[Backend], zone: int
) -> Group:
    balancer = function.balancer
    slots = numbered([backend.host for backend in balancer.backends], _SLOTS)
    buckets = []
    for backend, count in zip(live, shares([backend.weight for backend in live]), strict=True):
        address = address_of(backend, family.version)
        port = None if backend.same_port else (backend.port, backend.port)
        translate = Ct(zone, Table.STEER, True, "dst", address, family.version, port)
        first = slots[backend.host] * _SHARES
        buckets += [Bucket((translate,), id=first + number) for number in range(count)]
    chosen: tuple[str, ...] = (family.source,)
    if balancer.hash == "5-tuple":
        protocol = balancer.protocol
        chosen += (family.destination, "ip_proto", f"{protocol}_src", f"{protocol}_dst")
    by_flows = [other.name for other in topology.functions if isinstance(other.attachment, Flows)]
    own = numbered(by_flows, FUNCTION_ZONES)
    number = GROUPS + own[function.name] * 2 + (family.version == 6)
    why = f"load balancer {function.name}, IPv{family.version}"
    origin = Origin(why, entity=Entity("function", function.name))
    return Group(number, "select", tuple(buckets), origin, chosen)


def shares(weights: Sequence[int]) -> list[int]:
    """Buckets for each weight, in their proportion, at least one and few enough in all."""
    common = gcd(*weights)
    least = [weight // common for weight in weights]
    total = sum(least)
    if total <= MOST_BUCKETS:
        return least
    return [max(1, weight * MOST_BUCKETS // total) for weight in least]
